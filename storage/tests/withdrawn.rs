//! Withdrawn results: no look-up of any process finds them, and recordings keep them.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by a panic")]

mod support;

use std::num::NonZeroUsize;

use anabranch_engine::store::{CommitMode, ResultId, ResultStore as _, VersionSpan};
use anabranch_storage::{DropTarget, GarbageOptions, Store};
use support::{
    Sources, assert_outcomes, commit, count, eager, function, keys, lazy, read, results, run_function, wait,
};

fn withdraw(store: &Store, versions: &[ResultId]) -> u64 {
    let spans = versions.iter().map(|version| VersionSpan { first: *version, last: *version }).collect();
    wait(store.withdraw(function("1"), spans)).unwrap()
}

fn hits(store: &Store, ns: std::ops::Range<u64>) -> Vec<u64> {
    let found = wait(store.find(function("1"), keys(ns.clone()))).unwrap();
    ns.zip(found.hits).filter_map(|(n, hit)| hit.then_some(n)).collect()
}

fn assert_whole(store: &Store) {
    let report = store.verify().unwrap();
    assert!(report.is_whole(), "{:?}", report.faults);
}

#[test]
fn what_is_withdrawn_is_found_by_nobody_and_computed_again_wherever_it_is_kept() {
    // In blocks and tables, in packs and key runs, and moved there once it is withdrawn.
    for tidy in ["never", "before", "after"] {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open_with(dir.path(), &lazy()).unwrap();
        let other = Store::open_with(dir.path(), &lazy()).unwrap();
        let mut versions: Vec<ResultId> =
            (0..30).flat_map(|n| commit(&store, &[n], "wrong", CommitMode::First)).collect();
        versions.extend(commit(&store, &(30..60).collect::<Vec<_>>(), "wrong", CommitMode::First));
        let tidied = || {
            let tidy = Store::open_with(dir.path(), &eager()).unwrap();
            wait(tidy.maintain()).unwrap();
            assert!(count(dir.path(), "SELECT count(*) FROM key_runs") > 0);
            assert!(count(dir.path(), "SELECT count(*) FROM result_packs") > 0);
        };
        if tidy == "before" {
            tidied();
        }
        // Both have them in memory.
        assert_eq!((hits(&store, 0..60).len(), hits(&other, 0..60).len()), (60, 60));
        let gone: Vec<ResultId> = versions.iter().copied().skip(1).step_by(3).collect();
        assert_eq!(withdraw(&store, &gone), 20);
        if tidy == "after" {
            tidied();
        }
        let left: Vec<u64> = (0..60).filter(|n| n % 3 != 1).collect();
        let fresh = Store::open(dir.path()).unwrap();
        for store in [&store, &other, &fresh] {
            assert_eq!(hits(store, 0..60), left, "tidied {tidy}");
            assert_whole(store);
        }
        // The node that missed them may write them without another look-up.
        let again: Vec<u64> = (0..60).filter(|n| n % 3 == 1).collect();
        let anew = commit(&other, &again, "right", CommitMode::First);
        assert!(anew.iter().all(|version| !versions.contains(version)));
        for store in [&store, &other, &fresh, &Store::open(dir.path()).unwrap()] {
            let found = wait(store.find(function("1"), keys(again.iter().copied()))).unwrap();
            assert_eq!(found.outcomes.references, anew, "tidied {tidy}");
            assert_outcomes(&found.outcomes, &again, "right");
            assert_eq!(commit(store, &again, "late", CommitMode::First), anew);
        }
    }
}

#[test]
fn a_version_before_the_withdrawn_one_is_current_again() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let first = commit(&store, &[1, 2, 4], "old", CommitMode::First);
    let second = commit(&store, &[1, 2, 4], "new", CommitMode::Refresh);
    withdraw(&store, &second[1..2]);
    let found = wait(store.find(function("1"), keys([1, 2, 4]))).unwrap();
    assert_eq!(found.outcomes.references, [second[0], first[1], second[2]]);
    assert_eq!(commit(&store, &[2], "newest", CommitMode::First), [first[1]]);
    // Garbage is what nothing refers to: the second version of 2 keeps no block, the first one of it does.
    store.collect_garbage(&GarbageOptions::default()).unwrap();
    assert_eq!(wait(store.find(function("1"), keys([2]))).unwrap().outcomes.references, [first[1]]);
    withdraw(&store, &[first[1]]);
    assert_eq!(hits(&store, 1..5), [1, 4]);
    assert_eq!(withdraw(&store, &[first[1]]), 1, "once more changes nothing");
    assert_eq!(hits(&store, 1..5), [1, 4]);
}

#[test]
fn a_span_takes_the_versions_between_its_ends_and_no_other_function() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open_with(dir.path(), &lazy()).unwrap();
    let mut versions = Vec::new();
    for n in 0..20 {
        versions.extend(commit(&store, &[2 * n, 2 * n + 1], "", CommitMode::First));
        wait(store.commit(function("2"), results(&[n], "", CommitMode::First))).unwrap();
    }
    wait(Store::open_with(dir.path(), &eager()).unwrap().maintain()).unwrap();
    let span = VersionSpan { first: versions[5], last: versions[30] };
    assert_eq!(wait(store.withdraw(function("1"), vec![span])).unwrap(), 26);
    assert_eq!(hits(&store, 0..40), (0..5).chain(31..40).collect::<Vec<_>>());
    let others = wait(store.find(function("2"), keys(0..20))).unwrap();
    assert_eq!(others.hits, [true; 20]);
    assert_eq!(wait(store.withdraw(function("nobody knows"), vec![span])).unwrap(), 0);
    assert_whole(&store);
}

#[test]
fn recordings_keep_withdrawn_versions_until_they_go_and_garbage_collection_takes_the_rest() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open_with(dir.path(), &lazy()).unwrap();
    // It has all blocks and tables in memory from now on.
    let other = Store::open_with(dir.path(), &lazy()).unwrap();
    let sources = Sources::new(0);
    let ns: Vec<u64> = (0..50).collect();
    let recorded = run_function(&store, &sources, "r1", &ns, "believed", CommitMode::First);
    let of_nobody = commit(&store, &(50..60).collect::<Vec<_>>(), "", CommitMode::First);
    assert_eq!(hits(&other, 0..60).len(), 60);
    let found = wait(store.find(function("1"), keys(0..60))).unwrap().outcomes.references;
    assert_eq!(withdraw(&store, &found), 60);
    wait(Store::open_with(dir.path(), &eager()).unwrap().maintain()).unwrap();
    let info = store.recordings("p", "f").unwrap().remove(0);
    for store in [&store, &other, &Store::open(dir.path()).unwrap()] {
        assert_eq!(read(store, &info), recorded);
        assert_eq!(hits(store, 0..60), Vec::<u64>::new());
    }
    // What a run of keys leads to and no recording refers to may go, and stays withdrawn.
    let report = store.collect_garbage(&GarbageOptions::default()).unwrap();
    assert_eq!(report.versions, of_nobody.len() as u64);
    for store in [&store, &other, &Store::open(dir.path()).unwrap()] {
        assert_eq!(hits(store, 0..60), Vec::<u64>::new());
        assert_eq!(read(store, &info), recorded);
        assert_whole(store);
    }
    let again = run_function(&store, &sources, "r2", &ns, "right", CommitMode::First);
    assert_ne!(again, recorded);
    assert_eq!(read(&other, &info), recorded);
    let one = GarbageOptions { keep_runs: NonZeroUsize::new(1) };
    assert!(store.collect_garbage(&one).unwrap().versions > 0, "the first run's results had no user left");
    assert_eq!(hits(&other, 0..60), ns);
    assert_whole(&store);
}

#[test]
fn a_dropped_function_has_nothing_withdrawn_any_more() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let versions = commit(&store, &[1, 2, 4], "", CommitMode::First);
    withdraw(&store, &versions);
    let target = DropTarget::Function { name: "double".into(), fingerprint: String::new() };
    assert!(store.drop_from(&target, true).unwrap().dropped);
    assert_eq!(count(dir.path(), "SELECT count(*) FROM withdrawn_results"), 0);
    commit(&store, &[1, 2, 4], "", CommitMode::First);
    assert_eq!(hits(&store, 1..5), [1, 2, 4]);
}

#[test]
fn verification_finds_rows_withdrawn_that_no_block_has() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let versions = commit(&store, &[1, 2, 4], "", CommitMode::First);
    withdraw(&store, &versions[1..2]);
    assert_whole(&store);
    let connection = rusqlite::Connection::open(dir.path().join("store.db")).unwrap();
    connection.execute_batch("UPDATE withdrawn_results SET rows = 7").unwrap();
    let report = store.verify().unwrap();
    assert_eq!(report.faults.len(), 1, "{:?}", report.faults);
    assert!(report.faults[0].place.contains("withdrawn rows of result block 1"), "{:?}", report.faults);
}
