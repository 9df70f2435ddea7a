//! Runs and their leases.
#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

mod support;

use std::process::Command;

use anabranch_engine::store::StoreErrorKind;
use anabranch_storage::{RunEnd, RunStart, RunState, Store};
use support::{child_program, wait};

fn start(run: &str, pipeline: &str, started_ms: i64) -> RunStart {
    RunStart {
        run: run.to_owned(),
        pipeline: pipeline.to_owned(),
        pipeline_hash: "0123".to_owned(),
        started_ms,
        summary: "{\"until\":\"f\"}".to_owned(),
    }
}

fn end() -> RunEnd {
    RunEnd { status: "ok".to_owned(), ended_ms: 9, summary: "{\"rows\":3}".to_owned() }
}

fn states(store: &Store, pipeline: Option<&str>) -> Vec<(String, RunState)> {
    store.runs(pipeline).unwrap().into_iter().map(|run| (run.start.run, run.state)).collect()
}

#[test]
fn a_run_is_running_until_it_is_finished() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let other = Store::open(dir.path()).unwrap();
    let lease = wait(store.begin_run(start("r1", "p", 5))).unwrap();
    assert_eq!(states(&other, None), [("r1".to_owned(), RunState::Running)]);
    assert_eq!(states(&store, None), [("r1".to_owned(), RunState::Running)]);
    assert_eq!(other.runs(None).unwrap()[0].start.summary, "{\"until\":\"f\"}");
    wait(store.finish_run(lease, end())).unwrap();
    assert_eq!(states(&other, None), [("r1".to_owned(), RunState::Ended(end()))]);
    assert_eq!(std::fs::read_dir(dir.path().join("runs")).unwrap().count(), 0);
    let info = other.runs(None).unwrap().remove(0);
    assert_eq!(info.start.summary, end().summary);
    assert_eq!((info.start.started_ms, info.start.pipeline_hash.as_str()), (5, "0123"));
}

#[test]
fn runs_are_listed_by_pipeline_the_newest_first() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    for (run, pipeline) in [("a", "p"), ("b", "q"), ("c", "p")] {
        let lease = wait(store.begin_run(start(run, pipeline, 0))).unwrap();
        wait(store.finish_run(lease, end())).unwrap();
    }
    let names = |pipeline| states(&store, pipeline).into_iter().map(|(run, _)| run).collect::<Vec<_>>();
    assert_eq!(names(Some("p")), ["c", "a"]);
    assert_eq!(names(None), ["c", "b", "a"]);
}

#[test]
fn a_lease_that_was_dropped_is_an_interrupted_run() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    drop(wait(store.begin_run(start("r1", "p", 0))).unwrap());
    assert_eq!(states(&store, None), [("r1".to_owned(), RunState::Interrupted)]);
    assert_eq!(store.runs(None).unwrap()[0].state.status(), "interrupted");
}

#[test]
fn a_lock_file_that_a_dead_process_left_is_removed_when_it_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let lease = wait(store.begin_run(start("r1", "p", 0))).unwrap();
    drop(lease);
    let left = dir.path().join("runs/r1");
    std::fs::write(&left, "").unwrap();
    assert_eq!(states(&store, None), [("r1".to_owned(), RunState::Interrupted)]);
    assert!(!left.exists());
}

#[test]
fn a_run_whose_process_died_is_interrupted() {
    let dir = tempfile::tempdir().unwrap();
    let child =
        Command::new(child_program()).args(["die".as_ref(), dir.path().as_os_str()]).output().unwrap();
    assert!(!child.status.success());
    assert!(dir.path().join("runs/r1").exists());
    let store = Store::open(dir.path()).unwrap();
    assert_eq!(states(&store, None), [("r1".to_owned(), RunState::Interrupted)]);
    assert!(!dir.path().join("runs/r1").exists());
}

#[test]
fn an_id_is_used_once_and_has_to_be_a_plain_name() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let lease = wait(store.begin_run(start("r1", "p", 0))).unwrap();
    let error = wait(store.begin_run(start("r1", "p", 0))).unwrap_err();
    assert!(error.to_string().contains("under way"), "{error}");
    wait(store.finish_run(lease, end())).unwrap();
    let error = wait(store.begin_run(start("r1", "p", 0))).unwrap_err();
    assert!(error.to_string().contains("in the store already"), "{error}");
    let long = "x".repeat(129);
    for wrong in ["", ".", "..", "a/b", "../x", "a b", long.as_str()] {
        let error = wait(store.begin_run(start(wrong, "p", 0))).unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Place, "{wrong}");
    }
    assert_eq!(states(&store, None).len(), 1);
}
