//! Purposes for which a pipeline becomes a job.

use std::sync::Arc;

use anabranch_engine::provenance::Origins;
use anabranch_nodes::function::{Authors, MissedRows};
use anabranch_nodes::sink::{Outbox, WriteSpec};

use super::{NodeIndex, PerNode, Settings};
use crate::store::Store;

/// The purpose of a job.
pub(crate) enum Mode<'a> {
    /// Rows are read, computed, recorded and written.
    Run(RunMode<'a>),
    /// Rows are read, and packets looked up; nothing is computed, recorded or written.
    Forecast(ForecastMode<'a>),
    /// As a forecast; beside each function, packets that have results are computed again and compared.
    Verify(VerifyMode<'a>),
}

/// A run.
pub(crate) struct RunMode<'a> {
    pub(crate) store: &'a Store,
    /// Name of the pipeline.
    pub(crate) pipeline: &'a str,
    pub(crate) settings: &'a Settings,
    pub(crate) run_id: &'a str,
    /// Maximum number of rows of each source. Nothing is recorded then.
    pub(crate) limit: Option<u64>,
    pub(crate) no_reuse: bool,
    /// True if another run may read the sources again, planned with code that a call has loaded.
    pub(crate) keeps_sources: bool,
    /// Files that nodes' rows are written to beside the sinks.
    pub(crate) outputs: Vec<(NodeIndex, &'a WriteSpec)>,
    pub(crate) outbox: Outbox,
    pub(crate) authors: Arc<Authors>,
}

/// One pass of a forecast.
pub(crate) struct ForecastMode<'a> {
    /// Store of the results; without one there are none.
    pub(crate) store: Option<&'a Store>,
    pub(crate) no_reuse: bool,
    /// True if a second pass may read the sources again.
    pub(crate) keeps_sources: bool,
    /// Certainty of each node's rows.
    pub(crate) certainties: &'a PerNode<Certainty>,
    pub(crate) watch: Option<Watch<'a>>,
}

/// A function node whose rows without results are shown.
pub(crate) struct Watch<'a> {
    pub(crate) node: NodeIndex,
    pub(crate) missed: &'a dyn Fn(&Arc<Origins>) -> MissedRows,
}

/// A verification.
pub(crate) struct VerifyMode<'a> {
    pub(crate) store: &'a Store,
    /// Name of the pipeline.
    pub(crate) pipeline: &'a str,
    pub(crate) settings: &'a Settings,
    /// The one function node that is verified; all of them if none is named.
    pub(crate) only: Option<NodeIndex>,
    /// Maximum number of packets of each function.
    pub(crate) sample: Option<usize>,
}

/// Certainty of a node's rows in a forecast.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Certainty {
    /// All rows and values are known.
    Exact,
    /// The number of rows has a known upper bound.
    Bounded,
    /// Nothing is known.
    Unknown,
}

impl Mode<'_> {
    /// Certainty of a node's rows.
    pub(crate) fn certainty(&self, node: NodeIndex) -> Certainty {
        match self {
            Self::Run(_) | Self::Verify(_) => Certainty::Exact,
            Self::Forecast(forecast) => forecast.certainties[node],
        }
    }

    /// True if the sources may be read again.
    pub(crate) fn keeps_sources(&self) -> bool {
        match self {
            Self::Run(run) => run.keeps_sources,
            Self::Forecast(forecast) => forecast.keeps_sources,
            Self::Verify(_) => false,
        }
    }
}
