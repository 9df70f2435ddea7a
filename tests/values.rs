//! Values come through as they stand in their files, and expressions answer by them, in both executors.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::format_push_string,
    reason = "a test that cannot go on panics, and its numbers are small"
)]

mod support;

use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;

use anabranch::{Executor, Format, Pipeline, RunOptions, WriteSpec};
use arrow::array::{
    ArrayRef, BinaryArray, Date32Array, Decimal128Array, Float32Array, Int64Array, RecordBatch, StringArray,
    StructArray, TimestampMicrosecondArray, TimestampMillisecondArray, TimestampNanosecondArray, UInt64Array,
};
use arrow::datatypes::{DataType, Field};
use parquet::arrow::ArrowWriter;
use support::{read_arrow, store, told};

/// Rows of a pipeline's node, or the reason why there are none; the same by both executors.
fn answers(folder: &Path, nodes: &str, node: &str) -> Result<Vec<String>, String> {
    let file = folder.join("pipeline.yaml");
    fs::write(&file, format!("version: 1\nname: values\nnodes:\n{nodes}")).unwrap();
    let both = [Executor::Async, Executor::Sync].map(|executor| {
        let mut pipeline = Pipeline::from_yaml(&file).map_err(|error| told(&error))?;
        pipeline.settings_mut().executor = executor;
        let (_folder, store) = store();
        let path = folder.join("answers.arrow");
        let outputs = vec![(pipeline.node(node).unwrap(), WriteSpec::new(Format::Arrow, &path))];
        pipeline.run_with(&store, &RunOptions { outputs, ..RunOptions::default() }).map_err(|e| told(&e))?;
        Ok(read_arrow(&path))
    });
    let [one, other] = both;
    assert_eq!(one, other, "the executors differ");
    one
}

/// The rows of a node, which has some.
fn rows(folder: &Path, nodes: &str, node: &str) -> Vec<String> {
    answers(folder, nodes, node).unwrap_or_else(|error| panic!("{nodes}\n{error}"))
}

/// The numbers of the rows of `in.parquet` for which a condition holds.
fn ids(folder: &Path, condition: &str) -> Vec<String> {
    let nodes = format!(
        "  in: {{ parquet: {{ path: in.parquet, tags: [id] }} }}\n  kept: {{ filter: {{ input: in, where: \"{condition}\" }} }}\n  ids: {{ select: {{ input: kept, packets: [] }} }}\n"
    );
    rows(folder, &nodes, "ids").iter().map(|row| row.trim_start_matches("id=").to_owned()).collect()
}

/// Value of an expression for each row of `in.parquet`.
fn values(folder: &Path, expression: &str) -> Result<Vec<String>, String> {
    let nodes = format!(
        "  in: {{ parquet: {{ path: in.parquet, tags: [id] }} }}\n  computed: {{ function: {{ input: in, sql: {{ v: \"{expression}\" }} }} }}\n"
    );
    let rows = answers(folder, &nodes, "computed")?;
    Ok(rows.iter().map(|row| row.split_once("|v=").unwrap().1.to_owned()).collect())
}

/// `in.parquet`, with rows numbered from 1.
fn parquet(columns: &[(&str, ArrayRef)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let rows = i64::try_from(columns[0].1.len()).unwrap();
    let id: ArrayRef = Arc::new(Int64Array::from_iter_values(1..=rows));
    let columns =
        [("id", id)].into_iter().chain(columns.iter().map(|(name, array)| (*name, Arc::clone(array))));
    write(&folder.path().join("in.parquet"), columns);
    folder
}

fn write<'a>(path: &Path, columns: impl IntoIterator<Item = (&'a str, ArrayRef)>) {
    let batch = RecordBatch::try_from_iter_with_nullable(
        columns.into_iter().map(|(name, array)| (name, array, true)),
    );
    let batch = batch.unwrap();
    let mut writer = ArrowWriter::try_new(File::create(path).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

fn decimals(values: &[i128], precision: u8, scale: i8) -> ArrayRef {
    let array = Decimal128Array::from_iter_values(values.iter().copied());
    Arc::new(array.with_precision_and_scale(precision, scale).unwrap())
}

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

#[test]
fn a_literal_is_compared_as_the_float32_beside_it() {
    let folder = parquet(&[("x", Arc::new(Float32Array::from(vec![12.1, 0.1, 700.3, f32::NAN])))]);
    let kept = |condition| ids(folder.path(), condition);
    assert_eq!(kept("x = 0.1"), ["2"]);
    assert_eq!(kept("x IN (0.1, 700.3)"), ["2", "3"]);
    assert_eq!(kept("x <= 12.1"), ["1", "2"]);
    assert_eq!(kept("x > 12.1"), ["3", "4"], "NaN is above all numbers");
    assert_eq!(kept("x BETWEEN 0.1 AND 12.1"), ["1", "2"]);
    assert_eq!(kept("x <> 700.3"), ["1", "2", "4"]);
}

#[test]
fn infinities_and_nan_are_floats_where_the_type_says_so_and_text_elsewhere() {
    let folder = folder(&[("in.csv", "name,x\nnan,-INF\ninf,+Infinity\nNULL,nan\nab,-1e3\n,\n")]);
    let nodes = "  in: { csv: { path: in.csv, types: { x: float64 } } }\n";
    let expected = [
        "name=nan|x=-inf",
        "name=inf|x=inf",
        "name=NULL|x=NaN",
        "name=ab|x=-1000.0",
        "name=\u{2205}|x=\u{2205}",
    ];
    assert_eq!(rows(folder.path(), nodes, "in"), expected);
    let nodes = "  in: { csv: { path: in.csv, null_values: [\"NULL\", \"\"] } }\n";
    assert_eq!(
        rows(folder.path(), nodes, "in")[2],
        "name=\u{2205}|x=NaN",
        "what is inferred takes the same texts"
    );
}

#[test]
fn whole_quotients_and_remainders_cut_towards_zero() {
    let folder = parquet(&[("n", Arc::new(Int64Array::from(vec![-9, 9, -8, 0])))]);
    let all = |expression| values(folder.path(), expression).unwrap();
    assert_eq!(all("n // 4"), ["-2", "2", "-2", "0"]);
    assert_eq!(all("n % 4"), ["-1", "1", "0", "0"]);
    assert_eq!(all("MOD(n, -4)"), ["-1", "1", "0", "0"]);
    assert_eq!(all("7 // n"), ["0", "0", "0", "\u{2205}"]);
    assert_eq!(ids(folder.path(), "n % 2 = 1"), ["2"]);
}

#[test]
fn decimals_keep_every_digit_of_what_is_computed_of_them() {
    let folder =
        parquet(&[("d", decimals(&[3, 125, -99_999], 12, 2)), ("r", decimals(&[175, 1, 10_000], 6, 4))]);
    let all = |expression| values(folder.path(), expression).unwrap();
    assert_eq!(all("d * d"), ["0.0009", "1.5625", "999980.0001"]);
    assert_eq!(all("d * (1 + r)"), ["0.030525", "1.250125", "-1999.980000"]);
    assert_eq!(all("d + r"), ["0.0475", "1.2501", "-998.9900"]);
    assert_eq!(all("ROUND(d, 1)"), ["0.00", "1.30", "-1000.00"]);
    assert_eq!(ids(folder.path(), "d * d = 0.0009"), ["1"]);
    assert_eq!(ids(folder.path(), "d BETWEEN 0.02 + 0.01 AND 1.5 - 0.25"), ["1", "2"]);
    assert_eq!(ids(folder.path(), "d IN (0.03, 1.2500, 7)"), ["1", "2"]);
    let large = parquet(&[("d", decimals(&[10_i128.pow(37), 5], 38, 0))]);
    let error = values(large.path(), "d * d").unwrap_err();
    assert!(error.contains("a number beyond the range of its type") && error.contains("row_0"), "{error}");
}

#[test]
fn points_in_time_compare_as_instants_whatever_their_units() {
    let nanos = vec![1_699_999_999_999_999_999, 1_700_000_000_000_000_000, -1];
    let folder = parquet(&[
        ("n", Arc::new(TimestampNanosecondArray::from(nanos))),
        (
            "u",
            Arc::new(TimestampMicrosecondArray::from(vec![1_699_999_999_999_999, 1_700_000_000_000_000, 0])),
        ),
        ("m", Arc::new(TimestampMillisecondArray::from(vec![253_402_300_799_999, 1_700_000_000_000, -1]))),
        ("d", Arc::new(Date32Array::from(vec![2_932_896, 19_675, 0]))),
    ]);
    assert_eq!(ids(folder.path(), "n = u"), ["2"]);
    assert_eq!(ids(folder.path(), "n > u"), ["1"]);
    assert_eq!(ids(folder.path(), "n < m"), ["1"]);
    assert_eq!(ids(folder.path(), "n < d"), ["1", "3"]);
    assert_eq!(ids(folder.path(), "n = '2023-11-14T22:13:20'"), ["2"]);
    assert_eq!(ids(folder.path(), "d = '9999-12-31' OR n < '1970-01-01'"), ["1", "3"]);
    assert_eq!(values(folder.path(), "EXTRACT(epoch FROM m)").unwrap()[0], "253402300799.999");
    let error = values(folder.path(), "CASE WHEN d > 'tomorrow' THEN 1 END").unwrap_err();
    assert!(error.contains("expected a date as '2024-12-31'"), "{error}");
}

#[test]
fn integers_of_either_sign_meet_by_value() {
    const LARGE: u64 = (1 << 53) + 1;
    let folder = parquet(&[
        ("u", Arc::new(UInt64Array::from(vec![Some(LARGE), Some(u64::MAX), None]))),
        ("i", Arc::new(Int64Array::from(vec![LARGE.cast_signed() - 1, -1, 7]))),
    ]);
    assert_eq!(ids(folder.path(), "u = i"), Vec::<String>::new());
    assert_eq!(ids(folder.path(), "u > i"), ["1", "2"]);
    assert_eq!(ids(folder.path(), "u IN (9007199254740992, 5, -1)"), Vec::<String>::new());
    assert_eq!(ids(folder.path(), "u = 18446744073709551615"), ["2"]);
    assert_eq!(ids(folder.path(), "i = 9007199254740992.0"), ["1"]);
    let all = |expression| values(folder.path(), expression).unwrap();
    assert_eq!(all("COALESCE(u, i)"), ["9007199254740993", "18446744073709551615", "7"]);
    assert_eq!(all("CASE WHEN i < 0 THEN u ELSE i END"), ["9007199254740992", "18446744073709551615", "7"]);
    let error = values(folder.path(), "u + i").unwrap_err();
    assert!(error.contains("expected integers that one type holds"), "{error}");
}

#[test]
fn narrow_integers_do_not_wrap() {
    let rows = "[ { id: 1, n: 100, s: 30000, u: 200 }, { id: 2, n: -128, s: -32768, u: 0 } ]";
    let nodes = |expression: &str| {
        format!(
            "  in: {{ rows: {{ tags: [id], types: {{ n: int8, s: int16, u: uint8 }}, rows: {rows} }} }}\n  computed: {{ function: {{ input: in, sql: {{ v: \"{expression}\" }} }} }}\n"
        )
    };
    let folder = tempfile::tempdir().unwrap();
    for (expression, record) in [
        ("n + n", "row_0"),
        ("s * s", "row_0"),
        ("u - 1", "row_1"),
        ("-n", "row_1"),
        ("ABS(s)", "row_1"),
        ("CAST(u AS TINYINT)", "row_0"),
    ] {
        let error = answers(folder.path(), &nodes(expression), "computed").unwrap_err();
        assert!(error.contains(&format!("in::{record}")), "{expression}: {error}");
    }
    let guarded = rows_of(folder.path(), &nodes("CASE WHEN n > 0 THEN n - 100 ELSE n END"));
    assert_eq!(guarded, ["0", "-128"]);
    assert_eq!(rows_of(folder.path(), &nodes("TRY_CAST(u AS TINYINT)")), ["\u{2205}", "0"]);
}

/// The values `v` of the node `computed`.
fn rows_of(folder: &Path, nodes: &str) -> Vec<String> {
    rows(folder, nodes, "computed").iter().map(|row| row.split_once("|v=").unwrap().1.to_owned()).collect()
}

#[test]
fn numbers_of_json_lines_keep_their_digits() {
    let folder = folder(&[
        ("a.jsonl", "{\"k\": 12345678901234567891, \"a\": 1}\n{\"k\": 12345678901234567890, \"a\": 2}\n"),
        ("b.jsonl", "{\"k\": 12345678901234567890, \"b\": 3}\n{\"k\": 123456789012345678901, \"b\": 4}\n"),
        (
            "d.jsonl",
            "{\"d\": 0.123456789012345678, \"t\": 1.10, \"m\": 9007199254740993}\n{\"d\": 1e2, \"t\": 7, \"m\": 0.5}\n",
        ),
    ]);
    let declared = "  in: { jsonl: { path: d.jsonl, types: { d: \"decimal(38,18)\", t: string } } }\n";
    let expected = ["d=0.123456789012345678|m=9007199254740993|t=1.10", "d=100.000000000000000000|m=0.5|t=7"];
    assert_eq!(rows(folder.path(), declared, "in"), expected);
    let joined = "  a: { jsonl: { path: a.jsonl, tags: [k], types: { k: string } } }\n  b: { jsonl: { path: b.jsonl, tags: [k] } }\n  both: { join: { inputs: [a, b] } }\n";
    assert_eq!(rows(folder.path(), joined, "both"), ["a=2|b=3|k=12345678901234567890"]);
}

#[test]
fn quoted_fields_are_inferred_like_others() {
    let folder = folder(&[
        ("q.csv", "\"id\",\"v\",\"t\"\n\"1\",\"2.5\",\"\"\n\"2\",\"3\",\"x\"\n"),
        ("n.csv", "id,w\n1,10\n2,20\n"),
    ]);
    let nodes = "  q: { csv: { path: q.csv, tags: [id] } }\n  n: { csv: { path: n.csv, tags: [id] } }\n  j: { join: { inputs: [q, n] } }\n  f: { filter: { input: j, where: \"v > 2.5 AND w = 20\" } }\n";
    assert_eq!(rows(folder.path(), nodes, "j"), ["id=1|t=|v=2.5|w=10", "id=2|t=x|v=3.0|w=20"]);
    assert_eq!(rows(folder.path(), nodes, "f").len(), 1);
}

#[test]
fn bytes_that_are_no_text_name_their_row_and_structs_go_by_their_names() {
    let folder = parquet(&[("b", Arc::new(BinaryArray::from(vec![&b"ab"[..], b"\xff", b"c"])))]);
    let nodes = "  in: { parquet: { path: in.parquet, tags: [id], types: { b: string } } }\n  ok: { filter: { input: in, where: \"id <> 2\" } }\n";
    let error = answers(folder.path(), nodes, "ok").unwrap_err();
    assert!(error.contains("in.parquet") && error.contains("row 1"), "{error}");
    let field = |name: &str, data_type| Arc::new(Field::new(name, data_type, true));
    let (x, y): (ArrayRef, ArrayRef) =
        (Arc::new(Int64Array::from(vec![1])), Arc::new(StringArray::from(vec!["u"])));
    let one = StructArray::from(vec![
        (field("x", DataType::Int64), Arc::clone(&x)),
        (field("y", DataType::Utf8), Arc::clone(&y)),
    ]);
    let other = StructArray::from(vec![(field("y", DataType::Utf8), y), (field("x", DataType::Int64), x)]);
    let folder = tempfile::tempdir().unwrap();
    write(&folder.path().join("a.parquet"), [("s", Arc::new(one) as ArrayRef)]);
    write(&folder.path().join("b.parquet"), [("s", Arc::new(other) as ArrayRef)]);
    let glob = "  in: { parquet: { path: \"*.parquet\" } }\n";
    assert_eq!(rows(folder.path(), glob, "in"), ["s={x: 1, y: u}"; 2]);
    let union = "  a: { parquet: { path: a.parquet } }\n  b: { parquet: { path: b.parquet } }\n  in: { union: { inputs: [a, b] } }\n  c: { function: { input: in, sql: { v: \"s.y\", w: \"s.x\" } } }\n";
    assert_eq!(rows(folder.path(), union, "in"), ["s={x: 1, y: u}"; 2]);
    assert_eq!(rows(folder.path(), union, "c"), ["v=u|w=1"; 2]);
    let declared = "  in: { parquet: { path: b.parquet, types: { s: \"struct<x: string, y: string>\" } } }\n";
    assert_eq!(rows(folder.path(), declared, "in"), ["s={x: 1, y: u}"]);
}

#[test]
fn text_files_of_a_glob_are_one_stream_whose_types_hold_all_of_them() {
    let folder = folder(&[
        ("1.csv", "id,n,t\n1,5,a\n"),
        ("2.csv", "t,id,n\nb,2,0.5\n"),
        ("3.csv", "id,n,t\n3,,2024-01-01\n"),
        ("1.jsonl", "{\"id\": 1, \"n\": 5, \"s\": {\"x\": 1, \"y\": \"u\"}}\n"),
        ("2.jsonl", "{\"s\": {\"y\": \"v\", \"x\": 2.5}, \"id\": 2, \"n\": null}\n"),
    ]);
    let csv = "  in: { csv: { path: \"*.csv\", tags: [id] } }\n";
    assert_eq!(
        rows(folder.path(), csv, "in"),
        ["id=1|n=5.0|t=a", "id=2|n=0.5|t=b", "id=3|n=\u{2205}|t=2024-01-01"]
    );
    let json = "  in: { jsonl: { path: \"*.jsonl\", tags: [id] } }\n";
    assert_eq!(
        rows(folder.path(), json, "in"),
        ["id=1|n=5|s={x: 1.0, y: u}", "id=2|n=\u{2205}|s={x: 2.5, y: v}"]
    );
}

/// Names, types and three values of columns, at the edges of what they hold.
const COLUMNS: [(&str, &str, [&str; 3]); 19] = [
    ("bool", "bool", ["true", "false", "null"]),
    ("int8", "int8", ["-128", "127", "null"]),
    ("int16", "int16", ["-32768", "32767", "0"]),
    ("int32", "int32", ["-2147483648", "2147483647", "null"]),
    ("int64", "int64", ["-9223372036854775808", "9223372036854775807", "9007199254740993"]),
    ("uint8", "uint8", ["0", "255", "null"]),
    ("uint16", "uint16", ["0", "65535", "1"]),
    ("uint32", "uint32", ["0", "4294967295", "null"]),
    ("uint64", "uint64", ["0", "18446744073709551615", "9223372036854775808"]),
    ("float32", "float32", ["0.1", "-0.0", "\"NaN\""]),
    ("float64", "float64", ["5e-324", "1.7976931348623157e308", "\"-Infinity\""]),
    ("small", "decimal(10,2)", ["0.05", "-99999999.99", "null"]),
    ("wide", "decimal(38,18)", ["0.000000000000000001", "-99999999999999999999.999999999999999999", "1"]),
    ("string", "string", ["\"a, \\\"b\\\" \\u00e9\"", "\"\"", "null"]),
    ("digits", "string", ["\"007\"", "\"1e3\"", "\"NaN\""]),
    ("date", "date", ["\"0001-01-01\"", "\"9999-12-31\"", "null"]),
    ("time", "time", ["\"00:00:00\"", "\"23:59:59.999999999\"", "null"]),
    ("micros", "timestamp", ["\"0001-01-01T00:00:00\"", "\"9999-12-31T23:59:59.999999\"", "null"]),
    ("instant", "timestamp_utc", ["\"1969-12-31T23:59:59.5Z\"", "\"2024-02-29T12:00:00+02:00\"", "null"]),
];

#[test]
fn equal_rows_of_every_format_are_equal_packets() {
    let folder = tempfile::tempdir().unwrap();
    let line = |row: usize| {
        let fields: Vec<String> =
            COLUMNS.iter().map(|(name, _, values)| format!("\"{name}\": {}", values[row])).collect();
        format!("{{{}}}", fields.join(", "))
    };
    let lines: Vec<String> = (0..3).map(line).collect();
    fs::write(folder.path().join("in.jsonl"), lines.join("\n")).unwrap();
    let types: Vec<String> =
        COLUMNS.iter().map(|(name, data_type, _)| format!("{name}: \"{data_type}\"")).collect();
    let types = format!("types: {{ {} }}", types.join(", "));
    let outputs = |columns: &str| {
        ["csv", "parquet", "arrow"]
            .map(|format| format!("  to_{format}: {{ write: {{ input: in, {format}: {{ path: out.{format}{columns} }} }} }}\n"))
            .concat()
    };
    let call: Vec<String> = COLUMNS.iter().map(|(name, ..)| format!("{name}_: {name}")).collect();
    let call = format!("  same: {{ function: {{ input: in, sql: {{ {} }} }} }}\n", call.join(", "));
    let (_store_folder, store) = store();
    let run = |source: &str, outputs: &str| {
        let file = folder.path().join("pipeline.yaml");
        fs::write(&file, format!("version: 1\nname: formats\nnodes:\n  in: {source}\n{call}{outputs}"))
            .unwrap();
        let pipeline =
            Pipeline::from_yaml(&file).unwrap_or_else(|error| panic!("{source}: {}", told(&error)));
        let summary = pipeline.run(&store).unwrap_or_else(|error| panic!("{source}: {}", told(&error)));
        let counts = summary.node("same").unwrap().function.unwrap();
        (counts.computed, counts.reused)
    };
    assert_eq!(run(&format!("{{ jsonl: {{ path: in.jsonl, {types} }} }}"), &outputs("")), (3, 0));
    for (name, source) in [
        ("rows", format!("{{ rows: {{ {types}, rows: [ {} ] }} }}", lines.join(", "))),
        ("csv", format!("{{ csv: {{ path: out.csv, {types} }} }}")),
        ("parquet", "{ parquet: { path: out.parquet } }".to_owned()),
        ("arrow", "{ arrow: { path: out.arrow } }".to_owned()),
    ] {
        assert_eq!(run(&source, ""), (0, 3), "{name}");
    }
}
