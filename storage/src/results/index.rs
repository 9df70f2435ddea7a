//! Where the current version of a key is: tables in memory over the key blobs of the blocks.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use anabranch_engine::identity::PacketHash;
use anabranch_engine::store::{ResultRef, StoreError};

use super::blocks::BlockReader;
use super::removals;
use super::table::PrefixTable;
use crate::block::result::PREFIX_BYTES;
use crate::error::{corrupt, sql};

const OPERATION: &str = "look up results";

/// Looks keys up, whichever process committed them.
///
/// A function's table is read from its blocks' key blobs when the function is first asked for,
/// and each look-up adds the blocks that came since. What does not fit the limit stays on disk
/// and is read through by each look-up: slower, and as right.
///
/// Memory: `limit_bytes`; while a table grows, it and its half.
#[derive(Debug)]
pub(crate) struct KeyIndex {
    limit_bytes: usize,
    // Shared by the thread that answers look-ups and the writer, which has to see what other
    // processes committed; held while tables are brought up to date and probed.
    tables: Mutex<Tables>,
}

#[derive(Debug, Default)]
struct Tables {
    by_function: HashMap<i64, Table>,
    uses: u64,
    /// How often results had been removed when the tables were begun.
    removals: i64,
}

#[derive(Debug, Default)]
struct Table {
    prefixes: PrefixTable,
    /// The last block whose rows are in.
    last: u64,
    used: u64,
}

/// A key, by its place among those asked for, and a version that may be its own.
type Candidate = (usize, ResultRef);

impl KeyIndex {
    pub(crate) fn new(limit_bytes: usize) -> Self {
        Self { limit_bytes, tables: Mutex::default() }
    }

    /// The current version of each key, as far as committed up to the reader's ceiling.
    pub(crate) fn find(
        &self,
        reader: &BlockReader<'_>,
        function: i64,
        keys: &[PacketHash],
    ) -> Result<Vec<Option<ResultRef>>, StoreError> {
        confirm(reader, keys, self.candidates(reader, function, keys)?)
    }

    fn candidates(
        &self,
        reader: &BlockReader<'_>,
        function: i64,
        keys: &[PacketHash],
    ) -> Result<Vec<Candidate>, StoreError> {
        let mut tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        let removals = removals::count(reader.connection)?;
        if tables.removals != removals {
            tables.by_function.clear();
            tables.removals = removals;
        }
        tables.uses += 1;
        let used = tables.uses;
        let mut table = tables.by_function.remove(&function).unwrap_or_default();
        table.used = used;
        let mut candidates = Vec::with_capacity(keys.len());
        let mut beyond: Option<HashMap<u128, Vec<usize>>> = None;
        let scanned = key_blobs(reader, function, table.last, |id, prefixes| {
            if beyond.is_none() && tables.make_room(&table, prefixes.len(), self.limit_bytes) {
                table.prefixes.add_block(id, prefixes);
                table.last = id;
                return;
            }
            let wanted = beyond.get_or_insert_with(|| by_prefix(keys));
            for (row, prefix) in (0..).zip(prefixes) {
                let asked = wanted.get(&u128::from_le_bytes(*prefix)).into_iter().flatten();
                candidates.extend(asked.map(|at| (*at, ResultRef { block: id, row })));
            }
        });
        for (at, key) in keys.iter().enumerate() {
            let prefix = prefix(key);
            candidates.extend(table.prefixes.latest(prefix).map(|found| (at, found)));
            candidates.extend(table.prefixes.older(prefix).iter().map(|found| (at, *found)));
        }
        tables.by_function.insert(function, table);
        scanned.map(|()| candidates)
    }
}

impl Tables {
    /// Whether `rows` more fit into the table, once others have made room.
    fn make_room(&mut self, table: &Table, rows: usize, limit_bytes: usize) -> bool {
        let wanted = table.prefixes.bytes_with(rows);
        if wanted > limit_bytes {
            return false;
        }
        while wanted + self.by_function.values().map(|t| t.prefixes.bytes()).sum::<usize>() > limit_bytes {
            let oldest = self.by_function.iter().min_by_key(|(_, table)| table.used);
            let Some(oldest) = oldest.map(|(function, _)| *function) else { break };
            self.by_function.remove(&oldest);
        }
        true
    }
}

fn prefix(key: &PacketHash) -> u128 {
    key.0.0.first_chunk::<PREFIX_BYTES>().map_or(0, |prefix| u128::from_le_bytes(*prefix))
}

fn by_prefix(keys: &[PacketHash]) -> HashMap<u128, Vec<usize>> {
    let mut places: HashMap<u128, Vec<usize>> = HashMap::with_capacity(keys.len());
    for (at, key) in keys.iter().enumerate() {
        places.entry(prefix(key)).or_default().push(at);
    }
    places
}

/// Hands out the key blobs of the function's blocks after `last`, in the order of the blocks.
fn key_blobs(
    reader: &BlockReader<'_>,
    function: i64,
    last: u64,
    mut each: impl FnMut(u64, &[[u8; 16]]),
) -> Result<(), StoreError> {
    let failed = |e| sql(OPERATION, e);
    let mut statement = reader
        .connection
        .prepare_cached(
            "SELECT id, prefixes FROM result_blocks WHERE function = ?1 AND id > ?2 AND id <= ?3 ORDER BY id",
        )
        .map_err(failed)?;
    let bound = |id: u64| i64::try_from(id).unwrap_or(i64::MAX);
    let mut rows = statement.query((function, bound(last), bound(reader.ceiling))).map_err(failed)?;
    while let Some(row) = rows.next().map_err(failed)? {
        let id: i64 = row.get(0).map_err(failed)?;
        let blob = row.get_ref(1).map_err(failed)?;
        match blob.as_blob().map(<[u8]>::as_chunks::<PREFIX_BYTES>) {
            Ok((prefixes, [])) => each(id.unsigned_abs(), prefixes),
            _ => return Err(corrupt(OPERATION, &format!("result block {id}"), "its keys are torn")),
        }
    }
    Ok(())
}

/// Compares whole hashes; of the versions that are a key's own, the latest is the current one.
fn confirm(
    reader: &BlockReader<'_>,
    keys: &[PacketHash],
    mut candidates: Vec<Candidate>,
) -> Result<Vec<Option<ResultRef>>, StoreError> {
    candidates.sort_unstable_by_key(|(_, reference)| std::cmp::Reverse(*reference));
    let mut found: Vec<Option<ResultRef>> = vec![None; keys.len()];
    for group in candidates.chunk_by(|(_, a), (_, b)| a.block == b.block) {
        let mut block = None;
        for (at, reference) in group {
            let (Some(place), Some(key)) = (found.get_mut(*at), keys.get(*at)) else { continue };
            if place.is_some() {
                continue;
            }
            let block = match &block {
                Some(block) => block,
                None => block.insert(reader.load(reference.block)?),
            };
            if block.key(reference.row as usize).as_ref() == Some(key) {
                *place = Some(*reference);
            }
        }
    }
    Ok(found)
}
