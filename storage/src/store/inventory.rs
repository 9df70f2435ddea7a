//! Contents and size of a store.

use anabranch_engine::store::StoreError;
use rusqlite::Connection;

use super::Store;
use crate::error::sql;
use crate::sqlite::database::disk_bytes;
use crate::sqlite::schema::has_table;

const OPERATION: &str = "list store";

/// A function that the store has results or recordings of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FunctionEntry {
    /// The name under which it was first seen.
    pub name: String,
    /// Its fingerprint in hex digits.
    pub fingerprint: String,
    /// Versions of results; a packet that was refreshed has several.
    pub versions: u64,
    /// Bytes of the blocks that hold them.
    pub bytes: u64,
    /// Complete recordings that refer to them.
    pub recordings: u64,
    /// Time of its first use, in milliseconds since 1970.
    pub created_ms: i64,
}

/// A complete recording.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordingEntry {
    /// The pipeline.
    pub pipeline: String,
    /// The node.
    pub node: String,
    /// The run.
    pub run: String,
    /// Number of rows.
    pub rows: u64,
    /// Bytes of its blocks, without results.
    pub bytes: u64,
    /// Bytes of those that other recordings have as well.
    pub shared_bytes: u64,
    /// Time of its completion, in milliseconds since 1970.
    pub completed_ms: i64,
}

/// Contents of a store.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inventory {
    /// Functions by name, the newest first.
    pub functions: Vec<FunctionEntry>,
    /// Recordings by pipeline and node, the newest first.
    pub recordings: Vec<RecordingEntry>,
}

/// Size of a store.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StoreSize {
    /// Bytes of the database on the disk, its log included.
    pub disk_bytes: u64,
    /// Bytes of results.
    pub result_bytes: u64,
    /// Versions of results.
    pub versions: u64,
    /// Bytes of the sorted keys by which results are found, and of their filters.
    pub key_bytes: u64,
    /// Bytes of the blocks of recordings.
    pub record_bytes: u64,
    /// Bytes of these if nothing was shared.
    pub unshared_bytes: u64,
    /// Complete recordings.
    pub recordings: u64,
    /// Bytes of the database that hold nothing.
    pub free_bytes: u64,
}

impl Store {
    /// Lists what the store holds. Blocks for a read of the database.
    ///
    /// Memory: some hundred bytes for each function and recording.
    pub fn inventory(&self) -> Result<Inventory, StoreError> {
        let connection = self.reader()?;
        let functions = functions(&connection).map_err(|e| sql(OPERATION, e))?;
        let recordings = recordings(&connection).map_err(|e| sql(OPERATION, e))?;
        Ok(Inventory { functions, recordings })
    }

    /// Sums up what the store takes. Blocks for a read of the database.
    pub fn size(&self) -> Result<StoreSize, StoreError> {
        let connection = self.reader()?;
        let mut size = size(&connection).map_err(|e| sql(OPERATION, e))?;
        size.key_bytes += filter_bytes(&connection).map_err(|e| sql(OPERATION, e))?;
        size.disk_bytes = disk_bytes(self.dir());
        Ok(size)
    }
}

fn number(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<u64> {
    Ok(row.get::<_, i64>(column)?.unsigned_abs())
}

fn functions(connection: &Connection) -> rusqlite::Result<Vec<FunctionEntry>> {
    let query = "
        SELECT f.name, lower(hex(f.fingerprint)), coalesce(b.rows, 0), coalesce(b.bytes, 0),
          (SELECT count(*) FROM recordings r WHERE r.function = f.id AND r.complete = 1) AS recordings,
          f.created_ms
        FROM functions f LEFT JOIN (
          SELECT function, sum(rows) AS rows, sum(bytes) AS bytes FROM (
            SELECT function, rows, length(prefixes) + length(data) AS bytes FROM result_blocks
            UNION ALL
            SELECT function, rows, length(prefixes) + length(data) FROM result_packs)
          GROUP BY function) b ON b.function = f.id
        WHERE b.rows IS NOT NULL OR recordings > 0 ORDER BY f.name, f.id DESC";
    let read = |row: &rusqlite::Row<'_>| {
        Ok(FunctionEntry {
            name: row.get(0)?,
            fingerprint: row.get(1)?,
            versions: number(row, 2)?,
            bytes: number(row, 3)?,
            recordings: number(row, 4)?,
            created_ms: row.get(5)?,
        })
    };
    connection.prepare(query)?.query_map([], read)?.collect()
}

fn recordings(connection: &Connection) -> rusqlite::Result<Vec<RecordingEntry>> {
    // A block that a recording has twice is counted once.
    let query = "
        SELECT r.pipeline, r.node, r.run, r.rows, r.completed_ms, coalesce(sum(b.bytes), 0),
          coalesce(sum(CASE WHEN EXISTS (SELECT 1 FROM recording_blocks o
            WHERE o.block = b.id AND o.recording <> r.id) THEN b.bytes ELSE 0 END), 0)
        FROM recordings r
        LEFT JOIN (SELECT DISTINCT recording, block FROM recording_blocks) rb ON rb.recording = r.id
        LEFT JOIN blocks b ON b.id = rb.block
        WHERE r.complete = 1 GROUP BY r.id ORDER BY r.pipeline, r.node, r.id DESC";
    let read = |row: &rusqlite::Row<'_>| {
        Ok(RecordingEntry {
            pipeline: row.get(0)?,
            node: row.get(1)?,
            run: row.get(2)?,
            rows: number(row, 3)?,
            completed_ms: row.get(4)?,
            bytes: number(row, 5)?,
            shared_bytes: number(row, 6)?,
        })
    };
    connection.prepare(query)?.query_map([], read)?.collect()
}

/// A store of an earlier program that cannot be written does not have the table.
fn filter_bytes(connection: &Connection) -> rusqlite::Result<u64> {
    if !has_table(connection, "key_filters")? {
        return Ok(0);
    }
    let query = "SELECT coalesce(sum(length(data)), 0) FROM key_filters";
    connection.query_row(query, [], |row| number(row, 0))
}

fn size(connection: &Connection) -> rusqlite::Result<StoreSize> {
    let query = "SELECT
        (SELECT coalesce(sum(length(prefixes) + length(data)), 0) FROM result_blocks)
          + (SELECT coalesce(sum(length(prefixes) + length(data)), 0) FROM result_packs),
        (SELECT coalesce(sum(rows), 0) FROM result_blocks) + (SELECT coalesce(sum(rows), 0) FROM result_packs),
        (SELECT coalesce(sum(bytes), 0) FROM blocks),
        (SELECT coalesce(sum(b.bytes), 0) FROM recording_blocks rb JOIN blocks b ON b.id = rb.block),
        (SELECT count(*) FROM recordings WHERE complete = 1),
        (SELECT coalesce(sum(length(data)), 0) FROM key_pages),
        (SELECT freelist_count FROM pragma_freelist_count) * (SELECT page_size FROM pragma_page_size)";
    connection.query_row(query, [], |row| {
        Ok(StoreSize {
            disk_bytes: 0,
            result_bytes: number(row, 0)?,
            versions: number(row, 1)?,
            record_bytes: number(row, 2)?,
            unshared_bytes: number(row, 3)?,
            recordings: number(row, 4)?,
            key_bytes: number(row, 5)?,
            free_bytes: number(row, 6)?,
        })
    })
}
