//! One side of a stage: what it has seen, and the rows that the other side's rows may still match.

use std::sync::Arc;

use anabranch_engine::chunk::{Chunk, ChunkError};
use anabranch_engine::operator::OperatorError;
use anabranch_engine::schema::StreamSchema;

use crate::rows::{Bits, Numbers, RowStore, Selection};

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

/// Rows that wait for a match, with their marks; with the table this is all the state of a join,
/// and what moves when memory ends.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) store: RowStore,
    pub(super) matched: Bits,
    rows: usize,
}

impl Kept {
    /// Keeps nothing yet; `keepers` sides of machines are given the same chunks.
    pub(super) fn new(schema: &Arc<StreamSchema>, keepers: usize) -> Self {
        Self { store: RowStore::new(schema, keepers), matched: Bits::default(), rows: 0 }
    }

    /// Keeps the selected rows; the table is to give them the same numbers.
    pub(super) fn append<'a>(
        &mut self,
        chunk: &Chunk,
        selection: Selection<'a>,
    ) -> Result<Numbers<'a>, OperatorError> {
        self.rows += selection.len();
        Ok(self.store.append(chunk, selection).map_err(ChunkError::Arrow)?)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Whether no row is held either that belongs to another share.
    pub(super) fn holds_nothing(&self) -> bool {
        self.store.end() == 0
    }

    pub(super) fn bytes(&self) -> usize {
        self.store.bytes() + self.matched.bytes()
    }
}

/// More rows than the table can number.
pub(super) fn too_many_rows() -> OperatorError {
    OperatorError::Data {
        operation: "join",
        found: "more than 2147483646 rows on one side that may still find a match".to_owned(),
        expected: "fewer".to_owned(),
        remedy: "filter the input first, or lower memory_limit so that the state leaves memory in partitions"
            .to_owned(),
    }
}
