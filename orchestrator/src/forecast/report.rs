//! Results of a forecast.

use serde::Serialize;
use serde_json::{Value, json};

use super::Reason;
use crate::node::present;

/// A number of rows or calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Count {
    /// An exact number.
    Exactly(u64),
    /// An upper bound.
    AtMost(u64),
    /// Unknown: it depends on values that are not computed yet.
    Unknown,
}

impl Count {
    /// Returns the number, if there is one.
    #[must_use]
    pub fn number(self) -> Option<u64> {
        match self {
            Self::Exactly(number) | Self::AtMost(number) => Some(number),
            Self::Unknown => None,
        }
    }
}

impl std::fmt::Display for Count {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exactly(number) => write!(f, "{number}"),
            Self::AtMost(number) => write!(f, "≤{number}"),
            Self::Unknown => f.write_str("?"),
        }
    }
}

/// Forecast for a function node.
#[derive(Debug, Clone)]
pub struct ForecastCalls {
    /// Calls that would run.
    pub compute: Count,
    /// Rows that would be served without a call.
    pub reuse: Count,
    /// Rows whose stored results are empty: they give no packet.
    pub dropped: Count,
    /// Reason why calls would run; none if none would.
    pub reason: Option<Reason>,
}

/// Forecast for a node.
#[derive(Debug, Clone)]
pub struct ForecastNode {
    /// Its name.
    pub name: String,
    /// Its kind.
    pub kind: &'static str,
    /// Rows that it would read, per input.
    pub rows_in: Vec<Count>,
    /// Rows that it would emit.
    pub rows_out: Count,
    /// True if other nodes can read its rows; false for a sink.
    pub gives_rows: bool,
    /// For a function node, its calls.
    pub calls: Option<ForecastCalls>,
}

/// Forecast of a run.
#[derive(Debug, Clone)]
pub struct Forecast {
    /// The pipeline.
    pub pipeline: String,
    /// Forecasts for the nodes.
    pub nodes: Vec<ForecastNode>,
    /// Duration of the forecast.
    pub seconds: f64,
}

impl Forecast {
    /// Returns the forecast for the node of that name.
    #[must_use]
    pub fn node(&self, name: &str) -> Option<&ForecastNode> {
        self.nodes.iter().find(|node| node.name == name)
    }

    /// Returns the forecast as the document of `plan --format json`.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let nodes: Vec<Value> = self.nodes.iter().map(ForecastNode::to_json).collect();
        json!({ "pipeline": self.pipeline, "seconds": self.seconds, "nodes": nodes })
    }
}

impl ForecastNode {
    fn to_json(&self) -> Value {
        let exact = matches!(self.rows_out, Count::Exactly(_))
            && self.rows_in.iter().all(|rows| matches!(rows, Count::Exactly(_)));
        let call = |call: fn(&ForecastCalls) -> Value| self.calls.as_ref().map(call);
        present([
            ("name", Some(json!(self.name))),
            ("kind", Some(json!(self.kind))),
            ("rows_in", Some(json!(self.rows_in))),
            ("rows_out", Some(json!(self.rows_out))),
            ("exact", Some(json!(exact))),
            ("compute", call(|calls| json!(calls.compute))),
            ("compute_exact", call(|calls| json!(matches!(calls.compute, Count::Exactly(_))))),
            ("reuse", call(|calls| json!(calls.reuse))),
            ("dropped", call(|calls| json!(calls.dropped))),
            ("why", call(|calls| calls.reason.as_ref().map_or(Value::Null, Reason::to_json))),
        ])
    }
}
