//! Workers that are believed only as long as they write no more than they are asked for.

use std::sync::Arc;

use anabranch_engine::store::ResultStore;
use anabranch_nodes::function::{Authors, Withdrawn};

use crate::run::RunError;

/// The workers of a run that are believed only as long as they write no more than they were asked for.
#[derive(Debug)]
pub(crate) struct Believed {
    authors: Arc<Authors>,
    results: Arc<dyn ResultStore>,
}

impl Believed {
    pub(crate) fn new(authors: Arc<Authors>, results: Arc<dyn ResultStore>) -> Self {
        Self { authors, results }
    }

    /// Withdraws what is not to be believed, however the run has ended: the next one would reuse it.
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
