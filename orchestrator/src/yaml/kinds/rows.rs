//! Source: rows written in the pipeline file.

use anabranch_nodes::source::{Rows, SourceError};

use super::Kind;
use super::common::{RECORD_ID, SOURCE_ID, TAGS, TYPES, with_options};
use crate::node::PlanError;
use crate::yaml::values::body::Body;
use crate::yaml::values::fields::{Field, MapType, Type};
use crate::yaml::values::tree::{Scalar, Value, YamlNode};

/// The kind `rows`.
pub(super) static KIND: Kind = Kind::source(
    "rows",
    "Source: rows written here.",
    "Rows written in the pipeline file.",
    &[
        Field::required(
            "rows",
            Type::List(&Type::Map(&MapType { what: "column", value: Type::Data, named: false })),
            "The rows, each a mapping from column to value.",
        ),
        TAGS,
        RECORD_ID,
        SOURCE_ID,
        TYPES,
    ],
    |site| {
        let rows = rows(site.body).map_err(|error| PlanError::new(site.name, error.to_string()))?;
        site.source(with_options!(rows, site))
    },
);

fn rows(body: Body<'_>) -> Result<Rows, SourceError> {
    let rows = body.required("rows").items();
    Rows::from_json(rows.iter().map(|row| {
        let mut text = String::new();
        push_json(row, &mut text);
        text
    }))
}

/// Appends a value of an inline row as JSON, in which numbers keep their digits. The recursion is bounded
/// by the depth of the file.
fn push_json(node: &YamlNode, text: &mut String) {
    match &node.value {
        Value::Path(path) => panic!("{} must not be a path, as it is a value of a row", path.display()),
        Value::Scalar(Scalar::Null) => text.push_str("null"),
        Value::Scalar(Scalar::Bool(value)) => text.push_str(if *value { "true" } else { "false" }),
        Value::Scalar(Scalar::Integer(value)) => text.push_str(&value.to_string()),
        Value::Scalar(Scalar::Number(number)) => text.push_str(&number.json()),
        Value::Scalar(Scalar::Text(value)) => push_string(value, text),
        Value::Sequence(items) => {
            text.push('[');
            for (at, item) in items.iter().enumerate() {
                text.push_str(if at == 0 { "" } else { "," });
                push_json(item, text);
            }
            text.push(']');
        }
        Value::Mapping(entries) => {
            text.push('{');
            for (at, entry) in entries.iter().enumerate() {
                text.push_str(if at == 0 { "" } else { "," });
                push_string(&entry.key, text);
                text.push(':');
                push_json(&entry.value, text);
            }
            text.push('}');
        }
    }
}

fn push_string(value: &str, text: &mut String) {
    text.push_str(&serde_json::Value::from(value).to_string());
}
