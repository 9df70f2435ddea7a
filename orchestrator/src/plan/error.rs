//! The error of everything that moves a pipeline's rows.

use std::error::Error as _;

use anabranch_engine::driver::RunError as DriveError;
use anabranch_engine::stage::StageError;
use anabranch_engine::store::StoreError;
use anabranch_nodes::function::{LateImports, StrayOutput};
use anabranch_nodes::sink::SinkError;

use crate::node::{NodeDifferences, PlanError, describe_differences};

/// Why a run did not succeed. What was committed before is kept.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The pipeline could not be planned with code that calls were seen to load.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// A pipeline that was planned only to be held against what was recorded.
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
        /// Why.
        #[source]
        cause: StageError,
    },
    /// The rows could not be moved to the end.
    #[error(transparent)]
    Drive(#[from] DriveError),
    /// What a worker has answered is not believed, and is withdrawn from the store.
    #[error(
        "node \"{node}\", function \"{function}\": a worker is not believed, and what it has answered in this run is withdrawn from the store"
    )]
    Withdrawn {
        /// The node.
        node: String,
        /// Its function.
        function: String,
        /// What the worker did.
        #[source]
        cause: StrayOutput,
    },
    /// What a worker has answered is not believed, and may still be in the store.
    #[error(
        "what a worker has answered is not believed, and could not be withdrawn; run again with --no-reuse, or drop the function's results"
    )]
    NotWithdrawn(#[source] StoreError),
    /// The store could not keep the run.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A file could not be given its name.
    #[error(transparent)]
    Publish(#[from] SinkError),
    /// Functions gave something else than the store has.
    #[error("verify: {}", describe_differences(found))]
    Differs {
        /// What was found, by node.
        found: Vec<NodeDifferences>,
    },
    /// A handle that belongs to another pipeline.
    #[error("run: found a node of another pipeline, expected one of \"{pipeline}\"")]
    Foreign {
        /// The pipeline.
        pipeline: String,
    },
    /// Rows that cannot be written to the file asked for.
    #[error(
        "run, output of \"{node}\": found {found}, expected a node that gives rows in this run and a file of its own; {remedy}"
    )]
    Output {
        /// The node.
        node: String,
        /// What was found.
        found: String,
        /// What to do.
        remedy: &'static str,
    },
    /// The system refused a thread.
    #[error(
        "run: thread \"{name}\" could not be started; end other programs, or raise the limit of threads (ulimit -u, or that of the container) or of address space (ulimit -v)"
    )]
    Thread {
        /// The thread's name.
        name: &'static str,
        /// What the system says.
        #[source]
        cause: std::io::Error,
    },
    /// The run's thread is gone without an answer.
    #[error("run: its thread ended without an answer")]
    Lost,
}

impl RunError {
    /// Whether the run was cancelled.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        matches!(self, Self::Drive(DriveError::Cancelled))
    }

    /// Whether it is that of a worker that is not believed.
    pub(crate) fn is_stray(&self) -> bool {
        let mut causes = std::iter::successors(self.source(), |cause| (*cause).source());
        causes.any(<dyn std::error::Error>::is::<StrayOutput>)
    }

    /// The node whose call has loaded code that can be remembered, and what that is.
    pub(crate) fn late_import(&self) -> Option<(&str, &LateImports)> {
        let Self::Drive(DriveError::Node { node, cause }) = self else { return None };
        let mut causes = std::iter::successors(cause.source(), |cause| (*cause).source());
        let late = causes.find_map(|cause| cause.downcast_ref::<LateImports>())?;
        (!late.entries().is_empty()).then_some((node, late))
    }
}
