//! Versions that are withdrawn: they stay in their blocks, for the recordings that refer to them, and no look-up
//! finds them.

use std::collections::HashMap;

use anabranch_engine::store::{ResultId, StoreError, StoredFunction, VersionSpan};
use rusqlite::Connection;
use rusqlite::Error::FromSqlConversionFailure;
use rusqlite::types::Type;

use super::functions;
use super::packs;
use super::result_ref::ResultRef;
use crate::error::sql;
use crate::sqlite::schema::has_table;
use crate::sqlite::sql_number;

const OPERATION: &str = "withdraw results";

/// Rows of a block that are withdrawn: the first, and how many.
type RowSpan = (u32, u32);

/// Withdraws versions of a function and returns how many rows that concerns. A span that goes from block to
/// block takes the function's blocks between as well. Within a transaction of the writer.
pub(crate) fn withdraw(
    connection: &Connection,
    function: &StoredFunction,
    spans: &[VersionSpan],
) -> Result<u64, StoreError> {
    let Some(known) = functions::known(connection, &function.fingerprint)? else { return Ok(0) };
    // A key whose version is withdrawn gets another.
    functions::note_several_versions(connection, &known)?;
    let mut withdrawn = 0;
    for span in spans {
        for (block, rows) in blocks(connection, known.id, span).map_err(|e| sql(OPERATION, e))? {
            let first = if block == span.first.commit() { span.first.row() } else { 0 };
            let end =
                if block == span.last.commit() { rows.min(span.last.row().saturating_add(1)) } else { rows };
            if first < end {
                insert(connection, known.id, block, (first, end - first)).map_err(|e| sql(OPERATION, e))?;
                withdrawn += u64::from(end - first);
            }
        }
    }
    Ok(withdrawn)
}

fn insert(
    connection: &Connection,
    function: i64,
    block: u64,
    (first, rows): RowSpan,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO withdrawn_results (block, first_row, rows, function) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (block, first_row) DO UPDATE SET rows = max(rows, excluded.rows)",
        )?
        .execute((sql_number(block), first, rows, function))
        .map(drop)
}

/// The function's blocks that a span touches, with their rows, wherever they are kept.
fn blocks(connection: &Connection, function: i64, span: &VersionSpan) -> rusqlite::Result<Vec<(u64, u32)>> {
    let (first, last) = (span.first.commit(), span.last.commit());
    let mut found = Vec::new();
    let mut select = connection
        .prepare_cached("SELECT id, rows FROM result_blocks WHERE function = ?1 AND id BETWEEN ?2 AND ?3")?;
    let mut rows = select.query((function, number(first), number(last)))?;
    while let Some(row) = rows.next()? {
        found.push((row.get::<_, i64>(0)?.unsigned_abs(), row.get(1)?));
    }
    // Spans of packs do not overlap, so the first one that ends before ends the search.
    let mut select = connection.prepare_cached(
        "SELECT last_block, pieces FROM result_packs WHERE function = ?1 AND first_block <= ?2
         ORDER BY first_block DESC",
    )?;
    let mut rows = select.query((function, number(last)))?;
    while let Some(row) = rows.next()? {
        if row.get::<_, i64>(0)?.unsigned_abs() < first {
            break;
        }
        let torn = || FromSqlConversionFailure(1, Type::Blob, "the entries of a pack are torn".into());
        let entries = packs::entries(row.get_ref(1)?.as_blob()?).ok_or_else(torn)?;
        let touched = entries.into_iter().filter(|entry| (first..=last).contains(&entry.block));
        found.extend(touched.map(|entry| (entry.block, entry.rows)));
    }
    Ok(found)
}

/// A bound of a span, read from a recording: one beyond all numbers is as good as the last.
fn number(block: u64) -> i64 {
    i64::try_from(block).unwrap_or(i64::MAX)
}

/// Withdrawn rows of some blocks.
///
/// Memory: 8 bytes for each span of rows that were withdrawn together.
#[derive(Debug, Default)]
pub(crate) struct Withdrawn(HashMap<u64, Vec<RowSpan>>);

impl Withdrawn {
    /// Returns true if a function has withdrawn rows. A store of an earlier format that cannot be written does not have
    /// the table.
    pub(crate) fn any(connection: &Connection, function: i64) -> Result<bool, StoreError> {
        let failed = |e| sql(OPERATION, e);
        if !has_table(connection, "withdrawn_results").map_err(failed)? {
            return Ok(false);
        }
        connection
            .prepare_cached("SELECT EXISTS (SELECT 1 FROM withdrawn_results WHERE function = ?1)")
            .and_then(|mut select| select.query_row([function], |row| row.get(0)))
            .map_err(failed)
    }

    /// Reads the withdrawn rows of one block of a function that [has some](Self::any).
    pub(crate) fn of_block(connection: &Connection, block: u64) -> Result<Self, StoreError> {
        const OF_BLOCK: &str = "SELECT block, first_row, rows FROM withdrawn_results WHERE block = ?1";
        Self::read(connection, OF_BLOCK, number(block)).map_err(|e| sql(OPERATION, e))
    }

    /// Reads the withdrawn rows of a function.
    pub(crate) fn of_function(connection: &Connection, function: i64) -> Result<Self, StoreError> {
        const OF_FUNCTION: &str = "SELECT block, first_row, rows FROM withdrawn_results WHERE function = ?1";
        if !Self::any(connection, function)? {
            return Ok(Self::default());
        }
        Self::read(connection, OF_FUNCTION, function).map_err(|e| sql(OPERATION, e))
    }

    fn read(connection: &Connection, query: &str, of: i64) -> rusqlite::Result<Self> {
        let mut found = Self::default();
        let mut select = connection.prepare_cached(query)?;
        let mut rows = select.query([of])?;
        while let Some(row) = rows.next()? {
            let block = row.get::<_, i64>(0)?.unsigned_abs();
            found.0.entry(block).or_default().push((row.get(1)?, row.get(2)?));
        }
        Ok(found)
    }

    /// Returns true if a version is withdrawn.
    pub(crate) fn has(&self, version: ResultRef) -> bool {
        let rows = self.0.get(&version.block).map_or(&[][..], Vec::as_slice);
        rows.iter().any(|(first, rows)| version.row >= *first && version.row - first < *rows)
    }
}

/// Returns the faults of withdrawn rows, each with its place; at most `most` of them.
pub(crate) fn faults(connection: &Connection, most: usize) -> rusqlite::Result<Vec<(String, String)>> {
    let mut faults = Vec::new();
    if !has_table(connection, "withdrawn_results")? {
        return Ok(faults);
    }
    let mut select =
        connection.prepare_cached("SELECT block, first_row, rows, function FROM withdrawn_results")?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        let (block, first, count, function): (i64, i64, i64, i64) =
            (row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?);
        let of = VersionSpan::of(ResultId::new(block.unsigned_abs(), 0));
        let has = blocks(connection, function, &of)?;
        let end = first.saturating_add(count);
        // A block that was removed stays withdrawn.
        let beyond = has.first().is_some_and(|(_, rows)| end > i64::from(*rows));
        if first < 0 || count < 1 || beyond {
            let place = format!("withdrawn rows of result block {block}");
            faults.push((place, format!("found rows {first} to {end}, expected rows that it has")));
        }
        if faults.len() >= most {
            break;
        }
    }
    Ok(faults)
}

/// Removes the withdrawn rows of a function, all of whose results and runs of keys were removed. As long as a run of
/// keys leads to a version, it stays withdrawn, also when its block was removed: a process may have the block in memory.
pub(crate) fn forget(connection: &Connection, function: i64) -> rusqlite::Result<()> {
    connection
        .prepare_cached("DELETE FROM withdrawn_results WHERE function = ?1")?
        .execute([function])
        .map(drop)
}
