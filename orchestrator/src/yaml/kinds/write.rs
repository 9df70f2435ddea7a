//! Sink: writes rows to a file.

use anabranch_engine::chunk::Columns;
use anabranch_nodes::sink::{Format, IfExists, NonFinite, Numbers, WriteSpec};

use super::common::{COLUMNS, INPUT};
use super::{Kind, class};
use crate::yaml::values::body::Body;
use crate::yaml::values::fields::{Field, ObjectSchema, Type};

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
            Field::choice("columns", &["data", "all"], "Tags and packets only, or provenance too."),
            Field::optional("partition_by", COLUMNS, "Columns whose values become folders."),
            Field::choice("if_exists", &["replace", "error"], "What happens where the file exists."),
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
        Field::choice(
            "nan",
            &["null", "string", "error"],
            "What becomes of NaN and infinities, for which JSON has no number.",
        ),
        Field::choice(
            "exact",
            &["number", "string"],
            "The form of decimals and 64-bit integers, which keep all digits in both.",
        ),
    ],
);

/// Returns the sink of a checked mapping.
fn write(body: Body<'_>) -> WriteSpec {
    let files = [("parquet", Format::Parquet), ("csv", Format::Csv), ("arrow", Format::Arrow)];
    let file = files.into_iter().find_map(|(key, format)| Some((body.given(key)?, &TARGET, format)));
    let (target, schema, format) =
        file.unwrap_or_else(|| (body.required("jsonl"), &JSONL_TARGET, Format::JsonLines));
    let target = Body::new(Some(target), schema);
    let mut spec = WriteSpec::new(format, target.required_path("path"));
    let nan = [("null", NonFinite::Null), ("string", NonFinite::String), ("error", NonFinite::Error)];
    spec.json.nan = target.choice("nan", &nan).unwrap_or(spec.json.nan);
    let exact = target.choice("exact", &[("string", Numbers::String)]);
    spec.json.exact = exact.unwrap_or(spec.json.exact);
    spec.columns = body.choice("columns", &[("all", Columns::All)]).unwrap_or(spec.columns);
    spec.if_exists = body.choice("if_exists", &[("error", IfExists::Error)]).unwrap_or(spec.if_exists);
    spec.partition_by = body.texts("partition_by").unwrap_or_default();
    spec
}
