//! Source: files of separated values.

use anabranch_nodes::source::{Csv, Ragged};

use super::Kind;
use super::common::{COLUMNS, FORMATS, INPUT_PATH, RECORD_ID, SOURCE_ID, TAGS, TYPES, with_options};
use crate::yaml::values::body::Body;
use crate::yaml::values::fields::{Fallback, Field, Type};

/// The kind `csv`.
pub(super) static KIND: Kind = Kind::source(
    "csv",
    "Source: a file of separated values.",
    "A file of separated values.",
    &[
        INPUT_PATH,
        TAGS,
        RECORD_ID,
        SOURCE_ID,
        TYPES,
        Field::optional("delimiter", Type::Character, "Character between fields.").or(Fallback::Text(",")),
        Field::switch("header", true, "Whether the first line names the columns."),
        Field::optional("quote", Type::Character, "Character around fields.").or(Fallback::Text("\"")),
        Field::optional(
            "null_values",
            Type::Either(&[Type::Text, COLUMNS]),
            "Texts that stand for null; the unquoted empty field where they are not given.",
        ),
        Field::optional("comment", Type::Text, "Text that lines which are left out begin with."),
        Field::optional(
            "skip_rows",
            Type::Integer { least: 0, most: i64::MAX },
            "Lines at the beginning of each file that are left out, before the header.",
        )
        .or(Fallback::Integer(0)),
        Field::optional(
            "encoding",
            Type::Text,
            "Encoding of the files: utf-8, utf-16, latin1, windows-1252, or another of the web's names.",
        )
        .or(Fallback::Text("utf-8")),
        Field::choice(
            "ragged",
            &["error", "null"],
            "Treatment of lines with fewer fields than there are columns: an error, or nulls for those missing.",
        ),
        Field::optional("columns", COLUMNS, "Names of the columns by position, in place of the header's."),
        FORMATS,
    ],
    |site| site.source(with_options!(csv(site.body), site)),
);

fn csv(body: Body<'_>) -> Csv {
    let byte = |key: &str| body.text(key).and_then(|text| text.bytes().next());
    let ragged = [("error", Ragged::Error), ("null", Ragged::Null)];
    let lines = body.integer("skip_rows").and_then(|lines| u64::try_from(lines).ok());
    let csv = Csv::new(body.required_path("path"));
    Csv {
        header: body.flag("header"),
        delimiter: byte("delimiter").unwrap_or(csv.delimiter),
        quote: byte("quote").unwrap_or(csv.quote),
        null_values: body.texts("null_values").unwrap_or(csv.null_values),
        comment: body.text("comment"),
        skip_rows: lines.unwrap_or(csv.skip_rows),
        encoding: body.text("encoding"),
        columns: body.texts("columns"),
        ragged: body.choice("ragged", &ragged).unwrap_or(csv.ragged),
        formats: body.text_pairs("formats").into_iter().collect(),
        path: csv.path,
        options: csv.options,
    }
}
