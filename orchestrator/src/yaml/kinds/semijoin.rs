//! Operator: keeps left rows that have a match.

use anabranch_operators::Semijoin;

use super::common::{LEFT, RIGHT, keys};
use super::{BuildSite, Kind, class};
use crate::graph::NodeHandle;
use crate::node::PlanError;

/// The kind `semijoin`.
pub(super) static KIND: Kind = Kind {
    doc: "Keeps left rows that have a match.",
    schema: keys(
        "semijoin",
        "Keeps left rows that match a right one on all columns of a common name.",
        &[LEFT, RIGHT],
    ),
    class: &class::OPERATOR,
    build,
};

fn build(site: &mut BuildSite<'_>) -> Result<NodeHandle, PlanError> {
    site.operator(Semijoin::new())
}
