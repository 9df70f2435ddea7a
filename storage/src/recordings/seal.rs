//! Checksums of recordings, over the values of their row and the hashes of their blocks.
//!
//! Blocks are named by their content. These checksums guard the references to them.

use anabranch_engine::store::StoreError;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension as _};

use super::catalogue::has_revisions;
use crate::error::sql;
use crate::sqlite::schema::has_table;

const ROW: &str = "SELECT r.pipeline, r.node, r.content_hash, r.pipeline_hash, r.run, r.schema, r.ordered,
       f.fingerprint, r.function_name, r.outputs, r.origins, r.rows, r.completed_ms
     FROM recordings r LEFT JOIN functions f ON f.id = r.function WHERE r.id = ?1";
/// A recording of format 3 has none, and its checksum covers none.
const REVISIONS: &str = "SELECT revisions FROM recordings WHERE id = ?1 AND revisions IS NOT NULL";
const BLOCKS: &str = "SELECT rb.position, b.hash, rb.rows
     FROM recording_blocks rb LEFT JOIN blocks b ON b.id = rb.block WHERE rb.recording = ?1
     ORDER BY rb.position";

/// Writes down the checksum of a recording that has just been completed.
pub(crate) fn write(connection: &Connection, recording: i64) -> Result<(), StoreError> {
    let failed = |e| sql("complete recording", e);
    let checksum = checksum(connection, recording).map_err(failed)?;
    connection
        .prepare_cached("INSERT OR REPLACE INTO recording_checksums VALUES (?1, ?2)")
        .and_then(|mut insert| insert.execute((recording, checksum)))
        .map_err(failed)?;
    Ok(())
}

/// Compares a recording with its checksum; none if it has no checksum.
pub(crate) fn holds(connection: &Connection, recording: i64) -> rusqlite::Result<Option<bool>> {
    if !has_table(connection, "recording_checksums")? {
        return Ok(None);
    }
    let expected: Option<Vec<u8>> = connection
        .prepare_cached("SELECT checksum FROM recording_checksums WHERE recording = ?1")?
        .query_row([recording], |row| row.get(0))
        .optional()?;
    let Some(expected) = expected else { return Ok(None) };
    Ok(Some(checksum(connection, recording)? == *expected))
}

/// Removes the checksum of a recording that is removed.
pub(crate) fn remove(connection: &Connection, recording: i64) -> rusqlite::Result<()> {
    connection
        .prepare_cached("DELETE FROM recording_checksums WHERE recording = ?1")?
        .execute([recording])
        .map(drop)
}

fn checksum(connection: &Connection, recording: i64) -> rusqlite::Result<[u8; 32]> {
    let mut hasher = blake3::Hasher::new();
    let queries = [(ROW, 13), (REVISIONS, 1), (BLOCKS, 3)];
    let has_revisions = has_revisions(connection)?;
    for (query, columns) in queries.into_iter().filter(|(query, _)| has_revisions || *query != REVISIONS) {
        let mut statement = connection.prepare_cached(query)?;
        let mut rows = statement.query([recording])?;
        while let Some(row) = rows.next()? {
            for column in 0..columns {
                add(&mut hasher, row.get_ref(column)?);
            }
        }
    }
    Ok(*hasher.finalize().as_bytes())
}

/// A value as its kind, its length and its bytes, so that no two sequences of values are alike.
fn add(hasher: &mut blake3::Hasher, value: ValueRef<'_>) {
    let mut part = |kind: u8, bytes: &[u8]| {
        hasher.update(&[kind]).update(&(bytes.len() as u64).to_le_bytes()).update(bytes);
    };
    match value {
        ValueRef::Null => part(0, &[]),
        ValueRef::Integer(number) => part(1, &number.to_le_bytes()),
        ValueRef::Real(number) => part(2, &number.to_le_bytes()),
        ValueRef::Text(text) => part(3, text),
        ValueRef::Blob(bytes) => part(4, bytes),
    }
}
