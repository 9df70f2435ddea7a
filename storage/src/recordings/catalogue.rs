//! The catalogue of complete recordings.

use std::sync::Arc;

use anabranch_engine::identity::{ContentHash, Digest, PipelineHash, Revisions};
use anabranch_engine::schema::StreamSchema;
use anabranch_engine::store::StoreError;
use rusqlite::{Connection, Row};

use super::schema;
use crate::error::{corrupt, sql};

const OPERATION: &str = "list recordings";
/// A limit that is none.
const ALL: i64 = -1;
/// Recordings of a content hash that are worth a look: all but the first are only of use where
/// that one cannot stand for the node any more.
const MOST_OF_CONTENT: i64 = 16;

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
    connection: &Connection,
    pipeline: &str,
    node: &str,
) -> Result<Vec<RecordingInfo>, StoreError> {
    select(connection, "pipeline = ?1 AND node = ?2", (pipeline, node), ALL)
}

/// Complete recordings of a run, the newest first.
pub(crate) fn recordings_in(connection: &Connection, run: &str) -> Result<Vec<RecordingInfo>, StoreError> {
    select(connection, "run = ?1", [run], ALL)
}

/// The newest complete recordings of a content hash, whatever their pipeline and node.
pub(crate) fn recordings_of(
    connection: &Connection,
    content: &ContentHash,
) -> Result<Vec<RecordingInfo>, StoreError> {
    select(connection, "content_hash = ?1", [content.0.0], MOST_OF_CONTENT)
}

/// The complete recording of a number.
pub(crate) fn recording(connection: &Connection, id: u64) -> Result<Option<RecordingInfo>, StoreError> {
    // No recording has a number beyond those of the database.
    let Ok(id) = i64::try_from(id) else { return Ok(None) };
    Ok(select(connection, "id = ?1", [id], 1)?.into_iter().next())
}

fn select(
    connection: &Connection,
    condition: &str,
    parameters: impl rusqlite::Params,
    most: i64,
) -> Result<Vec<RecordingInfo>, StoreError> {
    let failed = |e| sql(OPERATION, e);
    // A column of a later format than `READ_FORMAT` may only be named here where the table has it: a store that
    // cannot be written is read as it is.
    let revisions = if has_revisions(connection).map_err(failed)? { "revisions" } else { "NULL" };
    let query = format!(
        "SELECT id, pipeline, node, run, content_hash, pipeline_hash, schema, ordered, rows, completed_ms,
                {revisions}
         FROM recordings WHERE {condition} AND complete = 1 ORDER BY id DESC LIMIT {most}"
    );
    let mut statement = connection.prepare_cached(&query).map_err(failed)?;
    let mut rows = statement.query(parameters).map_err(failed)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next().map_err(failed)? {
        let id: i64 = row.get(0).map_err(failed)?;
        let bytes: Vec<u8> = row.get(6).map_err(failed)?;
        let damaged = |found: &str| corrupt(OPERATION, &format!("recording {id}"), found);
        let schema = schema::decode(&bytes).map_err(|found| damaged(&found))?;
        let revisions: Option<String> = row.get(10).map_err(failed)?;
        let unknown = || damaged("its revisions cannot be read");
        let revisions = revisions.map(|text| Revisions::parse(&text).ok_or_else(unknown)).transpose()?;
        found.push(info(row, schema, revisions).map_err(failed)?);
    }
    Ok(found)
}

/// A store of an earlier format that cannot be written does not have the column.
pub(super) fn has_revisions(connection: &Connection) -> rusqlite::Result<bool> {
    connection
        .prepare_cached("SELECT count(*) FROM pragma_table_info('recordings') WHERE name = 'revisions'")?
        .query_row([], |row| row.get(0))
}

fn info(
    row: &Row<'_>,
    schema: Arc<StreamSchema>,
    revisions: Option<Revisions>,
) -> rusqlite::Result<RecordingInfo> {
    Ok(RecordingInfo {
        id: row.get(0)?,
        pipeline: row.get(1)?,
        node: row.get(2)?,
        run: row.get(3)?,
        content: ContentHash(Digest(row.get(4)?)),
        pipeline_hash: PipelineHash(Digest(row.get(5)?)),
        schema,
        ordered: row.get(7)?,
        rows: row.get::<_, i64>(8)?.unsigned_abs(),
        completed_ms: row.get(9)?,
        revisions,
    })
}

/// Names of the nodes of a pipeline that have a complete recording, in alphabetical order.
pub(crate) fn nodes(connection: &Connection, pipeline: &str) -> Result<Vec<String>, StoreError> {
    const NODES: &str =
        "SELECT DISTINCT node FROM recordings WHERE pipeline = ?1 AND complete = 1 ORDER BY node";
    names(connection, NODES, [pipeline])
}

/// Names of the pipelines that have a complete recording, in alphabetical order.
pub(crate) fn pipelines(connection: &Connection) -> Result<Vec<String>, StoreError> {
    names(connection, "SELECT DISTINCT pipeline FROM recordings WHERE complete = 1 ORDER BY pipeline", [])
}

fn names(
    connection: &Connection,
    query: &str,
    parameters: impl rusqlite::Params,
) -> Result<Vec<String>, StoreError> {
    let failed = |e| sql(OPERATION, e);
    let mut statement = connection.prepare_cached(query).map_err(failed)?;
    let names = statement.query_map(parameters, |row| row.get(0)).map_err(failed)?;
    names.collect::<rusqlite::Result<_>>().map_err(failed)
}
