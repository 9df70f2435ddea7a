//! Operator: keeps left rows that have no match.

use anabranch_operators::Antijoin;

use super::Kind;
use super::common::{LEFT, RIGHT};

/// The kind `antijoin`.
pub(super) static KIND: Kind = Kind::operator(
    "antijoin",
    "Keeps left rows that have no match.",
    "Keeps left rows that match no right one on all columns of a common name.",
    &[LEFT, RIGHT],
    |site| site.operator(Antijoin),
);
