//! Several processes on one store, and processes that are killed.
#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

mod support;

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anabranch_engine::store::ResultStore;
use anabranch_storage::Store;
use support::{assert_outcomes, child_program, function, key, wait};

/// Starts the program beside this test that does something to a store.
fn start(deed: &str, dir: &Path) -> Child {
    Command::new(child_program())
        .args([deed.as_ref(), dir.as_os_str()])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

#[test]
fn two_processes_that_compute_the_same_agree_on_every_version() {
    let dir = tempfile::tempdir().unwrap();
    let children = [start("commit", dir.path()), start("commit", dir.path())];
    let [first, second] = children.map(|mut child| {
        let mut text = String::new();
        child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
        assert!(child.wait().unwrap().success());
        text.lines().filter(|line| line.starts_with("version")).map(str::to_owned).collect::<Vec<_>>()
    });
    assert_eq!(first.len(), 150);
    assert_eq!(first, second);
    let connection = rusqlite::Connection::open(dir.path().join("store.db")).unwrap();
    let count = |table: &str| {
        let query = format!("SELECT coalesce(sum(rows), 0) FROM {table}");
        connection.query_row::<i64, _, _>(&query, [], |r| r.get(0)).unwrap()
    };
    assert_eq!(count("result_blocks") + count("result_packs"), 151);
}

#[test]
fn what_a_killed_process_had_committed_is_there_and_what_it_had_not_completed_is_not() {
    for least in [1, 12] {
        let dir = tempfile::tempdir().unwrap();
        let mut child = start("record", dir.path());
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let mut committed = lines.filter_map(|line| line.strip_prefix("committed ")?.parse::<u64>().ok());
        committed.find(|n| *n == least).unwrap();
        child.kill().unwrap();
        let announced = committed.last().unwrap_or(least);
        child.wait().unwrap();
        let store = Store::open(dir.path()).unwrap();
        assert!(store.recordings("p", "node").unwrap().is_empty());
        let ns: Vec<u64> = (0..(announced + 1) * 1_000).collect();
        let found = wait(store.find(function("1"), ns.iter().map(|n| key(*n)).collect())).unwrap();
        assert!(found.hits.iter().all(|hit| *hit), "something committed is gone");
        assert_outcomes(&found.outcomes, &ns, "");
        let connection = rusqlite::Connection::open(dir.path().join("store.db")).unwrap();
        let check: String = connection.query_row("PRAGMA integrity_check", [], |r| r.get(0)).unwrap();
        assert_eq!(check, "ok");
    }
}

#[test]
fn a_process_that_is_killed_while_it_tidies_up_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mine = Store::open(dir.path()).unwrap();
    let mut known = 0;
    for least in [7, 40, 41, 90] {
        let mut child = start("tidy", dir.path());
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let mut committed = lines.filter_map(|line| line.strip_prefix("committed ")?.parse::<u64>().ok());
        committed.find(|n| *n == least).unwrap();
        child.kill().unwrap();
        known = known.max(committed.last().unwrap_or(least));
        child.wait().unwrap();
        let ns: Vec<u64> = (0..=known).collect();
        for store in [&mine, &Store::open(dir.path()).unwrap()] {
            let found = wait(store.find(function("1"), ns.iter().map(|n| key(*n)).collect())).unwrap();
            assert!(found.hits.iter().all(|hit| *hit), "something committed is gone");
            assert_outcomes(&found.outcomes, &ns, "");
        }
    }
    let connection = rusqlite::Connection::open(dir.path().join("store.db")).unwrap();
    let check: String = connection.query_row("PRAGMA integrity_check", [], |r| r.get(0)).unwrap();
    assert_eq!(check, "ok");
}
