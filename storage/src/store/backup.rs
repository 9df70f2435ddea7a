//! Copies of a whole store.

use std::path::Path;

use anabranch_engine::store::CopyError;

use super::{Store, StoreOptions};
use crate::sqlite::database::Database;
use crate::sqlite::place::{self, Access};

impl Store {
    /// Copies the store, as it is at one moment, into a folder without a store, which is created if it is missing. Returns
    /// the bytes of the copy, which is a store itself. Runs go on meanwhile, in whatever process. Blocks until the copy is on
    /// the disk.
    ///
    /// Killed, it leaves no store behind but a part of one under another name, which the next copy into the folder replaces.
    ///
    /// Errors: a folder that has a store, or cannot be written; a full disk; a damaged database; a store in memory.
    pub fn backup(&self, dir: impl AsRef<Path>) -> Result<u64, CopyError> {
        self.catalog().copy_to(dir.as_ref())
    }

    /// Copies a backup into a folder without a store, as [`Store::backup`] does, and returns the bytes. The backup stays as it is.
    ///
    /// Runs that were alive when the backup was made have died in the copy.
    ///
    /// Errors: those of [`Store::backup`]; a folder that is no store, a later format, a network file system.
    pub fn restore(
        backup: impl AsRef<Path>,
        dir: impl AsRef<Path>,
        options: &StoreOptions,
    ) -> Result<u64, CopyError> {
        let (backup, dir) = (backup.as_ref(), dir.as_ref());
        if !Self::exists(backup) {
            return Err(CopyError::NoStore { dir: backup.to_owned() });
        }
        let backup = Database::open(backup, Access::ReadOnly, options.busy)?;
        place::prepare(dir, options.allow_network)?;
        backup.copy_to(dir)
    }
}
