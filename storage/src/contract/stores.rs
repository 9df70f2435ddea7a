//! Stores over either medium.

use std::sync::Arc;

use anabranch_engine::store::{
    CommitMode, RecordingStore as _, ResultId, ResultStore as _, RunError, StoreErrorKind, VersionSpan,
};

use super::support::{
    Sources, assert_outcomes, begin_run, eager, function, key, keys, ok, operator_layout, read, record,
    record_function, recording_key, results, rows, run_function, streamed, wait,
};
use super::{TestPlace, both};
use crate::catalog::query::{Filter, Query};
use crate::catalog::reads::Reads as _;
use crate::catalog::tables::{BLOCKS, KEY_RUNS, RESULT_BLOCKS, RESULT_PACKS};
use crate::catalog::value::Value;
use crate::garbage::{DropTarget, GarbageOptions, Reason};
use crate::recordings::histories::HistoryStep;
use crate::recordings::links::Link;
use crate::results::late::LateImport;
use crate::runs::RunState;
use crate::store::{Store, StoreOptions};

both! {
    what_was_committed_is_found,
    what_was_not_committed_is_missed,
    the_first_commit_of_a_key_wins,
    a_refreshed_key_has_its_new_version,
    a_withdrawn_version_is_not_found_and_an_earlier_one_is,
    versions_ascend_and_snapshots_include_what_was_there,
    clients_differ,
    many_small_commits_are_put_together_and_found,
    keys_in_runs_are_found_with_next_to_no_memory,
    two_stores_over_one_medium_agree_on_the_first,
    threads_over_one_medium_agree_on_the_first,
    results_of_wrong_shapes_are_refused,
    a_recording_is_read_as_it_was_written,
    a_recording_of_a_function_is_read_with_its_results,
    an_incomplete_recording_is_not_seen,
    recordings_share_equal_blocks,
    of_two_steps_of_a_history_one_counts,
    links_and_late_imports_come_back,
    a_run_is_running_and_then_ended,
    a_run_that_died_is_interrupted,
    two_runs_have_two_ids,
    the_inventory_has_what_was_written,
    collection_removes_what_nothing_needs,
    collection_leaves_what_is_read,
    what_is_dropped_is_gone_and_named_before,
    damage_of_a_block_is_found,
    what_was_queued_is_done_before_the_store_is_gone,
    the_newest_recordings_come_first,
}

fn open(place: &TestPlace) -> Store {
    place.store_with(&StoreOptions::default())
}

fn commit(store: &Store, ns: &[u64], salt: &str, mode: CommitMode) -> Vec<ResultId> {
    wait(store.commit(function("1"), results(ns, salt, mode))).unwrap().references
}

fn hits(store: &Store, ns: std::ops::Range<u64>) -> Vec<bool> {
    wait(store.find(function("1"), keys(ns))).unwrap().hits
}

fn what_was_committed_is_found(place: &TestPlace) {
    let ns: Vec<u64> = (0..500).collect();
    commit(&open(place), &ns, "", CommitMode::First);
    let found = wait(open(place).find(function("1"), keys(0..500))).unwrap();
    assert!(found.hits.iter().all(|hit| *hit));
    assert_outcomes(&found.outcomes, &ns, "");
}

fn what_was_not_committed_is_missed(place: &TestPlace) {
    let store = open(place);
    commit(&store, &[1, 3], "", CommitMode::First);
    assert_eq!(hits(&store, 0..5), [false, true, false, true, false]);
    assert_eq!(wait(store.find(function("2"), keys(0..2))).unwrap().hits, [false, false]);
}

fn the_first_commit_of_a_key_wins(place: &TestPlace) {
    let store = open(place);
    let first = commit(&store, &[1, 2], "first", CommitMode::First);
    let second = wait(store.commit(function("1"), results(&[1, 4], "second", CommitMode::First))).unwrap();
    assert_eq!(second.references[0], first[0]);
    let found = wait(store.find(function("1"), keys([1]))).unwrap();
    assert_outcomes(&found.outcomes, &[1], "first");
}

fn a_refreshed_key_has_its_new_version(place: &TestPlace) {
    let store = open(place);
    commit(&store, &[1, 2], "old", CommitMode::First);
    commit(&store, &[1], "new", CommitMode::Refresh);
    assert_outcomes(&wait(store.find(function("1"), keys([1]))).unwrap().outcomes, &[1], "new");
    assert_outcomes(&wait(store.find(function("1"), keys([2]))).unwrap().outcomes, &[2], "old");
}

fn a_withdrawn_version_is_not_found_and_an_earlier_one_is(place: &TestPlace) {
    let store = open(place);
    let first = commit(&store, &[1, 2], "old", CommitMode::First);
    let second = commit(&store, &[1], "new", CommitMode::Refresh);
    let withdraw = |of| wait(store.withdraw(function("1"), vec![VersionSpan::of(of)])).unwrap();
    assert_eq!(withdraw(second[0]), 1);
    assert_outcomes(&wait(store.find(function("1"), keys([1]))).unwrap().outcomes, &[1], "old");
    assert_eq!(withdraw(first[0]), 1);
    assert_eq!(hits(&store, 1..3), [false, true]);
    let again = commit(&store, &[1], "again", CommitMode::First);
    assert!(again[0] > second[0]);
}

fn versions_ascend_and_snapshots_include_what_was_there(place: &TestPlace) {
    let store = open(place);
    let mut last = None;
    for n in 0..5 {
        let before = wait(store.snapshot()).unwrap();
        let id = commit(&store, &[n], "", CommitMode::First)[0];
        let after = wait(store.snapshot()).unwrap();
        assert!(!before.includes(id) && after.includes(id) && before < after);
        assert!(last.replace(id).is_none_or(|last| last < id));
    }
}

fn clients_differ(place: &TestPlace) {
    let store = open(place);
    let clients = [store.client(), store.clone().client(), store.client()];
    assert!(clients[0] != clients[1] && clients[1] != clients[2] && clients[0] != clients[2]);
}

fn many_small_commits_are_put_together_and_found(place: &TestPlace) {
    let store = place.store_with(&eager());
    for n in 0..60 {
        commit(&store, &[n], "", CommitMode::First);
    }
    wait(store.maintain()).unwrap();
    let count = |table| place.read(|rows| rows.count(&Query::of(table, &[]))).unwrap();
    assert!(count(&RESULT_PACKS) > 0 && count(&KEY_RUNS) > 0 && count(&RESULT_BLOCKS) < 60);
    for store in [store, place.store_with(&eager())] {
        let found = wait(store.find(function("1"), keys(0..70))).unwrap();
        assert_eq!(found.hits.iter().filter(|hit| **hit).count(), 60);
        assert_outcomes(&found.outcomes, &(0..60).collect::<Vec<_>>(), "");
    }
}

fn keys_in_runs_are_found_with_next_to_no_memory(place: &TestPlace) {
    let store = place.store_with(&StoreOptions { index_memory_bytes: 1, cache_memory_bytes: 1, ..eager() });
    for from in (0..3_000).step_by(300) {
        commit(&store, &(from..from + 300).collect::<Vec<_>>(), "", CommitMode::First);
        wait(store.maintain()).unwrap();
    }
    let found = wait(store.find(function("1"), keys(0..3_100))).unwrap();
    assert_eq!(found.hits.iter().filter(|hit| **hit).count(), 3_000);
}

fn two_stores_over_one_medium_agree_on_the_first(place: &TestPlace) {
    let (one, two) = (open(place), open(place));
    let first = commit(&one, &[1, 2], "one", CommitMode::First);
    assert_eq!(hits(&two, 0..3), [false, true, true]);
    let second = commit(&two, &[2, 3], "two", CommitMode::First);
    assert_eq!(second[0], first[1]);
    assert_eq!(hits(&one, 0..4), [false, true, true, true]);
}

fn threads_over_one_medium_agree_on_the_first(place: &TestPlace) {
    let all: Vec<Vec<ResultId>> = std::thread::scope(|scope| {
        let work = |n: usize| {
            let store = open(place);
            move || {
                let salt = n.to_string();
                (0..40)
                    .flat_map(|part| {
                        let ns: Vec<u64> = (part * 5..part * 5 + 9).collect();
                        let found = commit(&store, &ns, &salt, CommitMode::First);
                        found.into_iter().take(5).collect::<Vec<_>>()
                    })
                    .collect()
            }
        };
        let threads: Vec<_> = (0..4).map(|n| scope.spawn(work(n))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(all.iter().all(|ids| *ids == all[0] && ids.len() == 200));
}

fn results_of_wrong_shapes_are_refused(place: &TestPlace) {
    let store = open(place);
    let mut wrong = results(&[1, 2], "", CommitMode::First);
    wrong.emitted.pop();
    let refused = wait(store.commit(function("1"), wrong)).unwrap_err();
    assert!(refused.to_string().contains("outcomes: found 1, expected 2"), "{refused}");
    assert_eq!(refused.kind(), StoreErrorKind::System);
    commit(&store, &[1], "", CommitMode::First);
}

fn a_recording_is_read_as_it_was_written(place: &TestPlace) {
    let (store, sources) = (open(place), Sources::new(3));
    let chunks: Vec<_> = [0..9_000, 9_000..9_001, 9_001..20_000]
        .map(|ns: std::ops::Range<u64>| sources.chunk(&ns.collect::<Vec<_>>()))
        .into();
    record(&store, "r1", &sources, &chunks).unwrap();
    let store = open(place);
    let info = store.recordings("p", "node").unwrap().remove(0);
    assert_eq!(info.rows, 20_000);
    assert_eq!(read(&store, &info), rows(&chunks, &sources.origins, &info.schema));
}

fn a_recording_of_a_function_is_read_with_its_results(place: &TestPlace) {
    let (store, sources) = (place.store_with(&eager()), Sources::new(0));
    let written = run_function(&store, &sources, "r1", &(0..300).collect::<Vec<_>>(), "", CommitMode::First);
    wait(store.maintain()).unwrap();
    let store = open(place);
    let info = store.recordings("p", "f").unwrap().remove(0);
    assert_eq!(read(&store, &info), written);
}

fn an_incomplete_recording_is_not_seen(place: &TestPlace) {
    let (store, sources) = (open(place), Sources::new(0));
    wait(async {
        let layout = operator_layout(&sources);
        let begun = store.begin(recording_key("node", "r1"), layout, Arc::clone(&sources.origins));
        let mut recorder = begun.await.unwrap();
        recorder.append(sources.chunk(&(0..10_000).collect::<Vec<_>>()), vec![]).await.unwrap();
    });
    assert!(store.recordings("p", "node").unwrap().is_empty());
    let report = store.collect_garbage(&GarbageOptions::default()).unwrap();
    assert_eq!(report.removed[0].reason, Reason::Incomplete);
    assert!(open(place).verify().unwrap().is_whole());
}

fn recordings_share_equal_blocks(place: &TestPlace) {
    let (store, sources) = (open(place), Sources::new(0));
    let chunk = sources.chunk(&(0..5_000).collect::<Vec<_>>());
    for run in ["r1", "r2", "r3"] {
        record(&store, run, &sources, std::slice::from_ref(&chunk)).unwrap();
    }
    assert_eq!(place.read(|rows| rows.count(&Query::of(&BLOCKS, &[]))).unwrap(), 1);
    let size = store.size().unwrap();
    assert_eq!(size.unshared_bytes, 3 * size.record_bytes);
    let entries = store.inventory().unwrap().recordings;
    assert!(entries.len() == 3 && entries.iter().all(|entry| entry.shared_bytes == entry.bytes));
}

fn of_two_steps_of_a_history_one_counts(place: &TestPlace) {
    let (store, sources) = (open(place), Sources::new(0));
    let step = |base| HistoryStep { source_id: "s".into(), record_id: vec!["id".into()], base };
    let write = |run: &'static str, step| {
        let (store, sources) = (&store, &sources);
        async move {
            let origins = Arc::clone(&sources.origins);
            let begun = store.begin_history(recording_key("h", run), operator_layout(sources), origins, step);
            let mut recorder = begun.await.unwrap();
            recorder.append(sources.chunk(&[1, 2])).await.unwrap();
            recorder.complete().await.unwrap()
        }
    };
    let first = wait(write("r1", step(None))).unwrap();
    assert_eq!(wait(write("r2", step(None))), None, "the history has moved on");
    let second = wait(write("r3", step(Some(first)))).unwrap();
    assert!(second > first);
    assert_eq!(store.history("s").unwrap().unwrap().recording.id, second);
    assert!(store.history("t").unwrap().is_none());
}

fn links_and_late_imports_come_back(place: &TestPlace) {
    let store = open(place);
    let link = |node: &str| Link {
        run: "r".into(),
        node: node.into(),
        source_id: "s".into(),
        store: ".".into(),
        recording: 4,
    };
    for node in ["b", "a", "b"] {
        wait(store.link(link(node))).unwrap();
    }
    let late = LateImport { function: "f".into(), entries: vec!["z".into(), "a".into(), "z".into()] };
    wait(store.remember(late.clone())).unwrap();
    wait(store.remember(late)).unwrap();
    let store = open(place);
    assert_eq!(store.links("r").unwrap(), [link("a"), link("b")]);
    assert_eq!(store.late_imports("f").unwrap(), ["a", "z"]);
}

fn a_run_is_running_and_then_ended(place: &TestPlace) {
    let store = open(place);
    let lease = begin_run(&store, "r1");
    assert_eq!(store.runs(Some("p")).unwrap()[0].state, RunState::Running);
    wait(store.finish_run(lease, ok())).unwrap();
    let runs = open(place).runs(None).unwrap();
    assert_eq!(runs[0].state, RunState::Ended(ok()));
    assert!(store.runs(Some("q")).unwrap().is_empty());
}

fn a_run_that_died_is_interrupted(place: &TestPlace) {
    let store = open(place);
    drop(begin_run(&store, "r1"));
    assert_eq!(store.runs(None).unwrap()[0].state, RunState::Interrupted);
}

fn two_runs_have_two_ids(place: &TestPlace) {
    let store = open(place);
    let lease = begin_run(&store, "r1");
    let start = store.runs(None).unwrap().remove(0).start;
    assert!(matches!(wait(store.begin_run(start.clone())), Err(RunError::Alive { .. })));
    wait(store.finish_run(lease, ok())).unwrap();
    assert!(matches!(wait(store.begin_run(start)), Err(RunError::Exists { .. })));
}

fn the_inventory_has_what_was_written(place: &TestPlace) {
    let (store, sources) = (open(place), Sources::new(0));
    run_function(&store, &sources, "r1", &(0..50).collect::<Vec<_>>(), "", CommitMode::First);
    let inventory = store.inventory().unwrap();
    let [function] = inventory.functions.as_slice() else { panic!("there is one function") };
    assert_eq!((function.name.as_str(), function.versions, function.recordings), ("double", 50, 1));
    let [recording] = inventory.recordings.as_slice() else { panic!("there is one recording") };
    assert_eq!((recording.node.as_str(), recording.run.as_str(), recording.rows), ("f", "r1", 43));
    let size = store.size().unwrap();
    assert_eq!((size.versions, size.recordings), (50, 1));
    assert_eq!((size.result_bytes, size.record_bytes), (function.bytes, recording.bytes));
}

fn collection_removes_what_nothing_needs(place: &TestPlace) {
    let (store, sources) = (open(place), Sources::new(0));
    let ns: Vec<u64> = (0..50).collect();
    for (run, salt) in [("r1", "old"), ("r2", "new")] {
        run_function(&store, &sources, run, &ns, salt, CommitMode::Refresh);
    }
    let options = GarbageOptions { keep_runs: std::num::NonZeroUsize::new(1) };
    let foretold = store.find_garbage(&options).unwrap();
    let report = store.collect_garbage(&options).unwrap();
    assert_eq!(foretold.removed, report.removed);
    assert_eq!((foretold.versions, report.versions), (50, 50));
    let left = store.recordings("p", "f").unwrap();
    assert_eq!(left.iter().map(|info| info.run.as_str()).collect::<Vec<_>>(), ["r2"]);
    let found = wait(store.find(function("1"), keys(0..50))).unwrap();
    assert_outcomes(&found.outcomes, &ns, "new");
    assert!(store.verify().unwrap().is_whole());
    assert_eq!(store.collect_garbage(&options).unwrap().removed, []);
}

fn collection_leaves_what_is_read(place: &TestPlace) {
    let (store, sources) = (open(place), Sources::new(0));
    for run in ["r1", "r2"] {
        run_function(&store, &sources, run, &[1, 2, 4], "", CommitMode::First);
    }
    let old = store.recordings("p", "f").unwrap().pop().unwrap();
    let reader = store.open_recording(&old).unwrap();
    let options = GarbageOptions { keep_runs: std::num::NonZeroUsize::new(1) };
    let report = store.collect_garbage(&options).unwrap();
    assert!(report.removed.is_empty() && report.kept.iter().any(|group| group.reason == Reason::BeingRead));
    assert_eq!(reader.map(|chunk| chunk.unwrap().rows()).sum::<usize>(), 3);
    assert_eq!(store.collect_garbage(&options).unwrap().removed.len(), 1);
}

fn what_is_dropped_is_gone_and_named_before(place: &TestPlace) {
    let (store, sources) = (open(place), Sources::new(0));
    run_function(&store, &sources, "r1", &[1, 2, 4], "", CommitMode::First);
    let target = DropTarget::Function { name: "double".into(), fingerprint: String::new() };
    let refused = store.drop_from(&target, false).unwrap();
    assert!(!refused.dropped && refused.dependants.len() == 1 && refused.versions == 3);
    assert!(store.drop_from(&target, true).unwrap().dropped);
    assert_eq!(hits(&store, 0..5), [false; 5]);
    assert!(store.recordings("p", "f").unwrap().is_empty());
    assert_eq!(store.drop_from(&target, true).unwrap_err().kind(), StoreErrorKind::Missing);
    assert!(store.verify().unwrap().is_whole());
}

fn damage_of_a_block_is_found(place: &TestPlace) {
    let (store, sources) = (open(place), Sources::new(0));
    let f = function("1");
    let ns: Vec<u64> = vec![1, 2, 4];
    let references = commit(&store, &ns, "", CommitMode::First);
    record_function(&store, (&sources, &f), "r1", &streamed(&sources, &f, &ns, ""), &references);
    assert!(store.verify().unwrap().is_whole());
    for table in [&RESULT_BLOCKS, &BLOCKS] {
        let data = Query::of(table, &["data"]).equal("id", 1_i64);
        let mut data = place.read(|rows| rows.one(&data, |row| Ok(row.bytes(0)?.to_vec()))).unwrap().unwrap();
        let middle = data.len() / 2;
        data[middle] ^= 1;
        place.write(|t| t.update(table, &Filter::of("id", 1_i64), &[("data", Value::from(&data))])).unwrap();
    }
    let report = open(place).verify().unwrap();
    let places: Vec<&str> = report.faults.iter().map(|fault| fault.place.as_str()).collect();
    assert!(places.contains(&"result block 1") && places.contains(&"block 1"), "{places:?}");
    let error = wait(open(place).find(f, vec![key(1)])).unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Corrupt);
}

fn what_was_queued_is_done_before_the_store_is_gone(place: &TestPlace) {
    let store = open(place);
    let mut commit = Box::pin(store.commit(function("1"), results(&[1, 2], "", CommitMode::First)));
    let _ = commit.as_mut().poll(&mut std::task::Context::from_waker(std::task::Waker::noop()));
    drop(commit);
    drop(store);
    assert_eq!(hits(&open(place), 0..3), [false, true, true]);
}

fn the_newest_recordings_come_first(place: &TestPlace) {
    let (store, sources) = (open(place), Sources::new(0));
    for n in 0..20 {
        record(&store, &format!("r{n}"), &sources, &[sources.chunk(&[n])]).unwrap();
    }
    let runs = |infos: Vec<crate::RecordingInfo>| infos.into_iter().map(|info| info.run).collect::<Vec<_>>();
    let all: Vec<String> = (0..20).rev().map(|n| format!("r{n}")).collect();
    assert_eq!(runs(store.recordings("p", "node").unwrap()), all);
    let content = recording_key("node", "r").content;
    assert_eq!(runs(store.recordings_of(&content).unwrap()), all[..16]);
    assert_eq!(runs(store.recordings_in_run("r4").unwrap()), ["r4"]);
    assert_eq!(store.pipelines_recorded().unwrap(), ["p"]);
    assert_eq!(store.nodes_recorded("p").unwrap(), ["node"]);
}
