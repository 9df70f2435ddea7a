//! Rows that wait for their outcomes, in input order.

use std::collections::VecDeque;
use std::sync::Arc;

use anabranch_engine::bytes::{array_bytes, chunk_bytes};
use anabranch_engine::chunk::{Chunk, ChunkError};
use anabranch_engine::identity::PacketHash;
use anabranch_engine::provenance::OriginId;
use anabranch_engine::store::Outcomes;

use super::super::bound::BoundFunction;
use super::super::knobs::OutputOrder;
use super::emit::{Ready, Rows};

/// A row of the window: number of its chunk, row in the chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) chunk: u64,
    pub(super) row: u32,
}

/// Outcomes that came together, and their size.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) outcomes: Outcomes,
    bytes: usize,
}

impl Batch {
    pub(super) fn new(outcomes: Outcomes) -> Arc<Self> {
        let bytes = outcomes.values.iter().map(|column| array_bytes(column)).sum();
        Arc::new(Self { outcomes, bytes })
    }
}

/// Where the outcome of a row lies: which batch of the chunk's, which row in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slot {
    pub(super) batch: u32,
    pub(super) row: u32,
}

impl Slot {
    /// Nothing is known of the row yet.
    const EMPTY: Self = Self { batch: u32::MAX, row: 0 };
    /// The row's packet failed, so that it does not leave.
    const LEFT_OUT: Self = Self { batch: u32::MAX - 1, row: 0 };
}

/// A chunk of input whose rows wait.
#[derive(Debug)]
pub(super) struct WaitingChunk {
    pub(super) chunk: Chunk,
    pub(super) hashes: Arc<Vec<PacketHash>>,
    pub(super) slots: Vec<Slot>,
    /// Outcomes that some of the rows have; none where these have all left.
    pub(super) batches: Vec<Option<Held>>,
    /// Rows that have left; in input order, these are the first ones.
    left: usize,
    /// Rows from the front that have an outcome.
    ready: usize,
    /// Where the order is that of arrival: rows that have an outcome and have not left.
    arrived: Vec<u32>,
    bytes: usize,
}

/// A batch, and the rows of a chunk that have their outcomes in it and have not left.
#[derive(Debug)]
pub(super) struct Held {
    batch: Arc<Batch>,
    rows: usize,
}

/// The reorder window: chunks in the order in which they came, and what is known of their rows.
#[derive(Debug)]
pub(super) struct Window {
    order: OutputOrder,
    chunks: VecDeque<WaitingChunk>,
    /// Number of the first chunk.
    first: u64,
    /// In the order of arrival, chunks with rows that can leave.
    open: VecDeque<u64>,
    rows: usize,
    bytes: usize,
    /// Number of the next row that leaves, if these are recorded.
    next: Option<u64>,
}

impl Window {
    /// An empty window; rows that leave are numbered if they are recorded.
    pub(super) fn new(order: OutputOrder, recorded: bool) -> Self {
        let (chunks, open) = (VecDeque::new(), VecDeque::new());
        Self { order, chunks, first: 0, open, rows: 0, bytes: 0, next: recorded.then_some(0) }
    }

    /// Rows that have not left.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// Bytes of the rows, until the last one of their chunk has left, and of their outcomes, until the
    /// last one of their batch has.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// Appends a chunk that is not empty; gives its number.
    pub(super) fn push(&mut self, chunk: Chunk, hashes: Arc<Vec<PacketHash>>) -> u64 {
        let (rows, bytes) = (chunk.rows(), chunk_bytes(&chunk));
        self.rows += rows;
        self.bytes += bytes;
        self.chunks.push_back(WaitingChunk {
            chunk,
            hashes,
            slots: vec![Slot::EMPTY; rows],
            batches: Vec::new(),
            left: 0,
            ready: 0,
            arrived: Vec::new(),
            bytes,
        });
        self.first + self.chunks.len() as u64 - 1
    }

    /// The input row at a place.
    pub(super) fn row(&self, place: Place) -> Option<Chunk> {
        let at = usize::try_from(place.chunk.checked_sub(self.first)?).ok()?;
        Some(self.chunks.get(at)?.chunk.slice(place.row as usize, 1))
    }

    /// Says where the outcomes of rows lie: each place with its row in the batch.
    pub(super) fn fill(&mut self, batch: &Arc<Batch>, places: impl IntoIterator<Item = (Place, u32)>) {
        // Mostly many rows of one chunk follow on each other.
        let mut last = None;
        for (place, row) in places {
            let Some(waiting) = self.waiting(place.chunk) else { continue };
            let (number, bytes) = match last {
                Some((chunk, number)) if chunk == place.chunk => (number, 0),
                _ => waiting.number(batch),
            };
            last = Some((place.chunk, number));
            let settled = waiting.settle(place.row, Slot { batch: number, row });
            self.bytes += bytes;
            self.settled(place, settled);
        }
    }

    /// Says that rows do not leave.
    pub(super) fn leave_out(&mut self, places: impl IntoIterator<Item = Place>) {
        for place in places {
            let Some(waiting) = self.waiting(place.chunk) else { continue };
            let settled = waiting.settle(place.row, Slot::LEFT_OUT);
            self.settled(place, settled);
        }
    }

    fn waiting(&mut self, chunk: u64) -> Option<&mut WaitingChunk> {
        let at = usize::try_from(chunk.checked_sub(self.first)?).ok()?;
        self.chunks.get_mut(at)
    }

    /// Where rows leave as they arrive, puts one that has its outcome among them.
    fn settled(&mut self, place: Place, settled: bool) {
        if self.order == OutputOrder::Input || !settled {
            return;
        }
        let Some(waiting) = self.waiting(place.chunk) else { return };
        waiting.arrived.push(place.row);
        if waiting.arrived.len() == 1 {
            self.open.push_back(place.chunk);
        }
    }

    /// Rows that could leave now, and whether their chunk has no more.
    pub(super) fn front(&self) -> (usize, bool) {
        let of = |w: &WaitingChunk| (w.ready - w.left, w.ready == w.slots.len());
        match self.order {
            OutputOrder::Input => self.chunks.front().map_or((0, false), of),
            OutputOrder::Arrival => {
                let at = self.open.front().and_then(|n| usize::try_from(n - self.first).ok());
                let waiting = at.and_then(|at| self.chunks.get(at));
                let of = |w: &WaitingChunk| (w.arrived.len(), w.left + w.arrived.len() == w.slots.len());
                waiting.map_or((0, false), of)
            }
        }
    }

    /// Takes the rows that are ready. All may have been dropped: then the chunk is empty.
    pub(super) fn pop(
        &mut self,
        function: &BoundFunction,
        origins: &[OriginId],
    ) -> Result<Option<Ready>, ChunkError> {
        let next = self.next;
        let (ready, count) = match self.order {
            OutputOrder::Input => {
                let Some(waiting) = self.chunks.front_mut() else { return Ok(None) };
                let rows = Rows::Range(waiting.left..waiting.ready);
                let ready = waiting.build(function, origins, &rows, next)?;
                self.bytes -= waiting.leave(&rows);
                (ready, rows.len())
            }
            OutputOrder::Arrival => {
                let Some(number) = self.open.pop_front() else { return Ok(None) };
                let Some(waiting) = self.waiting(number) else { return Ok(None) };
                let mut rows = std::mem::take(&mut waiting.arrived);
                rows.sort_unstable();
                let rows = Rows::Each(&rows);
                let ready = waiting.build(function, origins, &rows, next)?;
                let bytes = waiting.leave(&rows);
                self.bytes -= bytes;
                (ready, rows.len())
            }
        };
        self.next = next.map(|next| next + ready.references.len() as u64);
        self.rows -= count;
        while self.chunks.front().is_some_and(|w| w.left == w.slots.len()) {
            self.bytes -= self.chunks.pop_front().map_or(0, |waiting| waiting.bytes);
            self.first += 1;
        }
        Ok(Some(ready))
    }
}

impl WaitingChunk {
    /// The number of a batch among those of the chunk, and the bytes that it adds.
    fn number(&mut self, batch: &Arc<Batch>) -> (u32, usize) {
        let last = self.batches.last().and_then(Option::as_ref);
        let known = last.is_some_and(|last| Arc::ptr_eq(&last.batch, batch));
        if !known {
            self.batches.push(Some(Held { batch: Arc::clone(batch), rows: 0 }));
            self.bytes += batch.bytes;
        }
        let number = u32::try_from(self.batches.len() - 1).unwrap_or(u32::MAX);
        (number, if known { 0 } else { batch.bytes })
    }

    /// Sets what is known of a row; false if that was known before.
    fn settle(&mut self, row: u32, outcome: Slot) -> bool {
        let Some(slot) = self.slots.get_mut(row as usize).filter(|slot| **slot == Slot::EMPTY) else {
            return false;
        };
        *slot = outcome;
        if let Some(held) = self.held(outcome) {
            held.rows += 1;
        }
        while self.slots.get(self.ready).is_some_and(|slot| *slot != Slot::EMPTY) {
            self.ready += 1;
        }
        true
    }

    fn held(&mut self, slot: Slot) -> Option<&mut Held> {
        self.batches.get_mut(slot.batch as usize)?.as_mut()
    }

    pub(super) fn batch(&self, number: usize) -> Option<&Outcomes> {
        self.batches.get(number)?.as_ref().map(|held| &held.batch.outcomes)
    }

    /// Says that rows have left, and gives the bytes of the outcomes that go with them.
    fn leave(&mut self, rows: &Rows<'_>) -> usize {
        let mut bytes = 0;
        for row in (0..rows.len()).map(|at| rows.get(at)) {
            let Some(slot) = self.slots.get(row).copied() else { continue };
            let Some(held) = self.held(slot) else { continue };
            held.rows -= 1;
            if held.rows == 0
                && let Some(gone) = self.batches.get_mut(slot.batch as usize).and_then(Option::take)
            {
                bytes += gone.batch.bytes;
            }
        }
        self.left += rows.len();
        self.bytes -= bytes;
        bytes
    }
}
