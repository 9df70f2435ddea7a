//! Operator: makes a row of each item of lists.

use anabranch_operators::Unbatch;

use super::Kind;
use super::common::INPUT;

/// The kind `unbatch`.
pub(super) static KIND: Kind = Kind::operator(
    "unbatch",
    "Makes a row of each item of lists.",
    "Makes a row of each item of the lists of a row.",
    &[INPUT],
    |site| site.operator(Unbatch),
);
