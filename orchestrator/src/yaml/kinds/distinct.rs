//! Operator: keeps one row for each value of columns.

use anabranch_operators::Distinct;

use super::common::{COLUMNS, INPUT, keys};
use super::{BuildSite, Kind, class};
use crate::graph::NodeHandle;
use crate::node::PlanError;
use crate::yaml::values::fields::Field;

/// The kind `distinct`.
pub(super) static KIND: Kind = Kind {
    doc: "Keeps one row for each value of columns.",
    schema: keys(
        "distinct",
        "Keeps one row for each value of the named columns; the first where rows have an order.",
        &[
            INPUT,
            Field::optional("by", COLUMNS, "Tag and packet columns; all of them where they are not given."),
        ],
    ),
    class: &class::OPERATOR,
    build,
};

fn build(site: &mut BuildSite<'_>) -> Result<NodeHandle, PlanError> {
    let distinct = match site.body.texts("by") {
        Some(by) => Distinct::by(by),
        None => Distinct::new(),
    };
    site.operator(distinct)
}
