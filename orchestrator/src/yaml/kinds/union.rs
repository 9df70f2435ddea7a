//! Operator: puts the rows of inputs with equal columns together.

use anabranch_operators::Union;

use super::Kind;
use super::common::INPUTS;

/// The kind `union`.
pub(super) static KIND: Kind = Kind::operator(
    "union",
    "Puts the rows of inputs with equal columns together.",
    "Puts the rows of inputs with equal columns together.",
    &[INPUTS],
    |site| site.operator(Union),
);
