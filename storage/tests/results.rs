//! Guarantees of a result store.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by a panic")]

mod support;

use std::sync::Arc;

use anabranch_engine::identity::{Digest, PacketHash};
use anabranch_engine::store::{
    ANSWER_BYTES, ClientId, CommitMode, Missed, NewResults, ResultStore, Snapshot, StoredFunction,
};
use anabranch_storage::{Store, StoreOptions};
use arrow::array::{Array, ArrayRef, Int64Array, StringViewArray};
use proptest::prelude::*;
use support::{assert_outcomes, function, key, results, wait};

fn keys(ns: &[u64]) -> Vec<PacketHash> {
    ns.iter().map(|n| key(*n)).collect()
}

fn assert_found(store: &Store, function: &Arc<StoredFunction>, ns: &[u64], known: impl Fn(u64) -> bool) {
    let found = wait(store.find(Arc::clone(function), keys(ns))).unwrap();
    assert_eq!(found.hits, ns.iter().map(|n| known(*n)).collect::<Vec<_>>());
    let hits: Vec<u64> = ns.iter().copied().filter(|n| known(*n)).collect();
    assert_outcomes(&found.outcomes, &hits, "");
}

/// Texts of 3 MB each, with rows that have none between them.
fn large(ns: &[u64]) -> NewResults {
    let words: StringViewArray =
        ns.iter().map(|n| (n % 5 > 0).then(|| format!("{n:04}").repeat(750_000))).collect();
    let twice: Int64Array = ns.iter().map(|n| Some(n.cast_signed())).collect();
    let values: Vec<ArrayRef> = vec![Arc::new(twice), Arc::new(words)];
    NewResults {
        keys: keys(ns),
        emitted: vec![true; ns.len()],
        values,
        mode: CommitMode::First,
        missed: None,
    }
}

#[test]
fn a_look_up_whose_outcomes_are_large_answers_about_the_first_keys() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let f = function("1");
    let ns: Vec<u64> = (0..40).collect();
    for part in ns.chunks(7) {
        wait(store.commit(Arc::clone(&f), large(part))).unwrap();
    }
    // Unknown keys between them are answered as well, and any order is.
    for step in [1, 13] {
        let asked: Vec<u64> = (0..50).map(|n| n * step % 50).collect();
        let (mut at, mut answers) = (0, 0);
        while at < asked.len() {
            let found = wait(store.find(Arc::clone(&f), keys(&asked[at..]))).unwrap();
            let answered = &asked[at..at + found.hits.len()];
            assert_eq!(found.hits, answered.iter().map(|n| *n < 40).collect::<Vec<_>>());
            let expected = large(&answered.iter().copied().filter(|n| *n < 40).collect::<Vec<_>>()).values;
            assert_eq!(found.outcomes.values, expected);
            let held: usize = found.outcomes.values.iter().map(Array::get_buffer_memory_size).sum();
            assert!(held < 2 * ANSWER_BYTES, "{held} bytes are held");
            at += found.hits.len();
            answers += 1;
        }
        assert!((6..=8).contains(&answers), "{answers} answers for 96 MB");
    }
}

#[test]
fn what_was_committed_is_found_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let f = function("1");
    assert_found(&store, &f, &[1, 2], |_| false);
    let ns: Vec<u64> = (0..20_000).collect();
    let outcomes = wait(store.commit(Arc::clone(&f), results(&ns, "", CommitMode::First))).unwrap();
    assert_outcomes(&outcomes, &ns, "");
    let found = wait(store.find(Arc::clone(&f), keys(&ns))).unwrap();
    assert_eq!(found.outcomes.references, outcomes.references);
    let shuffled: Vec<u64> = (0..30_000).map(|n| n * 7_919 % 30_000).collect();
    assert_found(&store, &f, &shuffled, |n| n < 20_000);
    assert_found(&store, &function("2"), &[1, 2], |_| false);
    drop(store);
    let store = Store::open(dir.path()).unwrap();
    assert_found(&store, &f, &shuffled, |n| n < 20_000);
    assert_eq!(wait(store.snapshot()).unwrap(), Snapshot::new(3));
}

#[test]
fn nothing_may_be_asked_for_and_nothing_may_be_committed() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    assert_eq!(wait(store.snapshot()).unwrap(), Snapshot::EMPTY);
    assert_found(&store, &function("1"), &[], |_| true);
    let none = wait(store.commit(function("1"), results(&[], "", CommitMode::First))).unwrap();
    assert_outcomes(&none, &[], "");
    assert_eq!(wait(store.snapshot()).unwrap(), Snapshot::EMPTY);
}

#[test]
fn a_store_and_its_clones_never_give_two_clients_one_id() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let clients: std::collections::HashSet<ClientId> =
        [&store, &store.clone(), &store].map(ResultStore::client).into();
    assert_eq!(clients.len(), 3);
}

#[test]
fn a_function_without_outputs_keeps_whether_it_emitted() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let nothing = Arc::new(StoredFunction { outputs: vec![], ..function("1").as_ref().clone() });
    let mut new = results(&[2, 3], "", CommitMode::First);
    new.values.clear();
    wait(store.commit(Arc::clone(&nothing), new)).unwrap();
    let found = wait(store.find(nothing, keys(&[3, 2, 1]))).unwrap();
    assert_eq!(found.hits, [true, true, false]);
    assert_eq!(found.outcomes.emitted, [false, true]);
}

#[test]
fn of_two_stores_on_one_folder_the_first_to_commit_wins_for_both() {
    let dir = tempfile::tempdir().unwrap();
    let (first, second) = (Store::open(dir.path()).unwrap(), Store::open(dir.path()).unwrap());
    let f = function("1");
    wait(first.commit(Arc::clone(&f), results(&[1, 2, 3, 4], "", CommitMode::First))).unwrap();
    let late =
        wait(second.commit(Arc::clone(&f), results(&[9, 3, 8, 2], "late", CommitMode::First))).unwrap();
    let (emitted, given) = support::values(&[9, 3, 8, 2], "late");
    assert_eq!(late.emitted, emitted);
    let words = |outcomes: &[arrow::array::ArrayRef], row: usize| {
        use arrow::array::AsArray as _;
        outcomes[1].as_string_view().value(row).to_owned()
    };
    assert_eq!(words(&late.values, 0), words(&given, 0), "a new key keeps its own value");
    assert_eq!(words(&late.values, 3), "twice 2 is more than enough ", "an old key gets the first value");
    let seen = wait(first.find(Arc::clone(&f), keys(&[9, 3, 8, 2]))).unwrap();
    assert_eq!(seen.outcomes.references, late.references);
    assert_eq!(seen.outcomes.references[3].commit(), 1);
    assert_eq!(seen.outcomes.references[0].commit(), 2);
    assert_eq!(seen.outcomes.values[1].as_ref(), late.values[1].as_ref());
}

#[test]
fn a_refresh_makes_a_new_version_current_and_keeps_the_old_one() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let f = function("1");
    let before = wait(store.commit(Arc::clone(&f), results(&[1, 2], "", CommitMode::First))).unwrap();
    let snapshot = wait(store.snapshot()).unwrap();
    let after = wait(store.commit(Arc::clone(&f), results(&[2, 5], "anew", CommitMode::Refresh))).unwrap();
    assert_outcomes(&after, &[2, 5], "anew");
    assert!(!after.references.iter().any(|reference| snapshot.includes(*reference)));
    let found = wait(store.find(Arc::clone(&f), keys(&[2, 1]))).unwrap();
    assert_eq!(found.outcomes.references, [after.references[0], before.references[0]]);
    let other = Store::open(dir.path()).unwrap();
    let found = wait(other.find(f, keys(&[2, 1]))).unwrap();
    assert_eq!(found.outcomes.references, [after.references[0], before.references[0]]);
}

#[test]
fn commits_that_wait_together_see_each_other() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let f = function("1");
    let commits =
        (0..40).map(|n| store.commit(Arc::clone(&f), results(&[n % 4, n + 100], "", CommitMode::First)));
    let all = wait(futures::future::try_join_all(commits)).unwrap();
    for (n, outcomes) in (0..40).zip(&all) {
        assert_outcomes(outcomes, &[n % 4, n + 100], "");
        let first = all[usize::try_from(n % 4).unwrap()].references[0];
        assert_eq!(outcomes.references[0], first, "key {} has two versions", n % 4);
    }
    let connection = rusqlite::Connection::open(dir.path().join("store.db")).unwrap();
    let rows: i64 = connection.query_row("SELECT sum(rows) FROM result_blocks", [], |r| r.get(0)).unwrap();
    assert_eq!(rows, 44);
}

#[test]
fn a_commit_that_waits_behind_a_refresh_gets_the_refreshed_version() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let f = function("1");
    wait(store.commit(Arc::clone(&f), results(&[1], "", CommitMode::First))).unwrap();
    // No more commits than the store's queue holds: then they stand in it as they are made.
    let salts: Vec<String> = (0..12).map(|n| format!("step {n}")).collect();
    let pairs = salts.iter().map(|salt| {
        let refresh = store.commit(Arc::clone(&f), results(&[1], salt, CommitMode::Refresh));
        futures::future::try_join(
            refresh,
            store.commit(Arc::clone(&f), results(&[1], "late", CommitMode::First)),
        )
    });
    for ((refreshed, late), salt) in wait(futures::future::try_join_all(pairs)).unwrap().iter().zip(&salts) {
        assert_eq!(refreshed.references, late.references);
        assert_outcomes(late, &[1], salt);
    }
}

#[test]
fn the_components_of_a_function_are_kept_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    for version in ["1", "2", "1"] {
        wait(store.commit(function(version), results(&[1], "", CommitMode::First))).unwrap();
    }
    let known = store.functions("double").unwrap();
    let fingerprints: Vec<_> = known.into_iter().map(|known| known.fingerprint).collect();
    assert_eq!(fingerprints, [function("2").fingerprint.clone(), function("1").fingerprint.clone()]);
    assert!(store.functions("other").unwrap().is_empty());
}

#[test]
fn a_key_given_twice_has_one_version() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    for mode in [CommitMode::First, CommitMode::Refresh] {
        let outcomes = wait(store.commit(function("1"), results(&[1, 2, 1], "", mode))).unwrap();
        assert_outcomes(&outcomes, &[1, 2, 1], "");
        assert_eq!(outcomes.references[0], outcomes.references[2]);
    }
}

#[test]
fn hashes_with_the_same_first_half_are_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let alike = |n: u8| {
        let mut hash = [7; 32];
        hash[31] = n;
        PacketHash(Digest(hash))
    };
    let mut new = results(&[0, 1, 2], "", CommitMode::First);
    new.keys = vec![alike(0), alike(1), alike(2)];
    wait(store.commit(function("1"), new)).unwrap();
    let found = wait(store.find(function("1"), vec![alike(2), alike(9), alike(0), alike(1)])).unwrap();
    assert_eq!(found.hits, [true, false, true, true]);
    assert_outcomes(&found.outcomes, &[2, 0, 1], "");
}

#[test]
fn look_ups_are_right_with_hardly_any_memory() {
    let dir = tempfile::tempdir().unwrap();
    let options =
        StoreOptions { index_memory_bytes: 20_000, cache_memory_bytes: 1, ..StoreOptions::default() };
    let store = Store::open_with(dir.path(), &options).unwrap();
    for version in ["1", "2"] {
        for from in (0..4_000).step_by(200) {
            let ns: Vec<u64> = (from..from + 200).collect();
            wait(store.commit(function(version), results(&ns, "", CommitMode::First))).unwrap();
        }
    }
    let shuffled: Vec<u64> = (0..5_000).map(|n| n * 7_919 % 5_000).collect();
    for version in ["1", "2", "1"] {
        assert_found(&store, &function(version), &shuffled, |n| n < 4_000);
    }
    let again =
        wait(store.commit(function("1"), results(&[3_999, 1, 4_001], "late", CommitMode::First))).unwrap();
    assert_eq!(again.references[0].commit(), 20);
    assert_eq!(again.references[1].commit(), 1);
}

#[test]
fn shapes_that_do_not_agree_are_refused_and_leave_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let mut short = results(&[1, 2], "", CommitMode::First);
    short.keys.pop();
    assert!(wait(store.commit(function("1"), short)).is_err());
    let mut swapped = results(&[1, 2], "", CommitMode::First);
    swapped.values.reverse();
    let error = wait(store.commit(function("1"), swapped)).unwrap_err();
    assert!(error.to_string().contains("twice: found Utf8View, expected Int64"), "{error}");
    assert_found(&store, &function("1"), &[1, 2], |_| false);
}

#[test]
fn a_current_thread_runtime_is_not_blocked() {
    let dir = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let store = Store::open(dir.path()).unwrap();
        let f = function("1");
        let one = store.commit(Arc::clone(&f), results(&[1], "", CommitMode::First));
        let two = store.commit(Arc::clone(&f), results(&[2], "", CommitMode::First));
        let (one, two) = tokio::join!(one, two);
        assert_outcomes(&one.unwrap(), &[1], "");
        assert_outcomes(&two.unwrap(), &[2], "");
    });
}

#[test]
fn large_outcomes_are_split_into_blocks_that_sqlite_takes() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let mut new = results(&[0, 1, 2, 4, 5], "", CommitMode::First);
    let large: Vec<String> = (0..5).map(|n| n.to_string().repeat(7 << 20)).collect();
    new.values[1] = Arc::new(arrow::array::StringViewArray::from_iter_values(&large));
    let committed = wait(store.commit(function("1"), new.clone())).unwrap();
    assert!(committed.references.last().unwrap().commit() > 1);
    // A look-up gives two of them at a time.
    let mut at = 0;
    while at < new.keys.len() {
        let found = wait(store.find(function("1"), new.keys[at..].to_vec())).unwrap();
        let values = &found.outcomes.values[1];
        assert_eq!(values.as_ref(), new.values[1].slice(at, values.len()).as_ref());
        at += found.hits.len();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn a_store_agrees_with_a_map(
        steps in proptest::collection::vec(
            (proptest::collection::btree_set(0_u64..60, 0..30), any::<bool>(), 0..2_usize, any::<bool>()),
            1..12,
        ),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let mut stores = [Store::open(dir.path()).unwrap(), Store::open(dir.path()).unwrap()];
        let mut model = std::collections::HashMap::new();
        let f = function("1");
        for (number, (ns, refresh, who, reopen)) in steps.into_iter().enumerate() {
            let ns: Vec<u64> = ns.into_iter().collect();
            let mode = if refresh { CommitMode::Refresh } else { CommitMode::First };
            let salt = format!("step {number}");
            let outcomes = wait(stores[who].commit(Arc::clone(&f), results(&ns, &salt, mode))).unwrap();
            for (n, reference) in ns.iter().zip(&outcomes.references) {
                let known = model.entry(*n).or_insert((*reference, salt.clone()));
                if refresh {
                    *known = (*reference, salt.clone());
                }
                prop_assert_eq!(known.0, *reference);
            }
            if reopen {
                stores[who] = Store::open(dir.path()).unwrap();
            }
            let found = wait(stores[1 - who].find(Arc::clone(&f), keys(&(0..60).collect::<Vec<_>>()))).unwrap();
            let expected: Vec<bool> = (0..60).map(|n| model.contains_key(&n)).collect();
            prop_assert_eq!(&found.hits, &expected);
            let hits = (0..60_u64).filter(|n| model.contains_key(n));
            for (row, n) in hits.enumerate() {
                use arrow::array::{Array as _, AsArray as _};
                let (reference, salt) = &model[&n];
                prop_assert_eq!(found.outcomes.references[row], *reference);
                let words = found.outcomes.values[1].as_string_view();
                let words = words.is_valid(row).then(|| words.value(row).to_owned());
                prop_assert_eq!(words, support::outcome(n, salt).map(|o| o.1));
            }
        }
    }

    /// Four nodes in two processes, each of which looks keys up, and commits later what it has missed.
    #[test]
    fn what_was_missed_and_is_there_since_keeps_its_first_version(
        steps in proptest::collection::vec(
            (0..4_usize, proptest::collection::btree_set(0_u64..12, 1..6), 0..4_u8),
            1..40,
        ),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let mut stores = [Store::open(dir.path()).unwrap(), Store::open(dir.path()).unwrap()];
        let nodes: Vec<ClientId> = (0..4).map(|who| stores[who % 2].client()).collect();
        let mut waiting: Vec<Option<(Vec<u64>, Snapshot)>> = vec![None; 4];
        let mut model = std::collections::HashMap::new();
        let f = function("1");
        for (number, (who, ns, step)) in steps.into_iter().enumerate() {
            let salt = format!("step {number}");
            match waiting[who].take() {
                None => {
                    let ns: Vec<u64> = ns.into_iter().collect();
                    let found = wait(stores[who % 2].find(Arc::clone(&f), keys(&ns))).unwrap();
                    let missed = ns.iter().zip(&found.hits).filter(|(_, hit)| !**hit).map(|(n, _)| *n);
                    waiting[who] = Some((missed.collect(), found.snapshot));
                }
                Some((ns, seen)) => {
                    let mut new = results(&ns, &salt, CommitMode::First);
                    if step > 0 {
                        new.missed = Some(Missed { snapshot: seen, by: nodes[who] });
                    }
                    let outcomes = wait(stores[who % 2].commit(Arc::clone(&f), new)).unwrap();
                    for (n, reference) in ns.iter().zip(&outcomes.references) {
                        prop_assert_eq!(model.entry(*n).or_insert(*reference), reference);
                    }
                }
            }
            if step == 1 {
                // Something of it fails, which must not leave numbers behind that others get.
                let mut torn = results(&[50, 51], &salt, CommitMode::First);
                torn.values.reverse();
                prop_assert!(wait(stores[who % 2].commit(Arc::clone(&f), torn)).is_err());
            }
            if step == 2 {
                stores[who % 2] = Store::open(dir.path()).unwrap();
            }
        }
        let found = wait(stores[0].find(Arc::clone(&f), keys(&(0..12).collect::<Vec<_>>()))).unwrap();
        let expected: Vec<_> = (0..12).filter_map(|n| model.get(&n).copied()).collect();
        prop_assert_eq!(found.outcomes.references, expected);
    }
}
