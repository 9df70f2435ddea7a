//! Function: computes new columns from each packet.

use std::path::PathBuf;

use anabranch_nodes::function::{Command, CommandWire, Function, Python};

use super::common::{COLUMNS, INPUT, TYPE_MAP, column_types};
use super::none::NONE;
use super::{BuildSite, Kind, class};
use crate::yaml::values::body::{Body, set};
use crate::yaml::values::fields::{Fallback, Field, MapType, ObjectSchema, Type};
use crate::yaml::values::literals::literal;

/// The kind `function`.
pub(super) static KIND: Kind = Kind {
    doc: "Computes new columns from each packet.",
    schema: ObjectSchema::new("function", "Computes outputs from each packet; outcomes are kept in the store.", &[
            INPUT,
            Field::alternative(
                "sql",
                Type::Map(&MapType { what: "output", value: Type::Expression, named: false }),
                "SQL expression of each output; parameters bind as literals.",
            ),
            Field::alternative(
                "python",
                Type::Record(&PYTHON),
                "A function in a Python file, called in processes of the interpreter.",
            ),
            Field::alternative("command", Type::Record(&COMMAND), "A program that computes packets."),
            Field::optional(
                "takes",
                COLUMNS,
                "Packet columns that are taken; where they are not given, those that sql or each name, or all.",
            ),
            Field::optional("gives", TYPE_MAP, "Types of the outputs."),
            NONE,
            Field::optional("version", Type::Text, "One more component of the function's identity."),
            Field::switch("keep", false, "Whether the outputs are added to the packet."),
        ]).choice("form"),
    class: &class::FUNCTION,
    build: |site| site.pipeline.function(site.name, site.input(), function(site)),
};

static PYTHON: ObjectSchema = ObjectSchema::new(
    "python",
    "A function in a Python file: one keyword argument per taken column and per constant of `with`; gives a dict of the outputs, or the only output's value.",
    &[
        Field::required("file", Type::Path, "The file."),
        Field::required("call", Type::Text, "Name of the function."),
        Field::optional("interpreter", Type::Text, "The interpreter: a name along PATH, or a path.")
            .or(Fallback::Text("python3")),
        Field::optional(
            "lock",
            Type::Path,
            "File whose bytes are part of the identity: versions of packages.",
        ),
        Field::choice(
            "environment",
            &["recorded", "strict"],
            "Whether versions of the interpreter and its packages are part of the identity (strict).",
        ),
        Field::optional("setup", Type::Text, "Function that is called once per worker."),
        Field::switch("chunk", false, "Whether the function gets and gives a pyarrow.RecordBatch."),
        Field::optional(
            "files",
            Type::List(&Type::Text),
            "Files that the code reads, whose bytes are part of the identity: data, modules that calls import.",
        ),
        Field::optional(
            "with",
            Type::Map(&MapType { what: "keyword", value: Type::Scalar, named: false }),
            "Constants that each call gets as keywords; part of the identity.",
        ),
        NONE,
    ],
);

static COMMAND: ObjectSchema = ObjectSchema::new("command", "A program that computes packets: a long-lived one, or one call per packet.", &[
        Field::alternative("run", Type::List(&Type::Text), "Program and arguments of a long-lived process."),
        Field::alternative(
            "each",
            Type::List(&Type::Text),
            "Program and arguments of a call per packet: {column} is a value, {out.NAME} the file of an output.",
        ),
        Field::choice("wire", &["jsonl", "arrow"], "What a long-lived program reads and writes."),
        Field::optional(
            "files",
            Type::List(&Type::Text),
            "Files whose bytes are part of the identity, beside the program and those that arguments name.",
        ),
    ]).choice("form");

/// Returns the function of a checked mapping.
fn function(site: &BuildSite<'_>) -> Function {
    let (name, body) = (site.name, site.body);
    let function = if let Some(given) = body.given("python") {
        Function::python(name, python(Body::new(Some(given), &PYTHON), site))
    } else if let Some(given) = body.given("command") {
        Function::command(name, command(Body::new(Some(given), &COMMAND), site))
    } else {
        Function::sql(name, body.text_pairs("sql"))
    };
    let function = function.keep(body.flag("keep")).hide_variables(site.secrets);
    let function = set(function, body.texts("takes"), Function::takes);
    let mut function = set(function, body.text("version"), Function::version);
    for (output, data_type) in column_types(body, "gives") {
        function = function.gives_type(output, data_type);
    }
    function
}

fn python(body: Body<'_>, site: &BuildSite<'_>) -> Python {
    let python = Python::new(absolute(body.required_path("file")), body.required_text("call"))
        .interpreter(body.required_text("interpreter"))
        .files(body.texts("files").unwrap_or_default())
        .folder(site.folder);
    let python = set(python, body.path("lock").map(absolute), Python::lock);
    let mut python = set(python, body.text("setup"), Python::setup);
    for (keyword, value) in body.scalar_pairs("with") {
        python = python.with(keyword, literal(&value));
    }
    python.strict = body.text("environment").as_deref() == Some("strict");
    python.chunk = body.flag("chunk");
    python.none = site.none;
    python
}

fn command(body: Body<'_>, site: &BuildSite<'_>) -> Command {
    let mut command = match body.texts("run") {
        Some(arguments) => Command::run(arguments),
        None => Command::each(body.required_texts("each")),
    };
    let wires = [("jsonl", CommandWire::JsonLines), ("arrow", CommandWire::Arrow)];
    command.wire = body.choice("wire", &wires).unwrap_or_default();
    command.files(body.texts("files").unwrap_or_default()).folder(site.folder)
}

/// Returns a path that is valid in a worker's working folder too. It stays relative if the working folder is gone.
fn absolute(path: PathBuf) -> PathBuf {
    std::path::absolute(&path).unwrap_or(path)
}
