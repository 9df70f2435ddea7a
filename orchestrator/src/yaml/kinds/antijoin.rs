//! Operator: keeps left rows that have no match.

use anabranch_operators::Antijoin;

use super::common::{LEFT, RIGHT};
use super::{Kind, class};
use crate::yaml::values::fields::ObjectSchema;

/// The kind `antijoin`.
pub(super) static KIND: Kind = Kind {
    doc: "Keeps left rows that have no match.",
    schema: ObjectSchema::new(
        "antijoin",
        "Keeps left rows that match no right one on all columns of a common name.",
        &[LEFT, RIGHT],
    ),
    class: &class::OPERATOR,
    build: |site| site.operator(Antijoin),
};
