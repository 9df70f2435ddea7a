//! Copies of a store: taken while runs go on, cut off, put back, and refused where they would overwrite.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on panics, and its documents have the keys"
)]

mod support;

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use support::{Folder, node};

const PROGRAM: &str = env!("CARGO_BIN_EXE_anabranch");

const PIPELINE: &str = "\
version: 1
name: copies
params: { shift: { type: int, default: 0 } }
nodes:
  numbers: { jsonl: { path: numbers.jsonl, tags: [n] } }
  moved: { function: { input: numbers, sql: { y: \"x + ${shift}\" }, keep: true } }
  out: { write: { input: moved, parquet: { path: out.parquet } } }
";

/// A folder with a pipeline over so many rows.
fn folder(rows: usize) -> Folder {
    let folder = Folder::new();
    let lines: Vec<String> = (0..rows).map(|n| format!("{{\"n\":{n},\"x\":{}}}", n * 7)).collect();
    folder.write("numbers.jsonl", &lines.join("\n"));
    folder.write("pipeline.yaml", PIPELINE);
    folder
}

fn verify(folder: &Folder, store: &str) {
    let found = folder.json(&["cache", "verify", "pipeline.yaml", "--store", store]);
    assert_eq!(found["status"], "ok", "{found}");
}

#[test]
fn copies_taken_during_fifty_runs_are_whole_and_serve_what_was_there() {
    let folder = folder(500);
    folder.json(&["run", "pipeline.yaml", "--set", "shift=0"]);
    let runs = |from: usize| {
        let folder = &folder;
        move || {
            for shift in from..from + 25 {
                let (set, out) = (format!("shift={shift}"), format!("moved=out{from}.csv"));
                folder.json(&["run", "pipeline.yaml", "--until", "moved", "--set", &set, "--out", &out]);
            }
        }
    };
    let mut copies = 0;
    std::thread::scope(|scope| {
        let runs = [scope.spawn(runs(1)), scope.spawn(runs(101))];
        while !runs.iter().all(std::thread::ScopedJoinHandle::is_finished) {
            folder.json(&["store", "backup", &format!("copy{copies}")]);
            copies += 1;
        }
    });
    assert!(copies > 5, "only {copies} copies were taken meanwhile");
    for copy in 0..copies {
        let (copy, back) = (format!("copy{copy}"), format!("back{copy}"));
        let restored = folder.json(&["store", "restore", &copy, "--store", &back]);
        assert_eq!(restored["status"], "ok");
        verify(&folder, &back);
        let again = folder.json(&["run", "pipeline.yaml", "--set", "shift=0", "--store", &back]);
        assert_eq!(
            (&node(&again, "moved")["computed"], &node(&again, "moved")["reused"]),
            (&0.into(), &500.into())
        );
    }
}

/// Kills a command once a store that it makes has so many bytes.
fn kill(folder: &Folder, arguments: &[&str], made: &Path, bytes: u64) {
    let mut command = Command::new(PROGRAM);
    command.current_dir(folder.path(".")).args(arguments).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let size = |name: &str| made.join(name).metadata().map_or(0, |about| about.len());
    while size("store.db.partial") < bytes && size("store.db") == 0 && child.try_wait().unwrap().is_none() {
        std::thread::yield_now();
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_copy_or_a_restore_that_is_killed_leaves_no_half_of_a_store_and_can_be_repeated() {
    let folder = folder(40_000);
    folder.json(&["run", "pipeline.yaml"]);
    let whole = std::fs::metadata(folder.path(".anabranch/store.db")).unwrap().len();
    let mut cut_off = 0;
    for part in 0..6 {
        let (copy, back) = (format!("copy{part}"), format!("back{part}"));
        for (arguments, made) in [
            (vec!["store", "backup", &copy], &copy),
            (vec!["store", "restore", &copy, "--store", &back], &back),
        ] {
            kill(&folder, &arguments, &folder.path(made), whole * part / 6);
            if !folder.path(made).join("store.db").exists() {
                cut_off += 1;
                folder.json(&arguments);
            }
            assert!(!folder.path(made).join("store.db.partial").exists());
            verify(&folder, made);
        }
        let again = folder.json(&["run", "pipeline.yaml", "--store", &back]);
        assert_eq!(node(&again, "moved")["computed"], 0);
    }
    assert!(cut_off > 0, "nothing was cut off");
}

#[test]
fn a_store_that_cannot_be_written_is_copied_and_nothing_is_overwritten() {
    let folder = folder(10);
    folder.json(&["run", "pipeline.yaml"]);
    folder.write("other.yaml", &PIPELINE.replace("name: copies", "name: other"));
    let text = folder.text(&["store", "backup", "copy", "other.yaml"]);
    assert!(text.starts_with("copied the store to copy, "), "{text}");
    // Also where a user may do everything, SQLite opens this one for reading only.
    let dir = folder.path(".anabranch");
    let writable = |mode: u32| {
        for path in [dir.clone(), dir.join("store.db"), dir.join("opening"), dir.join("runs")] {
            let extra = if path.is_dir() { 0o111 } else { 0 };
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode | extra)).unwrap();
        }
    };
    writable(0o444);
    folder.json(&["store", "backup", "second"]);
    writable(0o644);
    verify(&folder, "second");

    let (code, text) = folder.failure(&["store", "backup", "copy"]);
    assert_eq!(code, 1, "{text}");
    assert!(
        text.contains("\"copy\" has a store already; choose an empty folder, or move the store away"),
        "{text}"
    );
    let (code, text) = folder.failure(&["store", "restore", "copy"]);
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("has a store already"), "{text}");
    let (code, text) = folder.failure(&["store", "restore", "nowhere", "--store", "new"]);
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("\"nowhere\" has no store; name a folder that `store backup` wrote"), "{text}");
    let (code, text) = folder.failure(&["store", "backup", "third", "--store", "nowhere"]);
    assert_eq!(code, 2, "{text}");
    assert!(text.contains("found no store in nowhere"), "{text}");
    std::fs::remove_file(folder.path("pipeline.yaml")).unwrap();
    let (code, text) = folder.failure(&["store", "backup", "third"]);
    assert_eq!(code, 2, "{text}");
    assert!(text.contains("found no pipeline.yaml here"), "{text}");
    assert!(!folder.path("new").exists() && !folder.path("third").exists());
}
