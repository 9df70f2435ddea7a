//! The part of a pipeline that a run is made of.

use anabranch_nodes::sink::WriteSpec;
use serde_json::{Value, json};

use crate::graph::NodeHandle;
use crate::node::Executor;

/// What a single run does differently from what the pipeline says.
#[derive(Debug, Clone, Default)]
pub struct RunOptions {
    /// Another driver.
    pub executor: Option<Executor>,
    /// Only this node and what it needs. Sinks are not written, unless it is one.
    pub until: Option<NodeHandle>,
    /// At most this many rows of each source. Results are kept; nothing is recorded and no sink is
    /// written then, since it is not the whole.
    pub limit: Option<u64>,
    /// Every function computes again; its results become the current ones.
    pub no_reuse: bool,
    /// Files that nodes' rows are written to while the run goes on: always, whatever else it is limited to.
    pub outputs: Vec<(NodeHandle, WriteSpec)>,
}

/// What part of a pipeline a run was asked for; the whole by default.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RunScope {
    /// Rows of each source at most.
    pub limit: Option<u64>,
    /// The last node.
    pub until: Option<String>,
}

impl RunScope {
    /// The scope that a summary tells, as far as it tells any.
    #[must_use]
    pub fn of_summary(summary: &Value) -> Self {
        let until = summary.get("until").and_then(Value::as_str).map(str::to_owned);
        Self { limit: summary.get("limit").and_then(Value::as_u64), until }
    }

    /// The part of a summary that tells the scope: nothing for the whole.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let limit = self.limit.map(|limit| ("limit".to_owned(), json!(limit)));
        let until = self.until.as_ref().map(|until| ("until".to_owned(), json!(until)));
        Value::Object(limit.into_iter().chain(until).collect())
    }
}

impl std::fmt::Display for RunScope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (&self.limit, &self.until) {
            (None, None) => Ok(()),
            (Some(limit), None) => write!(f, "limit {limit}"),
            (None, Some(until)) => write!(f, "until {until}"),
            (Some(limit), Some(until)) => write!(f, "limit {limit}, until {until}"),
        }
    }
}
