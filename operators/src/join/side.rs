//! One side of a stage: what it has seen, and the rows that the other side's rows may still match.

use std::sync::Arc;

use anabranch_engine::chunk::{Chunk, ChunkError};
use anabranch_engine::operator::OperatorError;
use anabranch_engine::schema::StreamSchema;

use crate::rows::{Bits, Numbers, RowStore, Selection, row_weights};

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
    /// By number, the bytes of each row's lists; empty without lists.
    weights: Vec<u32>,
}

impl Kept {
    /// Keeps nothing yet; `keepers` sides of machines are given the same chunks.
    pub(super) fn new(schema: &Arc<StreamSchema>, keepers: usize) -> Self {
        Self { store: RowStore::new(schema, keepers), matched: Bits::default(), rows: 0, weights: Vec::new() }
    }

    /// Keeps the selected rows; the table is to give them the same numbers.
    pub(super) fn append<'a>(
        &mut self,
        chunk: &Chunk,
        selection: Selection<'a>,
    ) -> Result<Numbers<'a>, OperatorError> {
        self.rows += selection.len();
        let numbers = self.store.append(chunk, selection).map_err(ChunkError::Arrow)?;
        if let Some(weights) = row_weights(chunk) {
            self.weights.resize(self.store.end(), 0);
            for at in 0..selection.len() {
                let weight = weights.get(selection.row(at) as usize).copied().unwrap_or(0);
                if let Some(place) = self.weights.get_mut(numbers.first + numbers.place(at) as usize) {
                    *place = weight;
                }
            }
        }
        Ok(numbers)
    }

    /// Whether rows differ in what they weigh.
    pub(super) fn has_weights(&self) -> bool {
        !self.weights.is_empty()
    }

    /// Bytes of a row's lists.
    pub(super) fn weight(&self, number: u32) -> usize {
        self.weights.get(number as usize).map_or(0, |weight| *weight as usize)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Whether no row is held either that belongs to another share.
    pub(super) fn holds_nothing(&self) -> bool {
        self.store.end() == 0
    }

    pub(super) fn bytes(&self) -> usize {
        self.store.bytes() + self.matched.bytes() + self.weights.capacity() * size_of::<u32>()
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
