//! Operator: keeps left rows that have a match.

use anabranch_operators::Semijoin;

use super::Kind;
use super::common::{LEFT, RIGHT};

/// The kind `semijoin`.
pub(super) static KIND: Kind = Kind::operator(
    "semijoin",
    "Keeps left rows that have a match.",
    "Keeps left rows that match a right one on all columns of a common name.",
    &[LEFT, RIGHT],
    |site| site.operator(Semijoin),
);
