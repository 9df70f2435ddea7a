//! Functions and sinks of a pipeline file.

use anabranch_engine::chunk::Columns;
use anabranch_engine::types::parse_type;
use anabranch_nodes::function::Function;
use anabranch_nodes::sink::{Format, IfExists, WriteSpec};

use super::body::Body;
use super::tree::{Node, Value};

/// The function of a checked mapping.
pub(crate) fn function(name: &str, body: Body<'_>) -> Function {
    let mut function = Function::sql(name, body.text_pairs("sql")).keep(body.flag("keep"));
    if let Some(columns) = body.texts("takes") {
        function = function.takes(columns);
    }
    if let Some(version) = body.text("version") {
        function = function.version(version);
    }
    for (output, text) in body.text_pairs("gives") {
        if let Ok(data_type) = parse_type(&text) {
            function = function.gives_type(output, data_type);
        }
    }
    function
}

/// The sink of a checked mapping; `None` where it lacks what such a mapping has.
pub(crate) fn write(body: Body<'_>) -> Option<WriteSpec> {
    let formats = [
        ("parquet", Format::Parquet),
        ("csv", Format::Csv),
        ("jsonl", Format::JsonLines),
        ("arrow", Format::Arrow),
    ];
    let (target, format) = formats.into_iter().find_map(|(key, format)| Some((body.given(key)?, format)))?;
    let Some(Node { value: Value::Path(path), .. }) = target.get("path") else { return None };
    let mut spec = WriteSpec::new(format, path);
    if body.text("columns").as_deref() == Some("all") {
        spec.columns = Columns::All;
    }
    if body.text("if_exists").as_deref() == Some("error") {
        spec.if_exists = IfExists::Error;
    }
    spec.partition_by = body.texts("partition_by").unwrap_or_default();
    Some(spec)
}
