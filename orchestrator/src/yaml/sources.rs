//! Sources of a pipeline file.

use anabranch_engine::types::parse_type;
use anabranch_nodes::source::{ArrowFile, Csv, JsonLines, Parquet, Rows};
use arrow::datatypes::DataType;
use serde_json::Value as Json;

use super::body::Body;
use super::tree::{Node, Scalar, Value};
use crate::derived::Derived;
use crate::pipeline::{NodeHandle, Pipeline};
use crate::plan_error::PlanError;

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
        "jsonl" => pipeline.source(name, with_options!(JsonLines::new(body.path("path")?), body, cumulative)),
        "arrow" => pipeline.source(name, with_options!(ArrowFile::new(body.path("path")?), body, cumulative)),
        "rows" => pipeline.source(name, with_options!(rows(body), body, cumulative)),
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
    Some(csv)
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

fn rows(body: Body<'_>) -> Rows {
    let row = |row: &Node| -> Vec<(String, Json)> {
        row.entries().iter().map(|e| (e.key.clone(), json(&e.value))).collect()
    };
    Rows::new(body.given("rows").map(Node::items).unwrap_or_default().iter().map(row))
}

fn types(body: Body<'_>) -> Vec<(String, DataType)> {
    let pairs = body.text_pairs("types");
    pairs.into_iter().filter_map(|(column, text)| Some((column, parse_type(&text).ok()?))).collect()
}

/// The value of an inline row. The recursion is bounded by the depth of the file.
fn json(node: &Node) -> Json {
    match &node.value {
        Value::Scalar(Scalar::Null) | Value::Path(_) => Json::Null,
        Value::Scalar(Scalar::Bool(value)) => Json::Bool(*value),
        Value::Scalar(Scalar::Integer(value)) => Json::from(*value),
        Value::Scalar(Scalar::Float(value)) => Json::from(*value),
        Value::Scalar(Scalar::Text(text)) => Json::String(text.clone()),
        Value::Sequence(items) => Json::Array(items.iter().map(json).collect()),
        Value::Mapping(entries) => {
            Json::Object(entries.iter().map(|e| (e.key.clone(), json(&e.value))).collect())
        }
    }
}
