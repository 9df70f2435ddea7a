//! Synchronous replay: what a run streamed is read back without computing, in every form.

#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_wrap,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::format_push_string,
    reason = "a test that cannot go on panics, and its numbers are small"
)]

mod support;

use std::fs;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};

use anabranch::{
    Columns, Csv, Filter, Function, Pipeline, RecordMode, Replay, ReplayError, RunOptions, Store, Union,
    Which,
};
use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use support::{read_arrow, run_node, store, texts};

/// A function whose output depends on how often it was called, so that computing again shows.
fn pipeline(folder: &Path, factor: i64, calls: &Arc<AtomicU64>) -> Pipeline {
    let mut p = Pipeline::new("replayed");
    let csv = Csv::new(folder.join("data.csv")).tags(["id", "group"]);
    let rows = p.source("rows", csv).unwrap();
    let twice = p.operator("twice", Union, [rows, rows]).unwrap();
    p.set_recording(twice, RecordMode::Log).unwrap();
    let calls = Arc::clone(calls);
    let f = Function::new("f").version(factor.to_string()).takes(["n"]).gives::<i64>("m").keep(true);
    p.function(
        "f",
        twice,
        f.call(move |n: i64| {
            let call = calls.fetch_add(1, Ordering::Relaxed) as i64;
            Ok(n * factor * 1_000_000 + call)
        }),
    )
    .unwrap();
    p
}

fn write(folder: &Path, rows: u64) {
    let mut text = String::from("id,group,n\n");
    for n in 0..rows {
        text += &format!("{n},{},{}\n", ["x", "y", "z"][n as usize % 3], n % 500);
    }
    fs::write(folder.join("data.csv"), text).unwrap();
}

fn all(mut replay: Replay) -> Vec<String> {
    let mut rows = Vec::new();
    while let Some(chunk) = replay.next() {
        rows.extend(texts(&chunk.unwrap().to_batch(Columns::All, replay.origins()).unwrap()));
    }
    rows
}

#[test]
fn rows_come_back_by_iterator_as_a_table_and_with_their_multiplicity() {
    let (folder, store) = store();
    write(folder.path(), 10_000);
    let p = pipeline(folder.path(), 1, &Arc::default());
    let f = p.node("f").unwrap();
    let (_, streamed) = run_node(&p, &store, "f");
    assert_eq!(streamed.len(), 20_000);
    assert!(all(store.replay(&p, f).unwrap()) == streamed);
    let table = store.replay(&p, f).unwrap().table(Columns::All).unwrap();
    assert!(texts(&table) == streamed);
    let data = store.replay(&p, f).unwrap().table(Columns::Data).unwrap();
    assert_eq!((data.num_rows(), data.num_columns()), (20_000, 4));
    let twice = p.node("twice").unwrap();
    assert_eq!(store.replay(&p, twice).unwrap().table(Columns::Data).unwrap().num_rows(), 20_000);
}

#[test]
fn replay_computes_nothing_and_needs_neither_source_nor_unchanged_pipeline() {
    let (folder, store) = store();
    write(folder.path(), 1_000);
    let calls = Arc::new(AtomicU64::new(0));
    let p = pipeline(folder.path(), 1, &calls);
    let (_, streamed) = run_node(&p, &store, "f");
    let made = calls.load(Ordering::Relaxed);
    assert_eq!(made, 500);
    let edited = pipeline(folder.path(), 2, &calls);
    fs::remove_file(folder.path().join("data.csv")).unwrap();
    let f = p.node("f").unwrap();
    assert!(all(store.replay(&p, f).unwrap()) == streamed);
    assert_eq!(store.replay(&p, f).unwrap().warning(&p, f), None);
    let f = edited.node("f").unwrap();
    let replay = store.replay(&edited, f).unwrap();
    let warning = replay.warning(&edited, f).unwrap();
    assert!(warning.contains("\"f\"") && warning.contains("changed since"), "{warning}");
    assert!(all(replay) == streamed);
    assert!(all(store.replay_named("replayed", "f", &Which::Last).unwrap()) == streamed);
    assert_eq!(calls.load(Ordering::Relaxed), made);
    // What did not change has no warning.
    let twice = edited.node("twice").unwrap();
    assert_eq!(store.replay(&edited, twice).unwrap().warning(&edited, twice), None);
}

#[test]
fn an_older_run_keeps_its_rows_after_a_refresh_and_all_runs_are_read_in_their_order() {
    let (folder, store) = store();
    write(folder.path(), 300);
    let p = pipeline(folder.path(), 1, &Arc::default());
    let run = |no_reuse: bool| {
        let spec = anabranch::WriteSpec::new(anabranch::Format::Arrow, folder.path().join("out.arrow"));
        let outputs = vec![(p.node("f").unwrap(), anabranch::WriteSpec { columns: Columns::All, ..spec })];
        let options = RunOptions { no_reuse, outputs, ..RunOptions::default() };
        let summary = p.run_with(&store, &options).unwrap();
        (summary.run_id, read_arrow(&folder.path().join("out.arrow")))
    };
    let runs = [run(false), run(true), run(false), run(true)];
    assert!(runs[0].1 != runs[1].1, "a refresh computes other values");
    assert!(runs[1].1 == runs[2].1);
    for (id, rows) in &runs {
        let replay = store.replay_named("replayed", "f", &Which::Run(id.clone())).unwrap();
        assert_eq!(replay.recordings()[0].run, *id);
        assert!(all(replay) == *rows, "run {id} has other rows now");
    }
    let replay = store.replay_named("replayed", "f", &Which::All).unwrap();
    let ids: Vec<String> = replay.recordings().iter().map(|r| r.run.clone()).collect();
    assert_eq!(ids, runs.iter().map(|(id, _)| id.clone()).collect::<Vec<_>>());
    let every: Vec<String> = runs.iter().flat_map(|(_, rows)| rows.clone()).collect();
    assert!(all(replay) == every);
    assert!(all(store.replay(&p, p.node("f").unwrap()).unwrap()) == runs[3].1);
}

#[test]
fn rows_are_selected_by_condition_and_a_single_one_by_its_tags() {
    let (folder, store) = store();
    write(folder.path(), 9_000);
    let p = pipeline(folder.path(), 1, &Arc::default());
    let (f, rows) = (p.node("f").unwrap(), p.node("rows").unwrap());
    let (_, streamed) = run_node(&p, &store, "f");
    let filter = Filter::predicate("n > 100 AND \"group\" <> 'x'");
    let selected = store.replay_where(&p, f, &filter).unwrap().table(Columns::All).unwrap();
    let expected: Vec<String> = streamed
        .iter()
        .filter(|row| {
            let n: i64 = row.split("|n=").nth(1).unwrap().split('|').next().unwrap().parse().unwrap();
            n > 100 && !row.contains("|group=x|") && !row.contains("group=x|")
        })
        .cloned()
        .collect();
    assert!(expected.len() > 8_000 && texts(&selected) == expected);
    let error = store.replay_one(&p, f, [("id", 7.into())]).unwrap_err();
    assert!(matches!(error, ReplayError::Several), "each row is there twice");
    assert!(store.replay_one(&p, f, [("id", 9_000.into())]).unwrap().is_none());

    let mut single = Pipeline::new("single");
    let source = single.source("rows", Csv::new(folder.path().join("data.csv")).tags(["id"])).unwrap();
    let g = single.function("g", source, Function::sql("g", [("k", "n + 1")])).unwrap();
    single.run(&store).unwrap();
    let (row, origins) = store.replay_one(&single, g, [("id", 8_207.into())]).unwrap().unwrap();
    assert_eq!(row.rows(), 1);
    assert_eq!(row.column("k").unwrap().as_primitive::<Int64Type>().value(0), 8_207 % 500 + 1);
    let batch = row.to_batch(Columns::All, &origins).unwrap();
    assert!(texts(&batch)[0].contains("=row_8207"), "{:?}", texts(&batch));
    let chunks: usize =
        store.replay_where(&single, g, &Filter::predicate("k = 3")).unwrap().map(|c| c.unwrap().rows()).sum();
    assert_eq!(chunks, 18);

    let error = store.replay_where(&p, f, &Filter::predicate("nn > 1")).unwrap_err();
    assert!(matches!(error, ReplayError::Condition { .. }), "{error}");
    let error = store.replay(&p, rows).unwrap_err().to_string();
    assert!(error.contains("\"f\"") && error.contains("cache: log"), "{error}");
    let foreign = store.replay(&single, f).unwrap_err();
    assert!(matches!(foreign, ReplayError::Foreign { .. }));
}

/// A runtime of its own making: polls until it is ready.
fn poll<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return output;
        }
    }
}

#[test]
fn replay_is_read_on_a_plain_thread_in_a_task_and_by_another_process_alike() {
    let (folder, store) = store();
    write(folder.path(), 2_000);
    let p = pipeline(folder.path(), 1, &Arc::default());
    let (_, streamed) = run_node(&p, &store, "f");
    let rows = |store: &Store| all(store.replay_named("replayed", "f", &Which::Last).unwrap());
    let on_thread = std::thread::scope(|scope| scope.spawn(|| rows(&store)).join().unwrap());
    assert!(on_thread == streamed);
    assert!(poll(async { rows(&store) }) == streamed);
    // An opening of its own is what another process has.
    assert!(rows(&Store::open(folder.path().join("store")).unwrap()) == streamed);
    let error = store.replay_named("replayed", "g", &Which::Last).unwrap_err().to_string();
    assert!(error.contains("expected one of \"f\""), "{error}");
    let error = store.replay_named("replayed", "f", &Which::Run("gone".into())).unwrap_err().to_string();
    assert!(error.contains("by run \"gone\""), "{error}");
}
