//! The error of commands that move a pipeline's rows.

use std::error::Error as _;

use anabranch_engine::driver::RunError as DriveError;
use anabranch_engine::stage::StageError;
use anabranch_engine::store::StoreError;
use anabranch_nodes::function::{LateImports, StrayOutput};
use anabranch_nodes::sink::SinkError;

use crate::node::{NodeDifferences, PlanError, describe_differences};

/// Error of a run, a forecast or a verification. Results that were committed before it are kept.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The pipeline could not be planned with code that calls have loaded.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The pipeline was planned only for comparison with recordings.
    #[error(
        "run: found \"{pipeline}\" planned without a look at its code, expected a pipeline that can run; plan it by load"
    )]
    Unread {
        /// The pipeline.
        pipeline: String,
    },
    /// A node could not be started.
    #[error("node \"{node}\" could not be started")]
    Start {
        /// The node.
        node: String,
        /// The cause.
        #[source]
        cause: StageError,
    },
    /// The rows could not be moved to the end.
    #[error(transparent)]
    Drive(#[from] DriveError),
    /// A worker is not trusted, and its results are withdrawn from the store.
    #[error(
        "node \"{node}\", function \"{function}\": a worker is not trusted, and its results of this run are withdrawn from the store"
    )]
    Withdrawn {
        /// The node.
        node: String,
        /// Its function.
        function: String,
        /// The reason.
        #[source]
        cause: StrayOutput,
    },
    /// A worker is not trusted, and its results may still be in the store.
    #[error(
        "a worker is not trusted, and its results could not be withdrawn from the store; run again with --no-reuse, or drop the function's results"
    )]
    NotWithdrawn(#[source] StoreError),
    /// The store could not keep the run.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A file could not be given its name.
    #[error(transparent)]
    Publish(#[from] SinkError),
    /// Results of functions differ from those of the store.
    #[error("verify: {}", describe_differences(found))]
    Differs {
        /// The differences, by node.
        found: Vec<NodeDifferences>,
    },
    /// A handle that belongs to another pipeline.
    #[error("run: found a node of another pipeline, expected one of \"{pipeline}\"")]
    Foreign {
        /// The pipeline.
        pipeline: String,
    },
    /// Rows that cannot be written to the requested file.
    #[error(
        "run, output of \"{node}\": found {found}, expected a node that gives rows in this run and a file of its own; {remedy}"
    )]
    Output {
        /// The node.
        node: String,
        /// The problem.
        found: String,
        /// The remedy.
        remedy: &'static str,
    },
    /// The system refused a thread.
    #[error(
        "run: thread \"{name}\" could not be started; end other programs, or raise the limit of threads (ulimit -u, or that of the container) or of address space (ulimit -v)"
    )]
    Thread {
        /// The thread's name.
        name: &'static str,
        /// The system's error.
        #[source]
        cause: std::io::Error,
    },
    /// The run's thread ended without a result.
    #[error("run: its thread ended without a result")]
    Lost,
}

impl RunError {
    /// Returns true if the run was cancelled.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        matches!(self, Self::Drive(DriveError::Cancelled))
    }

    /// Returns true if the cause is a worker that is not trusted.
    pub(crate) fn is_stray(&self) -> bool {
        let mut causes = std::iter::successors(self.source(), |cause| (*cause).source());
        causes.any(<dyn std::error::Error>::is::<StrayOutput>)
    }

    /// Returns the node whose call has loaded code that the store can record, with that code.
    pub(crate) fn late_import(&self) -> Option<(&str, &LateImports)> {
        let Self::Drive(DriveError::Node { node, cause }) = self else { return None };
        let mut causes = std::iter::successors(cause.source(), |cause| (*cause).source());
        let late = causes.find_map(|cause| cause.downcast_ref::<LateImports>())?;
        (!late.entries().is_empty()).then_some((node, late))
    }
}

crate::store::from_store_errors!(RunError: OpenError, ReadError, RunError);
