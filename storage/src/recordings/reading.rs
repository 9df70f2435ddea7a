//! Who reads a recording: a lock on the byte at its number in the file `reading`.
//!
//! Who removes recordings passes over those that are read, in whatever process, so that what began
//! before ends right. The file stays empty.

use std::fs::File;
use std::path::Path;

use anabranch_engine::store::StoreError;

use crate::error::io;
use crate::locks::{Lock, lock};

/// Keeps a recording from being removed, or from being read; dropping it gives it back.
#[derive(Debug)]
pub(crate) struct ReadingLock {
    /// Holds the lock.
    _file: File,
}

impl ReadingLock {
    /// For who reads; none while the recording is being removed.
    pub(crate) fn to_read(dir: &Path, recording: i64) -> Result<Option<Self>, StoreError> {
        Self::take(dir, recording, Lock::Shared)
    }

    /// For who removes; none while somebody reads the recording.
    pub(crate) fn to_remove(dir: &Path, recording: i64) -> Result<Option<Self>, StoreError> {
        Self::take(dir, recording, Lock::Alone)
    }

    fn take(dir: &Path, recording: i64, kind: Lock) -> Result<Option<Self>, StoreError> {
        const OPERATION: &str = "read recording";
        let path = dir.join("reading");
        let file = File::options()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path)
            .map_err(|e| io(OPERATION, &path, e))?;
        let taken = lock(&file, recording.unsigned_abs(), kind).map_err(|e| io(OPERATION, &path, e))?;
        Ok(taken.then_some(Self { _file: file }))
    }
}
