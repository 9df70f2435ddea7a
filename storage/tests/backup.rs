//! Copies of stores: made while others write, cut off at any moment, and put back.
#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

mod support;

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use anabranch_engine::store::{ResultStore as _, StoreErrorKind};
use anabranch_storage::{RunState, Store, StoreOptions};
use support::{
    Sources, assert_outcomes, begin_run, child_program, function, keys, lazy, read, record, rows, wait,
};

fn start(deed: &str, dir: &Path, more: &[&OsStr]) -> Child {
    let mut command = Command::new(child_program());
    command.args([deed.as_ref(), dir.as_os_str()]).args(more).stdout(Stdio::piped());
    command.spawn().unwrap()
}

/// The number of a line that a child prints.
fn numbers(child: &mut Child) -> impl Iterator<Item = u64> + use<> {
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    lines.filter_map(|line| line.strip_prefix("committed ")?.parse().ok())
}

/// Checks that a store is whole, and returns how many commits of the child `record` it has.
fn commits_of(dir: &Path) -> u64 {
    let store = Store::open_with(dir, &lazy()).unwrap();
    let report = store.verify().unwrap();
    assert!(report.is_whole(), "{report:?}");
    let found = |n: u64| {
        let found = wait(store.find(function("1"), keys(n * 1_000..n * 1_000 + 1_000))).unwrap();
        let hits = found.hits.iter().filter(|hit| **hit).count();
        assert!(hits == 0 || hits == 1_000, "a part of commit {n} is there");
        if hits > 0 {
            let ns: Vec<u64> = (n * 1_000..n * 1_000 + 1_000).collect();
            assert_outcomes(&found.outcomes, &ns, "");
        }
        hits > 0
    };
    (0..100_000).take_while(|n| found(*n)).count() as u64
}

#[test]
fn a_copy_made_while_another_process_commits_has_all_that_was_committed_before() {
    let (dir, copies) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut child = start("record", dir.path(), &[]);
    let mut committed = numbers(&mut child);
    let mut made = Vec::new();
    for n in 0..8 {
        let before = committed.by_ref().nth(2).unwrap() + 1;
        let copy = copies.path().join(n.to_string());
        let bytes = Store::open(dir.path()).unwrap().backup(&copy).unwrap();
        assert_eq!(bytes, copy.join("store.db").metadata().unwrap().len());
        made.push((before, copy));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    for (before, copy) in &made {
        let has = commits_of(copy);
        assert!(has >= *before, "{has} commits, {before} had been reported");
    }
    assert!(commits_of(dir.path()) >= made.last().unwrap().0);
}

#[test]
fn a_copy_that_is_killed_is_no_store_or_a_whole_one_and_the_next_one_succeeds() {
    let dir = tempfile::tempdir().unwrap();
    let mut child = start("record", dir.path(), &[]);
    let filled = numbers(&mut child).nth(40).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    let (mut whole, mut none) = (0, 0);
    for attempt in 0..24 {
        let copy = tempfile::tempdir().unwrap();
        let mut child = start("back up", dir.path(), &[copy.path().as_os_str()]);
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert_eq!(lines.next().unwrap().unwrap(), "begun");
        if attempt > 0 {
            // So far on that the copy is at this many bytes, or done.
            let partial = copy.path().join("store.db.partial");
            let size = || partial.metadata().map_or(0, |about| about.len());
            while size() < attempt << 16 && !copy.path().join("store.db").exists() {
                std::hint::spin_loop();
            }
        }
        child.kill().unwrap();
        child.wait().unwrap();
        if Store::exists(copy.path()) {
            whole += 1;
        } else {
            none += 1;
            Store::open(dir.path()).unwrap().backup(copy.path()).unwrap();
            assert!(!copy.path().join("store.db.partial").exists());
        }
        assert!(commits_of(copy.path()) > filled);
    }
    assert!(none > 0, "no copy was cut off: {whole} were whole");
}

#[test]
fn a_copy_put_back_has_results_recordings_and_runs_and_the_copy_stays() {
    let [dir, copies] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let store = Store::open(dir.path()).unwrap();
    let sources = Sources::new(0);
    let chunk = sources.chunk(&[1, 2, 3]);
    record(&store, "r1", &sources, std::slice::from_ref(&chunk)).unwrap();
    support::commit(&store, &[1, 2, 3], "", anabranch_engine::store::CommitMode::First);
    let lease = begin_run(&store, "alive");
    let (copy, back) = (copies.path().join("copy"), copies.path().join("back"));
    store.backup(&copy).unwrap();
    assert!(store.runs(None).unwrap().iter().any(|run| run.state == RunState::Running));
    let before = std::fs::read(copy.join("store.db")).unwrap();
    Store::restore(&copy, &back, &StoreOptions::default()).unwrap();
    assert_eq!(std::fs::read(copy.join("store.db")).unwrap(), before, "the copy has changed");
    let restored = Store::open(&back).unwrap();
    let infos = restored.recordings("p", "node").unwrap();
    let expected = rows(&[chunk], &sources.origins, &sources.schema);
    assert_eq!(read(&restored, infos.first().unwrap()), expected);
    assert_outcomes(&wait(restored.find(function("1"), keys(1..4))).unwrap().outcomes, &[1, 2, 3], "");
    assert!(restored.runs(None).unwrap().iter().all(|run| run.state != RunState::Running));
    drop(lease);
    // New versions go on behind those of the copy.
    let newest = wait(store.snapshot()).unwrap().number();
    support::commit(&restored, &[4], "", anabranch_engine::store::CommitMode::First);
    assert_eq!(wait(restored.snapshot()).unwrap().number(), newest + 1);
}

#[test]
fn a_folder_with_a_store_is_never_overwritten_and_no_store_is_no_backup() {
    let [dir, other] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let store = Store::open(dir.path()).unwrap();
    let there = Store::open(other.path()).unwrap();
    support::commit(&there, &[7], "", anabranch_engine::store::CommitMode::First);
    let error = store.backup(other.path()).unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Place);
    assert!(error.to_string().contains("has a store already; choose an empty folder"), "{error}");
    let options = StoreOptions::default();
    assert_eq!(Store::restore(dir.path(), other.path(), &options).unwrap_err().kind(), StoreErrorKind::Place);
    assert_outcomes(&wait(there.find(function("1"), keys([7]))).unwrap().outcomes, &[7], "");
    let empty = tempfile::tempdir().unwrap();
    let error = Store::restore(empty.path(), empty.path().join("new"), &options).unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Missing, "{error}");
    assert!(!empty.path().join("new").exists(), "nothing was made");
    std::fs::write(empty.path().join("store.db"), "no database, but a text that is long enough").unwrap();
    let error = Store::restore(empty.path(), empty.path().join("new"), &options).unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Corrupt, "{error}");
    assert!(!empty.path().join("new").exists(), "nothing was made");
}

#[test]
fn folders_with_long_names_and_names_that_are_no_strings_hold_copies() {
    let dir = tempfile::tempdir().unwrap();
    let long = (0..6).fold(dir.path().to_owned(), |path, n| path.join(format!("{n}{}", "x".repeat(120))));
    let odd = dir.path().join(OsStr::from_bytes(b"no \xff string?'%"));
    let short = Store::open(dir.path().join("short")).unwrap();
    support::commit(&short, &[5], "", anabranch_engine::store::CommitMode::First);
    short.backup(&long).unwrap();
    Store::open(&long).unwrap().backup(&odd).unwrap();
    Store::restore(&odd, long.join("again"), &StoreOptions::default()).unwrap();
    for dir in [&long, &odd, &long.join("again")] {
        let store = Arc::new(Store::open(dir).unwrap());
        assert_outcomes(&wait(store.find(function("1"), keys([5]))).unwrap().outcomes, &[5], "");
    }
}
