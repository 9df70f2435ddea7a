//! Operator: joins two inputs; packet columns of both become lists.

use anabranch_operators::MergeJoin;

use super::common::{CROSS, INPUTS, keys};
use super::{BuildSite, Kind, class};
use crate::graph::NodeHandle;
use crate::node::PlanError;

/// The kind `merge_join`.
pub(super) static KIND: Kind = Kind {
    doc: "Joins two inputs; packet columns of both become lists.",
    schema: keys(
        "merge_join",
        "Joins two inputs on all tags that they share; packet columns of both become lists of two.",
        &[INPUTS, CROSS],
    ),
    class: &class::OPERATOR,
    build,
};

fn build(site: &mut BuildSite<'_>) -> Result<NodeHandle, PlanError> {
    site.operator(MergeJoin::new().cross(site.body.flag("cross")))
}
