//! Leases as locks of the operating system in the store's folder.
//!
//! A run that is at work holds a lock on the file `runs/<run>`. A file without a lock means nothing and is removed by the next process
//! that finds it.

use std::fs::{File, TryLockError};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anabranch_engine::store::{ClaimError, Claimant, RunError, StoreFault};

use super::claims::StoreClaimant;
use super::reading::ReadingLock;
use crate::leases::{Lease, Leases, check_name};

/// The leases of a store in a folder.
#[derive(Debug)]
pub(crate) struct FolderLeases(PathBuf);

impl FolderLeases {
    pub(crate) fn new(dir: &Path) -> Self {
        Self(dir.to_owned())
    }

    fn path(&self, run: &str) -> Result<PathBuf, RunError> {
        check_name(run)?;
        Ok(self.0.join("runs").join(run))
    }
}

impl Leases for FolderLeases {
    fn begin_run(&self, run: &str) -> Result<Lease, RunError> {
        let path = self.path(run)?;
        remove_stale(&self.0.join("runs"));
        Ok(Box::new(RunLock::take(path, run)?))
    }

    fn is_alive(&self, run: &str) -> Result<bool, StoreFault> {
        // A run whose name is no plain one has never begun.
        self.path(run).map_or(Ok(false), |path| is_held(&path))
    }

    fn any_alive(&self) -> Result<Option<String>, StoreFault> {
        let runs = self.0.join("runs");
        let failed = |e| StoreFault::file(&runs, e);
        let leases = match std::fs::read_dir(&runs) {
            Err(cause) if cause.kind() == ErrorKind::NotFound => return Ok(None),
            listed => listed.map_err(failed)?,
        };
        for lease in leases {
            let lease = lease.map_err(failed)?;
            if is_held(&lease.path())? {
                return Ok(Some(lease.file_name().to_string_lossy().into_owned()));
            }
        }
        Ok(None)
    }

    fn read(&self, recording: i64) -> Result<Option<Lease>, StoreFault> {
        Ok(ReadingLock::to_read(&self.0, recording)?.map(|lock| Box::new(lock) as Lease))
    }

    fn remove(&self, recording: i64) -> Result<Option<Lease>, StoreFault> {
        Ok(ReadingLock::to_remove(&self.0, recording)?.map(|lock| Box::new(lock) as Lease))
    }

    fn claimant(&self) -> Result<Box<dyn Claimant>, ClaimError> {
        Ok(Box::new(StoreClaimant::open(&self.0)?))
    }
}

/// Marks a run as alive until it is dropped or its process ends.
#[derive(Debug)]
struct RunLock {
    path: PathBuf,
    /// Holds the lock.
    file: File,
}

impl RunLock {
    fn take(path: PathBuf, run: &str) -> Result<Self, RunError> {
        loop {
            let failed = |e| StoreFault::file(&path, e);
            let file =
                File::options().create(true).truncate(false).write(true).open(&path).map_err(failed)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    // A search for stale files shares the lock for a moment; a run keeps it.
                    if is_held(&path)? {
                        return Err(RunError::Alive { run: run.to_owned() });
                    }
                    file.lock().map_err(failed)?;
                }
                Err(TryLockError::Error(e)) => return Err(failed(e).into()),
            }
            // The file may have been removed as stale between opening and locking it.
            if is_same(&file, &path) {
                return Ok(Self { path, file });
            }
        }
    }
}

impl Drop for RunLock {
    fn drop(&mut self) {
        // Left behind, the file would be found unlocked and removed.
        let _ = std::fs::remove_file(&self.path);
        let _ = self.file.unlock();
    }
}

fn is_same(file: &File, path: &Path) -> bool {
    match (file.metadata(), path.metadata()) {
        (Ok(held), Ok(named)) => held.ino() == named.ino() && held.dev() == named.dev(),
        _ => false,
    }
}

/// Returns true if the lock of a file is held; a file whose lock is free is removed.
fn is_held(path: &Path) -> Result<bool, StoreFault> {
    let file = match File::open(path) {
        Err(cause) if cause.kind() == ErrorKind::NotFound => return Ok(false),
        opened => opened.map_err(|e| StoreFault::file(path, e))?,
    };
    match file.try_lock_shared() {
        Err(TryLockError::WouldBlock) => return Ok(true),
        locked => locked.map_err(|e| StoreFault::file(path, e.into()))?,
    }
    if is_same(&file, path) {
        let _ = std::fs::remove_file(path);
    }
    Ok(false)
}

/// Removes the files of runs that are not alive. What cannot be read or removed now can be later.
fn remove_stale(leases: &Path) {
    for lease in std::fs::read_dir(leases).into_iter().flatten().flatten() {
        let _ = is_held(&lease.path());
    }
}
