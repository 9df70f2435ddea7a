//! Recorded rows by condition, one by one, or as one table.

use std::sync::Arc;

use anabranch_engine::chunk::{Chunk, Columns, arrow_schema};
use anabranch_engine::memory::MemoryBudget;
use anabranch_engine::operator::{
    Context, Input, Item, Machine, Operator as _, OperatorError, Partition, Step,
};
use anabranch_engine::provenance::Origins;
use anabranch_engine::schema::StreamSchema;
use anabranch_expression::Literal;
use anabranch_operators::Filter;
use arrow::array::RecordBatch;
use arrow::compute::concat_batches;

use super::{Replay, ReplayError};
use crate::graph::{NodeHandle, Pipeline};
use crate::store::{RecordingInfo, Store};

/// Recorded rows that fulfil a condition, in their order; needs no runtime.
pub struct Selected {
    replay: Replay,
    machine: Box<dyn Machine>,
    state: State,
}

/// Progress of reading the rows of a [`Selected`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Reading,
    Ended,
    Over,
}

impl std::fmt::Debug for Selected {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Selected")
            .field("replay", &self.replay)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

impl Replay {
    /// Restricts the rows to those that a filter keeps: `Filter::predicate("distance > 500")`,
    /// `Filter::equals([("carrier", "UA".into())])`.
    ///
    /// Errors: a condition that does not fit the columns.
    pub fn select(self, filter: &Filter) -> Result<Selected, ReplayError> {
        let input = Input {
            schema: Arc::clone(self.schema()),
            pipeline_hash: self.newest().pipeline_hash,
            ordered: true,
            bounded: true,
        };
        let bound = filter.bind(&[input]).map_err(|cause| ReplayError::Condition { cause })?;
        let machine = bound.start(&Context {
            origins: Arc::clone(self.origins()),
            memory: MemoryBudget::new(usize::MAX),
            chunk_rows: anabranch_engine::chunk::CHUNK_ROWS,
            partition: Partition::WHOLE,
            cores: 1,
        });
        Ok(Selected { replay: self, machine, state: State::Reading })
    }

    /// Reads all rows as one table, which has to fit into memory.
    pub fn table(self, columns: Columns) -> Result<RecordBatch, ReplayError> {
        let (schema, origins) = (Arc::clone(self.schema()), Arc::clone(self.origins()));
        table(&schema, &origins, columns, self.map(|chunk| chunk.map_err(ReplayError::Store)))
    }

    /// Returns a warning if the rows may differ from those of the pipeline as it is now.
    #[must_use]
    pub fn warning(&self, pipeline: &Pipeline, node: NodeHandle) -> Option<String> {
        let name = pipeline.name_of(node).unwrap_or_default();
        (!self.is_of(pipeline, node)).then(|| {
            format!("node \"{name}\": the pipeline has changed since these rows were recorded; run it again for new ones")
        })
    }
}

impl Selected {
    /// Returns the columns.
    #[must_use]
    pub fn schema(&self) -> &Arc<StreamSchema> {
        self.replay.schema()
    }

    /// Returns the origin table that the rows' provenance refers to.
    #[must_use]
    pub fn origins(&self) -> &Arc<Origins> {
        self.replay.origins()
    }

    /// Returns the recordings that are read, in their order.
    #[must_use]
    pub fn recordings(&self) -> &[RecordingInfo] {
        self.replay.recordings()
    }

    /// Reads the rows as one table, which has to fit into memory.
    pub fn table(self, columns: Columns) -> Result<RecordBatch, ReplayError> {
        let (schema, origins) = (Arc::clone(self.schema()), Arc::clone(self.origins()));
        table(&schema, &origins, columns, self)
    }

    /// Reads the only row; none if there is none.
    ///
    /// Errors: several rows.
    pub fn only(self) -> Result<Option<Chunk>, ReplayError> {
        let mut only: Option<Chunk> = None;
        for chunk in self {
            let chunk = chunk?;
            let rows = chunk.rows() + usize::from(only.is_some());
            match rows {
                1 if only.is_none() => only = Some(chunk),
                0 | 1 => {}
                _ => return Err(ReplayError::Several),
            }
        }
        Ok(only)
    }

    fn advance(&mut self) -> Result<Option<Chunk>, ReplayError> {
        loop {
            match self.machine.step().map_err(ReplayError::Rows)? {
                Step::Output(chunk) => return Ok(Some(chunk)),
                Step::Done => return Ok(None),
                Step::NeedInput(_) if self.state == State::Reading => {
                    let item = if let Some(chunk) = self.replay.next().transpose()? {
                        Item::Chunk(chunk)
                    } else {
                        self.state = State::Ended;
                        Item::End
                    };
                    self.machine.accept(0, item).map_err(ReplayError::Rows)?;
                }
                _ => {
                    let wrong = OperatorError::Protocol("a filter made a step that it cannot make");
                    return Err(ReplayError::Rows(wrong));
                }
            }
        }
    }
}

impl Iterator for Selected {
    type Item = Result<Chunk, ReplayError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.state == State::Over {
            return None;
        }
        let next = self.advance().transpose();
        if !matches!(next, Some(Ok(_))) {
            self.state = State::Over;
        }
        next
    }
}

fn table(
    schema: &StreamSchema,
    origins: &Origins,
    columns: Columns,
    chunks: impl Iterator<Item = Result<Chunk, ReplayError>>,
) -> Result<RecordBatch, ReplayError> {
    // Only the strings of record ids of rows that were read are loaded.
    let batches = chunks.map(|chunk| Ok(chunk?.to_batch(columns, origins)?));
    let batches = batches.collect::<Result<Vec<RecordBatch>, ReplayError>>()?;
    let schema = Arc::new(arrow_schema(schema, columns));
    let all = concat_batches(&schema, &batches);
    Ok(all.map_err(anabranch_engine::chunk::ChunkError::from)?)
}

impl Store {
    /// Reads rows back as [`Store::replay`], only those that a filter keeps.
    pub fn replay_where(
        &self,
        pipeline: &Pipeline,
        node: NodeHandle,
        filter: &Filter,
    ) -> Result<Selected, ReplayError> {
        self.replay(pipeline, node)?.select(filter)
    }

    /// Reads the only recorded row of a node with these values; none if there is none. [`Chunk::to_batch`] with the
    /// returned origin table gives the columns their names and the strings of provenance.
    ///
    /// Errors: several such rows.
    pub fn replay_one<S: Into<String>>(
        &self,
        pipeline: &Pipeline,
        node: NodeHandle,
        values: impl IntoIterator<Item = (S, Literal)>,
    ) -> Result<Option<(Chunk, Arc<Origins>)>, ReplayError> {
        let selected = self.replay_where(pipeline, node, &Filter::equals(values))?;
        let origins = Arc::clone(selected.origins());
        Ok(selected.only()?.map(|row| (row, origins)))
    }
}
