//! Result blocks that no look-up and no recording leads to.

use std::collections::{BTreeMap, HashSet};

use anabranch_engine::identity::PacketHash;
use anabranch_engine::store::StoreError;
use rusqlite::{Connection, OptionalExtension as _, Transaction};

use super::plan::OPERATION;
use super::sweep::{Progress, Sweeper};
use super::{Freed, Kept};
use crate::block::record::RecordBlock;
use crate::block::result::{PREFIX_BYTES, ResultBlock};
use crate::error::sql;
use crate::results::blocks::{BlockReader, ResultCache};
use crate::results::index::KeyIndex;
use crate::results::removals;
use crate::runs;

/// Keys whose current version is looked for at once: about 100 MB. More of them take more passes.
const KEYS_AT_ONCE: u64 = 2 << 20;
/// Memory for looking up the keys of blocks that go.
const INDEX_BYTES: usize = 128 << 20;

/// Blocks of results by function, none of which any look-up or recording leads to.
///
/// Memory: 8 bytes for each block, and 100 MB.
#[derive(Debug)]
pub(super) struct Superseded {
    by_function: BTreeMap<i64, HashSet<i64>>,
    /// The last recording that had begun when references were read.
    last_recording: i64,
}

impl Superseded {
    /// Finds them; `temp.doomed` has the recordings that are no longer counted.
    ///
    /// Nothing, and why, while a run is at work: what it has looked up it may yet refer to.
    pub(super) fn find(
        connection: &Connection,
        dir: &std::path::Path,
        left: &mut Vec<Kept>,
    ) -> Result<Self, StoreError> {
        let mut found = Self { by_function: BTreeMap::new(), last_recording: last_recording(connection)? };
        if let Some(run) = runs::any_alive(dir) {
            left.push(Kept::results_of_run(&run));
            return Ok(found);
        }
        for function in functions(connection).map_err(|e| sql(OPERATION, e))? {
            let mut blocks = not_current(connection, function, KEYS_AT_ONCE)?;
            if !blocks.is_empty() && !unreferenced(connection, function, &mut blocks)? {
                left.push(Kept::unreadable(function));
                continue;
            }
            if !blocks.is_empty() {
                found.by_function.insert(function, blocks);
            }
        }
        Ok(found)
    }

    /// How much would be freed.
    pub(super) fn sum(&self, connection: &Connection) -> Result<(Freed, u64), StoreError> {
        let (mut freed, mut versions) = (Freed::default(), 0);
        for block in self.by_function.values().flatten() {
            let (bytes, rows) = size(connection, *block).map_err(|e| sql(OPERATION, e))?;
            freed.add(bytes);
            versions += rows;
        }
        Ok((freed, versions))
    }

    /// Removes them, as long as no run begins.
    pub(super) fn remove(
        self,
        sweeper: &mut Sweeper,
        left: &mut Vec<Kept>,
    ) -> Result<(Freed, u64), StoreError> {
        let (mut freed, mut versions) = (Freed::default(), 0);
        let checker = Checker::new();
        for (function, blocks) in self.by_function {
            let mut blocks: Vec<i64> = blocks.into_iter().collect();
            blocks.sort_unstable();
            // Outside the transaction, since this reads all keys.
            checker.warm(&sweeper.connection, function)?;
            let dir = sweeper.dir.clone();
            let mut stopped = false;
            sweeper.steps(|transaction, clock| {
                if let Some(reason) = disturbed(transaction, &dir, self.last_recording)? {
                    left.push(reason);
                    stopped = true;
                    return Ok(Progress::Done);
                }
                removals::add(transaction).map_err(|e| sql(OPERATION, e))?;
                while let Some(block) = blocks.pop() {
                    if checker.is_superseded(transaction, function, block)? {
                        let (bytes, rows) =
                            remove_block(transaction, block).map_err(|e| sql(OPERATION, e))?;
                        freed.add(bytes);
                        versions += rows;
                    }
                    if clock.is_over() {
                        return Ok(Progress::More);
                    }
                }
                Ok(Progress::Done)
            })?;
            if stopped {
                break;
            }
        }
        Ok((freed, versions))
    }
}

/// Why results cannot be removed in this transaction: a run is at work, or one has recorded since.
pub(super) fn disturbed(
    transaction: &Transaction<'_>,
    dir: &std::path::Path,
    last: i64,
) -> Result<Option<Kept>, StoreError> {
    if let Some(run) = runs::any_alive(dir) {
        return Ok(Some(Kept::results_of_run(&run)));
    }
    Ok((last_recording(transaction)? != last).then(Kept::begun))
}

/// The number of the last recording that there ever was.
pub(super) fn last_recording(connection: &Connection) -> Result<i64, StoreError> {
    let last: Option<i64> = connection
        .prepare_cached("SELECT seq FROM sqlite_sequence WHERE name = 'recordings'")
        .and_then(|mut select| select.query_row([], |row| row.get(0)).optional())
        .map_err(|e| sql(OPERATION, e))?;
    Ok(last.unwrap_or(0))
}

/// Functions with several blocks; of one alone all versions are current.
fn functions(connection: &Connection) -> rusqlite::Result<Vec<i64>> {
    let query = "SELECT function FROM result_blocks GROUP BY function HAVING count(*) > 1";
    connection.prepare_cached(query)?.query_map([], |row| row.get(0))?.collect()
}

/// Bytes and versions of a block.
fn size(connection: &Connection, block: i64) -> rusqlite::Result<(u64, u64)> {
    connection
        .prepare_cached("SELECT length(prefixes) + length(data), rows FROM result_blocks WHERE id = ?1")?
        .query_row([block], |row| {
            Ok((row.get::<_, i64>(0)?.unsigned_abs(), row.get::<_, i64>(1)?.unsigned_abs()))
        })
        .optional()
        .map(Option::unwrap_or_default)
}

pub(super) fn remove_block(connection: &Connection, block: i64) -> rusqlite::Result<(u64, u64)> {
    let size = size(connection, block)?;
    connection.prepare_cached("DELETE FROM result_blocks WHERE id = ?1")?.execute([block])?;
    Ok(size)
}

/// Blocks of a function in which no key's first half has its latest row.
fn not_current(connection: &Connection, function: i64, at_once: u64) -> Result<HashSet<i64>, StoreError> {
    let failed = |e| sql(OPERATION, e);
    let rows: i64 = connection
        .prepare_cached("SELECT coalesce(sum(rows), 0) FROM result_blocks WHERE function = ?1")
        .and_then(|mut select| select.query_row([function], |row| row.get(0)))
        .map_err(failed)?;
    let passes = u128::from(rows.unsigned_abs().div_ceil(at_once).max(1));
    let mut blocks: Option<HashSet<i64>> = None;
    for pass in 0..passes {
        let found = pass_over(connection, function, passes, pass).map_err(failed)?;
        blocks = Some(match blocks {
            None => found,
            Some(blocks) => blocks.intersection(&found).copied().collect(),
        });
    }
    Ok(blocks.unwrap_or_default())
}

/// One pass: the latest rows of a share of the keys.
fn pass_over(
    connection: &Connection,
    function: i64,
    passes: u128,
    pass: u128,
) -> rusqlite::Result<HashSet<i64>> {
    let mut statement = connection
        .prepare_cached("SELECT id, prefixes FROM result_blocks WHERE function = ?1 ORDER BY id DESC")?;
    let mut rows = statement.query([function])?;
    let mut seen: HashSet<u128> = HashSet::new();
    let mut found = HashSet::new();
    while let Some(row) = rows.next()? {
        let prefixes = row.get_ref(1)?.as_blob()?.as_chunks::<PREFIX_BYTES>().0;
        let share = prefixes.iter().map(|prefix| u128::from_le_bytes(*prefix));
        let mut current = false;
        for prefix in share.filter(|prefix| prefix % passes == pass) {
            current |= seen.insert(prefix);
        }
        if !current {
            found.insert(row.get(0)?);
        }
    }
    Ok(found)
}

/// Takes out the blocks that a record block refers to; false if one cannot be read.
fn unreferenced(
    connection: &Connection,
    function: i64,
    blocks: &mut HashSet<i64>,
) -> Result<bool, StoreError> {
    let failed = |e| sql(OPERATION, e);
    let mut statement = connection
        .prepare_cached(
            "SELECT b.hash, b.data FROM blocks b WHERE b.id IN (
               SELECT rb.block FROM recordings r JOIN recording_blocks rb ON rb.recording = r.id
               WHERE r.function = ?1 AND r.id NOT IN (SELECT id FROM temp.doomed))",
        )
        .map_err(failed)?;
    let mut rows = statement.query([function]).map_err(failed)?;
    while let Some(row) = rows.next().map_err(failed)? {
        let (hash, data): (Vec<u8>, Vec<u8>) =
            row.get(0).and_then(|hash| Ok((hash, row.get(1)?))).map_err(failed)?;
        let Ok(references) = RecordBlock::read(data, &hash).and_then(|block| block.references()) else {
            return Ok(false);
        };
        for reference in references {
            blocks.remove(&reference.block.cast_signed());
        }
    }
    Ok(true)
}

/// Compares whole keys, of which passes have seen the first halves.
struct Checker {
    index: KeyIndex,
    cache: ResultCache,
}

impl Checker {
    fn new() -> Self {
        Self { index: KeyIndex::new(INDEX_BYTES), cache: ResultCache::new(0) }
    }

    fn warm(&self, connection: &Connection, function: i64) -> Result<(), StoreError> {
        self.index.find(&BlockReader::new(connection, &self.cache), function, &[]).map(drop)
    }

    /// Whether none of a block's versions is current. One that is damaged is left to whoever verifies.
    fn is_superseded(&self, connection: &Connection, function: i64, block: i64) -> Result<bool, StoreError> {
        let Some(keys) = keys(connection, block).map_err(|e| sql(OPERATION, e))? else { return Ok(false) };
        let current = self.index.find(&BlockReader::new(connection, &self.cache), function, &keys)?;
        Ok(current.iter().all(|version| version.is_some_and(|v| v.block != block.unsigned_abs())))
    }
}

fn keys(connection: &Connection, block: i64) -> rusqlite::Result<Option<Vec<PacketHash>>> {
    let row: Option<(Vec<u8>, Vec<u8>, Vec<u8>)> = connection
        .prepare_cached("SELECT prefixes, data, checksum FROM result_blocks WHERE id = ?1")?
        .query_row([block], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .optional()?;
    let block = row.and_then(|(prefixes, data, checksum)| ResultBlock::read(prefixes, data, &checksum).ok());
    Ok(block.map(|block| (0..).map_while(|row| block.key(row)).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_number_of_passes_finds_the_blocks_without_a_latest_row(
            blocks in proptest::collection::vec(proptest::collection::btree_set(0_u128..30, 1..8), 1..20),
            at_once in 1_u64..40,
        ) {
            let connection = Connection::open_in_memory().unwrap();
            connection
                .execute_batch("CREATE TABLE result_blocks (id INTEGER PRIMARY KEY, function, rows, prefixes)")
                .unwrap();
            for block in &blocks {
                let prefixes: Vec<u8> = block.iter().flat_map(|key| key.to_le_bytes()).collect();
                let insert = "INSERT INTO result_blocks (function, rows, prefixes) VALUES (1, ?1, ?2)";
                connection.execute(insert, (block.len() as i64, prefixes)).unwrap();
            }
            let superseded = |(at, block): (usize, &std::collections::BTreeSet<u128>)| {
                let later: HashSet<u128> = blocks[at + 1..].iter().flatten().copied().collect();
                block.iter().all(|key| later.contains(key)).then_some(at as i64 + 1)
            };
            let expected: HashSet<i64> = blocks.iter().enumerate().filter_map(superseded).collect();
            prop_assert_eq!(not_current(&connection, 1, at_once).unwrap(), expected);
        }
    }
}
