//! Results of a forecast.

use serde_json::{Value, json};

use super::Reason;

/// A number of rows or calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Count {
    /// So many.
    Exactly(u64),
    /// Not more than so many.
    AtMost(u64),
    /// It depends on values that are not computed yet.
    Unknown,
}

impl Count {
    /// The number, if there is one.
    #[must_use]
    pub fn number(self) -> Option<u64> {
        match self {
            Self::Exactly(number) | Self::AtMost(number) => Some(number),
            Self::Unknown => None,
        }
    }

    fn to_json(self) -> Value {
        json!(self.number())
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

/// What a function node would do.
#[derive(Debug, Clone)]
pub struct ForecastCalls {
    /// Calls that would run.
    pub compute: Count,
    /// Rows that would be served without a call.
    pub reuse: Count,
    /// Rows whose results say that they give no packet.
    pub dropped: Count,
    /// Why calls would run; nothing if none would.
    pub reason: Option<Reason>,
}

/// What a node would do.
#[derive(Debug, Clone)]
pub struct ForecastNode {
    /// Its name.
    pub name: String,
    /// Its kind.
    pub kind: &'static str,
    /// Rows that it would take, per input.
    pub rows_in: Vec<Count>,
    /// Rows that it would give.
    pub rows_out: Count,
    /// For a function node, its calls.
    pub calls: Option<ForecastCalls>,
}

/// What a run would do.
#[derive(Debug, Clone)]
pub struct Forecast {
    /// The pipeline.
    pub pipeline: String,
    /// What each node would do.
    pub nodes: Vec<ForecastNode>,
    /// How long the forecast took.
    pub seconds: f64,
}

impl Forecast {
    /// What the node of that name would do.
    #[must_use]
    pub fn node(&self, name: &str) -> Option<&ForecastNode> {
        self.nodes.iter().find(|node| node.name == name)
    }

    /// The forecast as the document of `plan --format json`.
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
        let mut document = json!({
            "name": self.name,
            "kind": self.kind,
            "rows_in": self.rows_in.iter().map(|rows| rows.to_json()).collect::<Vec<_>>(),
            "rows_out": self.rows_out.to_json(),
            "exact": exact,
        });
        if let (Some(calls), Some(document)) = (&self.calls, document.as_object_mut()) {
            document.insert("compute".into(), calls.compute.to_json());
            document.insert("compute_exact".into(), json!(matches!(calls.compute, Count::Exactly(_))));
            document.insert("reuse".into(), calls.reuse.to_json());
            document.insert("dropped".into(), calls.dropped.to_json());
            document.insert("why".into(), calls.reason.as_ref().map_or(Value::Null, Reason::to_json));
        }
        document
    }
}
