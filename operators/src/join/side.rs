//! One side of a stage: what it has seen, and the rows that the other side's rows may still match.

use std::sync::Arc;

use anabranch_engine::chunk::{Chunk, ChunkError};
use anabranch_engine::index::At as _;
use anabranch_engine::operator::OperatorError;
use anabranch_engine::schema::StreamSchema;

use crate::rows::{Bits, Numbers, RowStore, Selection, row_weights};

/// The counts of a side.
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
pub(super) struct BuildSide {
    pub(super) store: RowStore,
    pub(super) matched: Bits,
    rows: usize,
    /// By number, the bytes of each row's lists; empty without lists.
    weights: Vec<u32>,
}

impl BuildSide {
    /// Keeps nothing yet; `sharers` sides of machines are given the same chunks.
    pub(super) fn new(schema: &Arc<StreamSchema>, sharers: usize) -> Self {
        Self { store: RowStore::new(schema, sharers), matched: Bits::default(), rows: 0, weights: Vec::new() }
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
            self.weights.resize(self.store.end, 0);
            for at in 0..selection.len() {
                let number = numbers.first + numbers.place(at) as usize;
                let weight = *weights.at(selection.row(at) as usize, "weighed row");
                *self.weights.at_mut(number, "stored row") = weight;
            }
        }
        Ok(numbers)
    }

    /// Returns whether rows differ in what they weigh.
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

    /// Returns whether no row is held either that belongs to another partition.
    pub(super) fn holds_nothing(&self) -> bool {
        self.store.end == 0
    }

    pub(super) fn bytes(&self) -> usize {
        self.store.bytes() + self.matched.bytes() + self.weights.capacity() * size_of::<u32>()
    }
}

/// More rows than the table can number.
pub(super) fn too_many_rows() -> OperatorError {
    OperatorError::data(
        "join",
        "more than 2147483646 rows on one side that may still find a match",
        "fewer",
        "filter the input first, or lower memory_limit so that the state leaves memory in partitions",
    )
}
