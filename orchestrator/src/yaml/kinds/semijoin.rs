//! Operator: keeps left rows that have a match.

use anabranch_operators::Semijoin;

use super::common::{LEFT, RIGHT};
use super::{Kind, class};
use crate::yaml::values::fields::ObjectSchema;

/// The kind `semijoin`.
pub(super) static KIND: Kind = Kind {
    doc: "Keeps left rows that have a match.",
    schema: ObjectSchema::new(
        "semijoin",
        "Keeps left rows that match a right one on all columns of a common name.",
        &[LEFT, RIGHT],
    ),
    class: &class::OPERATOR,
    build: |site| site.operator(Semijoin),
};
