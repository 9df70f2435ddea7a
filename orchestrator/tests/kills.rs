//! kill -9 of the program at fifty moments that look random: the store is right after each.

#![allow(
    clippy::unwrap_used,
    clippy::format_push_string,
    clippy::indexing_slicing,
    reason = "a test that cannot go on panics, and its documents have the keys"
)]

mod support;

use std::process::{Child, Command, Stdio};

use support::{Folder, kill_after, node};

const ROWS: i64 = 20_000;
const KILLS: u64 = 50;

const PIPELINE: &str = "\
version: 1
name: kills
params:
  turn: { type: int, default: 0 }
nodes:
  rows: { csv: { path: rows.csv, tags: [id] } }
  first: { function: { input: rows, sql: { x: \"n * 100 + ${turn}\", words: \"text || ' again'\" } } }
  second: { function: { input: first, sql: { y: \"x * 2\" }, keep: true } }
  out: { write: { input: second, jsonl: { path: \"out/${turn}.jsonl\" } } }
";

fn start(folder: &Folder, turn: u64) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_anabranch"));
    command.args(["run", "pipeline.yaml", "-q", "--set", &format!("turn={turn}")]);
    command.current_dir(folder.path("")).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// Expected contents of the file of a turn.
fn expected(turn: u64) -> String {
    let row = |n: i64| {
        let x = n * 100 + i64::try_from(turn).unwrap();
        format!("{{\"id\":{n},\"x\":{x},\"words\":\"text {n} again\",\"y\":{}}}\n", x * 2)
    };
    (0..ROWS).map(row).collect()
}

#[test]
fn a_run_that_is_killed_at_any_moment_leaves_nothing_wrong_and_the_next_goes_on_from_there() {
    let folder = Folder::new();
    let mut text = String::from("id,n,text\n");
    for n in 0..ROWS {
        text += &format!("{n},{n},text {n}\n");
    }
    folder.write("rows.csv", &text);
    folder.write("pipeline.yaml", PIPELINE);
    let dir = folder.path(".anabranch");
    let (mut killed, mut kept) = (0, 0);
    for turn in 0..KILLS {
        // Another run works on the same store meanwhile.
        let other = (turn % 5 == 4).then(|| start(&folder, 1_000 + turn));
        let mut child = start(&folder, turn);
        let was_killed = kill_after(&mut child, &dir, turn * 7_919 % 2_500 * 1_024);
        killed += u64::from(was_killed);
        if let Some(mut other) = other {
            assert!(other.wait().unwrap().success(), "turn {turn}: the other run");
        }
        let file = folder.path(&format!("out/{turn}.jsonl"));
        if file.exists() {
            assert!(std::fs::read_to_string(&file).unwrap() == expected(turn), "turn {turn}: a torn file");
        }
        // Two in five are gone on with; all leave a store in which everything is right.
        if turn % 5 < 2 {
            let set = format!("turn={turn}");
            let summary = folder.json(&["run", "pipeline.yaml", "-q", "--set", &set]);
            for name in ["first", "second"] {
                let count = |what: &str| node(&summary, name)[what].as_i64().unwrap();
                assert_eq!(count("computed") + count("reused"), ROWS, "turn {turn}");
                kept += u64::from(was_killed && count("reused") > 0);
            }
            assert!(std::fs::read_to_string(&file).unwrap() == expected(turn), "turn {turn}");
            let rows = folder.text(&["replay", "pipeline.yaml", "second", "--set", &set]);
            assert!(rows == expected(turn), "turn {turn}: the recording");
        }
    }
    folder.text(&["cache", "verify", "pipeline.yaml"]);
    assert!(killed >= KILLS / 2, "only {killed} of {KILLS} runs were caught at work");
    assert!(kept > 0, "nothing of a killed run was ever used again");
}
