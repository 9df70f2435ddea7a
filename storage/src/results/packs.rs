//! Packs: small blocks of results put together, under their own numbers.
//!
//! A slow function commits a few packets at a time, each in a block of its own. Once there are
//! many, their rows are copied into a pack that lists the rows of each block, and the blocks
//! are removed. A version keeps its name (block, row) for good, so that recordings, tables of other
//! processes and the order of versions stay as they are: a reader that does not find a block reads
//! the pack around it.

use std::ops::ControlFlow::{Break, Continue};
use std::sync::Arc;

use anabranch_engine::identity::PacketHash;
use anabranch_engine::index::{At as _, holds};
use anabranch_engine::store::StoreFault;
use arrow::array::ArrayRef;
use arrow::compute::concat;
use arrow::datatypes::FieldRef;

use super::blocks::{BlockReader, BlockSlice, LoadedBlock, ResultCache};
use crate::block::{BLOCK_BYTES, BLOCK_ROWS};
use crate::catalog::query::{Filter, Query};
use crate::catalog::reads::Reads as _;
use crate::catalog::tables::{self, RESULT_BLOCKS, RESULT_PACKS};
use crate::catalog::{Rows, Transaction};
use crate::error::arrow;
use crate::results::result_block::{EncodedResults, ResultBlock};

/// Rows of a block that counts as small, at most.
#[expect(clippy::cast_possible_truncation, reason = "it is 2,048")]
pub(crate) const SMALL_ROWS: usize = tables::SMALL_ROWS as usize;

/// Bytes of a block from which on it does not count as small, however few rows it has.
pub(crate) const LARGE_BYTES: usize = 128 << 10;

/// A pack with more rows is left as it is; one with fewer is merged into the next.
const FULL_ROWS: usize = BLOCK_ROWS / 2;

/// Bytes of an entry: block and rows.
const ENTRY_BYTES: usize = 8 + 4;

/// A block within a pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PackEntry {
    pub(crate) block: u64,
    /// Its first row in the pack.
    pub(crate) offset: usize,
    pub(crate) rows: u32,
}

/// Number of a pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pack(pub(crate) u64);

/// The rows of a block in what was read, if that is a pack with it.
pub(crate) fn locate(loaded: &Arc<LoadedBlock>, block: u64) -> Option<BlockSlice> {
    let found = loaded.entries.binary_search_by_key(&block, |entry| entry.block).ok()?;
    let entry = loaded.entries.at(found, "what a search finds is there");
    Some(BlockSlice { loaded: Arc::clone(loaded), offset: entry.offset, rows: entry.rows as usize })
}

/// Reads the entries of a pack; none if the blob is torn, or has a number that no block has.
pub(crate) fn entries(blob: &[u8]) -> Option<Vec<PackEntry>> {
    let (entries, []) = blob.as_chunks::<ENTRY_BYTES>() else { return None };
    let mut offset = 0;
    let mut read = Vec::with_capacity(entries.len());
    for entry in entries {
        let (block, rows) = entry.split_first_chunk::<8>()?;
        let rows = u32::from_le_bytes(*rows.first_chunk()?);
        read.push(PackEntry { block: u64::from_le_bytes(*block), offset, rows });
        offset += rows as usize;
    }
    let are_blocks = read.last().is_none_or(|last| i64::try_from(last.block).is_ok());
    (are_blocks && read.is_sorted_by_key(|entry| entry.block)).then_some(read)
}

fn blob(entries: &[PackEntry]) -> Vec<u8> {
    let bytes = |entry: &PackEntry| entry.block.to_le_bytes().into_iter().chain(entry.rows.to_le_bytes());
    entries.iter().flat_map(bytes).collect()
}

impl Pack {
    /// The pack of a function in whose span a block lies; the block need not be in it.
    pub(crate) fn around(rows: &dyn Rows, function: i64, block: i64) -> Result<Option<Self>, StoreFault> {
        let before = Query::of(&RESULT_PACKS, &["id"]).equal("function", function);
        let before = before.up_to("first_block", block).descending("first_block").first(1);
        rows.one(&before, |row| row.unsigned(0).map(Self))
    }

    /// The rows, verified.
    pub(crate) fn read(self, rows: &dyn Rows) -> Result<LoadedBlock, StoreFault> {
        let damaged = |found: &str| StoreFault::damaged(format!("result pack {}", self.0), found);
        let by_id = Query::of(&RESULT_PACKS, &["pieces", "prefixes", "data", "checksum"]).equal("id", self.0);
        let read = rows.one(&by_id, |row| {
            let (blob, prefixes, data) = (row.bytes(0)?, row.bytes(1)?.to_vec(), row.bytes(2)?.to_vec());
            let rows =
                ResultBlock::read(blob, prefixes, data, row.bytes(3)?).map_err(|found| damaged(&found))?;
            let entries = entries(blob).ok_or_else(|| damaged("its entries are torn"))?;
            Ok(LoadedBlock { rows, entries })
        })?;
        let read = read.ok_or_else(|| damaged("it is not in the store"))?;
        if read.entries.last().is_none_or(|last| last.offset + last.rows as usize != read.rows.rows()) {
            return Err(damaged("its entries have another number of rows"));
        }
        Ok(read)
    }
}

/// Blocks to put together.
#[derive(Debug, Default)]
struct PackPlan {
    /// The function's last pack, if it has room.
    pack: Option<(Pack, usize)>,
    /// Small blocks after the last pack, in order.
    blocks: Vec<u64>,
}

/// Puts small blocks of a function together if there are `least` of them, or rows for a whole pack;
/// returns true if it did. Within a transaction of the writer.
///
/// Memory: twice the rows of a pack.
pub(crate) fn put_together(
    transaction: &dyn Transaction,
    cache: &ResultCache,
    function: i64,
    least: usize,
) -> Result<bool, StoreFault> {
    let Some(plan) = plan(transaction, function, least)? else { return Ok(false) };
    let mut rows = PackBuilder::default();
    if let Some((pack, _)) = plan.pack {
        let loaded = Arc::new(pack.read(transaction)?);
        let all = loaded.rows.rows();
        rows.add(&BlockSlice { loaded: Arc::clone(&loaded), offset: 0, rows: all }, &loaded.entries)?;
    }
    let reader = BlockReader::within(transaction, cache, function, i64::MAX.unsigned_abs());
    let mut gone = Vec::with_capacity(plan.blocks.len());
    for block in plan.blocks {
        let slice = reader.load(block)?;
        // Half of the bytes are left by a pack that has room, and one block alone may be as large as it is.
        if !gone.is_empty() && rows.bytes + slice.loaded.rows.bytes() > BLOCK_BYTES {
            break;
        }
        let entry_rows = u32::try_from(slice.rows).map_err(|_| {
            StoreFault::damaged(format!("result block {block}"), "found more rows than a block has")
        })?;
        rows.add(&slice, &[PackEntry { block, offset: 0, rows: entry_rows }])?;
        gone.push(block);
    }
    rows.write(transaction, function)?;
    remove(transaction, plan.pack.map(|(pack, _)| pack), &gone)?;
    Ok(!gone.is_empty())
}

fn plan(rows: &dyn Rows, function: i64, least: usize) -> Result<Option<PackPlan>, StoreFault> {
    let newest = Query::of(&RESULT_PACKS, &["id", "rows", "last_block"]).lengths(&["data"]);
    let newest = newest.equal("function", function).descending("first_block").first(1);
    let newest =
        rows.one(&newest, |row| Ok((row.unsigned(0)?, row.small(1)?, row.number(2)?, row.unsigned(3)?)))?;
    let has_room = |rows: u32, bytes: u64| rows as usize <= FULL_ROWS && bytes <= BLOCK_BYTES as u64 / 2;
    let pack = newest.filter(|(_, rows, _, bytes)| has_room(*rows, *bytes));
    let pack = pack.map(|(id, rows, ..)| (Pack(id), rows as usize));
    let after = newest.map_or(0, |(_, _, last, _)| last);
    let small = small_blocks(rows, function, after)?;
    let mut plan = PackPlan { pack, blocks: Vec::new() };
    let mut rows = pack.map_or(0, |(_, rows)| rows);
    for (id, more) in &small {
        if rows + *more as usize > BLOCK_ROWS {
            break;
        }
        rows += *more as usize;
        plan.blocks.push(*id);
    }
    let whole = plan.blocks.len() < small.len();
    // One block alone would only change its place.
    let several = plan.blocks.len() + usize::from(plan.pack.is_some()) > 1;
    Ok((several && (whole || small.len() >= least)).then_some(plan))
}

/// Small blocks after another, in order, each with its rows: more than a pack takes.
fn small_blocks(rows: &dyn Rows, function: i64, after: i64) -> Result<Vec<(u64, u32)>, StoreFault> {
    let small = Query::of(&RESULT_BLOCKS, &["id", "rows"]).lengths(&["data"]).equal("function", function);
    let small = small.small("rows", tables::SMALL_ROWS).after("id", after).ascending("id");
    let mut blocks = Vec::new();
    rows.each(&small, |row| {
        if row.unsigned(2)? < LARGE_BYTES as u64 {
            blocks.push((row.unsigned(0)?, row.small(1)?));
        }
        Ok::<_, StoreFault>(if blocks.len() < BLOCK_ROWS { Continue(()) } else { Break(()) })
    })?;
    Ok(blocks)
}

fn remove(transaction: &dyn Transaction, pack: Option<Pack>, blocks: &[u64]) -> Result<(), StoreFault> {
    for block in blocks {
        transaction.delete(&RESULT_BLOCKS, &Filter::of("id", *block))?;
    }
    if let Some(Pack(pack)) = pack {
        transaction.delete(&RESULT_PACKS, &Filter::of("id", pack))?;
    }
    Ok(())
}

/// Invariant of what a pack is made of.
const ENTRIES: &str = "a pack is made of a block at least";

/// Rows that come together.
#[derive(Debug, Default)]
struct PackBuilder {
    keys: Vec<PacketHash>,
    emitted: Vec<bool>,
    values: Vec<Vec<ArrayRef>>,
    outputs: Vec<FieldRef>,
    entries: Vec<PackEntry>,
    bytes: usize,
}

impl PackBuilder {
    fn rows(&self) -> usize {
        self.keys.len()
    }

    fn add(&mut self, slice: &BlockSlice, entries: &[PackEntry]) -> Result<(), StoreFault> {
        let before = self.rows();
        let loaded = &slice.loaded.rows;
        let types = || loaded.values().iter().map(|column| column.data_type());
        if self.entries.is_empty() {
            self.outputs = loaded.outputs().to_vec();
            self.values = vec![Vec::new(); self.outputs.len()];
        } else if !self.outputs.iter().map(|field| field.data_type()).eq(types()) {
            let place = format!("result block {}", entries.at(0, ENTRIES).block);
            return Err(StoreFault::damaged(&place, "its outputs are not those of its function"));
        }
        let rows = slice.offset..slice.offset + slice.rows;
        self.keys.extend(loaded.keys(rows.clone()));
        self.emitted.extend(rows.map(|row| loaded.emitted(row)));
        for (parts, column) in self.values.iter_mut().zip(loaded.values()) {
            parts.push(column.slice(slice.offset, slice.rows));
        }
        self.entries
            .extend(entries.iter().map(|entry| PackEntry { offset: before + entry.offset, ..*entry }));
        self.bytes += loaded.bytes();
        Ok(())
    }

    fn write(&self, transaction: &dyn Transaction, function: i64) -> Result<(), StoreFault> {
        let join = |parts: &Vec<ArrayRef>| concat(&parts.iter().map(AsRef::as_ref).collect::<Vec<_>>());
        let values: Result<Vec<ArrayRef>, _> = self.values.iter().map(join).collect();
        let encoded = values
            .and_then(|values| EncodedResults::new(&self.keys, &self.emitted, &self.outputs, &values))
            .map_err(arrow)?;
        let number = |entry: Option<&PackEntry>| holds(entry, ENTRIES).block.into();
        let entries = blob(&self.entries);
        let checksum = encoded.checksum(&entries);
        let row = [
            ("function", function.into()),
            ("first_block", number(self.entries.first())),
            ("last_block", number(self.entries.last())),
            ("rows", self.rows().into()),
            ("checksum", (&checksum).into()),
            ("pieces", (&entries).into()),
            ("prefixes", (&encoded.prefixes).into()),
            ("data", (&encoded.data).into()),
        ];
        transaction.insert(&RESULT_PACKS, &row).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_come_back_and_torn_ones_do_not() {
        let three = [
            PackEntry { block: 3, offset: 0, rows: 2 },
            PackEntry { block: 9, offset: 2, rows: 0 },
            PackEntry { block: i64::MAX.unsigned_abs(), offset: 2, rows: 5 },
        ];
        let bytes = blob(&three);
        assert_eq!(entries(&bytes).as_deref(), Some(&three[..]));
        assert_eq!(entries(&bytes[1..]), None);
        assert_eq!(entries(&blob(&[PackEntry { block: 1 << 63, ..three[0] }])), None);
        assert_eq!(entries(&blob(&[three[1], three[0]])), None);
    }
}
