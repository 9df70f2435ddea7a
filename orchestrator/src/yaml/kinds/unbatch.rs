//! Operator: makes a row of each item of lists.

use anabranch_operators::Unbatch;

use super::common::{INPUT, keys};
use super::{BuildSite, Kind, class};
use crate::graph::NodeHandle;
use crate::node::PlanError;

/// The kind `unbatch`.
pub(super) static KIND: Kind = Kind {
    doc: "Makes a row of each item of lists.",
    schema: keys("unbatch", "Makes a row of each item of the lists of a row.", &[INPUT]),
    class: &class::OPERATOR,
    build,
};

fn build(site: &mut BuildSite<'_>) -> Result<NodeHandle, PlanError> {
    site.operator(Unbatch::new())
}
