//! Operator: puts the rows of inputs with equal columns together.

use anabranch_operators::Union;

use super::common::INPUTS;
use super::{Kind, class};
use crate::yaml::values::fields::ObjectSchema;

/// The kind `union`.
pub(super) static KIND: Kind = Kind {
    doc: "Puts the rows of inputs with equal columns together.",
    schema: ObjectSchema::new("union", "Puts the rows of inputs with equal columns together.", &[INPUTS]),
    class: &class::OPERATOR,
    build: |site| site.operator(Union),
};
