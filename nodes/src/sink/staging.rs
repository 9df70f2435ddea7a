//! Hidden files and folders beside a target: those being written, and what killed processes left.
//!
//! ```text
//! .name.<unique>.tmp       being written, or an earlier output that goes
//! .name.<unique>.new.tmp   whole, in a moment under the target's name   \  only where the file system
//! .name.<unique>.old.tmp   the earlier output, until that is done       /  cannot exchange two folders
//! ```
//! Whoever writes holds a lock of the operating system on it, which goes with the process. So what
//! has no lock is a leftover, and goes with the next run that writes the target.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anabranch_engine::identity::Structure;
use tempfile::{Builder, TempDir, TempPath};

use super::error::{SinkError, refused};
use crate::leftovers;

/// Letters that tell hidden names of one target apart.
const UNIQUE_LETTERS: usize = 6;
/// Bytes that a hidden name has beside the target's: two points, the letters and an ending.
const AROUND_BYTES: usize = 2 + UNIQUE_LETTERS + NEW.len();
/// Suffix of hidden names.
const UNFINISHED: &str = ".tmp";
/// Suffix of a complete folder that is about to get the target's name.
pub(super) const NEW: &str = ".new.tmp";
/// Suffix of an earlier folder that has lost the target's name.
pub(super) const OLD: &str = ".old.tmp";
/// Bytes of a file's name at most, on all usual file systems.
const NAME_BYTES: usize = 255;
/// Bytes of a path at most, without the zero at its end.
const PATH_BYTES: usize = 4095;
/// Hex digits that stand for a name that is too long.
const DIGEST_DIGITS: usize = 16;

/// The hidden names of a target.
#[derive(Debug)]
pub(super) struct Staging {
    /// The target.
    path: PathBuf,
    /// Its folder.
    parent: PathBuf,
    /// Middle part of hidden names, between their points.
    stem: OsString,
    /// Holds the lock on what is being written.
    owned: Option<File>,
}

impl Staging {
    /// Hidden names beside a target in its folder.
    pub(super) fn beside(path: &Path, parent: &Path, name: &OsStr) -> Self {
        let room = NAME_BYTES.min(PATH_BYTES.saturating_sub(parent.as_os_str().len() + 1));
        let stem = stem(name, room.saturating_sub(AROUND_BYTES));
        Self { path: path.to_owned(), parent: parent.to_owned(), stem, owned: None }
    }

    /// Makes a hidden file.
    pub(super) fn file(&mut self) -> Result<(File, TempPath), SinkError> {
        let file = || self.make(0o666, |builder| builder.tempfile_in(&self.parent));
        let made = leftovers::make(file, |file| file.as_file().try_clone());
        let (file, owned) = made.map_err(|cause| self.refused(cause))?;
        self.owned = owned;
        Ok(file.into_parts())
    }

    /// Makes a hidden folder.
    pub(super) fn folder(&mut self) -> Result<TempDir, SinkError> {
        let folder = || self.make(0o777, |builder| builder.tempdir_in(&self.parent));
        let made = leftovers::make(folder, |folder| File::open(folder));
        let (folder, owned) = made.map_err(|cause| self.refused(cause))?;
        self.owned = owned;
        Ok(folder)
    }

    /// `.name.<unique>.tmp`, with the permissions that the process gives new files.
    fn make<T>(&self, mode: u32, make: impl Fn(&Builder<'_, '_>) -> io::Result<T>) -> io::Result<T> {
        let mut prefix = OsString::from(".");
        prefix.push(&self.stem);
        prefix.push(".");
        let mut builder = Builder::new();
        builder
            .prefix(&prefix)
            .suffix(UNFINISHED)
            .rand_bytes(UNIQUE_LETTERS)
            .permissions(Permissions::from_mode(mode));
        make(&builder)
    }

    /// Files and folders without an owner, which can be removed: nothing leads to them. A folder has to look like an output.
    pub(super) fn leftovers(&self) -> Vec<PathBuf> {
        let mut found = leftovers::in_folder(&self.parent, |name| self.unique(name, UNFINISHED).is_some());
        found.retain(|path| !path.is_dir() || holds_partitions_alone(path));
        found
    }

    /// Removes what has no owner any more.
    pub(super) fn remove_leftovers(&self) {
        self.leftovers().iter().for_each(|path| leftovers::remove(path));
    }

    /// Finishes what a killed process has begun in [`replace_in_steps`](super::replace::replace_in_steps):
    /// afterwards there is a whole output under the target's name if there was one before.
    pub(super) fn recover(&self) {
        let entries = self.parent.read_dir().into_iter().flatten().flatten();
        let folders = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        let names: Vec<OsString> = folders.map(|entry| entry.file_name()).collect();
        let uniques = |ending: &'static str| names.iter().filter_map(move |name| self.unique(name, ending));
        for unique in uniques(NEW) {
            // Locked as long as the process that has made it is at work.
            let whole = self.hidden(unique, NEW);
            let Some(_lock) = leftovers::ownerless(&whole) else { continue };
            self.put_back(&whole);
        }
        for unique in uniques(OLD).filter(|unique| !self.hidden(unique, NEW).exists()) {
            self.put_back(&self.hidden(unique, OLD));
        }
    }

    /// Returns a folder the target's name, or removes it if there is another one under the name.
    fn put_back(&self, folder: &Path) {
        // An error leaves it to the next run.
        let _ = if self.path.symlink_metadata().is_ok() {
            fs::remove_dir_all(folder)
        } else {
            fs::rename(folder, &self.path)
        };
    }

    /// The hidden path of some letters and an ending.
    fn hidden(&self, unique: &str, ending: &str) -> PathBuf {
        let mut name = OsString::from(".");
        name.push(&self.stem);
        name.push(format!(".{unique}{ending}"));
        self.parent.join(name)
    }

    /// The letters of a hidden name of this target that has that ending.
    fn unique<'n>(&self, name: &'n OsStr, ending: &str) -> Option<&'n str> {
        let rest = name.as_bytes().strip_prefix(b".")?.strip_prefix(self.stem.as_bytes())?;
        let unique = rest.strip_prefix(b".")?.strip_suffix(ending.as_bytes())?;
        let is_unique = unique.len() == UNIQUE_LETTERS && unique.iter().all(u8::is_ascii_alphanumeric);
        is_unique.then(|| str::from_utf8(unique).ok()).flatten()
    }

    fn refused(&self, cause: io::Error) -> SinkError {
        refused("making a hidden file for", &self.path, cause)
    }
}

fn holds_partitions_alone(folder: &Path) -> bool {
    folder.read_dir().is_ok_and(|mut entries| {
        entries.all(|entry| entry.is_ok_and(|entry| entry.file_name().as_bytes().contains(&b'=')))
    })
}

/// The name, or as much of it as there is room for and a digest of the whole.
fn stem(name: &OsStr, room: usize) -> OsString {
    if name.len() <= room {
        return name.to_owned();
    }
    let mut digest = Structure::new("hidden name");
    digest.bytes(name.as_bytes());
    let kept = name.as_bytes().get(..room.saturating_sub(DIGEST_DIGITS + 1)).unwrap_or_default();
    let mut stem = OsString::from_vec(kept.to_owned());
    stem.push("~");
    stem.push(digest.finish().hex(DIGEST_DIGITS));
    stem
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_names_fit_where_the_name_itself_does() {
        for length in [1, 200, 239, 240, 250, 255] {
            let name = OsString::from("n".repeat(length));
            let staging = Staging::beside(&Path::new("/x").join(&name), Path::new("/x"), &name);
            for (ending, other) in [(UNFINISHED, NEW), (NEW, UNFINISHED), (OLD, NEW)] {
                let hidden = staging.hidden("aB3dE6", ending);
                let hidden = hidden.file_name().unwrap();
                assert!(hidden.len() <= NAME_BYTES, "{length}");
                assert_eq!(staging.unique(hidden, ending), Some("aB3dE6"));
                assert_eq!(staging.unique(hidden, other), None);
            }
        }
        let long = |last: &str| stem(OsStr::new(&("n".repeat(250) + last)), 239);
        assert_ne!(long("1"), long("2"));
        let deep = PathBuf::from("/".to_owned() + &"d".repeat(PATH_BYTES - 60));
        let name = OsString::from("n".repeat(58));
        let staging = Staging::beside(&deep.join(&name), &deep, &name);
        assert!(staging.hidden("aB3dE6", NEW).as_os_str().len() <= PATH_BYTES);
    }
}
