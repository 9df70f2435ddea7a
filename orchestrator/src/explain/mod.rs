//! Explanations of computing packets again: changes of the function, or of the packets.

mod packets;

use anabranch_engine::identity::Fingerprint;
use anabranch_engine::index::At as _;
use anabranch_engine::store::StoreError;
use serde_json::{Value, json};

use crate::forecast::{
    ComponentChange, Count, EarlierFunction, ForecastCalls, Reason, changes, earlier_function,
};
use crate::graph::{NodeHandle, Pipeline};
use crate::plan::RunError;
use crate::store::Store;
use crate::store::run_id::format_time;

pub use packets::{ColumnChange, PacketCause, PacketChange};

/// Options of an explanation.
#[derive(Debug, Clone)]
pub struct ExplainOptions {
    /// Condition: only rows for whose tags this SQL expression is true.
    pub condition: Option<String>,
    /// Maximum number of rows that are compared one by one.
    pub head: usize,
}

impl Default for ExplainOptions {
    fn default() -> Self {
        Self { condition: None, head: 10 }
    }
}

/// Explanation of computing packets of a node again.
#[derive(Debug, Clone)]
pub struct Explanation {
    /// The node.
    pub node: String,
    /// The function's name.
    pub function: String,
    /// Its fingerprint now.
    pub fingerprint: Fingerprint,
    /// Calls that a run would make, with the reason.
    pub calls: ForecastCalls,
    /// Rows that the node would read.
    pub rows: Count,
    /// Earlier function that the present one is compared with.
    pub earlier: Option<EarlierFunction>,
    /// Components of the function that have changed since.
    pub changes: Vec<ComponentChange>,
    /// Rows that would be computed, one by one.
    pub packets: Vec<PacketChange>,
}

impl Explanation {
    /// Returns the explanation as the document of `explain --format json`.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let earlier = self.earlier.as_ref().map(|earlier| {
            json!({
                "fingerprint": earlier.fingerprint.digest().to_string(),
                "run_id": earlier.run,
                "at": format_time(earlier.at_ms, "%Y-%m-%dT%H:%M:%SZ"),
            })
        });
        json!({
            "node": self.node,
            "function": self.function,
            "fingerprint": self.fingerprint.digest().to_string(),
            "rows": self.rows,
            "compute": self.calls.compute,
            "reuse": self.calls.reuse,
            "exact": matches!(self.calls.compute, Count::Exactly(_)),
            "why": self.calls.reason.as_ref().map(Reason::to_json),
            "compared_with": earlier,
            "changes": self.changes,
            "packets": self.packets.iter().map(PacketChange::to_json).collect::<Vec<_>>(),
        })
    }
}

/// Error of an explanation.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExplainError {
    /// A node that computes nothing.
    #[error("explain: node \"{node}\" is {kind}, expected a function; name a function node")]
    NoFunction {
        /// The node.
        node: String,
        /// Its kind.
        kind: &'static str,
    },
    /// A condition that cannot be used.
    #[error("--where: {0}")]
    Condition(String),
    /// The rows could not be read.
    #[error(transparent)]
    Run(#[from] RunError),
}

impl From<StoreError> for ExplainError {
    fn from(error: StoreError) -> Self {
        Self::Run(error.into())
    }
}

crate::store::from_store_errors!(ExplainError: ReadError);

impl Pipeline {
    /// Explains why packets of a function node would be computed. Reads the sources, computes nothing and writes nothing.
    /// Blocks.
    pub fn explain(
        &self,
        store: Option<&Store>,
        node: NodeHandle,
        options: &ExplainOptions,
    ) -> Result<Explanation, ExplainError> {
        if let Some(recalled) = self.recalled_from(store)? {
            return recalled.explain(store, node, options);
        }
        let index = self.known(node)?;
        let found = self.at(index);
        let no_function = || ExplainError::NoFunction { node: found.name.clone(), kind: found.kind };
        let function = &found.work.as_function().ok_or_else(no_function)?.bound;
        let sample = packets::Sample::new(self, found, function, options)?;
        let forecast = self.watch_missed(store, index, |origins| sample.watch(origins))?;
        let earlier =
            store.map(|store| earlier_function(store, self, found, function)).transpose()?.flatten();
        let now = &function.stored.fingerprint;
        let changes = earlier.as_ref().map(|earlier| changes(&earlier.fingerprint, now)).unwrap_or_default();
        let packets = sample.compare(self, store, found, now)?;
        let calls = forecast.calls.ok_or_else(no_function)?;
        Ok(Explanation {
            node: found.name.clone(),
            function: function.stored.name.clone(),
            fingerprint: now.clone(),
            calls,
            rows: *forecast.rows_in.at(0, "input of a function"),
            earlier,
            changes,
            packets,
        })
    }
}
