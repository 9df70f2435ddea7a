//! The part of a pipeline that a run is made of.

use anabranch_nodes::sink::WriteSpec;
use serde_json::Value;

use crate::graph::NodeHandle;
use crate::node::{Executor, present};

/// Options of a single run, which override the pipeline's settings.
#[derive(Debug, Clone, Default)]
pub struct RunOptions {
    /// Another driver.
    pub executor: Option<Executor>,
    /// Last node: only this one and the nodes that it needs run. Sinks are not written, unless it is one.
    pub until: Option<NodeHandle>,
    /// Maximum number of rows of each source. Results are kept; nothing is recorded and no sink is written, since the
    /// rows are incomplete.
    pub limit: Option<u64>,
    /// Recomputation by every function; the new results become the current ones.
    pub no_reuse: bool,
    /// Files that nodes' rows are written to during the run, also under the other options' limits.
    pub outputs: Vec<(NodeHandle, WriteSpec)>,
}

/// The part of a pipeline that a run covers; the whole by default.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RunScope {
    /// Maximum number of rows of each source.
    pub limit: Option<u64>,
    /// The last node.
    pub until: Option<String>,
}

impl RunScope {
    /// Reads the scope from a summary; fields that it lacks stay empty.
    #[must_use]
    pub fn of_summary(summary: &Value) -> Self {
        let until = summary.get("until").and_then(Value::as_str).map(str::to_owned);
        Self { limit: summary.get("limit").and_then(Value::as_u64), until }
    }

    /// Returns the part of a summary that holds the scope: nothing for the whole.
    #[must_use]
    pub fn to_json(&self) -> Value {
        present([("limit", self.limit.map(Value::from)), ("until", self.until.clone().map(Value::from))])
    }
}

impl std::fmt::Display for RunScope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let limit = self.limit.map(|limit| format!("limit {limit}"));
        let until = self.until.as_ref().map(|until| format!("until {until}"));
        f.write_str(&limit.into_iter().chain(until).collect::<Vec<_>>().join(", "))
    }
}
