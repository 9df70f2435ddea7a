//! Packs: small blocks of results put together, under their own numbers.
//!
//! A slow function commits a few packets at a time, each in a block of its own. Once there are
//! many, their rows are copied into a pack that lists the rows of each block, and the blocks
//! are removed. A version keeps its name (block, row) for good, so that recordings, tables of other
//! processes and the order of versions stay as they are: a reader that does not find a block reads
//! the pack around it.

use std::sync::Arc;

use anabranch_engine::identity::PacketHash;
use anabranch_engine::index::{At as _, holds};
use anabranch_engine::store::StoreError;
use arrow::array::ArrayRef;
use arrow::compute::concat;
use arrow::datatypes::FieldRef;
use rusqlite::{Connection, OptionalExtension as _};

use super::blocks::{BlockReader, BlockSlice, LoadedBlock, ResultCache};
use crate::block::{BLOCK_BYTES, BLOCK_ROWS};
use crate::error::{arrow, corrupt, sql};
use crate::results::result_block::{EncodedResults, ResultBlock};
use crate::sqlite::sql_number;

const OPERATION: &str = "put small blocks together";

/// Rows of a block that counts as small, at most. The index `small_result_blocks` and the query that
/// uses it have the same number.
pub(crate) const SMALL_ROWS: usize = 2_048;

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
    pub(crate) fn around(
        connection: &Connection,
        function: i64,
        block: i64,
    ) -> Result<Option<Self>, StoreError> {
        let found: Option<i64> = connection
            .prepare_cached(
                "SELECT id FROM result_packs WHERE function = ?1 AND first_block <= ?2
                 ORDER BY first_block DESC LIMIT 1",
            )
            .and_then(|mut statement| statement.query_row([function, block], |row| row.get(0)).optional())
            .map_err(|e| sql(OPERATION, e))?;
        Ok(found.map(|id| Self(id.unsigned_abs())))
    }

    /// The rows, verified.
    pub(crate) fn read(self, connection: &Connection) -> Result<LoadedBlock, StoreError> {
        let damaged = |found: &str| corrupt(OPERATION, &format!("result pack {}", self.0), found);
        let row: Option<[Vec<u8>; 4]> = connection
            .prepare_cached("SELECT pieces, prefixes, data, checksum FROM result_packs WHERE id = ?1")
            .and_then(|mut statement| {
                let read = |row: &rusqlite::Row<'_>| Ok([row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?]);
                statement.query_row([sql_number(self.0)], read).optional()
            })
            .map_err(|e| sql(OPERATION, e))?;
        let [blob, prefixes, data, checksum] = row.ok_or_else(|| damaged("it is not in the store"))?;
        let rows = ResultBlock::read(&blob, prefixes, data, &checksum).map_err(|found| damaged(&found))?;
        let entries = entries(&blob).ok_or_else(|| damaged("its entries are torn"))?;
        if entries.last().is_none_or(|last| last.offset + last.rows as usize != rows.rows()) {
            return Err(damaged("its entries have another number of rows"));
        }
        Ok(LoadedBlock { rows, entries })
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
    connection: &Connection,
    cache: &ResultCache,
    function: i64,
    least: usize,
) -> Result<bool, StoreError> {
    let Some(plan) = plan(connection, function, least)? else { return Ok(false) };
    let mut rows = PackBuilder::default();
    if let Some((pack, _)) = plan.pack {
        let loaded = Arc::new(pack.read(connection)?);
        let all = loaded.rows.rows();
        rows.add(&BlockSlice { loaded: Arc::clone(&loaded), offset: 0, rows: all }, &loaded.entries)?;
    }
    let reader = BlockReader::new(connection, cache, function);
    let mut gone = Vec::with_capacity(plan.blocks.len());
    for block in plan.blocks {
        let slice = reader.load(block)?;
        // Half of the bytes are left by a pack that has room, and one block alone may be as large as it is.
        if !gone.is_empty() && rows.bytes + slice.loaded.rows.bytes() > BLOCK_BYTES {
            break;
        }
        let entry_rows = u32::try_from(slice.rows).map_err(|_| {
            corrupt(OPERATION, &format!("result block {block}"), "found more rows than a block has")
        })?;
        rows.add(&slice, &[PackEntry { block, offset: 0, rows: entry_rows }])?;
        gone.push(block);
    }
    rows.write(connection, function)?;
    remove(connection, plan.pack.map(|(pack, _)| pack), &gone).map_err(|e| sql(OPERATION, e))?;
    Ok(!gone.is_empty())
}

fn plan(connection: &Connection, function: i64, least: usize) -> Result<Option<PackPlan>, StoreError> {
    let failed = |e| sql(OPERATION, e);
    let newest: Option<(i64, u32, i64, u32)> = connection
        .prepare_cached(
            "SELECT id, rows, last_block, length(data) FROM result_packs WHERE function = ?1
             ORDER BY first_block DESC LIMIT 1",
        )
        .and_then(|mut statement| {
            let read = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?));
            statement.query_row([function], read).optional()
        })
        .map_err(failed)?;
    let has_room = |rows: u32, bytes: u32| rows as usize <= FULL_ROWS && bytes as usize <= BLOCK_BYTES / 2;
    let pack = newest.filter(|(_, rows, _, bytes)| has_room(*rows, *bytes));
    let pack = pack.map(|(id, rows, ..)| (Pack(id.unsigned_abs()), rows as usize));
    let mut statement = connection
        .prepare_cached(
            "SELECT id, rows FROM result_blocks
             WHERE function = ?1 AND rows <= 2048 AND id > ?2 AND length(data) < ?3 ORDER BY id LIMIT ?4",
        )
        .map_err(failed)?;
    let after = newest.map_or(0, |(_, _, last, _)| last);
    let bounds = (function, after, sql_number(LARGE_BYTES), sql_number(BLOCK_ROWS));
    let small = statement.query_map(bounds, |row| Ok((row.get(0)?, row.get(1)?)));
    let small: Vec<(i64, u32)> = small.and_then(Iterator::collect).map_err(failed)?;
    let mut plan = PackPlan { pack, blocks: Vec::new() };
    let mut rows = pack.map_or(0, |(_, rows)| rows);
    for (id, more) in &small {
        if rows + *more as usize > BLOCK_ROWS {
            break;
        }
        rows += *more as usize;
        plan.blocks.push(id.unsigned_abs());
    }
    let whole = plan.blocks.len() < small.len();
    // One block alone would only change its place.
    let several = plan.blocks.len() + usize::from(plan.pack.is_some()) > 1;
    Ok((several && (whole || small.len() >= least)).then_some(plan))
}

fn remove(connection: &Connection, pack: Option<Pack>, blocks: &[u64]) -> rusqlite::Result<()> {
    let mut delete = connection.prepare_cached("DELETE FROM result_blocks WHERE id = ?1")?;
    for block in blocks {
        delete.execute([sql_number(*block)])?;
    }
    if let Some(Pack(pack)) = pack {
        connection.execute("DELETE FROM result_packs WHERE id = ?1", [sql_number(pack)])?;
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

    fn add(&mut self, slice: &BlockSlice, entries: &[PackEntry]) -> Result<(), StoreError> {
        let before = self.rows();
        let loaded = &slice.loaded.rows;
        let types = || loaded.values().iter().map(|column| column.data_type());
        if self.entries.is_empty() {
            self.outputs = loaded.outputs().to_vec();
            self.values = vec![Vec::new(); self.outputs.len()];
        } else if !self.outputs.iter().map(|field| field.data_type()).eq(types()) {
            let place = format!("result block {}", entries.at(0, ENTRIES).block);
            return Err(corrupt(OPERATION, &place, "its outputs are not those of its function"));
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

    fn write(&self, connection: &Connection, function: i64) -> Result<(), StoreError> {
        let join = |parts: &Vec<ArrayRef>| concat(&parts.iter().map(AsRef::as_ref).collect::<Vec<_>>());
        let values: Result<Vec<ArrayRef>, _> = self.values.iter().map(join).collect();
        let encoded = values
            .and_then(|values| EncodedResults::new(&self.keys, &self.emitted, &self.outputs, &values))
            .map_err(|e| arrow(OPERATION, e))?;
        let number = |entry: Option<&PackEntry>| sql_number(holds(entry, ENTRIES).block);
        let entries = blob(&self.entries);
        connection
            .prepare_cached(
                "INSERT INTO result_packs
                   (function, first_block, last_block, rows, checksum, pieces, prefixes, data)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            )
            .and_then(|mut insert| {
                insert.execute((
                    function,
                    number(self.entries.first()),
                    number(self.entries.last()),
                    sql_number(self.rows()),
                    encoded.checksum(&entries),
                    &entries,
                    &encoded.prefixes,
                    &encoded.data,
                ))
            })
            .map_err(|e| sql(OPERATION, e))?;
        Ok(())
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
