//! Packets that could not be computed.

use std::fmt;
use std::time::Duration;

use super::StrayOutput;

/// Kind of a failure, as messages and stored failures name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FailureKind {
    /// The packet does not fit the parameters; another attempt fails as well.
    NotPassed,
    /// The function returned, raised or reported an error.
    Failed,
    /// The function panicked.
    Panicked,
    /// An expression could not be evaluated.
    Expression,
    /// The call exceeded its timeout.
    TimedOut,
    /// The function gave something else than its outputs.
    BadAnswer,
    /// The store has no result where nothing is computed.
    NoResult,
    /// The call loaded code that is not part of the function's identity.
    LateImport,
    /// The worker process ended before it answered.
    WorkerDied,
    /// The worker process wrote something else than an answer.
    BadWorkerAnswer,
    /// There is no worker process for the packet.
    NoWorker,
}

impl FailureKind {
    /// The sentence that stands in messages and in the store; part of the store's format.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::NotPassed => "the packet cannot be passed to the function",
            Self::Failed => "the function failed",
            Self::Panicked => "the function panicked",
            Self::Expression => "the expression failed",
            Self::TimedOut => "the call took too long",
            Self::BadAnswer => "the function answered badly",
            Self::NoResult => "there is no result",
            Self::LateImport => "the function loaded a module during a call",
            Self::WorkerDied => "the worker died",
            Self::BadWorkerAnswer => "the worker answered badly",
            Self::NoWorker => "the worker could not be started",
        }
    }
}

impl fmt::Display for FailureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A packet that could not be computed.
#[derive(Debug, thiserror::Error)]
#[error("{kind}")]
pub(crate) struct Failure {
    /// Kind of the failure.
    pub(crate) kind: FailureKind,
    /// The cause.
    #[source]
    pub(crate) cause: Box<dyn std::error::Error + Send + Sync>,
    /// Output of the code beside the failure: a traceback, its standard error. Empty if there is none.
    pub(crate) log: String,
}

impl Failure {
    pub(crate) fn new(kind: FailureKind, cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self { kind, cause: cause.into(), log: String::new() }
    }

    /// A call that took too long.
    pub(crate) fn timed_out(timeout: Duration) -> Self {
        let text = format!("it took longer than {timeout:?}; raise timeout or make the call shorter");
        Self::new(FailureKind::TimedOut, text)
    }

    /// True if the worker's earlier answers are not trusted either.
    pub(crate) fn is_stray(&self) -> bool {
        self.cause.is::<StrayOutput>()
    }

    /// True if another attempt would fail as well.
    pub(crate) fn is_lasting(&self) -> bool {
        self.kind == FailureKind::NotPassed
    }
}
