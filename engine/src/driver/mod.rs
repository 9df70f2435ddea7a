//! The driver, which moves chunks between nodes: one plan and one interpreter of steps under two executors.
//!
//! Both run the same tasks (chains of machines with one input share one; a node that is split has several), and resume
//! the same interpreter for machines. [`run_streaming`] gives each task one of the runtime's and each edge between tasks a
//! bounded channel; [`run_synchronous`] is one loop that pushes each chunk of a source through the graph before it reads
//! the next.

mod interpreter;
mod metrics;
mod plan;
mod ports;
mod source;
mod stage_runner;
mod streaming;
mod subtasks;
mod synchronous;
mod task;

pub use crate::spill::{NoSpill, SpillArea, SpillError};
pub use metrics::NodeMetrics;
pub use streaming::run_streaming;
pub use synchronous::run_synchronous;

use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::stage::{Running, StageError, panic_message};

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
    /// Its work.
    pub running: Running,
    /// Storage for parts of its state that leave memory; a node that is split has others.
    pub spill: Box<dyn SpillArea>,
    /// Its counters.
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

/// The end of a node without completion.
enum Stop {
    /// By a fault of its own, which is reported.
    Failed(RunError),
    /// Because a neighbor or the run stopped.
    Followed,
}

/// Runs a node's own code, so that neither its error nor its panic loses the node's name.
fn guarded<T>(node: &str, work: impl FnOnce() -> Result<T, StageError>) -> Result<T, RunError> {
    named(node, catch_unwind(AssertUnwindSafe(work)))
}

/// Adds a node's name to the error or the panic of its code.
fn named<T>(
    node: &str,
    ended: Result<Result<T, StageError>, Box<dyn std::any::Any + Send>>,
) -> Result<T, RunError> {
    match ended {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(cause)) => Err(RunError::Node { node: node.to_owned(), cause }),
        Err(panic) => Err(RunError::Panicked { node: node.to_owned(), message: panic_message(&*panic) }),
    }
}

#[cfg(test)]
mod tests;
