//! Places that are no store, versions, full disks.

mod support;

use std::sync::Arc;

use anabranch_engine::store::{CommitMode, RecordingStore, ResultStore, StoreErrorKind};
use anabranch_storage::{Store, StoreOptions};
use support::{Sources, assert_outcomes, function, key, operator_layout, recording_key, results, wait};

#[test]
fn a_path_that_is_a_file_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "mine").unwrap();
    let error = Store::open(&file).unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Place);
    assert!(error.to_string().contains("is a file, expected a folder"), "{error}");
    assert_eq!(std::fs::read(&file).unwrap(), b"mine");
    let error = Store::open(file.join("below")).unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Place);
}

#[test]
fn a_place_where_nothing_can_be_made_is_refused() {
    // Not even root can make a folder there.
    let error = Store::open("/proc/anabranch-store").unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Place);
    assert!(error.to_string().contains("choose a folder that can be written"), "{error}");
}

#[test]
fn what_is_no_database_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.db");
    let text = "this is certainly not a database, however long it may be. ".repeat(40);
    std::fs::write(&path, &text).unwrap();
    let error = Store::open(dir.path()).unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Corrupt);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
}

#[test]
fn a_database_of_another_program_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.db");
    rusqlite::Connection::open(&path).unwrap().execute_batch("CREATE TABLE mine (x)").unwrap();
    let before = std::fs::read(&path).unwrap();
    let error = Store::open(dir.path()).unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Place);
    assert!(error.to_string().contains("database of another program"), "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

#[test]
fn a_later_format_is_refused_with_its_number() {
    let dir = tempfile::tempdir().unwrap();
    drop(Store::open(dir.path()).unwrap());
    let connection = rusqlite::Connection::open(dir.path().join("store.db")).unwrap();
    connection.execute("UPDATE meta SET value = 6 WHERE key = 'format'", []).unwrap();
    let error = Store::open(dir.path()).unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Version);
    assert!(error.to_string().contains("has format 6, expected at most 5"), "{error}");
}

#[test]
fn a_full_disk_loses_nothing_committed_and_leaves_nothing_half_written() {
    let dir = tempfile::tempdir().unwrap();
    let options = StoreOptions { size_limit_bytes: Some(2 << 20), ..StoreOptions::default() };
    let store = Store::open_with(dir.path(), &options).unwrap();
    let f = function("1");
    let mut committed = 0;
    let error = loop {
        let ns: Vec<u64> = (committed..committed + 1_000).collect();
        match wait(store.commit(Arc::clone(&f), results(&ns, "", CommitMode::First))) {
            Ok(_) => committed += 1_000,
            Err(error) => break error,
        }
        assert!(committed < 100_000, "the disk never filled up");
    };
    assert_eq!(error.kind(), StoreErrorKind::Full);
    assert!(error.to_string().contains("make room"), "{error}");
    assert!(committed > 0);
    drop(store);
    let store = Store::open(dir.path()).unwrap();
    let all: Vec<u64> = (0..committed).collect();
    let found = wait(store.find(Arc::clone(&f), (0..committed + 1_000).map(key).collect())).unwrap();
    assert_outcomes(&found.outcomes, &all, "");
    // With room again, the rest goes in.
    let rest: Vec<u64> = (committed..committed + 1_000).collect();
    wait(store.commit(f, results(&rest, "", CommitMode::First))).unwrap();
}

#[test]
fn a_recording_that_did_not_fit_fails_and_stays_invisible() {
    let dir = tempfile::tempdir().unwrap();
    let options = StoreOptions { size_limit_bytes: Some(1 << 20), ..StoreOptions::default() };
    let store = Store::open_with(dir.path(), &options).unwrap();
    let sources = Sources::new(0);
    let error = wait(async {
        let layout = operator_layout(&sources);
        let mut recorder =
            store.begin(recording_key("node", "r1"), layout, Arc::clone(&sources.origins)).await.unwrap();
        for from in (0..40_000).step_by(8_192) {
            let ns: Vec<u64> = (from..from + 8_192).collect();
            recorder.append(sources.chunk(&ns), vec![]).await?;
        }
        recorder.complete().await
    })
    .unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Full);
    assert!(store.recordings("p", "node").unwrap().is_empty());
    // The store goes on.
    wait(store.commit(function("1"), results(&[1], "", CommitMode::First))).unwrap();
}

#[test]
fn a_store_opened_by_several_threads_at_once_is_made_once() {
    let dir = tempfile::tempdir().unwrap();
    std::thread::scope(|scope| {
        for n in 0..6 {
            let dir = dir.path();
            scope.spawn(move || {
                let store = Store::open(dir).unwrap();
                wait(store.commit(function("1"), results(&[n], "", CommitMode::First))).unwrap();
            });
        }
    });
    let store = Store::open(dir.path()).unwrap();
    let found = wait(store.find(function("1"), (0..7).map(key).collect())).unwrap();
    assert_eq!(found.hits, [true, true, true, true, true, true, false]);
}

#[test]
fn what_was_queued_is_done_before_the_last_clone_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let mut commit = Box::pin(store.commit(function("1"), results(&[1, 2], "", CommitMode::First)));
    // Queued, and its answer abandoned.
    let waker = std::task::Waker::noop();
    let _ = commit.as_mut().poll(&mut std::task::Context::from_waker(waker));
    drop(commit);
    drop(store);
    let store = Store::open(dir.path()).unwrap();
    let found = wait(store.find(function("1"), vec![key(1), key(2)])).unwrap();
    assert_eq!(found.hits, [true, true]);
}
