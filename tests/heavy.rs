//! Pipelines of many rows, each in a process of its own, whose memory is then told:
//! `heavy SHAPE ROWS EXECUTOR MEMORY_LIMIT STORE`. Prints one JSON document.
//!
//! The pipeline is run once without rows first; `above_empty_bytes` is by how much the run with
//! rows raised the process's largest memory.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "a test that cannot go on panics, and its numbers are small"
)]

mod support;

use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use anabranch::{
    Antijoin, Batch, Executor, Filter, Join, Map, MergeJoin, NodeHandle, Pipeline, RunOptions, Select,
    Semijoin, Sort, Store, Summary, Union,
};
use serde_json::{Value, json};
use support::checksum_operator::ChecksumOperator;
use support::made::{Column, Made};

/// Odd and no multiple of five, so that powers of ten of rows come in another order.
const SCATTER: u64 = 7_919;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let (shape, rows) = (arguments[1].as_str(), arguments[2].parse().unwrap());
    let executor = if arguments[3] == "sync" { Executor::Sync } else { Executor::Async };
    let limit: u64 = arguments[4].parse().unwrap();
    let store = Store::open(&arguments[5]).unwrap();
    let witness = ChecksumOperator::default();
    let prepared = |rows: u64, witness: &ChecksumOperator| {
        let mut p = Pipeline::new("heavy");
        let settings = p.settings_mut();
        settings.executor = executor;
        settings.channel_capacity = NonZeroUsize::MIN;
        settings.memory_limit = limit;
        let last = build(&mut p, shape, rows);
        p.operator("witness", witness.clone(), [last]).unwrap();
        p
    };
    let options = RunOptions { limit: Some(0), ..RunOptions::default() };
    let empty = prepared(rows, &ChecksumOperator::default()).run_with(&store, &options).unwrap();
    if shape == "hot" {
        println!("{}", cancelled(prepared, rows, &store, &empty));
        return;
    }
    let summary = prepared(rows, &witness).run(&store).unwrap();
    println!("{}", told(&summary, &empty, &witness));
}

fn told(summary: &Summary, empty: &Summary, witness: &ChecksumOperator) -> Value {
    json!({
        "rows": witness.rows(),
        "digest": format!("{:016x}", witness.digest()),
        "above_empty_bytes": summary.peak_memory_bytes - empty.peak_memory_bytes,
        "empty_bytes": empty.peak_memory_bytes,
        "summary": summary.to_json(),
    })
}

/// Runs until rows flow, then cancels and tells how long the end took.
fn cancelled(
    prepared: impl Fn(u64, &ChecksumOperator) -> Pipeline,
    rows: u64,
    store: &Store,
    empty: &Summary,
) -> Value {
    let (sender, flowing) = std::sync::mpsc::sync_channel(1);
    let handle = prepared(rows, &ChecksumOperator::telling(1, sender)).start(store).unwrap();
    // Nothing comes if the run fails; then the sender goes with it.
    flowing.recv().unwrap();
    // The pairs of a hundred chunks, so that the join is in the middle of them.
    let joined = loop {
        let progress = handle.progress();
        let joined = progress.iter().find(|node| node.name == "both").map_or(0, |node| node.rows_out);
        if joined > 1_000_000 {
            break joined;
        }
        std::thread::yield_now();
    };
    let before = Instant::now();
    handle.cancel();
    let error = handle.wait().unwrap_err();
    let took: Duration = before.elapsed();
    let peak = peak_memory_bytes();
    json!({
        "cancelled": error.is_cancelled(),
        "joined": joined,
        "seconds_to_end": took.as_secs_f64(),
        "above_empty_bytes": peak - empty.peak_memory_bytes,
    })
}

fn peak_memory_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().strip_suffix("kB").unwrap().trim().parse::<u64>().unwrap() * 1024
}

/// A source with the tag `id`, each value once, and a packet column of that name.
fn source(p: &mut Pipeline, name: &str, packet: &str, rows: u64) -> NodeHandle {
    let columns = [Column::new("id", SCATTER, rows), Column::new(packet, 3, 1_000_003)];
    p.source(name, Made::new(rows, columns).tags(&["id"])).unwrap()
}

/// Rows of a text of 100 characters, so that state is large.
fn wide(p: &mut Pipeline, name: &str, packet: &str, rows: u64) -> NodeHandle {
    let columns = [Column::new("id", SCATTER, rows), Column::text(packet, 11, 1_000_003, 100)];
    p.source(name, Made::new(rows, columns).tags(&["id"])).unwrap()
}

fn renamed(p: &mut Pipeline, name: &str, input: NodeHandle, from: &str, to: &str) -> NodeHandle {
    p.operator(name, Map::packets([(from, to)]), [input]).unwrap()
}

fn some(p: &mut Pipeline, name: &str, input: NodeHandle, filter: &str) -> NodeHandle {
    p.operator(name, Filter::predicate(filter), [input]).unwrap()
}

fn build(p: &mut Pipeline, shape: &str, rows: u64) -> NodeHandle {
    match shape {
        "diamond_semijoin" => {
            let s = source(p, "s", "v", rows);
            let right = some(p, "right", s, "v % 2 = 0");
            p.operator("both", Semijoin, [s, right]).unwrap()
        }
        "diamond_antijoin" => {
            let s = source(p, "s", "v", rows);
            let right = some(p, "right", s, "v % 2 = 0");
            p.operator("both", Antijoin, [s, right]).unwrap()
        }
        "diamond_join" => {
            let s = source(p, "s", "v", rows);
            let right = renamed(p, "right", s, "v", "w");
            p.operator("both", Join::new(), [s, right]).unwrap()
        }
        "diamond_merge_join" => {
            let s = source(p, "s", "v", rows);
            let right = some(p, "right", s, "v % 2 = 0");
            p.operator("both", MergeJoin::new(), [s, right]).unwrap()
        }
        "itself_merge_join" => {
            let s = source(p, "s", "v", rows);
            p.operator("both", MergeJoin::new(), [s, s]).unwrap()
        }
        "two_levels" => two_levels(p, rows),
        "five" => five(p, rows),
        "crossed" => crossed(p, rows),
        "hot" | "hot_to_the_end" => hot(p, rows),
        _ => spilling(p, shape, rows),
    }
}

/// A diamond in one side of a diamond: the inner one waits for its right side while the outer one
/// waits for it.
fn two_levels(p: &mut Pipeline, rows: u64) -> NodeHandle {
    let s = source(p, "s", "v", rows);
    let odd = some(p, "odd", s, "v % 2 = 1");
    let inner = p.operator("inner", Semijoin, [s, odd]).unwrap();
    let inner = renamed(p, "inner_named", inner, "v", "w");
    let outer = p.operator("outer", Join::new(), [s, inner]).unwrap();
    let large = some(p, "large", outer, "v > 500000");
    p.operator("both", Semijoin, [outer, large]).unwrap()
}

/// One source, five consumers, which meet again.
fn five(p: &mut Pipeline, rows: u64) -> NodeHandle {
    let s = source(p, "s", "v", rows);
    let parts: Vec<NodeHandle> =
        (0..5).map(|n| some(p, &format!("part_{n}"), s, &format!("v % 5 <> {n}"))).collect();
    let kept = p.operator("kept", Semijoin, [parts[0], parts[1]]).unwrap();
    let kept = p.operator("not", Antijoin, [kept, parts[2]]).unwrap();
    let others = p.operator("others", Union, [parts[3], parts[4]]).unwrap();
    let others = renamed(p, "others_named", others, "v", "w");
    p.operator("both", Join::new(), [kept, others]).unwrap()
}

/// Each of two semijoins waits for the source that the other one has on its left.
fn crossed(p: &mut Pipeline, rows: u64) -> NodeHandle {
    let a = source(p, "a", "v", rows);
    let b = source(p, "b", "w", rows);
    let one = p.operator("one", Semijoin, [a, b]).unwrap();
    let other = p.operator("other", Semijoin, [b, a]).unwrap();
    p.operator("both", Join::new(), [one, other]).unwrap()
}

/// One key on both sides, and a filter behind that keeps ten of all pairs.
fn hot(p: &mut Pipeline, rows: u64) -> NodeHandle {
    let side = |p: &mut Pipeline, name: &str, packet: &str| {
        let columns = [Column::new("key", 0, 1), Column::new(packet, 1, u64::MAX)];
        p.source(name, Made::new(rows, columns).tags(&["key"])).unwrap()
    };
    let (left, right) = (side(p, "left", "l"), side(p, "right", "r"));
    let both = p.operator("both", Join::new(), [left, right]).unwrap();
    some(p, "ten", both, "l = r AND l < 10")
}

/// State that has to leave memory.
fn spilling(p: &mut Pipeline, shape: &str, rows: u64) -> NodeHandle {
    let a = wide(p, "a", "v", rows);
    if shape == "sort" {
        return p.operator("both", Sort::by(["id"]), [a]).unwrap();
    }
    if shape == "batch" {
        let a = p.operator("map", Map::packets([("v", "w")]), [a]).unwrap();
        let lists = p.operator("both", Batch::new().by(["id"]), [a]).unwrap();
        return p.operator("only", Select::new().tags(["id"]), [lists]).unwrap();
    }
    let b = wide(p, "b", if shape == "merge_join" { "v" } else { "w" }, rows);
    match shape {
        "join" => p.operator("both", Join::new(), [a, b]),
        "merge_join" => p.operator("both", MergeJoin::new(), [a, b]),
        "semijoin" => p.operator("both", Semijoin, [a, b]),
        "antijoin" => {
            let b = some(p, "some", b, "id % 3 = 0");
            p.operator("both", Antijoin, [a, b])
        }
        _ => panic!("no shape {shape}"),
    }
    .unwrap()
}
