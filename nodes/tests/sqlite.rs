//! Rows from SQLite databases: types, values, and databases that cannot be read.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on panics")]

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anabranch_engine::types::{logical_type, parse_type};
use anabranch_nodes::source::{Source as _, Sqlite};
use arrow::array::{Array as _, RecordBatch};
use arrow::util::display::array_value_to_string;
use rusqlite::Connection;
use tempfile::TempDir;

fn database(sql: &str) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data.db");
    Connection::open(&path).unwrap().execute_batch(sql).unwrap();
    (folder, path)
}

fn columns(source: &Sqlite) -> Vec<(String, String)> {
    let planned = source.plan().map_err(|error| text(&error)).unwrap();
    planned.columns().iter().map(|f| (f.name().clone(), logical_type(f.data_type()))).collect()
}

fn batches(source: &Sqlite, chunk_rows: usize) -> Result<Vec<RecordBatch>, String> {
    let mut reader = source.plan().and_then(|planned| planned.open(chunk_rows)).map_err(|e| text(&e))?;
    std::iter::from_fn(|| reader.next().transpose()).collect::<Result<_, _>>().map_err(|e| text(&e))
}

/// Rows as strings; null is `-`.
fn rows(source: &Sqlite) -> Result<Vec<String>, String> {
    let mut rows = Vec::new();
    for batch in batches(source, 8_192)? {
        for row in 0..batch.num_rows() {
            let value = |column: &arrow::array::ArrayRef| {
                if column.is_null(row) { "-".to_owned() } else { array_value_to_string(column, row).unwrap() }
            };
            rows.push(batch.columns().iter().map(value).collect::<Vec<_>>().join(" "));
        }
    }
    Ok(rows)
}

fn text(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

fn error(source: &Sqlite) -> String {
    rows(source).unwrap_err()
}

const FLIGHTS: &str =
    "CREATE TABLE flights (id INTEGER PRIMARY KEY, carrier VARCHAR(2), delay REAL, on_time BOOLEAN, day DATE,
    left_at DATETIME, price DECIMAL(8,2), raw BLOB, any NUMERIC);
    INSERT INTO flights VALUES (1, 'UA', 2.5, 0, '2013-01-01', '2013-01-01 05:17:00', 12.5, x'00ff', 1);
    INSERT INTO flights VALUES (2, NULL, 3, 1, NULL, NULL, 7, NULL, 0.5);";

#[test]
fn declarations_give_types_and_values_follow_them() {
    let (_folder, path) = database(FLIGHTS);
    let source = Sqlite::new(&path).table("flights");
    let types =
        ["int64", "string", "float64", "bool", "date", "timestamp", "decimal(2)", "binary", "float64"];
    let names = ["id", "carrier", "delay", "on_time", "day", "left_at", "price", "raw", "any"];
    let expected: Vec<_> = names.iter().zip(types).map(|(n, t)| ((*n).to_owned(), t.to_owned())).collect();
    assert_eq!(columns(&source), expected);
    let expected =
        ["1 UA 2.5 false 2013-01-01 2013-01-01T05:17:00 12.50 00ff 1.0", "2 - 3.0 true - - 7.00 - 0.5"];
    assert_eq!(rows(&source).unwrap(), expected);
}

#[test]
fn types_override_declarations() {
    let (_folder, path) = database("CREATE TABLE t (a TEXT, b INTEGER); INSERT INTO t VALUES ('12', 7);");
    let chosen = |a: &str, b: &str| {
        Sqlite::new(&path).table("t").types([("a", parse_type(a).unwrap()), ("b", parse_type(b).unwrap())])
    };
    assert_eq!(rows(&chosen("int64", "string")).unwrap(), ["12 7"]);
    assert_eq!(columns(&chosen("int16", "float64"))[0].1, "int16");
    assert_eq!(rows(&chosen("int16", "float64")).unwrap(), ["12 7.0"]);
    assert!(error(&chosen("list<int64>", "string")).contains("found list<int64> for column \"a\""));
}

#[test]
fn expressions_of_a_query_have_the_types_of_their_values() {
    let (_folder, path) = database("CREATE TABLE t (a INTEGER); INSERT INTO t VALUES (1), (2), (3);");
    let query =
        "SELECT a, a * 2 AS twice, a / 2.0 AS half, 'n' || a AS name, NULL AS empty FROM t ORDER BY a DESC";
    let source = Sqlite::new(&path).query(query);
    let types: Vec<_> = columns(&source).into_iter().map(|(_, data_type)| data_type).collect();
    assert_eq!(types, ["int64", "int64", "float64", "string", "string"]);
    assert_eq!(rows(&source).unwrap(), ["3 6 1.5 n3 -", "2 4 1.0 n2 -", "1 2 0.5 n1 -"]);
}

#[test]
fn a_value_that_does_not_fit_names_its_row_and_column_and_the_remedy() {
    let (_folder, path) = database("CREATE TABLE t (a INTEGER); INSERT INTO t VALUES (1), ('x');");
    let found = error(&Sqlite::new(&path).table("t"));
    assert!(found.contains("data.db, row 1 (counted from 0)"), "{found}");
    assert!(
        found.contains("column \"a\" has a string that does not read as that type, expected int64"),
        "{found}"
    );
    assert!(found.contains("types: { a: string }") && !found.contains("'x'"), "{found}");
    let strings = Sqlite::new(&path).table("t").types([("a", parse_type("string").unwrap())]);
    assert_eq!(rows(&strings).unwrap(), ["1", "x"]);
}

#[test]
fn batches_are_bounded_in_rows_and_in_bytes_and_a_reader_can_be_dropped_early() {
    let (_folder, path) = database(
        "CREATE TABLE t (a INTEGER, b BLOB);
         WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 99)
         INSERT INTO t SELECT i, zeroblob(1000000) FROM n;",
    );
    let numbers = Sqlite::new(&path).query("SELECT a FROM t ORDER BY a");
    let sizes: Vec<_> = batches(&numbers, 32).unwrap().iter().map(RecordBatch::num_rows).collect();
    assert_eq!(sizes, [32, 32, 32, 4]);
    let blobs = batches(&Sqlite::new(&path).table("t"), 8_192).unwrap();
    assert!(blobs.iter().all(|batch| batch.num_rows() <= 9), "{}", blobs.len());
    assert_eq!(blobs.iter().map(RecordBatch::num_rows).sum::<usize>(), 100);
    // A query without an end, which the reader that is dropped interrupts.
    let endless =
        "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n WHERE i < 10";
    let planned =
        Sqlite::new(&path).query(endless).types([("i", parse_type("int64").unwrap())]).plan().unwrap();
    drop(planned.open(10).unwrap());
}

#[test]
fn a_database_is_never_made_or_changed() {
    let (folder, path) = database(FLIGHTS);
    let missing = folder.path().join("missing.db");
    assert!(
        error(&Sqlite::new(&missing).table("t")).contains("found no such file, expected a SQLite database")
    );
    assert!(!missing.exists());
    let before = fs::read(&path).unwrap();
    for query in ["DELETE FROM flights", "INSERT INTO flights (id) VALUES (9) RETURNING id", "BEGIN"] {
        let found = error(&Sqlite::new(&path).query(query));
        assert!(found.contains("query: found a statement that writes or gives no rows"), "{query}: {found}");
    }
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[test]
fn a_query_that_cannot_be_used_says_why() {
    let (_folder, path) = database(FLIGHTS);
    let of = |query: &str| error(&Sqlite::new(&path).query(query));
    assert!(of("SELECT gone FROM flights").contains("no such column: gone"));
    assert!(of("SELEKT 1").contains("syntax error"));
    assert!(of("SELECT 1; SELECT 2").contains("query: found"));
    assert!(of("SELECT ?1").contains("a parameter without a value"));
    assert!(of("SELECT 1 AS a, 2 AS a").contains("column \"a\" twice"));
    let table = error(&Sqlite::new(&path).table("fligths"));
    assert!(table.contains("table: found \"fligths\", expected one of \"flights\""), "{table}");
    assert!(table.contains("did you mean \"flights\"?"), "{table}");
    assert!(error(&Sqlite::new(&path)).contains("found neither table nor query"));
    assert!(error(&Sqlite::new(&path).table("flights").query("SELECT 1")).contains("found table and query"));
}

#[test]
fn files_that_are_no_database_and_damaged_ones_have_errors_of_their_own() {
    let (folder, path) = database(FLIGHTS);
    let other = folder.path().join("other.db");
    fs::write(
        &other,
        "a text that is long enough to be looked at as the head of a database, and is none".repeat(9),
    )
    .unwrap();
    assert!(error(&Sqlite::new(&other).table("t")).contains("found a file that is no SQLite database"));
    assert!(error(&Sqlite::new(folder.path()).table("t")).contains("found no file"));
    let mut bytes = fs::read(&path).unwrap();
    let page = bytes.len() / 2;
    bytes[page..].fill(0xff);
    fs::write(&path, bytes).unwrap();
    let found = error(&Sqlite::new(&path).table("flights"));
    assert!(found.contains("found a damaged database"), "{found}");
}

#[test]
fn a_database_in_wal_mode_is_read_with_its_log_and_in_a_folder_that_cannot_be_written() {
    let (folder, path) =
        database("PRAGMA journal_mode = wal; CREATE TABLE t (a INTEGER); INSERT INTO t VALUES (1);");
    let writer = Connection::open(&path).unwrap();
    writer.execute_batch("INSERT INTO t VALUES (2)").unwrap();
    // The second row is in the log alone.
    assert_eq!(rows(&Sqlite::new(&path).table("t")).unwrap(), ["1", "2"]);
    drop(writer);
    set_mode(folder.path(), 0o555);
    let found = rows(&Sqlite::new(&path).table("t"));
    set_mode(folder.path(), 0o755);
    assert_eq!(found.unwrap(), ["1", "2"]);
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_locked_database_is_an_error_that_says_so() {
    let (_folder, path) = database(FLIGHTS);
    let writer = Connection::open(&path).unwrap();
    writer.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let found = error(&Sqlite::new(&path).table("flights"));
    assert!(found.contains("found a database that another program has locked"), "{found}");
}

#[test]
fn declarations_stand_for_types_by_the_rules_of_affinity() {
    let type_of = |declaration: &str| {
        let (_folder, path) =
            database(&format!("CREATE TABLE t (a {declaration}); INSERT INTO t VALUES (x'00');"));
        columns(&Sqlite::new(&path).table("t"))[0].1.clone()
    };
    for (declaration, expected) in [
        ("INTEGER", "int64"),
        ("unsigned big int", "int64"),
        ("FLOATING POINT", "int64"),
        ("VARCHAR(20)", "string"),
        ("text", "string"),
        ("BLOB", "binary"),
        ("double precision", "float64"),
        ("Boolean", "bool"),
        ("DATE", "date"),
        ("datetime", "timestamp"),
        ("timestamp  with time zone", "timestamp_utc"),
        ("DECIMAL(10, 2)", "decimal(10,2)"),
        ("numeric(5)", "decimal(5,0)"),
    ] {
        assert_eq!(type_of(declaration), logical_type(&parse_type(expected).unwrap()), "{declaration}");
    }
    // The value decides.
    for declaration in ["", "NUMERIC", "DECIMAL(-1)", "STRING", "ANY"] {
        assert_eq!(type_of(declaration), "binary", "{declaration}");
    }
}

#[test]
fn values_decide_where_no_type_is_declared() {
    let (_folder, path) = database("");
    let type_of = |values: &[&str]| {
        let query = format!("SELECT {} AS a", values.join(" UNION ALL SELECT "));
        columns(&Sqlite::new(&path).query(query))[0].1.clone()
    };
    let large = "9007199254740993";
    assert_eq!(type_of(&["NULL"]), "string");
    assert_eq!(type_of(&["1", "NULL", large]), "int64");
    assert_eq!(type_of(&["1", "0.5"]), "float64");
    assert_eq!(type_of(&["0.5", large]), "string");
    assert_eq!(type_of(&["1", "'a'"]), "string");
    assert_eq!(type_of(&["1", "x'61'"]), "binary");
}
