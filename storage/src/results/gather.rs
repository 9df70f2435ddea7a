//! Outcomes gathered from many blocks.

use std::sync::Arc;

use anabranch_engine::compact::compact_array;
use anabranch_engine::identity::{Digest, PacketHash};
use anabranch_engine::index::{At as _, holds, row_number};
use anabranch_engine::store::StoreFault;
use arrow::array::{Array, ArrayRef, UInt32Array, new_empty_array};
use arrow::compute::{concat, interleave, take};
use arrow::datatypes::FieldRef;

use super::blocks::{BlockReader, LoadedBlock};
use super::result_block::ResultBlock;
use super::result_ref::ResultRef;
use crate::error::arrow;

/// Outcomes in the order of the references.
#[derive(Debug)]
pub(crate) struct Gathered {
    pub(crate) hashes: Vec<PacketHash>,
    pub(crate) emitted: Vec<bool>,
    pub(crate) values: Vec<ArrayRef>,
}

/// Invariant of places of outcomes.
const ASKED: &str = "places are those of the outcomes that are gathered";

/// Invariant of numbers of blocks.
const BETWEEN: &str = "blocks lie between the first and the last of them";

/// Rows that follow each other, in a block and among the references.
#[derive(Debug, Clone, Copy)]
struct Segment {
    block: u64,
    row: u32,
    rows: usize,
}

/// With that many rows a segment, and more, columns are put together from slices.
const LONG_SEGMENT: usize = 64;

/// Blocks whose columns are referred to as they are; beyond, the rows wanted are copied out of
/// each block so that not all of them are in memory at once.
const FEW_BLOCKS: usize = 16;

/// Reads the outcomes of versions. Each block is loaded once.
///
/// Memory: the answer twice, the cache, and at most 16 blocks; the answer alone once it is there.
pub(crate) fn gather(
    reader: &BlockReader<'_>,
    outputs: &[FieldRef],
    references: &[ResultRef],
) -> Result<Gathered, StoreFault> {
    let segments = segments(references);
    let mut gathered = if segments.len() * LONG_SEGMENT <= references.len() {
        slices(reader, outputs, references.len(), &segments)?
    } else {
        scattered(reader, outputs, references)?
    };
    for column in &mut gathered.values {
        *column = compact_array(column).map_err(arrow)?;
    }
    Ok(gathered)
}

/// Reads the outcomes of the first of these versions: of as many as have at most so many bytes together, of
/// one at least. `guess` is how many these may be; where it is good, no block is loaded in vain.
pub(crate) fn gather_within(
    reader: &BlockReader<'_>,
    outputs: &[FieldRef],
    references: &[ResultRef],
    (most_bytes, guess): (usize, usize),
) -> Result<Gathered, StoreFault> {
    let fixed = outputs.iter().all(|field| field.data_type().primitive_width().is_some());
    let fitting = if fixed { references.len() } else { fitting(reader, references, (most_bytes, guess))? };
    gather(reader, outputs, references.at(0..fitting, "no more outcomes fit than there are"))
}

/// Number of the first outcomes that have at most so many bytes together; one at least. As many are examined at
/// a time as should fit, by the size of those before.
fn fitting(
    reader: &BlockReader<'_>,
    references: &[ResultRef],
    (most_bytes, guess): (usize, usize),
) -> Result<usize, StoreFault> {
    let (mut bytes, mut counted, mut portion) = (0_usize, 0_usize, guess.max(1));
    loop {
        let end = references.len().min(counted.saturating_add(portion));
        let next = references.at(counted..end, "no more outcomes are counted than there are");
        if next.is_empty() {
            return Ok(counted);
        }
        for size in sizes(reader, next)? {
            bytes = bytes.saturating_add(size);
            if bytes > most_bytes && counted > 0 {
                return Ok(counted);
            }
            counted += 1;
        }
        portion = (most_bytes.saturating_sub(bytes) / bytes.div_ceil(counted).max(1)).max(1);
    }
}

/// The bytes of each outcome. Each block is loaded once.
fn sizes(reader: &BlockReader<'_>, references: &[ResultRef]) -> Result<Vec<usize>, StoreFault> {
    let mut sizes = vec![0; references.len()];
    for group in by_block(references).chunk_by(|(a, _), (b, _)| a.block == b.block) {
        let [(first, _), ..] = group else { unreachable!("a group has a member") };
        let slice = reader.load(first.block)?;
        for (reference, asked) in group {
            let bytes = slice.row_bytes(reference.row as usize).ok_or_else(|| too_short(first.block))?;
            *sizes.at_mut(*asked, ASKED) = bytes;
        }
    }
    Ok(sizes)
}

fn segments(references: &[ResultRef]) -> Vec<Segment> {
    let mut segments: Vec<Segment> = Vec::new();
    for reference in references {
        let row = reference.row as usize;
        match segments.last_mut() {
            Some(last) if last.block == reference.block && last.row as usize + last.rows == row => {
                last.rows += 1;
            }
            _ => segments.push(Segment { block: reference.block, row: reference.row, rows: 1 }),
        }
    }
    segments
}

/// Few long spans: slices of blocks, one after the other.
fn slices(
    reader: &BlockReader<'_>,
    outputs: &[FieldRef],
    rows: usize,
    segments: &[Segment],
) -> Result<Gathered, StoreFault> {
    let mut hashes = Vec::with_capacity(rows);
    let mut emitted = Vec::with_capacity(rows);
    let mut parts: Vec<Vec<ArrayRef>> = vec![Vec::with_capacity(segments.len()); outputs.len()];
    for segment in segments {
        let slice = reader.load(segment.block)?;
        let (row, loaded) = (segment.row as usize, &slice.loaded.rows);
        if row + segment.rows > slice.rows {
            return Err(too_short(segment.block));
        }
        check(loaded, segment.block, outputs)?;
        let first = slice.offset + row;
        hashes.extend(loaded.keys(first..first + segment.rows));
        emitted.extend(loaded.all_emitted(first..first + segment.rows));
        for (parts, column) in parts.iter_mut().zip(loaded.values()) {
            parts.push(column.slice(first, segment.rows));
        }
    }
    let join = |(field, parts): (&FieldRef, Vec<ArrayRef>)| match parts.as_slice() {
        [] => Ok(new_empty_array(field.data_type())),
        [only] => Ok(Arc::clone(only)),
        parts => concat(&parts.iter().map(AsRef::as_ref).collect::<Vec<_>>()),
    };
    let values = outputs.iter().zip(parts).map(join).collect::<Result<_, _>>();
    Ok(Gathered { hashes, emitted, values: values.map_err(arrow)? })
}

/// Rows from anywhere.
fn scattered(
    reader: &BlockReader<'_>,
    outputs: &[FieldRef],
    references: &[ResultRef],
) -> Result<Gathered, StoreFault> {
    let order = by_block(references);
    let mut gathered = Gathered {
        hashes: vec![PacketHash(Digest([0; 32])); references.len()],
        emitted: vec![false; references.len()],
        values: Vec::with_capacity(outputs.len()),
    };
    let mut sources = Sources { parts: vec![Vec::new(); outputs.len()], last: None, taken: Vec::new() };
    // Blocks at most, since some may be in one pack.
    let blocks = order.chunk_by(|(a, _), (b, _)| a.block == b.block).count();
    let mut places = vec![(0, 0); references.len()];
    for group in order.chunk_by(|(a, _), (b, _)| a.block == b.block) {
        let [(first, _), ..] = group else { unreachable!("a group has a member") };
        let slice = reader.load(first.block)?;
        let loaded = &slice.loaded.rows;
        check(loaded, first.block, outputs)?;
        if sources.last.as_ref().is_none_or(|last| !Arc::ptr_eq(last, &slice.loaded)) {
            sources.close(blocks > FEW_BLOCKS)?;
            sources.last = Some(Arc::clone(&slice.loaded));
        }
        for (reference, asked) in group {
            let row = reference.row as usize;
            let key = slice.key(row).ok_or_else(|| too_short(first.block))?;
            let row = slice.offset + row;
            *gathered.hashes.at_mut(*asked, ASKED) = key;
            *gathered.emitted.at_mut(*asked, ASKED) = loaded.emitted(row);
            let place = if blocks > FEW_BLOCKS { sources.taken.len() } else { row };
            *places.at_mut(*asked, ASKED) = (sources.number(), place);
            sources.taken.push(row_number(row));
        }
    }
    sources.close(blocks > FEW_BLOCKS)?;
    for (field, parts) in outputs.iter().zip(&sources.parts) {
        gathered.values.push(merge(field, parts, &places)?);
    }
    Ok(gathered)
}

/// References with their places, those of a block together and blocks in order.
fn by_block(references: &[ResultRef]) -> Vec<(ResultRef, usize)> {
    let blocks = || references.iter().map(|reference| reference.block);
    let (first, last) = (blocks().min().unwrap_or(0), blocks().max().unwrap_or(0));
    let numbers = usize::try_from(last - first).unwrap_or(usize::MAX);
    if numbers > references.len() * 4 {
        let mut order: Vec<(ResultRef, usize)> = references.iter().copied().zip(0..).collect();
        order.sort_unstable_by_key(|(reference, _)| reference.block);
        return order;
    }
    // Few numbers for many references: counted instead of compared.
    let number = |block: u64| holds(usize::try_from(block - first).ok(), BETWEEN);
    let mut next = vec![0; numbers + 2];
    for block in blocks() {
        *next.at_mut(number(block) + 1, BETWEEN) += 1;
    }
    let mut sum = 0;
    for begin in &mut next {
        sum += *begin;
        *begin = sum;
    }
    let mut order = vec![(ResultRef { block: 0, row: 0 }, 0); references.len()];
    for (asked, reference) in references.iter().enumerate() {
        let next = next.at_mut(number(reference.block), BETWEEN);
        *order.at_mut(*next, ASKED) = (*reference, asked);
        *next += 1;
    }
    order
}

/// Columns to put rows together from.
struct Sources {
    /// By output, then by what rows are kept in.
    parts: Vec<Vec<ArrayRef>>,
    /// Block or pack that rows are taken from now.
    last: Option<Arc<LoadedBlock>>,
    /// Its rows among the references.
    taken: Vec<u32>,
}

impl Sources {
    fn number(&self) -> usize {
        self.parts.first().map_or(0, Vec::len)
    }

    /// Adds the columns of what rows were taken from, whole or only those rows.
    fn close(&mut self, only_taken: bool) -> Result<(), StoreFault> {
        let rows = UInt32Array::from(std::mem::take(&mut self.taken));
        // Before the first of them there is nothing to add.
        let Some(loaded) = self.last.take() else { return Ok(()) };
        for (parts, column) in self.parts.iter_mut().zip(loaded.rows.values()) {
            let part = if only_taken {
                // Strings would keep the bytes of the whole block.
                take(column, &rows, None).and_then(|taken| compact_array(&taken))
            } else {
                Ok(Arc::clone(column))
            };
            parts.push(part.map_err(arrow)?);
        }
        Ok(())
    }
}

fn too_short(block: u64) -> StoreFault {
    StoreFault::damaged(format!("result block {block}"), "it is too short")
}

/// Rows of several arrays.
fn merge(field: &FieldRef, parts: &[ArrayRef], places: &[(usize, usize)]) -> Result<ArrayRef, StoreFault> {
    if parts.is_empty() {
        return Ok(new_empty_array(field.data_type()));
    }
    let parts: Vec<&dyn Array> = parts.iter().map(AsRef::as_ref).collect();
    interleave(&parts, places).map_err(arrow)
}

fn check(block: &ResultBlock, id: u64, outputs: &[FieldRef]) -> Result<(), StoreFault> {
    let types = outputs.iter().map(|f| f.data_type());
    if block.values().iter().map(Array::data_type).eq(types) {
        return Ok(());
    }
    Err(StoreFault::damaged(format!("result block {id}"), "its outputs are not those of its function"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn references_come_by_block_and_none_is_lost(
            first in prop::sample::select(vec![0, 1, u64::MAX - 2_000]),
            blocks in proptest::collection::vec(prop_oneof![0_u64..40, 0_u64..2_000], 0..60),
        ) {
            let references: Vec<ResultRef> =
                (0..).zip(&blocks).map(|(row, block)| ResultRef { block: first + block, row }).collect();
            let order = by_block(&references);
            prop_assert!(order.is_sorted_by_key(|(reference, _)| reference.block));
            let mut seen = vec![false; references.len()];
            for (reference, asked) in order {
                prop_assert_eq!(references[asked], reference);
                prop_assert!(!std::mem::replace(&mut seen[asked], true));
            }
            prop_assert!(seen.into_iter().all(|seen| seen));
        }
    }
}
