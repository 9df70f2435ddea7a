//! The same rows in other files: equal packet hashes, everything is reused.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::format_push_string,
    reason = "a test that cannot go on panics, and its numbers are small"
)]

mod support;

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

use anabranch::{ArrowFile, Csv, Function, JsonLines, Parquet, Pipeline, Rows, Store, Summary};
use arrow::array::*;
use arrow::datatypes::*;
use arrow::ipc::writer::FileWriter;
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;
use support::store;

const ROWS: usize = 3_000;

fn text(row: usize) -> Option<String> {
    (!row.is_multiple_of(11)).then(|| format!("{} of some length", row % 40))
}

/// Microseconds, naive; whole seconds, so that every unit can say them.
fn time(row: usize) -> i64 {
    (1_357_000_000 + i64::try_from(row % 50).unwrap() * 3_600) * 1_000_000
}

fn columns() -> Vec<(&'static str, ArrayRef)> {
    let rows = 0..ROWS;
    vec![
        ("id", Arc::new(rows.clone().map(|r| Some(i64::try_from(r).unwrap())).collect::<Int64Array>())),
        ("text", Arc::new(rows.clone().map(text).collect::<StringArray>())),
        ("number", Arc::new(rows.clone().map(|r| Some((r % 70) as f64 * 0.5)).collect::<Float64Array>())),
        ("time", Arc::new(rows.map(|r| Some(time(r))).collect::<TimestampMicrosecondArray>())),
    ]
}

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, c)| (n, c, true))).unwrap()
}

fn cast(column: &ArrayRef, to: &DataType) -> ArrayRef {
    arrow::compute::cast(column, to).unwrap()
}

/// The rows with other physical types and another order of columns.
fn other_forms(text: &DataType, time: &DataType) -> RecordBatch {
    let columns = columns();
    let get = |name: &str| columns.iter().find(|(n, _)| *n == name).map(|(_, c)| Arc::clone(c)).unwrap();
    batch(vec![
        ("time", cast(&get("time"), time)),
        ("number", get("number")),
        ("text", cast(&get("text"), text)),
        ("id", get("id")),
    ])
}

fn write_parquet(path: &Path, batch: &RecordBatch, row_group: usize) {
    let properties = WriterProperties::builder().set_max_row_group_row_count(Some(row_group)).build();
    let mut writer =
        ArrowWriter::try_new(File::create(path).unwrap(), batch.schema(), Some(properties)).unwrap();
    writer.write(batch).unwrap();
    writer.close().unwrap();
}

fn write_arrow(path: &Path, batch: &RecordBatch, size: usize) {
    let mut writer = FileWriter::try_new(File::create(path).unwrap(), &batch.schema()).unwrap();
    for start in (0..ROWS).step_by(size) {
        writer.write(&batch.slice(start, size.min(ROWS - start))).unwrap();
    }
    writer.finish().unwrap();
}

fn write_texts(folder: &Path) {
    let mut csv = String::from("number,id,time,text\n");
    let mut jsonl = String::new();
    for row in 0..ROWS {
        let number = (row % 70) as f64 * 0.5;
        let stamp = TimestampMicrosecondArray::from(vec![time(row)]).value_as_datetime(0).unwrap();
        let stamp = stamp.format("%Y-%m-%dT%H:%M:%S");
        csv.push_str(&format!("{number:?},{row},{stamp},{}\n", text(row).unwrap_or_default()));
        let text = text(row).map_or("null".into(), |t| format!("\"{t}\""));
        jsonl.push_str(&format!(
            "{{\"text\":{text},\"time\":\"{stamp}\",\"id\":{row},\"number\":{number:?}}}\n"
        ));
    }
    File::create(folder.join("rows.csv")).unwrap().write_all(csv.as_bytes()).unwrap();
    File::create(folder.join("rows.jsonl")).unwrap().write_all(jsonl.as_bytes()).unwrap();
}

fn run(source: impl FnOnce(&mut Pipeline) -> anabranch::NodeHandle, store: &Store) -> Summary {
    let mut p = Pipeline::new("forms");
    let source = source(&mut p);
    let sql = [("half", "number / 2"), ("day", "CAST(time AS DATE)"), ("size", "LENGTH(text)")];
    let half = Function::sql("half", sql);
    p.function("half", source, half.takes(["text", "number", "time"])).unwrap();
    p.run(store).unwrap()
}

#[test]
fn the_same_rows_in_other_files_and_forms_compute_nothing() {
    let (folder, store) = store();
    let folder = folder.path();
    write_texts(folder);
    write_parquet(&folder.join("plain.parquet"), &batch(columns()), 10_000);
    let dictionary = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
    let milliseconds = DataType::Timestamp(TimeUnit::Millisecond, None);
    let nanoseconds = DataType::Timestamp(TimeUnit::Nanosecond, None);
    let seconds = DataType::Timestamp(TimeUnit::Second, None);
    write_parquet(&folder.join("dictionary.parquet"), &other_forms(&dictionary, &milliseconds), 100);
    write_arrow(&folder.join("large.arrow"), &other_forms(&DataType::LargeUtf8, &nanoseconds), 7);
    write_arrow(&folder.join("view.arrow"), &other_forms(&DataType::Utf8View, &seconds), 999);

    let first = run(|p| p.source("rows", Csv::new(folder.join("rows.csv")).tags(["id"])).unwrap(), &store);
    let computed = first.node("half").unwrap().function.unwrap().computed;
    assert!(computed > 1_000, "only {computed} distinct packets");

    let parquet = |name: &str| Parquet::new(folder.join(name)).tags(["id"]);
    let arrow = |name: &str| ArrowFile::new(folder.join(name)).tags(["id"]);
    let lines = JsonLines::new(folder.join("rows.jsonl")).tags(["id"]);
    let lines = lines.types([("time", DataType::Timestamp(TimeUnit::Microsecond, None))]);
    let inline = Rows::from_batches(vec![batch(columns())]).tags(["id"]);
    let others: Vec<(&str, Summary)> = vec![
        ("plain parquet", run(|p| p.source("rows", parquet("plain.parquet")).unwrap(), &store)),
        ("dictionaries, ms", run(|p| p.source("rows", parquet("dictionary.parquet")).unwrap(), &store)),
        ("large strings, ns", run(|p| p.source("rows", arrow("large.arrow")).unwrap(), &store)),
        ("string views, s", run(|p| p.source("rows", arrow("view.arrow")).unwrap(), &store)),
        ("json lines", run(|p| p.source("rows", lines).unwrap(), &store)),
        ("in memory", run(|p| p.source("rows", inline).unwrap(), &store)),
    ];
    for (form, summary) in others {
        let function = summary.node("half").unwrap().function.unwrap();
        assert_eq!((function.computed, function.reused), (0, ROWS as u64), "{form}");
    }
}
