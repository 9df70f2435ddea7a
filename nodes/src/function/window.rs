//! Rows that wait for their outcomes, in input order.

use std::collections::VecDeque;
use std::sync::Arc;

use anabranch_engine::chunk::{Chunk, ChunkError};
use anabranch_engine::identity::{PacketHash, ResultKey};
use anabranch_engine::provenance::{OriginId, Positions, Provenance, ProvenanceColumn, output_position};
use anabranch_engine::store::{Outcomes, ResultRef, Taken};
use arrow::array::{Array, ArrayRef};
use arrow::compute::interleave;

use super::bound::BoundFunction;

/// A row of the window: number of its chunk, row in the chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) chunk: u64,
    pub(super) row: u32,
}

/// Where the outcome of a row lies: which batch of the chunk's, which row in it.
#[derive(Debug, Clone, Copy)]
struct Slot {
    batch: u32,
    row: u32,
}

/// A chunk of input whose rows wait.
#[derive(Debug)]
struct Waiting {
    chunk: Chunk,
    hashes: Vec<PacketHash>,
    slots: Vec<Option<Slot>>,
    batches: Vec<Arc<Outcomes>>,
    /// Rows from the front that have left.
    left: usize,
    /// Rows from the front that have an outcome.
    ready: usize,
}

/// Rows ready to leave, and the versions they refer to.
pub(super) struct Ready {
    pub(super) chunk: Chunk,
    pub(super) references: Vec<ResultRef>,
    pub(super) dropped: usize,
    /// Where the packets of the rows came from.
    pub(super) taken: Taken,
}

/// The reorder window: chunks in the order in which they came, and what is known of their rows.
#[derive(Debug, Default)]
pub(super) struct Window {
    chunks: VecDeque<Waiting>,
    /// Number of the first chunk.
    first: u64,
    rows: usize,
    /// Number of the next row that leaves, if these are recorded.
    next: Option<u64>,
}

impl Window {
    /// An empty window; rows that leave are numbered if they are recorded.
    pub(super) fn numbered(recorded: bool) -> Self {
        Self { next: recorded.then_some(0), ..Self::default() }
    }

    /// Rows that have not left.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    pub(super) fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// Appends a chunk; gives its number.
    pub(super) fn push(&mut self, chunk: Chunk, hashes: Vec<PacketHash>) -> u64 {
        let rows = chunk.rows();
        self.rows += rows;
        self.chunks.push_back(Waiting {
            chunk,
            hashes,
            slots: vec![None; rows],
            batches: Vec::new(),
            left: 0,
            ready: 0,
        });
        self.first + self.chunks.len() as u64 - 1
    }

    /// Says where the outcomes of rows lie: each place with its row in the batch.
    pub(super) fn fill(&mut self, batch: &Arc<Outcomes>, places: impl IntoIterator<Item = (Place, u32)>) {
        for (place, row) in places {
            let at = place.chunk.checked_sub(self.first).and_then(|n| usize::try_from(n).ok());
            let Some(waiting) = at.and_then(|at| self.chunks.get_mut(at)) else { continue };
            if waiting.batches.last().is_none_or(|last| !Arc::ptr_eq(last, batch)) {
                waiting.batches.push(Arc::clone(batch));
            }
            let slot = Slot { batch: u32::try_from(waiting.batches.len() - 1).unwrap_or(u32::MAX), row };
            if let Some(empty) = waiting.slots.get_mut(place.row as usize) {
                *empty = Some(slot);
            }
            while waiting.slots.get(waiting.ready).is_some_and(Option::is_some) {
                waiting.ready += 1;
            }
        }
    }

    /// Rows at the front that could leave now, and whether they are all of their chunk's.
    pub(super) fn front(&self) -> (usize, bool) {
        self.chunks.front().map_or((0, false), |w| (w.ready - w.left, w.ready == w.slots.len()))
    }

    /// Takes the rows at the front that are ready. All may have been dropped: then the chunk is
    /// empty.
    pub(super) fn pop(
        &mut self,
        function: &BoundFunction,
        origins: &[OriginId],
    ) -> Result<Option<Ready>, ChunkError> {
        let Some(waiting) = self.chunks.front_mut() else { return Ok(None) };
        let range = waiting.left..waiting.ready;
        let ready = waiting.build(function, origins, range.clone(), self.next)?;
        self.next = self.next.map(|next| next + ready.references.len() as u64);
        self.rows -= range.len();
        waiting.left = range.end;
        if waiting.left == waiting.slots.len() {
            self.chunks.pop_front();
            self.first += 1;
        }
        Ok(Some(ready))
    }
}

impl Waiting {
    fn build(
        &self,
        function: &BoundFunction,
        origins: &[OriginId],
        range: std::ops::Range<usize>,
        number: Option<u64>,
    ) -> Result<Ready, ChunkError> {
        let total = range.len();
        let mut rows: Vec<u32> = Vec::with_capacity(total);
        let mut picks: Vec<(usize, usize)> = Vec::with_capacity(total);
        let mut references = Vec::with_capacity(total);
        let mut keys = Vec::with_capacity(total);
        for row in range {
            let Some(slot) = self.slots.get(row).copied().flatten() else { continue };
            let (batch, at) = (slot.batch as usize, slot.row as usize);
            let Some(outcomes) = self.batches.get(batch) else { continue };
            if !outcomes.emitted.get(at).copied().unwrap_or(false) {
                continue;
            }
            rows.push(u32::try_from(row).unwrap_or(u32::MAX));
            picks.push((batch, at));
            references.extend(outcomes.references.get(at));
            if let Some(hash) = self.hashes.get(row) {
                let key = ResultKey::of(&function.stored.fingerprint, hash).short();
                keys.push(output_position(key, number.map(|first| first + keys.len() as u64)));
            }
        }
        let dropped = total - rows.len();
        let input = self.input(&rows)?;
        let outputs = self.outputs(function.stored.outputs.len(), &picks)?;
        let (tags, packets, provenance) = input.into_parts();
        let positions = Positions::keys(keys);
        let taken = function.taken.iter().filter_map(|at| provenance.sources.get(*at)).cloned();
        let taken = Taken { names: Arc::clone(&function.signature.takes), sources: taken.collect() };
        let mut sources = if function.keep { provenance.sources } else { Vec::new() };
        sources.extend(origins.iter().map(|o| ProvenanceColumn::constant(*o, positions.clone())));
        let mut columns = if function.keep { packets } else { Vec::new() };
        columns.extend(outputs);
        let provenance = Provenance { tags: provenance.tags, sources };
        let schema = Arc::clone(&function.contract.schema);
        Ok(Ready {
            chunk: Chunk::new(schema, rows.len(), tags, columns, provenance)?,
            references,
            dropped,
            taken,
        })
    }

    /// The named input rows, without a copy where they follow on each other.
    fn input(&self, rows: &[u32]) -> Result<Chunk, ChunkError> {
        match (rows.first(), rows.last()) {
            (Some(first), Some(last)) if (last - first) as usize + 1 == rows.len() => {
                Ok(self.chunk.slice(*first as usize, rows.len()))
            }
            _ => self.chunk.take(rows),
        }
    }

    fn outputs(&self, count: usize, picks: &[(usize, usize)]) -> Result<Vec<ArrayRef>, ChunkError> {
        (0..count)
            .map(|output| {
                let columns: Vec<&dyn Array> =
                    self.batches.iter().filter_map(|b| b.values.get(output).map(AsRef::as_ref)).collect();
                if let Some((batch, start)) = run_of(picks)
                    && let Some(column) = columns.get(batch)
                {
                    return Ok(column.slice(start, picks.len()));
                }
                if columns.is_empty() {
                    let column = self.batches.first().and_then(|b| b.values.get(output)).cloned();
                    return column.ok_or_else(|| ChunkError::Arrow(no_outcome()));
                }
                Ok(interleave(&columns, picks)?)
            })
            .collect()
    }
}

fn no_outcome() -> arrow::error::ArrowError {
    arrow::error::ArrowError::ComputeError("a row left before its outcome came".to_owned())
}

/// The batch and the first row, where the picks are rows of one batch that follow on each other.
fn run_of(picks: &[(usize, usize)]) -> Option<(usize, usize)> {
    let (batch, start) = *picks.first()?;
    let follows = picks.iter().enumerate().all(|(at, pick)| *pick == (batch, start + at));
    follows.then_some((batch, start))
}
