//! Writing files: what is left behind, what is refused, what other programs see.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::{BTreeSet, HashMap};
use std::error::Error;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anabranch_engine::types::{EXTENSION_NAME, logical_type, parse_type};
use anabranch_nodes::sink::{
    Format, IfExists, JsonOptions, NonFinite, Numbers, SinkError, WriteSpec, Writer,
};
use anabranch_nodes::source::{ArrowFile, Parquet, Source};
use arrow::array::{ArrayRef, AsArray, BinaryViewArray, Int64Array, ListArray, RecordBatch, StringViewArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use arrow::ipc::reader::FileReader;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use tempfile::TempDir;

const FORMATS: [Format; 4] = [Format::Parquet, Format::Csv, Format::JsonLines, Format::Arrow];

fn numbers(count: i64) -> RecordBatch {
    let n: ArrayRef = Arc::new(Int64Array::from_iter_values(0..count));
    let text: ArrayRef =
        Arc::new(StringViewArray::from_iter_values((0..count).map(|n| format!("t{}", n % 3))));
    RecordBatch::try_from_iter([("n", n), ("text", text)]).unwrap()
}

fn write(spec: &WriteSpec, batch: &RecordBatch) -> Result<(), SinkError> {
    let mut writer = Writer::create(spec, &batch.schema())?;
    writer.write(batch)?;
    writer.finish()?.publish()
}

/// All files and folders below, as paths relative to it.
fn below(folder: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut waiting = vec![folder.to_owned()];
    while let Some(at) = waiting.pop() {
        for entry in fs::read_dir(at).unwrap() {
            let path = entry.unwrap().path();
            found.insert(path.strip_prefix(folder).unwrap().display().to_string());
            if path.is_dir() {
                waiting.push(path);
            }
        }
    }
    found
}

fn names(list: &[&str]) -> BTreeSet<String> {
    list.iter().map(|n| (*n).to_owned()).collect()
}

fn spec_in(folder: &TempDir, path: &str) -> WriteSpec {
    let path = folder.path().join(path);
    WriteSpec::new(Format::from_path(&path).unwrap_or(Format::Parquet), path)
}

#[test]
fn nothing_is_left_of_what_is_not_published() {
    for format in FORMATS {
        let folder = tempfile::tempdir().unwrap();
        let path = format!("deep/er/out.{}", format.ending());
        let spec = spec_in(&folder, &path);
        let batch = numbers(10);
        let mut writer = Writer::create(&spec, &batch.schema()).unwrap();
        writer.write(&batch).unwrap();
        assert_eq!(below(folder.path()).len(), 3, "deep, er and a hidden file");
        drop(writer);
        assert_eq!(below(folder.path()), names(&[]));
        let mut writer = Writer::create(&spec, &batch.schema()).unwrap();
        writer.write(&batch).unwrap();
        drop(writer.finish().unwrap());
        assert_eq!(below(folder.path()), names(&[]));
        write(&spec, &batch).unwrap();
        assert_eq!(below(folder.path()), names(&["deep", "deep/er", &path]));
    }
}

#[test]
fn a_folder_that_somebody_else_uses_stays() {
    let folder = tempfile::tempdir().unwrap();
    let writer = Writer::create(&spec_in(&folder, "deep/out.csv"), &numbers(1).schema()).unwrap();
    fs::write(folder.path().join("deep/other"), "x").unwrap();
    drop(writer);
    assert_eq!(below(folder.path()), names(&["deep", "deep/other"]));
}

#[test]
fn a_file_has_the_permissions_that_new_files_have() {
    let folder = tempfile::tempdir().unwrap();
    let plain = folder.path().join("plain");
    fs::write(&plain, "x").unwrap();
    write(&spec_in(&folder, "out.csv"), &numbers(1)).unwrap();
    let mode = |path: PathBuf| fs::metadata(path).unwrap().permissions().mode();
    assert_eq!(mode(folder.path().join("out.csv")), mode(plain));
}

#[test]
fn an_existing_file_is_replaced_or_refused_as_asked() {
    let folder = tempfile::tempdir().unwrap();
    let mut spec = spec_in(&folder, "out.csv");
    write(&spec, &numbers(2)).unwrap();
    write(&spec, &numbers(1)).unwrap();
    assert_eq!(fs::read_to_string(&spec.path).unwrap(), "n,text\n0,t0\n");
    spec.if_exists = IfExists::Error;
    let error = write(&spec, &numbers(3)).unwrap_err().to_string();
    assert!(error.contains("found an existing target, expected none because of if_exists: error"), "{error}");
    // One that appears while rows are written is not overwritten either.
    spec.path = folder.path().join("new.csv");
    let writer = Writer::create(&spec, &numbers(1).schema()).unwrap();
    let finished = writer.finish().unwrap();
    fs::write(&spec.path, "mine").unwrap();
    assert!(matches!(finished.publish(), Err(SinkError::Exists { .. })));
    assert_eq!(fs::read_to_string(&spec.path).unwrap(), "mine");
    assert_eq!(below(folder.path()), names(&["new.csv", "out.csv"]));
}

#[test]
fn what_is_no_file_is_never_replaced() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("taken.csv")).unwrap();
    fs::write(folder.path().join("file"), "x").unwrap();
    let message = |path: &str| {
        let error = write(&spec_in(&folder, path), &numbers(1)).unwrap_err();
        format!("{error} {}", error.source().map(ToString::to_string).unwrap_or_default())
    };
    let taken = message("taken.csv");
    assert!(taken.contains("taken.csv: found a folder, expected a file or nothing"), "{taken}");
    let through = message("file/out.csv");
    assert!(through.contains("a file stands where a folder is needed"), "{through}");
    let device = write(&WriteSpec::new(Format::Csv, "/dev/null"), &numbers(1)).unwrap_err().to_string();
    assert!(device.contains("something that is no file"), "{device}");
    let long = message(&format!("{}.csv", "x".repeat(300)));
    assert!(long.contains("too long"), "{long}");
    assert_eq!(below(folder.path()), names(&["file", "taken.csv"]));
}

#[test]
fn no_rows_still_give_a_file_with_the_columns() {
    for format in FORMATS {
        let folder = tempfile::tempdir().unwrap();
        let spec = spec_in(&folder, &format!("out.{}", format.ending()));
        write(&spec, &numbers(0)).unwrap();
        match format {
            Format::Parquet => {
                let planned = Parquet::new(&spec.path).plan().unwrap();
                assert_eq!(planned.columns().len(), 2);
                assert!(planned.open(10).unwrap().next().unwrap().is_none());
            }
            Format::Csv => assert_eq!(fs::read_to_string(&spec.path).unwrap(), "n,text\n"),
            Format::JsonLines => assert_eq!(fs::read_to_string(&spec.path).unwrap(), ""),
            Format::Arrow => {
                let file = fs::File::open(&spec.path).unwrap();
                let reader = arrow::ipc::reader::FileReader::try_new(file, None).unwrap();
                assert_eq!((reader.schema().fields().len(), reader.num_batches()), (2, 0));
            }
        }
    }
}

#[test]
fn other_programs_see_plain_strings() {
    let folder = tempfile::tempdir().unwrap();
    let spec = spec_in(&folder, "out.parquet");
    write(&spec, &numbers(3)).unwrap();
    let file = fs::File::open(&spec.path).unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
    assert_eq!(*reader.schema().field(1).data_type(), DataType::Utf8);
}

#[test]
fn extensions_are_written_on_the_storage_that_other_programs_know_them_by_or_as_their_storage() {
    let folder = tempfile::tempdir().unwrap();
    let uuids: ArrayRef = Arc::new(BinaryViewArray::from(vec![Some([7_u8; 16].as_slice()), None]));
    let tensors: ArrayRef =
        Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>([Some(vec![Some(1)]), None]));
    let named = |name: &str, array: &ArrayRef, extension: &str| {
        let metadata = HashMap::from([(EXTENSION_NAME.to_owned(), extension.to_owned())]);
        Field::new(name, array.data_type().clone(), true).with_metadata(metadata)
    };
    let fields = [
        named("id", &uuids, "arrow.uuid"),
        named("tensor", &tensors, "arrow.fixed_shape_tensor"),
        named("other", &uuids, "example.other"),
    ];
    let schema = Arc::new(Schema::new(fields.to_vec()));
    let batch = RecordBatch::try_new(schema, vec![Arc::clone(&uuids), tensors, uuids]).unwrap();
    for path in ["out.parquet", "out.arrow"] {
        let spec = spec_in(&folder, path);
        write(&spec, &batch).unwrap();
        let file = fs::File::open(&spec.path).unwrap();
        let written = match spec.format {
            Format::Arrow => FileReader::try_new(file, None).unwrap().schema(),
            _ => Arc::clone(ParquetRecordBatchReaderBuilder::try_new(file).unwrap().schema()),
        };
        let extension = |at: usize| written.field(at).metadata().get(EXTENSION_NAME).map(String::as_str);
        assert_eq!(*written.field(0).data_type(), DataType::FixedSizeBinary(16), "{path}");
        assert_eq!(
            [extension(0), extension(1), extension(2)],
            [Some("arrow.uuid"), None, Some("example.other")]
        );
    }
}

#[test]
fn csv_tells_null_from_empty_and_strings_from_numbers() {
    let folder = tempfile::tempdir().unwrap();
    let texts = vec![Some(""), None, Some("007"), Some("a,\"b\"\r\n"), Some("true"), Some("plain")];
    let column: ArrayRef = Arc::new(StringViewArray::from(texts));
    let floats: ArrayRef =
        Arc::new(arrow::array::Float64Array::from(vec![1.0, 0.5, f64::NAN, -0.0, 1e300, 2.0]));
    let batch = RecordBatch::try_from_iter([("text", column), ("x", floats)]).unwrap();
    let spec = spec_in(&folder, "out.csv");
    write(&spec, &batch).unwrap();
    let expected =
        "text,x\n\"\",1.0\n,0.5\n\"007\",NaN\n\"a,\"\"b\"\"\r\n\",-0.0\n\"true\",1e300\nplain,2.0\n";
    assert_eq!(fs::read_to_string(&spec.path).unwrap(), expected);
}

#[test]
fn json_lines_write_nulls_and_escape_texts() {
    let folder = tempfile::tempdir().unwrap();
    let column: ArrayRef = Arc::new(StringViewArray::from(vec![Some("a\"\\\n\u{1}\u{e9}"), None]));
    let floats: ArrayRef = Arc::new(arrow::array::Float64Array::from(vec![f64::NAN, 1.5]));
    let batch = RecordBatch::try_from_iter([("t\"", column), ("x", floats)]).unwrap();
    let spec = spec_in(&folder, "out.jsonl");
    write(&spec, &batch).unwrap();
    let expected = "{\"t\\\"\":\"a\\\"\\\\\\n\\u0001\u{e9}\",\"x\":null}\n{\"t\\\"\":null,\"x\":1.5}\n";
    assert_eq!(fs::read_to_string(&spec.path).unwrap(), expected);
}

#[test]
fn csv_quotes_strings_that_readers_take_for_comments_nulls_or_padding() {
    let folder = tempfile::tempdir().unwrap();
    let texts: ArrayRef = Arc::new(StringViewArray::from(vec!["#1", " a", "NA", "null", "\\N", "Nan"]));
    let batch = RecordBatch::try_from_iter([("#t", texts)]).unwrap();
    let spec = spec_in(&folder, "out.csv");
    write(&spec, &batch).unwrap();
    let quoted = "\"#t\"\n\"#1\"\n\" a\"\n\"NA\"\n\"null\"\n\"\\N\"\n";
    let found = fs::read_to_string(&spec.path).unwrap();
    assert!(found.starts_with(quoted), "{found}");
}

/// Numbers that JSON or many readers of it cannot hold.
fn wide_numbers() -> RecordBatch {
    let decimals =
        arrow::array::Decimal128Array::from(vec![10_i128.pow(37) + 1, -5]).with_precision_and_scale(38, 2);
    let floats: ArrayRef = Arc::new(arrow::array::Float64Array::from(vec![0.1, f64::NEG_INFINITY]));
    let list = ListArray::from_iter_primitive::<arrow::datatypes::Float64Type, _, _>([
        Some(vec![Some(f64::NAN), Some(f64::INFINITY)]),
        None,
    ]);
    let integers: ArrayRef = Arc::new(Int64Array::from(vec![i64::MAX, i64::MIN]));
    RecordBatch::try_from_iter([
        ("d", Arc::new(decimals.unwrap()) as ArrayRef),
        ("n", integers),
        ("x", floats),
        ("l", Arc::new(list) as ArrayRef),
    ])
    .unwrap()
}

#[test]
fn json_lines_have_all_digits_as_numbers_or_as_strings() {
    let folder = tempfile::tempdir().unwrap();
    let mut spec = spec_in(&folder, "out.jsonl");
    write(&spec, &wide_numbers()).unwrap();
    let expected = concat!(
        "{\"d\":100000000000000000000000000000000000.01,\"n\":9223372036854775807,\"x\":0.1,\"l\":[null,null]}\n",
        "{\"d\":-0.05,\"n\":-9223372036854775808,\"x\":null,\"l\":null}\n",
    );
    assert_eq!(fs::read_to_string(&spec.path).unwrap(), expected);
    spec.json = JsonOptions { nan: NonFinite::String, exact: Numbers::String };
    write(&spec, &wide_numbers()).unwrap();
    let expected = concat!(
        "{\"d\":\"100000000000000000000000000000000000.01\",\"n\":\"9223372036854775807\",\"x\":0.1,\"l\":[\"NaN\",\"Infinity\"]}\n",
        "{\"d\":\"-0.05\",\"n\":\"-9223372036854775808\",\"x\":\"-Infinity\",\"l\":null}\n",
    );
    assert_eq!(fs::read_to_string(&spec.path).unwrap(), expected);
}

#[test]
fn numbers_that_json_lacks_are_counted_or_refused_with_column_and_row() {
    let folder = tempfile::tempdir().unwrap();
    let mut spec = spec_in(&folder, "out.jsonl");
    let batch = wide_numbers();
    let mut writer = Writer::create(&spec, &batch.schema()).unwrap();
    writer.write(&batch).unwrap();
    writer.write(&batch.slice(1, 1)).unwrap();
    assert_eq!(writer.non_finite(), 4);
    spec.json.nan = NonFinite::Error;
    let mut writer = Writer::create(&spec, &batch.schema()).unwrap();
    writer.write(&batch.slice(0, 0)).unwrap();
    let finite = batch.project(&[0, 1]).unwrap();
    assert!(writer.write(&finite).is_err(), "rows of other columns");
    let error = writer.write(&batch.slice(1, 1)).unwrap_err().to_string();
    assert!(error.contains("column \"x\" has NaN or an infinity in row 0 (counted from 0)"), "{error}");
}

#[test]
fn csv_refuses_lists_when_it_is_begun() {
    let folder = tempfile::tempdir().unwrap();
    let list = arrow::datatypes::Field::new("l", parse_type("list<int64>").unwrap(), true);
    let schema = arrow::datatypes::Schema::new(vec![list]);
    let error = Writer::create(&spec_in(&folder, "out.csv"), &schema).unwrap_err().to_string();
    assert!(error.contains("column \"l\" is list<int64>, expected a scalar type in a CSV file"), "{error}");
    assert!(error.contains("write parquet"), "{error}");
    assert_eq!(below(folder.path()), names(&[]));
}

#[test]
fn an_unknown_ending_is_refused() {
    let error = Format::from_path(Path::new("out.xlsx")).unwrap_err().to_string();
    assert!(error.contains("out.xlsx: found no known ending, expected one of .parquet"), "{error}");
    assert_eq!(Format::from_path(Path::new("a/OUT.CSV")).unwrap(), Format::Csv);
}

#[test]
fn rows_of_other_columns_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = Writer::create(&spec_in(&folder, "out.csv"), &numbers(1).schema()).unwrap();
    assert!(matches!(writer.write(&numbers(1).project(&[1, 0]).unwrap()), Err(SinkError::Batch { .. })));
}

fn partitioned(folder: &TempDir, by: &[&str]) -> WriteSpec {
    let mut spec = spec_in(folder, "out");
    spec.partition_by = by.iter().map(|n| (*n).to_owned()).collect();
    spec
}

#[test]
fn values_become_folders_and_never_leave_them() {
    let folder = tempfile::tempdir().unwrap();
    let values = vec![
        Some("../up"),
        Some("/etc"),
        None,
        Some(""),
        Some(".."),
        Some("__HIVE_DEFAULT_PARTITION__"),
        Some("a"),
    ];
    let place: ArrayRef = Arc::new(StringViewArray::from(values));
    let n: ArrayRef = Arc::new(Int64Array::from_iter_values(0..7));
    let batch = RecordBatch::try_from_iter([("pl/ce", place), ("n", n)]).unwrap();
    let mut spec = partitioned(&folder, &["pl/ce"]);
    spec.format = Format::Csv;
    let mut writer = Writer::create(&spec, &batch.schema()).unwrap();
    writer.write(&batch).unwrap();
    writer.write(&batch.slice(6, 1)).unwrap();
    assert!(!spec.path.exists());
    writer.finish().unwrap().publish().unwrap();
    let files: BTreeSet<String> = below(&spec.path).into_iter().filter(|n| n.contains("/part-")).collect();
    let expected = [
        "pl%2Fce=..%2Fup/part-0.csv",
        "pl%2Fce=%2Fetc/part-0.csv",
        "pl%2Fce=__HIVE_DEFAULT_PARTITION__/part-0.csv",
        "pl%2Fce=/part-0.csv",
        "pl%2Fce=../part-0.csv",
        "pl%2Fce=%5F_HIVE_DEFAULT_PARTITION__/part-0.csv",
        "pl%2Fce=a/part-0.csv",
    ];
    assert_eq!(files, names(&expected));
    assert_eq!(fs::read_to_string(spec.path.join("pl%2Fce=a/part-0.csv")).unwrap(), "n\n6\n6\n");
    assert_eq!(below(folder.path()).into_iter().filter(|n| n.starts_with('.')).count(), 0);
}

#[test]
fn more_folders_than_open_files_go_on_with_further_parts() {
    let folder = tempfile::tempdir().unwrap();
    let key: ArrayRef = Arc::new(Int64Array::from_iter_values((0..400).map(|n| n % 100)));
    let n: ArrayRef = Arc::new(Int64Array::from_iter_values(0..400));
    let batch = RecordBatch::try_from_iter([("key", key), ("n", n)]).unwrap();
    let spec = partitioned(&folder, &["key"]);
    let mut writer = Writer::create(&spec, &batch.schema()).unwrap();
    for start in (0..400).step_by(100) {
        writer.write(&batch.slice(start, 100)).unwrap();
    }
    writer.finish().unwrap().publish().unwrap();
    let parts = below(&spec.path).into_iter().filter(|n| n.starts_with("key=7/")).count();
    assert!(parts > 1, "{parts} parts");
    let planned = Parquet::new(spec.path.join("key=*/*.parquet")).plan().unwrap();
    let mut reader = planned.open(1_000).unwrap();
    let mut seen = BTreeSet::new();
    while let Some(batch) = reader.next().unwrap() {
        seen.extend(batch.column(0).as_primitive::<Int64Type>().values().iter().copied());
    }
    assert_eq!(seen, (0..400).collect());
}

#[test]
fn a_partitioned_folder_is_replaced_only_if_it_is_one() {
    let folder = tempfile::tempdir().unwrap();
    let spec = partitioned(&folder, &["text"]);
    write(&spec, &numbers(3)).unwrap();
    write(&spec, &numbers(1)).unwrap();
    assert_eq!(below(folder.path()), names(&["out", "out/text=t0", "out/text=t0/part-0.parquet"]));
    fs::write(spec.path.join("mine.txt"), "x").unwrap();
    let error = write(&spec, &numbers(3)).unwrap_err().to_string();
    assert!(error.contains("found a folder that holds \"mine.txt\""), "{error}");
    assert!(spec.path.join("mine.txt").exists() && spec.path.join("text=t0").exists());
}

#[test]
fn partition_columns_have_to_be_there_and_leave_something_to_write() {
    let folder = tempfile::tempdir().unwrap();
    let create = |by: &[&str]| {
        Writer::create(&partitioned(&folder, by), &numbers(1).schema()).unwrap_err().to_string()
    };
    let unknown = create(&["txet"]);
    assert!(
        unknown.contains("no column \"txet\"") && unknown.contains("did you mean \"text\"?"),
        "{unknown}"
    );
    assert!(create(&["n", "text"]).contains("found no column to write"));
    assert!(create(&["n", "n"]).contains("named once"));
    assert_eq!(below(folder.path()), names(&[]));
}

#[test]
fn a_parquet_file_cut_off_anywhere_is_an_error_and_no_panic() {
    let folder = tempfile::tempdir().unwrap();
    let spec = spec_in(&folder, "out.parquet");
    write(&spec, &numbers(50)).unwrap();
    let whole = fs::read(&spec.path).unwrap();
    for length in (0..whole.len()).step_by(7) {
        fs::write(&spec.path, &whole[..length]).unwrap();
        let error = Parquet::new(&spec.path).plan().err().expect("cut off").to_string();
        assert!(
            error.contains("out.parquet: found a file that is no Parquet file, or is cut off"),
            "{error}"
        );
    }
}

#[test]
fn parquet_columns_are_cast_without_loss_or_the_row_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let spec = spec_in(&folder, "out.parquet");
    let texts: ArrayRef = Arc::new(StringViewArray::from(vec!["1", "2", "secret"]));
    let floats: ArrayRef = Arc::new(arrow::array::Float64Array::from(vec![1.0, 2.5, 3.0]));
    write(&spec, &RecordBatch::try_from_iter([("t", texts), ("f", floats)]).unwrap()).unwrap();
    let int = parse_type("int64").unwrap();
    for (column, row) in [("t", 2), ("f", 1)] {
        let planned = Parquet::new(&spec.path).types([(column, int.clone())]).plan().unwrap();
        assert_eq!(planned.columns().iter().filter(|f| logical_type(f.data_type()) == "int64").count(), 1);
        let mut reader = planned.open(1).unwrap();
        let error = loop {
            match reader.next() {
                Ok(batch) => assert!(batch.is_some(), "read without an error"),
                Err(error) => break error.to_string(),
            }
        };
        let expected = format!("out.parquet, row {row} (counted from 0): column \"{column}\"");
        assert!(error.contains(&expected) && !error.contains("secret"), "{error}");
    }
}

#[test]
fn damaged_files_are_errors_or_other_rows_but_no_panic() {
    let folder = tempfile::tempdir().unwrap();
    for format in [Format::Parquet, Format::Arrow] {
        let spec = spec_in(&folder, &format!("out.{}", format.ending()));
        write(&spec, &numbers(20)).unwrap();
        let whole = fs::read(&spec.path).unwrap();
        let mut errors = 0;
        for at in (0..whole.len()).step_by(5) {
            let mut damaged = whole.clone();
            damaged[at] ^= 0xff;
            fs::write(&spec.path, damaged).unwrap();
            let source: Box<dyn Source> = match format {
                Format::Parquet => Box::new(Parquet::new(&spec.path)),
                _ => Box::new(ArrowFile::new(&spec.path)),
            };
            let read = source.plan().and_then(|planned| {
                let mut reader = planned.open(7)?;
                while reader.next()?.is_some() {}
                Ok(())
            });
            errors += usize::from(read.is_err());
        }
        assert!(errors > 10, "{errors} errors in {format:?}");
    }
}

#[test]
fn hidden_files_of_killed_processes_are_removed_but_not_those_of_living_ones_or_others() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rows.csv");
    let spec = WriteSpec::new(Format::Csv, &path);
    let batch = numbers(3);
    let alive = Writer::create(&spec, &batch.schema()).unwrap();
    for name in [".rows.csv.aB3dE6.tmp", ".rows.csv.backup-1.tmp", ".other.csv.aB3dE6.tmp"] {
        std::fs::write(folder.path().join(name), "left").unwrap();
    }
    let mut writer = Writer::create(&spec, &batch.schema()).unwrap();
    let exists = |name: &str| folder.path().join(name).exists();
    assert!(!exists(".rows.csv.aB3dE6.tmp"), "a leftover stays");
    assert!(exists(".rows.csv.backup-1.tmp") && exists(".other.csv.aB3dE6.tmp"));
    writer.write(&batch).unwrap();
    let finished = writer.finish().unwrap();
    // A finished file has its owner until it is published.
    drop(Writer::create(&spec, &batch.schema()).unwrap());
    finished.publish().unwrap();
    alive.finish().unwrap().publish().unwrap();
    assert!(path.exists());
}

#[test]
fn hidden_folders_of_killed_processes_are_removed_but_not_those_of_living_ones_or_others() {
    let folder = tempfile::tempdir().unwrap();
    let spec = partitioned(&folder, &["text"]);
    let batch = numbers(3);
    let mut alive = Writer::create(&spec, &batch.schema()).unwrap();
    alive.write(&batch).unwrap();
    for name in [".out.aB3dE6.tmp", ".out.backup-1.tmp", ".other.aB3dE6.tmp"] {
        fs::create_dir_all(folder.path().join(name).join("text=t0")).unwrap();
    }
    fs::create_dir_all(folder.path().join(".out.backup.tmp/mine")).unwrap();
    let left = folder.path().join(".out.aB3dE6.tmp");
    assert_eq!(spec.leftovers(), std::slice::from_ref(&left));
    write(&spec, &numbers(1)).unwrap();
    assert!(!left.exists(), "a leftover stays");
    alive.finish().unwrap().publish().unwrap();
    let entries = [".other.aB3dE6.tmp", ".out.backup-1.tmp", ".out.backup.tmp", "out"];
    let found: BTreeSet<String> =
        below(folder.path()).into_iter().filter(|name| !name.contains('/')).collect();
    assert_eq!(found, names(&entries));
    assert!(folder.path().join("out/text=t2").exists(), "the last to be published is there");
}

#[test]
fn a_process_that_was_killed_between_two_renames_has_its_folder_published_by_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let spec = partitioned(&folder, &["text"]);
    write(&spec, &numbers(3)).unwrap();
    // As a file system leaves it that cannot exchange two folders.
    let at = |name: &str| folder.path().join(name);
    fs::rename(at("out"), at(".out.aB3dE6.new.tmp")).unwrap();
    fs::create_dir_all(at(".out.aB3dE6.old.tmp/text=t9")).unwrap();
    drop(Writer::create(&spec, &numbers(1).schema()).unwrap());
    assert!(at("out/text=t2").exists());
    assert!(!at(".out.aB3dE6.new.tmp").exists() && !at(".out.aB3dE6.old.tmp").exists());
}

#[test]
fn a_link_to_a_file_is_written_through_and_stays_a_link() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::create_dir_all(at("far/away")).unwrap();
    fs::write(at("far/away/real.csv"), "earlier").unwrap();
    std::os::unix::fs::symlink("far/away/real.csv", at("one.csv")).unwrap();
    std::os::unix::fs::symlink(at("one.csv"), at("out.csv")).unwrap();
    let spec = spec_in(&folder, "out.csv");
    let mut writer = Writer::create(&spec, &numbers(1).schema()).unwrap();
    writer.write(&numbers(1)).unwrap();
    let finished = writer.finish().unwrap();
    assert_eq!(fs::read_to_string(at("far/away/real.csv")).unwrap(), "earlier");
    finished.publish().unwrap();
    assert_eq!(fs::read_to_string(at("far/away/real.csv")).unwrap(), "n,text\n0,t0\n");
    assert!(at("out.csv").is_symlink() && at("one.csv").is_symlink());
    // One that leads to nothing yet is written through as well, one that leads to a folder is refused.
    std::os::unix::fs::symlink("new/made.csv", at("later.csv")).unwrap();
    write(&spec_in(&folder, "later.csv"), &numbers(1)).unwrap();
    assert!(at("later.csv").is_symlink() && at("new/made.csv").is_file());
    std::os::unix::fs::symlink("far", at("folder.csv")).unwrap();
    let error = write(&spec_in(&folder, "folder.csv"), &numbers(1)).unwrap_err().to_string();
    assert!(error.contains("found a folder, expected a file"), "{error}");
    let exists = WriteSpec { if_exists: IfExists::Error, ..spec };
    assert!(matches!(write(&exists, &numbers(1)), Err(SinkError::Exists { .. })));
}

#[test]
fn names_as_long_as_the_system_takes_are_written() {
    let folder = tempfile::tempdir().unwrap();
    let name = "n".repeat(251) + ".csv";
    write(&spec_in(&folder, &name), &numbers(1)).unwrap();
    write(&spec_in(&folder, &name), &numbers(2)).unwrap();
    assert_eq!(below(folder.path()), names(&[&name]));
    let mut spec = partitioned(&folder, &["text"]);
    spec.path = folder.path().join("p".repeat(255));
    write(&spec, &numbers(1)).unwrap();
    write(&spec, &numbers(2)).unwrap();
    assert!(spec.path.join("text=t1").exists());
}
