//! Reading result blocks: a bounded cache, and outcomes gathered from many blocks.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use anabranch_engine::identity::PacketHash;
use anabranch_engine::store::{ResultRef, StoreError, StoreErrorKind};
use arrow::array::{Array, ArrayRef, UInt32Array, new_empty_array};
use arrow::compute::{interleave, take};
use arrow::datatypes::FieldRef;
use rusqlite::{Connection, OptionalExtension as _};

use crate::block::result::ResultBlock;
use crate::error::{arrow, corrupt, failure, sql};

const OPERATION: &str = "read results";

/// Decoded result blocks, the least recently used of which go first.
///
/// Memory: at most `limit_bytes`, or one block.
#[derive(Debug)]
pub(crate) struct ResultCache {
    limit_bytes: usize,
    // Shared by the store's threads and its readers; held only to look up or to put in.
    state: Mutex<CacheState>,
}

#[derive(Debug, Default)]
struct CacheState {
    blocks: HashMap<u64, (u64, Arc<ResultBlock>)>,
    by_use: BTreeMap<u64, u64>,
    uses: u64,
    bytes: usize,
}

impl ResultCache {
    pub(crate) fn new(limit_bytes: usize) -> Self {
        Self { limit_bytes, state: Mutex::default() }
    }

    fn get(&self, id: u64) -> Option<Arc<ResultBlock>> {
        let mut guard = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let state = &mut *guard;
        state.uses += 1;
        let (used, block) = state.blocks.get_mut(&id)?;
        state.by_use.remove(used);
        *used = state.uses;
        state.by_use.insert(state.uses, id);
        Some(Arc::clone(block))
    }

    fn put(&self, id: u64, block: &Arc<ResultBlock>) {
        let mut guard = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let state = &mut *guard;
        if state.blocks.contains_key(&id) {
            return;
        }
        state.uses += 1;
        state.blocks.insert(id, (state.uses, Arc::clone(block)));
        state.by_use.insert(state.uses, id);
        state.bytes += block.bytes();
        while state.bytes > self.limit_bytes && state.blocks.len() > 1 {
            let Some((_, oldest)) = state.by_use.pop_first() else { break };
            if let Some((_, block)) = state.blocks.remove(&oldest) {
                state.bytes -= block.bytes();
            }
        }
    }
}

/// Reads result blocks by number.
#[derive(Debug)]
pub(crate) struct BlockReader<'a> {
    pub(crate) connection: &'a Connection,
    cache: &'a ResultCache,
    /// The last block that is committed; later ones may vanish with the transaction.
    pub(crate) ceiling: u64,
}

impl<'a> BlockReader<'a> {
    /// A reader outside a writing transaction.
    pub(crate) fn new(connection: &'a Connection, cache: &'a ResultCache) -> Self {
        Self::within(connection, cache, i64::MAX.unsigned_abs())
    }

    /// A reader inside a transaction that has itself written the blocks after `ceiling`.
    pub(crate) fn within(connection: &'a Connection, cache: &'a ResultCache, ceiling: u64) -> Self {
        Self { connection, cache, ceiling }
    }

    /// A block, verified.
    pub(crate) fn load(&self, id: u64) -> Result<Arc<ResultBlock>, StoreError> {
        if let Some(block) = self.cache.get(id) {
            return Ok(block);
        }
        let row: Option<(Vec<u8>, Vec<u8>, Vec<u8>)> = self
            .connection
            .prepare_cached("SELECT prefixes, data, checksum FROM result_blocks WHERE id = ?1")
            .and_then(|mut statement| {
                let read = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
                statement.query_row([i64::try_from(id).unwrap_or(-1)], read).optional()
            })
            .map_err(|e| sql(OPERATION, e))?;
        let Some((prefixes, data, checksum)) = row else {
            let message = format!("result block {id} is not in the store; run again to compute its results");
            return Err(failure(StoreErrorKind::Missing, OPERATION, message));
        };
        let block = ResultBlock::read(prefixes, data, &checksum)
            .map_err(|found| corrupt(OPERATION, &format!("result block {id}"), &found))?;
        let block = Arc::new(block);
        if id <= self.ceiling {
            self.cache.put(id, &block);
        }
        Ok(block)
    }
}

/// Number of the newest block there ever was; later ones have larger numbers.
pub(crate) fn newest_block(connection: &Connection) -> Result<u64, StoreError> {
    let newest: Option<i64> = connection
        .prepare_cached("SELECT seq FROM sqlite_sequence WHERE name = 'result_blocks'")
        .and_then(|mut statement| statement.query_row([], |row| row.get(0)).optional())
        .map_err(|e| sql(OPERATION, e))?;
    Ok(newest.map_or(0, i64::unsigned_abs))
}

/// Outcomes in the order they were asked for.
#[derive(Debug)]
pub(crate) struct Gathered {
    pub(crate) hashes: Vec<PacketHash>,
    pub(crate) emitted: Vec<bool>,
    pub(crate) values: Vec<ArrayRef>,
}

/// Blocks whose columns are referred to as they are; beyond, the rows wanted are copied out of
/// each block so that not all of them are in memory at once.
const FEW_BLOCKS: usize = 16;

/// Reads the outcomes of versions. Each block is loaded once.
///
/// Memory: the answer twice, the cache, and at most 16 blocks.
pub(crate) fn gather(
    reader: &BlockReader<'_>,
    outputs: &[FieldRef],
    references: &[ResultRef],
) -> Result<Gathered, StoreError> {
    let mut order: Vec<(ResultRef, usize)> = references.iter().copied().zip(0..).collect();
    order.sort_unstable();
    let groups: Vec<&[(ResultRef, usize)]> = order.chunk_by(|(a, _), (b, _)| a.block == b.block).collect();
    let whole = groups.len() <= FEW_BLOCKS;
    let mut gathered = Gathered {
        hashes: vec![PacketHash(anabranch_engine::identity::Digest([0; 32])); references.len()],
        emitted: vec![false; references.len()],
        values: Vec::with_capacity(outputs.len()),
    };
    let mut parts: Vec<Vec<ArrayRef>> = vec![Vec::with_capacity(groups.len()); outputs.len()];
    let mut places = vec![(0, 0); references.len()];
    for (number, group) in groups.iter().enumerate() {
        let Some((first, _)) = group.first() else { continue };
        let block = reader.load(first.block)?;
        check(&block, first.block, outputs)?;
        let rows: UInt32Array = group.iter().map(|(reference, _)| reference.row).collect();
        for (parts, column) in parts.iter_mut().zip(block.values()) {
            let part = if whole { Ok(Arc::clone(column)) } else { take(column, &rows, None) };
            parts.push(part.map_err(|e| arrow(OPERATION, e))?);
        }
        for (at, (reference, asked)) in group.iter().enumerate() {
            let row = reference.row as usize;
            let beyond = || corrupt(OPERATION, &format!("result block {}", first.block), "it is too short");
            let key = block.key(row).ok_or_else(beyond)?;
            set(&mut gathered.hashes, *asked, key);
            set(&mut gathered.emitted, *asked, block.emitted(row));
            set(&mut places, *asked, (number, if whole { row } else { at }));
        }
    }
    for (field, parts) in outputs.iter().zip(&parts) {
        gathered.values.push(merge(field, parts, &places)?);
    }
    Ok(gathered)
}

fn set<T>(values: &mut [T], at: usize, value: T) {
    if let Some(place) = values.get_mut(at) {
        *place = value;
    }
}

/// Rows of several arrays: a slice where they follow each other in one of them.
fn merge(field: &FieldRef, parts: &[ArrayRef], places: &[(usize, usize)]) -> Result<ArrayRef, StoreError> {
    let Some((part, first)) = places.first().copied() else {
        return Ok(new_empty_array(field.data_type()));
    };
    let in_line = places.iter().zip(first..).all(|((p, row), expected)| *p == part && *row == expected);
    match parts.get(part) {
        Some(values) if in_line => Ok(values.slice(first, places.len())),
        _ => {
            let parts: Vec<&dyn Array> = parts.iter().map(AsRef::as_ref).collect();
            interleave(&parts, places).map_err(|e| arrow(OPERATION, e))
        }
    }
}

fn check(block: &ResultBlock, id: u64, outputs: &[FieldRef]) -> Result<(), StoreError> {
    let types = outputs.iter().map(|f| f.data_type());
    if block.values().iter().map(Array::data_type).eq(types) {
        return Ok(());
    }
    Err(corrupt(OPERATION, &format!("result block {id}"), "its outputs are not those of its function"))
}
