//! `check`: all errors of a pipeline file.

use serde_json::{Value, json};

use super::arguments::CheckArguments;
use super::output::note;
use super::{Exit, Failure, Output};

pub(super) fn check(arguments: &CheckArguments, output: &Output) -> Result<Exit, Failure> {
    let loaded = arguments.pipeline.load()?;
    let mut diagnostics: Vec<Value> = Vec::new();
    for warning in &loaded.warnings {
        note(&warning.to_string());
        diagnostics.push(warning.to_json());
    }
    for warning in loaded.pipeline.warnings() {
        note(&format!("warning: {warning}"));
        diagnostics.push(json!({ "severity": "warning", "message": warning }));
    }
    let denied = arguments.deny_warnings && !diagnostics.is_empty();
    let warnings = diagnostics.len();
    for remark in loaded.pipeline.notes() {
        note(&format!("note: {remark}"));
        diagnostics.push(json!({ "severity": "note", "message": remark }));
    }
    let count = loaded.pipeline.node_names().count();
    let status = if denied { "wrong" } else { "ok" };
    let text =
        format!("{status}: pipeline \"{}\", {count} nodes, {} warnings\n", loaded.pipeline.name(), warnings);
    output.text_or_json(&text, || {
        json!({
            "status": status,
            "pipeline": loaded.pipeline.name(),
            "pipeline_hash": loaded.pipeline.hash().0.to_string(),
            "nodes": loaded.pipeline.node_names().collect::<Vec<_>>(),
            "diagnostics": diagnostics,
        })
    })?;
    Ok(if denied { Exit::Wrong } else { Exit::Ok })
}
