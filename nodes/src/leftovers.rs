//! Leftovers of killed processes: files and folders without a lock.
//!
//! Whoever makes something that has to go again locks it with a lock of the operating system, which
//! goes with its process. So whatever bears such a name and has no lock can be removed.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

pub use crate::worker::call_leftovers;

/// Files or folders made before giving up, should another process remove each at once.
const ATTEMPTS: usize = 16;

/// Makes a file or folder with a lock, under which no other process takes it for a leftover; `open` gives its handle.
///
/// Where the file system has no locks nothing is ever taken for a leftover, and there is none.
pub(crate) fn make<T: AsRef<Path>>(
    make: impl Fn() -> io::Result<T>,
    open: impl Fn(&T) -> io::Result<File>,
) -> io::Result<(T, Option<File>)> {
    for _ in 0..ATTEMPTS {
        let new = make()?;
        let handle = match open(&new) {
            Ok(handle) => handle,
            // Before it was locked, another process took it for a leftover.
            Err(cause) if cause.kind() == ErrorKind::NotFound => continue,
            Err(cause) => return Err(cause),
        };
        match handle.lock() {
            Ok(()) if is_at(&handle, new.as_ref()) => return Ok((new, Some(handle))),
            Ok(()) => {}
            Err(cause) if cause.kind() == ErrorKind::Unsupported => return Ok((new, None)),
            Err(cause) => return Err(cause),
        }
    }
    Err(io::Error::new(ErrorKind::NotFound, "another process removes what has such a name"))
}

/// Removes a file or folder, unless a process holds a lock on it.
pub fn remove(path: &Path) {
    // Locked until it is gone, so that no process can begin to own it.
    let Some(lock) = ownerless(path) else { return };
    // What cannot be removed only takes room.
    let _ = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    drop(lock);
}

/// A lock on a file or folder without another lock.
pub(crate) fn ownerless(path: &Path) -> Option<File> {
    let about = path.symlink_metadata().ok()?;
    if !about.is_file() && !about.is_dir() {
        return None;
    }
    let handle = File::open(path).ok()?;
    handle.try_lock().is_ok().then_some(handle)
}

/// Entries of a folder whose names fit and that are not locked. What cannot be looked at is left alone.
pub(crate) fn in_folder(folder: &Path, fits: impl Fn(&std::ffi::OsStr) -> bool) -> Vec<PathBuf> {
    let entries = folder.read_dir().into_iter().flatten().flatten();
    let found = entries.filter(|entry| fits(&entry.file_name())).map(|entry| entry.path());
    found.filter(|path| ownerless(path).is_some()).collect()
}

/// True if an open file or folder is still what stands at a path.
fn is_at(handle: &File, path: &Path) -> bool {
    match (handle.metadata(), path.symlink_metadata()) {
        (Ok(held), Ok(named)) => (held.dev(), held.ino()) == (named.dev(), named.ino()),
        _ => false,
    }
}
