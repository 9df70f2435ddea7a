//! Reading files: types, places of faults, several files.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use anabranch_engine::types::{logical_type, parse_type};
use anabranch_nodes::source::{ArrowFile, Csv, JsonLines, Parquet, Rows, Source, SourceError};
use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::{Float64Type, Int64Type, TimestampMicrosecondType};
use serde_json::json;
use tempfile::TempDir;

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

fn read(source: &dyn Source, chunk_rows: usize) -> Result<RecordBatch, SourceError> {
    let planned = source.plan()?;
    let schema = std::sync::Arc::new(arrow::datatypes::Schema::new(planned.columns().to_vec()));
    let mut reader = planned.open(chunk_rows)?;
    let mut batches = Vec::new();
    while let Some(batch) = reader.next()? {
        assert!(batch.num_rows() <= chunk_rows, "{} rows", batch.num_rows());
        batches.push(batch);
    }
    Ok(concat_batches(&schema, &batches).expect("batches have the planned columns"))
}

/// The message with those of its causes.
fn message(error: &SourceError) -> String {
    let mut text = error.to_string();
    let mut below = error.source();
    while let Some(cause) = below {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        below = cause.source();
    }
    text
}

fn fails(source: &dyn Source) -> String {
    message(&read(source, 1_000).expect_err("was read without an error"))
}

fn types(batch: &RecordBatch) -> Vec<(String, String)> {
    let schema = batch.schema();
    schema.fields().iter().map(|f| (f.name().clone(), logical_type(f.data_type()))).collect()
}

fn type_of(batch: &RecordBatch, column: &str) -> String {
    logical_type(batch.column_by_name(column).expect("column").data_type())
}

fn folder(files: &[(&str, &[u8])]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in files {
        fs::write(folder.path().join(name), content).unwrap();
    }
    folder
}

#[test]
fn penguins_need_no_hint_but_their_null_value() {
    let penguins = read(&Csv::new(data("penguins.csv")).null_values(["NA"]), 100).unwrap();
    assert_eq!(penguins.num_rows(), 344);
    let expected = [
        ("species", "string"),
        ("island", "string"),
        ("bill_length_mm", "float64"),
        ("bill_depth_mm", "float64"),
        ("flipper_length_mm", "int64"),
        ("body_mass_g", "int64"),
        ("sex", "string"),
        ("year", "int64"),
    ];
    let expected: Vec<(String, String)> =
        expected.iter().map(|(name, data_type)| ((*name).into(), (*data_type).into())).collect();
    assert_eq!(types(&penguins), expected);
    assert_eq!(penguins.column_by_name("body_mass_g").unwrap().null_count(), 2);
    assert_eq!(penguins.column_by_name("sex").unwrap().null_count(), 11);
    let mass = penguins.column_by_name("body_mass_g").unwrap().as_primitive::<Int64Type>();
    assert_eq!(mass.iter().flatten().sum::<i64>(), 1_437_000);
}

#[test]
fn weather_and_planes_need_no_hint_but_their_null_value() {
    let weather = read(&Csv::new(data("weather.csv")).null_values(["NA"]), 8_192).unwrap();
    assert_eq!(type_of(&weather, "time_hour"), "timestamp_utc");
    assert_eq!(type_of(&weather, "wind_speed"), "float64");
    assert_eq!(type_of(&weather, "wind_dir"), "int64");
    let hours = weather.column_by_name("time_hour").unwrap().as_primitive::<TimestampMicrosecondType>();
    assert_eq!(hours.value(weather.num_rows() - 1), 1_388_388_600_000_000 - 1_800_000_000);
    let planes = read(&Csv::new(data("planes.csv")).null_values(["NA"]), 8_192).unwrap();
    assert_eq!((planes.num_rows(), type_of(&planes, "year").as_str()), (300, "int64"));
}

#[test]
fn chunk_rows_make_no_difference_to_the_rows() {
    let source = Csv::new(data("penguins.csv")).null_values(["NA"]);
    let whole = read(&source, 8_192).unwrap();
    for chunk_rows in [1, 7, 343, 344] {
        assert_eq!(read(&source, chunk_rows).unwrap(), whole);
    }
}

#[test]
fn a_value_that_does_not_fit_after_the_prefix_is_named_with_its_place_and_not_shown() {
    let lines: Vec<String> = (0..70_000).map(|id| format!("{id},{id}\n")).collect();
    let text = format!("id,value\n{}70000,\"7\n\"\n70001,secret\n", lines.concat());
    let folder = folder(&[("late.csv", text.as_bytes())]);
    let path = folder.path().join("late.csv");
    let error = fails(&Csv::new(&path));
    let expected = format!(
        "reading {}:70004:7: column \"value\" has a value of another type, expected int64; ",
        path.display()
    );
    assert!(error.starts_with(&expected), "{error}");
    assert!(error.contains("`types: { value: string }`") && !error.contains("secret"), "{error}");
    let read_as_string =
        read(&Csv::new(&path).types([("value", parse_type("string").unwrap())]), 8_192).unwrap();
    assert_eq!(read_as_string.column(1).as_string_view().value(70_001), "secret");
}

#[test]
fn records_with_too_many_or_too_few_fields_are_named_with_counts() {
    let files = folder(&[("many.csv", b"a,b\n1,2\n\n1,2,3\n"), ("few.csv", b"a,b\n\"x\ny\",2\n1\n")]);
    let many = fails(&Csv::new(files.path().join("many.csv")));
    assert!(many.contains("many.csv:4: found 3 fields, expected 2;"), "{many}");
    let few = fails(&Csv::new(files.path().join("few.csv")));
    assert!(few.contains("few.csv:4: found 1 fields, expected 2;"), "{few}");
}

#[test]
fn bytes_that_are_not_utf8_are_named_with_their_place() {
    let files =
        folder(&[("latin.csv", b"a,b\n1,caf\xe9\n"), ("latin.jsonl", b"{\"a\":1}\n{\"a\":\"\xe9\"}\n")]);
    let csv = fails(&Csv::new(files.path().join("latin.csv")));
    assert!(csv.contains("latin.csv:2:6: found bytes that are not UTF-8"), "{csv}");
    let json = fails(&JsonLines::new(files.path().join("latin.jsonl")));
    assert!(json.contains("latin.jsonl:2:7: found bytes that are not UTF-8"), "{json}");
}

#[test]
fn lines_that_end_in_carriage_returns_alone_are_lines() {
    let folder = folder(&[("old.csv", b"a,b\r1,2\r3,4\r"), ("new.csv", b"a,b\r\n1,2\r\n")]);
    assert_eq!(read(&Csv::new(folder.path().join("old.csv")), 10).unwrap().num_rows(), 2);
    assert_eq!(read(&Csv::new(folder.path().join("new.csv")), 10).unwrap().num_rows(), 1);
}

#[test]
fn options_of_csv_are_followed() {
    let files = folder(&[("own.csv", b"'a;b';1\n'it''s';\n;-\n''; 2 \n")]);
    let path = files.path().join("own.csv");
    let named = Csv::new(&path).null_values(["-"]);
    let source = Csv { header: false, delimiter: b';', quote: b'\'', ..named };
    let batch = read(&source, 10).unwrap();
    assert_eq!(types(&batch), [("column_1".into(), "string".into()), ("column_2".into(), "int64".into())]);
    let texts: Vec<_> = batch.column(0).as_string_view().iter().collect();
    assert_eq!(texts, [Some("a;b"), Some("it's"), Some(""), Some("")]);
    let numbers: Vec<_> = batch.column(1).as_primitive::<Int64Type>().iter().collect();
    assert_eq!(numbers, [Some(1), None, None, Some(2)]);
    let wrong = fails(&Csv { delimiter: b'"', ..Csv::new(&path) });
    assert!(wrong.starts_with("delimiter: found byte 34, expected one ASCII character"), "{wrong}");
}

#[test]
fn an_empty_field_is_null_and_an_empty_quoted_field_is_a_string() {
    let files =
        folder(&[("e.csv", b"s,n\n,\n\"\",1\n"), ("one.csv", b"a\n1\n\n3\n"), ("head.csv", b"a,b\n")]);
    let batch = read(&Csv::new(files.path().join("e.csv")), 10).unwrap();
    let texts: Vec<_> = batch.column(0).as_string_view().iter().collect();
    assert_eq!(texts, [None, Some("")]);
    let one = read(&Csv::new(files.path().join("one.csv")), 10).unwrap();
    let numbers: Vec<_> = one.column(0).as_primitive::<Int64Type>().iter().collect();
    assert_eq!(numbers, [Some(1), None, Some(3)]);
    let head = read(&Csv::new(files.path().join("head.csv")), 10).unwrap();
    assert_eq!((head.num_rows(), type_of(&head, "a").as_str()), (0, "string"));
}

#[test]
fn a_missing_file_is_named_as_given() {
    for source in [
        &Csv::new("no/such.csv") as &dyn Source,
        &Parquet::new("no/such.parquet"),
        &JsonLines::new("no/such.jsonl"),
        &ArrowFile::new("no/such.arrow"),
    ] {
        let error = fails(source);
        assert!(error.starts_with(&format!("opening no/such.{}", source.kind())), "{error}");
        assert!(
            error.contains("found no such file, expected a file; check the path, which was looked for in /")
        );
    }
    let error = fails(&Csv::new("no/*.csv"));
    assert!(error.contains("expected a pattern that matches at least one file"), "{error}");
}

#[test]
fn files_of_a_pattern_are_read_in_the_order_of_their_names() {
    let files = folder(&[("b.csv", b"n\n3\n4.5\n"), ("a.csv", b"n\n1\n2\n"), ("c.txt", b"n\nx\n")]);
    let batch = read(&Csv::new(files.path().join("*.csv")), 10).unwrap();
    let numbers: Vec<_> = batch.column(0).as_primitive::<Float64Type>().iter().flatten().collect();
    assert_eq!(numbers, [1.0, 2.0, 3.0, 4.5]);
}

#[test]
fn files_that_differ_are_refused_naming_file_and_column() {
    let files = folder(&[("a.csv", b"n,m\n1,1\n"), ("b.csv", b"n,o\n1,1\n")]);
    let error = fails(&Csv::new(files.path().join("*.csv")));
    assert!(error.contains("b.csv: column \"m\" is absent, expected a column as in"), "{error}");
}

#[test]
fn json_lines_become_lists_and_structs() {
    let text = br#"{"a": 1, "tags": ["x", null], "at": {"lat": 1.5}}

{"b": true, "a": null, "at": {"lon": 2}}
{"tags": [], "at": null}
"#;
    let files = folder(&[("n.jsonl", text)]);
    let batch = read(&JsonLines::new(files.path().join("n.jsonl")), 2).unwrap();
    let expected = [
        ("a", "int64"),
        ("tags", "list<string>"),
        ("at", "struct<\"lat\":float64,\"lon\":int64>"),
        ("b", "bool"),
    ];
    let expected: Vec<(String, String)> =
        expected.iter().map(|(name, data_type)| ((*name).into(), (*data_type).into())).collect();
    assert_eq!(types(&batch), expected);
    assert_eq!(batch.num_rows(), 3);
    assert_eq!(batch.column_by_name("at").unwrap().null_count(), 1);
    assert_eq!(batch.column_by_name("tags").unwrap().null_count(), 1);
    assert_eq!(batch.column_by_name("a").unwrap().null_count(), 2);
}

#[test]
fn json_values_and_keys_that_come_late_are_named_with_their_line() {
    let lines: Vec<String> = (0..66_000).map(|n| format!("{{\"n\":{n},\"o\":{{\"p\":1}}}}\n")).collect();
    let text = lines.concat();
    let late = |line: &str| folder(&[("l.jsonl", format!("{text}{line}\n").as_bytes())]);
    let cases = [
        (r#"{"n":1.5}"#, "column \"n\" has a number with a fraction or exponent, expected int64"),
        (
            r#"{"o":{"p":"secret"}}"#,
            "found a string that does not read as that type at key \"o.p\", expected int64; correct it, or name the type: `types: { o: string }`",
        ),
        (r#"{"new":1}"#, "found key \"new\", which the rows that types were inferred from do not have"),
        (r#"{"o":{"q":1}}"#, "found key \"o.q\""),
        ("[1]", "found a value that is no object"),
    ];
    for (line, expected) in cases {
        let files = late(line);
        let error = fails(&JsonLines::new(files.path().join("l.jsonl")));
        assert!(error.contains("l.jsonl:66001: ") && error.contains(expected), "{error}");
        assert!(!error.contains("secret"), "{error}");
    }
    let files = late(r#"{"n": tru}"#);
    let error = fails(&JsonLines::new(files.path().join("l.jsonl")));
    assert!(error.contains("l.jsonl:66001:10: found text that is no JSON"), "{error}");
    let files = late(r#"{"new":1}"#);
    let source = JsonLines::new(files.path().join("l.jsonl")).types([("new", parse_type("int64").unwrap())]);
    let batch = read(&source, 8_192).unwrap();
    assert_eq!(batch.column_by_name("new").unwrap().null_count(), 66_000);
}

#[test]
fn rows_are_inferred_from_all_of_them() {
    let rows = Rows::new([
        vec![("id", json!(1)), ("when", json!("2013-01-01"))],
        vec![("id", json!(2.5)), ("x", json!([1]))],
    ])
    .types([("when", parse_type("date").unwrap())]);
    let batch = read(&rows, 1).unwrap();
    assert_eq!(type_of(&batch, "id"), "float64");
    assert_eq!(type_of(&batch, "when"), "date");
    assert_eq!(type_of(&batch, "x"), "list<int64>");
    let wrong = Rows::new([[("d", json!("2013-01-01"))], [("d", json!("soon"))]])
        .types([("d", parse_type("date").unwrap())]);
    let error = message(&wrong.plan().err().unwrap());
    assert!(error.contains("rows, row 1 (counted from 0): column \"d\""), "{error}");
    assert!(!error.contains("soon"), "{error}");
}

#[test]
fn a_file_that_is_not_what_it_is_read_as_is_named() {
    let files =
        folder(&[("not.parquet", b"a,b\n1,2\n"), ("not.arrow", b"ARROW1\0\0 cut off"), ("no.csv", b"")]);
    let parquet = fails(&Parquet::new(files.path().join("not.parquet")));
    assert!(parquet.contains("not.parquet: found a file that is no Parquet file"), "{parquet}");
    let arrow = fails(&ArrowFile::new(files.path().join("not.arrow")));
    assert!(arrow.contains("not.arrow: found a file that is no Arrow IPC file"), "{arrow}");
    let csv = fails(&Csv::new(files.path().join("no.csv")));
    assert!(csv.contains("no.csv: found no line, expected a line of column names"), "{csv}");
    let directory = fails(&Csv::new(files.path()));
    assert!(directory.contains("name a file or a pattern"), "{directory}");
}

#[test]
fn compressed_files_of_every_usual_kind_are_read() {
    use arrow::ipc::CompressionType;
    use arrow::ipc::writer::{FileWriter, IpcWriteOptions};
    use parquet::basic::{BrotliLevel, Compression, GzipLevel, ZstdLevel};
    use parquet::file::properties::WriterProperties;

    let folder = TempDir::new().unwrap();
    let path = folder.path().join("rows");
    let batch =
        read(&Rows::new((0..5_000).map(|n| [("n", json!(n % 7)), ("t", json!("text"))])), 10_000).unwrap();
    let codecs = [
        Compression::UNCOMPRESSED,
        Compression::SNAPPY,
        Compression::LZ4,
        Compression::LZ4_RAW,
        Compression::GZIP(GzipLevel::default()),
        Compression::ZSTD(ZstdLevel::default()),
        Compression::BROTLI(BrotliLevel::default()),
    ];
    for codec in codecs {
        let properties = WriterProperties::builder().set_compression(codec).build();
        let file = fs::File::create(&path).unwrap();
        let mut writer =
            parquet::arrow::ArrowWriter::try_new(file, batch.schema(), Some(properties)).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        assert_eq!(read(&Parquet::new(&path), 10_000).unwrap().columns(), batch.columns(), "{codec}");
    }
    for codec in [None, Some(CompressionType::LZ4_FRAME), Some(CompressionType::ZSTD)] {
        let options = IpcWriteOptions::default().try_with_compression(codec).unwrap();
        let file = fs::File::create(&path).unwrap();
        let mut writer = FileWriter::try_new_with_options(file, &batch.schema(), options).unwrap();
        writer.write(&batch).unwrap();
        writer.finish().unwrap();
        assert_eq!(read(&ArrowFile::new(&path), 10_000).unwrap().columns(), batch.columns(), "{codec:?}");
    }
}
