//! Failures of commands, and their exit codes.

use anabranch::yaml::LoadError;
use anabranch::{
    CollectError, CopyError, DropError, NodeSummary, OpenError, ReadError, ReplayError, RunError,
    SetAsideInfo, StoreError,
};
use serde_json::{Value, json};

use super::Exit;
use super::errors;
use super::output::{Output, note};

/// Failure of a command.
#[derive(Debug)]
pub(super) enum Failure {
    /// The pipeline file cannot be used.
    Pipeline(LoadError),
    /// The arguments are invalid.
    Call(String),
    /// Work of the command failed.
    Failed(Box<dyn std::error::Error + Send + Sync>),
    /// A run began and did not succeed.
    Run {
        /// Its id.
        run_id: String,
        /// Counts of its nodes.
        nodes: Vec<NodeSummary>,
        /// The cause.
        error: Box<RunError>,
        /// Stored packets whose failure ended the run.
        packets: Vec<SetAsideInfo>,
        /// Notes about rows that were left out, with commands to type.
        left_out: String,
    },
    /// The reader of the output has closed it.
    Unread,
}

impl From<LoadError> for Failure {
    fn from(error: LoadError) -> Self {
        Self::Pipeline(error)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Failed(error.into())
    }
}

/// Takes errors of single operations of a store as those of any.
macro_rules! from_store_errors {
    ($($operation:ident),+) => {$(
        impl From<$operation> for Failure {
            fn from(error: $operation) -> Self {
                StoreError::from(error).into()
            }
        }
    )+};
}

from_store_errors!(CollectError, CopyError, DropError, OpenError, ReadError);

impl From<ReplayError> for Failure {
    fn from(error: ReplayError) -> Self {
        match error {
            ReplayError::Store(error) => Self::Failed(error.into()),
            wrong => Self::Call(wrong.to_string()),
        }
    }
}

impl From<RunError> for Failure {
    fn from(error: RunError) -> Self {
        match error {
            wrong @ (RunError::Foreign { .. } | RunError::Output { .. } | RunError::Plan(_)) => {
                Self::Call(chain(&wrong))
            }
            error => Self::Failed(error.into()),
        }
    }
}

/// Commands write directly only to standard output, so other I/O errors have another type.
impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::BrokenPipe => Self::Unread,
            _ => Self::Failed(format!("writing standard output: {error}").into()),
        }
    }
}

impl Failure {
    /// Prints the failure for people, and as JSON if that is the format.
    pub(super) fn report(&self, output: &Output) -> Exit {
        let (exit, status, details) = match self {
            Self::Pipeline(error) => {
                note(&error.to_string());
                let found: Vec<Value> =
                    error.diagnostics().iter().map(anabranch::yaml::Diagnostic::to_json).collect();
                (Exit::Wrong, "wrong", json!({ "diagnostics": found }))
            }
            Self::Call(text) => {
                note(&format!("error: {text}"));
                (Exit::Wrong, "wrong", json!({ "error": text }))
            }
            Self::Failed(error) => {
                let text = chain(error.as_ref());
                note(&format!("error: {text}"));
                (Exit::Failed, "failed", json!({ "error": text }))
            }
            Self::Run { run_id, nodes, error, left_out, .. } if error.is_cancelled() => {
                note("cancelled; what was committed is kept");
                note_lines(left_out);
                (Exit::Cancelled, "cancelled", document(run_id, nodes, &error.to_string(), &[]))
            }
            Self::Run { run_id, nodes, error, packets, left_out } => {
                let text = chain(error.as_ref());
                note(&format!("error: {text}"));
                for packet in packets {
                    note(errors::text(packet).trim_end());
                }
                note_lines(left_out);
                (Exit::Failed, "failed", document(run_id, nodes, &text, packets))
            }
            Self::Unread => return Exit::Ok,
        };
        let mut document = json!({ "status": status });
        if let (Some(document), Value::Object(details)) = (document.as_object_mut(), details) {
            document.extend(details);
        }
        // If standard output cannot be written, the exit code remains.
        let _ = output.json_only(&document);
        exit
    }
}

fn note_lines(text: &str) {
    text.lines().for_each(note);
}

/// Parts of the report about a run that did not succeed.
fn document(run_id: &str, nodes: &[NodeSummary], error: &str, packets: &[SetAsideInfo]) -> Value {
    let nodes: Vec<Value> = nodes.iter().map(NodeSummary::to_json).collect();
    let packets: Vec<Value> = packets.iter().map(errors::document).collect();
    json!({ "run_id": run_id, "error": error, "packets": packets, "nodes": nodes })
}

/// Formats an error with its causes, one after the other.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| (*cause).source());
    let mut text = error.to_string();
    for more in causes.map(ToString::to_string) {
        if !text.ends_with(&more) {
            text = format!("{text}: {more}");
        }
    }
    text
}
