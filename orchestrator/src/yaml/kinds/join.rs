//! Operator: joins inputs on all tags that they share.

use anabranch_operators::Join;

use super::common::{CROSS, INPUTS};
use super::{Kind, class};
use crate::yaml::values::fields::ObjectSchema;

/// The kind `join`.
pub(super) static KIND: Kind = Kind {
    doc: "Joins inputs on all tags that they share.",
    schema: ObjectSchema::new("join", "Joins inputs on all tags that they share.", &[INPUTS, CROSS]),
    class: &class::OPERATOR,
    build: |site| site.operator(Join { cross: site.body.flag("cross") }),
};
