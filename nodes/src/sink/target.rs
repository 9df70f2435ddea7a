//! The place of a file or folder: hidden while it is written, renamed when it is whole.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use tempfile::{TempDir, TempPath};

use super::error::{SinkError, refused, unfit};
use super::replace::replace;
use super::staging::Staging;
use super::{Destination, IfExists};

/// Kind of a target.
#[derive(Debug, Clone)]
pub(super) enum TargetKind {
    File,
    /// A folder whose entries all begin with this text.
    Folder(String),
}

/// A complete output that waits for its name.
#[derive(Debug)]
pub(super) enum Staged {
    File(TempPath),
    Folder(TempDir),
}

/// A target and the folders that were made on the way to it.
#[derive(Debug)]
pub(super) struct Target {
    /// The path as it was given.
    pub(super) path: PathBuf,
    /// Path of the file: the destination of the path if it is a link.
    place: PathBuf,
    if_exists: IfExists,
    kind: TargetKind,
    folders: Folders,
    /// Makes hidden files and folders beside the target.
    pub(super) staging: Staging,
}

/// Folders made, outermost first; removed again when dropped, as far as they are empty.
#[derive(Debug, Default)]
struct Folders(Vec<PathBuf>);

impl Drop for Folders {
    fn drop(&mut self) {
        for folder in self.0.iter().rev() {
            // A folder with anything else in it stays.
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
    pub(super) fn prepare(path: &Path, if_exists: IfExists, kind: TargetKind) -> Result<Self, SinkError> {
        let (place, staging) = place(path, &kind)?;
        let path = path.to_owned();
        let mut target = Self { path, place, if_exists, kind, folders: Folders::default(), staging };
        if let TargetKind::Folder(_) = target.kind {
            target.staging.recover();
        }
        target.check()?;
        target.folders = Folders::make(&parent_of(&target.place))?;
        target.staging.remove_leftovers();
        Ok(target)
    }

    /// Hidden files and folders beside a path that killed processes have left.
    pub(super) fn leftovers(path: &Path, kind: &TargetKind) -> Vec<PathBuf> {
        place(path, kind).map(|(_, staging)| staging.leftovers()).unwrap_or_default()
    }

    /// True if something stands at the path that may be replaced; an error if it may not.
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
            TargetKind::File => {
                let is_file = about.is_file() || (about.is_symlink() && self.path.is_file());
                let leads_nowhere = about.is_symlink() && !self.path.exists();
                if !is_file && !leads_nowhere {
                    let found = if self.path.is_dir() { "a folder" } else { "something that is no file" };
                    return Err(unfit(&self.path, found, "a file or nothing", "choose another path"));
                }
            }
            TargetKind::Folder(_) if !about.is_dir() => {
                let found = "a file or a link";
                return Err(unfit(&self.path, found, "a folder or nothing", "choose another path"));
            }
            TargetKind::Folder(prefix) => self.check_entries(prefix)?,
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
                return Err(unfit(&self.path, &found, expected, "choose a folder of its own or empty it"));
            }
        }
        Ok(())
    }

    fn exists(&self) -> SinkError {
        SinkError::Exists { path: self.path.display().to_string() }
    }

    /// Returns what is staged its name, durably.
    pub(super) fn publish(mut self, staged: Staged) -> Result<(), SinkError> {
        let exists = self.check()?;
        match staged {
            Staged::File(file) => self.publish_file(file)?,
            Staged::Folder(folder) => self.publish_folder(folder, exists)?,
        }
        sync_folder(&parent_of(&self.place))?;
        self.folders.keep().iter().try_for_each(|folder| sync_folder(folder))
    }

    fn publish_file(&self, file: TempPath) -> Result<(), SinkError> {
        let renamed = match self.if_exists {
            IfExists::Replace => file.persist(&self.place),
            // In one step with the check, so that no other file is overwritten.
            IfExists::Error => file.persist_noclobber(&self.place),
        };
        renamed.map_err(|fault| match fault.error.kind() {
            ErrorKind::AlreadyExists => self.exists(),
            _ => refused("renaming to", &self.path, fault.error),
        })
    }

    fn publish_folder(&self, folder: TempDir, exists: bool) -> Result<(), SinkError> {
        let renaming = |cause| refused("renaming to", &self.path, cause);
        if !exists {
            fs::rename(folder.path(), &self.place).map_err(renaming)?;
            let _ = folder.keep();
            return Ok(());
        }
        let earlier = replace(folder.path(), &self.place).map_err(renaming)?;
        let _ = folder.keep();
        match fs::remove_dir_all(earlier) {
            // Another process that writes the same target may be quicker.
            Err(cause) if cause.kind() != ErrorKind::NotFound => {
                Err(refused("removing the earlier output of", &self.path, cause))
            }
            _ => Ok(()),
        }
    }
}

/// The destination of a target, and its hidden names. A link to a file is written through, so that it stays a link.
fn place(path: &Path, kind: &TargetKind) -> Result<(PathBuf, Staging), SinkError> {
    let is_link = matches!(kind, TargetKind::File) && path.is_symlink();
    let place = if is_link {
        let followed = Destination::of(path).map_err(|e| refused("following", path, e))?;
        followed.path().to_owned()
    } else {
        path.to_owned()
    };
    let Some(name) = place.file_name().map(OsString::from) else {
        return Err(unfit(path, "a path without a file name", "a name", "name the file or folder"));
    };
    let staging = Staging::beside(&place, &parent_of(&place), &name);
    Ok((place, staging))
}

/// Makes the names in a folder durable.
pub(super) fn sync_folder(folder: &Path) -> Result<(), SinkError> {
    File::open(folder).and_then(|f| f.sync_all()).map_err(|e| refused("synchronising folder", folder, e))
}
