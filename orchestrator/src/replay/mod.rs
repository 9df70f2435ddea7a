//! Recorded rows, read back synchronously: whole, by condition, or one by one.

mod row_values;
mod select;

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;

use anabranch_engine::chunk::{Chunk, ChunkError};
use anabranch_engine::names::{list, suggestion};
use anabranch_engine::operator::{BindError, OperatorError};
use anabranch_engine::provenance::Origins;
use anabranch_engine::schema::StreamSchema;
use anabranch_engine::store::ReadError;

use crate::graph::{NodeHandle, Pipeline};
use crate::store::{RecordingInfo, RecordingReader, Store};

pub use row_values::{RowValues, row_values};
pub(crate) use row_values::{array_values, column_values, record_values};
pub use select::Selected;

/// Choice of the recording of a node to read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Which {
    /// The recording of the last run that completed it.
    #[default]
    Last,
    /// The recording of a run.
    Run(String),
    /// All recordings, the oldest first.
    All,
}

/// Error of reading back a node.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReplayError {
    /// There is no recording.
    #[error("replay: found no recording of node \"{node}\" of pipeline \"{pipeline}\"{}, expected one of {}{}; {remedy}", run.as_ref().map_or_else(String::new, |run| format!(" by run \"{run}\"")), list(available), suggestion(node, available))]
    Missing {
        /// The pipeline.
        pipeline: String,
        /// The node.
        node: String,
        /// The requested run, or a description of it.
        run: Option<String>,
        /// Nodes, or runs of this node, that have one.
        available: Vec<String>,
        /// The remedy.
        remedy: &'static str,
    },
    /// Recordings with different columns, which do not form one table.
    #[error(
        "replay: runs \"{first}\" and \"{second}\" recorded node \"{node}\" with different columns, expected the same ones; read them one by one"
    )]
    Differs {
        /// The node.
        node: String,
        /// A run.
        first: String,
        /// A run with other columns.
        second: String,
    },
    /// A handle that belongs to another pipeline.
    #[error("replay: found a node of another pipeline, expected one of \"{pipeline}\"")]
    Foreign {
        /// The pipeline.
        pipeline: String,
    },
    /// A condition that does not fit the columns.
    #[error("replay: the condition cannot be used")]
    Condition {
        /// The cause.
        #[source]
        cause: BindError,
    },
    /// A condition could not be evaluated for some rows.
    #[error("replay: a condition failed")]
    Rows(#[source] OperatorError),
    /// Several rows where one was requested.
    #[error("replay: found several rows, expected one; give values that only one row has")]
    Several,
    /// Rows could not be put together.
    #[error(transparent)]
    Chunk(#[from] ChunkError),
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] ReadError),
}

impl Store {
    /// Reads back the rows that the last complete run recorded at a node: synchronously, computing nothing.
    ///
    /// [`Replay::is_of`] reports whether the pipeline has changed since. If pipelines of one name were read from several
    /// files, the last run of this one's file counts, as with [`Store::last_recorded`].
    pub fn replay(&self, pipeline: &Pipeline, node: NodeHandle) -> Result<Replay, ReplayError> {
        let foreign = || ReplayError::Foreign { pipeline: pipeline.name().to_owned() };
        let name = pipeline.name_of(node).ok_or_else(foreign)?;
        let last = match pipeline.file.as_deref() {
            Some(file) => self.last_recorded(pipeline.name(), name, Path::new(file))?.run,
            None => None,
        };
        self.replay_named(pipeline.name(), name, &last.map_or(Which::Last, Which::Run))
    }

    /// Reads rows back as [`Store::replay`], by names alone and from any run.
    pub fn replay_named(&self, pipeline: &str, node: &str, which: &Which) -> Result<Replay, ReplayError> {
        let mut found = self.inner().recordings(pipeline, node)?;
        let missing = |run: Option<&String>, available, remedy| ReplayError::Missing {
            pipeline: pipeline.to_owned(),
            node: node.to_owned(),
            run: run.cloned(),
            available,
            remedy,
        };
        if found.is_empty() {
            let nodes = self.inner().nodes_recorded(pipeline)?;
            let remedy = "run the pipeline to its end first; cached function nodes, operators with `cache: log` and cumulative sources are recorded";
            return Err(missing(None, nodes, remedy));
        }
        match which {
            Which::Last => found.truncate(1),
            Which::All => found.reverse(),
            Which::Run(run) => {
                let runs = found.iter().map(|r| r.run.clone()).collect();
                found.retain(|r| r.run == *run);
                if found.is_empty() {
                    return Err(missing(Some(run), runs, "name a run that completed"));
                }
            }
        }
        Replay::new(self, node, found)
    }
}

/// Recorded rows, in the order in which they were recorded; needs no runtime.
#[derive(Debug)]
pub struct Replay {
    recordings: Vec<RecordingInfo>,
    readers: VecDeque<RecordingReader>,
    origins: Arc<Origins>,
    schema: Arc<StreamSchema>,
}

impl Replay {
    fn new(store: &Store, node: &str, recordings: Vec<RecordingInfo>) -> Result<Self, ReplayError> {
        let origins = Arc::new(Origins::default());
        let mut readers = VecDeque::with_capacity(recordings.len());
        let [first, ..] = recordings.as_slice() else {
            panic!("rows that are read back must have a recording")
        };
        for recording in &recordings {
            if *first.schema != *recording.schema {
                return Err(ReplayError::Differs {
                    node: node.to_owned(),
                    first: first.run.clone(),
                    second: recording.run.clone(),
                });
            }
            readers.push_back(store.inner().open_recording_into(recording, Arc::clone(&origins))?);
        }
        let schema = Arc::clone(&first.schema);
        Ok(Self { recordings, readers, origins, schema })
    }

    /// Returns the columns.
    #[must_use]
    pub fn schema(&self) -> &Arc<StreamSchema> {
        &self.schema
    }

    /// Returns the origin table that the rows' provenance refers to.
    #[must_use]
    pub fn origins(&self) -> &Arc<Origins> {
        &self.origins
    }

    /// Returns the recordings that are read, in their order.
    #[must_use]
    pub fn recordings(&self) -> &[RecordingInfo] {
        &self.recordings
    }

    /// Returns the newest of the recordings that are read, of which there is one at least.
    pub(crate) fn newest(&self) -> &RecordingInfo {
        self.recordings.last().unwrap_or_else(|| panic!("rows that are read back must have a recording"))
    }

    /// Returns true if all recordings that are read are of this pipeline, unchanged since.
    #[must_use]
    pub fn is_of(&self, pipeline: &Pipeline, node: NodeHandle) -> bool {
        let content = pipeline.content_hash(node);
        self.recordings.iter().all(|r| Some(r.content) == content)
    }
}

impl Iterator for Replay {
    type Item = Result<Chunk, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(next) = self.readers.front_mut()?.next() {
                return Some(next);
            }
            self.readers.pop_front();
        }
    }
}
