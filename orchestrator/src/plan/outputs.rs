//! Outputs of a run: checks that their rows exist and that they replace nothing else.

use std::path::Path;

use anabranch_nodes::sink::WriteSpec;
use serde_json::Value;

use super::{RunError, RunOptions, RunScope};
use crate::graph::{Conflict, Pipeline};
use crate::node::{Node, NodeIndex, PerNode, Protected};
use crate::store::run_files::{FILE, OUTPUTS};

/// Checks the outputs of a run against the nodes that run, and all targets against each other and
/// against everything that no output may replace: the disk may have changed since the pipeline was planned.
///
/// Returns the outputs beside the sinks with the positions of their nodes.
pub(crate) fn check_outputs<'a>(
    pipeline: &Pipeline,
    store: Option<&Path>,
    needed: &PerNode<bool>,
    options: &'a RunOptions,
) -> Result<Vec<(NodeIndex, &'a WriteSpec)>, RunError> {
    let mut others: Vec<Protected> = store.map(Protected::store).into_iter().collect();
    for (node, spec) in sinks(pipeline, needed) {
        let checked = pipeline.target_of(spec, Some(node)).and_then(|mut target| target.check(&others));
        checked.map_err(|conflict| refused(node, &conflict))?;
    }
    let mut outputs = Vec::with_capacity(options.outputs.len());
    for (handle, spec) in &options.outputs {
        let index = pipeline.known(*handle)?;
        let node = pipeline.at(index);
        if !node.work.traits().gives_rows {
            let (found, remedy) = ("a node that writes a file".to_owned(), "name its input instead");
            return Err(RunError::Output { node: node.name.clone(), found, remedy });
        }
        let checked = pipeline.target_of(spec, None).and_then(|mut target| target.check(&others));
        checked.map_err(|conflict| refused(node, &conflict))?;
        let role = format!("the rows of \"{}\" are written to as well", node.name);
        others.push(Protected::output(spec, &role));
        outputs.push((index, spec));
    }
    Ok(outputs)
}

/// Returns the note of a run when it begins: its scope and the paths that it writes to. With these the hidden files
/// of a killed run can be found.
pub(crate) fn run_note(
    pipeline: &Pipeline,
    scope: &RunScope,
    needed: &PerNode<bool>,
    outputs: &[(NodeIndex, &WriteSpec)],
) -> Value {
    let all = sinks(pipeline, needed).map(|(_, spec)| spec).chain(outputs.iter().map(|(_, spec)| *spec));
    let paths = all.filter_map(|spec| std::path::absolute(&spec.path).ok());
    let paths: Vec<String> = paths.filter_map(|path| path.to_str().map(str::to_owned)).collect();
    let mut note = scope.to_json();
    if let Some(note) = note.as_object_mut() {
        note.insert(OUTPUTS.to_owned(), paths.into());
        note.extend(pipeline.file.as_ref().map(|file| (FILE.to_owned(), file.as_str().into())));
    }
    note
}

/// Returns the needed nodes that write files.
fn sinks<'a>(
    pipeline: &'a Pipeline,
    needed: &PerNode<bool>,
) -> impl Iterator<Item = (&'a Node, &'a WriteSpec)> {
    let needed = pipeline.nodes().zip(needed.iter()).filter(|(_, needed)| **needed);
    needed.filter_map(|(node, _)| Some((node, node.work.as_write()?)))
}

fn refused(node: &Node, conflict: &Conflict) -> RunError {
    let remedy = "choose another path";
    RunError::Output { node: node.name.clone(), found: conflict.to_string(), remedy }
}
