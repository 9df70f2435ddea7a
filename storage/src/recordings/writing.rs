//! A recording on the writer's thread.

use std::sync::Arc;

use anabranch_engine::chunk::{Chunk, ChunkError};
use anabranch_engine::clock::now_unix_millis;
use anabranch_engine::provenance::Origins;
use anabranch_engine::store::{InputLineage, RecordLayout, RecordingKey, StoreError, StoreErrorKind};
use rusqlite::{Connection, OptionalExtension as _};

use super::schema;
use super::seal;
use crate::error::{arrow, because, failure, sql};
use crate::record_blocks::cut::{BlockRows, Cutter};
use crate::record_blocks::origins::LocalOrigins;
use crate::record_blocks::{KeptColumns, encode};
use crate::results::functions;
use crate::results::result_ref::ResultRef;
use crate::sqlite::sql_number;

const OPERATION: &str = "record rows";

/// A recording that is being written. Each call happens in a transaction; once one has failed,
/// the recording is given up.
#[derive(Debug)]
pub(crate) struct Writing {
    key: RecordingKey,
    layout: RecordLayout,
    cutter: Cutter,
    blocks: BlockWriter,
}

impl Writing {
    /// Begins a recording, invisible until it is complete.
    pub(crate) fn begin(
        connection: &Connection,
        key: RecordingKey,
        layout: RecordLayout,
        origins: Arc<Origins>,
    ) -> Result<Self, StoreError> {
        let kept = kept(&layout)?;
        let id = insert(connection, &key, &layout)?;
        let cutter = Cutter::new(Arc::clone(&layout.schema), kept.packets.clone());
        let local = LocalOrigins::default();
        let blocks = BlockWriter { id, origins, local, kept, blocks: 0, rows: 0 };
        Ok(Self { key, layout, cutter, blocks })
    }

    /// Appends rows; each block that is full is written.
    pub(crate) fn append(
        &mut self,
        connection: &Connection,
        chunk: &Chunk,
        references: &[ResultRef],
        taken: InputLineage,
    ) -> Result<(), StoreError> {
        self.check(chunk, references)?;
        self.check_taken(chunk, &taken)?;
        let blocks = &mut self.blocks;
        self.cutter
            .push(chunk, references, taken, |rows| blocks.write(connection, &rows).map_err(Failure))
            .map_err(|f| f.0)
    }

    /// The recording's number.
    pub(crate) fn id(&self) -> u64 {
        self.blocks.id.unsigned_abs()
    }

    /// Writes the last block and makes the recording visible; gives its number.
    pub(crate) fn complete(mut self, connection: &Connection) -> Result<i64, StoreError> {
        if let Some(rows) = self.cutter.finish().map_err(|e| Failure::from(e).0)? {
            self.blocks.write(connection, &rows)?;
        }
        let rows = sql_number(self.blocks.rows);
        let completed = connection
            .execute(
                "UPDATE recordings SET origins = ?2, rows = ?3, complete = 1, completed_ms = ?4 WHERE id = ?1",
                (self.blocks.id, self.blocks.local.to_json(), rows, now_unix_millis()),
            )
            .map_err(|e| sql("complete recording", e))?;
        if completed == 0 {
            let message = format!(
                "node \"{}\": the recording was removed as that of a run that is not alive; record within a run",
                self.key.node
            );
            return Err(failure(StoreErrorKind::Missing, "complete recording", message));
        }
        seal::write(connection, self.blocks.id)?;
        Ok(self.blocks.id)
    }

    fn check_taken(&self, chunk: &Chunk, taken: &InputLineage) -> Result<(), StoreError> {
        let rows = taken.sources.iter().all(|source| source.rows() == chunk.rows());
        if rows && taken.names.len() == taken.sources.len() {
            return Ok(());
        }
        let message = format!(
            "node \"{}\": found source info of taken columns that does not go with {} rows, expected one for each",
            self.key.node,
            chunk.rows()
        );
        Err(failure(StoreErrorKind::System, OPERATION, message))
    }

    fn check(&self, chunk: &Chunk, references: &[ResultRef]) -> Result<(), StoreError> {
        let wrong = |what: &str, found: usize, expected: usize| {
            let message = format!("node \"{}\": found {found} {what}, expected {expected}", self.key.node);
            Err(failure(StoreErrorKind::System, OPERATION, message))
        };
        let expected = if self.blocks.kept.references { chunk.rows() } else { 0 };
        if references.len() != expected {
            return wrong("references to results", references.len(), expected);
        }
        if chunk.schema() == &self.layout.schema || *chunk.schema().as_ref() == *self.layout.schema {
            return Ok(());
        }
        let names = |names: Vec<String>| names.join(", ");
        let message = format!(
            "node \"{}\": found rows of columns {}, expected the schema with which the recording began: {}",
            self.key.node,
            names(chunk.schema().names()),
            names(self.layout.schema.names())
        );
        Err(failure(StoreErrorKind::System, OPERATION, message))
    }
}

/// Carries a store error through the cutter.
struct Failure(StoreError);

impl From<ChunkError> for Failure {
    fn from(cause: ChunkError) -> Self {
        let message = "rows could not be put together into a block";
        Self(because(failure(StoreErrorKind::System, OPERATION, message), cause))
    }
}

fn kept(layout: &RecordLayout) -> Result<KeptColumns, StoreError> {
    let outputs = layout.function.as_ref().map_or(&[][..], |function| &function.outputs);
    if let Some(missing) =
        outputs.iter().find(|o| !layout.schema.packets().iter().any(|f| f.name() == o.name()))
    {
        let found = layout.schema.names().join(", ");
        let message = format!("found columns {found}, expected the output \"{}\" among them", missing.name());
        return Err(failure(StoreErrorKind::System, "begin recording", message));
    }
    let is_kept = |name: &String| !outputs.iter().any(|output| output.name() == name);
    let packets = layout.schema.packets().iter().map(|field| is_kept(field.name())).collect();
    Ok(KeptColumns { packets, references: layout.function.is_some() })
}

fn insert(connection: &Connection, key: &RecordingKey, layout: &RecordLayout) -> Result<i64, StoreError> {
    const OPERATION: &str = "begin recording";
    schema::check_depth(&layout.schema).map_err(|found| {
        let message = format!("node \"{}\": {found}; unbatch in between, or do not record it", key.node);
        failure(StoreErrorKind::System, OPERATION, message)
    })?;
    let schema = schema::encode(&layout.schema).map_err(|e| arrow(OPERATION, e))?;
    let function = match &layout.function {
        Some(function) => Some(functions::ensure(connection, function)?.id),
        None => None,
    };
    let outputs = layout.function.as_ref().map_or(&[][..], |function| &function.outputs);
    let outputs: Vec<&str> = outputs.iter().map(|output| output.name().as_str()).collect();
    connection
        .prepare_cached(
            "INSERT INTO recordings (pipeline, node, content_hash, pipeline_hash, run, schema, ordered,
               function, function_name, outputs, revisions, origins, rows, complete)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, '[]', 0, 0)",
        )
        .and_then(|mut insert| {
            insert.execute((
                &key.pipeline,
                &key.node,
                key.content.0.0,
                key.pipeline_hash.0.0,
                &key.run,
                schema,
                layout.ordered,
                function,
                layout.function.as_ref().map(|function| &function.name),
                serde_json::Value::from(outputs).to_string(),
                key.revisions.to_string(),
            ))
        })
        .map_err(|e| sql(OPERATION, e))?;
    Ok(connection.last_insert_rowid())
}

/// Writes the blocks of a recording, each content once in the store.
#[derive(Debug)]
struct BlockWriter {
    id: i64,
    origins: Arc<Origins>,
    local: LocalOrigins,
    kept: KeptColumns,
    blocks: i64,
    rows: u64,
}

impl BlockWriter {
    fn write(&mut self, connection: &Connection, rows: &BlockRows) -> Result<(), StoreError> {
        let data = encode(rows, &self.kept, &self.origins, &mut self.local)?;
        let count = rows.chunk.rows();
        self.insert(connection, &data, count).map_err(|e| sql(OPERATION, e))?;
        self.blocks += 1;
        self.rows += count as u64;
        Ok(())
    }

    fn insert(&self, connection: &Connection, data: &[u8], rows: usize) -> rusqlite::Result<()> {
        let hash = *blake3::hash(data).as_bytes();
        let known: Option<i64> = connection
            .prepare_cached("SELECT id FROM blocks WHERE hash = ?1")?
            .query_row([hash], |row| row.get(0))
            .optional()?;
        let block = if let Some(known) = known {
            known
        } else {
            connection
                .prepare_cached("INSERT INTO blocks (hash, bytes, data) VALUES (?1, ?2, ?3)")?
                .execute((hash, sql_number(data.len()), data))?;
            connection.last_insert_rowid()
        };
        connection.prepare_cached("INSERT INTO recording_blocks VALUES (?1, ?2, ?3, ?4)")?.execute((
            self.id,
            self.blocks,
            block,
            sql_number(rows),
        ))?;
        Ok(())
    }
}
