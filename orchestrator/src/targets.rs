//! What a run is asked to write: rows that there are, each node's to a file of its own.

use std::collections::HashMap;
use std::path::PathBuf;

use anabranch_nodes::sink::WriteSpec;

use crate::pipeline::{Node, NodeHandle, Pipeline, Work};
use crate::run::RunError;

/// Checks the outputs of a run against the nodes that run, and all targets against each other.
pub(crate) fn check(
    pipeline: &Pipeline,
    needed: &[bool],
    outputs: &[(NodeHandle, WriteSpec)],
) -> Result<(), RunError> {
    let mut targets = Vec::new();
    for (node, _) in pipeline.nodes().zip(needed).filter(|(_, needed)| **needed) {
        if let Work::Write(spec) = &node.work {
            targets.push((node, spec));
        }
    }
    for (handle, spec) in outputs {
        let index = pipeline.index(*handle);
        let found = index.and_then(|at| Some((pipeline.at(at)?, needed.get(at)?)));
        let Some((node, needed)) = found else {
            return Err(RunError::Foreign { pipeline: pipeline.name().to_owned() });
        };
        gives_rows(node, *needed)?;
        targets.push((node, spec));
    }
    distinct(&targets)
}

fn gives_rows(node: &Node, needed: bool) -> Result<(), RunError> {
    let (found, remedy) = match node.work {
        Work::Write(_) => ("a node that writes a file", "name its input instead"),
        _ if !needed => ("a node that does not run", "name the last node that runs, or one before it"),
        _ => return Ok(()),
    };
    Err(RunError::Output { node: node.name.clone(), found: found.to_owned(), remedy })
}

/// The last of two files with one name would silently replace the first.
fn distinct(targets: &[(&Node, &WriteSpec)]) -> Result<(), RunError> {
    let mut taken: HashMap<PathBuf, &str> = HashMap::new();
    for (node, spec) in targets {
        // A path that cannot be made absolute is refused when the file is made.
        let path = std::path::absolute(&spec.path).unwrap_or_else(|_| spec.path.clone());
        if let Some(other) = taken.insert(path, &node.name) {
            let found =
                format!("{}, which the rows of \"{other}\" are written to as well", spec.path.display());
            let remedy = "choose another path for one of them";
            return Err(RunError::Output { node: node.name.clone(), found, remedy });
        }
    }
    Ok(())
}
