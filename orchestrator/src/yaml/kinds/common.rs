//! Fields, types and readers that several kinds share.

use anabranch_engine::types::parse_type;
use arrow::datatypes::DataType;

use crate::yaml::values::body::Body;
use crate::yaml::values::fields::{Field, MapType, Type};

/// The node whose rows come in.
pub(super) const INPUT: Field =
    Field::required("input", Type::NodeName, "Name of the node whose rows come in.");
/// The nodes whose rows come in.
pub(super) const INPUTS: Field =
    Field::required("inputs", Type::List(&Type::NodeName), "Names of the nodes whose rows come in.");
pub(super) const PATH: Field =
    Field::required("path", Type::Path, "The file, or files by a pattern (in the order of their names).");
pub(super) const INPUT_PATH: Field = Field::required(
    "path",
    Type::Input,
    "The file, or files by a pattern (in the order of their names); plain, or compressed by gzip or zstd; - is standard input.",
);
pub(super) const FORMATS: Field = Field::optional(
    "formats",
    RENAMES,
    "Formats of dates and times by column, in the directives of strptime: \"%d.%m.%Y\". A column's type follows from its format.",
);
pub(super) const TAGS: Field =
    Field::optional("tags", COLUMNS, "Columns that say who and where; the others are packet columns.");
pub(super) const RECORD_ID: Field = Field::optional(
    "record_id",
    COLUMNS,
    "Columns that identify a row; its position where they are not given.",
);
pub(super) const SOURCE_ID: Field = Field::optional(
    "source_id",
    Type::Text,
    "Name in the rows' provenance; the node's name where it is not given.",
);
pub(super) const TYPES: Field = Field::optional(
    "types",
    TYPE_MAP,
    "Types of columns, in place of those that the source has or that are inferred.",
);
pub(super) const COLUMNS: Type = Type::List(&Type::Text);
pub(super) const TYPE_MAP: Type = Type::Map(&MapType { what: "column", value: Type::OfColumn, named: false });
pub(super) const RENAMES: Type = Type::Map(&MapType { what: "column", value: Type::Text, named: false });
pub(super) const KEPT_TAGS: Field = Field::optional("tags", COLUMNS, "Tag columns.");
pub(super) const KEPT_PACKETS: Field = Field::optional("packets", COLUMNS, "Packet columns.");
pub(super) const STRICT: Field =
    Field::switch("strict", true, "Whether a name that the input lacks is an error.");
pub(super) const CROSS: Field = Field::switch("cross", false, "Whether inputs may share no tag.");
pub(super) const LEFT: Field =
    Field::required("left", Type::NodeName, "Name of the node whose rows are kept or left out.");
pub(super) const RIGHT: Field =
    Field::required("right", Type::NodeName, "Name of the node whose rows decide.");

/// Reads the types of columns under a key.
pub(super) fn column_types(body: Body<'_>, key: &str) -> Vec<(String, DataType)> {
    let read = |(column, name): (String, String)| match parse_type(&name) {
        Ok(data_type) => (column, data_type),
        Err(error) => panic!("type \"{name}\" has passed the checks and cannot be read: {error}"),
    };
    body.text_pairs(key).into_iter().map(read).collect()
}

/// Sets the options that all file sources and inline rows have.
macro_rules! with_options {
    ($source:expr, $site:expr) => {{
        let body = $site.body;
        let source = $source
            .tags(body.texts("tags").unwrap_or_default())
            .record_id(body.texts("record_id").unwrap_or_default())
            .types($crate::yaml::kinds::common::column_types(body, "types"))
            .cumulative($site.cumulative);
        $crate::yaml::values::body::set(source, body.text("source_id"), |source, id| source.source_id(id))
    }};
}
pub(super) use with_options;
