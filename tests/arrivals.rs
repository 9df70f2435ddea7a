//! Operators that put rows in order behind a join give the same, however the rows arrive.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::format_push_string,
    reason = "a test that cannot go on panics, and its numbers are small"
)]

mod support;

use anabranch::{Antijoin, Batch, ChunkOutput, Function, Join, NodeHandle, Pipeline, Select, Semijoin, Sort};
use arrow::array::{Array, AsArray, Int64Array};
use std::sync::Arc;
use support::made::{Column, Made};
use support::{replay_node, run_node, store};

const RUNS: usize = 50;

/// Keys that repeat on both sides, so that the join multiplies rows, and packets that repeat.
fn side(p: &mut Pipeline, name: &str, packet: &str, rows: u64) -> NodeHandle {
    let columns = [Column::new("key", 7, 90), Column::new(packet, 3, 41)];
    p.source(name, Made::new(rows, columns).tags(&["key"]).shuffled(rows)).unwrap()
}

/// A function of lists: how many items they have.
fn lengths(name: &str) -> Function {
    Function::new(name).version("1").takes(["l", "r"]).gives::<i64>("count").keep(true).call_chunk(
        |columns, _| {
            let lists = columns[0].as_list::<i32>();
            let counts = (0..lists.len()).map(|row| Some(i64::from(lists.value_length(row))));
            Ok(ChunkOutput { columns: vec![Arc::new(counts.collect::<Int64Array>())], keep: None })
        },
    )
}

#[test]
fn sort_batch_by_and_all_in_one_give_equal_packets_in_fifty_runs_with_shuffled_arrivals() {
    let mut p = Pipeline::new("arrivals");
    let (left, right) = (side(&mut p, "left", "l", 700), side(&mut p, "right", "r", 500));
    let both = p.operator("both", Join::new(), [left, right]).unwrap();
    let sorted = p.operator("sorted", Sort::by(["key"]), [both]).unwrap();
    // Which rows come together is what the order of ties decides.
    let cut = p.operator("cut", Batch::new().size(10), [sorted]).unwrap();
    let grouped = p.operator("grouped", Batch::new().by(["key"]), [both]).unwrap();
    let one = p.operator("one", Batch::new().size(0), [both]).unwrap();
    let sum = Function::new("of_sorted").version("1").takes(["l", "r"]).gives::<i64>("sum").keep(true);
    p.function("of_sorted", sorted, sum.call(|(l, r): (i64, i64)| Ok(l + r))).unwrap();
    for (name, input) in [("of_cut", cut), ("of_grouped", grouped), ("of_one", one)] {
        p.function(name, input, lengths(name)).unwrap();
    }
    let functions = ["of_sorted", "of_cut", "of_grouped", "of_one"];
    let (_folder, store) = store();
    let mut expected = None;
    for run in 0..RUNS {
        let summary = p.run(&store).unwrap();
        for name in functions {
            let function = summary.node(name).unwrap().function.unwrap();
            assert_eq!(function.computed == 0, run > 0, "run {run}, {name}: {function:?}");
        }
        let rows = functions.map(|name| replay_node(&p, &store, name));
        assert!(rows[0].len() > 3_000 && rows[1].len() > 300 && rows[2].len() == 90 && rows[3].len() == 1);
        let expected = expected.get_or_insert_with(|| rows.clone());
        for (name, (rows, expected)) in functions.iter().zip(rows.iter().zip(expected.iter())) {
            assert!(rows == expected, "run {run}: {name} differs");
        }
    }
}

#[test]
fn semijoin_and_antijoin_keep_the_order_of_left_when_they_spill() {
    for name in ["semi", "anti"] {
        let mut expected = None;
        for (memory_limit, spills) in [(2 << 30, false), (64 << 10, true)] {
            let mut p = Pipeline::new("order");
            p.settings_mut().memory_limit = memory_limit;
            let columns = [Column::new("id", 7_919, 30_000), Column::text("v", 1, 30_000, 30)];
            let left = p.source("left", Made::new(30_000, columns).tags(&["id"]).shuffled(5)).unwrap();
            let columns = [Column::new("id", 3, 90_000), Column::new("w", 1, 30_000)];
            let right = p.source("right", Made::new(30_000, columns).tags(&["id"]).shuffled(6)).unwrap();
            let some = if name == "semi" {
                p.operator("some", Semijoin, [left, right]).unwrap()
            } else {
                p.operator("some", Antijoin, [left, right]).unwrap()
            };
            p.operator("all", Select::new(), [some]).unwrap();
            let (_folder, store) = store();
            for _ in 0..3 {
                let (summary, rows) = run_node(&p, &store, "all");
                assert_eq!(summary.spilled_bytes > 0, spills, "{name}");
                assert!(rows.len() == if name == "semi" { 10_000 } else { 20_000 });
                let positions: Vec<u64> = rows.iter().map(|row| position(row)).collect();
                assert!(positions.is_sorted(), "{name} with {memory_limit} bytes is not in left's order");
                assert!(*expected.get_or_insert_with(|| rows.clone()) == rows, "{name}: rows differ");
            }
        }
    }
}

/// The position in the source that a row's text tells.
fn position(row: &str) -> u64 {
    let (_, after) = row.split_once("=row_").unwrap();
    after.chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap()
}
