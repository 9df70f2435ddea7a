//! Sink: writes rows to a file.

use anabranch_engine::chunk::Columns;
use anabranch_nodes::sink::{Format, IfExists, NonFinite, Numbers, WriteSpec};

use super::common::{COLUMNS, INPUT};
use super::{Kind, class};
use crate::yaml::values::body::Body;
use crate::yaml::values::fields::{Fallback, Field, ObjectSchema, Type};

/// The kind `write`.
pub(super) static KIND: Kind = Kind {
    doc: "Sink: writes rows to a file.",
    schema: ObjectSchema::new(
        "write",
        "Writes rows to a file, beside its place, and renames it when it is complete.",
        &[
            INPUT,
            Field::alternative("parquet", Type::Record(&TARGET), "A Parquet file."),
            Field::alternative("csv", Type::Record(&TARGET), "A file of separated values."),
            Field::alternative("jsonl", Type::Record(&JSONL_TARGET), "A file with one JSON object per line."),
            Field::alternative("arrow", Type::Record(&TARGET), "An Arrow IPC file."),
            Field::optional(
                "columns",
                Type::Choice(&["data", "all"]),
                "Tags and packets only, or provenance too.",
            )
            .or(Fallback::Text("data")),
            Field::optional("partition_by", COLUMNS, "Columns whose values become folders."),
            Field::optional(
                "if_exists",
                Type::Choice(&["replace", "error"]),
                "What happens where the file exists.",
            )
            .or(Fallback::Text("replace")),
        ],
    )
    .choice("format"),
    class: &class::SINK,
    build: |site| site.pipeline.write(site.name, site.input(), write(site.body)),
};

static TARGET: ObjectSchema = ObjectSchema::new(
    "target",
    "Where a sink writes.",
    &[Field::required("path", Type::Path, "The file to write.")],
);

static JSONL_TARGET: ObjectSchema = ObjectSchema::new(
    "jsonl_target",
    "Where a sink writes lines of JSON.",
    &[
        Field::required("path", Type::Path, "The file to write."),
        Field::optional(
            "nan",
            Type::Choice(&["null", "string", "error"]),
            "What becomes of NaN and infinities, for which JSON has no number.",
        )
        .or(Fallback::Text("null")),
        Field::optional(
            "exact",
            Type::Choice(&["number", "string"]),
            "The form of decimals and 64-bit integers, which keep all digits in both.",
        )
        .or(Fallback::Text("number")),
    ],
);

/// Returns the sink of a checked mapping.
fn write(body: Body<'_>) -> WriteSpec {
    let (target, schema, format) = if let Some(target) = body.given("parquet") {
        (target, &TARGET, Format::Parquet)
    } else if let Some(target) = body.given("csv") {
        (target, &TARGET, Format::Csv)
    } else if let Some(target) = body.given("arrow") {
        (target, &TARGET, Format::Arrow)
    } else {
        (body.required("jsonl"), &JSONL_TARGET, Format::JsonLines)
    };
    let target = Body::new(Some(target), schema);
    let mut spec = WriteSpec::new(format, target.required_path("path"));
    spec.json.nan = match target.text("nan").as_deref() {
        Some("string") => NonFinite::String,
        Some("error") => NonFinite::Error,
        _ => NonFinite::Null,
    };
    if target.text("exact").as_deref() == Some("string") {
        spec.json.exact = Numbers::String;
    }
    if body.text("columns").as_deref() == Some("all") {
        spec.columns = Columns::All;
    }
    if body.text("if_exists").as_deref() == Some("error") {
        spec.if_exists = IfExists::Error;
    }
    spec.partition_by = body.texts("partition_by").unwrap_or_default();
    spec
}
