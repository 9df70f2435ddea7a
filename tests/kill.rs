//! kill -9 in the middle of a run loses nothing that was committed and makes nothing wrong.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::format_push_string,
    reason = "a test that cannot go on panics, and its numbers are small"
)]

mod support;

use std::collections::HashSet;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anabranch::{Store, Which};
use serde_json::Value;

const ROWS: i64 = 6_000;
const DISTINCT: i64 = 4_000;

/// The program beside this test that runs the slow pipeline.
fn slow() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let folder = test.parent().and_then(Path::parent).unwrap();
    folder.join("examples/slow")
}

fn command(store: &Path) -> Command {
    let mut command = Command::new(slow());
    command.arg(store).arg(ROWS.to_string()).arg(DISTINCT.to_string()).stdout(Stdio::piped());
    command
}

/// Runs to the end: the summary, and the packets that were computed.
fn run(store: &Path) -> (Value, Vec<i64>) {
    let output = command(store).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let (calls, summary) = text.split_once("summary ").unwrap();
    (serde_json::from_str(summary).unwrap(), calls.lines().map(|l| l.parse().unwrap()).collect())
}

/// Runs until so many calls were made, then kills; gives the packets whose call had ended.
fn run_and_kill(store: &Path, calls: usize) -> HashSet<i64> {
    let mut child = command(store).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut seen = HashSet::new();
    for line in lines {
        // A line that the kill cut off is no call that ended.
        let Some(number) = line.ok().and_then(|l| l.parse().ok()) else { break };
        seen.insert(number);
        if seen.len() == calls {
            child.kill().unwrap();
        }
    }
    child.wait().unwrap();
    seen
}

fn recorded(store: &Path) -> Vec<String> {
    let store = Store::open(store).unwrap();
    let mut replay = store.replay_named("slow", "work", &Which::Last).unwrap();
    let mut rows = Vec::new();
    while let Some(chunk) = replay.next() {
        let origins = replay.origins();
        rows.extend(support::texts(&chunk.unwrap().to_batch(anabranch::Columns::All, origins).unwrap()));
    }
    rows
}

#[test]
fn a_killed_run_is_continued_by_the_next_which_computes_only_what_was_not_committed() {
    let folder = tempfile::tempdir().unwrap();
    let (untouched, killed) = (folder.path().join("untouched"), folder.path().join("killed"));
    run(&untouched);
    let expected = recorded(&untouched);
    assert_eq!(expected.len(), usize::try_from(ROWS).unwrap());

    let begun = run_and_kill(&killed, 1_000);
    let store = Store::open(&killed).unwrap();
    assert!(store.replay_named("slow", "work", &Which::Last).is_err(), "a killed run looks whole");
    assert_eq!(store.runs(Some("slow")).unwrap()[0].state.status(), "interrupted");
    drop(store);

    let (summary, computed) = run(&killed);
    let node = summary["nodes"].as_array().unwrap().iter().find(|n| n["name"] == "work").unwrap();
    let (reused, count) = (node["reused"].as_i64().unwrap(), node["computed"].as_i64().unwrap());
    assert_eq!(reused + count, ROWS);
    assert_eq!(usize::try_from(count).unwrap(), computed.len());
    let kept = DISTINCT - count;
    assert!(kept > 0, "nothing was kept of {} calls", begun.len());
    assert!(kept < DISTINCT, "the run was not caught in the middle");
    // What was computed again had either not been called or not been committed.
    let again = computed.iter().filter(|n| begun.contains(n)).count();
    assert!(again < begun.len(), "all {} calls were made again", begun.len());
    assert_eq!(recorded(&killed), expected);

    let (summary, computed) = run(&killed);
    assert_eq!(computed, Vec::<i64>::new(), "{summary}");
}
