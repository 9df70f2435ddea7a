//! Whatever is damaged in a store is found, and said with what it held.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by a panic")]

mod support;

use std::path::Path;

use anabranch_engine::store::{CommitMode, ResultStore as _};
use anabranch_storage::{ScrubReport, Store};
use arrow::array::RecordBatch;
use rusqlite::Connection;
use support::{Sources, function, key, read, record, results, run_function, wait};

/// A store with results of two functions and recordings of two nodes in two runs.
fn fill(dir: &Path) {
    let (store, sources) = (Store::open(dir).unwrap(), Sources::new(0));
    let ns: Vec<u64> = (0..700).collect();
    run_function(&store, &sources, "r1", &ns, "", CommitMode::First);
    run_function(&store, &sources, "r2", &ns[..300], "anew", CommitMode::Refresh);
    record(&store, "r2", &sources, &[sources.chunk(&ns)]).unwrap();
    wait(store.commit(function("2"), results(&ns[..100], "", CommitMode::First))).unwrap();
}

/// All contents of the store; none if it reports a fault.
fn contents(dir: &Path) -> Option<(Vec<RecordBatch>, Vec<RecordBatch>)> {
    let store = Store::open(dir).ok()?;
    let mut recorded = Vec::new();
    for node in ["f", "node"] {
        for info in store.recordings("p", node).ok()? {
            let chunks: Vec<_> = store.open_recording(&info).ok()?.collect::<Result<_, _>>().ok()?;
            drop(chunks);
            recorded.push(read(&store, &info));
        }
    }
    let mut found = Vec::new();
    for version in ["1", "2"] {
        let f = function(version);
        let outcomes = wait(store.find(f.clone(), (0..700).map(key).collect())).ok()?.outcomes;
        let columns = f.outputs.iter().map(|field| field.name().clone()).zip(outcomes.values);
        found.push(RecordBatch::try_from_iter(columns).unwrap());
    }
    Some((recorded, found))
}

fn verify(dir: &Path) -> Option<ScrubReport> {
    Store::open(dir).ok()?.verify().ok()
}

/// Places of some bytes of each of a store's blobs in its file.
fn blob_places(dir: &Path, file: &[u8]) -> Vec<usize> {
    let connection = Connection::open(dir.join("store.db")).unwrap();
    let mut places = Vec::new();
    for blobs in [
        "SELECT prefixes FROM result_blocks",
        "SELECT data FROM result_blocks",
        "SELECT checksum FROM result_blocks",
        "SELECT data FROM blocks",
        "SELECT hash FROM blocks",
        "SELECT schema FROM recordings",
        "SELECT content_hash FROM recordings",
        "SELECT checksum FROM recording_checksums",
        "SELECT fingerprint FROM functions",
    ] {
        let mut select = connection.prepare(blobs).unwrap();
        let blobs = select.query_map([], |row| row.get::<_, Vec<u8>>(0)).unwrap();
        for blob in blobs.map(Result::unwrap) {
            for from in (0..blob.len().saturating_sub(24)).step_by(blob.len() / 40 + 1) {
                let part = &blob[from..from + 24];
                // A part that stands there once; zeros and the like stand everywhere.
                let mut found = file.windows(24).enumerate().filter(|(_, window)| *window == part);
                if let (Some((at, _)), None) = (found.next(), found.next()) {
                    places.push(at + from % 24);
                }
            }
        }
    }
    assert!(places.len() > 40, "{}", places.len());
    places
}

#[test]
fn a_store_that_is_whole_is_found_whole() {
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path());
    let report = verify(dir.path()).unwrap();
    assert!(report.is_whole(), "{:?}", report.faults);
    assert_eq!((report.versions, report.recordings, report.functions), (1_100, 3, 2));
    assert!(report.bytes > 10_000 && report.record_blocks == 3);
}

#[test]
fn a_flipped_byte_in_a_blob_is_found_and_one_elsewhere_at_least_changes_nothing_unseen() {
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path());
    let path = dir.path().join("store.db");
    let file = std::fs::read(&path).unwrap();
    let expected = contents(dir.path()).unwrap();
    let blobs = blob_places(dir.path(), &file);
    let anywhere = (0..file.len()).step_by(file.len() / 150 + 1);
    for (at, is_blob) in blobs.into_iter().map(|at| (at, true)).chain(anywhere.map(|at| (at, false))) {
        let flipped = tempfile::tempdir().unwrap();
        let mut bytes = file.clone();
        bytes[at] ^= 0x10;
        std::fs::write(flipped.path().join("store.db"), bytes).unwrap();
        let found = verify(flipped.path()).is_none_or(|report| !report.is_whole());
        assert!(found || !is_blob, "a flip of byte {at}, in a blob, was not found");
        assert!(
            found || contents(flipped.path()).is_none_or(|contents| contents == expected),
            "a flip of byte {at} changed what is read and was not found"
        );
    }
}

fn damage(dir: &Path, statement: &str) -> ScrubReport {
    fill(dir);
    Connection::open(dir.join("store.db")).unwrap().execute_batch(statement).unwrap();
    verify(dir).unwrap()
}

#[test]
fn a_damaged_result_block_is_told_with_its_function_and_the_recordings_that_need_it() {
    let dir = tempfile::tempdir().unwrap();
    let report = damage(dir.path(), "UPDATE result_blocks SET checksum = zeroblob(32) WHERE id = 1");
    assert_eq!(report.faults.len(), 1, "{:?}", report.faults);
    let fault = &report.faults[0];
    assert_eq!(
        (fault.place.as_str(), fault.found.as_str()),
        ("result block 1", "its checksum does not match")
    );
    assert!(fault.held.starts_with("700 results of function \"double\" ("), "{}", fault.held);
    assert_eq!(fault.users, ["node \"f\" of pipeline \"p\" in run r1"]);
}

#[test]
fn a_damaged_record_block_is_told_with_the_recordings_that_have_it() {
    let dir = tempfile::tempdir().unwrap();
    let report =
        damage(dir.path(), "UPDATE blocks SET data = substr(data, 1, length(data) - 8) WHERE id = 1");
    let fault = report.faults.iter().find(|fault| fault.place == "block 1").unwrap();
    assert!(fault.found.contains("bytes, expected"), "{}", fault.found);
    assert_eq!((fault.held.as_str(), fault.users.len()), ("600 rows of recordings", 1));
}

#[test]
fn references_that_lead_nowhere_and_missing_blocks_are_found() {
    for (statement, place, found) in [
        ("DELETE FROM result_blocks WHERE id = 1", "block 1", "result block 1, which is not in the store"),
        ("UPDATE result_blocks SET function = 2 WHERE id = 1", "block 1", "of another function"),
        ("UPDATE recordings SET rows = 5 WHERE id = 1", "recording 1", "checksum"),
        ("UPDATE recordings SET node = 'g' WHERE id = 1", "recording 1", "checksum"),
        ("DELETE FROM recording_blocks WHERE recording = 3", "recording 3", "checksum"),
        (
            "DELETE FROM recording_checksums; UPDATE recordings SET rows = 5 WHERE id = 1",
            "recording 1",
            "rows, expected 5",
        ),
        ("PRAGMA foreign_keys = OFF; DELETE FROM blocks WHERE id = 1", "the database", "refers to no blocks"),
        ("UPDATE components SET value = 'x' WHERE function = 1", "function 1", "its fingerprint"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let report = damage(dir.path(), statement);
        let told = report.faults.iter().any(|fault| fault.place == place && fault.found.contains(found));
        assert!(told, "{statement}: {:?}", report.faults);
    }
}
