//! The two drivers: what moves chunks between nodes.
//!
//! Both drive the same [`Running`] nodes. [`run_streaming`] gives each node a task (chains of
//! machines with one input share one; a node that is split has several) and each edge between
//! tasks a bounded channel; [`run_synchronous`] is one loop that pushes each chunk of a source through
//! the graph before it reads the next.

mod chain;
mod metrics;
mod ports;
mod source;
mod subtasks;

mod streaming;
mod synchronous;
mod task;

pub use crate::spill::{NoSpill, SpillArea, SpillError};
pub use metrics::NodeMetrics;
pub use streaming::run_streaming;
pub use synchronous::run_synchronous;

use std::num::NonZeroUsize;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use metrics::Tally;

use crate::operator::{Machine, OperatorError};
use crate::stage::{ChunkReader, Running, Stage, StageError, panic_message};

/// A graph of nodes that are ready to run.
#[derive(Debug)]
pub struct Job {
    /// The nodes, each behind those it reads from.
    pub nodes: Vec<NodeJob>,
    /// Chunks that an edge holds.
    pub capacity: NonZeroUsize,
}

/// One node of a [`Job`].
#[derive(Debug)]
pub struct NodeJob {
    /// Its name, for errors and logs.
    pub name: Arc<str>,
    /// For each port, the position of the node it reads from.
    pub inputs: Vec<usize>,
    /// What it does.
    pub running: Running,
    /// Where parts of its state go that leave memory; a node that is split has others.
    pub spill: Box<dyn SpillArea>,
    /// What is counted.
    pub metrics: Arc<NodeMetrics>,
}

/// Why a run did not complete.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// A node failed.
    #[error("node \"{node}\" failed")]
    Node {
        /// Its name.
        node: String,
        /// Why.
        #[source]
        cause: StageError,
    },
    /// A node panicked, which is a defect of the operator.
    #[error("node \"{node}\" panicked: {message}")]
    Panicked {
        /// Its name.
        node: String,
        /// The panic's message.
        message: String,
    },
    /// The run was cancelled.
    #[error("the run was cancelled")]
    Cancelled,
    /// The system refused a thread or a runtime.
    #[error(
        "starting node \"{node}\": no thread could be started; end other programs, or raise the limit of threads or of address space"
    )]
    Thread {
        /// The node that needed it.
        node: String,
        /// Why.
        #[source]
        cause: std::io::Error,
    },
}

/// How a node ended without completing.
enum Stop {
    /// By a fault of its own: what the user is told.
    Failed(RunError),
    /// Because a neighbour or the run stopped.
    Followed,
}

impl Stop {
    fn failed(node: &str, cause: impl Into<StageError>) -> Self {
        Self::Failed(RunError::Node { node: node.to_string(), cause: cause.into() })
    }
}

/// What one worker does.
enum Work {
    Source(Box<dyn ChunkReader>),
    Machine(Box<dyn Machine>),
    Stage(Box<dyn Stage>),
}

/// One reader, machine or stage of a job; a node that is split has several.
struct Worker {
    name: Arc<str>,
    work: Work,
    spill: Box<dyn SpillArea>,
    tally: Tally,
}

/// A job whose split nodes are told apart into workers.
#[derive(Default)]
struct Plan {
    workers: Vec<Worker>,
    nodes: Vec<Place>,
}

/// A node among the workers.
#[derive(Default)]
struct Place {
    workers: Range<usize>,
    inputs: Vec<usize>,
    /// Pairs of node and port.
    consumers: Vec<(usize, usize)>,
}

impl Plan {
    fn of(nodes: Vec<NodeJob>) -> Self {
        let mut plan = Self::default();
        for node in nodes {
            let NodeJob { name, inputs, running, spill, metrics } = node;
            let work = match running {
                Running::Source(reader) => vec![(Work::Source(reader), spill)],
                Running::Machine(machine) => vec![(Work::Machine(machine), spill)],
                Running::Stage(stage) => vec![(Work::Stage(stage), spill)],
                Running::Split(copies) => {
                    copies.into_iter().map(|(machine, spill)| (Work::Machine(machine), spill)).collect()
                }
            };
            let first = plan.workers.len();
            plan.workers.extend(work.into_iter().map(|(work, spill)| Worker {
                name: Arc::clone(&name),
                work,
                spill,
                tally: Tally::new(&metrics),
            }));
            for (port, from) in inputs.iter().enumerate() {
                let at = plan.nodes.len();
                if let Some(place) = plan.nodes.get_mut(*from) {
                    place.consumers.push((at, port));
                }
            }
            let workers = first..plan.workers.len();
            plan.nodes.push(Place { workers, inputs, consumers: Vec::new() });
        }
        plan
    }
}

/// Runs a node's own code, so that neither its error nor its panic loses the node's name.
fn guarded<T>(node: &str, work: impl FnOnce() -> Result<T, StageError>) -> Result<T, RunError> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(cause)) => Err(RunError::Node { node: node.to_owned(), cause }),
        Err(panic) => Err(RunError::Panicked { node: node.to_owned(), message: panic_message(&*panic) }),
    }
}

/// Error of a machine that joins a subtask it did not spawn.
const NONE_UNDER_WAY: &str = "it waited for a subtask although none was under way";

/// What is wrong with a node that will never be done.
fn beyond_the_end() -> OperatorError {
    OperatorError::Protocol("it asked for rows of inputs that had ended")
}

#[cfg(test)]
mod tests;
