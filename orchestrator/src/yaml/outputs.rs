//! Functions and sinks of a pipeline file.

use std::path::Path;

use anabranch_engine::chunk::Columns;
use anabranch_engine::types::parse_type;
use anabranch_nodes::function::{Command, CommandWire, Function, NoneOutput, Python};
use anabranch_nodes::sink::{Format, IfExists, NonFinite, Numbers, WriteSpec};

use super::body::Body;
use super::fields::{Shape, Type};
use super::kinds;
use super::literals::literal;
use super::tree::{Node, Value};

/// What surrounds a function in its file.
pub(crate) struct Around<'a> {
    /// The folder that relative paths start from.
    pub(crate) folder: &'a Path,
    /// Environment variables that hold secrets.
    pub(crate) secrets: &'a [String],
    /// What None in place of a Python function's outputs stands for.
    pub(crate) none: NoneOutput,
}

/// The function of a checked mapping; `None` where it lacks what such a mapping has.
pub(crate) fn function(name: &str, body: Body<'_>, around: &Around<'_>) -> Option<Function> {
    let function = if let Some(given) = body.given("python") {
        Function::python(name, python(Body::new(Some(given), shape_under("python")?), around)?)
    } else if let Some(given) = body.given("command") {
        Function::command(name, command(Body::new(Some(given), shape_under("command")?), around)?)
    } else {
        Function::sql(name, body.text_pairs("sql"))
    };
    let mut function = function.keep(body.flag("keep")).hide_variables(around.secrets);
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
    Some(function)
}

fn shape_under(form: &str) -> Option<&'static Shape> {
    shape_of("function", form)
}

/// The shape of the mapping under a key of a kind of node.
fn shape_of(kind: &str, key: &str) -> Option<&'static Shape> {
    match kinds::shape(kind)?.field(key)?.value {
        Type::Record(shape) => Some(shape),
        _ => None,
    }
}

fn python(body: Body<'_>, around: &Around<'_>) -> Option<Python> {
    let mut python = Python::new(std::path::absolute(body.path("file")?).ok()?, body.text("call")?)
        .interpreter(body.text("interpreter")?)
        .strict_environment(body.text("environment").as_deref() == Some("strict"))
        .chunk(body.flag("chunk"));
    if let Some(lock) = body.path("lock") {
        python = python.lock(std::path::absolute(lock).ok()?);
    }
    if let Some(setup) = body.text("setup") {
        python = python.setup(setup);
    }
    for (keyword, value) in body.scalar_pairs("with") {
        python = python.with(keyword, literal(&value));
    }
    Some(python.none(around.none).files(body.texts("files").unwrap_or_default()).folder(around.folder))
}

fn command(body: Body<'_>, around: &Around<'_>) -> Option<Command> {
    let command = match (body.texts("run"), body.texts("each")) {
        (Some(arguments), None) => Command::run(arguments),
        (None, Some(arguments)) => Command::each(arguments),
        _ => return None,
    };
    let wire = if body.text("wire").as_deref() == Some("arrow") {
        CommandWire::Arrow
    } else {
        CommandWire::JsonLines
    };
    Some(command.wire(wire).files(body.texts("files").unwrap_or_default()).folder(around.folder))
}

/// The sink of a checked mapping; `None` where it lacks what such a mapping has.
pub(crate) fn write(body: Body<'_>) -> Option<WriteSpec> {
    let formats = [
        ("parquet", Format::Parquet),
        ("csv", Format::Csv),
        ("jsonl", Format::JsonLines),
        ("arrow", Format::Arrow),
    ];
    let (key, target, format) =
        formats.into_iter().find_map(|(key, format)| Some((key, body.given(key)?, format)))?;
    let Some(Node { value: Value::Path(path), .. }) = target.get("path") else { return None };
    let mut spec = WriteSpec::new(format, path);
    let options = Body::new(Some(target), shape_of("write", key)?);
    spec.json.nan = match options.text("nan").as_deref() {
        Some("string") => NonFinite::String,
        Some("error") => NonFinite::Error,
        _ => NonFinite::Null,
    };
    if options.text("exact").as_deref() == Some("string") {
        spec.json.exact = Numbers::String;
    }
    if body.text("columns").as_deref() == Some("all") {
        spec.columns = Columns::All;
    }
    if body.text("if_exists").as_deref() == Some("error") {
        spec.if_exists = IfExists::Error;
    }
    spec.partition_by = body.texts("partition_by").unwrap_or_default();
    Some(spec)
}
