//! Operator: puts rows together into rows of lists.

use anabranch_operators::Batch;

use super::common::{COLUMNS, INPUT};
use super::{Kind, class};
use crate::yaml::values::fields::{Field, ObjectSchema, Type};

/// The kind `batch`.
pub(super) static KIND: Kind = Kind {
    doc: "Puts rows together into rows of lists.",
    schema: ObjectSchema::new(
        "batch",
        "Puts rows together into rows of lists, by number or by the values of tags.",
        &[
            INPUT,
            Field::optional("size", Type::Integer { least: 0, most: i64::MAX }, "Rows in a list; 0 for all."),
            Field::switch("drop_partial", false, "Whether a last list of fewer rows goes."),
            Field::optional("by", COLUMNS, "Tags whose values make a row each."),
            Field::switch(
                "allow_unordered",
                false,
                "Whether rows without an order may be batched by number; runs may differ then.",
            ),
        ],
    ),
    class: &class::OPERATOR,
    build: |site| {
        let body = site.body;
        site.operator(Batch {
            size: body.count("size"),
            drop_partial: body.flag("drop_partial"),
            by: body.texts("by"),
            allow_unordered: body.flag("allow_unordered"),
        })
    },
};
