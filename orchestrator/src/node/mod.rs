//! Nodes of a pipeline, and the one trait that describes a kind of node.
//!
//! ```text
//! source.rs operator.rs function.rs write.rs    the kinds; nothing outside this folder distinguishes them
//! recording.rs                                  rows of a recording in place of a node's work
//! mode.rs job.rs stats.rs                       purpose of a job, its construction, its counters
//! settings.rs knobs.rs                          settings of runs, knobs of nodes
//! ```
//!
//! A new kind of node is a file here that implements [`NodeKind`], and a method of the builder.

mod files;
mod function;
mod identity;
mod index;
mod job;
mod knobs;
mod mode;
mod operator;
mod plan_error;
mod planning;
mod recording;
mod settings;
mod source;
mod stand_in;
mod stats;
mod write;

use std::sync::Arc;

use anabranch_engine::operator::{Contract, Input};
use anabranch_engine::stage::StageError;
use anabranch_engine::store::StoreError;
use anabranch_nodes::function::CacheMode;
use anabranch_nodes::recording::RecordMode;
use anabranch_nodes::sink::WriteSpec;
use anabranch_nodes::source::SourceNode;

pub(crate) use files::Protected;
pub(crate) use function::FunctionKind;
pub(crate) use identity::Identity;
pub(crate) use index::{NodeIndex, PerNode};
pub(crate) use job::{JobBuilder, JobIndex, available_cores};
pub(crate) use knobs::{CallKnobs, Knob};
pub(crate) use mode::{Certainty, ForecastMode, Mode, RunMode, VerifyMode, Watch};
pub(crate) use operator::OperatorKind;
pub use plan_error::PlanError;
pub(crate) use plan_error::chain;
pub(crate) use planning::{Planning, Reading};
pub(crate) use recording::lower_recording;
pub use settings::{ChunkRows, Executor, Settings};
pub(crate) use source::SourceKind;
pub use stats::{FunctionSummary, NodeDifferences, NodeProgress, NodeSummary, VerifySummary};
pub(crate) use stats::{NodeStats, VerifyStats, describe_differences, differences, present, rounded};
pub(crate) use write::{WriteKind, lower_file};

/// A node that has been checked.
#[derive(Clone)]
pub(crate) struct Node {
    pub(crate) name: String,
    /// Name of the kind, as in a pipeline file.
    pub(crate) kind: &'static str,
    pub(crate) label: Option<String>,
    pub(crate) work: Arc<dyn NodeKind>,
    pub(crate) inputs: Vec<NodeIndex>,
    pub(crate) contract: Contract,
    pub(crate) identity: Identity,
    pub(crate) cache: CacheMode,
    pub(crate) record: RecordMode,
    pub(crate) calls: CallKnobs,
}

impl Node {
    /// Properties of the node's rows that are known before the first one, for a node that reads them.
    pub(crate) fn as_input(&self) -> Input {
        Input {
            schema: Arc::clone(&self.contract.schema),
            pipeline_hash: self.identity.pipeline_hash,
            ordered: self.contract.ordered,
            bounded: self.contract.bounded,
        }
    }
}

/// A node that has been planned and is not part of a pipeline yet.
pub(crate) struct Planned {
    pub(crate) kind: &'static str,
    pub(crate) work: Arc<dyn NodeKind>,
    pub(crate) contract: Contract,
    pub(crate) identity: Identity,
}

/// A kind of node: the files it touches, its planning for changed inputs, and its start in each mode.
///
/// No method has a default that could be wrong for a kind. The defaults of the `as_` methods only mean that a node is
/// of another kind.
pub(crate) trait NodeKind: Send + Sync {
    /// Files and folders that the node of this name reads, consists of or writes: no output may replace them.
    fn files(&self, name: &str) -> Vec<Protected>;

    /// Properties of all nodes of the kind.
    fn traits(&self) -> &'static KindTraits;

    /// Certainty of its rows in a forecast, from that of its inputs; `computes` is true if calls would run.
    fn certainty(&self, above: Certainty, computes: bool) -> Certainty;

    /// Plans it once more, for inputs whose contracts or identities may have changed.
    fn plan_again(
        &self,
        node: &Node,
        inputs: &[&Node],
        planning: &Planning<'_>,
    ) -> Result<Planned, PlanError>;

    /// Adds the entries that run at the node to a job.
    fn lower(&self, site: &Site<'_>, job: &mut JobBuilder<'_>) -> Result<Lowered, LowerError>;

    /// Remarks about its planning, for information only.
    fn notes(&self) -> Vec<String> {
        Vec::new()
    }

    /// Warnings: remarks about something that is valid and may not be intended.
    fn warnings(&self) -> Vec<String> {
        Vec::new()
    }

    /// The source, if it is one.
    fn as_source(&self) -> Option<&Arc<SourceNode>> {
        None
    }

    /// The function, if it is one.
    fn as_function(&self) -> Option<&FunctionKind> {
        None
    }

    /// The file that it writes, if it is a sink.
    fn as_write(&self) -> Option<&WriteSpec> {
        None
    }
}

/// The place of a node in a job that is being built.
pub(crate) struct Site<'a> {
    pub(crate) mode: &'a Mode<'a>,
    pub(crate) index: NodeIndex,
    pub(crate) node: &'a Node,
    /// Entries that run at its inputs, by port.
    pub(crate) inputs: Vec<JobIndex>,
    /// The least certainty of its inputs' rows.
    pub(crate) above: Certainty,
}

/// Entries that run at a node.
pub(crate) struct Lowered {
    /// Entry that emits its rows.
    pub(crate) rows: JobIndex,
    pub(crate) stats: NodeStats,
}

/// Properties of all nodes of a kind.
pub(crate) struct KindTraits {
    /// Knobs that can be set on them.
    pub(crate) knobs: &'static [Knob],
    /// Brackets in pictures in Mermaid's language.
    pub(crate) brackets: (&'static str, &'static str),
    /// Shape in pictures in Graphviz' language.
    pub(crate) shape: &'static str,
    /// True if other nodes can read their rows.
    pub(crate) gives_rows: bool,
}

/// A failure to start a node.
#[derive(Debug)]
pub(crate) enum LowerError {
    /// Failure of the node itself.
    Start(StageError),
    /// Failure of the store.
    Store(StoreError),
}

impl LowerError {
    /// Creates a failure of the node itself.
    fn start(cause: impl Into<StageError>) -> Self {
        Self::Start(cause.into())
    }
}

/// The only input of a node that takes one.
fn only_input<'a>(name: &str, inputs: &[&'a Node]) -> Result<&'a Node, PlanError> {
    match inputs {
        [only] => Ok(only),
        _ => Err(PlanError::new(name, format!("found {} inputs, expected one", inputs.len()))),
    }
}
