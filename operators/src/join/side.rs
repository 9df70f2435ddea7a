//! One side of a stage: the rows that the other side's rows may still match.

use anabranch_engine::chunk::Chunk;
use anabranch_engine::operator::OperatorError;

use super::layout::SidePlan;
use crate::rows::{Paged, RowStore, RowTable};

/// A side of a stage and what it has seen.
#[derive(Debug)]
pub(super) struct Side {
    pub(super) ended: bool,
    /// Rows kept for the other side; none are kept once that has ended.
    pub(super) kept: Kept,
    rows: u64,
    matched: u64,
}

/// Rows that wait for a match: this is all the state of a join, and what moves when memory ends.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) table: RowTable,
    pub(super) store: RowStore,
    matched: Paged<bool>,
}

impl Side {
    pub(super) fn new(plan: &SidePlan) -> Self {
        Self { ended: false, kept: Kept::new(plan), rows: 0, matched: 0 }
    }

    /// Counts rows that have come.
    pub(super) fn saw(&mut self, rows: usize) {
        self.rows += rows as u64;
    }

    /// Counts a row that was not kept and has found a match.
    pub(super) fn count_matched(&mut self) {
        self.matched += 1;
    }

    /// Counts a kept row that has found a match, the first time.
    pub(super) fn mark_matched(&mut self, row: u32) {
        if let Some(matched) = self.kept.matched.get_mut(row as usize)
            && !std::mem::replace(matched, true)
        {
            self.matched += 1;
        }
    }

    /// Rows that have found no match so far.
    pub(super) fn unmatched(&self) -> u64 {
        self.rows - self.matched
    }

    /// Lets go of rows that nothing can match any more.
    pub(super) fn release(&mut self, plan: &SidePlan) {
        self.kept = Kept::new(plan);
    }
}

impl Kept {
    fn new(plan: &SidePlan) -> Self {
        Self { table: RowTable::default(), store: RowStore::new(plan.system_tags), matched: Paged::default() }
    }

    /// Keeps rows; returns the number of the first.
    pub(super) fn insert(&mut self, chunk: &Chunk, hashes: &[u64]) -> Result<u32, OperatorError> {
        let first = u32::try_from(self.table.rows()).ok().filter(|_| self.table.insert(hashes));
        let first = first.ok_or_else(|| OperatorError::Data {
            operation: "join",
            found: "more than 4294967295 rows on one side that may still find a match".to_owned(),
            expected: "fewer".to_owned(),
            remedy: "filter the input first".to_owned(),
        })?;
        self.store.append(chunk).map_err(anabranch_engine::chunk::ChunkError::Arrow)?;
        self.matched.extend(std::iter::repeat_n(false, chunk.rows()));
        Ok(first)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.table.rows() == 0
    }

    pub(super) fn bytes(&self) -> usize {
        self.table.bytes() + self.store.bytes() + self.matched.bytes()
    }
}
