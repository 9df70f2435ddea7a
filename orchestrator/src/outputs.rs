//! What a run is asked to write: rows that there are, to places where they replace nothing else.

use std::path::Path;

use anabranch_nodes::sink::WriteSpec;

use crate::output_conflicts::{Conflict, Protected, Target};
use crate::pipeline::{Node, NodeHandle, Pipeline, Work};
use crate::run::RunError;

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
            let checked = Target::of(spec).and_then(|mut target| target.check(&others));
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
        let checked = pipeline.target_of(spec).and_then(|mut target| target.check(&others));
        checked.map_err(|conflict| refused(node, &conflict))?;
        let role = format!("the rows of \"{}\" are written to as well", node.name);
        others.push(Protected::output(spec, &role));
    }
    Ok(())
}

fn refused(node: &Node, conflict: &Conflict) -> RunError {
    let remedy = "choose another path";
    RunError::Output { node: node.name.clone(), found: conflict.to_string(), remedy }
}
