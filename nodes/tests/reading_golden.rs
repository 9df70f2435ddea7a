//! Holds what sources make of their files to what they made of them before.

#![expect(clippy::unwrap_used, clippy::format_push_string, reason = "tests")]

use std::fmt::Write as _;

use anabranch_engine::types::logical_type;
use anabranch_nodes::source::{Csv, JsonLines, READING_REVISION, Source};
use arrow::util::display::array_value_to_string;

/// Columns whose type is not obvious; each is a file of its own, in CSV and in JSON lines.
const COLUMNS: [&[&str]; 24] = [
    &["1", "-9223372036854775808", "9223372036854775807"],
    &["1", "18446744073709551615"],
    &["-1", "18446744073709551615"],
    &["18446744073709551616"],
    &["9007199254740992", "0.5"],
    &["9007199254740993", "0.5"],
    &["1.50", "2"],
    &["1e3", "-2.5E-3"],
    &["1e400"],
    &["007"],
    &["+7"],
    &["true", "false"],
    &["true", "1"],
    &["\"NaN\"", "\"1.5\""],
    &["\"2024-02-29\"", "\"0001-01-01\""],
    &["\"2023-02-29\""],
    &["\"2024-01-01T00:00:00\"", "\"2024-01-01 12:30:00.123456\""],
    &["\"2024-01-01T00:00:00Z\"", "\"2024-01-01T02:00:00.5+02:00\""],
    &["\"2024-01-01T00:00:00Z\"", "\"2024-01-01T00:00:00\""],
    &["\"12:30:00\""],
    &["\"\"", "\"x\""],
    &["\"NA\"", "1"],
    &["\"1\"", "\"2\""],
    &["null", "1"],
];

fn told(source: &dyn Source) -> String {
    let read = || {
        let planned = source.plan()?;
        let mut told: Vec<String> = planned.columns().iter().map(|f| logical_type(f.data_type())).collect();
        let mut reader = planned.open(100)?;
        while let Some(batch) = reader.next()? {
            for (column, told) in batch.columns().iter().zip(&mut told) {
                for row in 0..batch.num_rows() {
                    let value = array_value_to_string(column, row).unwrap();
                    let shown = if column.is_null(row) { "-" } else { &value };
                    write!(told, " [{shown}]").unwrap();
                }
            }
        }
        Ok::<_, anabranch_nodes::source::SourceError>(told.join("; "))
    };
    read().unwrap_or_else(|error| format!("error: {}", error.to_string().replace(['\n', '\r'], " ")))
}

#[test]
fn sources_make_of_their_files_what_they_made_before() {
    assert_eq!(READING_REVISION, 2, "raised together with a change of what is read");
    let folder = tempfile::tempdir().unwrap();
    let mut found = String::new();
    for (number, values) in COLUMNS.iter().enumerate() {
        let (csv, json) =
            (folder.path().join(format!("{number}.csv")), folder.path().join(format!("{number}.jsonl")));
        std::fs::write(&csv, format!("x\n{}\n", values.join("\n"))).unwrap();
        let lines: Vec<String> = values.iter().map(|value| format!("{{\"x\": {value}}}")).collect();
        std::fs::write(&json, lines.join("\n")).unwrap();
        let place = format!("{}/", folder.path().display());
        for (kind, told) in [("csv", told(&Csv::new(csv))), ("jsonl", told(&JsonLines::new(json)))] {
            found += &format!("{kind} {}: {}\n", values.join(" "), told.replace(&place, ""));
        }
    }
    assert_eq!(found, include_str!("reading.golden"), "{found}");
}
