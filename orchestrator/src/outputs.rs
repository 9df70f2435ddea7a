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
        let index = pipeline.index(*handle);
        let found = index.and_then(|at| Some((pipeline.at(at)?, needed.get(at)?)));
        let Some((node, needed)) = found else {
            return Err(RunError::Foreign { pipeline: pipeline.name().to_owned() });
        };
        gives_rows(node, *needed)?;
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

fn gives_rows(node: &Node, needed: bool) -> Result<(), RunError> {
    let (found, remedy) = match node.work {
        Work::Write(_) => ("a node that writes a file", "name its input instead"),
        _ if !needed => ("a node that does not run", "name the last node that runs, or one before it"),
        _ => return Ok(()),
    };
    Err(RunError::Output { node: node.name.clone(), found: found.to_owned(), remedy })
}
