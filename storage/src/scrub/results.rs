//! Verification of results.

use anabranch_engine::identity::Digest;
use anabranch_engine::store::StoreFault;

use crate::catalog::Rows;
use crate::catalog::query::Query;
use crate::catalog::reads::Reads as _;
use crate::catalog::tables::{FUNCTIONS, RESULT_BLOCKS, RESULT_PACKS};
use crate::catalog::value::Row;
use crate::results::blocks::BlockLocation;
use crate::results::packs;
use crate::results::result_block::ResultBlock;

/// Location of a block of results, its function and its number of rows.
pub(super) fn location(
    rows: &dyn Rows,
    function: i64,
    block: i64,
) -> Result<Option<(BlockLocation, i64, u64)>, StoreFault> {
    let alone = Query::of(&RESULT_BLOCKS, &["function", "rows"]).equal("id", block);
    let alone = rows.one(&alone, |row| {
        Ok((BlockLocation::Block(block.unsigned_abs()), row.number(0)?, row.unsigned(1)?))
    })?;
    if alone.is_some() {
        return Ok(alone);
    }
    let around = Query::of(&RESULT_PACKS, &["id", "pieces"]).equal("function", function);
    let around = around.up_to("first_block", block).descending("first_block").first(1);
    let held = rows.one(&around, |row| {
        // One that is torn is a fault of the pack.
        let entries = packs::entries(row.bytes(1)?).unwrap_or_default();
        let entry = entries.iter().find(|entry| entry.block == block.unsigned_abs());
        let pack = BlockLocation::Pack(row.unsigned(0)?);
        Ok(entry.map(|entry| (pack, function, u64::from(entry.rows))))
    })?;
    Ok(held.flatten())
}

/// Results that are kept together, and what is wrong with them.
pub(super) struct FoundResults {
    pub(super) rows: u64,
    pub(super) bytes: u64,
    pub(super) function: String,
    pub(super) fault: Option<String>,
}

pub(super) type ReadResults = fn(&dyn Rows, i64) -> Result<Option<FoundResults>, StoreFault>;

/// Columns that blocks and packs have.
const RESULTS: [&str; 5] = ["function", "rows", "checksum", "prefixes", "data"];

pub(super) fn read_result_block(rows: &dyn Rows, id: i64) -> Result<Option<FoundResults>, StoreFault> {
    let query = Query::of(&RESULT_BLOCKS, &RESULTS).equal("id", id);
    let found = rows.one(&query, |row| read_results(row, &[]))?;
    found.map(|(function, found)| of_function(rows, function, found)).transpose()
}

pub(super) fn read_result_pack(rows: &dyn Rows, id: i64) -> Result<Option<FoundResults>, StoreFault> {
    let [function, count, checksum, prefixes, data] = RESULTS;
    let columns = [function, count, checksum, prefixes, data, "pieces", "first_block", "last_block"];
    let found = rows.one(&Query::of(&RESULT_PACKS, &columns).equal("id", id), |row| {
        let (entries, span) = (row.bytes(5)?, (row.number(6)?, row.number(7)?));
        let (function, mut found) = read_results(row, entries)?;
        // A pack without entries reads as a block.
        if found.fault.is_none() && !entries.is_empty() {
            found.fault = torn(entries, found.rows, span);
        }
        Ok((function, found))
    })?;
    found.map(|(function, found)| of_function(rows, function, found)).transpose()
}

/// Reads the columns of [`RESULTS`], with which a row begins; returns the number of the function as well.
fn read_results(row: &Row<'_>, entries: &[u8]) -> Result<(i64, FoundResults), StoreFault> {
    let (function, rows) = (row.number(0)?, row.unsigned(1)?);
    let (checksum, prefixes, data) = (row.bytes(2)?, row.bytes(3)?, row.bytes(4)?);
    let bytes = (prefixes.len() + data.len()) as u64;
    let fault = match ResultBlock::read(entries, prefixes.to_vec(), data.to_vec(), checksum) {
        Err(found) => Some(found),
        Ok(block) if block.rows() as u64 != rows => {
            Some(format!("it has {} rows, expected {rows}", block.rows()))
        }
        Ok(_) => None,
    };
    Ok((function, FoundResults { rows, bytes, function: "an unknown function".to_owned(), fault }))
}

/// Adds the name of the function, whose absence is a fault.
fn of_function(rows: &dyn Rows, id: i64, mut found: FoundResults) -> Result<FoundResults, StoreFault> {
    let function = Query::of(&FUNCTIONS, &["name", "fingerprint"]).equal("id", id);
    let function = rows.one(&function, |row| {
        // One that is torn is a fault of the function.
        let fingerprint = row.hash(1).map_or_else(|_| "torn".to_owned(), |hash| Digest(hash).hex(12));
        Ok((row.string(0)?, fingerprint))
    })?;
    match function {
        Some((name, fingerprint)) => found.function = format!("function \"{name}\" ({fingerprint})"),
        None => {
            found.fault.get_or_insert_with(|| "its function is not in the store".to_owned());
        }
    }
    Ok(found)
}

/// Returns the fault of a pack whose entries do not match its row.
fn torn(entries: &[u8], rows: u64, (first, last): (i64, i64)) -> Option<String> {
    let Some(entries) = packs::entries(entries) else { return Some("its entries are torn".to_owned()) };
    let held: u64 = entries.iter().map(|entry| u64::from(entry.rows)).sum();
    let ends = (entries.first().map(|p| p.block), entries.last().map(|p| p.block));
    let expected = (Some(first.unsigned_abs()), Some(last.unsigned_abs()));
    (held != rows || ends != expected).then(|| "its entries do not match its row".to_owned())
}
