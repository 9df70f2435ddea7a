//! Garbage: data in a store that nothing refers to any more, and data that is dropped on request.
//!
//! 1. Each step is a transaction of about 10 ms with a pause after it, and leaves the store whole;
//!    ended at any moment, the rest is found the next time.
//! 2. Nothing is removed that a run at work or a reader needs, in whatever process: both hold
//!    [leases](crate::leases).
//! 3. Numbers are never used again, so that a reference never means other data.

mod condemned;
mod dropping;
mod mark;
mod shrink;
mod superseded;
mod sweep;

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;

use anabranch_engine::store::{CollectError, StoreFault, StoreProblem};

use crate::catalog::query::Query;
use crate::catalog::reads::Reads as _;
use crate::catalog::tables::{META, REFERENCES};
use crate::catalog::{FreeSpace, WriterOptions};
use crate::store::Store;

use condemned::{Condemned, unused_blocks};
use mark::{Groups, Marks};
use superseded::Superseded;
use sweep::{Release, Sweeper};

pub use dropping::{DropReport, DropTarget};

/// Further data that counts as garbage.
#[derive(Debug, Clone, Copy, Default)]
pub struct GarbageOptions {
    /// The newest complete runs of each pipeline whose recordings are kept; none for all.
    pub keep_runs: Option<NonZeroUsize>,
}

/// Reason why a recording is removed or stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Reason {
    /// Removed: its run ended before it was complete.
    Incomplete,
    /// Removed: there are newer complete runs, as many as are kept.
    OlderRun,
    /// Removed: it is dropped on request.
    Dropped,
    /// Stays: it is complete, and all of those are kept.
    Complete,
    /// Stays: it belongs to the newest runs, or is newer than one of them.
    NewestRuns,
    /// Stays: it is the newest of its node.
    NewestOfNode,
    /// Stays: it has all that a cumulative source has read.
    History,
    /// Stays: a derived source of a run that stays has read it.
    Linked,
    /// Stays: it is being read.
    BeingRead,
    /// Stays: its run is at work.
    RunAlive,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Incomplete => "incomplete, of a run that is not alive",
            Self::OlderRun => "older than the newest complete runs",
            Self::Dropped => "dropped",
            Self::Complete => "complete",
            Self::NewestRuns => "of the newest complete runs, or newer",
            Self::NewestOfNode => "the newest of its node",
            Self::History => "what a cumulative source has read",
            Self::Linked => "read by a derived source of a run that stays",
            Self::BeingRead => "being read",
            Self::RunAlive => "of a run at work",
        })
    }
}

/// Recordings of a pipeline that are removed or stay for one reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// The pipeline.
    pub pipeline: String,
    /// The reason.
    pub reason: Reason,
    /// Runs that they belong to.
    pub runs: u64,
    /// Number of recordings.
    pub recordings: u64,
    /// Rows in them.
    pub rows: u64,
}

/// Blocks that are removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Freed {
    /// Number of blocks.
    pub blocks: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Freed {
    fn add(&mut self, bytes: u64) {
        self.blocks += 1;
        self.bytes += bytes;
    }
}

/// Something that could not be removed this time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped(String);

impl fmt::Display for Skipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Skipped {
    fn results_of_run(run: &str) -> Self {
        Self(format!(
            "results were left alone, since run \"{run}\" is at work; collect again once it has ended"
        ))
    }

    fn begun() -> Self {
        Self("results were left alone, since a run has recorded meanwhile; collect again".to_owned())
    }

    fn unreadable(function: i64) -> Self {
        Self(format!(
            "results of function {function} were left alone, since a block that may refer to them is damaged; verify the store"
        ))
    }
}

/// Data that was removed, or would be.
#[derive(Debug, Clone, Default)]
pub struct GarbageReport {
    /// Recordings that are removed.
    pub removed: Vec<Group>,
    /// Recordings that stay.
    pub kept: Vec<Group>,
    /// Blocks of recordings that are removed.
    pub record_blocks: Freed,
    /// Blocks of results that are removed: no look-up and no recording refers to any of their versions.
    pub result_blocks: Freed,
    /// Versions of results that are removed.
    pub versions: u64,
    /// Data that could not be removed this time.
    pub left: Vec<Skipped>,
    /// Bytes of the store's database, its log included, before.
    pub disk_before: u64,
    /// The same afterwards; before, if nothing was done.
    pub disk_after: u64,
    /// Bytes within the database that hold nothing.
    pub free_bytes: u64,
    /// True if these can be given back to the disk; else later runs use them first.
    pub returnable: bool,
}

impl Store {
    /// Removes data that nothing refers to and gives its space back to the disk, beside runs and readers
    /// of whatever process. Blocks until it is done.
    ///
    /// Memory: 100 MB, and 8 bytes for each block of results.
    pub fn collect_garbage(&self, options: &GarbageOptions) -> Result<GarbageReport, CollectError> {
        let mut sweeper = begin(self)?;
        let disk_before = self.catalog().disk_bytes();
        let Marks { condemned, mut kept } = Marks::new(sweeper.rows(), &*sweeper.leases, options.keep_runs)?;
        let (mut removed, mut left) = (Groups::default(), Vec::new());
        let mut record_blocks = Freed::default();
        for (entry, reason) in &condemned {
            if sweeper.remove_recording(entry, Release::Nothing, &mut record_blocks)? {
                removed.add(entry, *reason);
            } else {
                kept.add(entry, Reason::BeingRead);
            }
        }
        sweeper.remove_orphans(&mut record_blocks)?;
        let superseded = Superseded::find(sweeper.rows(), &*sweeper.leases, &Condemned::new(), &mut left)?;
        let (result_blocks, versions) = superseded.remove(&mut sweeper, &mut left)?;
        let free = finish(&mut sweeper)?;
        Ok(GarbageReport {
            removed: removed.list(),
            kept: kept.list(),
            record_blocks,
            result_blocks,
            versions,
            left,
            disk_before,
            disk_after: self.catalog().disk_bytes(),
            free_bytes: free.bytes,
            returnable: free.returnable,
        })
    }

    /// Returns what [`Store::collect_garbage`] would remove; removes nothing.
    pub fn find_garbage(&self, options: &GarbageOptions) -> Result<GarbageReport, CollectError> {
        let sweeper = begin(self)?;
        let reader = sweeper.rows();
        let marks = Marks::new(reader, &*sweeper.leases, options.keep_runs)?;
        let (mut removed, mut left) = (Groups::default(), Vec::new());
        for (entry, reason) in &marks.condemned {
            removed.add(entry, *reason);
        }
        let condemned = marks.condemned.iter().map(|(entry, _)| entry.id).collect();
        let superseded = Superseded::find(reader, &*sweeper.leases, &condemned, &mut left)?;
        let (result_blocks, versions) = superseded.sum(reader)?;
        let (free, disk) = (reader.free()?, self.catalog().disk_bytes());
        Ok(GarbageReport {
            removed: removed.list(),
            kept: marks.kept.list(),
            record_blocks: unused_blocks(reader, &condemned)?,
            result_blocks,
            versions,
            left,
            disk_before: disk,
            disk_after: disk,
            free_bytes: free.bytes,
            returnable: free.returnable,
        })
    }
}

/// Prepares to remove. A store whose references this program does not know is refused.
fn begin(store: &Store) -> Result<Sweeper, StoreFault> {
    let writer = store.catalog().writer(&WriterOptions { yields: true, ..WriterOptions::default() })?;
    let references = Query::of(&META, &["value"]).equal("key", "references");
    let references = writer.rows().one(&references, |row| row.number(0))?;
    let references =
        references.ok_or_else(|| StoreFault::damaged("table \"meta\"", "it has no version of references"))?;
    if references > REFERENCES {
        let message = format!(
            "the store has references of kind {references}, expected at most {REFERENCES}; use the version of anabranch that wrote it, or a later one"
        );
        return Err(StoreProblem::Version(message).into());
    }
    Ok(Sweeper { writer, leases: Arc::clone(store.leases()) })
}

/// Gives free space back; what is free afterwards.
fn finish(sweeper: &mut Sweeper) -> Result<FreeSpace, StoreFault> {
    sweeper.remove_lost_pages()?;
    shrink::shrink(sweeper)?;
    sweeper.rows().free()
}
