//! Graphs of very many layers: planned in time that grows with them, and run.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::format_push_string,
    reason = "a test that cannot go on panics"
)]

mod support;

use anabranch::{
    Antijoin, Executor, Filter, ForecastOptions, Join, Map, NodeHandle, Pipeline, PlanError, Rows,
    RunOptions, Select, Semijoin, Store, Union, picture,
};
use serde_json::Value;
use support::Folder;

/// A layer behind a node of the tag `id` and the packet column `x`, which gives a node of the same columns.
type Layer = fn(&mut Pipeline, usize, NodeHandle) -> Result<NodeHandle, PlanError>;

const NONE: [&str; 0] = [];

fn line(p: &mut Pipeline, at: usize, above: NodeHandle) -> Result<NodeHandle, PlanError> {
    p.operator(&format!("f{at}"), Filter::predicate("x >= 0"), [above])
}

fn semijoins(p: &mut Pipeline, at: usize, above: NodeHandle) -> Result<NodeHandle, PlanError> {
    let left = p.operator(&format!("l{at}"), Filter::predicate("x >= 0"), [above])?;
    let right = p.operator(&format!("r{at}"), Select::new().packets(NONE), [above])?;
    p.operator(&format!("b{at}"), Semijoin, [left, right])
}

fn antijoins(p: &mut Pipeline, at: usize, above: NodeHandle) -> Result<NodeHandle, PlanError> {
    let right = p.operator(&format!("r{at}"), Filter::predicate("x < 0"), [above])?;
    p.operator(&format!("b{at}"), Antijoin, [above, right])
}

fn unions(p: &mut Pipeline, at: usize, above: NodeHandle) -> Result<NodeHandle, PlanError> {
    let low = p.operator(&format!("l{at}"), Filter::predicate("x <= 1"), [above])?;
    let high = p.operator(&format!("h{at}"), Filter::predicate("x > 1"), [above])?;
    let both = p.operator(&format!("u{at}"), Union, [low, high])?;
    p.operator(&format!("b{at}"), Map::packets([("x", "x")]), [both])
}

/// Another source in each layer, so that the columns of provenance grow with the layers.
fn joins(p: &mut Pipeline, at: usize, above: NodeHandle) -> Result<NodeHandle, PlanError> {
    let ids = p.source(&format!("s{at}"), Rows::new(ids(&[])).tags(["id"]))?;
    p.operator(&format!("b{at}"), Join::new(), [above, ids])
}

const KINDS: [(&str, Layer); 5] = [
    ("line", line),
    ("semijoins", semijoins),
    ("antijoins", antijoins),
    ("unions", unions),
    ("joins", joins),
];

fn ids(more: &[(&'static str, Value)]) -> Vec<Vec<(&'static str, Value)>> {
    (1..=3).map(|id| std::iter::once(("id", Value::from(id))).chain(more.iter().cloned()).collect()).collect()
}

fn pipeline(layers: usize, layer: Layer) -> Pipeline {
    let mut p = Pipeline::new("deep");
    let mut node = p.source("a", Rows::new(ids(&[("x", 1.into())])).tags(["id"])).unwrap();
    for at in 0..layers {
        node = layer(&mut p, at, node).unwrap();
    }
    assert_eq!(p.name_of(node), p.node_names().last());
    p
}

/// Nanoseconds that this thread has been on a processor.
fn processor_nanos() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    text.split_whitespace().next().unwrap().parse().unwrap()
}

/// The least time of three plannings, hash and picture included.
fn planning_nanos(layers: usize, layer: Layer) -> u64 {
    let once = || {
        let before = processor_nanos();
        let p = pipeline(layers, layer);
        assert!(picture::mermaid(&p).lines().count() > layers);
        assert_eq!(p.hash(), p.clone().hash());
        processor_nanos() - before
    };
    (0..3).map(|_| once()).min().unwrap()
}

#[test]
fn planning_takes_time_in_proportion_to_the_layers() {
    for (kind, layer) in KINDS.into_iter().filter(|(kind, _)| *kind != "joins") {
        let (few, many) = (planning_nanos(500, layer), planning_nanos(2000, layer));
        assert!(many < 6 * few, "{kind}: {few} ns for 500 layers, {many} ns for 2000");
        assert!(many < 2 * 200_000_000, "{kind}: {many} ns for 2000 layers");
    }
}

#[test]
fn joins_in_a_line_take_time_and_memory_in_proportion_to_their_columns_of_provenance() {
    // Four times the joins are sixteen times the columns; with names written out they were sixty-four times the bytes.
    let (few, many) = (planning_nanos(200, joins), planning_nanos(800, joins));
    assert!(many < 30 * few, "{few} ns for 200 joins, {many} ns for 800");
}

#[test]
fn a_thousand_layers_run_with_both_executors_and_are_forecast() {
    for (kind, layer) in KINDS {
        let p = pipeline(if kind == "joins" { 100 } else { 1000 }, layer);
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        for executor in [Executor::Async, Executor::Sync] {
            let options = RunOptions { executor: Some(executor), ..RunOptions::default() };
            let summary = p.run_with(&store, &options).unwrap();
            assert_eq!(summary.nodes.last().unwrap().rows_out, 3, "{kind} {executor:?}");
        }
        // There are more ways to the source than could be followed.
        let last = p.node_names().last().and_then(|name| p.node(name));
        let summary = p.run_with(&store, &RunOptions { until: last, ..RunOptions::default() }).unwrap();
        assert_eq!(summary.nodes.last().unwrap().rows_out, 3, "{kind}");
        let until = ForecastOptions { until: last, ..ForecastOptions::default() };
        assert_eq!(p.forecast(Some(&store), &until).unwrap().nodes.len(), summary.nodes.len(), "{kind}");
        let forecast = p.forecast(Some(&store), &ForecastOptions::default()).unwrap();
        assert_eq!(forecast.nodes.last().unwrap().rows_out, anabranch::Count::Exactly(3), "{kind}");
    }
}

#[test]
fn ten_thousand_nodes_in_a_line_are_planned_run_and_forecast_on_a_small_stack() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let work = move || {
        let p = pipeline(10_000, line);
        for executor in [Executor::Async, Executor::Sync] {
            let options = RunOptions { executor: Some(executor), ..RunOptions::default() };
            assert_eq!(p.run_with(&store, &options).unwrap().nodes.last().unwrap().rows_out, 3);
        }
        let forecast = p.forecast(Some(&store), &ForecastOptions::default()).unwrap();
        assert_eq!(forecast.nodes.len(), 10_001);
    };
    std::thread::Builder::new().stack_size(512 << 10).spawn(work).unwrap().join().unwrap();
}

/// A node that is joined with a part of itself, so many times over.
fn doublings(count: usize) -> String {
    let mut text =
        "version: 1\nname: doubled\nnodes:\n  a: { rows: { tags: [id], rows: [ { id: 1, x: 1 } ] } }\n"
            .to_owned();
    for at in 0..count {
        let above = if at == 0 { "a".to_owned() } else { format!("b{}", at - 1) };
        text.push_str(&format!(
            "  l{at}: {{ map: {{ input: {above}, packets: {{ x: y }} }} }}\n  r{at}: {{ select: {{ input: {above}, packets: [] }} }}\n  j{at}: {{ join: {{ inputs: [l{at}, r{at}] }} }}\n  b{at}: {{ map: {{ input: j{at}, packets: {{ y: x }} }} }}\n"
        ));
    }
    text
}

#[test]
fn columns_of_provenance_beyond_the_limit_are_refused_with_node_number_and_remedy() {
    let folder = Folder::new();
    folder.write("twelve.yaml", &doublings(12));
    assert_eq!(folder.json(&["run", "twelve.yaml"])["nodes"].as_array().unwrap().len(), 49);
    folder.write("thousand.yaml", &doublings(1000));
    for command in ["check", "plan", "run", "graph"] {
        let (code, error) = folder.failure(&[command, "thousand.yaml"]);
        assert_eq!(code, 2, "{error}");
        let expected = "thousand.yaml:55:3: error: node \"j12\": found 8192 pairs of provenance columns, expected 4096 at most; a join adds up those of its inputs, so use semijoin";
        assert!(error.contains(expected), "{error}");
        assert_eq!(error.matches("error:").count(), 1, "{error}");
    }
}

#[test]
fn a_trace_through_very_many_calls_says_where_the_rest_is() {
    let folder = Folder::new();
    let mut text =
        "version: 1\nname: deep\nnodes:\n  a: { rows: { tags: [id], rows: [ { id: 1, x: 1, y: 2 } ] } }\n"
            .to_owned();
    for at in 0..200 {
        let above = if at == 0 { "a".to_owned() } else { format!("f{}", at - 1) };
        // Both columns of each call come from one call, so there are 2^200 ways up.
        text.push_str(&format!("  f{at}: {{ function: {{ input: {above}, sql: {{ x: \"(x + y) % 7\", y: \"(x - y) % 7\" }} }} }}\n"));
    }
    folder.write("p.yaml", &text);
    folder.text(&["run", "p.yaml", "-q"]);
    let traced = folder.text(&["trace", "p.yaml", "f199"]);
    assert!(traced.lines().count() < 300, "{} lines", traced.lines().count());
    assert!(traced.contains("further calls above, which --format json shows"), "{traced:.1000}");
    let traced = folder.json(&["trace", "p.yaml", "f199"]);
    assert_eq!(traced["rows"][0]["calls"].as_array().unwrap().len(), 200);
}
