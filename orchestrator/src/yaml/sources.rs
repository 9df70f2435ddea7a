//! Sources of a pipeline file.

use anabranch_engine::types::parse_type;
use anabranch_nodes::source::{ArrowFile, Csv, JsonLines, Parquet, Ragged, Rows, SourceError};
use arrow::datatypes::DataType;

use super::body::Body;
use super::tree::{Node, Scalar, Value};
use crate::derived::Derived;
use crate::graph::{NodeHandle, Pipeline};
use crate::node::PlanError;

/// What the builders of all sources have in common.
macro_rules! with_options {
    ($source:expr, $body:expr, $cumulative:expr) => {{
        let mut source = $source.tags($body.texts("tags").unwrap_or_default());
        source = source.record_id($body.texts("record_id").unwrap_or_default());
        source = source.types(types($body)).cumulative($cumulative);
        match $body.text("source_id") {
            Some(source_id) => source.source_id(source_id),
            None => source,
        }
    }};
}

/// Adds a source by its kind; `None` where it lacks what a checked mapping has.
pub(crate) fn add(
    pipeline: &mut Pipeline,
    name: &str,
    kind: &str,
    body: Body<'_>,
    cumulative: bool,
) -> Option<Result<NodeHandle, PlanError>> {
    Some(match kind {
        "csv" => pipeline.source(name, with_options!(csv(body)?, body, cumulative)),
        "parquet" => pipeline.source(name, with_options!(Parquet::new(body.path("path")?), body, cumulative)),
        "jsonl" => pipeline.source(name, with_options!(json_lines(body)?, body, cumulative)),
        "arrow" => pipeline.source(name, with_options!(ArrowFile::new(body.path("path")?), body, cumulative)),
        "rows" => match rows(body) {
            Ok(rows) => pipeline.source(name, with_options!(rows, body, cumulative)),
            Err(error) => Err(PlanError::new(name, error.to_string())),
        },
        "derived" => pipeline.source(name, derived(body)?),
        _ => return None,
    })
}

fn csv(body: Body<'_>) -> Option<Csv> {
    let byte = |key: &str| body.text(key).and_then(|text| text.bytes().next());
    let mut csv = Csv::new(body.path("path")?).header(body.flag("header"));
    if let Some(delimiter) = byte("delimiter") {
        csv = csv.delimiter(delimiter);
    }
    if let Some(quote) = byte("quote") {
        csv = csv.quote(quote);
    }
    if let Some(texts) = body.texts("null_values") {
        csv = csv.null_values(texts);
    }
    if let Some(comment) = body.text("comment") {
        csv = csv.comment(comment);
    }
    if let Some(lines) = body.integer("skip_rows").and_then(|lines| u64::try_from(lines).ok()) {
        csv = csv.skip_rows(lines);
    }
    if let Some(encoding) = body.text("encoding") {
        csv = csv.encoding(encoding);
    }
    if body.text("ragged").as_deref() == Some("null") {
        csv = csv.ragged(Ragged::Null);
    }
    if let Some(names) = body.texts("columns") {
        csv = csv.columns(names);
    }
    Some(csv.formats(body.text_pairs("formats")))
}

fn json_lines(body: Body<'_>) -> Option<JsonLines> {
    let json_lines = JsonLines::new(body.path("path")?).rename(body.text_pairs("rename"));
    Some(json_lines.formats(body.text_pairs("formats")))
}

fn derived(body: Body<'_>) -> Option<Derived> {
    let mut derived = Derived::new(body.path("store")?, body.text("pipeline")?, body.text("node")?);
    if let Some(run) = body.text("run") {
        derived = derived.run(run);
    }
    if let Some(source_id) = body.text("source_id") {
        derived = derived.source_id(source_id);
    }
    Some(derived)
}

fn rows(body: Body<'_>) -> Result<Rows, SourceError> {
    let rows = body.given("rows").map(Node::items).unwrap_or_default();
    Rows::from_json(rows.iter().map(|row| {
        let mut text = String::new();
        push_json(row, &mut text);
        text
    }))
}

fn types(body: Body<'_>) -> Vec<(String, DataType)> {
    let pairs = body.text_pairs("types");
    pairs.into_iter().filter_map(|(column, text)| Some((column, parse_type(&text).ok()?))).collect()
}

/// Appends a value of an inline row as JSON, in which numbers keep their digits. The recursion is bounded
/// by the depth of the file.
fn push_json(node: &Node, text: &mut String) {
    match &node.value {
        Value::Scalar(Scalar::Null) | Value::Path(_) => text.push_str("null"),
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
