//! A run starts, ends and fails in the same way wherever it is asked for: on a plain thread, in a
//! task of tokio, in another executor.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on panics, and its numbers are small"
)]

use std::path::Path;

use anabranch::{
    Executor, Format, Function, IfExists, NodeHandle, Pipeline, Rows, RunError, RunOptions, Store, WriteSpec,
};

/// Ten numbers and a function of them.
fn small(executor: Executor) -> (Pipeline, NodeHandle, NodeHandle) {
    let mut p = Pipeline::new("small");
    p.settings_mut().executor = executor;
    let rows = (0..10).map(|n| [("id", n.into()), ("n", (n * 2).into())]);
    let numbers = p.source("numbers", Rows::new(rows).tags(["id"])).unwrap();
    let f = Function::new("f").version("1").takes(["n"]).gives::<i64>("out").call(|n: i64| Ok(n + 1));
    let f = p.function("f", numbers, f).unwrap();
    (p, numbers, f)
}

fn store() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().join("store")).unwrap();
    (folder, store)
}

fn csv(folder: &Path, name: &str) -> WriteSpec {
    WriteSpec::new(Format::Csv, folder.join(name))
}

fn outputs(outputs: Vec<(NodeHandle, WriteSpec)>) -> RunOptions {
    RunOptions { outputs, ..RunOptions::default() }
}

#[test]
fn a_run_can_be_started_and_awaited_in_any_executor() {
    for executor in [Executor::Async, Executor::Sync] {
        let (p, _, _) = small(executor);
        let (_folder, store) = store();
        let tokio = tokio::runtime::Builder::new_current_thread().build().unwrap();
        tokio.block_on(async { p.start(&store).unwrap().await }).unwrap();
        tokio.block_on(async { p.run(&store) }).unwrap();
        futures::executor::block_on(async { p.start(&store).unwrap().await }).unwrap();
        futures::executor::block_on(async { p.run(&store) }).unwrap();
    }
}

#[test]
fn a_run_that_cannot_start_says_so_in_a_task_too() {
    let (p, numbers, _) = small(Executor::Async);
    let (_, foreign, _) = small(Executor::Async);
    let (folder, store) = store();
    std::fs::write(folder.path().join("there.csv"), "mine").unwrap();
    let there = WriteSpec { if_exists: IfExists::Error, ..csv(folder.path(), "there.csv") };
    let exists = outputs(vec![(numbers, there)]);
    let elsewhere = RunOptions { until: Some(foreign), ..RunOptions::default() };
    let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
    let error = tokio.block_on(async { p.run_with(&store, &exists) }).unwrap_err();
    assert!(matches!(error, RunError::Start { .. }), "{error}");
    let error = tokio.block_on(async { p.run_with(&store, &elsewhere) }).unwrap_err();
    assert!(matches!(error, RunError::Foreign { .. }), "{error}");
    assert_eq!(std::fs::read_to_string(folder.path().join("there.csv")).unwrap(), "mine");
}

#[test]
fn an_output_without_rows_or_without_a_file_of_its_own_is_refused_before_anything_runs() {
    let (mut p, numbers, f) = small(Executor::Async);
    let (folder, store) = store();
    let at = |name| csv(folder.path(), name);
    let sink = p.write("sink", f, at("sink.csv")).unwrap();
    let error = p.write("again", numbers, at("./sink.csv")).unwrap_err();
    assert!(error.to_string().contains("which \"sink\" writes as well"), "{error}");
    for (options, text) in [
        (outputs(vec![(sink, at("rows.csv"))]), "found a node that writes a file"),
        (outputs(vec![(f, at("sink.csv"))]), "which \"sink\" writes as well"),
        (outputs(vec![(f, at("a.csv")), (numbers, at("a.csv"))]), "which the rows of \"f\" are written to"),
    ] {
        let error = p.run_with(&store, &options).unwrap_err();
        assert!(matches!(error, RunError::Output { .. }) && error.to_string().contains(text), "{error}");
    }
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left, ["store"], "something was written");
}

#[test]
fn a_file_that_gets_no_name_is_gone_when_the_run_has_ended() {
    let (mut p, numbers, _) = small(Executor::Sync);
    let (folder, store) = store();
    let fails = Function::new("fails").version("1").takes(["n"]).gives::<i64>("never");
    let fails = fails.call(|_: i64| Err::<i64, _>(anabranch::PacketError::new("never")));
    p.function("fails", numbers, fails).unwrap();
    for at in 0..20 {
        p.write(&format!("sink {at}"), numbers, csv(folder.path(), &format!("{at}.csv"))).unwrap();
    }
    p.run(&store).unwrap_err();
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left, ["store"], "the run left something behind");
}
