//! Operator: keeps one row for each value of columns.

use anabranch_operators::Distinct;

use super::common::{COLUMNS, INPUT};
use super::{Kind, class};
use crate::yaml::values::fields::{Field, ObjectSchema};

/// The kind `distinct`.
pub(super) static KIND: Kind = Kind {
    doc: "Keeps one row for each value of columns.",
    schema: ObjectSchema::new(
        "distinct",
        "Keeps one row for each value of the named columns; the first where rows have an order.",
        &[
            INPUT,
            Field::optional("by", COLUMNS, "Tag and packet columns; all of them where they are not given."),
        ],
    ),
    class: &class::OPERATOR,
    build: |site| site.operator(site.body.texts("by").map_or_else(Distinct::new, Distinct::by)),
};
