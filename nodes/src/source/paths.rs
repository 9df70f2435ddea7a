//! The files that a path or pattern names.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use glob::MatchOptions;

use super::error::{SourceError, reading};

/// A file of a source, with its name as messages show it.
#[derive(Debug, Clone)]
pub(super) struct SourceFile {
    path: PathBuf,
    pub(super) name: String,
}

impl SourceFile {
    fn new(path: PathBuf) -> Self {
        let name = path.display().to_string();
        Self { path, name }
    }

    /// The paths of files.
    pub(super) fn paths(files: &[Self]) -> Vec<PathBuf> {
        files.iter().map(|file| file.path.clone()).collect()
    }

    /// Opens the file for reading.
    pub(super) fn open(&self) -> Result<File, SourceError> {
        let file = File::open(&self.path).map_err(|cause| match cause.kind() {
            io::ErrorKind::NotFound => missing(&self.path, "a file"),
            _ => reading(&self.name, cause),
        })?;
        match file.metadata() {
            Ok(about) if about.is_dir() => {
                Err(reading(&self.name, io::Error::from(io::ErrorKind::IsADirectory)))
            }
            Ok(_) => Ok(file),
            Err(cause) => Err(reading(&self.name, cause)),
        }
    }
}

/// How patterns match: as in a shell, names that begin with a dot are matched by a dot alone. So
/// what a sink of another run has not finished, or a killed one has left, is not read.
const PATTERNS: MatchOptions =
    MatchOptions { case_sensitive: true, require_literal_separator: false, require_literal_leading_dot: true };

/// The files that `path` names, sorted by name; at least one.
///
/// A path that exists is itself, whatever characters it has; only then is it a pattern.
pub(super) fn expand(path: &Path) -> Result<Vec<SourceFile>, SourceError> {
    let text = path.to_string_lossy();
    if path.exists() || !text.contains(['*', '?', '[']) {
        return if path.exists() {
            Ok(vec![SourceFile::new(path.to_owned())])
        } else {
            Err(missing(path, "a file"))
        };
    }
    let matches = glob::glob_with(&text, PATTERNS)
        .map_err(|cause| SourceError::Pattern { path: path.display().to_string(), cause })?;
    let mut files = Vec::new();
    for entry in matches {
        let found = entry.map_err(|fault| {
            let name = fault.path().display().to_string();
            reading(&name, fault.into())
        })?;
        if !found.is_dir() {
            files.push(found);
        }
    }
    if files.is_empty() {
        return Err(missing(path, "a pattern that matches at least one file"));
    }
    files.sort_unstable();
    Ok(files.into_iter().map(SourceFile::new).collect())
}

fn missing(path: &Path, expected: &'static str) -> SourceError {
    let note = match std::env::current_dir() {
        Ok(folder) if path.is_relative() => {
            format!(", which was looked for in {}", folder.display())
        }
        _ => String::new(),
    };
    SourceError::Missing { path: path.display().to_string(), expected, note }
}
