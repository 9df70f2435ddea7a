//! Operator: orders rows by tags.

use anabranch_operators::Sort;

use super::common::{COLUMNS, INPUT};
use super::{Kind, class};
use crate::yaml::values::fields::{Field, ObjectSchema};

/// The kind `sort`.
pub(super) static KIND: Kind = Kind {
    doc: "Orders rows by tags.",
    schema: ObjectSchema::new(
        "sort",
        "Orders rows by tags, nulls last.",
        &[INPUT, Field::required("by", COLUMNS, "Tags to order by, the first one first.")],
    ),
    class: &class::OPERATOR,
    build: |site| site.operator(Sort::by(site.body.required_texts("by"))),
};
