//! A thousand pieces of damage for each format: each ends in rows or in an error that names the file, soon, and
//! without memory that the file does not account for.
//!
//! `ANABRANCH_MUTATIONS` is how many, where it is set.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    clippy::format_collect,
    clippy::format_push_string,
    reason = "a test that cannot go on panics, and its numbers are small"
)]

mod allocator;
mod formats;
mod mutate;
mod targets;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anabranch::nodes::source::{ArrowFile, Csv, JsonLines, Parquet, Source};
use anabranch::{Function, Pipeline, RecordMode, Select, Store, Which};
use mutate::mutated;
use targets::{load, read, read_block, told};

#[global_allocator]
static ALLOCATOR: allocator::Counting = allocator::Counting;

/// The files are of a few KiB.
const MOST_BYTES: usize = 192 << 20;
const MOST_TIME: Duration = Duration::from_secs(20);
/// One at a time, since memory is counted for all.
static ALONE: Mutex<()> = Mutex::new(());

fn mutations() -> u64 {
    std::env::var("ANABRANCH_MUTATIONS").map_or(1_000, |text| text.parse().unwrap())
}

/// Does something with each of many damaged forms of some bytes; it gives the error's text, or nothing where
/// the damage did not show.
fn each_mutation(name: &str, originals: &[Vec<u8>], work: impl Fn(&[u8]) -> Option<String>) {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut refused = 0;
    for seed in 0..mutations() {
        let original = &originals[seed as usize % originals.len()];
        let damaged = mutated(original, seed);
        allocator::peak_bytes();
        let begun = Instant::now();
        let told = catch_unwind(AssertUnwindSafe(|| work(&damaged)));
        let (took, bytes) = (begun.elapsed(), allocator::peak_bytes());
        let told = told.unwrap_or_else(|_| panic!("{name}: mutation {seed} panicked"));
        assert!(took < MOST_TIME, "{name}: mutation {seed} took {took:?}");
        assert!(bytes < MOST_BYTES, "{name}: mutation {seed} of {} bytes took {bytes} bytes", damaged.len());
        if let Some(told) = told {
            refused += 1;
            assert!(told.contains(name), "{name}: mutation {seed}: {told}");
        }
    }
    assert!(refused > mutations() / 10, "of {name}, {refused} were refused");
}

fn each_file(name: &str, originals: &[Vec<u8>], source: impl Fn(&Path) -> Box<dyn Source>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    for original in originals {
        std::fs::write(&path, original).unwrap();
        assert_eq!(read(&*source(&path)), None, "the file as it was");
    }
    each_mutation(name, originals, |bytes| {
        std::fs::write(&path, bytes).unwrap();
        read(&*source(&path))
    });
}

#[test]
fn damaged_csv_files_are_read_or_refused() {
    each_file("rows.csv", &formats::csv(), |path| Box::new(Csv::new(path)));
}

#[test]
fn damaged_json_lines_are_read_or_refused() {
    each_file("rows.jsonl", &formats::json_lines(), |path| Box::new(JsonLines::new(path)));
}

#[test]
fn damaged_parquet_files_are_read_or_refused() {
    each_file("rows.parquet", &formats::parquet(), |path| Box::new(Parquet::new(path)));
}

#[test]
fn damaged_arrow_files_are_read_or_refused() {
    each_file("rows.arrow", &formats::arrow(), |path| Box::new(ArrowFile::new(path)));
}

#[test]
fn damaged_pipeline_files_are_loaded_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("rows.csv"), "id,n,text\n1,2,a\n2,3,b\n").unwrap();
    let path = folder.path().join("pipeline.yaml");
    let load = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        load(&path)
    };
    for original in &formats::yaml() {
        assert_eq!(load(original), None, "the file as it was");
    }
    each_mutation("pipeline.yaml", &formats::yaml(), load);
}

#[test]
fn damaged_blocks_are_read_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    let originals = blocks();
    assert!(originals.len() > 1);
    each_mutation("block", &originals, |bytes| {
        read_block(bytes, folder.path()).map(|text| format!("block: {text}"))
    });
}

/// The blocks of a store.
fn blocks() -> Vec<Vec<u8>> {
    let folder = tempfile::tempdir().unwrap();
    let store = stored(folder.path());
    let connection = rusqlite::Connection::open(store.join("store.db")).unwrap();
    let blocks = |sql: &str| -> Vec<Vec<u8>> {
        let mut statement = connection.prepare(sql).unwrap();
        let rows = statement.query_map([], |row| row.get(0)).unwrap();
        rows.map(Result::unwrap).collect()
    };
    [blocks("SELECT data FROM blocks"), blocks("SELECT data FROM result_blocks")].concat()
}

/// Inputs that fuzzing began with, and those that it has found.
#[test]
fn the_files_of_the_fuzz_targets_are_read_or_refused() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("fuzz/corpus");
    for (name, target) in targets::ALL {
        let files: Vec<_> = std::fs::read_dir(corpus.join(name)).unwrap().map(Result::unwrap).collect();
        assert!(!files.is_empty(), "{name} has no files");
        let contents: Vec<Vec<u8>> = files.iter().map(|file| std::fs::read(file.path()).unwrap()).collect();
        let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        for (file, bytes) in files.iter().zip(&contents) {
            allocator::peak_bytes();
            let begun = Instant::now();
            target(bytes);
            let (took, bytes) = (begun.elapsed(), allocator::peak_bytes());
            assert!(
                took < MOST_TIME && bytes < MOST_BYTES,
                "{}: {took:?}, {bytes} bytes",
                file.path().display()
            );
        }
    }
}

/// A source, an operator that records and a function.
fn recorded(folder: &Path) -> Pipeline {
    let mut p = Pipeline::new("damaged");
    let rows = p.source("rows", Csv::new(folder.join("rows.csv")).tags(["id"])).unwrap();
    let all = p.operator("all", Select::new(), [rows]).unwrap();
    p.set_recording(all, RecordMode::Log).unwrap();
    let f = Function::new("f").version("1").takes(["n"]).gives::<String>("text").keep(true);
    p.function("f", all, f.call(|n: i64| Ok(format!("the text of number {n}")))).unwrap();
    p
}

/// Replays what a store has, and has it verified.
fn use_store(dir: &Path) -> Option<String> {
    let work = || {
        let store = Store::open(dir)?;
        for node in ["all", "f"] {
            match store.replay_named("damaged", node, &Which::Last) {
                Ok(mut replay) => replay.try_for_each(|chunk| chunk.map(drop))?,
                Err(error) => return Ok(Some(format!("{}: {}", dir.display(), told(&error)))),
            }
        }
        let report = store.verify()?;
        let first = report.faults.first().map(|fault| format!("{}: {}", dir.display(), fault.found));
        Ok(first)
    };
    work().unwrap_or_else(|error: anabranch::StoreError| Some(told(&error)))
}

#[test]
fn damaged_stores_are_read_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    let dir = stored(folder.path());
    assert_eq!(use_store(&dir), None, "the store as it was");
    let original = std::fs::read(dir.join("store.db")).unwrap();
    each_mutation("store", &[original], |bytes| {
        for log in ["store.db-wal", "store.db-shm"] {
            // There is none once the store is closed.
            let _ = std::fs::remove_file(dir.join(log));
        }
        std::fs::write(dir.join("store.db"), bytes).unwrap();
        use_store(&dir)
    });
}

/// A store with a run in it, that is closed.
fn stored(folder: &Path) -> PathBuf {
    let text: String = (0..300).map(|n| format!("{n},{},some text {n}\n", n % 50)).collect();
    std::fs::write(folder.join("rows.csv"), format!("id,n,other\n{text}")).unwrap();
    let dir = folder.join("store");
    let store = Store::open(&dir).unwrap();
    recorded(folder).run(&store).unwrap();
    dir
}
