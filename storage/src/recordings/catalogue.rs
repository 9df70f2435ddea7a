//! The catalogue of complete recordings.

use std::ops::ControlFlow;
use std::sync::Arc;

use anabranch_engine::identity::{ContentHash, Digest, PipelineHash, Revisions};
use anabranch_engine::schema::StreamSchema;
use anabranch_engine::store::StoreFault;

use super::schema;
use crate::catalog::Rows;
use crate::catalog::query::{Filter, Query};
use crate::catalog::reads::Reads as _;
use crate::catalog::tables::RECORDINGS;
use crate::catalog::value::Row;

/// The columns that describe a recording.
const COLUMNS: [&str; 11] = [
    "id",
    "pipeline",
    "node",
    "run",
    "content_hash",
    "pipeline_hash",
    "schema",
    "ordered",
    "rows",
    "completed_ms",
    "revisions",
];
/// Recordings of a content hash that are worth a look: all but the first are only of use where
/// that one cannot stand for the node any more.
const MOST_OF_CONTENT: u64 = 16;

/// A complete recording.
#[derive(Debug, Clone)]
pub struct RecordingInfo {
    /// Its number in the store; a later recording has a higher one.
    pub id: i64,
    /// Name of the pipeline.
    pub pipeline: String,
    /// Name of the node.
    pub node: String,
    /// The run that made it.
    pub run: String,
    /// The node's content hash in that run.
    pub content: ContentHash,
    /// The node's pipeline hash in that run.
    pub pipeline_hash: PipelineHash,
    /// The node's output schema in that run.
    pub schema: Arc<StreamSchema>,
    /// True if the order of its rows is defined.
    pub ordered: bool,
    /// Number of rows.
    pub rows: u64,
    /// Time of its completion, in milliseconds since 1970.
    pub completed_ms: i64,
    /// Revisions of the code that its rows depend on beside what the hashes name; none of a
    /// recording that was made before they were kept.
    pub revisions: Option<Revisions>,
}

/// Complete recordings of a node, the newest first.
pub(crate) fn recordings(
    rows: &dyn Rows,
    pipeline: &str,
    node: &str,
) -> Result<Vec<RecordingInfo>, StoreFault> {
    select(rows, Filter::of("pipeline", pipeline).and("node", node), None)
}

/// Complete recordings of a run, the newest first.
pub(crate) fn recordings_in(rows: &dyn Rows, run: &str) -> Result<Vec<RecordingInfo>, StoreFault> {
    select(rows, Filter::of("run", run), None)
}

/// The newest complete recordings of a content hash, whatever their pipeline and node.
pub(crate) fn recordings_of(
    rows: &dyn Rows,
    content: &ContentHash,
) -> Result<Vec<RecordingInfo>, StoreFault> {
    select(rows, Filter::of("content_hash", &content.0.0), Some(MOST_OF_CONTENT))
}

/// The complete recording of a number.
pub(crate) fn recording(rows: &dyn Rows, id: u64) -> Result<Option<RecordingInfo>, StoreFault> {
    // No recording has a number beyond those of the catalog.
    let Ok(id) = i64::try_from(id) else { return Ok(None) };
    Ok(select(rows, Filter::of("id", id), Some(1))?.into_iter().next())
}

/// The complete ones among the recordings of a filter, the newest first.
fn select(rows: &dyn Rows, filter: Filter<'_>, most: Option<u64>) -> Result<Vec<RecordingInfo>, StoreFault> {
    let filter = filter.and("complete", true);
    let query = Query { filter, limit: most, ..Query::of(&RECORDINGS, &COLUMNS) }.descending("id");
    rows.all(&query, info)
}

/// Reads [`COLUMNS`].
fn info(row: &Row<'_>) -> Result<RecordingInfo, StoreFault> {
    let id = row.number(0)?;
    let damaged = |found: &str| StoreFault::damaged(format!("recording {id}"), found);
    let schema = schema::decode(row.bytes(6)?).map_err(|found| damaged(&found))?;
    let revisions = row.optional(10, Row::string)?;
    let unknown = || damaged("its revisions cannot be read");
    let revisions = revisions.map(|text| Revisions::parse(&text).ok_or_else(unknown)).transpose()?;
    Ok(RecordingInfo {
        id,
        pipeline: row.string(1)?,
        node: row.string(2)?,
        run: row.string(3)?,
        content: ContentHash(Digest(row.hash(4)?)),
        pipeline_hash: PipelineHash(Digest(row.hash(5)?)),
        schema,
        ordered: row.flag(7)?,
        rows: row.unsigned(8)?,
        completed_ms: row.number(9)?,
        revisions,
    })
}

/// Names of the nodes of a pipeline that have a complete recording, in alphabetical order.
pub(crate) fn nodes(rows: &dyn Rows, pipeline: &str) -> Result<Vec<String>, StoreFault> {
    names(rows, "node", Filter::of("pipeline", pipeline))
}

/// Names of the pipelines that have a complete recording, in alphabetical order.
pub(crate) fn pipelines(rows: &dyn Rows) -> Result<Vec<String>, StoreFault> {
    names(rows, "pipeline", Filter::all())
}

/// The values of a column of complete recordings, each once, in alphabetical order.
fn names(rows: &dyn Rows, column: &'static str, of: Filter<'_>) -> Result<Vec<String>, StoreFault> {
    let filter = of.and("complete", true);
    let query = Query { filter, ..Query::of(&RECORDINGS, &[column]) }.ascending(column);
    let mut names: Vec<String> = Vec::new();
    rows.each(&query, |row| {
        let name = row.string(0)?;
        if names.last() != Some(&name) {
            names.push(name);
        }
        Ok::<_, StoreFault>(ControlFlow::Continue(()))
    })?;
    Ok(names)
}
