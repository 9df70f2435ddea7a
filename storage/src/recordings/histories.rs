//! Histories of cumulative sources: for each source id the recording that has the newest version
//! of every record.
//!
//! A history moves on in the transaction that completes the next recording, and only from the one
//! that it was made of. So nothing is ever half in it, and of two that moved it at once the second
//! has to begin again from what the first has made.

use anabranch_engine::store::StoreError;
use rusqlite::{Connection, OptionalExtension as _};

use super::catalogue::{self, RecordingInfo};
use crate::error::{corrupt, sql};

const OPERATION: &str = "read history";

/// Everything that a cumulative source has read so far.
#[derive(Debug, Clone)]
pub struct History {
    /// The columns that make its record ids.
    pub record_id: Vec<String>,
    /// The newest version of every record, in the order in which they appeared first.
    pub recording: RecordingInfo,
}

/// A step of a history to its next recording.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryStep {
    /// The source's id.
    pub source_id: String,
    /// The columns that make its record ids.
    pub record_id: Vec<String>,
    /// The recording that the next one is made of; none where it is the first.
    pub base: Option<i64>,
}

/// Returns all that the source of an id has read so far.
pub(crate) fn find(connection: &Connection, source_id: &str) -> Result<Option<History>, StoreError> {
    let row: Option<(String, i64)> = connection
        .prepare_cached("SELECT record_id, recording FROM histories WHERE source_id = ?1")
        .and_then(|mut select| select.query_row([source_id], |row| Ok((row.get(0)?, row.get(1)?))).optional())
        .map_err(|e| sql(OPERATION, e))?;
    let Some((record_id, recording)) = row else { return Ok(None) };
    let damaged = |found: &str| corrupt(OPERATION, &format!("the history of \"{source_id}\""), found);
    let record_id = serde_json::from_str(&record_id).map_err(|e| damaged(&e.to_string()))?;
    let recording = catalogue::recording(connection, recording.unsigned_abs())?
        .ok_or_else(|| damaged("its recording is not in the store"))?;
    Ok(Some(History { record_id, recording }))
}

/// Returns true if the newest recording of the history is still the one that the step begins with.
pub(crate) fn stands(connection: &Connection, step: &HistoryStep) -> Result<bool, StoreError> {
    let newest: Option<i64> = connection
        .prepare_cached("SELECT recording FROM histories WHERE source_id = ?1")
        .and_then(|mut select| select.query_row([&step.source_id], |row| row.get(0)).optional())
        .map_err(|e| sql(OPERATION, e))?;
    Ok(newest == step.base)
}

/// Makes a recording the newest of its history.
pub(crate) fn move_on(connection: &Connection, step: &HistoryStep, recording: i64) -> Result<(), StoreError> {
    let record_id = serde_json::Value::from(step.record_id.clone()).to_string();
    connection
        .prepare_cached(
            "INSERT INTO histories VALUES (?1, ?2, ?3)
             ON CONFLICT (source_id) DO UPDATE SET record_id = excluded.record_id, recording = excluded.recording",
        )
        .and_then(|mut insert| insert.execute((&step.source_id, record_id, recording)))
        .map_err(|e| sql("keep history", e))?;
    Ok(())
}
