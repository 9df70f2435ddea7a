//! Files that sources read, so that nothing is written over them.

use std::path::{Path, PathBuf};

use anabranch_nodes::sink::WriteSpec;

use crate::pipeline::{NodeHandle, Pipeline, Work};
use crate::plan_error::PlanError;

/// A file that is written, or a folder with everything in it.
struct Target {
    path: PathBuf,
    folder: bool,
}

impl Target {
    fn new(spec: &WriteSpec) -> Self {
        Self { path: resolved(&spec.path), folder: !spec.partition_by.is_empty() }
    }

    fn covers(&self, file: &Path) -> bool {
        if self.folder {
            return resolved(file).starts_with(&self.path);
        }
        // A file of another name is another file; that costs no look at the disk.
        self.path.file_name() == file.file_name() && resolved(file) == self.path
    }
}

/// The same path for a name however it is reached. A link is a name of its own, since it is the
/// link that a renamed file takes the place of.
fn resolved(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    match (path.parent().map(Path::canonicalize), path.file_name()) {
        (Some(Ok(parent)), Some(name)) => parent.join(name),
        _ => path,
    }
}

impl Pipeline {
    /// Checks at plan time whether a node's rows can be written so beside what the sinks write.
    ///
    /// Errors: a node of another pipeline, columns that the format cannot hold, a file that a
    /// source reads.
    pub fn check_output(&self, node: NodeHandle, spec: &WriteSpec) -> Result<(), PlanError> {
        let Some(node) = self.index(node).and_then(|at| self.at(at)) else {
            return Err(PlanError::new("", "found a node of another pipeline, expected one of this"));
        };
        spec.check(&node.contract.schema).map_err(|e| PlanError::sink(&node.name, &e))?;
        self.check_not_read(&node.name, spec)
    }

    /// Checks that no source so far reads what is to be written; `name` is the node whose rows it gets.
    pub fn check_not_read(&self, name: &str, spec: &WriteSpec) -> Result<(), PlanError> {
        let target = Target::new(spec);
        for node in self.nodes() {
            let Work::Source(source) = &node.work else { continue };
            if let Some(file) = source.files().iter().find(|file| target.covers(file)) {
                return Err(overwritten(name, file, &node.name, spec));
            }
        }
        Ok(())
    }

    /// Whether no sink so far writes one of the files that are to be read.
    pub(crate) fn check_not_written(&self, name: &str, files: &[PathBuf]) -> Result<(), PlanError> {
        for node in self.nodes() {
            let Work::Write(spec) = &node.work else { continue };
            let target = Target::new(spec);
            if let Some(file) = files.iter().find(|file| target.covers(file)) {
                return Err(overwritten(&node.name, file, name, spec));
            }
        }
        Ok(())
    }
}

fn overwritten(name: &str, file: &Path, source: &str, spec: &WriteSpec) -> PlanError {
    let target = spec.path.display();
    let reason = format!(
        "writing {target}: found {}, which source \"{source}\" reads, expected a place that nothing is read from; choose another path",
        file.display()
    );
    PlanError::about_path(name, reason)
}
