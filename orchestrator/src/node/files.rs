//! Files and folders that no output may replace.

use std::path::{Path, PathBuf};

use anabranch_nodes::sink::WriteSpec;

/// A file, or a folder with everything in it, that no output may replace.
#[derive(Debug, Clone)]
pub(crate) struct Protected {
    pub(crate) path: PathBuf,
    pub(crate) is_folder: bool,
    /// Role in messages, as a clause behind the path: "found out.csv, which ..".
    pub(crate) role: String,
}

impl Protected {
    pub(crate) fn file(path: PathBuf, role: &str) -> Self {
        Self { path, is_folder: false, role: role.to_owned() }
    }

    pub(crate) fn folder(path: PathBuf, role: &str) -> Self {
        Self { path, is_folder: true, role: role.to_owned() }
    }

    /// The folder of the store that a run writes to.
    pub(crate) fn store(dir: &Path) -> Self {
        Self::folder(dir.to_owned(), "is the store, with everything in it")
    }

    /// A file or folder that a node writes.
    pub(crate) fn output(spec: &WriteSpec, role: &str) -> Self {
        Self { path: spec.path.clone(), is_folder: !spec.partition_by.is_empty(), role: role.to_owned() }
    }
}
