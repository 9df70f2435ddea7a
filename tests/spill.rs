//! State beyond `memory_limit` leaves memory: the answer stays the same, and nothing stays behind.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::format_push_string,
    reason = "a test that cannot go on panics, and its numbers are small"
)]

mod support;

use std::path::{Path, PathBuf};

use support::child::{Heavy, MIB, files_below, spills};

#[test]
fn semijoin_antijoin_sort_and_batch_beyond_their_memory_give_the_same_rows() {
    for shape in ["semijoin", "antijoin", "sort", "batch"] {
        spills(shape, 200_000, 4 * MIB);
    }
}

/// Bytes of files without a name that a process has open below a folder.
fn unnamed_bytes(process: u32, folder: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(format!("/proc/{process}/fd")) else { return 0 };
    let held = |path: PathBuf| {
        let target = std::fs::read_link(&path).ok()?;
        let unnamed = target.to_string_lossy().ends_with(" (deleted)") && target.starts_with(folder);
        unnamed.then(|| std::fs::metadata(&path).map_or(0, |m| m.len()))
    };
    entries.filter_map(|entry| held(entry.ok()?.path())).sum()
}

#[test]
fn a_run_killed_while_it_spills_leaves_nothing_behind_and_the_next_one_is_right() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().canonicalize().unwrap();
    let store = folder.join("store");
    let heavy = Heavy::new("semijoin", 300_000).limited(4 * MIB);
    let expected = heavy.run_in(&store).digest();
    let before = files_below(&store);

    let mut child = heavy.command(&store).spawn().unwrap();
    let mut caught = false;
    while !caught && child.try_wait().unwrap().is_none() {
        caught = unnamed_bytes(child.id(), &folder) > 4 * MIB;
        std::thread::yield_now();
    }
    child.kill().unwrap();
    assert!(caught, "the run ended before it was seen to spill: {:?}", child.wait_with_output());
    child.wait().unwrap();

    let again = heavy.run_in(&store);
    assert_eq!(again.digest(), expected);
    assert_eq!(files_below(&store), before, "the killed run left files behind");
}
