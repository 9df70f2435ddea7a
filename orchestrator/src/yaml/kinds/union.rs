//! Operator: puts the rows of inputs with equal columns together.

use anabranch_operators::Union;

use super::common::{INPUTS, keys};
use super::{BuildSite, Kind, class};
use crate::graph::NodeHandle;
use crate::node::PlanError;

/// The kind `union`.
pub(super) static KIND: Kind = Kind {
    doc: "Puts the rows of inputs with equal columns together.",
    schema: keys("union", "Puts the rows of inputs with equal columns together.", &[INPUTS]),
    class: &class::OPERATOR,
    build,
};

fn build(site: &mut BuildSite<'_>) -> Result<NodeHandle, PlanError> {
    site.operator(Union::new())
}
