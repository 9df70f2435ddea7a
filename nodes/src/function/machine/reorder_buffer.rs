//! Rows that wait for their outcomes, and leave in input order.

use std::collections::VecDeque;
use std::sync::Arc;

use anabranch_engine::bytes::{array_bytes, chunk_bytes};
use anabranch_engine::chunk::{Chunk, ChunkError};
use anabranch_engine::identity::PacketHash;
use anabranch_engine::index::{At as _, row_number};
use anabranch_engine::store::Outcomes;
use arrow::datatypes::DataType;

use super::assemble::{LeavingRows, RowSelection};
use crate::call::OutputOrder;

/// A row of the buffer: number of its chunk, row in the chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::function) struct RowId {
    pub(in crate::function) chunk: u64,
    pub(in crate::function) row: u32,
}

/// Outcomes that came together, and their size.
#[derive(Debug)]
pub(in crate::function) struct OutcomeBatch {
    pub(in crate::function) outcomes: Outcomes,
    bytes: usize,
}

impl OutcomeBatch {
    pub(in crate::function) fn new(outcomes: Outcomes) -> Arc<Self> {
        let bytes = outcomes.values.iter().map(|column| array_bytes(column)).sum();
        Arc::new(Self { outcomes, bytes })
    }
}

/// Place of a row's outcome: batch of the chunk, row in the batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct OutcomeSlot {
    pub(super) batch: u32,
    pub(super) row: u32,
}

impl OutcomeSlot {
    /// The row has no outcome yet.
    const EMPTY: Self = Self { batch: u32::MAX, row: 0 };
    /// The row's packet failed, so that it does not leave.
    pub(super) const LEFT_OUT: Self = Self { batch: u32::MAX - 1, row: 0 };
    /// The row leaves with null outputs: nothing computes its packet.
    pub(super) const UNKNOWN: Self = Self { batch: u32::MAX - 2, row: 0 };

    /// True if the outcome is a row of a batch.
    pub(super) fn is_in_batch(self) -> bool {
        self.batch < Self::UNKNOWN.batch
    }
}

/// A chunk of input whose rows wait.
#[derive(Debug)]
pub(super) struct WaitingChunk {
    pub(super) chunk: Chunk,
    pub(super) hashes: Arc<Vec<PacketHash>>,
    pub(super) slots: Vec<OutcomeSlot>,
    /// Outcomes of some of the rows; none where these rows have all left.
    pub(super) batches: Vec<Option<BatchUse>>,
    /// Rows that have left; in input order, these are the first ones.
    left: usize,
    /// Rows from the front that have an outcome.
    ready: usize,
    /// In the order of arrival: rows that have an outcome and have not left.
    arrived: Vec<u32>,
    bytes: usize,
}

/// A batch, and the rows of a chunk that have their outcomes in it and have not left.
#[derive(Debug)]
pub(super) struct BatchUse {
    batch: Arc<OutcomeBatch>,
    rows: usize,
}

/// Chunks in the order in which they came, and the outcomes of their rows.
///
/// Memory: the chunks until their last row has left, and the outcomes until the last row of their batch has.
#[derive(Debug)]
pub(in crate::function) struct ReorderBuffer {
    order: OutputOrder,
    chunks: VecDeque<WaitingChunk>,
    /// Number of the first chunk.
    first: u64,
    /// In the order of arrival, chunks with rows that can leave.
    open: VecDeque<u64>,
    /// Rows that have not left.
    pub(in crate::function) rows: usize,
    /// Bytes of the rows, until the last one of their chunk has left, and of their outcomes, until the
    /// last one of their batch has.
    pub(in crate::function) bytes: usize,
}

impl ReorderBuffer {
    /// An empty buffer.
    pub(in crate::function) fn new(order: OutputOrder) -> Self {
        Self { order, chunks: VecDeque::new(), first: 0, open: VecDeque::new(), rows: 0, bytes: 0 }
    }

    pub(in crate::function) fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// Appends a chunk that is not empty; returns its number.
    pub(in crate::function) fn push(&mut self, chunk: Chunk, hashes: Arc<Vec<PacketHash>>) -> u64 {
        let (rows, bytes) = (chunk.rows(), chunk_bytes(&chunk));
        assert!(rows > 0 && rows == hashes.len(), "each row of a chunk is hashed, and it has some");
        self.rows += rows;
        self.bytes += bytes;
        self.chunks.push_back(WaitingChunk {
            chunk,
            hashes,
            slots: vec![OutcomeSlot::EMPTY; rows],
            batches: Vec::new(),
            left: 0,
            ready: 0,
            arrived: Vec::new(),
            bytes,
        });
        self.first + self.chunks.len() as u64 - 1
    }

    /// The input row that waits.
    pub(in crate::function) fn row(&self, id: RowId) -> Chunk {
        self.index(id.chunk)
            .and_then(|index| self.chunks.get(index))
            .map_or_else(|| has_left(id), |waiting| waiting.chunk.slice(id.row as usize, 1))
    }

    /// Sets the outcomes of rows: each with its row in the batch.
    pub(in crate::function) fn fill(
        &mut self,
        batch: &Arc<OutcomeBatch>,
        rows: impl IntoIterator<Item = (RowId, u32)>,
    ) {
        // Mostly many rows of one chunk follow on each other.
        let mut last = None;
        for (id, row) in rows {
            let waiting = self.waiting(id);
            let (number, bytes) = match last {
                Some((chunk, number)) if chunk == id.chunk => (number, 0),
                _ => waiting.number(batch),
            };
            last = Some((id.chunk, number));
            waiting.set(id.row, OutcomeSlot { batch: number, row });
            self.bytes += bytes;
            self.arrive(id);
        }
    }

    /// Rows do not leave.
    pub(in crate::function) fn leave_out(&mut self, rows: impl IntoIterator<Item = RowId>) {
        self.set(rows, OutcomeSlot::LEFT_OUT);
    }

    /// Rows leave with null outputs.
    pub(in crate::function) fn set_unknown(&mut self, rows: impl IntoIterator<Item = RowId>) {
        self.set(rows, OutcomeSlot::UNKNOWN);
    }

    fn set(&mut self, rows: impl IntoIterator<Item = RowId>, outcome: OutcomeSlot) {
        for id in rows {
            self.waiting(id).set(id.row, outcome);
            self.arrive(id);
        }
    }

    fn index(&self, chunk: u64) -> Option<usize> {
        usize::try_from(chunk.checked_sub(self.first)?).ok()
    }

    fn waiting(&mut self, id: RowId) -> &mut WaitingChunk {
        let waiting = self.index(id.chunk).and_then(|index| self.chunks.get_mut(index));
        waiting.unwrap_or_else(|| has_left(id))
    }

    /// In the order of arrival, adds a row that has its outcome to those that can leave.
    fn arrive(&mut self, id: RowId) {
        if self.order == OutputOrder::Input {
            return;
        }
        let waiting = self.waiting(id);
        waiting.arrived.push(id.row);
        if waiting.arrived.len() == 1 {
            self.open.push_back(id.chunk);
        }
    }

    /// Rows that could leave now, and true if their chunk has no more.
    pub(in crate::function) fn front(&self) -> (usize, bool) {
        match self.order {
            OutputOrder::Input => {
                let of = |w: &WaitingChunk| (w.ready - w.left, w.ready == w.slots.len());
                self.chunks.front().map_or((0, false), of)
            }
            OutputOrder::Arrival => {
                let Some(number) = self.open.front() else { return (0, false) };
                let waiting = self.index(*number).and_then(|index| self.chunks.get(index));
                let of = |w: &WaitingChunk| (w.arrived.len(), w.left + w.arrived.len() == w.slots.len());
                waiting.map_or_else(|| has_left(RowId { chunk: *number, row: 0 }), of)
            }
        }
    }

    /// Removes the rows that are ready, with outputs of these types; none if there are none.
    /// All may have been dropped: then there are no rows.
    pub(in crate::function) fn pop(&mut self, types: &[DataType]) -> Result<Option<LeavingRows>, ChunkError> {
        let (leaving, bytes) = match self.order {
            OutputOrder::Input => {
                let Some(waiting) = self.chunks.front_mut() else { return Ok(None) };
                waiting.pop(types, &RowSelection::Range(waiting.left..waiting.ready))?
            }
            OutputOrder::Arrival => {
                let Some(chunk) = self.open.pop_front() else { return Ok(None) };
                let waiting = self.waiting(RowId { chunk, row: 0 });
                let mut rows = std::mem::take(&mut waiting.arrived);
                rows.sort_unstable();
                waiting.pop(types, &RowSelection::Each(&rows))?
            }
        };
        self.bytes -= bytes;
        self.rows -= leaving.total;
        while self.chunks.front().is_some_and(|w| w.left == w.slots.len()) {
            self.bytes -= self.chunks.pop_front().map_or(0, |waiting| waiting.bytes);
            self.first += 1;
        }
        Ok(Some(leaving))
    }
}

#[cold]
fn has_left(id: RowId) -> ! {
    panic!("a row waits until its outcome is known: found {id:?} gone")
}

impl WaitingChunk {
    /// The number of a batch among those of the chunk, and the bytes that it adds.
    fn number(&mut self, batch: &Arc<OutcomeBatch>) -> (u32, usize) {
        let last = self.batches.last().and_then(Option::as_ref);
        let known = last.is_some_and(|last| Arc::ptr_eq(&last.batch, batch));
        if !known {
            self.batches.push(Some(BatchUse { batch: Arc::clone(batch), rows: 0 }));
            self.bytes += batch.bytes;
        }
        (row_number(self.batches.len() - 1), if known { 0 } else { batch.bytes })
    }

    /// Sets the outcome of a row.
    fn set(&mut self, row: u32, outcome: OutcomeSlot) {
        let slot = self.slots.at_mut(row as usize, "a row is in its chunk");
        assert!(*slot == OutcomeSlot::EMPTY, "a row gets one outcome");
        *slot = outcome;
        if outcome.is_in_batch() {
            self.batch_use(outcome).rows += 1;
        }
        while self.slots.get(self.ready).is_some_and(|slot| *slot != OutcomeSlot::EMPTY) {
            self.ready += 1;
        }
    }

    fn batch_use(&mut self, slot: OutcomeSlot) -> &mut BatchUse {
        let used = self.batches.at_mut(slot.batch as usize, "an outcome lies in a batch of its chunk");
        used.as_mut().unwrap_or_else(|| panic!("a batch stays until its last row has left"))
    }

    /// The outcomes of a batch.
    pub(super) fn outcomes(&self, number: usize) -> &Outcomes {
        match self.batches.at(number, "an outcome lies in a batch of its chunk") {
            Some(used) => &used.batch.outcomes,
            None => panic!("a batch stays until its last row has left"),
        }
    }

    /// Gathers rows that leave; also returns the bytes of the outcomes that go with them.
    fn pop(
        &mut self,
        types: &[DataType],
        rows: &RowSelection<'_>,
    ) -> Result<(LeavingRows, usize), ChunkError> {
        let leaving = self.gather(types, rows)?;
        let bytes = self.leave(rows);
        Ok((leaving, bytes))
    }

    /// Counts rows as gone, and returns the bytes of the outcomes that go with them.
    fn leave(&mut self, rows: &RowSelection<'_>) -> usize {
        let mut bytes = 0;
        for row in rows.iter() {
            let slot = *self.slots.at(row, "a row is in its chunk");
            if !slot.is_in_batch() {
                continue;
            }
            let used = self.batch_use(slot);
            used.rows -= 1;
            if used.rows == 0 {
                bytes += used.batch.bytes;
                *self.batches.at_mut(slot.batch as usize, "an outcome lies in a batch of its chunk") = None;
            }
        }
        self.left += rows.len();
        self.bytes -= bytes;
        bytes
    }
}
