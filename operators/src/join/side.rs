//! One side of a stage: what it has seen, and the rows that the other side's rows may still match.

use std::sync::Arc;

use anabranch_engine::chunk::{Chunk, ChunkError};
use anabranch_engine::operator::OperatorError;
use anabranch_engine::schema::StreamSchema;

use crate::rows::{Bits, RowStore, RowTable, Selection};

/// What a side has seen.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) ended: bool,
    pub(super) rows: u64,
    pub(super) matched: u64,
}

impl Seen {
    /// Rows that have found no match so far.
    pub(super) fn unmatched(&self) -> u64 {
        self.rows - self.matched
    }
}

/// Rows that wait for a match: this is all the state of a join, and what moves when memory ends.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) table: RowTable,
    pub(super) store: RowStore,
    pub(super) matched: Bits,
}

impl Kept {
    pub(super) fn new(schema: &Arc<StreamSchema>) -> Self {
        Self { table: RowTable::default(), store: RowStore::new(schema), matched: Bits::default() }
    }

    /// Keeps the selected rows, whose hashes these are; returns the number of the first.
    pub(super) fn insert(
        &mut self,
        chunk: &Chunk,
        selection: Selection<'_>,
        hashes: &[u64],
    ) -> Result<u32, OperatorError> {
        let first = u32::try_from(self.table.rows()).ok().filter(|_| self.table.insert(hashes));
        let first = first.ok_or_else(|| OperatorError::Data {
            operation: "join",
            found: "more than 4294967295 rows on one side that may still find a match".to_owned(),
            expected: "fewer".to_owned(),
            remedy: "filter the input first".to_owned(),
        })?;
        self.store.append(chunk, selection).map_err(ChunkError::Arrow)?;
        Ok(first)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.table.rows() == 0
    }

    pub(super) fn bytes(&self) -> usize {
        self.table.bytes() + self.store.bytes() + self.matched.bytes()
    }
}
