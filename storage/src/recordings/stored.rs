//! The rows of the catalog that a recording is read from.

use std::collections::VecDeque;
use std::ops::ControlFlow::{Break, Continue};

use anabranch_engine::store::{StoreFault, StoreProblem};

use super::catalogue::RecordingInfo;
use crate::catalog::Rows;
use crate::catalog::query::Query;
use crate::catalog::reads::Reads as _;
use crate::catalog::tables::{RECORDING_BLOCKS, RECORDINGS};
use crate::catalog::value::Row;

/// A recording's own row.
pub(super) struct StoredRow {
    pub(super) origins: String,
    pub(super) outputs: String,
    pub(super) function: Option<i64>,
    pub(super) name: Option<String>,
}

/// Reads a recording's row.
pub(super) fn row(rows: &dyn Rows, info: &RecordingInfo) -> Result<StoredRow, StoreFault> {
    let columns = ["origins", "outputs", "function", "function_name"];
    let query = Query::of(&RECORDINGS, &columns).equal("id", info.id).equal("complete", true);
    let read = |row: &Row<'_>| {
        Ok(StoredRow {
            origins: row.string(0)?,
            outputs: row.string(1)?,
            function: row.optional(2, Row::number)?,
            name: row.optional(3, Row::string)?,
        })
    };
    rows.one(&query, read)?.ok_or_else(|| gone(info))
}

/// The fault of a recording that was removed.
pub(super) fn gone(info: &RecordingInfo) -> StoreFault {
    StoreProblem::Missing(format!("{} is no longer in the store; list the recordings again", place(info)))
        .into()
}

/// Block and rows of each position of a recording, in order.
pub(super) fn positions(recording: i64) -> Query<'static> {
    Query::of(&RECORDING_BLOCKS, &["block", "rows"]).equal("recording", recording).ascending("position")
}

/// Block and rows of each position of a recording.
pub(super) fn blocks(rows: &dyn Rows, recording: i64) -> Result<VecDeque<(i64, u64)>, StoreFault> {
    Ok(rows.all(&positions(recording), |row| Ok((row.number(0)?, row.unsigned(1)?)))?.into())
}

/// Returns true if a block is in a recording that counts.
pub(crate) fn is_used(rows: &dyn Rows, block: i64, counts: impl Fn(i64) -> bool) -> Result<bool, StoreFault> {
    let mut is_used = false;
    let users = Query::of(&RECORDING_BLOCKS, &["recording"]).equal("block", block);
    rows.each(&users, |row| {
        is_used = counts(row.number(0)?);
        Ok::<_, StoreFault>(if is_used { Break(()) } else { Continue(()) })
    })?;
    Ok(is_used)
}

/// The recording, for messages.
pub(super) fn place(info: &RecordingInfo) -> String {
    format!("recording {} of node \"{}\" in run {}", info.id, info.node, info.run)
}
