//! Workers of a run, trusted only as long as they write nothing beyond their requests' results.

use std::sync::Arc;

use anabranch_engine::store::ResultStore;
use anabranch_nodes::function::{Authors, Withdrawn};

use crate::plan::RunError;

/// The workers of a run, and the results that are withdrawn if one is not trusted any more.
#[derive(Debug)]
pub(crate) struct TrustedWorkers {
    authors: Arc<Authors>,
    results: Arc<dyn ResultStore>,
}

impl TrustedWorkers {
    pub(crate) fn new(authors: Arc<Authors>, results: Arc<dyn ResultStore>) -> Self {
        Self { authors, results }
    }

    /// Withdraws results of workers that are not trusted, whatever the run's outcome: the next run would reuse them.
    pub(crate) fn check(self, ended: Result<(), RunError>) -> Result<(), RunError> {
        let withdrawn = self.authors.withdraw(&*self.results).map_err(RunError::NotWithdrawn)?;
        match (withdrawn, ended) {
            (None, ended) => ended,
            (Some(_), Err(error)) if error.is_cancelled() || error.is_stray() => Err(error),
            (Some(Withdrawn { node, function, cause }), _) => {
                Err(RunError::Withdrawn { node, function, cause })
            }
        }
    }
}
