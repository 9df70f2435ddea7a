//! What tests of the store run in processes of their own: `child DEED STORE`.

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
            wait(store.tidy()).unwrap();
        }
        "tidy" => commits_and_tidies_without_end(&store),
        "claim" => claims_and_waits(&store),
        "die" => begins_a_run_and_dies(&store),
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
    let start =
        RunStart { run: "r1".into(), pipeline: "p".into(), pipeline_hash: String::new(), started_ms: 0 };
    let _lease = wait(store.begin_run(start)).unwrap();
    std::process::abort();
}

fn claims_and_waits(store: &Store) {
    let claimant = store.claimant().unwrap();
    let _claim = claimant.claim(&function("1"), &[support::key(2)]).unwrap();
    println!("claimed");
    // Until it is killed, or who started it is gone.
    let _ = std::io::stdin().read_line(&mut String::new());
}

fn commits_and_tidies_without_end(store: &Store) {
    for n in 0.. {
        wait(store.commit(function("1"), results(&[n], "", CommitMode::First))).unwrap();
        println!("committed {n}");
        if n % 5 == 0 {
            wait(store.tidy()).unwrap();
        }
    }
}
