//! Runs of keys and packs of small blocks: nothing that was said before they were made becomes wrong.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by a panic")]

mod support;

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anabranch_engine::identity::{Digest, PacketHash};
use anabranch_engine::store::{CommitMode, ResultId, ResultStore, StoreErrorKind, VersionSpan};
use anabranch_storage::{GarbageOptions, Store, StoreOptions};
use arrow::array::{Array as _, AsArray as _};
use futures::StreamExt as _;
use proptest::prelude::*;
use support::{
    GOLDEN_ALONE, GOLDEN_ANEW, GOLDEN_TOGETHER, Sources, assert_outcomes, commit, count, eager, function,
    golden_rows, keys, lazy, read, record_function, results, rows, streamed, wait,
};

#[test]
fn small_blocks_are_put_together_and_every_version_keeps_its_name() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open_with(dir.path(), &lazy()).unwrap();
    let other = Store::open_with(dir.path(), &lazy()).unwrap();
    let mut references = Vec::new();
    for n in 0..500 {
        references.extend(commit(&store, &[n], "", CommitMode::First));
    }
    let large: Vec<u64> = (1_000..4_000).collect();
    references.extend(commit(&store, &large, "", CommitMode::First));
    let all: Vec<u64> = (0..500).chain(1_000..4_000).collect();
    // One that knows the blocks from before, without their rows, and one that has yet to look.
    wait(other.find(function("1"), keys(0..3))).unwrap();
    let tidy = Store::open_with(dir.path(), &eager()).unwrap();
    wait(tidy.maintain()).unwrap();
    assert_eq!(count(dir.path(), "SELECT count(*) FROM result_blocks"), 1, "the large one stays");
    assert_eq!(count(dir.path(), "SELECT count(*) FROM result_packs"), 1);
    for store in [&store, &other, &tidy, &Store::open(dir.path()).unwrap()] {
        let found = wait(store.find(function("1"), keys(all.iter().copied()))).unwrap();
        assert_outcomes(&found.outcomes, &all, "");
        assert_eq!(found.outcomes.references, references);
    }
    // More go into the same pack, as long as it has room.
    for n in 500..600 {
        references.extend(commit(&other, &[n], "", CommitMode::First));
    }
    wait(tidy.maintain()).unwrap();
    assert_eq!(count(dir.path(), "SELECT count(*) FROM result_packs"), 1);
    assert_eq!(count(dir.path(), "SELECT rows FROM result_packs"), 600);
    let all: Vec<u64> = all.into_iter().chain(500..600).collect();
    for store in [&store, &other] {
        let found = wait(store.find(function("1"), keys(all.iter().copied()))).unwrap();
        assert_eq!(found.outcomes.references, references);
        assert_eq!(commit(store, &all, "late", CommitMode::First), references);
    }
}

#[test]
fn a_large_block_is_not_written_again_however_few_rows_it_has() {
    const LARGE: &str = "FROM result_blocks WHERE length(data) >= 1 << 20";
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open_with(dir.path(), &lazy()).unwrap();
    let long = "x".repeat(1 << 20);
    let salt = |n: u64| if n.is_multiple_of(2) { long.as_str() } else { "" };
    let mut references = Vec::new();
    for n in 0..20 {
        references.extend(commit(&store, &[n], salt(n), CommitMode::First));
    }
    // Of the even ones 10 is dropped, and so has no long string.
    let large = || {
        (
            count(dir.path(), &format!("SELECT count(*) {LARGE}")),
            count(dir.path(), &format!("SELECT sum(id) {LARGE}")),
        )
    };
    let before = large();
    assert_eq!(before.0, 9);
    wait(Store::open_with(dir.path(), &eager()).unwrap().maintain()).unwrap();
    assert_eq!(large(), before);
    assert_eq!(count(dir.path(), "SELECT count(*) FROM result_blocks"), 9);
    assert_eq!(count(dir.path(), "SELECT sum(rows) FROM result_packs"), 11);
    for store in [&store, &Store::open(dir.path()).unwrap()] {
        let found = wait(store.find(function("1"), keys(0..20))).unwrap();
        assert_eq!(found.outcomes.references, references[..found.hits.len()]);
        for n in 0..20 {
            let found = wait(store.find(function("1"), keys([n]))).unwrap();
            assert_outcomes(&found.outcomes, &[n], salt(n));
        }
        assert!(store.verify().unwrap().is_whole());
    }
    // One within the span of a pack goes by itself once a later version is there.
    commit(&store, &[4], "", CommitMode::Refresh);
    let report = store.collect_garbage(&GarbageOptions::default()).unwrap();
    assert_eq!((report.result_blocks.blocks, report.versions), (1, 1));
    assert_eq!(large().0, 8);
    assert!(store.verify().unwrap().is_whole());
    for n in 0..20 {
        let found = wait(store.find(function("1"), keys([n]))).unwrap();
        assert_outcomes(&found.outcomes, &[n], if n == 4 { "" } else { salt(n) });
    }
}

#[test]
fn the_writer_puts_small_blocks_together_of_its_own_accord() {
    let dir = tempfile::tempdir().unwrap();
    let options = StoreOptions { small_blocks: 4, ..StoreOptions::default() };
    let store = Store::open_with(dir.path(), &options).unwrap();
    for n in 0..8 {
        commit(&store, &[n], "", CommitMode::First);
    }
    // Nothing else is queued once this is answered, and what is due is done before the next job.
    let mut n = 8;
    while count(dir.path(), "SELECT count(*) FROM result_packs") == 0 {
        commit(&store, &[n], "", CommitMode::First);
        n += 1;
        assert!(n < 5_000, "nothing was ever put together");
    }
    let found = wait(store.find(function("1"), keys(0..n))).unwrap();
    assert_outcomes(&found.outcomes, &(0..n).collect::<Vec<_>>(), "");
}

#[test]
fn a_recording_of_a_function_reads_the_same_once_its_results_have_moved() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open_with(dir.path(), &lazy()).unwrap();
    let (sources, f) = (Sources::new(0), function("1"));
    let ns: Vec<u64> = (0..300).filter(|n| n % 7 != 3).collect();
    let references: Vec<ResultId> =
        ns.chunks(2).flat_map(|ns| commit(&store, ns, "", CommitMode::First)).collect();
    let chunk = streamed(&sources, &f, &ns, "");
    record_function(&store, (&sources, &f), "r1", &chunk, &references);
    let expected = rows(std::slice::from_ref(&chunk), &sources.origins, chunk.schema());
    let info = store.recordings("p", "f").unwrap().remove(0);
    let reading = store.open_recording(&info).unwrap();
    wait(Store::open_with(dir.path(), &eager()).unwrap().maintain()).unwrap();
    assert_eq!(count(dir.path(), "SELECT count(*) FROM result_blocks"), 0);
    assert_eq!(read(&store, &info), expected);
    assert_eq!(read(&Store::open(dir.path()).unwrap(), &info), expected);
    let origins = Arc::clone(reading.origins());
    let chunks: Vec<_> = reading.collect::<Result<_, _>>().unwrap();
    assert_eq!(rows(&chunks, &origins, &info.schema), expected, "a reader from before");
}

#[test]
fn keys_in_runs_are_found_and_new_ones_are_not() {
    let dir = tempfile::tempdir().unwrap();
    let options = StoreOptions { run_keys: 1_000, small_blocks: 1 << 40, ..StoreOptions::default() };
    let store = Store::open_with(dir.path(), &options).unwrap();
    let mut references = Vec::new();
    for part in 0..12 {
        let ns: Vec<u64> = (part * 3_000..(part + 1) * 3_000).collect();
        references.extend(commit(&store, &ns, "", CommitMode::First));
        wait(store.maintain()).unwrap();
    }
    let runs = count(dir.path(), "SELECT count(*) FROM key_runs");
    assert!(runs < 8, "{runs} runs were not merged");
    assert_eq!(count(dir.path(), "SELECT sum(keys) FROM key_runs"), 36_000);
    assert_eq!(
        count(dir.path(), "SELECT count(*) FROM key_pages"),
        count(dir.path(), "SELECT sum(1 << page_bits) FROM key_runs")
    );
    let lost = "SELECT count(*) FROM key_filters WHERE id >> 20 NOT IN (SELECT id FROM key_runs)";
    assert_eq!(count(dir.path(), lost), 0);
    let filters = "SELECT count(DISTINCT id >> 20) FROM key_filters";
    assert_eq!(count(dir.path(), filters), runs, "each run has filters, merged ones too");
    let fresh = Store::open_with(dir.path(), &lazy()).unwrap();
    for store in [&store, &fresh] {
        let shuffled: Vec<u64> = (0..50_000).map(|n| n * 7_919 % 50_000).collect();
        let found = wait(store.find(function("1"), keys(shuffled.iter().copied()))).unwrap();
        assert_eq!(found.hits, shuffled.iter().map(|n| *n < 36_000).collect::<Vec<_>>());
        let known: Vec<u64> = shuffled.into_iter().filter(|n| *n < 36_000).collect();
        assert_outcomes(&found.outcomes, &known, "");
        let expected: Vec<_> = known.iter().map(|n| references[usize::try_from(*n).unwrap()]).collect();
        assert_eq!(found.outcomes.references, expected);
    }
    assert_eq!(commit(&fresh, &[35_999, 36_000], "late", CommitMode::First)[0], references[35_999]);
}

#[test]
fn hashes_with_the_same_beginning_are_told_apart_in_runs() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open_with(dir.path(), &eager()).unwrap();
    let alike = |n: u8| {
        let mut hash = [7; 32];
        hash[31] = n;
        PacketHash(Digest(hash))
    };
    let mut new = results(&(0..40).collect::<Vec<_>>(), "", CommitMode::First);
    new.keys = (0..40).map(alike).collect();
    let committed = wait(store.commit(function("1"), new)).unwrap();
    wait(store.maintain()).unwrap();
    assert_eq!(count(dir.path(), "SELECT sum(keys) FROM key_runs"), 40);
    let found = wait(store.find(function("1"), (0..50).rev().map(alike).collect())).unwrap();
    assert_eq!(found.hits, (0..50).rev().map(|n| n < 40).collect::<Vec<_>>());
    let expected: Vec<ResultId> = committed.references.into_iter().rev().collect();
    assert_eq!(found.outcomes.references, expected);
}

#[test]
fn look_ups_beside_a_writer_that_tidies_up_find_all_that_was_committed() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open_with(dir.path(), &eager()).unwrap();
    let committed = AtomicU64::new(0);
    let last = 400;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for n in 0..last {
                commit(&store, &[n], "", CommitMode::First);
                committed.store(n + 1, Ordering::SeqCst);
            }
        });
        while committed.load(Ordering::SeqCst) < last {
            let known = committed.load(Ordering::SeqCst);
            // Against the order of the blocks, and with later ones that may come meanwhile.
            let asked: Vec<u64> = (0..known + 20).rev().collect();
            let found = wait(store.find(function("1"), keys(asked.iter().copied()))).unwrap();
            let missed = asked.iter().zip(&found.hits).find(|(n, hit)| **n < known && !**hit);
            assert_eq!(missed, None);
            let hits: Vec<u64> =
                asked.iter().zip(&found.hits).filter(|(_, hit)| **hit).map(|(n, _)| *n).collect();
            assert_outcomes(&found.outcomes, &hits, "");
        }
    });
}

#[test]
fn memory_for_keys_and_results_is_bounded_by_its_limits_and_not_by_the_history() {
    let dir = tempfile::tempdir().unwrap();
    let options = StoreOptions {
        index_memory_bytes: 200_000,
        cache_memory_bytes: 300_000,
        run_keys: 3_000,
        most_keys: 3_000,
        ..StoreOptions::default()
    };
    let store = Store::open_with(dir.path(), &options).unwrap();
    for part in 0..30 {
        let ns: Vec<u64> = (part * 2_000..(part + 1) * 2_000).collect();
        commit(&store, &ns, "", CommitMode::First);
        let shuffled: Vec<u64> = (0..(part + 2) * 2_000).map(|n| n * 7_919 % ((part + 2) * 2_000)).collect();
        let found = wait(store.find(function("1"), keys(shuffled.iter().copied()))).unwrap();
        assert_eq!(found.hits, shuffled.iter().map(|n| *n < (part + 1) * 2_000).collect::<Vec<_>>());
        // One block may be larger than the limit of its cache; here none is.
        assert!(store.memory_bytes() <= 500_000, "{} bytes", store.memory_bytes());
    }
    // The keys alone, 14 bytes each in runs, are several times what may be in memory.
    assert!(count(dir.path(), "SELECT sum(keys) FROM key_runs") * 14 > 2 * 200_000);
}

#[test]
fn keys_come_into_runs_also_while_commits_never_pause() {
    let dir = tempfile::tempdir().unwrap();
    let options = StoreOptions { run_keys: 5_000, most_keys: 20_000, ..StoreOptions::default() };
    let store = Store::open_with(dir.path(), &options).unwrap();
    // Each is as much as a transaction takes, so that there is always one that waits for the next.
    let commits = (0..30_u64).map(|commit| {
        let ns: Vec<u64> = (commit * 8_192..(commit + 1) * 8_192).collect();
        store.commit(function("1"), results(&ns, "", CommitMode::First))
    });
    let uncovered = || {
        let covered = "(SELECT coalesce(max(last_block), 0) FROM key_runs)";
        count(dir.path(), &format!("SELECT coalesce(sum(rows), 0) FROM result_blocks WHERE id > {covered}"))
    };
    let most = wait(async {
        let mut answers: futures::stream::FuturesUnordered<_> = commits.collect();
        let mut most = 0;
        while let Some(answer) = answers.next().await {
            answer.unwrap();
            most = most.max(uncovered());
        }
        most
    });
    assert!(most <= 20_000 + 2 * 8_192, "{most} keys were in no run");
    assert!(most > 8_192, "only {most} keys waited: nothing was to be seen");
}

#[test]
fn a_damaged_page_or_pack_is_named_and_gives_nothing_wrong() {
    for (table, place) in
        [("key_pages", "key page"), ("key_filters", "key filter"), ("result_packs", "result pack")]
    {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open_with(dir.path(), &eager()).unwrap();
        for n in 0..20 {
            commit(&store, &[n], "", CommitMode::First);
        }
        wait(store.maintain()).unwrap();
        drop(store);
        let connection = rusqlite::Connection::open(dir.path().join("store.db")).unwrap();
        let changed = format!(
            "UPDATE {table} SET data = CAST(substr(data, 1, 40) || x'55' || substr(data, 42) AS BLOB)"
        );
        assert_eq!(connection.execute(&changed, []).unwrap(), 1);
        let store = Store::open_with(dir.path(), &lazy()).unwrap();
        let error = wait(store.find(function("1"), keys(0..20))).unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Corrupt);
        assert!(error.to_string().contains(place), "{error}");
        let error = wait(store.commit(function("1"), results(&[3], "", CommitMode::First))).unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Corrupt, "{error}");
    }
}

/// Checks everything that the golden store of a format holds.
fn assert_golden(store: &Store, format: i64) {
    let f = function("1");
    let all: Vec<u64> = GOLDEN_TOGETHER.chain(GOLDEN_ALONE).collect();
    let found = wait(store.find(Arc::clone(&f), keys(all.iter().copied().chain([1_000])))).unwrap();
    assert_eq!(found.hits, (0..=80).map(|n| n < 80).collect::<Vec<_>>());
    for (row, n) in all.iter().enumerate() {
        let salt = if GOLDEN_ANEW.contains(n) { "anew" } else { "" };
        let words = found.outcomes.values[1].as_string_view();
        let words = words.is_valid(row).then(|| words.value(row).to_owned());
        assert_eq!(words, support::outcome(*n, salt).map(|outcome| outcome.1));
    }
    let second = wait(store.find(function("2"), keys([1, 2, 3]))).unwrap();
    assert_outcomes(&second.outcomes, &[1, 2], "");
    let third = wait(store.find(function("3"), keys([1, 2, 4]))).unwrap();
    assert_eq!(third.hits, [format > 4, false, format > 4]);
    let sources = Sources::new(0);
    let chunk = streamed(&sources, &f, &golden_rows(), "");
    let expected = rows(std::slice::from_ref(&chunk), &sources.origins, chunk.schema());
    assert_eq!(read(store, &store.recordings("p", "f").unwrap()[0]), expected);
    let chunk = sources.chunk(&golden_rows());
    let expected = rows(&[chunk], &sources.origins, &sources.schema);
    assert_eq!(read(store, &store.recordings("p", "node").unwrap()[0]), expected);
    let kept = wait(store.commit(f, results(&[5, 6], "late", CommitMode::First))).unwrap();
    assert_eq!(kept.references, found.outcomes.references[5..7]);
}

#[test]
fn stores_of_every_format_are_read_and_go_on() {
    for format in [1, 2, 3, 4, 5] {
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/format-{format}.db"));
        let dir = tempfile::tempdir().unwrap();
        std::fs::copy(golden, dir.path().join("store.db")).unwrap();
        assert_eq!(count(dir.path(), "SELECT value FROM meta WHERE key = 'format'"), format);
        let store = Store::open_with(dir.path(), &lazy()).unwrap();
        assert_golden(&store, format);
        let eager = Store::open_with(dir.path(), &eager()).unwrap();
        wait(eager.maintain()).unwrap();
        assert!(count(dir.path(), "SELECT count(*) FROM result_packs") > 0);
        assert!(count(dir.path(), "SELECT count(*) FROM key_runs") > 0);
        let kept = |node: &str| store.recordings("p", node).unwrap()[0].revisions.clone();
        let expected = (format > 3).then(|| anabranch_engine::identity::Revisions::of_reading(1));
        assert_eq!((kept("f"), kept("node")), (expected.clone(), expected));
        for store in [store, eager, Store::open(dir.path()).unwrap()] {
            assert_golden(&store, format);
        }
        assert_eq!(count(dir.path(), "SELECT value FROM meta WHERE key = 'format'"), 5);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn stores_that_are_tidied_agree_with_a_map(
        steps in proptest::collection::vec(
            (
                proptest::collection::btree_set(0_u64..80, 0..12),
                prop::bool::weighted(0.2),
                0..3_usize,
                0..6_u8,
                any::<prop::sample::Index>(),
            ),
            1..25,
        ),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let small = StoreOptions { index_memory_bytes: 3_000, cache_memory_bytes: 2_000, ..eager() };
        let open = |who: usize| {
            let options = [lazy(), eager(), small.clone()];
            Store::open_with(dir.path(), &options[who]).unwrap()
        };
        let mut stores = [open(0), open(1), open(2)];
        // The versions of each key that are not withdrawn.
        let mut versions: HashMap<u64, Vec<(ResultId, String)>> = HashMap::new();
        for (number, (ns, refresh, who, deed, at)) in steps.into_iter().enumerate() {
            let ns: Vec<u64> = ns.into_iter().collect();
            let mode = if refresh { CommitMode::Refresh } else { CommitMode::First };
            let salt = format!("step {number}");
            let references = commit(&stores[who], &ns, &salt, mode);
            for (n, reference) in ns.iter().zip(&references) {
                let known = versions.entry(*n).or_default();
                if refresh || known.is_empty() {
                    known.push((*reference, salt.clone()));
                }
                prop_assert_eq!(known.last().unwrap().0, *reference);
            }
            match deed {
                0 => stores[who] = open(who),
                1 | 2 => wait(stores[1 + at.index(2)].maintain()).unwrap(),
                3 => {
                    let gone: Vec<_> = references.iter().skip(at.index(2)).step_by(2).copied().collect();
                    let spans = gone.iter().map(|version| VersionSpan { first: *version, last: *version });
                    let withdrawn = wait(stores[at.index(3)].withdraw(function("1"), spans.collect())).unwrap();
                    prop_assert_eq!(withdrawn, gone.len() as u64);
                    for known in versions.values_mut() {
                        known.retain(|(version, _)| !gone.contains(version));
                    }
                }
                _ => {}
            }
            let model: HashMap<u64, &(ResultId, String)> =
                versions.iter().filter_map(|(n, known)| Some((*n, known.last()?))).collect();
            let asked: Vec<u64> = (0..80).map(|n| (n + at.index(80) as u64) % 80).collect();
            let found = wait(stores[at.index(3)].find(function("1"), keys(asked.iter().copied()))).unwrap();
            let expected: Vec<bool> = asked.iter().map(|n| model.contains_key(n)).collect();
            prop_assert_eq!(&found.hits, &expected);
            for (row, n) in asked.iter().filter(|n| model.contains_key(n)).enumerate() {
                let (reference, salt) = &model[n];
                prop_assert_eq!(found.outcomes.references[row], *reference);
                let words = found.outcomes.values[1].as_string_view();
                let words = words.is_valid(row).then(|| words.value(row).to_owned());
                prop_assert_eq!(words, support::outcome(*n, salt).map(|o| o.1));
            }
        }
    }
}
