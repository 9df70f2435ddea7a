//! A recording on the writer's thread.

use std::sync::Arc;

use anabranch_engine::chunk::{Chunk, ChunkError};
use anabranch_engine::clock::now_unix_millis;
use anabranch_engine::provenance::Origins;
use anabranch_engine::store::{InputLineage, RecordLayout, RecordingKey, StoreFault, StoreProblem};

use super::schema;
use super::seal;
use crate::catalog::Transaction;
use crate::catalog::query::{Filter, Query};
use crate::catalog::reads::Reads as _;
use crate::catalog::tables::{BLOCKS, RECORDING_BLOCKS, RECORDINGS};
use crate::error::arrow;
use crate::record_blocks::cut::{BlockRows, Cutter};
use crate::record_blocks::origins::LocalOrigins;
use crate::record_blocks::{KeptColumns, encode};
use crate::results::functions;
use crate::results::result_ref::ResultRef;

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
        transaction: &dyn Transaction,
        key: RecordingKey,
        layout: RecordLayout,
        origins: Arc<Origins>,
    ) -> Result<Self, StoreFault> {
        let kept = kept(&layout)?;
        let id = insert(transaction, &key, &layout)?;
        let cutter = Cutter::new(Arc::clone(&layout.schema), kept.packets.clone());
        let local = LocalOrigins::default();
        let blocks = BlockWriter { id, origins, local, kept, blocks: 0, rows: 0 };
        Ok(Self { key, layout, cutter, blocks })
    }

    /// Appends rows; each block that is full is written.
    pub(crate) fn append(
        &mut self,
        transaction: &dyn Transaction,
        chunk: &Chunk,
        references: &[ResultRef],
        taken: InputLineage,
    ) -> Result<(), StoreFault> {
        self.check(chunk, references)?;
        self.check_taken(chunk, &taken)?;
        let blocks = &mut self.blocks;
        self.cutter
            .push(chunk, references, taken, |rows| blocks.write(transaction, &rows).map_err(Failure))
            .map_err(|f| f.0)
    }

    /// The recording's number.
    pub(crate) fn id(&self) -> u64 {
        self.blocks.id.unsigned_abs()
    }

    /// Writes the last block and makes the recording visible; gives its number.
    pub(crate) fn complete(mut self, transaction: &dyn Transaction) -> Result<i64, StoreFault> {
        if let Some(rows) = self.cutter.finish().map_err(|e| Failure::from(e).0)? {
            self.blocks.write(transaction, &rows)?;
        }
        let origins = self.blocks.local.to_json();
        let values = [
            ("origins", (&origins).into()),
            ("rows", self.blocks.rows.into()),
            ("complete", true.into()),
            ("completed_ms", now_unix_millis().into()),
        ];
        let completed = transaction.update(&RECORDINGS, &Filter::of("id", self.blocks.id), &values)?;
        if completed == 0 {
            let message = format!(
                "node \"{}\": the recording was removed as that of a run that is not alive; record within a run",
                self.key.node
            );
            return Err(StoreProblem::Missing(message).into());
        }
        seal::write(transaction, self.blocks.id)?;
        Ok(self.blocks.id)
    }

    fn check_taken(&self, chunk: &Chunk, taken: &InputLineage) -> Result<(), StoreFault> {
        let rows = taken.sources.iter().all(|source| source.rows() == chunk.rows());
        if rows && taken.names.len() == taken.sources.len() {
            return Ok(());
        }
        let message = format!(
            "node \"{}\": found source info of taken columns that does not go with {} rows, expected one for each",
            self.key.node,
            chunk.rows()
        );
        Err(StoreProblem::Refused(message).into())
    }

    fn check(&self, chunk: &Chunk, references: &[ResultRef]) -> Result<(), StoreFault> {
        let wrong = |what: &str, found: usize, expected: usize| {
            let message = format!("node \"{}\": found {found} {what}, expected {expected}", self.key.node);
            Err(StoreProblem::Refused(message).into())
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
        Err(StoreProblem::Refused(message).into())
    }
}

/// Carries a fault through the cutter.
struct Failure(StoreFault);

impl From<ChunkError> for Failure {
    fn from(cause: ChunkError) -> Self {
        let message = "rows could not be put together into a block".to_owned();
        Self(StoreFault::because(StoreProblem::Refused(message), cause))
    }
}

fn kept(layout: &RecordLayout) -> Result<KeptColumns, StoreFault> {
    let outputs = layout.function.as_ref().map_or(&[][..], |function| &function.outputs);
    if let Some(missing) =
        outputs.iter().find(|o| !layout.schema.packets().iter().any(|f| f.name() == o.name()))
    {
        let found = layout.schema.names().join(", ");
        let message = format!("found columns {found}, expected the output \"{}\" among them", missing.name());
        return Err(StoreProblem::Refused(message).into());
    }
    let is_kept = |name: &String| !outputs.iter().any(|output| output.name() == name);
    let packets = layout.schema.packets().iter().map(|field| is_kept(field.name())).collect();
    Ok(KeptColumns { packets, references: layout.function.is_some() })
}

fn insert(
    transaction: &dyn Transaction,
    key: &RecordingKey,
    layout: &RecordLayout,
) -> Result<i64, StoreFault> {
    schema::check_depth(&layout.schema).map_err(|found| {
        let message = format!("node \"{}\": {found}; unbatch in between, or do not record it", key.node);
        StoreProblem::Refused(message)
    })?;
    let schema = schema::encode(&layout.schema).map_err(arrow)?;
    let function = match &layout.function {
        Some(function) => Some(functions::ensure(transaction, function)?.id),
        None => None,
    };
    let outputs = layout.function.as_ref().map_or(&[][..], |function| &function.outputs);
    let outputs: Vec<&str> = outputs.iter().map(|output| output.name().as_str()).collect();
    let outputs = serde_json::Value::from(outputs).to_string();
    let revisions = key.revisions.to_string();
    let row = [
        ("pipeline", (&key.pipeline).into()),
        ("node", (&key.node).into()),
        ("content_hash", (&key.content.0.0).into()),
        ("pipeline_hash", (&key.pipeline_hash.0.0).into()),
        ("run", (&key.run).into()),
        ("schema", (&schema).into()),
        ("ordered", layout.ordered.into()),
        ("function", function.into()),
        ("function_name", layout.function.as_ref().map(|function| &function.name).into()),
        ("outputs", (&outputs).into()),
        ("revisions", (&revisions).into()),
        ("origins", "[]".into()),
        ("rows", 0_i64.into()),
        ("complete", false.into()),
    ];
    transaction.insert(&RECORDINGS, &row)
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
    fn write(&mut self, transaction: &dyn Transaction, rows: &BlockRows) -> Result<(), StoreFault> {
        let data = encode(rows, &self.kept, &self.origins, &mut self.local)?;
        let count = rows.chunk.rows();
        self.insert(transaction, &data, count)?;
        self.blocks += 1;
        self.rows += count as u64;
        Ok(())
    }

    fn insert(&self, transaction: &dyn Transaction, data: &[u8], rows: usize) -> Result<(), StoreFault> {
        let hash = *blake3::hash(data).as_bytes();
        let known =
            transaction.one(&Query::of(&BLOCKS, &["id"]).equal("hash", &hash), |row| row.number(0))?;
        let block = if let Some(known) = known {
            known
        } else {
            let row = [("hash", (&hash).into()), ("bytes", data.len().into()), ("data", data.into())];
            transaction.insert(&BLOCKS, &row)?
        };
        let row = [
            ("recording", self.id.into()),
            ("position", self.blocks.into()),
            ("block", block.into()),
            ("rows", rows.into()),
        ];
        transaction.insert(&RECORDING_BLOCKS, &row).map(drop)
    }
}
