//! Verification of results.

use rusqlite::{Connection, OptionalExtension as _};

use crate::results::blocks::BlockLocation;
use crate::results::packs;
use crate::results::result_block::ResultBlock;

/// Location of a block of results, its function and its number of rows.
pub(super) fn location(
    connection: &Connection,
    function: i64,
    block: i64,
) -> rusqlite::Result<Option<(BlockLocation, i64, u64)>> {
    let found: Option<(i64, i64)> = connection
        .prepare_cached("SELECT function, rows FROM result_blocks WHERE id = ?1")?
        .query_row([block], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    if let Some((owner, rows)) = found {
        return Ok(Some((BlockLocation::Block(block.unsigned_abs()), owner, rows.unsigned_abs())));
    }
    let pack: Option<(i64, Vec<u8>)> = connection
        .prepare_cached(
            "SELECT id, pieces FROM result_packs WHERE function = ?1 AND first_block <= ?2
             ORDER BY first_block DESC LIMIT 1",
        )?
        .query_row([function, block], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((pack, entries)) = pack else { return Ok(None) };
    // One that is torn is a fault of the pack.
    let entries = packs::entries(&entries).unwrap_or_default();
    let entry = entries.iter().find(|entry| entry.block == block.unsigned_abs());
    Ok(entry.map(|entry| (BlockLocation::Pack(pack.unsigned_abs()), function, u64::from(entry.rows))))
}

/// Results that are kept together, and what is wrong with them.
pub(super) struct FoundResults {
    pub(super) rows: u64,
    pub(super) bytes: u64,
    pub(super) function: String,
    pub(super) fault: Option<String>,
}

pub(super) type ReadResults = fn(&Connection, i64) -> rusqlite::Result<Option<FoundResults>>;

pub(super) fn read_result_block(connection: &Connection, id: i64) -> rusqlite::Result<Option<FoundResults>> {
    let query = "SELECT b.prefixes, b.data, b.checksum, b.rows, f.name,
           lower(hex(substr(f.fingerprint, 1, 6))), x'', b.id, b.id
         FROM result_blocks b LEFT JOIN functions f ON f.id = b.function WHERE b.id = ?1";
    read_results(connection, query, id)
}

pub(super) fn read_result_pack(connection: &Connection, id: i64) -> rusqlite::Result<Option<FoundResults>> {
    let query = "SELECT b.prefixes, b.data, b.checksum, b.rows, f.name,
           lower(hex(substr(f.fingerprint, 1, 6))), b.pieces, b.first_block, b.last_block
         FROM result_packs b LEFT JOIN functions f ON f.id = b.function WHERE b.id = ?1";
    read_results(connection, query, id)
}

fn read_results(connection: &Connection, query: &str, id: i64) -> rusqlite::Result<Option<FoundResults>> {
    let mut statement = connection.prepare_cached(query)?;
    let mut found = statement.query([id])?;
    let Some(row) = found.next()? else { return Ok(None) };
    let (prefixes, data): (Vec<u8>, Vec<u8>) = (row.get(0)?, row.get(1)?);
    let (checksum, entries): (Vec<u8>, Vec<u8>) = (row.get(2)?, row.get(6)?);
    let rows = row.get::<_, i64>(3)?.unsigned_abs();
    let function: Option<(String, String)> =
        row.get::<_, Option<String>>(4)?.zip(row.get::<_, Option<String>>(5)?);
    let span: (i64, i64) = (row.get(7)?, row.get(8)?);
    let bytes = (prefixes.len() + data.len()) as u64;
    let fault = match ResultBlock::read(&entries, prefixes, data, &checksum) {
        Err(found) => Some(found),
        Ok(block) if block.rows() as u64 != rows => {
            Some(format!("it has {} rows, expected {rows}", block.rows()))
        }
        Ok(_) if function.is_none() => Some("its function is not in the store".to_owned()),
        Ok(_) if !entries.is_empty() => torn(&entries, rows, span),
        Ok(_) => None,
    };
    let function = function.map_or_else(
        || "an unknown function".to_owned(),
        |(name, fingerprint)| format!("function \"{name}\" ({fingerprint})"),
    );
    Ok(Some(FoundResults { rows, bytes, function, fault }))
}

/// Returns the fault of a pack whose entries do not match its row.
fn torn(entries: &[u8], rows: u64, (first, last): (i64, i64)) -> Option<String> {
    let Some(entries) = packs::entries(entries) else { return Some("its entries are torn".to_owned()) };
    let held: u64 = entries.iter().map(|entry| u64::from(entry.rows)).sum();
    let ends = (entries.first().map(|p| p.block), entries.last().map(|p| p.block));
    let expected = (Some(first.unsigned_abs()), Some(last.unsigned_abs()));
    (held != rows || ends != expected).then(|| "its entries do not match its row".to_owned())
}
