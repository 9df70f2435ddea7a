//! Operator: keeps rows that fulfil a condition.

use anabranch_operators::Filter;

use super::Kind;
use super::common::INPUT;
use crate::yaml::values::body::Body;
use crate::yaml::values::fields::{Field, MapType, Type};
use crate::yaml::values::literals::literal;

/// The kind `filter`.
pub(super) static KIND: Kind = Kind::operator(
    "filter",
    "Keeps rows that fulfil a condition.",
    "Keeps rows for which the condition is true.",
    &[
        INPUT,
        Field::optional(
            "where",
            Type::Expression,
            "SQL condition over the columns; parameters bind as literals.",
        ),
        Field::optional(
            "equals",
            Type::Map(&MapType { what: "column", value: Type::Scalar, named: false }),
            "Values that columns must have.",
        ),
    ],
    |site| site.operator(filter(site.body)),
);

fn filter(body: Body<'_>) -> Filter {
    let equals = body.scalar_pairs("equals").into_iter().map(|(column, value)| (column, literal(&value)));
    let filter = body.text("where").map_or_else(Filter::new, Filter::predicate);
    filter.and_equals(equals)
}
