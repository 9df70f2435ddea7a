//! Removing in small transactions, each of which leaves the store whole.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anabranch_engine::store::StoreError;
use rusqlite::{Connection, OptionalExtension as _, Transaction, TransactionBehavior};

use super::Freed;
use super::mark::{Entry, OPERATION};
use crate::error::sql;
use crate::locks::reading::ReadingLock;
use crate::recordings::seal;
use crate::results::key_runs;
use crate::runs;
use crate::sqlite::schema::has_table;

/// Time after which a transaction ends, so that others can write.
const STEP: Duration = Duration::from_millis(10);

/// A process that waits for the store tries again after up to 100 ms. So that one of its attempts falls between
/// two steps, pauses are longer than steps while a run is at work.
const PAUSES: u32 = 3;

/// Works on a store step by step. Whatever moment it is ended at, the rest is found the next time.
#[derive(Debug)]
pub(super) struct Sweeper {
    pub(super) connection: Connection,
    pub(super) dir: PathBuf,
}

/// Time since a step began.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock(Instant);

impl Clock {
    /// Returns true if the step should end.
    pub(super) fn is_over(self) -> bool {
        self.0.elapsed() >= STEP
    }
}

/// Progress of a step of several.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    More,
    Done,
}

impl Sweeper {
    pub(super) fn new(connection: Connection, dir: &Path) -> Self {
        Self { connection, dir: dir.to_owned() }
    }

    /// Works in a transaction of its own, and then leaves the store to others for a while.
    pub(super) fn step<T>(
        &mut self,
        work: impl FnOnce(&Transaction<'_>, Clock) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let failed = |e| sql(OPERATION, e);
        let transaction =
            self.connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
        let clock = Clock(Instant::now());
        let value = work(&transaction, clock)?;
        transaction.commit().map_err(failed)?;
        let busy = runs::any_alive(&self.dir).is_some();
        std::thread::sleep(clock.0.elapsed() * if busy { PAUSES } else { 1 });
        Ok(value)
    }

    /// Repeats a step until it is done.
    pub(super) fn steps(
        &mut self,
        mut work: impl FnMut(&Transaction<'_>, Clock) -> Result<Progress, StoreError>,
    ) -> Result<(), StoreError> {
        while self.step(&mut work)? == Progress::More {}
        Ok(())
    }

    /// Removes a recording and the blocks that only it refers to; false if it has to stay.
    ///
    /// It is hidden first, so that what an end in the middle leaves is an incomplete recording.
    pub(super) fn remove_recording(
        &mut self,
        entry: &Entry,
        release: Release,
        freed: &mut Freed,
    ) -> Result<bool, StoreError> {
        let dir = self.dir.clone();
        let Some(_lock) = ReadingLock::to_remove(&dir, entry.id)? else { return Ok(false) };
        let hidden = self
            .step(|transaction, _| hide(transaction, &dir, entry, release).map_err(|e| sql(OPERATION, e)))?;
        if !hidden {
            return Ok(false);
        }
        self.steps(|transaction, clock| {
            remove_blocks(transaction, entry.id, clock, freed).map_err(|e| sql(OPERATION, e))
        })?;
        Ok(true)
    }

    /// Removes pages of keys whose run was removed.
    pub(super) fn remove_lost_pages(&mut self) -> Result<(), StoreError> {
        self.steps(|transaction, clock| {
            while !clock.is_over() {
                if key_runs::remove_lost_pages(transaction).map_err(|e| sql(OPERATION, e))? == 0 {
                    return Ok(Progress::Done);
                }
            }
            Ok(Progress::More)
        })
    }

    /// Removes blocks that nothing refers to, which only an earlier version could leave.
    pub(super) fn remove_orphans(&mut self, freed: &mut Freed) -> Result<(), StoreError> {
        let failed = |e| sql(OPERATION, e);
        let mut orphans: Vec<i64> = {
            let mut select = self.connection.prepare_cached(ORPHANS).map_err(failed)?;
            let found = select.query_map([], |row| row.get(0)).map_err(failed)?;
            found.collect::<rusqlite::Result<_>>().map_err(failed)?
        };
        if orphans.is_empty() {
            return Ok(());
        }
        self.steps(|transaction, clock| {
            while let Some(id) = orphans.pop() {
                remove_if_orphan(transaction, id, freed).map_err(failed)?;
                if clock.is_over() {
                    return Ok(Progress::More);
                }
            }
            Ok(Progress::Done)
        })
    }
}

/// Blocks that no recording has.
const ORPHANS: &str = "SELECT b.id FROM blocks b
     WHERE NOT EXISTS (SELECT 1 FROM recording_blocks rb WHERE rb.block = b.id)";

/// Treatment of a recording that a history ends in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Release {
    /// It stays.
    Nothing,
    /// The history is removed with it.
    Histories,
}

/// Makes a recording invisible, unless something has come between.
fn hide(
    transaction: &Transaction<'_>,
    dir: &Path,
    entry: &Entry,
    release: Release,
) -> rusqlite::Result<bool> {
    let complete: Option<bool> = transaction
        .prepare_cached("SELECT complete FROM recordings WHERE id = ?1")?
        .query_row([entry.id], |row| row.get(0))
        .optional()?;
    // A run that has ended since may have completed it.
    if complete != Some(entry.complete) || runs::is_alive(dir, &entry.run) {
        return Ok(false);
    }
    if has_table(transaction, "histories")? {
        if release == Release::Histories {
            transaction.execute("DELETE FROM histories WHERE recording = ?1", [entry.id])?;
        }
        let held: bool = transaction
            .prepare_cached("SELECT EXISTS (SELECT 1 FROM histories WHERE recording = ?1)")?
            .query_row([entry.id], |row| row.get(0))?;
        if held {
            return Ok(false);
        }
    }
    transaction.execute("UPDATE recordings SET complete = 0 WHERE id = ?1", [entry.id])?;
    seal::remove(transaction, entry.id)?;
    Ok(true)
}

/// Removes some of a recording's blocks, the last first, and then the recording.
fn remove_blocks(
    transaction: &Transaction<'_>,
    recording: i64,
    clock: Clock,
    freed: &mut Freed,
) -> rusqlite::Result<Progress> {
    let mut last = transaction.prepare_cached(
        "SELECT position, block FROM recording_blocks WHERE recording = ?1 ORDER BY position DESC LIMIT 1",
    )?;
    let mut remove =
        transaction.prepare_cached("DELETE FROM recording_blocks WHERE recording = ?1 AND position = ?2")?;
    while !clock.is_over() {
        let found: Option<(i64, i64)> =
            last.query_row([recording], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
        let Some((position, block)) = found else {
            transaction.execute("DELETE FROM recordings WHERE id = ?1", [recording])?;
            return Ok(Progress::Done);
        };
        remove.execute([recording, position])?;
        remove_if_orphan(transaction, block, freed)?;
    }
    Ok(Progress::More)
}

fn remove_if_orphan(transaction: &Transaction<'_>, block: i64, freed: &mut Freed) -> rusqlite::Result<()> {
    let bytes: Option<i64> = transaction
        .prepare_cached(
            "SELECT bytes FROM blocks
             WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM recording_blocks WHERE block = ?1)",
        )?
        .query_row([block], |row| row.get(0))
        .optional()?;
    if let Some(bytes) = bytes {
        transaction.prepare_cached("DELETE FROM blocks WHERE id = ?1")?.execute([block])?;
        freed.add(bytes.unsigned_abs());
    }
    Ok(())
}
