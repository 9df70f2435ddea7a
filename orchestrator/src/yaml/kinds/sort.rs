//! Operator: orders rows by tags.

use anabranch_operators::Sort;

use super::Kind;
use super::common::{COLUMNS, INPUT};
use crate::yaml::values::fields::Field;

/// The kind `sort`.
pub(super) static KIND: Kind = Kind::operator(
    "sort",
    "Orders rows by tags.",
    "Orders rows by tags, nulls last.",
    &[INPUT, Field::required("by", COLUMNS, "Tags to order by, the first one first.")],
    |site| site.operator(Sort::by(site.body.required_texts("by"))),
);
