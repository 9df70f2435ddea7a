//! Rows of the window that leave: what came in, beside what was computed.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use anabranch_engine::chunk::{Chunk, ChunkError};
use anabranch_engine::identity::{PacketHash, ResultKey};
use anabranch_engine::provenance::{OriginId, Positions, Provenance, ProvenanceColumn, output_position};
use anabranch_engine::store::{InputLineage, ResultRef};
use arrow::array::{Array, ArrayRef, new_empty_array};
use arrow::compute::interleave;
use arrow::datatypes::DataType;

use super::super::bound::BoundFunction;
use super::window::{Slot, WaitingChunk};

/// Rows ready to leave, and the versions they refer to.
pub(super) struct Ready {
    pub(super) chunk: Chunk,
    pub(super) references: Vec<ResultRef>,
    pub(super) dropped: usize,
    /// Where the packets of the rows came from.
    pub(super) taken: InputLineage,
}

/// Rows that leave, without those that were dropped: what came in, what was computed, and of what.
struct Leaving<'a> {
    input: Chunk,
    outputs: Vec<ArrayRef>,
    hashes: Cow<'a, [PacketHash]>,
    references: Vec<ResultRef>,
    dropped: usize,
}

/// Some rows of a chunk, ascending.
pub(super) enum Rows<'a> {
    Range(Range<usize>),
    Each(&'a [u32]),
}

impl Rows<'_> {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Range(range) => range.len(),
            Self::Each(rows) => rows.len(),
        }
    }

    pub(super) fn get(&self, at: usize) -> usize {
        match self {
            Self::Range(range) => range.start + at,
            Self::Each(rows) => rows.get(at).map_or(usize::MAX, |row| *row as usize),
        }
    }
}

impl WaitingChunk {
    /// Puts rows together that leave; the first has that number, if they are recorded.
    pub(super) fn build(
        &self,
        function: &BoundFunction,
        origins: &[OriginId],
        from: &Rows<'_>,
        number: Option<u64>,
    ) -> Result<Ready, ChunkError> {
        let leaving = match self.in_line(from) {
            Some(leaving) => leaving,
            None => self.gathered(&function.signature.outputs, from)?,
        };
        let Leaving { input, outputs, hashes, references, dropped } = leaving;
        let rows = input.rows();
        let (tags, packets, provenance) = input.into_parts();
        let keys = ResultKey::shorts(&function.stored.fingerprint, &hashes);
        let keyed = (0_u64..).zip(keys);
        let keys = keyed.map(|(at, key)| output_position(key, number.map(|first| first + at))).collect();
        let positions = Positions::keys(keys);
        let taken = function.taken.iter().filter_map(|at| provenance.sources.get(*at)).cloned();
        let taken = InputLineage { names: Arc::clone(&function.signature.takes), sources: taken.collect() };
        let mut sources = if function.keep { provenance.sources } else { Vec::new() };
        sources.extend(origins.iter().map(|o| ProvenanceColumn::constant(*o, positions.clone())));
        let mut columns = if function.keep { packets } else { Vec::new() };
        columns.extend(outputs);
        let provenance = Provenance { tags: provenance.tags, sources };
        let schema = Arc::clone(&function.contract.schema);
        let chunk = Chunk::new(schema, rows, tags, columns, provenance)?;
        Ok(Ready { chunk, references, dropped, taken })
    }

    /// Rows that follow on each other in one batch, as they do where nothing was dropped, without a copy.
    fn in_line(&self, from: &Rows<'_>) -> Option<Leaving<'_>> {
        let Rows::Range(range) = from else { return None };
        let (slots, hashes) = (self.slots.get(range.clone())?, self.hashes.get(range.clone())?);
        let first = *slots.first()?;
        let (outcomes, start) = (self.batch(first.batch as usize)?, first.row as usize);
        let rows = start..start + slots.len();
        let follow = (first.row..).zip(slots).all(|(row, slot)| *slot == Slot { batch: first.batch, row });
        if !follow || !outcomes.emitted.get(rows.clone())?.iter().all(|emitted| *emitted) {
            return None;
        }
        Some(Leaving {
            input: self.chunk.slice(range.start, range.len()),
            outputs: outcomes.values.iter().map(|column| column.slice(start, rows.len())).collect(),
            hashes: Cow::Borrowed(hashes),
            references: outcomes.references.get(rows)?.to_vec(),
            dropped: 0,
        })
    }

    /// Rows as they are found one by one.
    fn gathered(&self, types: &[DataType], from: &Rows<'_>) -> Result<Leaving<'_>, ChunkError> {
        let total = from.len();
        let mut rows: Vec<u32> = Vec::with_capacity(total);
        let mut picks: Vec<(usize, usize)> = Vec::with_capacity(total);
        let mut references = Vec::with_capacity(total);
        let mut hashes = Vec::with_capacity(total);
        let mut dropped = 0;
        for row in (0..total).map(|at| from.get(at)) {
            let Some(slot) = self.slots.get(row) else { continue };
            let (batch, at) = (slot.batch as usize, slot.row as usize);
            let Some(outcomes) = self.batch(batch) else { continue };
            if !outcomes.emitted.get(at).copied().unwrap_or(false) {
                dropped += 1;
                continue;
            }
            rows.push(u32::try_from(row).unwrap_or(u32::MAX));
            picks.push((batch, at));
            references.extend(outcomes.references.get(at));
            hashes.extend(self.hashes.get(row));
        }
        let input = self.input(&rows)?;
        let outputs = self.outputs(types, picks)?;
        Ok(Leaving { input, outputs, hashes: Cow::Owned(hashes), references, dropped })
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

    fn outputs(
        &self,
        types: &[DataType],
        mut picks: Vec<(usize, usize)>,
    ) -> Result<Vec<ArrayRef>, ChunkError> {
        let run = run_of(&picks);
        let values = |number: usize, output: usize| self.batch(number).and_then(|b| b.values.get(output));
        // Only batches that are needed take part, by new numbers.
        let mut needed: Vec<usize> = Vec::new();
        if run.is_none() {
            let mut numbers = vec![usize::MAX; self.batches.len()];
            for (batch, _) in &mut picks {
                let Some(number) = numbers.get_mut(*batch) else { continue };
                if *number == usize::MAX {
                    *number = needed.len();
                    needed.push(*batch);
                }
                *batch = *number;
            }
        }
        let column = |(output, data_type): (usize, &DataType)| {
            if let Some(column) = run.and_then(|(batch, _)| values(batch, output)) {
                return Ok(column.slice(run.map_or(0, |(_, start)| start), picks.len()));
            }
            let columns: Vec<&dyn Array> =
                needed.iter().filter_map(|batch| values(*batch, output)).map(AsRef::as_ref).collect();
            if columns.is_empty() {
                return Ok(new_empty_array(data_type));
            }
            Ok(interleave(&columns, &picks)?)
        };
        types.iter().enumerate().map(column).collect()
    }
}

/// The batch and the first row, where the picks are rows of one batch that follow on each other.
fn run_of(picks: &[(usize, usize)]) -> Option<(usize, usize)> {
    let (batch, start) = *picks.first()?;
    let follows = picks.iter().enumerate().all(|(at, pick)| *pick == (batch, start + at));
    follows.then_some((batch, start))
}
