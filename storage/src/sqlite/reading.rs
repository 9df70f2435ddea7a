//! Locks of readers on recordings: on the byte at the recording's number in the file `reading`.
//!
//! Removal skips recordings that are read, in whatever process, so that reads which began
//! before end right. The file stays empty.

use std::fs::File;
use std::io::ErrorKind;
use std::path::Path;

use anabranch_engine::store::StoreFault;

use super::byte_locks::{Lock, lock};

/// Keeps a recording from being removed, or from being read; released when dropped.
#[derive(Debug)]
pub(crate) struct ReadingLock {
    /// Holds the lock; none in a store that cannot be written, where no file for locks was made.
    _file: Option<File>,
}

impl ReadingLock {
    /// Takes the lock of a reader; none while the recording is being removed.
    pub(crate) fn to_read(dir: &Path, recording: i64) -> Result<Option<Self>, StoreFault> {
        Self::take(dir, recording, Lock::Shared)
    }

    /// The file for locks in a store that cannot be written.
    fn read_only(path: &Path) -> std::io::Result<Option<File>> {
        match File::open(path) {
            Err(cause) if cause.kind() == ErrorKind::NotFound => Ok(None),
            opened => opened.map(Some),
        }
    }

    /// Takes the lock for removal; none while the recording is being read.
    pub(crate) fn to_remove(dir: &Path, recording: i64) -> Result<Option<Self>, StoreFault> {
        Self::take(dir, recording, Lock::Exclusive)
    }

    fn take(dir: &Path, recording: i64, kind: Lock) -> Result<Option<Self>, StoreFault> {
        let path = dir.join("reading");
        let opened = File::options().create(true).truncate(false).read(true).write(true).open(&path);
        let opened = match opened {
            Err(cause)
                if kind == Lock::Shared
                    && matches!(
                        cause.kind(),
                        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem
                    ) =>
            {
                Self::read_only(&path)
            }
            opened => opened.map(Some),
        };
        let Some(file) = opened.map_err(|e| StoreFault::file(&path, e))? else {
            return Ok(Some(Self { _file: None }));
        };
        let taken = lock(&file, recording.unsigned_abs(), kind).map_err(|e| StoreFault::file(&path, e))?;
        Ok(taken.then_some(Self { _file: Some(file) }))
    }
}
