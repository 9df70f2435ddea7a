//! Results that no look-up and no recording refers to.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use anabranch_engine::store::StoreError;
use rusqlite::{Connection, OptionalExtension as _, Transaction};

use super::mark::OPERATION;
use super::sweep::{Progress, Sweeper};
use super::{Freed, Skipped};
use crate::error::sql;
use crate::record_blocks::RecordBlock;
use crate::results::key_runs;
use crate::results::packs;
use crate::results::removals;
use crate::results::result_ref::ResultRef;
use crate::results::withdrawn::Withdrawn;
use crate::runs;

/// Keys whose current version is looked for at once: about 100 MB. More of them take more passes.
const KEYS_AT_ONCE: u64 = 1 << 20;

/// Unit of removal: a block, or a pack of blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    Block(i64),
    Pack(i64),
}

/// Results by function that no look-up and no recording refers to.
///
/// Memory: 8 bytes for each block of theirs, and 100 MB.
#[derive(Debug)]
pub(super) struct Superseded {
    units: Vec<Unit>,
    /// The last recording that had begun when references were read.
    last_recording: i64,
}

impl Superseded {
    /// Finds them; `temp.condemned` has the recordings that are no longer counted.
    ///
    /// Nothing, and why, while a run is at work: what it has looked up it may yet refer to.
    pub(super) fn find(
        connection: &Connection,
        dir: &Path,
        left: &mut Vec<Skipped>,
    ) -> Result<Self, StoreError> {
        let mut found = Self { units: Vec::new(), last_recording: last_recording(connection)? };
        if let Some(run) = runs::any_alive(dir) {
            left.push(Skipped::results_of_run(&run));
            return Ok(found);
        }
        for function in functions(connection).map_err(|e| sql(OPERATION, e))? {
            let mut blocks = not_current(connection, function, KEYS_AT_ONCE)?;
            if blocks.is_empty() {
                continue;
            }
            if !unreferenced(connection, function, &mut blocks)? {
                left.push(Skipped::unreadable(function));
                continue;
            }
            found.units.extend(units(connection, function, &blocks).map_err(|e| sql(OPERATION, e))?);
        }
        Ok(found)
    }

    /// Returns the bytes and versions that removal would free.
    pub(super) fn sum(&self, connection: &Connection) -> Result<(Freed, u64), StoreError> {
        let (mut freed, mut versions) = (Freed::default(), 0);
        for unit in &self.units {
            let size = unit.size(connection).map_err(|e| sql(OPERATION, e))?.unwrap_or_default();
            freed.add(size.bytes);
            versions += size.rows;
        }
        Ok((freed, versions))
    }

    /// Removes them, as long as no run begins.
    pub(super) fn remove(
        mut self,
        sweeper: &mut Sweeper,
        left: &mut Vec<Skipped>,
    ) -> Result<(Freed, u64), StoreError> {
        let (mut freed, mut versions) = (Freed::default(), 0);
        if self.units.is_empty() {
            return Ok((freed, versions));
        }
        let dir = sweeper.dir.clone();
        sweeper.steps(|transaction, clock| {
            if let Some(reason) = disturbed(transaction, &dir, self.last_recording)? {
                left.push(reason);
                return Ok(Progress::Done);
            }
            // Once for all: look-ups find the later version first, and skip this one once it is removed.
            if removals::count(transaction)? == 0 {
                removals::add(transaction).map_err(|e| sql(OPERATION, e))?;
            }
            while let Some(unit) = self.units.pop() {
                // A block that has moved into a pack meanwhile waits for the next time.
                if let Some(size) = unit.remove(transaction).map_err(|e| sql(OPERATION, e))? {
                    freed.add(size.bytes);
                    versions += size.rows;
                }
                if clock.is_over() {
                    return Ok(Progress::More);
                }
            }
            Ok(Progress::Done)
        })?;
        Ok((freed, versions))
    }
}

/// Returns the reason why results cannot be removed in this transaction: a run is at work, or one has recorded since.
pub(super) fn disturbed(
    transaction: &Transaction<'_>,
    dir: &Path,
    last: i64,
) -> Result<Option<Skipped>, StoreError> {
    if let Some(run) = runs::any_alive(dir) {
        return Ok(Some(Skipped::results_of_run(&run)));
    }
    Ok((last_recording(transaction)? != last).then(Skipped::begun))
}

/// The number of the last recording that there ever was.
pub(super) fn last_recording(connection: &Connection) -> Result<i64, StoreError> {
    let last: Option<i64> = connection
        .prepare_cached("SELECT seq FROM sqlite_sequence WHERE name = 'recordings'")
        .and_then(|mut select| select.query_row([], |row| row.get(0)).optional())
        .map_err(|e| sql(OPERATION, e))?;
    Ok(last.unwrap_or(0))
}

/// Size of results.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Size {
    pub(super) bytes: u64,
    pub(super) rows: u64,
}

impl Unit {
    fn size(self, connection: &Connection) -> rusqlite::Result<Option<Size>> {
        let (query, id) = match self {
            Self::Block(id) => {
                ("SELECT length(prefixes) + length(data), rows FROM result_blocks WHERE id = ?1", id)
            }
            Self::Pack(id) => {
                ("SELECT length(prefixes) + length(data), rows FROM result_packs WHERE id = ?1", id)
            }
        };
        let number = |row: &rusqlite::Row<'_>, at| row.get::<_, i64>(at).map(i64::unsigned_abs);
        let read = |row: &rusqlite::Row<'_>| Ok(Size { bytes: number(row, 0)?, rows: number(row, 1)? });
        connection.prepare_cached(query)?.query_row([id], read).optional()
    }

    /// Something that a function has.
    pub(super) fn any(connection: &Connection, function: i64) -> rusqlite::Result<Option<Self>> {
        let block = connection
            .prepare_cached("SELECT id FROM result_blocks WHERE function = ?1 LIMIT 1")?
            .query_row([function], |row| row.get(0).map(Self::Block))
            .optional()?;
        if block.is_some() {
            return Ok(block);
        }
        connection
            .prepare_cached("SELECT id FROM result_packs WHERE function = ?1 LIMIT 1")?
            .query_row([function], |row| row.get(0).map(Self::Pack))
            .optional()
    }

    /// Removes it; returns none if it was removed before.
    pub(super) fn remove(self, connection: &Connection) -> rusqlite::Result<Option<Size>> {
        let size = self.size(connection)?;
        let (query, id) = match self {
            Self::Block(id) => ("DELETE FROM result_blocks WHERE id = ?1", id),
            Self::Pack(id) => ("DELETE FROM result_packs WHERE id = ?1", id),
        };
        connection.prepare_cached(query)?.execute([id])?;
        Ok(size)
    }
}

/// Functions whose keys may have several versions; of the others all are current.
fn functions(connection: &Connection) -> rusqlite::Result<Vec<i64>> {
    connection
        .prepare_cached("SELECT function FROM several_versions")?
        .query_map([], |row| row.get(0))?
        .collect()
}

/// Blocks of a function in which no key, by the first half of its hash, has its latest version that is not withdrawn.
///
/// Should two keys ever share 128 bits, the earlier one's result may be removed and is computed again.
fn not_current(connection: &Connection, function: i64, at_once: u64) -> Result<HashSet<u64>, StoreError> {
    let rows: i64 = connection
        .prepare_cached(
            "SELECT (SELECT coalesce(sum(rows), 0) FROM result_blocks WHERE function = ?1)
               + (SELECT coalesce(sum(rows), 0) FROM result_packs WHERE function = ?1)",
        )
        .and_then(|mut select| select.query_row([function], |row| row.get(0)))
        .map_err(|e| sql(OPERATION, e))?;
    let passes = u128::from(rows.unsigned_abs().div_ceil(at_once).max(1));
    // One snapshot: a block that moves into a pack in between would be seen in neither.
    let snapshot = connection.unchecked_transaction().map_err(|e| sql(OPERATION, e))?;
    let mut blocks = pass_over(&snapshot, function, passes, 0)?;
    for pass in 1..passes {
        let found = pass_over(&snapshot, function, passes, pass)?;
        blocks.retain(|block| found.contains(block));
    }
    Ok(blocks)
}

/// One pass: the latest versions of a share of the keys.
fn pass_over(
    connection: &Connection,
    function: i64,
    passes: u128,
    pass: u128,
) -> Result<HashSet<u64>, StoreError> {
    let everything = (0, i64::MAX.unsigned_abs());
    let withdrawn = Withdrawn::of_function(connection, function)?;
    let stands = |block, row| !withdrawn.has(ResultRef { block, row });
    let mut latest: HashMap<u128, u64> = HashMap::new();
    let mine = |prefix: &[u8; 16]| {
        let prefix = u128::from_le_bytes(*prefix);
        (prefix % passes == pass).then_some(prefix)
    };
    key_runs::prefixes(connection, function, everything, |block, prefixes| {
        let rows = (0..).zip(prefixes).filter(|(row, _)| stands(block, *row));
        for prefix in rows.filter_map(|(_, prefix)| mine(prefix)) {
            let known = latest.entry(prefix).or_default();
            *known = block.max(*known);
        }
        true
    })?;
    let mut found = HashSet::new();
    key_runs::prefixes(connection, function, everything, |block, prefixes| {
        let mut rows = (0..).zip(prefixes).filter(|(row, _)| stands(block, *row));
        if rows.all(|(_, prefix)| mine(prefix).is_none_or(|prefix| latest.get(&prefix) != Some(&block))) {
            found.insert(block);
        }
        true
    })?;
    Ok(found)
}

/// Takes out the blocks that a record block refers to; false if one cannot be read.
fn unreferenced(
    connection: &Connection,
    function: i64,
    blocks: &mut HashSet<u64>,
) -> Result<bool, StoreError> {
    let failed = |e| sql(OPERATION, e);
    let mut statement = connection
        .prepare_cached(
            "SELECT b.hash, b.data FROM blocks b WHERE b.id IN (
               SELECT rb.block FROM recordings r JOIN recording_blocks rb ON rb.recording = r.id
               WHERE r.function = ?1 AND r.id NOT IN (SELECT id FROM temp.condemned))",
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
            blocks.remove(&reference.block);
        }
    }
    Ok(true)
}

/// Units that hold nothing but these blocks.
fn units(connection: &Connection, function: i64, blocks: &HashSet<u64>) -> rusqlite::Result<Vec<Unit>> {
    let mut units = Vec::new();
    let mut select = connection.prepare_cached("SELECT id FROM result_blocks WHERE function = ?1")?;
    for id in select.query_map([function], |row| row.get::<_, i64>(0))? {
        let id = id?;
        if blocks.contains(&id.unsigned_abs()) {
            units.push(Unit::Block(id));
        }
    }
    let mut select = connection.prepare_cached("SELECT id, pieces FROM result_packs WHERE function = ?1")?;
    let mut rows = select.query([function])?;
    while let Some(row) = rows.next()? {
        let entries = packs::entries(row.get_ref(1)?.as_blob()?).unwrap_or_default();
        if !entries.is_empty() && entries.iter().all(|entry| blocks.contains(&entry.block)) {
            units.push(Unit::Pack(row.get(0)?));
        }
    }
    Ok(units)
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
                .execute_batch(
                    "CREATE TABLE result_blocks (id INTEGER PRIMARY KEY, function, rows, prefixes);
                     CREATE TABLE result_packs (id INTEGER PRIMARY KEY, function, rows, first_block, last_block, pieces, prefixes)",
                )
                .unwrap();
            for block in &blocks {
                let prefixes: Vec<u8> = block.iter().flat_map(|key| key.to_le_bytes()).collect();
                let insert = "INSERT INTO result_blocks (function, rows, prefixes) VALUES (1, ?1, ?2)";
                connection.execute(insert, (i64::try_from(block.len()).unwrap(), prefixes)).unwrap();
            }
            let superseded = |(at, block): (usize, &std::collections::BTreeSet<u128>)| {
                let later: HashSet<u128> = blocks[at + 1..].iter().flatten().copied().collect();
                block.iter().all(|key| later.contains(key)).then_some(at as u64 + 1)
            };
            let expected: HashSet<u64> = blocks.iter().enumerate().filter_map(superseded).collect();
            prop_assert_eq!(not_current(&connection, 1, at_once).unwrap(), expected);
        }
    }
}
