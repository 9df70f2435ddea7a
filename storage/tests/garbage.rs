//! Removal by garbage collection and drops: all that they should remove, and nothing else.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by a panic")]

mod support;

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use anabranch_engine::store::{CommitMode, RecordingStore as _, ResultStore as _, StoreErrorKind};
use anabranch_storage::{DropTarget, GarbageOptions, GarbageReport, Reason, Store};
use arrow::array::RecordBatch;
use proptest::prelude::*;
use support::{
    Sources, assert_outcomes, begin_run, child_program, function, key, operator_layout, read, record,
    recording_key, results, run_function, wait,
};

fn keep(runs: usize) -> GarbageOptions {
    GarbageOptions { keep_runs: NonZeroUsize::new(runs) }
}

fn reasons(groups: &[anabranch_storage::Group]) -> Vec<(Reason, u64)> {
    groups.iter().map(|group| (group.reason, group.recordings)).collect()
}

fn runs_of(store: &Store, node: &str) -> Vec<String> {
    store.recordings("p", node).unwrap().into_iter().map(|info| info.run).collect()
}

fn read_run(store: &Store, run: &str) -> RecordBatch {
    let info = store.recordings("p", "f").unwrap().into_iter().find(|info| info.run == run).unwrap();
    read(store, &info)
}

fn assert_whole(store: &Store) {
    let report = store.verify().unwrap();
    assert!(report.is_whole(), "{:?}", report.faults);
}

fn freed(report: &GarbageReport) -> [u64; 5] {
    let (records, results) = (report.record_blocks, report.result_blocks);
    [records.blocks, records.bytes, results.blocks, results.bytes, report.versions]
}

fn function_named(fingerprint: &str) -> DropTarget {
    DropTarget::Function { name: "double".into(), fingerprint: fingerprint.into() }
}

fn recordings_of(node: Option<&str>, run: Option<&str>) -> DropTarget {
    let text = |text: Option<&str>| text.map(str::to_owned);
    DropTarget::Recordings { pipeline: "p".into(), node: text(node), run: text(run) }
}

/// Begins a recording that never ends.
fn record_half(store: &Store, run: &str, sources: &Sources, rows: u64) {
    let ns: Vec<u64> = (0..rows).collect();
    wait(async {
        let origins = Arc::clone(&sources.origins);
        let mut recorder =
            store.begin(recording_key("node", run), operator_layout(sources), origins).await.unwrap();
        recorder.append(sources.chunk(&ns), vec![]).await.unwrap();
        recorder.append(sources.chunk(&ns[..1]), vec![]).await.unwrap();
        // Whatever was queued is written once something queued later is, unless its recorder is gone.
        store.commit(function("9"), results(&[1], "", CommitMode::First)).await.unwrap();
        drop(recorder);
    });
}

#[test]
fn an_incomplete_recording_goes_unless_its_run_is_alive() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let sources = Sources::new(0);
    let alive = begin_run(&store, "alive");
    drop(begin_run(&store, "dead"));
    record_half(&store, "alive", &sources, 20_000);
    record_half(&store, "dead", &sources, 20_000);
    let report = store.collect_garbage(&GarbageOptions::default()).unwrap();
    assert_eq!(reasons(&report.removed), [(Reason::Incomplete, 1)]);
    assert_eq!(reasons(&report.kept), [(Reason::RunAlive, 1)]);
    assert_eq!(report.record_blocks.blocks, 0, "the other recording has the same blocks");
    drop(alive);
    let report = store.collect_garbage(&GarbageOptions::default()).unwrap();
    assert_eq!(reasons(&report.removed), [(Reason::Incomplete, 1)]);
    assert_eq!(report.record_blocks.blocks, 2);
    assert_whole(&store);
}

#[test]
fn a_recording_that_was_removed_while_it_was_written_without_a_run_fails() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let sources = Sources::new(0);
    let error = wait(async {
        let origins = Arc::clone(&sources.origins);
        let recorder = store.begin(recording_key("node", "none"), operator_layout(&sources), origins);
        let recorder = recorder.await.unwrap();
        store.collect_garbage(&GarbageOptions::default()).unwrap();
        recorder.complete().await.unwrap_err()
    });
    assert_eq!(error.kind(), StoreErrorKind::Missing);
    assert!(store.recordings("p", "node").unwrap().is_empty());
}

#[test]
fn the_newest_complete_runs_stay_and_the_disk_gets_the_rest_back() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let sources = Sources::new(0);
    let mut expected = BTreeMap::new();
    for n in 0..6_u64 {
        let ns: Vec<u64> = (n * 20_000..n * 20_000 + 20_000).collect();
        let run = format!("r{n}");
        let mode = if n == 5 { CommitMode::Refresh } else { CommitMode::First };
        expected.insert(run.clone(), run_function(&store, &sources, &run, &ns, "", mode));
    }
    let report = store.collect_garbage(&GarbageOptions::default()).unwrap();
    assert_eq!(reasons(&report.kept), [(Reason::Complete, 6)]);
    assert!(report.removed.is_empty() && freed(&report) == [0; 5]);
    let report = store.collect_garbage(&keep(2)).unwrap();
    assert_eq!(reasons(&report.removed), [(Reason::OlderRun, 4)]);
    assert_eq!(reasons(&report.kept), [(Reason::NewestRuns, 2)]);
    assert_eq!(runs_of(&store, "f"), ["r5", "r4"]);
    for run in ["r4", "r5"] {
        assert_eq!(read_run(&store, run), expected[run]);
    }
    let removed = report.record_blocks.bytes;
    assert!(report.returnable && removed > 1 << 20);
    assert!(report.disk_before - report.disk_after >= removed, "{report:?}");
    assert_eq!(report.free_bytes, 0);
    assert_whole(&store);
}

#[test]
fn the_newest_recording_of_a_node_stays_whatever_its_run() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let sources = Sources::new(0);
    let lease = begin_run(&store, "first");
    record(&store, "first", &sources, &[sources.chunk(&[1, 2])]).unwrap();
    wait(store.finish_run(lease, support::ok())).unwrap();
    for run in ["second", "third"] {
        run_function(&store, &sources, run, &[1, 2, 4], "", CommitMode::First);
    }
    let report = store.collect_garbage(&keep(1)).unwrap();
    assert_eq!(reasons(&report.removed), [(Reason::OlderRun, 1)]);
    assert_eq!(reasons(&report.kept), [(Reason::NewestRuns, 1), (Reason::NewestOfNode, 1)]);
    assert_eq!((runs_of(&store, "node"), runs_of(&store, "f")), (vec!["first".into()], vec!["third".into()]));
}

#[test]
fn a_superseded_version_stays_as_long_as_a_recording_refers_to_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    // What another process has in memory.
    let other = Store::open(dir.path()).unwrap();
    let (sources, ns) = (Sources::new(0), (0..30_000).collect::<Vec<u64>>());
    let keys: Vec<_> = ns.iter().map(|n| key(*n)).collect();
    let first = run_function(&store, &sources, "r1", &ns, "", CommitMode::First);
    wait(other.find(function("1"), keys.clone())).unwrap();
    run_function(&store, &sources, "r2", &ns, "anew", CommitMode::Refresh);
    let report = store.collect_garbage(&GarbageOptions::default()).unwrap();
    assert_eq!(freed(&report), [0; 5]);
    assert_eq!(read_run(&store, "r1"), first);
    let predicted = store.find_garbage(&keep(1)).unwrap();
    let report = store.collect_garbage(&keep(1)).unwrap();
    assert_eq!(report.versions, 30_000);
    assert_eq!(freed(&predicted), freed(&report));
    assert!(report.disk_before - report.disk_after > report.result_blocks.bytes);
    for store in [&store, &other, &Store::open(dir.path()).unwrap()] {
        let found = wait(store.find(function("1"), keys.clone())).unwrap();
        assert!(found.hits.iter().all(|hit| *hit));
        assert_outcomes(&found.outcomes, &ns, "anew");
    }
    assert_whole(&store);
}

#[test]
fn results_are_left_alone_while_a_run_is_at_work() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let sources = Sources::new(0);
    run_function(&store, &sources, "r1", &[1, 2], "", CommitMode::First);
    run_function(&store, &sources, "r2", &[1, 2], "anew", CommitMode::Refresh);
    let lease = begin_run(&store, "alive");
    let report = store.collect_garbage(&keep(1)).unwrap();
    assert_eq!(reasons(&report.removed), [(Reason::OlderRun, 1)]);
    assert_eq!((report.versions, report.left.len()), (0, 1));
    assert!(report.left[0].to_string().contains("\"alive\" is at work"), "{}", report.left[0]);
    let error = store.drop_from(&function_named(""), true).unwrap_err();
    assert!(error.to_string().contains("is at work"), "{error}");
    drop(lease);
    assert_eq!(store.collect_garbage(&keep(1)).unwrap().versions, 2);
}

#[test]
fn what_is_read_stays_and_ends_right() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let (sources, ns) = (Sources::new(0), (0..30_000).collect::<Vec<u64>>());
    let expected = run_function(&store, &sources, "r1", &ns, "", CommitMode::First);
    run_function(&store, &sources, "r2", &ns, "anew", CommitMode::Refresh);
    let other = Store::open(dir.path()).unwrap();
    let info = other.recordings("p", "f").unwrap().pop().unwrap();
    let mut reader = other.open_recording(&info).unwrap();
    let mut chunks = vec![reader.next().unwrap().unwrap()];
    let report = store.collect_garbage(&keep(1)).unwrap();
    assert_eq!(reasons(&report.kept), [(Reason::NewestRuns, 1), (Reason::BeingRead, 1)]);
    let report = store.drop_from(&recordings_of(None, Some("r1")), true).unwrap();
    assert!(!report.dropped && report.left[0].to_string().contains("is being read"));
    chunks.extend(reader.by_ref().map(Result::unwrap));
    assert_eq!(support::rows(&chunks, reader.origins(), &info.schema), expected);
    drop(reader);
    assert_eq!(reasons(&store.collect_garbage(&keep(1)).unwrap().removed), [(Reason::OlderRun, 1)]);
    let error = other.open_recording(&info).unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Missing);
    assert!(error.to_string().contains("no longer in the store"), "{error}");
}

#[test]
fn a_prediction_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let sources = Sources::new(0);
    for (run, mode) in [("r1", CommitMode::First), ("r2", CommitMode::Refresh)] {
        run_function(&store, &sources, run, &(0..9_000).collect::<Vec<_>>(), run, mode);
    }
    record_half(&store, "dead", &sources, 9_000);
    let before = (store.inventory().unwrap(), store.size().unwrap());
    let predicted = store.find_garbage(&keep(1)).unwrap();
    assert_eq!((store.inventory().unwrap(), store.size().unwrap()), before);
    let report = store.collect_garbage(&keep(1)).unwrap();
    assert_eq!(freed(&predicted), freed(&report));
    assert!(freed(&report).iter().all(|freed| *freed > 0));
    assert_eq!((predicted.removed, predicted.kept), (report.removed, report.kept));
}

#[test]
fn a_dropped_function_is_computed_again_also_by_who_had_found_its_results() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let (other, sources) = (Store::open(dir.path()).unwrap(), Sources::new(0));
    let ns: Vec<u64> = (0..10_000).collect();
    let keys: Vec<_> = ns.iter().map(|n| key(*n)).collect();
    run_function(&store, &sources, "r1", &ns, "", CommitMode::First);
    wait(store.commit(function("2"), results(&ns, "", CommitMode::First))).unwrap();
    assert!(wait(other.find(function("1"), keys.clone())).unwrap().hits[7]);
    let fingerprint = function("1").fingerprint.digest().to_string();
    let refused = store.drop_from(&function_named(&fingerprint[..12]), false).unwrap();
    assert!(!refused.dropped);
    assert!(refused.dependants[0].contains("node \"f\" of pipeline \"p\" in run r1"), "{refused:?}");
    assert_eq!(runs_of(&store, "f"), ["r1"]);
    let report = store.drop_from(&function_named(&fingerprint[..12]), true).unwrap();
    assert!(report.dropped);
    assert_eq!((report.versions, report.result_blocks), (refused.versions, refused.result_blocks));
    assert_eq!(report.versions, 10_000);
    assert!(runs_of(&store, "f").is_empty());
    for store in [&store, &other] {
        let found = wait(store.find(function("1"), keys.clone())).unwrap();
        assert!(found.hits.iter().all(|hit| !hit));
        assert!(wait(store.find(function("2"), keys.clone())).unwrap().hits.iter().all(|hit| *hit));
    }
    let expected = run_function(&other, &sources, "r2", &ns, "again", CommitMode::First);
    assert_eq!(read_run(&store, "r2"), expected);
    assert_whole(&store);
}

#[test]
fn a_node_a_run_or_a_node_in_a_run_is_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let sources = Sources::new(0);
    for run in ["r1", "r2"] {
        run_function(&store, &sources, run, &[1, 2], "", CommitMode::First);
        record(&store, run, &sources, &[sources.chunk(&[1, 2])]).unwrap();
    }
    assert!(store.drop_from(&recordings_of(Some("f"), Some("r1")), false).unwrap().dropped);
    assert_eq!((runs_of(&store, "f").len(), runs_of(&store, "node").len()), (1, 2));
    assert!(store.drop_from(&recordings_of(None, Some("r1")), false).unwrap().dropped);
    assert_eq!((runs_of(&store, "f").len(), runs_of(&store, "node").len()), (1, 1));
    assert!(store.drop_from(&recordings_of(Some("node"), None), false).unwrap().dropped);
    assert_eq!((runs_of(&store, "f").len(), runs_of(&store, "node").len()), (1, 0));
    for nothing in [recordings_of(Some("other"), None), function_named("00"), function_named("zz")] {
        let error = store.drop_from(&nothing, true).unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Missing, "{error}");
    }
    assert_whole(&store);
}

#[test]
fn what_others_may_hold_of_later_features_stays() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let connection = rusqlite::Connection::open(dir.path().join("store.db")).unwrap();
    connection.execute("UPDATE meta SET value = 99 WHERE key = 'references'", []).unwrap();
    let error = store.collect_garbage(&GarbageOptions::default()).unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Version);
    assert!(error.to_string().contains("references of kind 99"), "{error}");
}

fn child(deed: &str, dir: &Path) -> Command {
    let mut command = Command::new(child_program());
    command.args([deed.as_ref(), dir.as_os_str()]).stdout(Stdio::piped());
    command
}

/// A store with much garbage: runs of which all results were computed again.
fn big_store(dir: &Path, sources: &Sources) -> RecordBatch {
    let store = Store::open(dir).unwrap();
    let mut last = None;
    for n in 0..6_u64 {
        let ns: Vec<u64> = (n..n + 40_000).collect();
        last = Some(run_function(&store, sources, &format!("r{n}"), &ns, "", CommitMode::Refresh));
    }
    last.unwrap()
}

#[test]
fn a_collection_that_is_killed_at_any_moment_leaves_the_store_whole() {
    let (dir, sources) = (tempfile::tempdir().unwrap(), Sources::new(0));
    let expected = big_store(dir.path(), &sources);
    let mut kills = 0;
    // Another moment each time: after so many of its looks at the store.
    for most in (0..20).map(|n| 1 << n) {
        let mut child = child("collect", dir.path()).spawn().unwrap();
        let lines = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()));
        let looks = lines.map_while(Result::ok).take_while(|line| line != "done").take(most).count();
        let ended = looks < most;
        if !ended {
            child.kill().unwrap();
            kills += 1;
        }
        child.wait().unwrap();
        let store = Store::open(dir.path()).unwrap();
        assert_eq!(read_run(&store, "r5"), expected);
        assert_whole(&store);
        if ended {
            break;
        }
    }
    assert!(kills > 1, "it was never killed");
    let store = Store::open(dir.path()).unwrap();
    assert_eq!(runs_of(&store, "f"), ["r5"]);
    let left = store.find_garbage(&keep(1)).unwrap();
    assert_eq!((freed(&left), left.free_bytes), ([0; 5], 0));
}

#[test]
fn collections_beside_a_process_that_runs_take_nothing_from_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let mut child = child("work", dir.path()).spawn().unwrap();
    let mut collections = 0;
    while child.try_wait().unwrap().is_none() {
        store.collect_garbage(&keep(2)).unwrap();
        collections += 1;
    }
    assert!(child.wait().unwrap().success());
    assert!(collections > 2);
    store.collect_garbage(&keep(2)).unwrap();
    assert_eq!(runs_of(&store, "f"), ["r11", "r10"]);
    let sources = Sources::new(0);
    for (run, salt) in [("r11", "11"), ("r10", "8")] {
        let ns: Vec<u64> = (0..9_000).filter(|n| n % 7 != 3).collect();
        let chunk = support::streamed(&sources, &function("1"), &ns, salt);
        assert_eq!(
            read_run(&store, run),
            support::rows(std::slice::from_ref(&chunk), &sources.origins, chunk.schema())
        );
    }
    assert_whole(&store);
}

/// An action on a store.
#[derive(Debug, Clone)]
enum Deed {
    Run { from: u64, rows: u64, anew: bool },
    Die { rows: u64 },
    Collect { keep: usize },
    DropRun(usize),
    DropResults,
    Reopen,
}

fn deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        4 => (0..60_u64, 1..80_u64, any::<bool>()).prop_map(|(from, rows, anew)| Deed::Run { from, rows, anew }),
        1 => (1..50_u64).prop_map(|rows| Deed::Die { rows }),
        3 => (0..4_usize).prop_map(|keep| Deed::Collect { keep }),
        1 => (0..4_usize).prop_map(Deed::DropRun),
        1 => Just(Deed::DropResults),
        1 => Just(Deed::Reopen),
    ]
}

/// Contents that have to be there.
#[derive(Debug, Default)]
struct Model {
    /// The salt of each packet's current version.
    current: BTreeMap<u64, String>,
    /// Recordings, the oldest first.
    runs: Vec<(String, RecordBatch)>,
}

impl Model {
    fn check(&self, store: &Store) {
        let mut expected: Vec<String> = self.runs.iter().map(|(run, _)| run.clone()).collect();
        expected.reverse();
        assert_eq!(runs_of(store, "f"), expected);
        for (run, rows) in &self.runs {
            assert_eq!(&read_run(store, run), rows);
        }
        let found = wait(store.find(function("1"), (0..140).map(key).collect())).unwrap();
        let hits: Vec<bool> = (0..140).map(|n| self.current.contains_key(&n)).collect();
        assert_eq!(found.hits, hits);
        for (n, salt) in &self.current {
            assert_outcomes(&wait(store.find(function("1"), vec![key(*n)])).unwrap().outcomes, &[*n], salt);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn what_is_not_garbage_stays_readable_and_equal(
        deeds in proptest::collection::vec((deed(), 0..2_usize), 1..14),
    ) {
        let (dir, sources) = (tempfile::tempdir().unwrap(), Sources::new(0));
        let mut stores = [Store::open(dir.path()).unwrap(), Store::open(dir.path()).unwrap()];
        let mut model = Model::default();
        for (number, (deed, at)) in deeds.iter().enumerate() {
            let (store, run) = (&stores[*at], format!("r{number}"));
            match deed {
                Deed::Run { from, rows, anew } => {
                    let ns: Vec<u64> = (*from..from + rows).collect();
                    let mode = if *anew { CommitMode::Refresh } else { CommitMode::First };
                    for n in &ns {
                        let salt = model.current.entry(*n).or_insert_with(|| run.clone());
                        if *anew {
                            salt.clone_from(&run);
                        }
                    }
                    let salts: Vec<&str> = ns.iter().map(|n| model.current[n].as_str()).collect();
                    let rows = support::run_salted(store, &sources, &run, (&ns, &salts, &run), mode);
                    model.runs.push((run, rows));
                }
                Deed::Die { rows } => {
                    drop(begin_run(store, &run));
                    record_half(store, &run, &sources, *rows);
                }
                Deed::Collect { keep: count } => {
                    let predicted = store.find_garbage(&keep(*count)).unwrap();
                    let report = store.collect_garbage(&keep(*count)).unwrap();
                    prop_assert_eq!(freed(&predicted), freed(&report));
                    let gone = if *count == 0 { 0 } else { model.runs.len().saturating_sub(*count) };
                    model.runs.drain(..gone);
                    let left = store.find_garbage(&keep(*count)).unwrap();
                    prop_assert_eq!((freed(&left), left.free_bytes), ([0; 5], 0));
                }
                Deed::DropRun(which) => {
                    let dropped = (*which < model.runs.len()).then(|| model.runs.remove(*which));
                    if let Some((run, _)) = dropped {
                        prop_assert!(store.drop_from(&recordings_of(None, Some(&run)), false).unwrap().dropped);
                    }
                }
                Deed::DropResults => {
                    if !model.current.is_empty() {
                        prop_assert!(store.drop_from(&function_named(""), true).unwrap().dropped);
                    }
                    model = Model::default();
                }
                Deed::Reopen => stores[*at] = Store::open(dir.path()).unwrap(),
            }
            model.check(&stores[1 - *at]);
        }
        model.check(&stores[0]);
        assert_whole(&stores[1]);
    }
}
