//! Operator: keeps left rows that have no match.

use anabranch_operators::Antijoin;

use super::common::{LEFT, RIGHT, keys};
use super::{BuildSite, Kind, class};
use crate::graph::NodeHandle;
use crate::node::PlanError;

/// The kind `antijoin`.
pub(super) static KIND: Kind = Kind {
    doc: "Keeps left rows that have no match.",
    schema: keys(
        "antijoin",
        "Keeps left rows that match no right one on all columns of a common name.",
        &[LEFT, RIGHT],
    ),
    class: &class::OPERATOR,
    build,
};

fn build(site: &mut BuildSite<'_>) -> Result<NodeHandle, PlanError> {
    site.operator(Antijoin::new())
}
