//! A process that dies at any of its writes.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anabranch_engine::store::{
    CommitMode, CopyError, FailingNode, FailureStore, ResultStore as _, SetAside, StoreError, StoreFault,
    StoreProblem, VersionSpan,
};

use super::support::{
    Sources, assert_outcomes, eager, function, key, keys, read, record, results, rows, wait,
};
use super::{TestPlace, both};
use crate::catalog::query::{Filter, Query};
use crate::catalog::table::Table;
use crate::catalog::value::{Row, Value};
use crate::catalog::{Catalog, FreeSpace, Reader, Rows, Transaction, Writer, WriterOptions};
use crate::garbage::{DropTarget, GarbageOptions};
use crate::store::Store;

both! {
    nothing_is_lost_or_half_done_whatever_write_is_the_last,
}

/// Writes that are left until the process dies.
#[derive(Debug)]
struct Life(AtomicU64);

impl Life {
    fn dead() -> StoreFault {
        StoreProblem::Refused("the process is dead".to_owned()).into()
    }

    fn lives(&self) -> Result<(), StoreFault> {
        if self.0.load(Ordering::SeqCst) > 0 { Ok(()) } else { Err(Self::dead()) }
    }

    /// Takes a write, unless none is left.
    fn write(&self) -> Result<(), StoreFault> {
        let left = self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        if left.is_ok_and(|left| left > 1) { Ok(()) } else { Err(Self::dead()) }
    }
}

/// A catalog whose process dies at a write.
#[derive(Debug)]
struct Mortal(Arc<dyn Catalog>, Arc<Life>);

#[derive(Debug)]
struct MortalReader(Box<dyn Reader>, Arc<Life>);

#[derive(Debug)]
struct MortalWriter(Box<dyn Writer>, Arc<Life>);

struct MortalTransaction<'a>(Box<dyn Transaction + 'a>, Arc<Life>);

impl Catalog for Mortal {
    fn reader(&self) -> Result<Box<dyn Reader>, StoreFault> {
        Ok(Box::new(MortalReader(self.0.reader()?, Arc::clone(&self.1))))
    }

    fn writer(&self, options: &WriterOptions) -> Result<Box<dyn Writer>, StoreFault> {
        Ok(Box::new(MortalWriter(self.0.writer(options)?, Arc::clone(&self.1))))
    }

    fn copy_to(&self, dir: &Path) -> Result<u64, CopyError> {
        self.0.copy_to(dir)
    }

    fn disk_bytes(&self) -> u64 {
        self.0.disk_bytes()
    }
}

macro_rules! mortal_rows {
    ($($kind:ty),*) => {$(
        impl Rows for $kind {
            fn scan(
                &self,
                query: &Query<'_>,
                each: &mut dyn FnMut(&Row<'_>) -> ControlFlow<()>,
            ) -> Result<(), StoreFault> {
                self.1.lives()?;
                self.0.scan(query, each)
            }

            fn last_number(&self, table: &'static Table) -> Result<i64, StoreFault> {
                self.1.lives()?;
                self.0.last_number(table)
            }
        }
    )*};
}

mortal_rows!(MortalReader, MortalTransaction<'_>);

impl Reader for MortalReader {
    fn begin(&self) -> Result<bool, StoreFault> {
        self.1.lives()?;
        self.0.begin()
    }

    fn end(&self) {
        self.0.end();
    }

    fn free(&self) -> Result<FreeSpace, StoreFault> {
        self.0.free()
    }

    fn check(&self) -> Vec<String> {
        self.0.check()
    }
}

impl Writer for MortalWriter {
    fn begin(&mut self) -> Result<Box<dyn Transaction + '_>, StoreFault> {
        self.1.lives()?;
        Ok(Box::new(MortalTransaction(self.0.begin()?, Arc::clone(&self.1))))
    }

    fn rows(&self) -> &dyn Reader {
        self.0.rows()
    }

    fn checkpoint(&mut self, alone: bool) -> Result<(), StoreFault> {
        self.1.lives()?;
        self.0.checkpoint(alone)
    }
}

impl Transaction for MortalTransaction<'_> {
    fn insert(&self, table: &'static Table, values: &[(&'static str, Value<'_>)]) -> Result<i64, StoreFault> {
        self.1.write()?;
        self.0.insert(table, values)
    }

    fn put(&self, table: &'static Table, values: &[(&'static str, Value<'_>)]) -> Result<(), StoreFault> {
        self.1.write()?;
        self.0.put(table, values)
    }

    fn update(
        &self,
        table: &'static Table,
        of: &Filter<'_>,
        values: &[(&'static str, Value<'_>)],
    ) -> Result<u64, StoreFault> {
        self.1.write()?;
        self.0.update(table, of, values)
    }

    fn delete(&self, table: &'static Table, of: &Filter<'_>) -> Result<u64, StoreFault> {
        self.1.write()?;
        self.0.delete(table, of)
    }

    fn shrink(&self) -> Result<bool, StoreFault> {
        self.1.lives()?;
        self.0.shrink()
    }

    fn begin_part(&self) -> Result<(), StoreFault> {
        self.1.lives()?;
        self.0.begin_part()
    }

    fn end_part(&self) -> Result<(), StoreFault> {
        self.1.lives()?;
        self.0.end_part()
    }

    fn undo_part(&self) -> Result<(), StoreFault> {
        self.1.lives()?;
        self.0.undo_part()
    }

    fn is_undone(&self) -> bool {
        self.0.is_undone()
    }

    fn commit(self: Box<Self>) -> Result<(), StoreFault> {
        // Dropped uncommitted, as by a process that dies.
        self.1.write()?;
        self.0.commit()
    }
}

/// Writes that were acknowledged as durable.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each says of one step that it was acknowledged")]
struct Acknowledged {
    commits: Vec<(u64, &'static str)>,
    refreshed: bool,
    withdrawn: bool,
    set_aside: bool,
    recordings: Vec<String>,
    dropped: bool,
}

/// A node that sets packets aside.
fn failing() -> FailingNode {
    FailingNode {
        run: "r1".into(),
        pipeline: "p".into(),
        node: "f".into(),
        function: function("3"),
        takes: Vec::new(),
        tags: Vec::new(),
    }
}

fn failure() -> SetAside {
    SetAside {
        packet: key(7),
        kind: "failed".into(),
        message: "it failed".into(),
        log: String::new(),
        attempts: 1,
        rows: 2,
        taken: Vec::new(),
        tags: Vec::new(),
        records: Vec::new(),
    }
}

/// A process at work, which ends early if it dies.
fn work(store: &Store, sources: &Sources, done: &mut Acknowledged) -> Result<(), StoreError> {
    let commit = |n: u64, version: &'static str, salt: &str, mode| {
        let ns: Vec<u64> = (n * 10..n * 10 + 10).collect();
        wait(store.commit(function(version), results(&ns, salt, mode)))
    };
    for n in 0..4 {
        commit(n, "1", "", CommitMode::First)?;
        done.commits.push((n, "1"));
    }
    for version in ["2", "3"] {
        commit(0, version, "", CommitMode::First)?;
        done.commits.push((0, version));
    }
    wait(FailureStore::set_aside(store, Arc::new(failing()), vec![failure()], Vec::new()))?;
    done.set_aside = true;
    wait(store.maintain())?;
    let newer = commit(0, "1", "new", CommitMode::Refresh)?;
    done.refreshed = true;
    for run in ["r1", "r2"] {
        record(store, run, sources, &[sources.chunk(&(0..40).collect::<Vec<_>>())])?;
        done.recordings.push(run.to_owned());
    }
    wait(store.withdraw(function("1"), vec![VersionSpan::of(newer.references[3])]))?;
    done.withdrawn = true;
    wait(store.maintain())?;
    store.collect_garbage(&GarbageOptions::default())?;
    let fingerprint = function("2").fingerprint.digest().to_string();
    store.drop_from(&DropTarget::Function { name: "double".into(), fingerprint }, true)?;
    done.dropped = true;
    Ok(())
}

fn check(store: &Store, sources: &Sources, done: &Acknowledged) {
    let report = store.verify().unwrap();
    assert!(report.is_whole(), "{:?}", report.faults);
    for (n, version) in &done.commits {
        let ns: Vec<u64> = (n * 10..n * 10 + 10).collect();
        let found = wait(store.find(function(version), keys(ns.iter().copied()))).unwrap();
        match (*version, n) {
            // Dropping may have begun.
            ("2", _) => assert!(!done.dropped || found.hits.iter().all(|hit| !hit)),
            ("1", 0) if done.withdrawn => {
                let mut parts = vec!["new"; 10];
                parts[3] = "";
                for (n, salt) in ns.iter().zip(parts) {
                    let found = wait(store.find(function("1"), keys([*n]))).unwrap();
                    assert_outcomes(&found.outcomes, &[*n], salt);
                }
            }
            ("1", 0) if done.refreshed => {
                let (now, taken) = (&ns[..3], &ns[4..]);
                let found = wait(store.find(function("1"), keys(now.iter().chain(taken).copied()))).unwrap();
                assert_outcomes(&found.outcomes, &[now, taken].concat(), "new");
            }
            // A refresh that was not acknowledged may have happened, whole.
            ("1", 0) => assert!(found.hits.iter().all(|hit| *hit)),
            _ => assert_outcomes(&found.outcomes, &ns, ""),
        }
    }
    let aside: Vec<_> = store.set_aside("p", None, Some("r1")).unwrap().map(Result::unwrap).collect();
    assert!(aside.len() == 1 || (aside.is_empty() && !done.set_aside));
    assert!(aside.iter().all(|found| found.packet == key(7) && found.message == "it failed"));
    let recordings = store.recordings("p", "node").unwrap();
    for run in &done.recordings {
        let info = recordings.iter().find(|info| info.run == *run);
        let info = info.unwrap_or_else(|| panic!("{run} was recorded"));
        let chunk = sources.chunk(&(0..40).collect::<Vec<_>>());
        assert_eq!(read(store, info), rows(&[chunk], &sources.origins, &info.schema));
    }
    assert!(recordings.iter().all(|info| info.rows == 40), "no recording is seen that is not whole");
}

fn nothing_is_lost_or_half_done_whatever_write_is_the_last(place: &TestPlace) {
    let sources = Sources::new(0);
    let fresh =
        || if matches!(place, TestPlace::Folder(_)) { TestPlace::folder() } else { TestPlace::memory() };
    let mut deaths = 0;
    for writes in 1.. {
        let place = fresh();
        let life = Arc::new(Life(AtomicU64::new(writes)));
        let mortal = Arc::new(Mortal(place.catalog(), Arc::clone(&life)));
        let mut done = Acknowledged::default();
        let store = place.store_over(mortal, &eager());
        let ended = work(&store, &sources, &mut done);
        drop(store);
        let store = place.store_with(&eager());
        check(&store, &sources, &done);
        if ended.is_ok() {
            break;
        }
        deaths += 1;
        // The next process does it all again, over what is there.
        drop(store);
        let (store, mut again) = (place.store_with(&eager()), Acknowledged::default());
        work(&store, &sources, &mut again).unwrap();
        assert!(store.verify().unwrap().is_whole());
    }
    assert!(deaths > 60, "the process died at {deaths} writes");
}
