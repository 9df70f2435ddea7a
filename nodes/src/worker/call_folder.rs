//! Folders of single calls of a program.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use tempfile::{Builder, TempDir};

use crate::leftovers;

const PREFIX: &str = "anabranch-call-";
const UNIQUE_LETTERS: usize = 6;

/// An empty folder that goes when it is dropped. A killed process leaves it, without its lock, to
/// the next one.
#[derive(Debug)]
pub(super) struct CallFolder {
    folder: TempDir,
    /// Held until the folder is gone.
    _owner: Option<File>,
}

impl CallFolder {
    pub(super) fn make() -> io::Result<Self> {
        let folder = || Builder::new().prefix(PREFIX).rand_bytes(UNIQUE_LETTERS).tempdir();
        let (folder, owner) = leftovers::make(folder, |folder| File::open(folder))?;
        Ok(Self { folder, _owner: owner })
    }

    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// Folders of calls, of whatever pipeline, that killed processes have left in the system's folder for
/// temporary files.
#[must_use]
pub fn call_leftovers() -> Vec<PathBuf> {
    leftovers_in(&std::env::temp_dir())
}

fn leftovers_in(folder: &Path) -> Vec<PathBuf> {
    let fits = |name: &OsStr| {
        let unique = name.as_bytes().strip_prefix(PREFIX.as_bytes());
        unique.is_some_and(|u| u.len() == UNIQUE_LETTERS && u.iter().all(u8::is_ascii_alphanumeric))
    };
    leftovers::in_folder(folder, fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_of_killed_calls_are_found_and_those_of_calls_at_work_are_not() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["anabranch-call-aB3dE6", "anabranch-call-mine", "other-call-aB3dE6"] {
            std::fs::create_dir(folder.path().join(name)).unwrap();
        }
        let left = folder.path().join("anabranch-call-aB3dE6");
        assert_eq!(leftovers_in(folder.path()), std::slice::from_ref(&left));
        let owner = File::open(&left).unwrap();
        owner.lock().unwrap();
        assert_eq!(leftovers_in(folder.path()), [] as [PathBuf; 0]);
        leftovers::remove(&left);
        assert!(left.exists());
        drop(owner);
        // A process that another test starts at this moment may hold the lock for as long as that takes.
        while left.exists() {
            leftovers::remove(&left);
        }
        let made = CallFolder::make().unwrap();
        assert!(!call_leftovers().contains(&made.path().to_owned()));
    }
}
