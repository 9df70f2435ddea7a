//! kill -9 of the program while it reads a cumulative source leaves the history as it was, or moved on.

#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_wrap,
    clippy::indexing_slicing,
    clippy::format_push_string,
    reason = "a test that cannot go on panics, and its numbers are small"
)]

mod support;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anabranch_storage::Store;
use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use support::{Folder, kill_after};

/// Values by id, in the order of first appearance.
type Records = Vec<(i64, i64)>;

/// Every reading changes every record that is still there, and has new ones.
fn reading(generation: i64) -> Records {
    let ids = (generation * 1_500)..(20_000 + generation * 2_000);
    ids.map(|id| (id, generation)).collect()
}

fn after(before: &Records, reading: &Records) -> Records {
    let mut now: BTreeMap<i64, i64> = reading.iter().copied().collect();
    let mut records: Records =
        before.iter().map(|(id, value)| (*id, now.remove(id).unwrap_or(*value))).collect();
    records.extend(now);
    records
}

fn prepare(folder: &Folder, name: &str, records: &Records) {
    let mut text = String::from("id,value,text\n");
    for (id, value) in records {
        text += &format!("{id},{value},a text that belongs to record {id}\n");
    }
    folder.write(&format!("{name}.csv"), &text);
    let yaml = format!(
        "version: 1\nname: {name}\nnodes:\n  rows:\n    csv: {{ path: {name}.csv, tags: [id], record_id: [id], source_id: all }}\n    cache: cumulative\n"
    );
    folder.write(&format!("{name}.yaml"), &yaml);
}

fn start(folder: &Folder, name: &str) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_anabranch"));
    command.args(["run", &format!("{name}.yaml"), "-q"]).current_dir(folder.path(""));
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// The history as the store has it.
fn history(dir: &Path) -> Records {
    let store = Store::open(dir).unwrap();
    let Some(history) = store.history("all").unwrap() else { return Records::new() };
    let mut records = Records::new();
    for chunk in store.open_recording(&history.recording).unwrap() {
        let chunk = chunk.unwrap();
        let ids = chunk.column("id").unwrap().as_primitive::<Int64Type>();
        let values = chunk.column("value").unwrap().as_primitive::<Int64Type>();
        records.extend(ids.values().iter().copied().zip(values.values().iter().copied()));
    }
    records
}

#[test]
fn a_killed_run_leaves_a_cumulative_source_as_it_was_or_moves_it_on_whole() {
    let folder = Folder::new();
    let dir = folder.path(".anabranch");
    let mut expected = Records::new();
    let (mut killed, mut moved) = (0, 0);
    for generation in 0..6 {
        let now = reading(generation);
        prepare(&folder, "pipeline", &now);
        let next = after(&expected, &now);
        // Sizes that look random, from nothing written to about all of it.
        for turn in 0..3_u64 {
            let bytes = (generation.unsigned_abs() * 3 + turn) * 7_919 % 1_900 * 1_024;
            let mut child = start(&folder, "pipeline");
            killed += u64::from(kill_after(&mut child, &dir, bytes));
            if !dir.join("store.db").exists() {
                continue;
            }
            let found = history(&dir);
            assert!(found == expected || found == next, "generation {generation}, {bytes} bytes: torn");
            moved += u64::from(found == next && next != expected);
        }
        assert!(start(&folder, "pipeline").wait().unwrap().success());
        assert!(history(&dir) == next, "generation {generation}: records were lost");
        expected = next;
    }
    assert!(killed >= 6, "only {killed} of 18 runs were caught at work");
    assert!(moved < 18, "no run was caught before it had moved the history on");
}

#[test]
fn two_programs_at_once_both_move_the_history_on() {
    let folder = Folder::new();
    let dir = folder.path(".anabranch");
    for round in 0..4_i64 {
        for (name, from) in [("one", 0), ("two", 1_000_000)] {
            let first = from + round * 10_000;
            prepare(&folder, name, &(first..first + 8_000).map(|id| (id, round)).collect());
        }
        let (mut one, mut two) = (start(&folder, "one"), start(&folder, "two"));
        assert!(one.wait().unwrap().success() && two.wait().unwrap().success());
        let found = history(&dir);
        let ids: std::collections::HashSet<i64> = found.iter().map(|(id, _)| *id).collect();
        assert_eq!(found.len() as i64, (round + 1) * 16_000, "round {round}");
        assert_eq!(ids.len(), found.len(), "a record is there twice");
    }
}
