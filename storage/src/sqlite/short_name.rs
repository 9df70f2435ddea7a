//! A short name for a database whose path is longer than `SQLite` takes.
//!
//! `SQLite` keeps paths of at most 511 bytes, and makes a path from the root without links of every
//! name before it opens it. The system takes 4,095 bytes. So the store's folder is held open, the
//! database is named by way of that, `/proc/self/fd/<n>/store.db`, and `SQLite` is given a copy of its
//! layer for the system that takes a name as it is.

#![expect(unsafe_code, reason = "how SQLite makes names can be replaced by way of its C interface alone")]

use std::collections::BTreeMap;
use std::ffi::{CStr, c_char, c_int};
use std::fs::File;
use std::os::fd::{AsRawFd as _, RawFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::ptr;
use std::sync::{Mutex, OnceLock, PoisonError};

use anabranch_engine::index::holds;
use anabranch_engine::store::{StoreFault, StoreProblem};
use rusqlite::ffi;

/// Bytes of the path of a database from which on it gets a short name: `SQLite` appends `-journal`, and
/// takes a few bytes more for itself.
const LONG_BYTES: usize = 480;

/// The folders of such databases by device and inode. They are held open for as long as the process lives:
/// connections may outlive their store and use the path at any time, the last one when it removes
/// its log; by then the number must not be that of another folder.
// Shared by all stores of the process, as the numbers are.
static HELD: Mutex<BTreeMap<(u64, u64), File>> = Mutex::new(BTreeMap::new());

/// A name by way of the folder that is held open.
#[derive(Debug, Clone)]
pub(crate) struct ShortName(PathBuf);

impl ShortName {
    /// The layer that takes the name.
    pub(crate) const LAYER: &CStr = c"anabranch: names as they are";

    /// A short name for a database in a folder, if it needs one.
    pub(crate) fn of(database: &Path, dir: &Path) -> Result<Option<Self>, StoreFault> {
        let real = dir.canonicalize().map_err(|e| StoreFault::file(dir, e))?;
        let name = holds(database.file_name(), "the path of a database ends with its name");
        let length = real.as_os_str().len() + 1 + name.len();
        if length.max(database.as_os_str().len()) < LONG_BYTES {
            return Ok(None);
        }
        if !is_registered() || !Path::new("/proc/self/fd").is_dir() {
            let message = format!(
                "\"{}\" is a path of {length} bytes, which the store's database takes only where there is /proc; choose a folder nearer to the root",
                dir.display()
            );
            return Err(StoreFault::from(StoreProblem::Place(message)));
        }
        let number = held(dir).map_err(|e| StoreFault::file(dir, e))?;
        Ok(Some(Self(Path::new("/proc/self/fd").join(number.to_string()).join(name))))
    }

    /// A name that needs no other, for the layer that takes any; for a process in which a database has a short name.
    pub(super) fn as_it_is(name: &Path) -> Self {
        Self(name.to_owned())
    }

    /// The name.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

/// The number of a folder that is held open from now on.
fn held(dir: &Path) -> std::io::Result<RawFd> {
    let folder = File::open(dir)?;
    let about = folder.metadata()?;
    let mut folders = HELD.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(folders.entry((about.dev(), about.ino())).or_insert(folder).as_raw_fd())
}

/// Registers the layer with `SQLite`, once; returns true if that succeeded.
fn is_registered() -> bool {
    static REGISTERED: OnceLock<bool> = OnceLock::new();
    *REGISTERED.get_or_init(|| {
        // SAFETY: SQLite's layer for the system lives as long as the process and is only read. The copy
        // is never freed, so that it lives as long too.
        unsafe {
            let system = ffi::sqlite3_vfs_find(ptr::null());
            if system.is_null() {
                return false;
            }
            let (name, next) = (ShortName::LAYER.as_ptr(), ptr::null_mut());
            let copy =
                ffi::sqlite3_vfs { zName: name, pNext: next, xFullPathname: Some(as_it_is), ..*system };
            ffi::sqlite3_vfs_register(Box::into_raw(Box::new(copy)), 0) == ffi::SQLITE_OK
        }
    })
}

/// Gives a name back as it is.
unsafe extern "C" fn as_it_is(
    _: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    room: c_int,
    out: *mut c_char,
) -> c_int {
    // SAFETY: SQLite gives a string with a zero at its end.
    let name = unsafe { CStr::from_ptr(name) }.to_bytes_with_nul();
    if usize::try_from(room).is_ok_and(|room| name.len() <= room) {
        // SAFETY: SQLite gives `room` bytes to write to, elsewhere than the name.
        unsafe { ptr::copy_nonoverlapping(name.as_ptr().cast(), out, name.len()) };
        return ffi::SQLITE_OK;
    }
    ffi::SQLITE_CANTOPEN
}
