//! Runs by the pipeline file that they were made from: several projects may share a store, and a name.

use std::path::{Path, PathBuf};

use anabranch_engine::store::StoreError;
use serde_json::Value;

use super::Store;

/// The key under which a run's note and summary have its file.
pub(crate) const FILE: &str = "file";
/// The key under which a run's note has the paths that it writes to.
pub(crate) const OUTPUTS: &str = "outputs";

/// A run that stands for a pipeline's last one, and what a person should know of that choice.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LastRun {
    /// The run; none if there is none of the name.
    pub run: Option<String>,
    /// Another file of the same name that comes into it.
    pub warning: Option<String>,
}

/// The path under which the store knows a pipeline file: links are followed.
#[must_use]
pub fn file_of_pipeline(path: &Path) -> PathBuf {
    path.canonicalize().or_else(|_| std::path::absolute(path)).unwrap_or_else(|_| path.to_owned())
}

/// The pipeline file in a run's summary; none if the run was not made from a file, or by an earlier version.
#[must_use]
pub fn file_of_summary(summary: &str) -> Option<PathBuf> {
    let summary: Value = serde_json::from_str(summary).ok()?;
    summary.get(FILE)?.as_str().map(PathBuf::from)
}

/// The paths that a run of that note writes to.
pub(crate) fn noted_outputs(note: &str) -> Vec<PathBuf> {
    let note: Value = serde_json::from_str(note).unwrap_or(Value::Null);
    let outputs = note.get(OUTPUTS).and_then(Value::as_array).into_iter().flatten();
    outputs.filter_map(Value::as_str).map(PathBuf::from).collect()
}

impl Store {
    /// The run whose recording of a node is read for a pipeline file: the last one that was made from the
    /// file, else the last one of the pipeline's name.
    ///
    /// A run of which no file is known counts as one of this file.
    pub fn last_recorded(&self, pipeline: &str, node: &str, file: &Path) -> Result<LastRun, StoreError> {
        let recordings = self.inner().recordings(pipeline, node)?;
        self.last_of(recordings.into_iter().map(|recording| recording.run), file)
    }

    /// [`Store::last_recorded`] among all runs of a pipeline's name, whether they recorded anything or not.
    pub fn last_run(&self, pipeline: &str, file: &Path) -> Result<LastRun, StoreError> {
        let runs = self.runs(Some(pipeline))?;
        self.last_of(runs.into_iter().map(|run| run.start.run), file)
    }

    fn last_of(&self, runs: impl Iterator<Item = String>, file: &Path) -> Result<LastRun, StoreError> {
        let file = file_of_pipeline(file);
        let mut newer: Option<(String, PathBuf)> = None;
        for run in runs {
            match self.inner().run_summary(&run)?.as_deref().and_then(file_of_summary) {
                Some(other) if other != file => {
                    newer.get_or_insert((run, other));
                }
                _ => {
                    let warning = newer.map(|(newer, other)| {
                        format!(
                            "run {newer} of {} is newer and has this pipeline's name; what is read is of {}; give one of them another name, or a store of its own",
                            other.display(),
                            file.display()
                        )
                    });
                    return Ok(LastRun { run: Some(run), warning });
                }
            }
        }
        let Some((run, other)) = newer else { return Ok(LastRun { run: None, warning: None }) };
        let (other_name, file) = (other.display(), file.display());
        let warning = if other.exists() {
            format!(
                "run {run}, which is read, is of {other_name}, which has this pipeline's name; {file} has none; give one of them another name, or a store of its own"
            )
        } else {
            format!(
                "run {run}, which is read, is of {other_name}, which is gone; {file} has none, and is taken for it"
            )
        };
        Ok(LastRun { run: Some(run), warning: Some(warning) })
    }
}
