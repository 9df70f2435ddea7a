//! The place of a file or folder: hidden while it is written, renamed when it is whole.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use tempfile::{Builder, TempDir, TempPath};

use super::IfExists;
use super::error::{SinkError, refused};

/// Letters that tell hidden names of one target apart.
const UNIQUE_LETTERS: usize = 6;
/// Hidden files made before giving up, should another process remove each at once.
const STAGE_ATTEMPTS: usize = 16;

/// What is to stand at the target.
#[derive(Debug, Clone)]
pub(super) enum Kind {
    File,
    /// A folder whose entries all begin with this text.
    Folder(String),
}

/// What is written and waits for its name.
#[derive(Debug)]
pub(super) enum Staged {
    File(TempPath),
    Folder(TempDir),
}

/// A target and the folders that were made on the way to it.
#[derive(Debug)]
pub(super) struct Target {
    path: PathBuf,
    parent: PathBuf,
    name: OsString,
    if_exists: IfExists,
    kind: Kind,
    folders: Folders,
    /// Locks the hidden file for as long as it has an owner; the system lets go of it with the process.
    owned: Option<File>,
}

/// Folders made, outermost first; removed again when dropped, as far as they are empty.
#[derive(Debug, Default)]
struct Folders(Vec<PathBuf>);

impl Drop for Folders {
    fn drop(&mut self) {
        for folder in self.0.iter().rev() {
            // A folder that somebody else has put something into stays.
            if fs::remove_dir(folder).is_err() {
                break;
            }
        }
    }
}

impl Folders {
    fn make(folder: &Path) -> Result<Self, SinkError> {
        let mut missing: Vec<&Path> = Vec::new();
        let mut at = folder;
        while !at.as_os_str().is_empty() && !at.exists() {
            missing.push(at);
            let Some(parent) = at.parent() else { break };
            at = parent;
        }
        let mut made = Self::default();
        for folder in missing.into_iter().rev() {
            match fs::create_dir(folder) {
                Ok(()) => made.0.push(folder.to_owned()),
                Err(cause) if cause.kind() == ErrorKind::AlreadyExists => {}
                Err(cause) => return Err(refused("making folder", folder, cause)),
            }
        }
        Ok(made)
    }

    /// Keeps the folders; the places where their names stand, to be synchronised.
    fn keep(&mut self) -> Vec<PathBuf> {
        std::mem::take(&mut self.0).iter().map(|f| parent_of(f)).collect()
    }
}

fn parent_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

impl Target {
    /// Checks what stands at the path and makes the folders that lead to it.
    pub(super) fn prepare(path: &Path, if_exists: IfExists, kind: Kind) -> Result<Self, SinkError> {
        let Some(name) = path.file_name() else {
            return Err(fault(path, "a path without a file name", "a name", "name the file or folder"));
        };
        let (path, name, parent) = (path.to_owned(), name.to_owned(), parent_of(path));
        let mut target =
            Self { path, parent, name, if_exists, kind, folders: Folders::default(), owned: None };
        target.check()?;
        target.folders = Folders::make(&target.parent)?;
        Ok(target)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether something stands at the path that may be replaced; an error if it may not.
    fn check(&self) -> Result<bool, SinkError> {
        let about = match fs::symlink_metadata(&self.path) {
            Ok(about) => about,
            Err(cause) if matches!(cause.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                return Ok(false);
            }
            Err(cause) => return Err(refused("looking at", &self.path, cause)),
        };
        if self.if_exists == IfExists::Error {
            return Err(self.exists());
        }
        match &self.kind {
            Kind::File => {
                let is_file = about.is_file() || (about.is_symlink() && self.path.is_file());
                if !is_file {
                    let found = if self.path.is_dir() { "a folder" } else { "something that is no file" };
                    return Err(fault(&self.path, found, "a file or nothing", "choose another path"));
                }
            }
            Kind::Folder(_) if !about.is_dir() => {
                let found = "a file or a link";
                return Err(fault(&self.path, found, "a folder or nothing", "choose another path"));
            }
            Kind::Folder(prefix) => self.check_entries(prefix)?,
        }
        Ok(true)
    }

    /// A folder is replaced only if it holds nothing but an earlier output.
    fn check_entries(&self, prefix: &str) -> Result<(), SinkError> {
        let entries = fs::read_dir(&self.path).map_err(|e| refused("looking into", &self.path, e))?;
        for entry in entries {
            let name = entry.map_err(|e| refused("looking into", &self.path, e))?.file_name();
            if !name.to_string_lossy().starts_with(prefix) {
                let found = format!("a folder that holds \"{}\"", name.display());
                let expected = "nothing, or a folder of an earlier output with the same partition_by";
                return Err(fault(&self.path, &found, expected, "choose a folder of its own or empty it"));
            }
        }
        Ok(())
    }

    fn exists(&self) -> SinkError {
        SinkError::Exists { path: self.path.display().to_string() }
    }

    /// Makes a hidden file beside the target, and removes those that killed processes left there.
    pub(super) fn stage_file(&mut self) -> Result<(File, TempPath), SinkError> {
        self.remove_leftovers();
        let refused = |cause| refused("making a hidden file for", &self.path, cause);
        for _ in 0..STAGE_ATTEMPTS {
            let (file, staged) = self.stage(0o666, |builder| builder.tempfile_in(&self.parent))?.into_parts();
            let owned = file.try_clone().map_err(refused)?;
            match owned.lock() {
                // Before it was locked, another process may have taken it for a leftover.
                Ok(()) if !staged.exists() => {}
                Ok(()) => {
                    self.owned = Some(owned);
                    return Ok((file, staged));
                }
                // Without locks nothing is ever taken for a leftover.
                Err(cause) if cause.kind() == ErrorKind::Unsupported => return Ok((file, staged)),
                Err(cause) => return Err(refused(cause)),
            }
        }
        Err(refused(io::Error::new(ErrorKind::NotFound, "another process removes hidden files of this name")))
    }

    /// Removes hidden files of this target that no process owns any more.
    fn remove_leftovers(&self) {
        // What cannot be looked at or removed only takes room; writing goes on.
        let Ok(entries) = fs::read_dir(&self.parent) else { return };
        for entry in entries.flatten().filter(|entry| self.is_staged_name(&entry.file_name())) {
            let path = entry.path();
            let is_file = entry.file_type().is_ok_and(|kind| kind.is_file());
            if is_file && File::open(&path).is_ok_and(|file| file.try_lock().is_ok()) {
                let _ = fs::remove_file(&path);
            }
        }
    }

    /// Whether a name is one that [`Target::stage`] makes for this target.
    fn is_staged_name(&self, name: &OsStr) -> bool {
        let middle = name.as_bytes().strip_prefix(b".").and_then(|rest| {
            let rest = rest.strip_prefix(self.name.as_bytes())?;
            rest.strip_prefix(b".")?.strip_suffix(b".tmp")
        });
        middle.is_some_and(|m| m.len() == UNIQUE_LETTERS && m.iter().all(u8::is_ascii_alphanumeric))
    }

    /// Makes a hidden folder beside the target.
    pub(super) fn stage_folder(&self) -> Result<TempDir, SinkError> {
        self.stage(0o777, |builder| builder.tempdir_in(&self.parent))
    }

    /// `.name.<unique>.tmp`, with the permissions that the process gives new files.
    fn stage<T>(
        &self,
        mode: u32,
        make: impl FnOnce(&Builder<'_, '_>) -> io::Result<T>,
    ) -> Result<T, SinkError> {
        let mut prefix = OsString::from(".");
        prefix.push(&self.name);
        prefix.push(".");
        let mut builder = Builder::new();
        builder
            .prefix(&prefix)
            .suffix(".tmp")
            .rand_bytes(UNIQUE_LETTERS)
            .permissions(Permissions::from_mode(mode));
        make(&builder).map_err(|cause| refused("making a hidden file for", &self.path, cause))
    }

    /// Gives what is staged its name, durably.
    pub(super) fn publish(mut self, staged: Staged) -> Result<(), SinkError> {
        let exists = self.check()?;
        match staged {
            Staged::File(file) => self.publish_file(file)?,
            Staged::Folder(folder) => self.publish_folder(folder, exists)?,
        }
        sync_folder(&self.parent)?;
        self.folders.keep().iter().try_for_each(|folder| sync_folder(folder))
    }

    fn publish_file(&self, file: TempPath) -> Result<(), SinkError> {
        let renamed = match self.if_exists {
            IfExists::Replace => file.persist(&self.path),
            // In one step with the check, so that nobody else's file is overwritten.
            IfExists::Error => file.persist_noclobber(&self.path),
        };
        renamed.map_err(|fault| match fault.error.kind() {
            ErrorKind::AlreadyExists => self.exists(),
            _ => refused("renaming to", &self.path, fault.error),
        })
    }

    fn publish_folder(&self, folder: TempDir, exists: bool) -> Result<(), SinkError> {
        let renaming = |cause| refused("renaming to", &self.path, cause);
        if !exists {
            fs::rename(folder.path(), &self.path).map_err(renaming)?;
            let _ = folder.keep();
            return Ok(());
        }
        let aside = self.stage_folder()?;
        let old = aside.path().join("old");
        fs::rename(&self.path, &old).map_err(renaming)?;
        if let Err(cause) = fs::rename(folder.path(), &self.path) {
            if fs::rename(&old, &self.path).is_err() {
                // What was there before is worth more than a tidy folder.
                let _ = aside.keep();
            }
            return Err(renaming(cause));
        }
        let _ = folder.keep();
        aside.close().map_err(|cause| refused("removing the earlier output of", &self.path, cause))
    }
}

/// Makes the names in a folder durable.
pub(super) fn sync_folder(folder: &Path) -> Result<(), SinkError> {
    File::open(folder).and_then(|f| f.sync_all()).map_err(|e| refused("synchronising folder", folder, e))
}

fn fault(path: &Path, found: &str, expected: &'static str, remedy: &'static str) -> SinkError {
    SinkError::Target { path: path.display().to_string(), found: found.to_owned(), expected, remedy }
}
