//! Operator: puts rows together into rows of lists.

use anabranch_operators::Batch;

use super::Kind;
use super::common::{COLUMNS, INPUT};
use crate::yaml::values::fields::{Field, Type};

/// The kind `batch`.
pub(super) static KIND: Kind = Kind::operator(
    "batch",
    "Puts rows together into rows of lists.",
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
    |site| {
        let body = site.body;
        site.operator(Batch {
            size: body.count("size"),
            drop_partial: body.flag("drop_partial"),
            by: body.texts("by"),
            allow_unordered: body.flag("allow_unordered"),
        })
    },
);
