//! Puts a folder in the place of another, so that there is a whole one under the name at any moment.

use std::ffi::OsString;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use super::staging::{NEW, OLD};

/// Puts a new folder in the place of an earlier one, durably; gives the hidden path that the earlier
/// one has now.
///
/// Errors: the folder under the name is the earlier one then.
pub(super) fn replace(new: &Path, path: &Path) -> io::Result<PathBuf> {
    match exchange(new, path) {
        Ok(()) => sync_parent(path).map(|()| new.to_owned()),
        Err(cause) if is_unknown(&cause) => replace_in_steps(new, path),
        Err(cause) => Err(cause),
    }
}

/// Exchanges the names of two folders in one step.
#[cfg(any(target_os = "linux", target_os = "macos"))]
fn exchange(new: &Path, path: &Path) -> io::Result<()> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    Ok(renameat_with(CWD, new, CWD, path, RenameFlags::EXCHANGE)?)
}

#[cfg(not(any(target_os = "linux", target_os = "macos")))]
fn exchange(_: &Path, _: &Path) -> io::Result<()> {
    Err(ErrorKind::Unsupported.into())
}

/// True if the file system cannot exchange names, as the errors of `renameat2(2)` tell it.
fn is_unknown(cause: &io::Error) -> bool {
    matches!(cause.kind(), ErrorKind::Unsupported | ErrorKind::InvalidInput | ErrorKind::CrossesDevices)
}

/// The same by several renames, whose names tell a later run how far they have come
/// ([`Staging::recover`](super::staging::Staging::recover)).
pub(super) fn replace_in_steps(new: &Path, path: &Path) -> io::Result<PathBuf> {
    let (whole, earlier) = (with_ending(new, NEW), with_ending(new, OLD));
    fs::rename(new, &whole)?;
    sync_parent(path)?;
    if let Err(cause) = fs::rename(path, &earlier) {
        fs::rename(&whole, new)?;
        return Err(cause);
    }
    if let Err(cause) = fs::rename(&whole, path) {
        fs::rename(&earlier, path)?;
        fs::rename(&whole, new)?;
        return Err(cause);
    }
    sync_parent(path)?;
    Ok(earlier)
}

fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.file_stem().map_or_else(OsString::new, OsString::from);
    name.push(ending);
    path.with_file_name(name)
}

fn sync_parent(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    fs::File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::staging::Staging;

    /// A folder with an earlier output and a new one that waits for its name.
    fn two() -> (tempfile::TempDir, PathBuf, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let (path, new) = (folder.path().join("out"), folder.path().join(".out.aB3dE6.tmp"));
        for (at, text) in [(&path, "earlier"), (&new, "new")] {
            fs::create_dir(at).unwrap();
            fs::write(at.join("g=1"), text).unwrap();
        }
        (folder, path, new)
    }

    fn entries(folder: &Path) -> Vec<String> {
        let name = |entry: io::Result<fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
        let mut entries: Vec<String> = folder.read_dir().unwrap().map(name).collect();
        entries.sort_unstable();
        entries
    }

    #[test]
    fn a_folder_takes_the_place_of_another_and_nothing_else_is_left() {
        for replace in [replace, replace_in_steps] {
            let (folder, path, new) = two();
            let earlier = replace(&new, &path).unwrap();
            assert_eq!(fs::read_to_string(earlier.join("g=1")).unwrap(), "earlier");
            fs::remove_dir_all(earlier).unwrap();
            assert_eq!(fs::read_to_string(path.join("g=1")).unwrap(), "new");
            assert_eq!(entries(folder.path()), ["out"]);
        }
    }

    #[test]
    fn what_was_killed_between_any_two_steps_is_finished_by_the_next_run() {
        let steps: [(&str, &str); 3] = [
            (".out.aB3dE6.tmp", ".out.aB3dE6.new.tmp"),
            ("out", ".out.aB3dE6.old.tmp"),
            (".out.aB3dE6.new.tmp", "out"),
        ];
        for done in 0..=steps.len() {
            let (folder, path, _) = two();
            for (from, to) in steps.iter().take(done) {
                fs::rename(folder.path().join(from), folder.path().join(to)).unwrap();
            }
            let staging = Staging::beside(&path, folder.path(), "out".as_ref());
            staging.recover();
            staging.remove_leftovers();
            assert_eq!(entries(folder.path()), ["out"], "{done} steps");
            let expected = if done < 2 { "earlier" } else { "new" };
            assert_eq!(fs::read_to_string(path.join("g=1")).unwrap(), expected, "{done} steps");
        }
    }

    #[test]
    fn what_is_under_way_in_another_process_is_left_alone() {
        let (folder, path, _) = two();
        let mut other = Staging::beside(&path, folder.path(), "out".as_ref());
        let begun = other.folder().unwrap();
        let whole = with_ending(begun.path(), NEW);
        fs::rename(begun.path(), &whole).unwrap();
        fs::rename(&path, with_ending(begun.path(), OLD)).unwrap();
        let staging = Staging::beside(&path, folder.path(), "out".as_ref());
        staging.recover();
        assert!(!path.exists() && whole.exists());
        drop(other);
        // A process that another test starts at this moment may hold the lock for as long as that takes.
        while whole.exists() {
            staging.recover();
        }
        assert!(path.exists());
    }
}
