//! The rows of the database that a recording is read from.

use std::collections::VecDeque;

use anabranch_engine::store::{StoreError, StoreErrorKind};
use rusqlite::{Connection, OptionalExtension as _};

use super::catalogue::RecordingInfo;
use crate::error::{failure, sql};

pub(super) const OPERATION: &str = "read recording";

/// A recording's own row.
pub(super) struct StoredRow {
    pub(super) origins: String,
    pub(super) outputs: String,
    pub(super) function: Option<i64>,
    pub(super) name: Option<String>,
}

/// Reads a recording's row.
pub(super) fn row(connection: &Connection, info: &RecordingInfo) -> Result<StoredRow, StoreError> {
    let read = |row: &rusqlite::Row<'_>| {
        Ok(StoredRow { origins: row.get(0)?, outputs: row.get(1)?, function: row.get(2)?, name: row.get(3)? })
    };
    connection
        .query_row(
            "SELECT origins, outputs, function, function_name FROM recordings WHERE id = ?1 AND complete = 1",
            [info.id],
            read,
        )
        .optional()
        .map_err(|e| sql(OPERATION, e))?
        .ok_or_else(|| gone(info))
}

/// The error for a recording that was removed.
pub(super) fn gone(info: &RecordingInfo) -> StoreError {
    let message = format!("{} is no longer in the store; list the recordings again", place(info));
    failure(StoreErrorKind::Missing, OPERATION, message)
}

/// Block and rows of each position of a recording.
pub(super) fn blocks(connection: &Connection, recording: i64) -> Result<VecDeque<(i64, u64)>, StoreError> {
    let failed = |e| sql(OPERATION, e);
    let mut statement = connection
        .prepare_cached("SELECT block, rows FROM recording_blocks WHERE recording = ?1 ORDER BY position")
        .map_err(failed)?;
    let blocks =
        statement.query_map([recording], |row| Ok((row.get(0)?, row.get::<_, i64>(1)?.unsigned_abs())));
    let blocks = blocks.map_err(failed)?;
    blocks.collect::<rusqlite::Result<_>>().map_err(failed)
}
/// The recording, for messages.
pub(super) fn place(info: &RecordingInfo) -> String {
    format!("recording {} of node \"{}\" in run {}", info.id, info.node, info.run)
}
