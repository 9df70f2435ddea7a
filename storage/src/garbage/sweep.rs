//! Removing in small transactions, each of which leaves the store whole.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anabranch_engine::store::StoreFault;

use super::Freed;
use super::condemned::orphans;
use super::mark::Entry;
use crate::catalog::query::{Filter, Query};
use crate::catalog::reads::Reads as _;
use crate::catalog::tables::{BLOCKS, HISTORIES, RECORDING_BLOCKS, RECORDINGS};
use crate::catalog::{Reader, Transaction, Writer};
use crate::leases::Leases;
use crate::recordings::seal;
use crate::recordings::stored::is_used;
use crate::results::key_runs;

/// Time after which a transaction ends, so that others can write.
const STEP: Duration = Duration::from_millis(10);

/// A process that waits for the store tries again after up to 100 ms. So that one of its attempts falls between
/// two steps, pauses are longer than steps while a run is at work.
const PAUSES: u32 = 3;

/// Works on a store step by step. Whatever moment it is ended at, the rest is found the next time.
#[derive(Debug)]
pub(super) struct Sweeper {
    pub(super) writer: Box<dyn Writer>,
    pub(super) leases: Arc<dyn Leases>,
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
    /// A reader of what is committed.
    pub(super) fn rows(&self) -> &dyn Reader {
        self.writer.rows()
    }

    /// Works in a transaction of its own, and then leaves the store to others for a while.
    pub(super) fn step<T>(
        &mut self,
        work: impl FnOnce(&dyn Transaction, Clock) -> Result<T, StoreFault>,
    ) -> Result<T, StoreFault> {
        let transaction = self.writer.begin()?;
        let clock = Clock(Instant::now());
        let value = work(&*transaction, clock)?;
        transaction.commit()?;
        let busy = self.leases.any_alive()?.is_some();
        std::thread::sleep(clock.0.elapsed() * if busy { PAUSES } else { 1 });
        Ok(value)
    }

    /// Repeats a step until it is done.
    pub(super) fn steps(
        &mut self,
        mut work: impl FnMut(&dyn Transaction, Clock) -> Result<Progress, StoreFault>,
    ) -> Result<(), StoreFault> {
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
    ) -> Result<bool, StoreFault> {
        let leases = Arc::clone(&self.leases);
        let Some(_lease) = leases.remove(entry.id)? else { return Ok(false) };
        if !self.step(|transaction, _| hide(transaction, &*leases, entry, release))? {
            return Ok(false);
        }
        self.steps(|transaction, clock| remove_blocks(transaction, entry.id, clock, freed))?;
        Ok(true)
    }

    /// Removes pages of keys whose run was removed.
    pub(super) fn remove_lost_pages(&mut self) -> Result<(), StoreFault> {
        self.steps(|transaction, clock| {
            while !clock.is_over() {
                if key_runs::remove_lost_pages(transaction)? == 0 {
                    return Ok(Progress::Done);
                }
            }
            Ok(Progress::More)
        })
    }

    /// Removes blocks that nothing refers to, which only an earlier version could leave.
    pub(super) fn remove_orphans(&mut self, freed: &mut Freed) -> Result<(), StoreFault> {
        let mut orphans = orphans(self.rows())?;
        if orphans.is_empty() {
            return Ok(());
        }
        self.steps(|transaction, clock| {
            while let Some(id) = orphans.pop() {
                remove_if_orphan(transaction, id, freed)?;
                if clock.is_over() {
                    return Ok(Progress::More);
                }
            }
            Ok(Progress::Done)
        })
    }
}

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
    transaction: &dyn Transaction,
    leases: &dyn Leases,
    entry: &Entry,
    release: Release,
) -> Result<bool, StoreFault> {
    let complete = Query::of(&RECORDINGS, &["complete"]).equal("id", entry.id);
    let complete = transaction.one(&complete, |row| row.flag(0))?;
    // A run that has ended since may have completed it.
    if complete != Some(entry.complete) || leases.is_alive(&entry.run)? {
        return Ok(false);
    }
    if release == Release::Histories {
        transaction.delete(&HISTORIES, &Filter::of("recording", entry.id))?;
    }
    if transaction.exists(&Query::of(&HISTORIES, &[]).equal("recording", entry.id))? {
        return Ok(false);
    }
    transaction.update(&RECORDINGS, &Filter::of("id", entry.id), &[("complete", false.into())])?;
    seal::remove(transaction, entry.id)?;
    Ok(true)
}

/// Removes some of a recording's blocks, the last first, and then the recording.
fn remove_blocks(
    transaction: &dyn Transaction,
    recording: i64,
    clock: Clock,
    freed: &mut Freed,
) -> Result<Progress, StoreFault> {
    let last = Query::of(&RECORDING_BLOCKS, &["position", "block"]).equal("recording", recording);
    let last = last.descending("position").first(1);
    while !clock.is_over() {
        let found = transaction.one(&last, |row| Ok((row.number(0)?, row.number(1)?)))?;
        let Some((position, block)) = found else {
            transaction.delete(&RECORDINGS, &Filter::of("id", recording))?;
            return Ok(Progress::Done);
        };
        let place = Filter::of("recording", recording).and("position", position);
        transaction.delete(&RECORDING_BLOCKS, &place)?;
        remove_if_orphan(transaction, block, freed)?;
    }
    Ok(Progress::More)
}

fn remove_if_orphan(transaction: &dyn Transaction, block: i64, freed: &mut Freed) -> Result<(), StoreFault> {
    if is_used(transaction, block, |_| true)? {
        return Ok(());
    }
    let bytes = Query::of(&BLOCKS, &["bytes"]).equal("id", block);
    if let Some(bytes) = transaction.one(&bytes, |row| row.unsigned(0))? {
        transaction.delete(&BLOCKS, &Filter::of("id", block))?;
        freed.add(bytes);
    }
    Ok(())
}
