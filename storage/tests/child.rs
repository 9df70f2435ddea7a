//! A program for tests of several processes: `child DEED STORE`.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "shared with tests only")]

#[path = "support/mod.rs"]
mod support;

use std::sync::Arc;

use anabranch_engine::store::{CommitMode, RecordingStore as _, ResultStore as _};
use anabranch_storage::{RunStart, Store, StoreOptions};
use support::{Sources, function, operator_layout, recording_key, results, wait};

fn main() {
    let mut arguments = std::env::args().skip(1);
    let deed = arguments.next().unwrap();
    let options = StoreOptions { run_keys: 10, small_blocks: 3, ..StoreOptions::default() };
    let store = Store::open_with(arguments.next().unwrap(), &options).unwrap();
    match deed.as_str() {
        "commit" => commits_one_by_one(&store),
        "record" => commits_and_records_without_end(&store),
        "fill" => {
            support::fill_golden(&store);
            wait(store.maintain()).unwrap();
        }
        "tidy" => commits_and_tidies_without_end(&store),
        "claim" => claims_and_waits(&store),
        "collect" => collects_and_tells(&store),
        "work" => runs_and_computes_anew(&store),
        "die" => begins_a_run_and_dies(&store),
        "back up" => {
            println!("begun");
            store.backup(arguments.next().unwrap()).unwrap();
        }
        _ => panic!("no deed {deed}"),
    }
}

fn commits_one_by_one(store: &Store) {
    for n in 0..150 {
        let outcomes =
            wait(store.commit(function("1"), results(&[n, n + 1], "", CommitMode::First))).unwrap();
        println!("version {n} {:?}", outcomes.references);
    }
}

fn commits_and_records_without_end(store: &Store) {
    let sources = Sources::new(0);
    wait(async {
        let origins = Arc::clone(&sources.origins);
        let mut recorder =
            store.begin(recording_key("node", "killed"), operator_layout(&sources), origins).await.unwrap();
        for n in 0.. {
            let rows: Vec<u64> = (n * 1_000..n * 1_000 + 1_000).collect();
            recorder.append(sources.chunk(&rows), vec![]).await.unwrap();
            store.commit(function("1"), results(&rows, "", CommitMode::First)).await.unwrap();
            println!("committed {n}");
        }
    });
}

fn begins_a_run_and_dies(store: &Store) {
    let start = RunStart {
        run: "r1".into(),
        pipeline: "p".into(),
        pipeline_hash: String::new(),
        started_ms: 0,
        summary: String::new(),
    };
    let _lease = wait(store.begin_run(start)).unwrap();
    std::process::abort();
}

fn claims_and_waits(store: &Store) {
    let claimant = store.claimant().unwrap();
    let _claim = claimant.claim(&function("1"), &[support::key(2)]).unwrap();
    println!("claimed");
    // Until it is killed, or the process that started it ends.
    let _ = std::io::stdin().read_line(&mut String::new());
}

/// Collects garbage on one thread and prints a line for each look at the store on another.
fn collects_and_tells(store: &Store) {
    let options = anabranch_storage::GarbageOptions { keep_runs: std::num::NonZeroUsize::new(1) };
    std::thread::scope(|scope| {
        let collector = scope.spawn(|| store.collect_garbage(&options).unwrap());
        while !collector.is_finished() {
            println!("{}", store.size().unwrap().free_bytes);
        }
        println!("done");
    });
}

/// Runs whose results are looked up or computed again, and are recorded.
fn runs_and_computes_anew(store: &Store) {
    let (sources, ns) = (Sources::new(0), (0..9_000).collect::<Vec<u64>>());
    let mut salt = String::new();
    for n in 0..12 {
        let mode = if n % 3 == 2 || n == 0 { CommitMode::Refresh } else { CommitMode::First };
        if mode == CommitMode::Refresh {
            salt = n.to_string();
        }
        support::run_function(store, &sources, &format!("r{n}"), &ns, &salt, mode);
    }
}

fn commits_and_tidies_without_end(store: &Store) {
    for n in 0.. {
        wait(store.commit(function("1"), results(&[n], "", CommitMode::First))).unwrap();
        println!("committed {n}");
        if n % 5 == 0 {
            wait(store.maintain()).unwrap();
        }
    }
}
