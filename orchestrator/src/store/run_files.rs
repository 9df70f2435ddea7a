//! Runs by the pipeline file that they were made from: several projects may share a store and a pipeline name.

use std::path::{Path, PathBuf};

use anabranch_engine::store::ReadError;
use serde_json::Value;

use super::Store;

/// Key of the pipeline file in a run's note and summary.
pub(crate) const FILE: &str = "file";
/// Key of the output paths in a run's note.
pub(crate) const OUTPUTS: &str = "outputs";

/// The run that counts as a pipeline's last one, with a warning about that choice.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LastRun {
    /// The run; none if there is none of the name.
    pub run: Option<String>,
    /// Warning about another file with the same pipeline name.
    pub warning: Option<String>,
}

/// Returns the path under which the store has a pipeline file: links are followed.
#[must_use]
pub fn file_of_pipeline(path: &Path) -> PathBuf {
    path.canonicalize().or_else(|_| std::path::absolute(path)).unwrap_or_else(|_| path.to_owned())
}

/// Returns the pipeline file in a run's summary; none if the run was not made from a file, or by an earlier version.
#[must_use]
pub fn file_of_summary(summary: &str) -> Option<PathBuf> {
    let summary: Value = serde_json::from_str(summary).ok()?;
    summary.get(FILE)?.as_str().map(PathBuf::from)
}

/// Returns the paths that a run of that note writes to.
pub(crate) fn noted_outputs(note: &str) -> Vec<PathBuf> {
    let note: Value = serde_json::from_str(note).unwrap_or(Value::Null);
    let outputs = note.get(OUTPUTS).and_then(Value::as_array).into_iter().flatten();
    outputs.filter_map(Value::as_str).map(PathBuf::from).collect()
}

impl Store {
    /// Finds the run whose recording of a node is read for a pipeline file: the last one that was made from the file, else
    /// the last one of the pipeline's name.
    ///
    /// A run of which no file is known counts as one of this file.
    pub fn last_recorded(&self, pipeline: &str, node: &str, file: &Path) -> Result<LastRun, ReadError> {
        let recordings = self.inner().recordings(pipeline, node)?;
        self.last_of(recordings.into_iter().map(|recording| recording.run), file)
    }

    /// Finds the run as [`Store::last_recorded`], among all runs of a pipeline's name, with or without recordings.
    pub fn last_run(&self, pipeline: &str, file: &Path) -> Result<LastRun, ReadError> {
        let runs = self.runs(Some(pipeline))?;
        self.last_of(runs.into_iter().map(|run| run.start.run), file)
    }

    fn last_of(&self, runs: impl Iterator<Item = String>, file: &Path) -> Result<LastRun, ReadError> {
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
