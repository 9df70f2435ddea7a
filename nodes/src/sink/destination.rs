//! The place that a path leads to, comparable with others whatever way they are spelled.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};

/// Links that may lead to one another, as many as Linux follows.
const MOST_LINKS: usize = 40;
/// Names of a folder that are tried to find out if it distinguishes upper case from lower case.
const TRIED_NAMES: usize = 64;

/// The file or folder that a path leads to through links and `..`, whether or not it is there yet.
///
/// An existing file or folder is identified by its device and inode, so that hard links, links, bind mounts and the
/// spellings of a file system without upper and lower case are one destination. What does not exist
/// is known by its path from the root.
///
/// Example:
/// ```
/// use anabranch_nodes::sink::Destination;
///
/// let folder = tempfile::tempdir()?;
/// std::fs::write(folder.path().join("data.csv"), "n\n1\n")?;
/// std::os::unix::fs::symlink("data.csv", folder.path().join("link.csv"))?;
/// let data = Destination::of(&folder.path().join("data.csv"))?;
/// assert!(Destination::of(&folder.path().join("new/../link.csv"))?.is(&data));
/// assert!(data.is_within(&Destination::of(folder.path())?));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Destination {
    path: PathBuf,
    file: Option<FileId>,
}

/// Device and inode.
type FileId = (u64, u64);

impl Destination {
    /// Follows a path.
    ///
    /// Errors: no working folder to start from, or too many links.
    pub fn of(path: &Path) -> io::Result<Self> {
        let path = followed(path)?;
        let file = file_id(&path);
        Ok(Self { path, file })
    }

    /// The path without links and `..`.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// True if something is there.
    #[must_use]
    pub fn exists(&self) -> bool {
        self.file.is_some()
    }

    /// True if both are one file or folder, or will be.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        match (self.file, other.file) {
            (Some(file), Some(other)) => file == other,
            (None, None) => self.path == other.path || self.differs_in_case_only(other),
            _ => false,
        }
    }

    /// True if a path leads to this file or folder, which has to exist; costs one look at the disk.
    #[must_use]
    pub fn is_at(&self, path: &Path) -> bool {
        self.file.is_some() && file_id(path) == self.file
    }

    /// True if it is a folder or lies within it, at any depth.
    #[must_use]
    pub fn is_within(&self, folder: &Self) -> bool {
        let same = |at: &Path| folder.file.is_some() && file_id(at) == folder.file;
        self.path.starts_with(&folder.path) || self.path.ancestors().any(same)
    }

    /// True if neither exists and the file system will make one of both.
    fn differs_in_case_only(&self, other: &Self) -> bool {
        let lower = |path: &Path| path.as_os_str().to_ascii_lowercase();
        if lower(&self.path) != lower(&other.path) {
            return false;
        }
        let existing = |path: &Path| path.ancestors().find(|at| at.exists()).map(Path::to_owned);
        match (existing(&self.path), existing(&other.path)) {
            (Some(folder), Some(other)) => file_id(&folder) == file_id(&other) && ignores_case(&folder),
            _ => false,
        }
    }
}

fn file_id(path: &Path) -> Option<FileId> {
    path.metadata().ok().map(|about| (about.dev(), about.ino()))
}

/// The path from the root without links and `..`; what does not exist stays as it is written.
fn followed(path: &Path) -> io::Result<PathBuf> {
    let mut waiting = names(&std::path::absolute(path)?);
    let mut links = 0;
    let mut place = PathBuf::new();
    while let Some(name) = waiting.pop() {
        match name.as_bytes() {
            b"/" => place = PathBuf::from("/"),
            b".." => drop(place.pop()),
            _ => {
                place.push(&name);
                let Ok(target) = place.read_link() else { continue };
                links += 1;
                if links > MOST_LINKS {
                    let text = format!("{} leads through too many links", path.display());
                    return Err(io::Error::other(text));
                }
                place.pop();
                waiting.extend(names(&target));
            }
        }
    }
    Ok(place)
}

/// The names in a path, the last one first.
fn names(path: &Path) -> Vec<OsString> {
    let names = path.components().rev().filter(|name| !matches!(name, Component::CurDir));
    names.map(|name| name.as_os_str().to_owned()).collect()
}

/// True if a folder takes names that differ in case for one. A folder without letters in its names
/// and in its own shows nothing, and is taken for one that keeps them apart, as nearly all do.
fn ignores_case(folder: &Path) -> bool {
    let entries = folder.read_dir().into_iter().flatten().flatten().take(TRIED_NAMES);
    let mut tried = entries.map(|entry| (folder.to_owned(), entry.file_name()));
    let own = folder.parent().zip(folder.file_name()).map(|(at, name)| (at.to_owned(), name.to_owned()));
    let tried = tried.by_ref().chain(own).find_map(|(at, name)| Some((flipped(&name)?, at, name)));
    tried.is_some_and(|(flipped, at, name)| {
        let found = file_id(&at.join(flipped));
        found.is_some() && found == file_id(&at.join(name))
    })
}

/// The name with upper and lower case exchanged; nothing if it has no letters.
fn flipped(name: &OsStr) -> Option<OsString> {
    let flip = |byte: &u8| {
        if byte.is_ascii_lowercase() { byte.to_ascii_uppercase() } else { byte.to_ascii_lowercase() }
    };
    let other = OsString::from_vec(name.as_bytes().iter().map(flip).collect());
    (other != name).then_some(other)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    fn is_one(folder: &Path, first: &str, second: &str) -> bool {
        let at = |name: &str| Destination::of(&folder.join(name)).unwrap();
        at(first).is(&at(second))
    }

    #[test]
    fn all_paths_to_a_file_are_one_destination() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir_all(at("deep/er")).unwrap();
        fs::write(at("deep/a"), "").unwrap();
        fs::write(at("deep/b"), "").unwrap();
        fs::hard_link(at("deep/a"), at("hard")).unwrap();
        symlink("deep/a", at("link")).unwrap();
        symlink(at("link"), at("link of link")).unwrap();
        symlink("deep/er", at("folder")).unwrap();
        for name in
            ["deep/./a", "deep/er/../a", "hard", "link", "link of link", "folder/../a", "none/../link"]
        {
            assert!(is_one(folder.path(), name, "deep/a"), "{name}");
            assert!(!is_one(folder.path(), name, "deep/b"), "{name}");
        }
        // `..` behind a link is the parent of where the link leads to.
        assert!(!is_one(folder.path(), "folder/../hard", "hard"));
    }

    #[test]
    fn what_is_not_there_yet_is_known_by_where_it_will_be() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("real")).unwrap();
        symlink("real", folder.path().join("link")).unwrap();
        symlink("real/made/later", folder.path().join("broken")).unwrap();
        assert!(is_one(folder.path(), "link/made/./later", "real/made/later"));
        assert!(is_one(folder.path(), "broken", "real/made/x/../later"));
        assert!(!is_one(folder.path(), "real/made/later", "real/made/sooner"));
        assert_eq!(is_one(folder.path(), "real/Made", "real/made"), ignores_case(folder.path()));
        let inner = Destination::of(&folder.path().join("link/made/later")).unwrap();
        assert!(inner.is_within(&Destination::of(&folder.path().join("real")).unwrap()));
        assert!(inner.is_within(&Destination::of(&folder.path().join("real/made")).unwrap()));
        assert!(!inner.is_within(&Destination::of(&folder.path().join("real/ma")).unwrap()));
    }

    #[test]
    fn links_that_lead_in_a_circle_are_an_error() {
        let folder = tempfile::tempdir().unwrap();
        symlink("b", folder.path().join("a")).unwrap();
        symlink("a", folder.path().join("b")).unwrap();
        assert!(Destination::of(&folder.path().join("a")).is_err());
    }

    #[test]
    fn case_is_looked_up_on_the_disk() {
        assert_eq!(flipped(OsStr::new("aB-1")), Some(OsString::from("Ab-1")));
        assert_eq!(flipped(OsStr::new("12")), None);
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("name"), "").unwrap();
        let ignores = folder.path().join("NAME").exists();
        assert_eq!(ignores_case(folder.path()), ignores);
    }
}
