//! Commutative operators give the same for their inputs in any order, provenance and hashes included.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::format_push_string,
    reason = "a test that cannot go on panics, and its numbers are small"
)]

mod support;

use std::sync::Arc;

use anabranch::engine::operator::Operator;
use anabranch::{Join, MergeJoin, NodeHandle, Pipeline, Rows, Union};
use arrow::array::{
    Array, ArrayRef, Int64Array, ListArray, RecordBatch, StructArray, TimestampMicrosecondArray,
    TimestampMillisecondArray,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field};
use serde_json::{Value, json};
use support::{run_node, sorted, store};

/// Rows with the tags `id` and `day`, and these packet columns; ids repeat.
fn source(p: &mut Pipeline, name: &str, packets: &[&str], step: i64) -> NodeHandle {
    let row = |n: i64| -> Vec<(String, Value)> {
        let tags = [("id".to_owned(), json!(n * step % 7)), ("day".to_owned(), json!(n % 2))];
        let packet = |(at, name): (i64, &&str)| ((*name).to_owned(), json!((n * step + at) % 5));
        tags.into_iter().chain((0..).zip(packets).map(packet)).collect()
    };
    p.source(name, Rows::new((0..20).map(row)).tags(["id", "day"])).unwrap()
}

/// The packet columns of the two inputs, and whether their pipeline hashes are equal.
fn check(operator: impl Fn() -> Box<dyn Add>, packets: [&[&str]; 2], equal_hashes: bool) {
    let sources = |p: &mut Pipeline| [source(p, "one", packets[0], 3), source(p, "other", packets[1], 5)];
    let rows = check_sources(operator, sources, equal_hashes);
    assert!(rows.len() > 20, "only {} rows", rows.len());
}

/// The same of any two sources; gives the rows.
fn check_sources(
    operator: impl Fn() -> Box<dyn Add>,
    sources: impl Fn(&mut Pipeline) -> [NodeHandle; 2],
    equal_hashes: bool,
) -> Vec<String> {
    let mut expected = None;
    for order in [[0, 1], [1, 0]] {
        let mut p = Pipeline::new("commutes");
        let sources = sources(&mut p);
        assert_eq!(p.pipeline_hash(sources[0]) == p.pipeline_hash(sources[1]), equal_hashes);
        let node = operator().add(&mut p, order.map(|at| sources[at]));
        let schema = (*p.contract(node).unwrap().schema).clone();
        let (_folder, store) = store();
        let (_, rows) = run_node(&p, &store, "node");
        let seen = (p.pipeline_hash(node), p.content_hash(node), p.hash(), schema, sorted(rows));
        let expected = expected.get_or_insert_with(|| seen.clone());
        assert_eq!(seen, *expected, "{order:?}");
    }
    expected.unwrap().4
}

/// Adds an operator of any kind under the name `node`.
trait Add {
    fn add(self: Box<Self>, p: &mut Pipeline, inputs: [NodeHandle; 2]) -> NodeHandle;
}

impl<T: Operator + 'static> Add for T {
    fn add(self: Box<Self>, p: &mut Pipeline, inputs: [NodeHandle; 2]) -> NodeHandle {
        p.operator("node", *self, inputs).unwrap()
    }
}

#[test]
fn a_join_commutes() {
    check(|| Box::new(Join::new()), [&["a", "b"], &["c"]], false);
}

#[test]
fn a_join_of_inputs_with_equal_hashes_commutes() {
    check(|| Box::new(Join::new()), [&[], &[]], true);
}

#[test]
fn a_merge_join_commutes() {
    check(|| Box::new(MergeJoin::new()), [&["a", "b"], &["b", "c"]], false);
}

#[test]
fn a_merge_join_of_inputs_with_equal_hashes_commutes() {
    check(|| Box::new(MergeJoin::new()), [&["a", "b"], &["a", "b"]], true);
}

/// A source of one row with the tag `id` and a packet column.
fn one_row(p: &mut Pipeline, name: &str, column: ArrayRef) -> NodeHandle {
    let id: ArrayRef = Arc::new(Int64Array::from(vec![1]));
    let batch = RecordBatch::try_from_iter_with_nullable([("id", id, false), ("x", column, true)]).unwrap();
    p.source(name, Rows::from_batches(vec![batch]).tags(["id"])).unwrap()
}

fn list_of(items: ArrayRef, nullable: bool) -> ArrayRef {
    let field = Field::new("item", items.data_type().clone(), nullable);
    let offsets = OffsetBuffer::from_lengths([items.len()]);
    Arc::new(ListArray::new(Arc::new(field), offsets, items, None))
}

#[test]
fn a_merge_join_of_lists_of_times_keeps_every_digit_and_commutes() {
    let rows = check_sources(
        || Box::new(MergeJoin::new()),
        |p| {
            let (milli, micro) = (vec![5_000], vec![4_000_123, 6_000_999]);
            let milli = list_of(Arc::new(TimestampMillisecondArray::from(milli)), true);
            let micro = list_of(Arc::new(TimestampMicrosecondArray::from(micro)), true);
            [one_row(p, "one", milli), one_row(p, "other", micro)]
        },
        true,
    );
    let times = "x=[[1970-01-01T00:00:04.000123, 1970-01-01T00:00:06.000999], [1970-01-01T00:00:05]]";
    assert!(rows.len() == 1 && rows[0].contains(times), "{rows:?}");
}

#[test]
fn a_merge_join_of_lists_with_and_without_nulls_commutes() {
    let rows = check_sources(
        || Box::new(MergeJoin::new()),
        |p| {
            let whole = list_of(Arc::new(Int64Array::from(vec![7, 8])), false);
            let holes = list_of(Arc::new(Int64Array::from(vec![Some(7), None])), true);
            [one_row(p, "one", whole), one_row(p, "other", holes)]
        },
        true,
    );
    assert!(rows.len() == 1 && rows[0].contains("x=[[7, 8], [7, \u{2205}]]"), "{rows:?}");
}

#[test]
fn a_merge_join_of_structs_with_fields_in_other_orders_commutes() {
    let number = |n: i64| -> ArrayRef { Arc::new(Int64Array::from(vec![n])) };
    let pair = |first: (&str, i64), second: (&str, i64)| -> ArrayRef {
        let field = |name: &str| Arc::new(Field::new(name, DataType::Int64, true));
        Arc::new(StructArray::from(vec![
            (field(first.0), number(first.1)),
            (field(second.0), number(second.1)),
        ]))
    };
    let rows = check_sources(
        || Box::new(MergeJoin::new()),
        |p| {
            let (one, other) = (pair(("p", 1), ("q", 9)), pair(("q", 3), ("p", 2)));
            [one_row(p, "one", one), one_row(p, "other", other)]
        },
        true,
    );
    let either = ["x=[{p: 1, q: 9}, {p: 2, q: 3}]", "x=[{q: 3, p: 2}, {q: 9, p: 1}]"];
    assert!(rows.len() == 1 && either.iter().any(|text| rows[0].contains(text)), "{rows:?}");
}

#[test]
fn a_union_of_columns_in_other_orders_commutes() {
    check(|| Box::new(Union), [&["a", "b"], &["b", "a"]], true);
}

#[test]
fn a_union_of_inputs_with_equal_hashes_commutes() {
    check(|| Box::new(Union), [&["a"], &["a"]], true);
}

#[test]
fn a_node_merged_with_itself_has_both_tuples_of_each_row_in_ascending_order() {
    let mut p = Pipeline::new("itself");
    let one = source(&mut p, "one", &["a"], 3);
    let node = p.operator("node", MergeJoin::new(), [one, one]).unwrap();
    assert_eq!(p.contract(node).unwrap().schema.system_tags().len(), 2);
    let (_folder, store) = store();
    let (_, rows) = run_node(&p, &store, "node");
    for row in &rows {
        let records: Vec<&str> = row
            .split('|')
            .filter(|cell| cell.starts_with("_tag_record_id::"))
            .filter_map(|cell| cell.split_once('=').map(|(_, value)| value))
            .collect();
        assert_eq!(records.len(), 2, "{row}");
        assert!(records[0] <= records[1], "{row}");
    }
    // Every pair of rows of one key stands there both ways round.
    let distinct: std::collections::HashSet<&String> = rows.iter().collect();
    assert!(distinct.len() < rows.len() && distinct.len() > 20);
}
