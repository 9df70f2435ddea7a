//! All orders of a five-way join's inputs give equal rows and hashes.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::format_push_string,
    reason = "a test that cannot go on panics, and its numbers are small"
)]

mod support;

use anabranch::{Join, NodeHandle, Pipeline, Rows};
use serde_json::{Value, json};
use support::{run_node, sorted, store};

const NAMES: [&str; 5] = ["visits", "people", "places", "devices", "days"];

/// Five small tables with partly overlapping tags; `devices` and `days` have equal schemas but for
/// a name.
fn source(p: &mut Pipeline, name: &str) -> NodeHandle {
    let row = |n: i64| -> Vec<(&'static str, Value)> {
        match name {
            "visits" => vec![
                ("person", json!(n % 7)),
                ("place", json!(n % 5)),
                ("device", json!(n % 3)),
                ("day", json!(n % 4)),
                ("minutes", json!(n)),
            ],
            "people" => vec![("person", json!(n % 9)), ("born", json!(1950 + n))],
            "places" => vec![("place", json!(n % 5)), ("city", json!(format!("city {n}")))],
            "devices" => vec![("device", json!(n % 4)), ("maker", json!("a maker"))],
            _ => vec![("day", json!(n % 6)), ("weather", json!("fine"))],
        }
    };
    let count = if name == "visits" { 60 } else { 8 };
    let tags: &[&str] = match name {
        "visits" => &["person", "place", "device", "day"],
        "people" => &["person"],
        "places" => &["place"],
        "devices" => &["device"],
        _ => &["day"],
    };
    p.source(name, Rows::new((0..count).map(row)).tags(tags.iter().copied())).unwrap()
}

fn permutations(of: &[usize]) -> Vec<Vec<usize>> {
    if of.is_empty() {
        return vec![vec![]];
    }
    let mut all = Vec::new();
    for (at, first) in of.iter().enumerate() {
        let rest: Vec<usize> = of.iter().enumerate().filter(|(i, _)| *i != at).map(|(_, n)| *n).collect();
        for mut tail in permutations(&rest) {
            tail.insert(0, *first);
            all.push(tail);
        }
    }
    all
}

#[test]
fn all_orders_of_a_five_way_join_give_equal_rows_columns_and_hashes() {
    let orders = permutations(&[0, 1, 2, 3, 4]);
    assert_eq!(orders.len(), 120);
    let mut expected = None;
    for order in orders {
        let mut p = Pipeline::new("five");
        let nodes: Vec<NodeHandle> = NAMES.iter().map(|name| source(&mut p, name)).collect();
        let all = p.operator("all", Join::new(), order.iter().map(|at| nodes[*at])).unwrap();
        let columns: Vec<String> = p.contract(all).unwrap().schema.names();
        let (_folder, store) = store();
        let (summary, rows) = run_node(&p, &store, "all");
        let mut unmatched = [0; 5];
        for (at, count) in order.iter().zip(&summary.node("all").unwrap().unmatched) {
            unmatched[*at] = *count;
        }
        let seen = (p.pipeline_hash(all), p.content_hash(all), p.hash(), columns, sorted(rows));
        assert!(seen.4.len() > 60, "the join gives only {} rows", seen.4.len());
        let expected = expected.get_or_insert_with(|| seen.clone());
        assert!(seen == *expected, "order {order:?} differs");
    }
}
