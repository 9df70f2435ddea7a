//! Operator: joins inputs on all tags that they share.

use anabranch_operators::Join;

use super::common::{CROSS, INPUTS, keys};
use super::{BuildSite, Kind, class};
use crate::graph::NodeHandle;
use crate::node::PlanError;

/// The kind `join`.
pub(super) static KIND: Kind = Kind {
    doc: "Joins inputs on all tags that they share.",
    schema: keys("join", "Joins inputs on all tags that they share.", &[INPUTS, CROSS]),
    class: &class::OPERATOR,
    build,
};

fn build(site: &mut BuildSite<'_>) -> Result<NodeHandle, PlanError> {
    site.operator(Join::new().cross(site.body.flag("cross")))
}
