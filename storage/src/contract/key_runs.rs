//! Runs of keys against a map from each key to its current version.

use std::collections::HashMap;

use anabranch_engine::store::{CommitMode, ResultId, ResultStore as _, VersionSpan};
use proptest::prelude::*;

use super::TestPlace;
use super::support::{function, key, results, wait};
use crate::catalog::query::{Filter, Query};
use crate::catalog::reads::Reads as _;
use crate::catalog::tables::{FUNCTIONS, KEY_PAGES, KEY_RUNS, RESULT_BLOCKS, RESULT_PACKS};
use crate::catalog::{Rows, Transaction};
use crate::results::blocks::{BlockReader, ResultCache};
use crate::results::index::KeyIndex;
use crate::results::{functions, key_runs, packs, removals};
use crate::store::{Store, StoreOptions};

/// Packets that are committed.
const PACKETS: u64 = 60;

#[derive(Debug, Clone)]
enum Step {
    Commit(u64, u64),
    Refresh(u64, u64),
    Withdraw(u64),
    Extend,
    Merge,
    Pack,
    Forget,
    RemoveLostPages,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..PACKETS, 1_u64..12).prop_map(|(from, count)| Step::Commit(from, count)),
        3 => (0..PACKETS, 1_u64..6).prop_map(|(from, count)| Step::Refresh(from, count)),
        1 => (0..PACKETS).prop_map(Step::Withdraw),
        4 => Just(Step::Extend),
        2 => Just(Step::Merge),
        2 => Just(Step::Pack),
        1 => Just(Step::Forget),
        1 => Just(Step::RemoveLostPages),
    ]
}

/// All versions of each packet, the newest last.
type Versions = HashMap<u64, Vec<ResultId>>;

fn commit(store: &Store, versions: &mut Versions, (from, count): (u64, u64), mode: CommitMode) {
    let ns: Vec<u64> = (from..(from + count).min(PACKETS)).collect();
    let committed = wait(store.commit(function("1"), results(&ns, "", mode))).unwrap();
    for (n, id) in ns.iter().zip(committed.references) {
        let known = versions.entry(*n).or_default();
        match (known.last(), mode) {
            (Some(last), CommitMode::First) => assert_eq!(*last, id),
            _ => known.push(id),
        }
    }
}

fn id(rows: &dyn Rows) -> Option<i64> {
    rows.one(&Query::of(&FUNCTIONS, &["id"]), |row| row.number(0)).unwrap()
}

fn apply(place: &TestPlace, store: &Store, versions: &mut Versions, step: &Step) {
    let maintain = |work: &dyn Fn(&dyn Transaction, i64)| {
        place.write(|t| {
            if let Some(function) = id(t) {
                work(t, function);
            }
        });
    };
    match step {
        Step::Commit(from, count) => commit(store, versions, (*from, *count), CommitMode::First),
        Step::Refresh(from, count) => commit(store, versions, (*from, *count), CommitMode::Refresh),
        Step::Withdraw(n) => {
            if let Some(last) = versions.get_mut(n).and_then(Vec::pop) {
                wait(store.withdraw(function("1"), vec![VersionSpan::of(last)])).unwrap();
                versions.retain(|_, known| !known.is_empty());
            }
        }
        Step::Extend => maintain(&|t, function| {
            key_runs::extend(t, function, 1).unwrap();
        }),
        Step::Merge => maintain(&|t, function| {
            key_runs::merge(t, function).unwrap();
        }),
        Step::Pack => {
            let cache = ResultCache::new(1 << 20);
            maintain(&|t, function| {
                packs::put_together(t, &cache, function, 2).unwrap();
            });
        }
        // As where results are dropped: tables in memory begin anew.
        Step::Forget => maintain(&|t, function| {
            removals::add(t).unwrap();
            key_runs::forget(t, function).unwrap();
        }),
        Step::RemoveLostPages => maintain(&|t, _| while key_runs::remove_lost_pages(t).unwrap() > 0 {}),
    }
}

/// Runs cover the blocks of a function from the first one on, without gaps, and are whole.
fn runs_are_whole(rows: &dyn Rows, function: i64) {
    let runs = key_runs::list(rows, function).unwrap();
    for run in &runs {
        key_runs::check(rows, run).unwrap();
    }
    assert!(runs.windows(2).all(|pair| pair[0].last_block < pair[1].first_block));
    let covered = runs.last().map_or(0, |run| run.last_block);
    let mut blocks = Vec::new();
    key_runs::prefixes(rows, function, (0, covered), |block, _| {
        blocks.push(block);
        true
    })
    .unwrap();
    let has = |block: &u64| runs.iter().any(|run| (run.first_block..=run.last_block).contains(block));
    assert!(blocks.iter().all(has), "each block up to the last run is in one");
}

fn agree(place: &TestPlace, versions: &Versions, memory_bytes: usize) {
    let reader = place.catalog().reader().unwrap();
    let Some(function) = id(&*reader) else { return };
    runs_are_whole(&*reader, function);
    let known = functions::known(&*reader, &super::support::function("1").fingerprint).unwrap().unwrap();
    let (cache, index) = (ResultCache::new(memory_bytes), KeyIndex::new(memory_bytes));
    let keys: Vec<_> = (0..PACKETS + 20).map(key).collect();
    for keys in [&keys[..], &keys[10..11], &keys[70..]] {
        let blocks = BlockReader::new(&*reader, &cache, function);
        let found = index.find(&blocks, known.several_versions, keys).unwrap();
        let expected = keys.iter().map(|wanted| {
            let n = (0..PACKETS).find(|n| key(*n) == *wanted)?;
            versions.get(&n)?.last().copied()
        });
        let found = found.into_iter().map(|found| found.map(|current| ResultId::from(current.version)));
        assert_eq!(found.collect::<Vec<_>>(), expected.collect::<Vec<_>>());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn look_ups_through_runs_agree_with_a_map(steps in proptest::collection::vec(step(), 1..40)) {
        let place = TestPlace::memory();
        let lazy = StoreOptions { run_keys: 1 << 40, most_keys: 1 << 40, small_blocks: 1 << 40, ..StoreOptions::default() };
        let store = place.store_with(&lazy);
        let mut versions = Versions::new();
        for step in &steps {
            apply(&place, &store, &mut versions, step);
            for memory_bytes in [1, 1 << 20] {
                agree(&place, &versions, memory_bytes);
            }
        }
    }
}

#[test]
fn pages_that_no_run_has_are_removed_and_others_stay() {
    let place = TestPlace::memory();
    let lazy = StoreOptions {
        run_keys: 1 << 40,
        most_keys: 1 << 40,
        small_blocks: 1 << 40,
        ..StoreOptions::default()
    };
    let store = place.store_with(&lazy);
    let mut versions = Versions::new();
    for n in 0..10 {
        commit(&store, &mut versions, (n, 1), CommitMode::First);
        apply(&place, &store, &mut versions, &Step::Extend);
    }
    let count = |table| place.read(|rows| rows.count(&Query::of(table, &[]))).unwrap();
    assert_eq!((count(&KEY_RUNS), count(&KEY_PAGES)), (10, 10));
    place.write(|t| t.delete(&KEY_RUNS, &Filter::of("id", 4_i64))).unwrap();
    place.write(|t| t.delete(&KEY_RUNS, &Filter::of("id", 10_i64))).unwrap();
    apply(&place, &store, &mut versions, &Step::RemoveLostPages);
    assert_eq!((count(&KEY_RUNS), count(&KEY_PAGES)), (8, 8));
    assert!(count(&RESULT_BLOCKS) + count(&RESULT_PACKS) == 10);
}
