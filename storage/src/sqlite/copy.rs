//! A copy of a store's database in another folder.

use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use anabranch_engine::store::{CopyError, StoreFault};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

use super::database::Database;
use super::fault::fault;
use super::short_name::ShortName;

/// Name of a copy that is not whole yet. A killed copy leaves it behind, and the next one replaces it.
const PARTIAL: &str = "store.db.partial";

impl Database {
    /// Copies the database as one snapshot has it into a folder without a store, which is created if it is missing, and returns
    /// the bytes of the copy. Other processes go on reading and writing meanwhile; their log grows until the copy is made.
    ///
    /// The copy appears under its name when all of it is on the disk, and never takes the place of a store.
    pub(crate) fn copy_to(&self, dir: &Path) -> Result<u64, CopyError> {
        let in_place = |e| StoreFault::file(dir, e);
        std::fs::create_dir_all(dir).map_err(in_place)?;
        let whole = std::path::absolute(Self::path(dir)).map_err(in_place)?;
        let partial = whole.with_file_name(PARTIAL);
        // Held to the end: another copy, or a process that opens a new store here, waits.
        let _gate = self.gate(dir)?;
        if whole.exists() {
            return Err(occupied(dir));
        }
        match std::fs::remove_file(&partial) {
            Err(cause) if cause.kind() != ErrorKind::NotFound => {
                return Err(StoreFault::file(&partial, cause).into());
            }
            _ => {}
        }
        // Made here, so that the umask alone decides on its permissions.
        let file = File::create_new(&partial).map_err(|e| StoreFault::file(&partial, e))?;
        let copied = self.vacuum_into(&partial, dir).map_err(CopyError::from).and_then(|()| {
            file.sync_all().map_err(|e| StoreFault::file(&partial, e))?;
            match renameat_with(CWD, &partial, CWD, &whole, RenameFlags::NOREPLACE) {
                Err(Errno::EXIST) => Err(occupied(dir)),
                // A file system that cannot do that at once: no other makes a store here as long as the gate is held.
                Err(Errno::INVAL | Errno::NOSYS) => {
                    Ok(std::fs::rename(&partial, &whole).map_err(|e| StoreFault::file(&whole, e))?)
                }
                renamed => Ok(renamed.map_err(|e| StoreFault::file(&whole, e.into()))?),
            }
        });
        if copied.is_err() {
            // The failure is what the caller has to know; a file that stays is replaced by the next copy.
            let _ = std::fs::remove_file(&partial);
        }
        copied?;
        File::open(dir).and_then(|dir| dir.sync_all()).map_err(in_place)?;
        Ok(file.metadata().map(|about| about.len()).map_err(in_place)?)
    }

    fn vacuum_into(&self, path: &Path, dir: &Path) -> Result<(), StoreFault> {
        let short = ShortName::of(path, dir)?;
        let connection = match &short {
            Some(_) => self.reader_by_short_names()?,
            None => self.reader()?,
        };
        let name = short.as_ref().map_or(path, ShortName::path).as_os_str().as_bytes();
        // A path need not be a string in UTF-8.
        connection.execute("VACUUM INTO CAST(?1 AS TEXT)", [name]).map_err(fault)?;
        Ok(())
    }
}

fn occupied(dir: &Path) -> CopyError {
    CopyError::Occupied { dir: dir.to_owned() }
}
