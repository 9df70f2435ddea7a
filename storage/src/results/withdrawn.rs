//! Versions that are withdrawn: they stay in their blocks, for the recordings that refer to them, and no look-up
//! finds them.

use std::collections::HashMap;
use std::ops::ControlFlow::{Break, Continue};

use anabranch_engine::store::{ResultId, StoreFault, StoredFunction, VersionSpan};

use super::functions;
use super::packs;
use super::result_ref::ResultRef;
use crate::catalog::query::{Filter, Query};
use crate::catalog::reads::Reads as _;
use crate::catalog::tables::{RESULT_BLOCKS, RESULT_PACKS, WITHDRAWN_RESULTS};
use crate::catalog::{Rows, Transaction};

/// Rows of a block that are withdrawn: the first, and how many.
type RowSpan = (u32, u32);

/// Withdraws versions of a function and returns how many rows that concerns. A span that goes from block to
/// block takes the function's blocks between as well. Within a transaction of the writer.
pub(crate) fn withdraw(
    transaction: &dyn Transaction,
    function: &StoredFunction,
    spans: &[VersionSpan],
) -> Result<u64, StoreFault> {
    let Some(known) = functions::known(transaction, &function.fingerprint)? else { return Ok(0) };
    // A key whose version is withdrawn gets another.
    functions::note_several_versions(transaction, &known)?;
    let mut withdrawn = 0;
    for span in spans {
        for (block, rows) in blocks(transaction, known.id, span)? {
            let first = if block == span.first.commit() { span.first.row() } else { 0 };
            let end =
                if block == span.last.commit() { rows.min(span.last.row().saturating_add(1)) } else { rows };
            if first < end {
                insert(transaction, known.id, block, (first, end - first))?;
                withdrawn += u64::from(end - first);
            }
        }
    }
    Ok(withdrawn)
}

fn insert(
    transaction: &dyn Transaction,
    function: i64,
    block: u64,
    (first, rows): RowSpan,
) -> Result<(), StoreFault> {
    let known = Query::of(&WITHDRAWN_RESULTS, &["rows"]).equal("block", block).equal("first_row", first);
    let known = transaction.one(&known, |row| row.small(0))?;
    let row = [
        ("block", block.into()),
        ("first_row", first.into()),
        ("rows", known.map_or(rows, |known| known.max(rows)).into()),
        ("function", function.into()),
    ];
    transaction.put(&WITHDRAWN_RESULTS, &row)
}

/// The function's blocks that a span touches, with their rows, wherever they are kept.
fn blocks(rows: &dyn Rows, function: i64, span: &VersionSpan) -> Result<Vec<(u64, u32)>, StoreFault> {
    let (first, last) = (span.first.commit(), span.last.commit());
    let alone = Query::of(&RESULT_BLOCKS, &["id", "rows"]).equal("function", function);
    let alone = alone.between("id", number(first), number(last));
    let mut found = rows.all(&alone, |row| Ok((row.unsigned(0)?, row.small(1)?)))?;
    // Spans of packs do not overlap, so the first one that ends before ends the search.
    let packs = Query::of(&RESULT_PACKS, &["id", "last_block", "pieces"]).equal("function", function);
    let packs = packs.up_to("first_block", number(last)).descending("first_block");
    rows.each(&packs, |row| {
        if row.unsigned(1)? < first {
            return Ok::<_, StoreFault>(Break(()));
        }
        let entries = packs::entries(row.bytes(2)?);
        let place = format!("result pack {}", row.number(0)?);
        let entries = entries.ok_or_else(|| StoreFault::damaged(place, "its entries are torn"))?;
        let touched = entries.into_iter().filter(|entry| (first..=last).contains(&entry.block));
        found.extend(touched.map(|entry| (entry.block, entry.rows)));
        Ok(Continue(()))
    })?;
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
    /// Returns true if a function has withdrawn rows.
    pub(crate) fn any(rows: &dyn Rows, function: i64) -> Result<bool, StoreFault> {
        rows.exists(&Query::of(&WITHDRAWN_RESULTS, &[]).equal("function", function).first(1))
    }

    /// Reads the withdrawn rows of one block of a function that [has some](Self::any).
    pub(crate) fn of_block(rows: &dyn Rows, block: u64) -> Result<Self, StoreFault> {
        Self::read(rows, "block", number(block))
    }

    /// Reads the withdrawn rows of a function.
    pub(crate) fn of_function(rows: &dyn Rows, function: i64) -> Result<Self, StoreFault> {
        Self::read(rows, "function", function)
    }

    fn read(rows: &dyn Rows, column: &'static str, of: i64) -> Result<Self, StoreFault> {
        let mut found = Self::default();
        let query = Query::of(&WITHDRAWN_RESULTS, &["block", "first_row", "rows"]).equal(column, of);
        rows.each(&query, |row| {
            found.0.entry(row.unsigned(0)?).or_default().push((row.small(1)?, row.small(2)?));
            Ok::<_, StoreFault>(Continue(()))
        })?;
        Ok(found)
    }

    /// Returns true if a version is withdrawn.
    pub(crate) fn has(&self, version: ResultRef) -> bool {
        let rows = self.0.get(&version.block).map_or(&[][..], Vec::as_slice);
        rows.iter().any(|(first, rows)| version.row >= *first && version.row - first < *rows)
    }
}

/// Returns the faults of withdrawn rows, each with its place; at most `most` of them.
pub(crate) fn faults(rows: &dyn Rows, most: usize) -> Result<Vec<(String, String)>, StoreFault> {
    let mut faults = Vec::new();
    let all = Query::of(&WITHDRAWN_RESULTS, &["block", "first_row", "rows", "function"]);
    rows.each(&all, |row| {
        let (block, first, count, function) =
            (row.number(0)?, row.number(1)?, row.number(2)?, row.number(3)?);
        let of = VersionSpan::of(ResultId::new(block.unsigned_abs(), 0));
        let has = blocks(rows, function, &of)?;
        let end = first.saturating_add(count);
        // A block that was removed stays withdrawn.
        let beyond = has.first().is_some_and(|(_, rows)| end > i64::from(*rows));
        if first < 0 || count < 1 || beyond {
            let place = format!("withdrawn rows of result block {block}");
            faults.push((place, format!("found rows {first} to {end}, expected rows that it has")));
        }
        Ok::<_, StoreFault>(if faults.len() < most { Continue(()) } else { Break(()) })
    })?;
    Ok(faults)
}

/// Removes the withdrawn rows of a function, all of whose results and runs of keys were removed. As long as a run of
/// keys leads to a version, it stays withdrawn, also when its block was removed: a process may have the block in memory.
pub(crate) fn forget(transaction: &dyn Transaction, function: i64) -> Result<(), StoreFault> {
    transaction.delete(&WITHDRAWN_RESULTS, &Filter::of("function", function)).map(drop)
}
