//! Many runs over the same rows, each with ten packets that are new: what they cost.
//!
//! The bench has the same with a million rows, and with times.

#![allow(clippy::unwrap_used, clippy::format_push_string, reason = "a test that cannot go on panics")]

use std::path::Path;

use anabranch::{Csv, Function, NodeHandle, Pipeline, Store};
use arrow::array::AsArray as _;
use arrow::datatypes::Int64Type;

const ROWS: usize = 120_000;
const NEW: usize = 10;

/// Where the new packets are.
#[derive(Debug, Clone, Copy)]
enum Place {
    Behind,
    Between,
}

fn write(file: &Path, numbers: &[usize]) {
    let mut text = "id,a,b,name\n".to_owned();
    for (id, n) in numbers.iter().enumerate() {
        text += &format!("{id},{n},{},name {n:06}\n", n * 7);
    }
    std::fs::write(file, text).unwrap();
}

fn pipeline(file: &Path) -> (Pipeline, NodeHandle) {
    let mut p = Pipeline::new("history");
    let source = p.source("rows", Csv::new(file).tags(["id"])).unwrap();
    let sum = Function::new("sum").version("1").takes(["a", "b", "name"]).gives::<i64>("sum").keep(true);
    let sum = sum.call(|(a, b, name): (i64, i64, String)| Ok(a + b + i64::try_from(name.len()).unwrap()));
    let node = p.function("sum", source, sum).unwrap();
    (p, node)
}

/// Bytes of the database and its log, once nobody has the store open.
fn bytes(folder: &Path) -> u64 {
    let connection = rusqlite::Connection::open(folder.join("store.db")).unwrap();
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    connection
        .query_row("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size", [], |row| {
            row.get::<_, i64>(0)
        })
        .unwrap()
        .unsigned_abs()
}

/// A run as a process makes it: packets that were computed, and what the store takes afterwards.
fn run(folder: &Path, file: &Path) -> (u64, u64) {
    let (p, _) = pipeline(file);
    let store = Store::open(folder).unwrap();
    let summary = p.run(&store).unwrap();
    drop(store);
    (summary.node("sum").unwrap().function.unwrap().computed, bytes(folder))
}

fn history(place: Place, runs: usize) {
    let dir = tempfile::tempdir().unwrap();
    let (file, folder) = (dir.path().join("rows.csv"), dir.path().join("store"));
    let mut numbers: Vec<usize> = (0..ROWS).collect();
    write(&file, &numbers);
    let (computed, first) = run(&folder, &file);
    assert_eq!(computed, ROWS as u64);
    for number in 0..runs {
        let new = ROWS + number * NEW..ROWS + (number + 1) * NEW;
        match place {
            Place::Behind => numbers.extend(new),
            Place::Between => {
                for n in new {
                    let at = n * 7_919 % numbers.len();
                    *numbers.get_mut(at).unwrap() = n;
                }
            }
        }
        write(&file, &numbers);
        let (computed, bytes) = run(&folder, &file);
        assert_eq!(computed, NEW as u64, "run {number}, new ones {place:?}");
        assert!(bytes <= 3 * first, "run {number}, new ones {place:?}: {bytes} bytes, {first} after one run");
    }
    // Each run's rows are there, although they share what did not change.
    let (p, node) = pipeline(&file);
    let replayed = Store::open(&folder).unwrap().replay(&p, node).unwrap();
    let sums: Vec<i64> = replayed
        .flat_map(|chunk| {
            let chunk = chunk.unwrap();
            chunk.packets().last().unwrap().as_primitive::<Int64Type>().values().to_vec()
        })
        .collect();
    let expected: Vec<i64> = numbers.iter().map(|n| i64::try_from(n * 8 + 11).unwrap()).collect();
    assert_eq!(sums, expected);
}

#[test]
fn a_hundred_runs_that_add_ten_packets_each_cost_little_more_than_one() {
    history(Place::Behind, 100);
}

#[test]
fn runs_that_change_ten_packets_all_over_the_table_write_what_is_around_these_alone() {
    history(Place::Between, 8);
}
