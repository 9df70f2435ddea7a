//! Operator: keeps one row for each value of columns.

use anabranch_operators::Distinct;

use super::Kind;
use super::common::{COLUMNS, INPUT};
use crate::yaml::values::fields::Field;

/// The kind `distinct`.
pub(super) static KIND: Kind = Kind::operator(
    "distinct",
    "Keeps one row for each value of columns.",
    "Keeps one row for each value of the named columns; the first where rows have an order.",
    &[INPUT, Field::optional("by", COLUMNS, "Tag and packet columns; all of them where they are not given.")],
    |site| site.operator(site.body.texts("by").map_or_else(Distinct::new, Distinct::by)),
);
