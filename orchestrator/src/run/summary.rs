//! Summary of a run, for people and programs.

use serde_json::{Value, json};

use crate::node::{Executor, NodeSummary, rounded};
use crate::plan::RunScope;
use crate::store::run_files::FILE;

/// Outcome of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunStatus {
    /// The run is complete.
    Ok,
    /// The run failed.
    Failed,
    /// The run was cancelled.
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

/// Summary of a run.
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
    /// Driver that moved the rows.
    pub executor: Executor,
    /// Part of the pipeline that the run covers.
    pub scope: RunScope,
    /// Outcome of the run.
    pub status: RunStatus,
    /// Duration.
    pub seconds: f64,
    /// Largest resident memory of the process so far, in bytes; 0 where the system does not report it.
    pub peak_memory_bytes: u64,
    /// Bytes that were spilled to disk.
    pub spilled_bytes: u64,
    /// Counts of each node.
    pub nodes: Vec<NodeSummary>,
}

impl Summary {
    /// Returns the counts of the node of that name.
    #[must_use]
    pub fn node(&self, name: &str) -> Option<&NodeSummary> {
        self.nodes.iter().find(|n| n.name == name)
    }

    /// Returns the number of rows that were left out because their packets failed: set aside or skipped.
    #[must_use]
    pub fn left_out(&self) -> u64 {
        self.nodes.iter().filter_map(|n| n.function).map(|f| f.set_aside + f.skipped).sum()
    }

    /// Returns the summary as the document of `run --format json`.
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

/// Returns the largest resident memory of this process so far, in bytes; 0 where the system does not report it.
pub(crate) fn peak_memory_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kibibytes =
        line.and_then(|line| line.trim().strip_suffix("kB")).and_then(|n| n.trim().parse::<u64>().ok());
    kibibytes.map_or(0, |n| n * 1024)
}
