//! Operator: orders rows by tags.

use anabranch_operators::Sort;

use super::common::{COLUMNS, INPUT, keys};
use super::{BuildSite, Kind, class};
use crate::graph::NodeHandle;
use crate::node::PlanError;
use crate::yaml::values::fields::Field;

/// The kind `sort`.
pub(super) static KIND: Kind = Kind {
    doc: "Orders rows by tags.",
    schema: keys(
        "sort",
        "Orders rows by tags, nulls last.",
        &[INPUT, Field::required("by", COLUMNS, "Tags to order by, the first one first.")],
    ),
    class: &class::OPERATOR,
    build,
};

fn build(site: &mut BuildSite<'_>) -> Result<NodeHandle, PlanError> {
    site.operator(Sort::by(site.body.required_texts("by")))
}
