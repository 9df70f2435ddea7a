//! Operator: removes the named columns.

use anabranch_operators::DropColumns;

use super::common::{INPUT, KEPT_PACKETS, KEPT_TAGS, STRICT, keys};
use super::{BuildSite, Kind, class};
use crate::graph::NodeHandle;
use crate::node::PlanError;

/// The kind `drop`.
pub(super) static KIND: Kind = Kind {
    doc: "Removes the named columns.",
    schema: keys("drop", "Removes the named columns.", &[INPUT, KEPT_TAGS, KEPT_PACKETS, STRICT]),
    class: &class::OPERATOR,
    build,
};

fn build(site: &mut BuildSite<'_>) -> Result<NodeHandle, PlanError> {
    let (tags, packets, strict) =
        (site.body.texts("tags"), site.body.texts("packets"), site.body.flag("strict"));
    site.operator(DropColumns { tags, packets, strict })
}
