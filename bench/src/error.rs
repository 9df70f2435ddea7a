//! Errors of a measurement.

use crate::cases::Engine;
use crate::tally::Tally;

/// Any error.
pub(crate) type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Why there is no measurement.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum BenchError {
    /// The command line.
    #[error(
        "argument \"{found}\": expected one of --quick, --rounds N, --rows N, --only PART, --store, --runs, --profile CASE THREADS"
    )]
    Argument {
        /// Given value.
        found: String,
    },
    /// An engine failed.
    #[error("{engine} failed")]
    Engine {
        /// Which.
        engine: Engine,
        /// Why.
        #[source]
        cause: Cause,
    },
    /// Two engines gave different rows.
    #[error("case {case}: {engine} gave {found:?}, expected {expected:?} as the first engine gave")]
    Differs {
        /// The case.
        case: &'static str,
        /// The engine that differs.
        engine: Engine,
        /// Its output.
        found: Tally,
        /// Output of the first.
        expected: Tally,
    },
    /// A child process.
    #[error("measuring {what} in a process of its own failed")]
    Child {
        /// Measurement.
        what: String,
        /// Why.
        #[source]
        cause: Cause,
    },
    /// The store.
    #[error("measuring the store failed")]
    Store {
        /// Why.
        #[source]
        cause: Cause,
    },
    /// The system.
    #[error("reading or writing {what} failed")]
    Io {
        /// What.
        what: &'static str,
        /// Why.
        #[source]
        cause: std::io::Error,
    },
}

/// Says which engine failed.
pub(crate) fn in_engine<E: Into<Cause>>(engine: Engine) -> impl Fn(E) -> BenchError {
    move |cause| BenchError::Engine { engine, cause: cause.into() }
}
