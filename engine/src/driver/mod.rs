//! The two drivers: what moves chunks between nodes.
//!
//! Both drive the same [`Running`] nodes. [`run_streaming`] gives each node a task and each edge
//! a bounded channel; [`run_synchronous`] is one loop that pushes each chunk of a source through
//! the graph before it reads the next.

mod metrics;
mod ports;

mod streaming;
mod synchronous;

pub use metrics::NodeMetrics;
pub use crate::spill::{SpillArea, SpillError, Unspilled};
pub use streaming::run_streaming;
pub use synchronous::run_synchronous;

use std::num::NonZeroUsize;
use std::sync::Arc;

use crate::operator::OperatorError;
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
    /// What it does.
    pub running: Running,
    /// Where parts of its state go that leave memory.
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
    #[error("starting node \"{node}\": the system gave no thread")]
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
    fn failed(node: &Arc<str>, cause: impl Into<StageError>) -> Self {
        Self::Failed(RunError::Node { node: node.to_string(), cause: cause.into() })
    }
}

/// The consumers of each node: pairs of node and port.
fn consumers(job: &Job) -> Vec<Vec<(usize, usize)>> {
    let mut consumers = vec![Vec::new(); job.nodes.len()];
    for (at, node) in job.nodes.iter().enumerate() {
        for (port, from) in node.inputs.iter().enumerate() {
            if let Some(list) = consumers.get_mut(*from) {
                list.push((at, port));
            }
        }
    }
    consumers
}

/// What is wrong with a node that will never be done.
fn beyond_the_end() -> OperatorError {
    OperatorError::Protocol("it asked for rows of inputs that had ended")
}

#[cfg(test)]
mod tests;
