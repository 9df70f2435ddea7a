//! Operator: keeps the named columns.

use anabranch_operators::Select;

use super::common::{INPUT, KEPT_PACKETS, KEPT_TAGS, STRICT, keys};
use super::{BuildSite, Kind, class};
use crate::graph::NodeHandle;
use crate::node::PlanError;

/// The kind `select`.
pub(super) static KIND: Kind = Kind {
    doc: "Keeps the named columns.",
    schema: keys(
        "select",
        "Keeps the named columns; a list that is not given keeps that kind.",
        &[INPUT, KEPT_TAGS, KEPT_PACKETS, STRICT],
    ),
    class: &class::OPERATOR,
    build,
};

fn build(site: &mut BuildSite<'_>) -> Result<NodeHandle, PlanError> {
    let (tags, packets, strict) =
        (site.body.texts("tags"), site.body.texts("packets"), site.body.flag("strict"));
    site.operator(Select { tags, packets, strict })
}
