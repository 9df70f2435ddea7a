//! Tests of pipeline files as a whole.

mod complete;
mod declarations;
mod hostile;
mod parameters;
mod schema;
mod shapes;

use std::collections::BTreeMap;
use std::path::PathBuf;

use tempfile::TempDir;

use super::{LoadError, LoadOptions, Loaded, load};

/// A folder of files, of which `pipeline.yaml` is the pipeline.
pub(super) struct Folder {
    folder: TempDir,
    pub(super) options: LoadOptions,
}

impl Folder {
    pub(super) fn new(pipeline: &str) -> Self {
        let options = LoadOptions { environment: Some(BTreeMap::new()), ..LoadOptions::default() };
        Self { folder: TempDir::new().unwrap(), options }.file("pipeline.yaml", pipeline)
    }

    pub(super) fn file(self, name: &str, content: impl AsRef<[u8]>) -> Self {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
        self
    }

    pub(super) fn set(mut self, name: &str, value: &str) -> Self {
        self.options.set.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(super) fn params_file(mut self, name: &str) -> Self {
        self.options.params_files.push(self.path(name));
        self
    }

    pub(super) fn variable(mut self, name: &str, value: &str) -> Self {
        self.options.environment.get_or_insert_default().insert(name.to_owned(), value.to_owned());
        self
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(super) fn load(&self) -> Result<Loaded, LoadError> {
        load(&self.path("pipeline.yaml"), &self.options)
    }

    /// Returns all findings as text, without the name of the folder.
    pub(super) fn findings(&self) -> String {
        let warnings = |loaded: Loaded| {
            let texts: Vec<String> = loaded.warnings.iter().map(ToString::to_string).collect();
            texts.join("\n")
        };
        self.without_folder(&self.load().map_or_else(|error| error.to_string(), warnings))
    }

    pub(super) fn without_folder(&self, text: &str) -> String {
        let folder = format!("{}/", self.folder.path().display());
        let absolute = format!("{}/", self.folder.path().canonicalize().unwrap().display());
        text.replace(&folder, "").replace(&absolute, "")
    }

    /// Returns the first line of each finding.
    pub(super) fn headlines(&self) -> Vec<String> {
        self.findings().lines().filter(|line| !line.starts_with("   ")).map(str::to_owned).collect()
    }
}

/// Returns a pipeline file with these lines under `nodes`.
pub(super) fn nodes(lines: &str) -> String {
    format!("version: 1\nname: p\nnodes:\n{lines}")
}
