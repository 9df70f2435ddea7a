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

use anabranch::engine::operator::Operator;
use anabranch::{Join, MergeJoin, NodeHandle, Pipeline, Rows, Union};
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
    let mut expected = None;
    for order in [[0, 1], [1, 0]] {
        let mut p = Pipeline::new("commutes");
        let sources = [source(&mut p, "one", packets[0], 3), source(&mut p, "other", packets[1], 5)];
        assert_eq!(p.pipeline_hash(sources[0]) == p.pipeline_hash(sources[1]), equal_hashes);
        let node = operator().add(&mut p, order.map(|at| sources[at]));
        let schema = (*p.contract(node).unwrap().schema).clone();
        let (_folder, store) = store();
        let (_, rows) = run_node(&p, &store, "node");
        assert!(rows.len() > 20, "only {} rows", rows.len());
        let seen = (p.pipeline_hash(node), p.content_hash(node), p.hash(), schema, sorted(rows));
        let expected = expected.get_or_insert_with(|| seen.clone());
        assert_eq!(seen, *expected, "{order:?}");
    }
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

#[test]
fn a_union_of_columns_in_other_orders_commutes() {
    check(|| Box::new(Union::new()), [&["a", "b"], &["b", "a"]], true);
}

#[test]
fn a_union_of_inputs_with_equal_hashes_commutes() {
    check(|| Box::new(Union::new()), [&["a"], &["a"]], true);
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
