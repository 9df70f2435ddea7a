//! The files that a path or pattern names.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::path::{Component, Path, PathBuf};

use super::error::{Place, SourceError, reading};

/// A file of a source, with its name as messages show it.
#[derive(Debug, Clone)]
pub(super) struct SourceFile {
    pub(super) path: PathBuf,
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

    /// True if it is a pipe or a device, which can be read once, front to back.
    pub(super) fn is_stream(&self) -> bool {
        std::fs::metadata(&self.path).is_ok_and(|about| !about.is_file() && !about.is_dir())
    }

    /// Opens a regular file for reading.
    pub(super) fn open(&self) -> Result<File, SourceError> {
        if self.is_stream() {
            return Err(seeks(self.name.clone()));
        }
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

/// Refuses a stream of that name for a format that is not read front to back.
pub(super) fn seeks(name: String) -> SourceError {
    SourceError::format(
        Place::Whole(name),
        "a pipe or device",
        "a regular file, since the format is not read front to back",
        "write it to a file; csv and jsonl read pipes",
    )
}

/// Characters that make a path a pattern.
const WILDCARDS: [char; 3] = ['*', '?', '['];

/// The files that `path` names, sorted by name; at least one. Wildcards do not match names that
/// begin with a dot.
///
/// A path that exists is itself, whatever characters it has; only then is it a pattern.
pub(super) fn expand(path: &Path) -> Result<Vec<SourceFile>, SourceError> {
    let text = path.to_string_lossy();
    if path.exists() || !text.contains(WILDCARDS) {
        return if path.exists() {
            Ok(vec![SourceFile::new(path.to_owned())])
        } else {
            Err(missing(path, "a file"))
        };
    }
    let matches = glob::glob(&text)
        .map_err(|cause| SourceError::Pattern { path: path.display().to_string(), cause })?;
    let mut files = Vec::new();
    for entry in matches {
        let found = entry.map_err(|fault| {
            let name = fault.path().display().to_string();
            reading(&name, fault.into())
        })?;
        if !is_hidden(&found, path) && !found.is_dir() {
            files.push(found);
        }
    }
    if files.is_empty() {
        return Err(missing(path, "a pattern that matches at least one file"));
    }
    files.sort_unstable();
    Ok(files.into_iter().map(SourceFile::new).collect())
}

/// True if a match is one only because a wildcard stands for a leading dot, which it does not in a
/// shell either: what a sink has not finished, or has left when it was killed, is no data.
fn is_hidden(found: &Path, pattern: &Path) -> bool {
    let wild = |name: &&OsStr| name.to_string_lossy().contains(WILDCARDS);
    let dotted = |name: &OsStr| name.as_encoded_bytes().starts_with(b".");
    let fixed = names(pattern).take_while(|name| !wild(name)).count();
    names(found).skip(fixed).any(dotted) && !names(pattern).skip(fixed).any(dotted)
}

fn names(path: &Path) -> impl Iterator<Item = &OsStr> {
    path.components().filter(|c| !matches!(c, Component::CurDir)).map(Component::as_os_str)
}

/// The error for a path at which nothing is.
pub(super) fn missing(path: &Path, expected: &'static str) -> SourceError {
    let note = match std::env::current_dir() {
        Ok(folder) if path.is_relative() => {
            format!(", which was looked for in {}", folder.display())
        }
        _ => String::new(),
    };
    SourceError::Missing { path: path.display().to_string(), expected, note }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_do_not_match_leading_dots_which_a_pattern_can_name() {
        let folder = tempfile::tempdir().unwrap();
        for name in [".out.x1.tmp/p.csv", ".hidden.csv", "seen/p.csv", "seen/.p.csv.x2.tmp"] {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "a\n1\n").unwrap();
        }
        let found = |pattern: &str| {
            let files = expand(&folder.path().join(pattern)).unwrap_or_default();
            let within =
                |file: SourceFile| file.path.strip_prefix(folder.path()).unwrap().display().to_string();
            files.into_iter().map(within).collect::<Vec<_>>()
        };
        assert_eq!(found("**/*.csv"), ["seen/p.csv"]);
        assert_eq!(found("*/p.csv"), ["seen/p.csv"]);
        assert_eq!(found("seen/*"), ["seen/p.csv"]);
        assert_eq!(found(".*.csv"), [".hidden.csv"]);
        assert_eq!(found(".out.x1.tmp/*.csv"), [".out.x1.tmp/p.csv"]);
    }
}
