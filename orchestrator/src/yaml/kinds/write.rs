//! Sink: writes rows to a file.

use anabranch_engine::chunk::Columns;
use anabranch_nodes::sink::{Format, IfExists, NonFinite, Numbers, WriteSpec};

use super::common::{COLUMNS, INPUT, keys};
use super::{BuildSite, Kind, class};
use crate::graph::NodeHandle;
use crate::node::PlanError;
use crate::yaml::values::body::Body;
use crate::yaml::values::fields::{Fallback, Field, ObjectSchema, Type, word};

/// The kind `write`.
pub(super) static KIND: Kind = Kind {
    doc: "Sink: writes rows to a file.",
    schema: ObjectSchema {
        name: "write",
        doc: "Writes rows to a file, beside its place, and renames it when it is complete.",
        choice: "format",
        named: false,
        fields: &[
            INPUT,
            Field::alternative("parquet", Type::Record(&TARGET), "A Parquet file."),
            Field::alternative("csv", Type::Record(&TARGET), "A file of separated values."),
            Field::alternative("jsonl", Type::Record(&JSONL_TARGET), "A file with one JSON object per line."),
            Field::alternative("arrow", Type::Record(&TARGET), "An Arrow IPC file."),
            Field::optional(
                "columns",
                Type::Choice(&[word("data"), word("all")]),
                "Tags and packets only, or provenance too.",
            )
            .or(Fallback::Text("data")),
            Field::optional("partition_by", COLUMNS, "Columns whose values become folders."),
            Field::optional(
                "if_exists",
                Type::Choice(&[word("replace"), word("error")]),
                "What happens where the file exists.",
            )
            .or(Fallback::Text("replace")),
        ],
    },
    class: &class::SINK,
    build,
};

static TARGET: ObjectSchema =
    keys("target", "Where a sink writes.", &[Field::required("path", Type::Path, "The file to write.")]);

static JSONL_TARGET: ObjectSchema = keys(
    "jsonl_target",
    "Where a sink writes lines of JSON.",
    &[
        Field::required("path", Type::Path, "The file to write."),
        Field::optional(
            "nan",
            Type::Choice(&[word("null"), word("string"), word("error")]),
            "What becomes of NaN and infinities, for which JSON has no number.",
        )
        .or(Fallback::Text("null")),
        Field::optional(
            "exact",
            Type::Choice(&[word("number"), word("string")]),
            "The form of decimals and 64-bit integers, which keep all digits in both.",
        )
        .or(Fallback::Text("number")),
    ],
);

fn build(site: &mut BuildSite<'_>) -> Result<NodeHandle, PlanError> {
    site.pipeline.write(site.name, site.input(), write(site.body))
}

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
