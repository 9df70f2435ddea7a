//! What a run did, for people and programs.

use serde_json::{Map, Value, json};

use crate::run_files::FILE;
use crate::settings::Executor;

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunStatus {
    /// Everything was done.
    Ok,
    /// Something failed.
    Failed,
    /// It was cancelled.
    Cancelled,
}

impl RunStatus {
    /// Its name in a summary.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// What a function node did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FunctionSummary {
    /// Calls that ran.
    pub computed: u64,
    /// Rows served without a call.
    pub reused: u64,
    /// Rows that gave no packet.
    pub dropped: u64,
    /// Rows set aside.
    pub set_aside: u64,
    /// Rows skipped.
    pub skipped: u64,
    /// Where results were compared with the store, what that found.
    pub verified: Option<VerifySummary>,
}

/// What comparing a function's results with the store found, in packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct VerifySummary {
    /// Packets whose outcome is bit for bit the same.
    pub same: u64,
    /// Packets whose outcome differs.
    pub different: u64,
    /// Packets that the store has no result of.
    pub unverified: u64,
}

/// What a node did.
#[derive(Debug, Clone, PartialEq)]
pub struct NodeSummary {
    /// Its name.
    pub name: String,
    /// Its kind.
    pub kind: &'static str,
    /// Rows taken, per input.
    pub rows_in: Vec<u64>,
    /// Rows given.
    pub rows_out: u64,
    /// Whether its rows came from a recording instead of its work.
    pub replayed: bool,
    /// For a node that is served from its recording where it can be, why it ran.
    pub ran_because: Option<&'static str>,
    /// For a function node, its calls.
    pub function: Option<FunctionSummary>,
    /// For a function node, whether the rows that it gave are recorded, if the run has succeeded.
    pub recorded: bool,
    /// For a join, rows without a match, per input.
    pub unmatched: Vec<u64>,
    /// For a sink of JSON lines, values that are NaN or infinite and were written as null or as a string.
    pub non_finite: u64,
    /// Time spent in its own steps.
    pub seconds: f64,
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

/// What a run did.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    /// The run's id.
    pub run_id: String,
    /// The pipeline's name.
    pub pipeline: String,
    /// The file that the pipeline was read from, if it was.
    pub file: Option<String>,
    /// The pipeline's identity, 64 hex digits.
    pub pipeline_hash: String,
    /// Which driver moved the rows.
    pub executor: Executor,
    /// What part of the pipeline it was asked for.
    pub scope: RunScope,
    /// How it ended.
    pub status: RunStatus,
    /// Its duration.
    pub seconds: f64,
    /// Largest memory of the process so far; 0 where the system does not tell.
    pub peak_memory_bytes: u64,
    /// Bytes that left memory for disk.
    pub spilled_bytes: u64,
    /// What each node did.
    pub nodes: Vec<NodeSummary>,
}

impl Summary {
    /// What the node of that name did.
    #[must_use]
    pub fn node(&self, name: &str) -> Option<&NodeSummary> {
        self.nodes.iter().find(|n| n.name == name)
    }

    /// Rows that were left out since their packets failed: set aside or skipped.
    #[must_use]
    pub fn left_out(&self) -> u64 {
        self.nodes.iter().filter_map(|n| n.function).map(|f| f.set_aside + f.skipped).sum()
    }

    /// The summary as the document of `run --format json`.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut summary = json!({
            "run_id": self.run_id,
            "pipeline": self.pipeline,
            "pipeline_hash": self.pipeline_hash,
            "executor": self.executor.name(),
            "status": self.status.name(),
            "seconds": rounded(self.seconds),
            "peak_memory_bytes": self.peak_memory_bytes,
            "spilled_bytes": self.spilled_bytes,
            "nodes": self.nodes.iter().map(NodeSummary::to_json).collect::<Vec<_>>(),
        });
        if let (Some(summary), Value::Object(scope)) = (summary.as_object_mut(), self.scope.to_json()) {
            summary.extend(scope);
            summary.extend(self.file.as_ref().map(|file| (FILE.to_owned(), json!(file))));
        }
        summary
    }
}

impl NodeSummary {
    /// The part of [`Summary::to_json`] that is about this node.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut node = Map::new();
        node.insert("name".into(), json!(self.name));
        node.insert("kind".into(), json!(self.kind));
        node.insert("rows_in".into(), json!(self.rows_in));
        node.insert("rows_out".into(), json!(self.rows_out));
        if self.replayed {
            node.insert("replayed".into(), json!(true));
        }
        if let Some(reason) = self.ran_because {
            node.insert("ran_because".into(), json!(reason));
        }
        if let Some(function) = &self.function {
            node.insert("reused".into(), json!(function.reused));
            node.insert("computed".into(), json!(function.computed));
            node.insert("dropped".into(), json!(function.dropped));
            node.insert("set_aside".into(), json!(function.set_aside));
            node.insert("skipped".into(), json!(function.skipped));
            node.insert("recorded".into(), json!(self.recorded));
            if let Some(VerifySummary { same, different, unverified }) = function.verified {
                let found = json!({ "same": same, "different": different, "unverified": unverified });
                node.insert("verified".into(), found);
            }
        }
        if !self.unmatched.is_empty() {
            node.insert("unmatched".into(), json!(self.unmatched));
        }
        if self.non_finite > 0 {
            node.insert("non_finite".into(), json!(self.non_finite));
        }
        node.insert("seconds".into(), json!(rounded(self.seconds)));
        Value::Object(node)
    }
}

/// Seconds to the microsecond: more digits tell nothing.
fn rounded(seconds: f64) -> f64 {
    (seconds * 1e6).round() / 1e6
}

/// Largest resident memory of this process so far, in bytes; 0 where the system does not tell.
pub(crate) fn peak_memory_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kibibytes =
        line.and_then(|line| line.trim().strip_suffix("kB")).and_then(|n| n.trim().parse::<u64>().ok());
    kibibytes.map_or(0, |n| n * 1024)
}
