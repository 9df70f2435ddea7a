//! What a run is asked to write: rows that there are, to places where they replace nothing else.

use std::path::{Path, PathBuf};

use anabranch_nodes::sink::WriteSpec;
use serde_json::Value;

use crate::output_conflicts::{Conflict, Protected};
use crate::pipeline::{Node, NodeHandle, Pipeline, Work};
use crate::run::RunError;
use crate::run_files::FILE;
use crate::summary::RunScope;

/// Checks the outputs of a run against the nodes that run, and all targets against each other and
/// against everything that no output may replace. What the disk looks like may have changed since
/// the pipeline was planned.
pub(crate) fn check(
    pipeline: &Pipeline,
    store: &Path,
    needed: &[bool],
    outputs: &[(NodeHandle, WriteSpec)],
) -> Result<(), RunError> {
    let mut others = vec![Protected::store(store)];
    for (node, _) in pipeline.nodes().zip(needed).filter(|(_, needed)| **needed) {
        if let Work::Write(spec) = &node.work {
            let checked = pipeline.target_of(spec, Some(node)).and_then(|mut target| target.check(&others));
            checked.map_err(|conflict| refused(node, &conflict))?;
        }
    }
    for (handle, spec) in outputs {
        let Some(node) = pipeline.index(*handle).and_then(|at| pipeline.at(at)) else {
            return Err(RunError::Foreign { pipeline: pipeline.name().to_owned() });
        };
        if let Work::Write(_) = node.work {
            let (found, remedy) = ("a node that writes a file".to_owned(), "name its input instead");
            return Err(RunError::Output { node: node.name.clone(), found, remedy });
        }
        let checked = pipeline.target_of(spec, None).and_then(|mut target| target.check(&others));
        checked.map_err(|conflict| refused(node, &conflict))?;
        let role = format!("the rows of \"{}\" are written to as well", node.name);
        others.push(Protected::output(spec, &role));
    }
    Ok(())
}

/// What is noted of a run when it begins: what it was asked for, and where it writes, so that what it
/// leaves can be found if it is killed.
pub(crate) fn note(
    pipeline: &Pipeline,
    scope: &RunScope,
    needed: &[bool],
    outputs: &[(NodeHandle, WriteSpec)],
) -> Value {
    let sinks = pipeline.nodes().zip(needed).filter(|(_, needed)| **needed).filter_map(|(node, _)| {
        let Work::Write(spec) = &node.work else { return None };
        Some(spec)
    });
    let all = sinks.chain(outputs.iter().map(|(_, spec)| spec));
    let paths = all.filter_map(|spec| std::path::absolute(&spec.path).ok());
    let paths: Vec<String> = paths.filter_map(|path| path.to_str().map(str::to_owned)).collect();
    let mut note = scope.to_json();
    if let Some(note) = note.as_object_mut() {
        note.insert("outputs".to_owned(), paths.into());
        note.extend(pipeline.file().map(|file| (FILE.to_owned(), file.into())));
    }
    note
}

/// Where a run of that note writes.
pub(crate) fn noted_outputs(note: &str) -> Vec<PathBuf> {
    let note: Value = serde_json::from_str(note).unwrap_or(Value::Null);
    let outputs = note.get("outputs").and_then(Value::as_array).into_iter().flatten();
    outputs.filter_map(Value::as_str).map(PathBuf::from).collect()
}

fn refused(node: &Node, conflict: &Conflict) -> RunError {
    let remedy = "choose another path";
    RunError::Output { node: node.name.clone(), found: conflict.to_string(), remedy }
}
