//! Circumstances in which nodes are planned.

use anabranch_engine::identity::Fingerprint;
use anabranch_nodes::function::Function;

use crate::store::Store;

/// Marks a pipeline that is planned only for comparison with recordings: no code of functions is read.
#[derive(Debug, Clone)]
pub(crate) struct Reading {
    /// The store with the functions of earlier runs, if there is one.
    pub(crate) store: Option<Store>,
}

/// The pipeline that a node is planned for.
pub(crate) struct Planning<'a> {
    /// Its name.
    pub(crate) pipeline: &'a str,
    pub(crate) reading: Option<&'a Reading>,
}

impl Reading {
    /// Returns functions that a node may have had, the newest first.
    pub(crate) fn earlier(&self, pipeline: &str, node: &str, function: &Function) -> Vec<Fingerprint> {
        // A store that cannot be read counts as empty here; the next read of it returns the error.
        let found = self.store.as_ref().map(|store| store.earlier_functions(pipeline, node, function.name()));
        found.and_then(Result::ok).unwrap_or_default()
    }
}
