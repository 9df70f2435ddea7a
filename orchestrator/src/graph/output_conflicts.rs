//! Conflicts of outputs with the files that a pipeline consists of, reads and keeps, and with other outputs.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use anabranch_nodes::sink::{Destination, WriteSpec};

use super::{NodeHandle, Pipeline};
use crate::node::{Node, PlanError, Protected};

/// A file or folder that conflicts with an output.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Conflict(String);

impl Conflict {
    /// Converts it to the error of planning a node with that output.
    pub(crate) fn into_error(self, node: &str, spec: &WriteSpec) -> PlanError {
        let reason = format!(
            "writing {}: found {self}, expected a path of its own; choose another",
            spec.path.display()
        );
        PlanError::about_path(node, reason)
    }
}

/// Files that an output replaces: a file, or a folder with everything in it.
pub(crate) struct Target {
    place: Destination,
    is_folder: bool,
    /// Folders of files that were compared so far; true if they lie within this one.
    folders: HashMap<PathBuf, bool>,
}

impl Target {
    /// Resolves the target of an output.
    ///
    /// Errors: a path that leads nowhere.
    pub(crate) fn of(spec: &WriteSpec) -> Result<Self, Conflict> {
        let place = Destination::of(&spec.path)
            .map_err(|error| Conflict(format!("a path that cannot be followed ({error})")))?;
        Ok(Self { place, is_folder: !spec.partition_by.is_empty(), folders: HashMap::new() })
    }

    /// Checks that it replaces nothing of these.
    pub(crate) fn check<'a>(
        &mut self,
        protected: impl IntoIterator<Item = &'a Protected>,
    ) -> Result<(), Conflict> {
        match protected.into_iter().find(|protected| self.replaces(protected)) {
            Some(Protected { path, role, .. }) => Err(Conflict(format!("{}, which {role}", path.display()))),
            None => Ok(()),
        }
    }

    fn replaces(&mut self, protected: &Protected) -> bool {
        if !protected.is_folder && self.place.exists() {
            // The disk is read once for each folder: there may be very many files.
            return if self.is_folder {
                self.covers(&protected.path)
            } else {
                self.place.is_at(&protected.path)
            };
        }
        let Ok(other) = Destination::of(&protected.path) else { return false };
        match (self.is_folder, protected.is_folder) {
            (false, false) => self.place.is(&other),
            (false, true) => self.place.is_within(&other),
            (true, false) => other.is_within(&self.place),
            (true, true) => self.place.is_within(&other) || other.is_within(&self.place),
        }
    }

    /// Returns true if a file, or the link that leads to it, lies within this folder.
    fn covers(&mut self, file: &Path) -> bool {
        let folder = match file.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let place = &self.place;
        let within = |path: &Path| Destination::of(path).is_ok_and(|at| at.is_within(place));
        *self.folders.entry(folder.to_owned()).or_insert_with(|| within(folder))
            || (file.is_symlink() && within(file))
    }
}

impl Pipeline {
    /// Checks at plan time that a node's rows can be written to an output beside the sinks.
    ///
    /// Errors: a node of another pipeline, columns that the format cannot hold, a path to a file that the pipeline reads,
    /// consists of, keeps or writes elsewhere.
    pub fn check_output(&self, node: NodeHandle, spec: &WriteSpec) -> Result<(), PlanError> {
        let Some(node) = self.index(node).map(|at| self.at(at)) else {
            return Err(PlanError::new("", "found a node of another pipeline, expected one of this"));
        };
        spec.check(&node.contract.schema).map_err(|e| PlanError::sink(&node.name, &e))?;
        self.check_target(&node.name, spec)
    }

    /// Checks that an output replaces nothing that the pipeline so far reads, consists of, keeps or writes; `name` is the
    /// node whose rows it receives.
    ///
    /// Paths are compared by their targets: through links, whatever their spelling.
    pub fn check_target(&self, name: &str, spec: &WriteSpec) -> Result<(), PlanError> {
        self.target_of(spec, None).map(drop).map_err(|conflict| conflict.into_error(name, spec))
    }

    /// Protects the store in a folder, which need not exist yet, from outputs that are added from now on.
    pub fn protect_store(&mut self, dir: &Path) {
        self.protected.push(Protected::store(dir));
    }

    /// Protects files that the pipeline was made of from outputs that are added from now on.
    pub fn protect_files(&mut self, files: impl IntoIterator<Item = PathBuf>) {
        let files = files.into_iter().map(|file| Protected::file(file, "is a file of the pipeline"));
        self.protected.extend(files);
    }

    /// Returns the target of an output that conflicts with nothing so far, its own node aside, if it has one.
    pub(crate) fn target_of(&self, spec: &WriteSpec, own: Option<&Node>) -> Result<Target, Conflict> {
        let mut target = Target::of(spec)?;
        target.check(&self.protected)?;
        let mut others = self.nodes().filter(|node| own.is_none_or(|own| own.name != node.name));
        others.try_for_each(|node| target.check(&node.work.files(&node.name)))?;
        Ok(target)
    }

    /// Checks that no sink so far replaces a file that a new node needs.
    pub(crate) fn check_spared(&self, protected: &[Protected]) -> Result<(), PlanError> {
        if protected.is_empty() {
            return Ok(());
        }
        for node in self.nodes() {
            let Some(spec) = node.work.as_write() else { continue };
            let checked = Target::of(spec).and_then(|mut target| target.check(protected));
            checked.map_err(|conflict| conflict.into_error(&node.name, spec))?;
        }
        Ok(())
    }
}
