//! Reading a recording back, without a runtime.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anabranch_engine::chunk::Chunk;
use anabranch_engine::identity::{Fingerprint, PacketHash, ResultKey};
use anabranch_engine::provenance::{
    Origin, OriginId, Origins, Positions, Provenance, ProvenanceColumn, output_position,
};
use anabranch_engine::schema::StreamSchema;
use anabranch_engine::store::{StoreError, StoreErrorKind};
use arrow::array::ArrayRef;
use arrow::datatypes::FieldRef;
use rusqlite::{Connection, OptionalExtension as _};

use super::catalogue::RecordingInfo;
use super::origins::StoredOrigins;
use super::reading::ReadingLock;
use crate::block::record::{Fault, RecordBlock};
use crate::error::{corrupt, failure, io, sql};
use crate::results::blocks::{BlockReader, Gathered, ResultCache, gather};
use crate::results::functions;

const OPERATION: &str = "read recording";

/// The rows of a recording, block by block, in the order in which the run recorded them.
///
/// As long as it lives the recording stays in the store, whoever collects garbage.
///
/// Memory: one block, its results, the store's cache, and the record ids of sources that have
/// texts (32 MiB each, beyond which they move to an unnamed file).
///
/// Errors: a damaged block, named; after an error there are no more chunks.
#[derive(Debug)]
pub struct RecordingReader {
    info: RecordingInfo,
    connection: Connection,
    cache: Arc<ResultCache>,
    directory: PathBuf,
    origins: Arc<Origins>,
    stored: StoredOrigins,
    outputs: Option<Outputs>,
    /// Number and rows of each.
    blocks: VecDeque<(i64, u64)>,
    rows_left: u64,
    /// Keeps the recording in the store.
    _lock: ReadingLock,
}

/// Where a reader finds what it needs.
pub(crate) struct Folders<'a> {
    pub(crate) store: &'a Path,
    /// For files without names.
    pub(crate) scratch: &'a Path,
}

/// Rows of a recording beside what led to them.
#[derive(Debug, Clone)]
pub struct TracedRows {
    /// Number of the first row in the recording.
    pub first: u64,
    /// The rows.
    pub chunk: Chunk,
    /// For a function node, each column that the function took, and where its values came from.
    /// Empty if the recording does not tell.
    pub taken: Vec<(String, ProvenanceColumn)>,
    /// For a function node, the hash of the packet that each row was computed from.
    pub packets: Vec<PacketHash>,
}

/// The columns that are read from results.
#[derive(Debug)]
struct Outputs {
    /// Its name, for people.
    name: String,
    function: i64,
    fingerprint: Fingerprint,
    /// In the order of the function's outputs, as the stream's fields.
    fields: Vec<FieldRef>,
    /// The origin of each.
    origins: Vec<OriginId>,
}

impl RecordingReader {
    pub(crate) fn open(
        connection: Connection,
        cache: Arc<ResultCache>,
        folders: &Folders<'_>,
        info: &RecordingInfo,
        origins: Arc<Origins>,
    ) -> Result<Self, StoreError> {
        let damaged = |found: String| corrupt(OPERATION, &place(info), &found);
        let lock = ReadingLock::to_read(folders.store, info.id)?.ok_or_else(|| gone(info))?;
        let row = row(&connection, info)?;
        let stored = StoredOrigins::read(&row.origins, &origins, folders.scratch).map_err(damaged)?;
        let outputs = match row.function {
            Some(id) => {
                let names: Vec<String> =
                    serde_json::from_str(&row.outputs).map_err(|e| damaged(e.to_string()))?;
                let fingerprint = functions::fingerprint(&connection, id)?;
                Some(outputs(info, (id, fingerprint), row.name.unwrap_or_default(), &names, &origins)?)
            }
            None => None,
        };
        let blocks = blocks(&connection, info.id)?;
        let (info, rows_left, directory) = (info.clone(), info.rows, folders.scratch.to_owned());
        Ok(Self {
            info,
            connection,
            cache,
            directory,
            origins,
            stored,
            outputs,
            blocks,
            rows_left,
            _lock: lock,
        })
    }

    /// The schema of the chunks.
    #[must_use]
    pub fn schema(&self) -> &Arc<StreamSchema> {
        &self.info.schema
    }

    /// The origin table that the chunks' provenance refers to. Texts of record ids are there for
    /// the rows read so far.
    #[must_use]
    pub fn origins(&self) -> &Arc<Origins> {
        &self.origins
    }

    /// Passes over whole blocks before a row; gives how many rows before it are still to come.
    pub fn skip_to(&mut self, row: u64) -> u64 {
        let mut before = row;
        while let Some((_, rows)) = self.blocks.front().filter(|(_, rows)| *rows <= before) {
            before -= rows;
            self.rows_left = self.rows_left.saturating_sub(*rows);
            self.blocks.pop_front();
        }
        before
    }

    /// What is read.
    #[must_use]
    pub fn info(&self) -> &RecordingInfo {
        &self.info
    }

    /// For a function node, the function's name and fingerprint in that run.
    #[must_use]
    pub fn function(&self) -> Option<(&str, &Fingerprint)> {
        self.outputs.as_ref().map(|outputs| (outputs.name.as_str(), &outputs.fingerprint))
    }

    /// The rows of the block in which a row lies; none beyond the last row. Independent of what
    /// was read before.
    ///
    /// Memory: one block and its results.
    pub fn traced(&self, row: u64) -> Result<Option<TracedRows>, StoreError> {
        let failed = |e| sql(OPERATION, e);
        let mut statement = self
            .connection
            .prepare_cached("SELECT block, rows FROM recording_blocks WHERE recording = ?1 ORDER BY position")
            .map_err(failed)?;
        let mut blocks = statement.query([self.info.id]).map_err(failed)?;
        let mut first = 0;
        while let Some(block) = blocks.next().map_err(failed)? {
            let (id, rows): (i64, i64) =
                block.get(0).and_then(|id| Ok((id, block.get(1)?))).map_err(failed)?;
            let next = first + rows.unsigned_abs();
            if row < next {
                return self.read_traced(id, first).map(Some);
            }
            first = next;
        }
        Ok(None)
    }

    fn read(&self, id: i64) -> Result<Chunk, StoreError> {
        let first = self.info.rows.saturating_sub(self.rows_left);
        self.read_traced(id, first).map(|traced| traced.chunk)
    }

    fn read_traced(&self, id: i64, first: u64) -> Result<TracedRows, StoreError> {
        let place = || format!("block {id} of {}", place(&self.info));
        let damaged = |found: String| corrupt(OPERATION, &place(), &found);
        let found: Option<(Vec<u8>, Vec<u8>)> = self
            .connection
            .prepare_cached("SELECT data, hash FROM blocks WHERE id = ?1")
            .and_then(|mut statement| {
                statement.query_row([id], |row| Ok((row.get(0)?, row.get(1)?))).optional()
            })
            .map_err(|e| sql(OPERATION, e))?;
        let (data, hash) = found.ok_or_else(|| damaged("it is not in the store".to_owned()))?;
        let block = RecordBlock::read(data, &hash).map_err(damaged)?;
        let results = match &self.outputs {
            Some(outputs) => {
                let references = block.references().map_err(damaged)?;
                let reader = BlockReader::new(&self.connection, &self.cache, outputs.function);
                reader.stand_still()?;
                Some((outputs, gather(&reader, &outputs.fields, &references)?))
            }
            None => None,
        };
        self.chunk(&block, results, first).map_err(|fault| match fault {
            Fault::Damaged(found) => damaged(found),
            Fault::Disk(cause) => io(OPERATION, &self.directory, cause),
        })
    }

    fn chunk(
        &self,
        block: &RecordBlock,
        results: Option<(&Outputs, Gathered)>,
        first: u64,
    ) -> Result<TracedRows, Fault> {
        let schema = &self.info.schema;
        let (tags, pairs) = (schema.tags().len(), schema.system_tags().len());
        let given = results.as_ref().map_or(0, |(outputs, _)| outputs.fields.len());
        let kept = (schema.packets().len() + tags).checked_sub(given).ok_or("it has too many outputs")?;
        let mut data = block.data(kept)?.iter().cloned();
        let mut provenance = block.provenance(&self.stored)?.into_iter();
        let tag_columns: Vec<ArrayRef> = data.by_ref().take(tags).collect();
        let tag_provenance: Vec<ProvenanceColumn> = provenance.by_ref().take(pairs).collect();
        let packet_hashes = results.as_ref().map(|(_, gathered)| gathered.hashes.clone()).unwrap_or_default();
        let mut results = results.map(|(outputs, gathered)| Computed::new(outputs, gathered, first));
        let mut packets = Vec::with_capacity(schema.packets().len());
        let mut sources = Vec::with_capacity(schema.packets().len());
        for field in schema.packets() {
            let computed = results.as_mut().and_then(|results| results.take(field.name()));
            let (values, source) = match computed {
                Some(computed) => computed,
                None => {
                    (data.next().ok_or("it lacks columns")?, provenance.next().ok_or("it lacks provenance")?)
                }
            };
            packets.push(values);
            sources.push(source);
        }
        let taken = block.taken()?.into_iter().zip(provenance).collect();
        let provenance = Provenance { tags: tag_provenance, sources };
        let chunk = Chunk::new(Arc::clone(schema), block.rows(), tag_columns, packets, provenance)
            .map_err(|e| e.to_string())?;
        Ok(TracedRows { first, chunk, taken, packets: packet_hashes })
    }
}

/// Results of one block's rows, by output.
struct Computed<'a> {
    outputs: &'a Outputs,
    values: Vec<ArrayRef>,
    positions: Positions,
}

impl<'a> Computed<'a> {
    /// `first` is the number of the first row in its recording.
    fn new(outputs: &'a Outputs, gathered: Gathered, first: u64) -> Self {
        let keys = ResultKey::shorts(&outputs.fingerprint, &gathered.hashes).into_iter();
        let rows = keys.zip(first..).map(|(key, row)| output_position(key, Some(row)));
        let positions = Positions::keys(rows.collect());
        Self { outputs, values: gathered.values, positions }
    }

    fn take(&mut self, name: &str) -> Option<(ArrayRef, ProvenanceColumn)> {
        let at = self.outputs.fields.iter().position(|field| field.name() == name)?;
        let origin = *self.outputs.origins.get(at)?;
        Some((Arc::clone(self.values.get(at)?), ProvenanceColumn::constant(origin, self.positions.clone())))
    }
}

impl Iterator for RecordingReader {
    type Item = Result<Chunk, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        let Some((block, _)) = self.blocks.pop_front() else {
            let missing = std::mem::take(&mut self.rows_left);
            let found = format!("{missing} of its {} rows are missing", self.info.rows);
            return (missing > 0).then(|| Err(corrupt(OPERATION, &place(&self.info), &found)));
        };
        let chunk = self.read(block);
        if let Ok(chunk) = &chunk {
            self.rows_left = self.rows_left.saturating_sub(chunk.rows() as u64);
        } else {
            self.blocks.clear();
            self.rows_left = 0;
        }
        Some(chunk)
    }
}

fn place(info: &RecordingInfo) -> String {
    format!("recording {} of node \"{}\" in run {}", info.id, info.node, info.run)
}

struct StoredRow {
    origins: String,
    outputs: String,
    function: Option<i64>,
    name: Option<String>,
}

fn row(connection: &Connection, info: &RecordingInfo) -> Result<StoredRow, StoreError> {
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

fn gone(info: &RecordingInfo) -> StoreError {
    let message = format!("{} is no longer in the store; list the recordings again", place(info));
    failure(StoreErrorKind::Missing, OPERATION, message)
}

fn outputs(
    info: &RecordingInfo,
    (id, fingerprint): (i64, Fingerprint),
    function: String,
    names: &[String],
    origins: &Origins,
) -> Result<Outputs, StoreError> {
    let name: Arc<str> = function.as_str().into();
    let short: Arc<str> = fingerprint.short().into();
    let mut outputs =
        Outputs { name: function, function: id, fingerprint, fields: Vec::new(), origins: Vec::new() };
    for output in names {
        let field = info.schema.packets().iter().find(|field| field.name() == output).ok_or_else(|| {
            corrupt(OPERATION, &place(info), &format!("its schema lacks the output \"{output}\""))
        })?;
        outputs.fields.push(Arc::clone(field));
        outputs.origins.push(origins.add(Origin::Output {
            function: Arc::clone(&name),
            fingerprint: Arc::clone(&short),
            output: output.as_str().into(),
            recording: u64::try_from(info.id).ok(),
        }));
    }
    Ok(outputs)
}

fn blocks(connection: &Connection, recording: i64) -> Result<VecDeque<(i64, u64)>, StoreError> {
    let failed = |e| sql(OPERATION, e);
    let mut statement = connection
        .prepare_cached("SELECT block, rows FROM recording_blocks WHERE recording = ?1 ORDER BY position")
        .map_err(failed)?;
    let blocks =
        statement.query_map([recording], |row| Ok((row.get(0)?, row.get::<_, i64>(1)?.unsigned_abs())));
    let blocks = blocks.map_err(failed)?;
    blocks.collect::<rusqlite::Result<_>>().map_err(failed)
}
