//! Operator: renames columns.

use anabranch_operators::Map;

use super::Kind;
use super::common::{INPUT, RENAMES, STRICT};
use crate::yaml::values::fields::Field;

/// The kind `map`.
pub(super) static KIND: Kind = Kind::operator(
    "map",
    "Renames and copies columns.",
    "Renames columns, each from its old name to a new one, and copies them.",
    &[
        INPUT,
        Field::optional("tags", RENAMES, "New names of tag columns by their old ones."),
        Field::optional("packets", RENAMES, "New names of packet columns by their old ones."),
        Field::optional(
            "copy",
            RENAMES,
            "Columns whose values become new packet columns, by the new names; tags too.",
        ),
        Field::switch("drop_unmapped", false, "Whether columns that are not named go."),
        STRICT,
    ],
    |site| {
        let body = site.body;
        site.operator(Map {
            tags: body.text_pairs("tags").into_iter().collect(),
            packets: body.text_pairs("packets").into_iter().collect(),
            copies: body.text_pairs("copy").into_iter().collect(),
            drop_unmapped: body.flag("drop_unmapped"),
            strict: body.flag("strict"),
        })
    },
);
