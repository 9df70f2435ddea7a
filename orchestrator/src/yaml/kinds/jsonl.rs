//! Source: files with one JSON object per line.

use anabranch_nodes::source::JsonLines;

use super::Kind;
use super::common::{FORMATS, INPUT_PATH, RECORD_ID, SOURCE_ID, TAGS, TYPES, with_options};
use crate::yaml::values::body::Body;
use crate::yaml::values::fields::{Field, MapType, Type};

/// The kind `jsonl`.
pub(super) static KIND: Kind = Kind::source(
    "jsonl",
    "Source: a file with one JSON object per line.",
    "A file with one JSON object per line.",
    &[
        INPUT_PATH,
        TAGS,
        RECORD_ID,
        SOURCE_ID,
        TYPES,
        FORMATS,
        Field::optional(
            "rename",
            Type::Map(&MapType { what: "key", value: Type::Text, named: false }),
            "Columns for keys of another name: {\"_id\": id}.",
        ),
    ],
    |site| site.source(with_options!(json_lines(site.body), site)),
);

fn json_lines(body: Body<'_>) -> JsonLines {
    let json_lines = JsonLines::new(body.required_path("path")).rename(body.text_pairs("rename"));
    json_lines.formats(body.text_pairs("formats"))
}
