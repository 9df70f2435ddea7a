//! Rows that leave: their input columns beside the outcomes of their packets.

use std::ops::Range;
use std::sync::Arc;

use anabranch_engine::chunk::{Chunk, ChunkError};
use anabranch_engine::identity::{PacketHash, ResultKey};
use anabranch_engine::index::{At as _, row_number};
use anabranch_engine::provenance::{
    OriginColumn, OriginId, Positions, Provenance, ProvenanceColumn, output_position,
};
use anabranch_engine::store::{InputLineage, ResultId};
use arrow::array::{Array, ArrayRef, new_empty_array, new_null_array};
use arrow::compute::interleave;
use arrow::datatypes::DataType;

use super::super::bound::BoundFunction;
use super::reorder_buffer::{OutcomeSlot, WaitingChunk};

/// Rows that leave the buffer, without those that were dropped.
pub(in crate::function) struct LeavingRows {
    pub(in crate::function) input: Chunk,
    pub(in crate::function) outputs: Vec<ArrayRef>,
    hashes: LeavingHashes,
    /// Version of each row's outcome; of rows without an outcome there is none.
    pub(in crate::function) references: Vec<ResultId>,
    pub(in crate::function) dropped: usize,
    /// For each row, false if its outputs are unknown; none if all are known.
    known: Option<Vec<bool>>,
    /// Rows that have left the buffer, those included that were dropped or left out.
    pub(super) total: usize,
}

/// The packet hashes of rows that leave.
enum LeavingHashes {
    Shared(Arc<Vec<PacketHash>>, Range<usize>),
    Picked(Vec<PacketHash>),
}

impl LeavingHashes {
    fn as_slice(&self) -> &[PacketHash] {
        match self {
            Self::Shared(hashes, range) => hashes.at(range.clone(), "each row of a chunk is hashed"),
            Self::Picked(hashes) => hashes,
        }
    }
}

/// Output rows, and what a recording keeps of them.
pub(in crate::function) struct AssembledRows {
    pub(in crate::function) chunk: Chunk,
    pub(in crate::function) references: Vec<ResultId>,
    pub(in crate::function) dropped: usize,
    /// Provenance of the columns that the function took.
    pub(in crate::function) taken: InputLineage,
}

/// Some rows of a chunk, ascending.
pub(super) enum RowSelection<'a> {
    Range(Range<usize>),
    Each(&'a [u32]),
}

impl<'a> RowSelection<'a> {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Range(range) => range.len(),
            Self::Each(rows) => rows.len(),
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = usize> + use<'a> {
        let (range, rows) = match self {
            Self::Range(range) => (range.clone(), &[][..]),
            Self::Each(rows) => (0..0, *rows),
        };
        range.chain(rows.iter().map(|row| *row as usize))
    }
}

impl LeavingRows {
    /// The output rows of a function; the first has that number, if they are recorded.
    ///
    /// Outputs that are unknown have no origin.
    pub(in crate::function) fn assemble(
        self,
        function: &BoundFunction,
        origins: &[OriginId],
        number: Option<u64>,
    ) -> Result<AssembledRows, ChunkError> {
        let Self { input, outputs, hashes, references, dropped, known, .. } = self;
        let rows = input.rows();
        let (tags, packets, provenance) = input.into_parts();
        let keys = ResultKey::shorts(&function.stored.fingerprint, hashes.as_slice());
        let keyed = (0_u64..).zip(keys);
        let keys = keyed.map(|(at, key)| output_position(key, number.map(|first| first + at))).collect();
        let positions = Positions::keys(keys);
        let source = |column: &usize| provenance.sources.at(*column, "a taken column has provenance").clone();
        let sources = function.taken.iter().map(source).collect();
        let taken = InputLineage { names: Arc::clone(&function.signature.takes), sources };
        let mut sources = if function.keep { provenance.sources } else { Vec::new() };
        sources.extend(origins.iter().map(|origin| match &known {
            None => ProvenanceColumn::constant(*origin, positions.clone()),
            Some(known) => {
                let origins = known.iter().map(|known| if *known { *origin } else { OriginId::NULL });
                ProvenanceColumn::of(OriginColumn::compact(origins.collect()), positions.clone())
            }
        }));
        let mut columns = if function.keep { packets } else { Vec::new() };
        columns.extend(outputs);
        let provenance = Provenance { tags: provenance.tags, sources };
        let schema = Arc::clone(&function.contract.schema);
        let chunk = Chunk::new(schema, rows, tags, columns, provenance)?;
        Ok(AssembledRows { chunk, references, dropped, taken })
    }
}

impl WaitingChunk {
    /// Rows that leave.
    pub(super) fn gather(
        &self,
        types: &[DataType],
        rows: &RowSelection<'_>,
    ) -> Result<LeavingRows, ChunkError> {
        match self.contiguous(rows) {
            Some(leaving) => Ok(leaving),
            None => self.picked(types, rows),
        }
    }

    /// Rows that follow on each other in one batch, as they do where nothing was dropped, without a copy.
    fn contiguous(&self, rows: &RowSelection<'_>) -> Option<LeavingRows> {
        let RowSelection::Range(range) = rows else { return None };
        let slots = self.slots.at(range.clone(), "rows that leave are in their chunk");
        let first = slots.first().copied().filter(|first| first.is_in_batch())?;
        let (outcomes, start) = (self.outcomes(first.batch as usize), first.row as usize);
        let follow =
            (first.row..).zip(slots).all(|(row, slot)| *slot == OutcomeSlot { batch: first.batch, row });
        let places = start..start + slots.len();
        let emitted = |places| outcomes.emitted.at(places, "each row of a batch is emitted or dropped");
        if !follow || !emitted(places.clone()).iter().all(|emitted| *emitted) {
            return None;
        }
        Some(LeavingRows {
            input: self.chunk.slice(range.start, range.len()),
            outputs: outcomes.values.iter().map(|column| column.slice(start, places.len())).collect(),
            hashes: LeavingHashes::Shared(Arc::clone(&self.hashes), range.clone()),
            references: outcomes.references.at(places, "each row of a batch has a version").to_vec(),
            dropped: 0,
            known: None,
            total: range.len(),
        })
    }

    /// Rows whose outcomes are looked at one by one.
    fn picked(&self, types: &[DataType], selected: &RowSelection<'_>) -> Result<LeavingRows, ChunkError> {
        let total = selected.len();
        let mut rows: Vec<u32> = Vec::with_capacity(total);
        let mut picks: Vec<Option<(usize, usize)>> = Vec::with_capacity(total);
        let mut references = Vec::with_capacity(total);
        let mut hashes = Vec::with_capacity(total);
        let (mut dropped, mut unknown) = (0, false);
        for row in selected.iter() {
            let slot = *self.slots.at(row, "a row is in its chunk");
            if slot == OutcomeSlot::LEFT_OUT {
                continue;
            }
            if slot == OutcomeSlot::UNKNOWN {
                unknown = true;
                picks.push(None);
            } else {
                let (batch, place) = (slot.batch as usize, slot.row as usize);
                let outcomes = self.outcomes(batch);
                if !outcomes.emitted.at(place, "each row of a batch is emitted or dropped") {
                    dropped += 1;
                    continue;
                }
                picks.push(Some((batch, place)));
                references.push(*outcomes.references.at(place, "each row of a batch has a version"));
            }
            rows.push(row_number(row));
            hashes.push(*self.hashes.at(row, "each row of a chunk is hashed"));
        }
        let known = unknown.then(|| picks.iter().map(Option::is_some).collect());
        let input = self.input(&rows)?;
        let outputs = self.outputs(types, &picks)?;
        let hashes = LeavingHashes::Picked(hashes);
        Ok(LeavingRows { input, outputs, hashes, references, dropped, known, total })
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

    /// Columns of the picked outcomes; null for rows without one.
    fn outputs(
        &self,
        types: &[DataType],
        picks: &[Option<(usize, usize)>],
    ) -> Result<Vec<ArrayRef>, ChunkError> {
        let values = |batch: usize, output: usize| {
            self.outcomes(batch).values.at(output, "an outcome has a value for each output")
        };
        if let Some((batch, start)) = run_of(picks) {
            return Ok((0..types.len()).map(|o| values(batch, o).slice(start, picks.len())).collect());
        }
        // Only batches that are needed take part, by new numbers; the first stands for nulls where there are any.
        let mut needed: Vec<usize> = Vec::new();
        let mut numbers = vec![usize::MAX; self.batches.len()];
        let nulls = usize::from(picks.contains(&None));
        let mut renumber = |pick: &Option<(usize, usize)>| {
            let Some((batch, row)) = *pick else { return (0, 0) };
            let number = numbers.at_mut(batch, "an outcome lies in a batch of its chunk");
            if *number == usize::MAX {
                *number = nulls + needed.len();
                needed.push(batch);
            }
            (*number, row)
        };
        let picks: Vec<(usize, usize)> = picks.iter().map(&mut renumber).collect();
        let column = |(output, data_type): (usize, &DataType)| {
            let null = new_null_array(data_type, nulls);
            let mut columns: Vec<&dyn Array> = Vec::with_capacity(nulls + needed.len());
            columns.extend((nulls > 0).then_some(&*null));
            columns.extend(needed.iter().map(|batch| &**values(*batch, output)));
            if columns.is_empty() {
                return Ok(new_empty_array(data_type));
            }
            Ok(interleave(&columns, &picks)?)
        };
        types.iter().enumerate().map(column).collect()
    }
}

/// The batch and the first row, where the picks are rows of one batch that follow on each other.
fn run_of(picks: &[Option<(usize, usize)>]) -> Option<(usize, usize)> {
    let (batch, start) = (*picks.first()?)?;
    let follows = picks.iter().enumerate().all(|(place, pick)| *pick == Some((batch, start + place)));
    follows.then_some((batch, start))
}
