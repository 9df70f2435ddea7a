//! Text files as people have them: numbers that keep their digits, encodings, line ends, compression.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::fs;
use std::io::Write as _;
use std::sync::Arc;

use anabranch_engine::types::{logical_type, parse_type};
use anabranch_nodes::source::{Csv, JsonLines, Parquet, Ragged, Rows, Source, SourceError};
use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Decimal128Type, Float64Type, Int64Type, Schema, UInt64Type};
use arrow::util::display::array_value_to_string;
use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;
use tempfile::TempDir;

fn read(source: &dyn Source) -> Result<RecordBatch, SourceError> {
    read_in(source, 1_000)
}

fn read_in(source: &dyn Source, chunk_rows: usize) -> Result<RecordBatch, SourceError> {
    let planned = source.plan()?;
    let schema = Arc::new(Schema::new(planned.columns().to_vec()));
    let mut reader = planned.open(chunk_rows)?;
    let mut batches = Vec::new();
    while let Some(batch) = reader.next()? {
        batches.push(batch);
    }
    Ok(concat_batches(&schema, &batches).expect("batches have the planned columns"))
}

fn fails(source: &dyn Source) -> String {
    read(source).expect_err("was read without an error").to_string()
}

fn file(content: impl AsRef<[u8]>) -> (TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("in.txt");
    fs::write(&path, content).unwrap();
    (folder, path)
}

fn csv(text: impl AsRef<[u8]>, change: impl FnOnce(Csv) -> Csv) -> Result<RecordBatch, SourceError> {
    let (_folder, path) = file(text);
    read(&change(Csv::new(path)))
}

fn json(text: &str, change: impl FnOnce(JsonLines) -> JsonLines) -> Result<RecordBatch, SourceError> {
    let (_folder, path) = file(text);
    read(&change(JsonLines::new(path)))
}

fn typed(types: &[(&str, &str)]) -> Vec<(String, DataType)> {
    types.iter().map(|(name, data_type)| ((*name).to_owned(), parse_type(data_type).unwrap())).collect()
}

fn types(batch: &RecordBatch) -> Vec<String> {
    batch.schema().fields().iter().map(|f| logical_type(f.data_type())).collect()
}

/// The values of a column as text; null is `-`.
fn shown(batch: &RecordBatch, column: &str) -> Vec<String> {
    let column = batch.column_by_name(column).unwrap();
    let text =
        |row| if column.is_null(row) { "-".to_owned() } else { array_value_to_string(column, row).unwrap() };
    (0..column.len()).map(text).collect()
}

#[test]
fn a_declared_string_is_the_text_that_stands_in_the_file_at_any_depth() {
    let text = "{\"a\": 1.50, \"b\": {\"x\": [1.0, 2e3, \"s\"]}, \"l\": [1.10, true], \"s\": {\"x\": 0.10}}\n\
                {\"a\": \"1.5\", \"b\": null, \"l\": [], \"s\": {}}\n";
    let declared =
        typed(&[("a", "string"), ("b", "string"), ("l", "list<string>"), ("s", "struct<x:string>")]);
    let batch = json(text, |j| j.types(declared)).unwrap();
    assert_eq!(shown(&batch, "a"), ["1.50", "1.5"]);
    assert_eq!(shown(&batch, "b"), ["{\"x\": [1.0, 2e3, \"s\"]}", "-"]);
    assert_eq!(shown(&batch, "l"), ["[1.10, true]", "[]"]);
    assert_eq!(shown(&batch, "s"), ["{x: 0.10}", "{x: }"]);
}

#[test]
fn special_floats_are_read_where_the_type_is_float_and_names_keep_theirs() {
    let text = "route,x\nInf,inf\nNaN,-Inf\niv,NaN\nnan,1e5\nnull,+2\nNone,\n";
    let batch = csv(text, |c| c.types(typed(&[("x", "float64")]))).unwrap();
    assert_eq!(shown(&batch, "route"), ["Inf", "NaN", "iv", "nan", "null", "None"]);
    assert_eq!(shown(&batch, "x"), ["inf", "-inf", "NaN", "100000.0", "2.0", "-"]);
    let text = "{\"x\": \"-Infinity\"}\n{\"x\": NaN}\n{\"x\": Infinity}\n{\"x\": \"1.5\"}\n";
    let batch = json(text, |j| j.types(typed(&[("x", "float32")]))).unwrap();
    assert_eq!(shown(&batch, "x"), ["-inf", "NaN", "inf", "1.5"]);
}

#[test]
fn a_column_has_the_same_type_in_csv_json_lines_and_rows() {
    for (values, expected) in [
        (vec!["1", "18446744073709551615"], "uint64"),
        (vec!["-1", "18446744073709551615"], "string"),
        (vec!["18446744073709551617"], "string"),
        (vec!["9007199254740993", "0.5"], "string"),
        (vec!["9007199254740992", "0.5"], "float64"),
        (vec!["1e400"], "string"),
        (vec!["-9223372036854775808", "9223372036854775807"], "int64"),
        (vec!["1.0", "2"], "float64"),
    ] {
        let lines = |line: fn(&&str) -> String| values.iter().map(line).collect::<String>();
        let of_csv = csv(format!("x\n{}", lines(|v| format!("{v}\n"))), |c| c).unwrap();
        let of_quoted = csv(format!("x\n{}", lines(|v| format!("\"{v}\"\n"))), |c| c).unwrap();
        let of_json = json(&lines(|v| format!("{{\"x\":{v}}}\n")), |j| j).unwrap();
        let of_rows =
            read(&Rows::from_json(values.iter().map(|v| format!("{{\"x\":{v}}}"))).unwrap()).unwrap();
        for batch in [&of_csv, &of_quoted, &of_json, &of_rows] {
            assert_eq!(types(batch), [expected], "{values:?}");
            assert_eq!(batch, &of_csv, "{values:?}");
        }
        if expected == "string" {
            assert_eq!(shown(&of_csv, "x"), values);
        }
    }
}

#[test]
fn a_quoted_empty_field_is_an_empty_string_and_never_null() {
    let batch = csv("\"a\",\"b\"\n\"1\",\"\"\n\"2\",\"3\"\n", |c| c).unwrap();
    assert_eq!(types(&batch), ["int64", "string"]);
    assert_eq!(shown(&batch, "b"), ["", "3"]);
    let error = csv("a\n\"\"\n", |c| c.types(typed(&[("a", "int64")]))).unwrap_err().to_string();
    assert!(
        error.contains("in.txt:2:2: column \"a\" has a value of another type, expected int64"),
        "{error}"
    );
    let batch = csv("a,b\nNA,\"NA\"\n", |c| c.null_values(["NA"])).unwrap();
    assert_eq!((shown(&batch, "a"), shown(&batch, "b")), (vec!["-".to_owned()], vec!["NA".to_owned()]));
}

#[test]
fn declared_numbers_may_stand_in_json_strings_and_have_an_exponent_where_that_is_exact() {
    let text =
        "{\"i\": \"12\", \"d\": 15e-1, \"f\": 9007199254740993}\n{\"i\": 1.2e1, \"d\": \"0.5\", \"f\": 1}\n";
    let declared = typed(&[("i", "int64"), ("d", "decimal(10,2)"), ("f", "float64")]);
    let batch = json(text, |j| j.types(declared)).unwrap();
    assert_eq!(shown(&batch, "i"), ["12", "12"]);
    assert_eq!(shown(&batch, "d"), ["1.50", "0.50"]);
    assert_eq!(shown(&batch, "f"), ["9007199254740992.0", "1.0"]);
    let error = json("{\"d\": 1e-3}\n", |j| j.types(typed(&[("d", "decimal(10,2)")]))).unwrap_err();
    assert!(error.to_string().contains("in.txt:1: column \"d\" has"), "{error}");
}

#[test]
fn csv_files_with_preambles_comments_and_short_lines_are_read() {
    let text = "Export \"of 2024\n\n# note: it's\nid;name;n\n1;a;1\n# 2;b\n3\n4;;\n";
    let dialect = |csv: Csv| Csv { delimiter: b';', skip_rows: 2, ragged: Ragged::Null, ..csv.comment("#") };
    let batch = csv(text, dialect).unwrap();
    assert_eq!(shown(&batch, "id"), ["1", "3", "4"]);
    assert_eq!(shown(&batch, "name"), ["a", "-", "-"]);
    assert_eq!(shown(&batch, "n"), ["1", "-", "-"]);
    let error = csv("a,b\n1\n", |c| c).unwrap_err().to_string();
    assert!(
        error.contains("in.txt:2: found 1 fields, expected 2;") && error.contains("`ragged: null`"),
        "{error}"
    );
    let error = csv("a,b\n1,2,3\n", |c| Csv { ragged: Ragged::Null, ..c }).unwrap_err().to_string();
    assert!(error.contains("in.txt:2: found 3 fields, expected 2;"), "{error}");
}

#[test]
fn columns_are_named_by_position_and_matched_by_name_across_files() {
    let batch = csv("a,,a\n1,2,3\n", |c| c.columns(["x", "y", "z"]).tags(["y"])).unwrap();
    assert_eq!((shown(&batch, "x"), shown(&batch, "z")), (vec!["1".to_owned()], vec!["3".to_owned()]));
    let batch = csv("1,2\n", |c| Csv { header: false, ..c.columns(["x", "y"]) }).unwrap();
    assert_eq!(shown(&batch, "y"), ["2"]);
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.csv"), "n,t\n1,x\n").unwrap();
    fs::write(folder.path().join("b.csv"), "t,n\ny,2\nz\n").unwrap();
    let both = Csv::new(folder.path().join("*.csv"));
    let batch = read(&Csv { ragged: Ragged::Null, ..both }).unwrap();
    assert_eq!(types(&batch), ["int64", "string"]);
    assert_eq!(
        (shown(&batch, "n"), shown(&batch, "t")),
        (
            vec!["1".to_owned(), "2".to_owned(), "-".to_owned()],
            vec!["x".to_owned(), "y".to_owned(), "z".to_owned()],
        )
    );
}

#[test]
fn formats_say_how_dates_are_written_and_give_their_types() {
    let text = "d,t,z\n31.12.2013,12:05 pm,01/Jan/2013:01:00:00 +0100\n,,\n";
    let formats = [("d", "%d.%m.%Y"), ("t", "%I:%M %p"), ("z", "%d/%b/%Y:%T %z")];
    let batch = csv(text, |c| c.formats(formats)).unwrap();
    assert_eq!(types(&batch), ["date", "time", "timestamp_utc"]);
    assert_eq!(shown(&batch, "d"), ["2013-12-31", "-"]);
    assert_eq!(shown(&batch, "t"), ["12:05:00", "-"]);
    assert_eq!(shown(&batch, "z"), ["2013-01-01T00:00:00Z", "-"]);
    let batch = json("{\"d\": 20131231}\n{\"d\": \"20140101\"}\n", |j| j.formats([("d", "%Y%m%d")])).unwrap();
    assert_eq!(shown(&batch, "d"), ["2013-12-31", "2014-01-01"]);
    let error = csv(text, |c| c.formats([("d", "%m.%d.%Y")])).unwrap_err().to_string();
    assert!(error.contains("in.txt:2:1: column \"d\" has a value of another type, expected date"), "{error}");
    let error = csv(text, |c| c.formats([("d", "%d.%m.%Y")]).types(typed(&[("d", "time")]))).unwrap_err();
    assert!(
        error.to_string().contains("a format of a date for column \"d\", expected one of a time"),
        "{error}"
    );
    let error = csv(text, |c| c.formats([("e", "%Y")])).unwrap_err().to_string();
    assert!(error.starts_with("formats: found a date is a year"), "{error}");
}

#[test]
fn reserved_keys_are_let_in_by_other_names() {
    let text = "{\"_id\": {\"$oid\": \"a\"}, \"n\": 1}\n";
    let error = json(text, |j| j).unwrap_err().to_string();
    assert!(
        error.contains("the key \"_id\", which is reserved") && error.contains("`rename: { \"_id\": id }`"),
        "{error}"
    );
    let batch = json(text, |j| j.rename([("_id", "id")]).types(typed(&[("id", "string")]))).unwrap();
    assert_eq!(shown(&batch, "id"), ["{\"$oid\": \"a\"}"]);
    let error = json(text, |j| j.rename([("_ids", "id")])).unwrap_err().to_string();
    assert!(error.contains("rename: found no column \"_ids\"") && error.contains("\"_id\""), "{error}");
}

#[test]
fn objects_with_a_key_twice_are_refused() {
    let error = json("{\"a\": 1, \"a\": 2}\n", |j| j).unwrap_err().to_string();
    assert!(error.contains("in.txt:1: found key \"a\" twice, expected each key once"), "{error}");
    let error = json("{\"o\": {\"a\": 1, \"a\": 2}}\n", |j| j).unwrap_err().to_string();
    assert!(error.contains("found key \"o.a\" twice"), "{error}");
}

#[test]
fn values_of_512_levels_are_strings_and_deeper_ones_are_refused() {
    let nested = |levels: usize| format!("{{\"a\":{}1{}}}\n", "[".repeat(levels), "]".repeat(levels));
    let batch = json(&nested(511), |j| j.types(typed(&[("a", "string")]))).unwrap();
    assert_eq!(batch.column(0).as_string_view().value(0).len(), 1 + 2 * 511);
    assert_eq!(json(&nested(511), |j| j).unwrap().num_rows(), 1);
    let error = json(&nested(512), |j| j).unwrap_err().to_string();
    assert!(error.contains("in.txt:1:517: found more than 512 levels of lists and objects"), "{error}");
}

#[test]
fn more_columns_than_memory_should_hold_are_refused_with_the_limit() {
    let lines: Vec<String> = (0..5)
        .map(|row| {
            let keys: Vec<String> = (0..20_000).map(|key| format!("\"k{}\":1", row * 20_000 + key)).collect();
            format!("{{{}}}\n", keys.join(","))
        })
        .collect();
    let error = json(&lines.concat(), |j| j).unwrap_err().to_string();
    assert!(error.contains("in.txt:4: found more than 65536 keys so far"), "{error}");
    let header = (0..1_000_000).map(|n| format!("c{n}")).collect::<Vec<_>>().join(",");
    let error = csv(format!("{header}\n"), |c| c).unwrap_err().to_string();
    assert!(
        error.contains("in.txt:1: found more than 65536 fields, expected at most 65536 columns"),
        "{error}"
    );
    let header = (0..60_000).map(|n| format!("c{n}")).collect::<Vec<_>>().join(",");
    let row = "1,".repeat(59_999) + "1\n";
    assert_eq!(csv(format!("{header}\n{row}{row}"), |c| c).unwrap().num_columns(), 60_000);
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::stream::encode_all(bytes, 1).unwrap()
}

#[test]
fn compressed_text_is_known_by_its_content_and_damage_names_the_file() {
    let lines: Vec<String> = (0..20_000).map(|n| format!("{n},text {n}\n")).collect();
    let text = format!("n,t\n{}", lines.concat());
    let plain = csv(&text, |c| c).unwrap();
    let half = text.len() / 2;
    let members = |compress: fn(&[u8]) -> Vec<u8>| {
        [compress(&text.as_bytes()[..half]), compress(&text.as_bytes()[half..])].concat()
    };
    for compress in [gzip as fn(&[u8]) -> Vec<u8>, zstd] {
        let whole = compress(text.as_bytes());
        assert_eq!(csv(&whole, |c| c).unwrap(), plain);
        assert_eq!(csv(members(compress), |c| c).unwrap(), plain);
        let error = csv(&whole[..whole.len() - 5], |c| c).unwrap_err().to_string();
        assert!(
            error.contains("in.txt: found") && error.contains("data that are cut off or damaged"),
            "{error}"
        );
        let mut damaged = whole.clone();
        let middle = damaged.len() / 2;
        damaged[middle..middle + 40].fill(0xaa);
        let (_folder, path) = file(&damaged);
        let error = fails(&Csv::new(&path));
        assert!(error.contains("in.txt"), "{error}");
    }
    let (_folder, path) = file(gzip(b"{\"n\":1}\n{\"n\":2}\n"));
    assert_eq!(shown(&read(&JsonLines::new(path)).unwrap(), "n"), ["1", "2"]);
}

#[test]
fn malformed_text_is_refused_with_its_line_and_never_replaced() {
    let error = csv(b"a\n\x8f\n", |c| c.encoding("windows-1252")).unwrap_err().to_string();
    assert!(error.contains("in.txt:2:1: found bytes that are not of the file's encoding"), "{error}");
    let error = csv(b"a\ncaf\xe9\n", |c| c).unwrap_err().to_string();
    assert!(error.contains("in.txt:2:4: found bytes that are not UTF-8"), "{error}");
    assert!(error.contains("`encoding: windows-1252`"), "{error}");
    let error = csv("a\n1\n", |c| c.encoding("klingon")).unwrap_err().to_string();
    assert!(error.starts_with("encoding: found \"klingon\""), "{error}");
}

#[cfg(unix)]
#[test]
fn pipes_are_read_once_by_text_sources_and_refused_by_others() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pipe");
    let lines: Vec<String> = (0..100_000).map(|n| format!("{n}\n")).collect();
    let made = std::process::Command::new("mkfifo").arg(&path).status().unwrap();
    assert!(made.success());
    let parquet = Parquet::new(&path).plan().err().unwrap().to_string();
    assert!(parquet.contains("found a pipe or device, expected a regular file"), "{parquet}");
    let writer = std::thread::spawn({
        let path = path.clone();
        move || fs::write(path, format!("n\n{}", lines.concat())).unwrap()
    });
    let planned = Csv::new(&path).plan().unwrap();
    let mut reader = planned.open(8_192).unwrap();
    let mut sum = 0;
    while let Some(batch) = reader.next().unwrap() {
        sum += batch.column(0).as_primitive::<Int64Type>().values().iter().sum::<i64>();
    }
    writer.join().unwrap();
    assert_eq!(sum, 99_999 * 100_000 / 2);
    let error = match planned.open(1) {
        Err(error) => error.to_string(),
        Ok(mut reader) => reader.next().unwrap_err().to_string(),
    };
    assert!(error.contains("found a stream that was read before"), "{error}");
}

/// Integers around the limits of their types and of doubles.
fn edge() -> impl Strategy<Value = i128> {
    let edges = [0, 1 << 7, 1 << 15, 1 << 31, 1 << 53, 1 << 63, 1 << 64];
    (prop::sample::select(edges.to_vec()), -3_i128..=3, any::<bool>())
        .prop_map(|(edge, by, negative)| if negative { -(edge + by) } else { edge + by })
}

/// A decimal text and its digits at scale 38, exponents included.
fn decimal_text() -> impl Strategy<Value = (String, String, i32)> {
    ("[1-9][0-9]{0,17}", 0_i32..=20, -12_i32..=12, any::<bool>()).prop_map(
        |(digits, behind, exponent, negative)| {
            let sign = if negative { "-" } else { "" };
            let padded = format!("{digits:0>width$}", width = usize::try_from(behind).unwrap() + 1);
            let (whole, fraction) = padded.split_at(padded.len() - usize::try_from(behind).unwrap());
            let point = if fraction.is_empty() { "" } else { "." };
            let suffix = if exponent == 0 { String::new() } else { format!("e{exponent}") };
            (format!("{sign}{whole}{point}{fraction}{suffix}"), format!("{sign}{digits}"), exponent - behind)
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn an_inferred_type_holds_all_values_that_it_was_inferred_from(
        integers in prop::collection::vec(edge(), 1..5),
        fraction: bool,
    ) {
        let mut texts: Vec<String> = integers.iter().map(ToString::to_string).collect();
        if fraction {
            texts.push("0.5".to_owned());
        }
        let csv_text = format!("x\n{}\n", texts.join("\n"));
        let json_text: Vec<String> = texts.iter().map(|text| format!("{{\"x\":{text}}}\n")).collect();
        let of_csv = csv(csv_text, |c| c).unwrap();
        let of_json = json(&json_text.concat(), |j| j).unwrap();
        prop_assert_eq!(&of_csv, &of_json);
        let column = of_csv.column(0);
        let back: Vec<i128> = match column.data_type() {
            DataType::Int64 => column.as_primitive::<Int64Type>().values().iter().map(|v| i128::from(*v)).collect(),
            DataType::UInt64 => column.as_primitive::<UInt64Type>().values().iter().map(|v| i128::from(*v)).collect(),
            #[expect(clippy::cast_possible_truncation, reason = "whole numbers up to 2^53")]
            DataType::Float64 => column.as_primitive::<Float64Type>().values().iter().take(integers.len())
                .map(|v| *v as i128).collect(),
            _ => {
                prop_assert_eq!(shown(&of_csv, "x"), texts);
                return Ok(());
            }
        };
        prop_assert_eq!(back, integers);
    }

    #[test]
    fn declared_integers_are_exact_or_refused_in_every_width(value in edge(), quoted: bool, pointed: bool) {
        let text = if pointed { format!("{value}.0") } else { value.to_string() };
        for (name, least, most) in [
            ("int8", i128::from(i8::MIN), i128::from(i8::MAX)),
            ("int16", i128::from(i16::MIN), i128::from(i16::MAX)),
            ("int32", i128::from(i32::MIN), i128::from(i32::MAX)),
            ("int64", i128::from(i64::MIN), i128::from(i64::MAX)),
            ("uint8", 0, i128::from(u8::MAX)),
            ("uint16", 0, i128::from(u16::MAX)),
            ("uint32", 0, i128::from(u32::MAX)),
            ("uint64", 0, i128::from(u64::MAX)),
        ] {
            let field = if quoted { format!("\"{text}\"") } else { text.clone() };
            let of_csv = csv(format!("x\n{field}\n"), |c| c.types(typed(&[("x", name)])));
            let of_json = json(&format!("{{\"x\":{field}}}\n"), |j| j.types(typed(&[("x", name)])));
            for read in [of_csv, of_json] {
                match read {
                    Ok(batch) => prop_assert_eq!(shown(&batch, "x"), [value.to_string()], "{}", name),
                    Err(_) => prop_assert!(!(least..=most).contains(&value), "{} {}", name, value),
                }
            }
        }
    }

    #[test]
    fn declared_decimals_are_exact_or_refused_at_every_scale(
        (text, digits, exponent) in decimal_text(),
        scale in 0_u8..=38,
    ) {
        let data_type = format!("decimal(38,{scale})");
        let of_csv = csv(format!("x\n{text}\n"), |c| c.types(typed(&[("x", &data_type)])));
        let of_json = json(&format!("{{\"x\":{text}}}\n"), |j| j.types(typed(&[("x", &data_type)])));
        let of_rows = Rows::from_json([format!("{{\"x\":{text}}}")]).unwrap().types(typed(&[("x", &data_type)]));
        // The value is digits * 10^exponent; stored are digits * 10^(exponent + scale).
        let zeros = exponent + i32::from(scale);
        let digits = digits.parse::<i128>().unwrap();
        let expected = if zeros >= 0 {
            10_i128.checked_pow(zeros.unsigned_abs()).and_then(|power| digits.checked_mul(power))
        } else {
            10_i128.checked_pow(zeros.unsigned_abs()).filter(|power| digits % power == 0).map(|power| digits / power)
        };
        let expected = expected.filter(|value| value.unsigned_abs() < 10_u128.pow(38));
        for read in [of_csv, of_json, read(&of_rows)] {
            let found = read.ok().map(|batch| batch.column(0).as_primitive::<Decimal128Type>().value(0));
            prop_assert_eq!(found, expected, "{} at scale {}", text, scale);
        }
    }

    #[test]
    fn encodings_line_ends_and_compression_make_no_difference(
        rows in prop::collection::vec(("[a-zé,\"\r\n]{0,4}", any::<i64>()), 1..6),
        end in prop::sample::select(vec!["\n", "\r\n", "\r"]),
        encoding in prop::sample::select(vec!["utf-8", "utf-16", "latin1", "windows-1252"]),
        compression in 0..3,
        chunk_rows in 1_usize..4,
    ) {
        let quoted = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
        let lines: Vec<String> = rows.iter().map(|(text, n)| format!("{},{n}", quoted(text))).collect();
        let text = format!("t,n{end}{}{end}", lines.join(end));
        let bytes = match encoding {
            "utf-8" => text.into_bytes(),
            "utf-16" => text.encode_utf16().flat_map(u16::to_le_bytes).collect(),
            _ => text.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect(),
        };
        let bytes = match compression {
            0 => bytes,
            1 => gzip(&bytes),
            _ => zstd(&bytes),
        };
        let (_folder, path) = file(bytes);
        let source = Csv::new(path).encoding(encoding).types(typed(&[("t", "string"), ("n", "int64")]));
        let batch = read_in(&source, chunk_rows).unwrap();
        let texts: Vec<&str> = rows.iter().map(|(text, _)| text.as_str()).collect();
        let numbers: Vec<i64> = rows.iter().map(|(_, n)| *n).collect();
        prop_assert_eq!(batch.column(0).as_string_view().iter().flatten().collect::<Vec<_>>(), texts);
        prop_assert_eq!(batch.column(1).as_primitive::<Int64Type>().values().to_vec(), numbers);
    }
}

#[test]
fn a_record_is_read_whole_wherever_the_buffer_ends() {
    // The reader's buffer of 256 KiB ends at every byte of the second record in turn.
    for fill in 262_110..262_160 {
        let text = format!("t,n\n{},1\r\n\"é\r\n\"\"x\"\"\",2\r\n", "a".repeat(fill));
        let batch = csv(text, |c| c).unwrap();
        assert_eq!(batch.column(0).as_string_view().value(1), "é\r\n\"x\"", "{fill}");
        assert_eq!(shown(&batch, "n"), ["1", "2"]);
    }
}
