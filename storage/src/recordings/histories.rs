//! Histories of cumulative sources: for each source id the recording that has the newest version
//! of every record.
//!
//! A history moves on in the transaction that completes the next recording, and only from the one
//! that it was made of. So nothing is ever half in it, and of two that moved it at once the second
//! has to begin again from what the first has made.

use anabranch_engine::store::StoreFault;

use super::catalogue::{self, RecordingInfo};
use crate::catalog::query::Query;
use crate::catalog::reads::Reads as _;
use crate::catalog::tables::HISTORIES;
use crate::catalog::{Rows, Transaction};

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
pub(crate) fn find(rows: &dyn Rows, source_id: &str) -> Result<Option<History>, StoreFault> {
    let query = Query::of(&HISTORIES, &["record_id", "recording"]).equal("source_id", source_id);
    let row = rows.one(&query, |row| Ok((row.string(0)?, row.unsigned(1)?)))?;
    let Some((record_id, recording)) = row else { return Ok(None) };
    let damaged = |found: &str| StoreFault::damaged(format!("the history of \"{source_id}\""), found);
    let record_id = serde_json::from_str(&record_id).map_err(|e| damaged(&e.to_string()))?;
    let recording =
        catalogue::recording(rows, recording)?.ok_or_else(|| damaged("its recording is not in the store"))?;
    Ok(Some(History { record_id, recording }))
}

/// Returns true if the newest recording of the history is still the one that the step begins with.
pub(crate) fn stands(rows: &dyn Rows, step: &HistoryStep) -> Result<bool, StoreFault> {
    let query = Query::of(&HISTORIES, &["recording"]).equal("source_id", &step.source_id);
    let newest = rows.one(&query, |row| row.number(0))?;
    Ok(newest == step.base)
}

/// Makes a recording the newest of its history.
pub(crate) fn move_on(
    transaction: &dyn Transaction,
    step: &HistoryStep,
    recording: i64,
) -> Result<(), StoreFault> {
    let record_id = serde_json::Value::from(step.record_id.clone()).to_string();
    let row = [
        ("source_id", (&step.source_id).into()),
        ("record_id", (&record_id).into()),
        ("recording", recording.into()),
    ];
    transaction.put(&HISTORIES, &row)
}
