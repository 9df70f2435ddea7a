//! Joins of several inputs, and on tags of types that differ in files but not in meaning.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::format_push_string,
    reason = "a test that cannot go on panics, and its numbers are small"
)]

mod support;

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use anabranch::{Columns, Executor, Join, NodeHandle, Parquet, Pipeline, Rows, Store};
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Int64Type, TimeUnit};
use parquet::arrow::ArrowWriter;
use serde_json::json;
use support::{run_node, sorted, store};

/// Rows of numbers, by the names of their columns.
type Table = Vec<Vec<(&'static str, i64)>>;

fn table(names: [&'static str; 3], rows: i64, step: i64, modulo: i64) -> Table {
    let row = |n: i64| {
        vec![(names[0], n * step % modulo), (names[1], n * (step + 1) % modulo), (names[2], 100 * step + n)]
    };
    (0..rows).map(row).collect()
}

/// All combinations of rows that agree on the columns of a common name.
fn nested_loops(tables: &[Table]) -> Table {
    let mut joined: Table = vec![Vec::new()];
    for table in tables {
        let mut next = Vec::new();
        for one in &joined {
            for other in table {
                let agrees = |(name, value): &(&str, i64)| {
                    one.iter().all(|(theirs, number)| theirs != name || number == value)
                };
                if other.iter().all(agrees) {
                    let mut row: Vec<_> = one.iter().chain(other).copied().collect();
                    row.sort_unstable();
                    row.dedup();
                    next.push(row);
                }
            }
        }
        joined = next;
    }
    joined
}

fn texts(table: &Table) -> Vec<String> {
    let row = |row: &Vec<(&str, i64)>| {
        row.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("|")
    };
    sorted(table.iter().map(row).collect())
}

/// Rows of the pipeline's last node, without provenance.
fn data(p: &Pipeline, store: &Store, node: &str) -> Vec<String> {
    let (_, rows) = run_node(p, store, node);
    let visible = |row: &String| row.split('|').filter(|c| !c.starts_with('_')).collect::<Vec<_>>().join("|");
    sorted(rows.iter().map(visible).collect())
}

fn check_against_nested_loops(tables: &[Table], cross: bool) {
    for executor in [Executor::Async, Executor::Sync] {
        let mut p = Pipeline::new("several");
        p.settings_mut().executor = executor;
        let mut inputs: Vec<NodeHandle> = Vec::new();
        for (at, table) in tables.iter().enumerate() {
            let rows = table.iter().map(|row| row.iter().map(|(name, value)| (*name, json!(value))));
            let tags: Vec<&str> = table[0].iter().take(2).map(|(name, _)| *name).collect();
            inputs.push(p.source(&format!("s{at}"), Rows::new(rows).tags(tags)).unwrap());
        }
        p.operator("all", Join { cross }, inputs).unwrap();
        let (_folder, store) = store();
        let expected = texts(&nested_loops(tables));
        assert!(expected.len() > 20, "only {} rows", expected.len());
        assert_eq!(data(&p, &store, "all"), expected, "{executor:?}");
    }
}

#[test]
fn a_ring_of_inputs_of_which_each_shares_one_tag_with_the_next_is_joined_on_all_of_them() {
    let tables = [
        table(["a", "b", "p"], 30, 1, 4),
        table(["b", "c", "q"], 25, 3, 4),
        table(["c", "a", "r"], 20, 5, 4),
    ];
    check_against_nested_loops(&tables, false);
}

#[test]
fn a_chain_of_inputs_is_joined_in_any_order_of_its_links() {
    let links = [
        table(["c", "d", "r"], 9, 5, 5),
        table(["a", "b", "p"], 12, 1, 5),
        table(["d", "e", "s"], 10, 7, 5),
        table(["b", "c", "q"], 11, 3, 5),
    ];
    check_against_nested_loops(&links, false);
}

#[test]
fn inputs_that_share_no_tag_give_every_combination_if_that_is_asked_for() {
    let tables =
        [table(["a", "b", "p"], 8, 1, 4), table(["c", "d", "q"], 7, 3, 4), table(["a", "e", "r"], 6, 5, 4)];
    check_against_nested_loops(&tables, true);
}

fn write(path: &Path, key: &ArrayRef, payload: &str) {
    let number: ArrayRef = Arc::new((0..key.len() as i64).map(Some).collect::<Int64Array>());
    let columns = [("key", Arc::clone(key)), (payload, number)];
    let batch = RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, c)| (n, c, true)));
    let batch = batch.unwrap();
    let mut writer = ArrowWriter::try_new(File::create(path).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

/// Which rows of two files match on a key: numbers of both, sorted.
fn matches(left: &ArrayRef, right: &ArrayRef, leaves: &DataType) -> Vec<(i64, i64)> {
    let (folder, store) = store();
    let paths = ["left.parquet", "right.parquet"].map(|name| folder.path().join(name));
    write(&paths[0], left, "l");
    write(&paths[1], right, "r");
    let mut p = Pipeline::new("types");
    let left = p.source("left", Parquet::new(&paths[0]).tags(["key"])).unwrap();
    let right = p.source("right", Parquet::new(&paths[1]).tags(["key"])).unwrap();
    let both = p.operator("both", Join::new(), [left, right]).unwrap();
    let schema = &p.contract(both).unwrap().schema;
    assert_eq!(schema.find("key").unwrap().2.data_type(), leaves);
    let sum = anabranch::Function::sql("sum", [("sum", "l + r")]).keep(true);
    let sum = p.function("sum", both, sum).unwrap();
    p.run(&store).unwrap();
    let mut pairs = Vec::new();
    let mut replay = store.replay(&p, sum).unwrap();
    while let Some(chunk) = replay.next() {
        let batch = chunk.unwrap().to_batch(Columns::Data, replay.origins()).unwrap();
        let numbers =
            |name: &str| batch.column_by_name(name).unwrap().as_primitive::<Int64Type>().values().to_vec();
        pairs.extend(numbers("l").into_iter().zip(numbers("r")));
    }
    pairs.sort_unstable();
    pairs
}

fn numbers(values: &[Option<i64>], data_type: &DataType) -> ArrayRef {
    let plain: ArrayRef = Arc::new(values.iter().copied().collect::<Int64Array>());
    arrow::compute::cast(&plain, data_type).unwrap()
}

/// Values on both sides, of which row 0 matches row 2, and row 2 matches rows 0 and 3.
const LEFT: [Option<i64>; 4] = [Some(86_400), None, Some(0), Some(7)];
const RIGHT: [Option<i64>; 5] = [Some(0), None, Some(86_400), Some(0), Some(1)];
const MATCHES: [(i64, i64); 3] = [(0, 2), (2, 0), (2, 3)];

#[test]
fn integers_of_different_widths_match_by_value_and_the_wider_type_leaves() {
    use DataType as D;
    let cases =
        [(D::Int32, D::Int64, D::Int64), (D::Int64, D::Int32, D::Int64), (D::UInt32, D::Int32, D::Int64)];
    for (left, right, leaves) in cases {
        assert_eq!(matches(&numbers(&LEFT, &left), &numbers(&RIGHT, &right), &leaves), MATCHES);
    }
}

#[test]
fn timestamps_of_different_units_match_by_the_instant() {
    let stamp = |unit| DataType::Timestamp(unit, None);
    let seconds = |values: &[Option<i64>], unit: TimeUnit| {
        arrow::compute::cast(&numbers(values, &stamp(TimeUnit::Second)), &stamp(unit)).unwrap()
    };
    let (left, right) = (seconds(&LEFT, TimeUnit::Millisecond), seconds(&RIGHT, TimeUnit::Nanosecond));
    assert_eq!(matches(&left, &right, &stamp(TimeUnit::Nanosecond)), MATCHES);
    let zone = |name: &str, unit| DataType::Timestamp(unit, Some(name.into()));
    let left = arrow::compute::cast(&left, &zone("UTC", TimeUnit::Millisecond)).unwrap();
    let right = arrow::compute::cast(&right, &zone("UTC", TimeUnit::Nanosecond)).unwrap();
    let elsewhere = zone("Europe/Oslo", TimeUnit::Nanosecond);
    let right = arrow::compute::cast(&right, &elsewhere).unwrap();
    assert_eq!(matches(&left, &right, &zone("UTC", TimeUnit::Nanosecond)), MATCHES);
}

#[test]
fn decimals_of_one_scale_match_whatever_their_precision() {
    let (narrow, wide) = (DataType::Decimal128(9, 2), DataType::Decimal128(30, 2));
    assert_eq!(matches(&numbers(&LEFT, &narrow), &numbers(&RIGHT, &wide), &wide), MATCHES);
    let wider = DataType::Decimal256(50, 2);
    assert_eq!(matches(&numbers(&LEFT, &wider), &numbers(&RIGHT, &narrow), &wider), MATCHES);
}

#[test]
fn dates_match_in_either_form() {
    let days = |values: &[Option<i64>]| numbers(values, &DataType::Int32);
    let date = |values: &[Option<i64>]| arrow::compute::cast(&days(values), &DataType::Date32).unwrap();
    let right = arrow::compute::cast(&date(&RIGHT), &DataType::Date64).unwrap();
    assert_eq!(matches(&date(&LEFT), &right, &DataType::Date32), MATCHES);
}

#[test]
fn booleans_are_keys() {
    let left: ArrayRef = Arc::new(BooleanArray::from(vec![Some(true), None, Some(false)]));
    let right: ArrayRef = Arc::new(BooleanArray::from(vec![Some(false), Some(true), Some(false), None]));
    assert_eq!(matches(&left, &right, &DataType::Boolean), [(0, 1), (2, 0), (2, 2)]);
}
