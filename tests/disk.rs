//! The disk under `SQLite`, as a test wants it: every write is written down, or fails.
//!
//! An `SQLite` VFS is laid over the system's: files behave as ever, and what is done to them is kept in order. From that
//! log [`Log::image`] makes the folder that a crash would have left at any moment: cut off between two operations, in
//! the middle of a write, or with writes lost that no sync had asked for.

#![expect(unsafe_code, reason = "SQLite's interface to a file system is one of C")]

use std::collections::{BTreeMap, HashMap};
use std::ffi::{CStr, c_char, c_int, c_void};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use rusqlite::ffi;

use super::support::Numbers;

/// Operation on the disk.
#[derive(Debug, Clone)]
pub(crate) enum Op {
    Create(PathBuf),
    Write(PathBuf, u64, Vec<u8>),
    Truncate(PathBuf, u64),
    Sync(PathBuf),
    Delete(PathBuf),
}

/// Failure of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// No room is left.
    Full,
    /// The device answers with an error.
    Io,
}

/// State in which a crash leaves what was written before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Crash {
    /// All of it is there.
    Clean,
    /// The last write is there in part.
    Torn,
    /// Of what was not synced, some is lost.
    Reordered,
}

/// All operations, in order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Log(pub(crate) Vec<Op>);

#[derive(Debug, Default)]
struct Disk {
    /// Operations, while they are kept.
    log: Option<Log>,
    /// Operations since the last reset.
    count: usize,
    /// From which operation on they fail, and how many of them.
    fault: Option<(usize, usize, Fault)>,
    /// True if syncs are only counted: nobody pulls this machine's plug.
    fast: bool,
}

static DISK: Mutex<Disk> = Mutex::new(Disk { log: None, count: 0, fault: None, fast: true });

fn disk() -> MutexGuard<'static, Disk> {
    DISK.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Disk {
    /// Counts an operation and keeps it; the code with which it fails, if it does.
    fn done(&mut self, op: impl FnOnce() -> Op) -> Option<Fault> {
        let at = self.count;
        self.count += 1;
        if let Some((from, failing, fault)) = self.fault
            && (from..from.saturating_add(failing)).contains(&at)
        {
            return Some(fault);
        }
        if let Some(log) = &mut self.log {
            log.0.push(op());
        }
        None
    }
}

/// The disk belongs to one test at a time.
pub(crate) fn take() -> MutexGuard<'static, ()> {
    static TAKEN: Mutex<()> = Mutex::new(());
    install();
    TAKEN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Keeps what is done from now on.
pub(crate) fn record() {
    let mut disk = disk();
    (disk.log, disk.count, disk.fault) = (Some(Log::default()), 0, None);
}

/// Number of operations since the last [`record`] or [`fail`].
pub(crate) fn count() -> usize {
    disk().count
}

/// Operations since [`record`]; nothing more is kept.
pub(crate) fn recorded() -> Log {
    disk().log.take().unwrap_or_default()
}

/// Lets `failing` operations fail from the `from`th from now.
pub(crate) fn fail(from: usize, failing: usize, fault: Fault) {
    let mut disk = disk();
    (disk.log, disk.count, disk.fault) = (None, 0, Some((from, failing, fault)));
}

/// Lets every operation succeed again.
pub(crate) fn heal() {
    disk().fault = None;
}

/// A file as it is on the disk and as programs see it.
#[derive(Default, Clone)]
struct Content {
    synced: Vec<u8>,
    since: Vec<Op>,
}

fn apply(bytes: &mut Vec<u8>, op: &Op) {
    match op {
        Op::Write(_, offset, data) => {
            let start = usize::try_from(*offset).unwrap();
            bytes.resize(bytes.len().max(start + data.len()), 0);
            bytes[start..start + data.len()].copy_from_slice(data);
        }
        Op::Truncate(_, length) => bytes.resize(usize::try_from(*length).unwrap(), 0),
        Op::Create(_) | Op::Sync(_) | Op::Delete(_) => {}
    }
}

/// Part of a write: all bytes up to a place, as a disk of sectors leaves it, or one cut anywhere.
fn torn(op: &Op, random: &mut Numbers) -> Op {
    match op {
        Op::Write(path, offset, data) => {
            let cut = usize::try_from(random.below(data.len().max(1) as u64)).unwrap();
            let cut = if random.below(2) == 0 { cut } else { cut / 512 * 512 };
            Op::Write(path.clone(), *offset, data[..cut].to_vec())
        }
        other => other.clone(),
    }
}

impl Log {
    /// Makes in `to` what a crash before operation `at` leaves of the folder `from`.
    pub(crate) fn image(&self, at: usize, crash: Crash, random: &mut Numbers, from: &Path, to: &Path) {
        let mut files: BTreeMap<PathBuf, Content> = BTreeMap::new();
        for op in &self.0[..at] {
            match op {
                Op::Create(path) => {
                    files.entry(path.clone()).or_default();
                }
                Op::Write(path, ..) | Op::Truncate(path, _) => {
                    files.entry(path.clone()).or_default().since.push(op.clone());
                }
                Op::Sync(path) => {
                    let file = files.entry(path.clone()).or_default();
                    for op in std::mem::take(&mut file.since) {
                        apply(&mut file.synced, &op);
                    }
                }
                Op::Delete(path) => {
                    files.remove(path);
                }
            }
        }
        let last = self.0[..at].last().cloned();
        for (path, file) in files {
            let mut bytes = file.synced;
            let pending = file.since.len();
            for (number, op) in file.since.iter().enumerate() {
                let is_last = number + 1 == pending
                    && matches!(&last, Some(Op::Write(written, ..)) if *written == path);
                match crash {
                    Crash::Torn if is_last => apply(&mut bytes, &torn(op, random)),
                    Crash::Clean | Crash::Torn => apply(&mut bytes, op),
                    Crash::Reordered => match random.below(4) {
                        0 => {}
                        1 => apply(&mut bytes, &torn(op, random)),
                        _ => apply(&mut bytes, op),
                    },
                }
            }
            if let Ok(relative) = path.strip_prefix(from) {
                let path = to.join(relative);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, bytes).unwrap();
            }
        }
    }
}

/// An open file: `SQLite`'s view of it first, ours behind it, the system's after that.
#[repr(C)]
struct File {
    base: ffi::sqlite3_file,
    /// Number of its path; none for a file without a name.
    path: Option<usize>,
}

/// Paths of all files that were ever opened.
static PATHS: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

fn path_of(number: usize) -> PathBuf {
    PATHS.lock().unwrap_or_else(PoisonError::into_inner)[number].clone()
}

fn number_of(path: PathBuf) -> usize {
    let mut paths = PATHS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = paths.iter().position(|known| *known == path) {
        return known;
    }
    paths.push(path);
    paths.len() - 1
}

/// The system's file behind ours.
fn real(file: *mut ffi::sqlite3_file) -> *mut ffi::sqlite3_file {
    // SAFETY: `open` was given room for both, ours first.
    unsafe { file.byte_add(size_of::<File>()) }
}

struct System(*mut ffi::sqlite3_vfs);

// SAFETY: SQLite's VFS may be used from any thread; the pointer stays valid for the whole program.
unsafe impl Send for System {}
// SAFETY: as above.
unsafe impl Sync for System {}

static SYSTEM: OnceLock<System> = OnceLock::new();

/// Lays the VFS over the system's for all connections that are opened from now on.
fn install() {
    SYSTEM.get_or_init(|| {
        // SAFETY: the default VFS is there once SQLite is initialised, and is never freed; ours is leaked, so that it
        // lives as long.
        unsafe {
            assert_eq!(ffi::sqlite3_initialize(), ffi::SQLITE_OK);
            let system = ffi::sqlite3_vfs_find(std::ptr::null());
            let mut ours = *system;
            ours.szOsFile += c_int::try_from(size_of::<File>()).unwrap();
            ours.zName = c"written-down".as_ptr();
            ours.pNext = std::ptr::null_mut();
            ours.xOpen = Some(open);
            ours.xDelete = Some(delete);
            ffi::sqlite3_vfs_register(Box::leak(Box::new(ours)), 1);
            System(system)
        }
    });
}

fn code(fault: Fault, io: c_int) -> c_int {
    match fault {
        Fault::Full => ffi::SQLITE_FULL,
        Fault::Io => io,
    }
}

unsafe extern "C" fn open(
    _: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    file: *mut ffi::sqlite3_file,
    flags: c_int,
    out: *mut c_int,
) -> c_int {
    let system = SYSTEM.get().unwrap().0;
    let path = (!name.is_null()).then(|| {
        // SAFETY: a name that is not null is a string that ends with NUL.
        PathBuf::from(unsafe { CStr::from_ptr(name) }.to_str().unwrap())
    });
    let is_new = path.as_ref().is_some_and(|path| !path.exists());
    // SAFETY: SQLite gives room for `szOsFile` bytes, ours and the system's; arguments are passed on.
    let opened = unsafe { (*system).xOpen.unwrap()(system, name, real(file), flags, out) };
    let methods: *const ffi::sqlite3_io_methods =
        if opened == ffi::SQLITE_OK { &raw const METHODS } else { std::ptr::null() };
    if opened == ffi::SQLITE_OK && is_new {
        disk().done(|| Op::Create(path.clone().unwrap()));
    }
    let ours = File { base: ffi::sqlite3_file { pMethods: methods }, path: path.map(number_of) };
    // SAFETY: as above, and nothing else refers to the room yet.
    unsafe { file.cast::<File>().write(ours) };
    opened
}

unsafe extern "C" fn delete(_: *mut ffi::sqlite3_vfs, name: *const c_char, sync: c_int) -> c_int {
    let system = SYSTEM.get().unwrap().0;
    // SAFETY: a name to delete is a string that ends with NUL.
    let path = PathBuf::from(unsafe { CStr::from_ptr(name) }.to_str().unwrap());
    if let Some(fault) = disk().done(|| Op::Delete(path)) {
        return code(fault, ffi::SQLITE_IOERR_DELETE);
    }
    // SAFETY: arguments are passed on.
    unsafe { (*system).xDelete.unwrap()(system, name, sync) }
}

/// The fault that an operation on a file meets, if any; a file without a name is not watched.
fn watched(file: *mut ffi::sqlite3_file, op: impl FnOnce(PathBuf) -> Op) -> Option<Fault> {
    // SAFETY: SQLite calls with files that `open` has filled.
    let path = unsafe { (*file.cast::<File>()).path }?;
    disk().done(|| op(path_of(path)))
}

unsafe extern "C" fn write(
    file: *mut ffi::sqlite3_file,
    data: *const c_void,
    amount: c_int,
    offset: ffi::sqlite3_int64,
) -> c_int {
    // SAFETY: SQLite gives `amount` bytes.
    let bytes = unsafe { std::slice::from_raw_parts(data.cast::<u8>(), amount.unsigned_abs() as usize) };
    if let Some(fault) = watched(file, |path| Op::Write(path, offset.unsigned_abs(), bytes.to_vec())) {
        return code(fault, ffi::SQLITE_IOERR_WRITE);
    }
    // SAFETY: arguments are passed on to the system's file, which `open` has opened.
    unsafe { (*(*real(file)).pMethods).xWrite.unwrap()(real(file), data, amount, offset) }
}

unsafe extern "C" fn truncate(file: *mut ffi::sqlite3_file, size: ffi::sqlite3_int64) -> c_int {
    if let Some(fault) = watched(file, |path| Op::Truncate(path, size.unsigned_abs())) {
        return code(fault, ffi::SQLITE_IOERR_TRUNCATE);
    }
    // SAFETY: as in `write`.
    unsafe { (*(*real(file)).pMethods).xTruncate.unwrap()(real(file), size) }
}

unsafe extern "C" fn sync(file: *mut ffi::sqlite3_file, flags: c_int) -> c_int {
    if let Some(fault) = watched(file, Op::Sync) {
        return code(fault, ffi::SQLITE_IOERR_FSYNC);
    }
    if disk().fast {
        return ffi::SQLITE_OK;
    }
    // SAFETY: as in `write`.
    unsafe { (*(*real(file)).pMethods).xSync.unwrap()(real(file), flags) }
}

/// Methods that only pass their arguments on.
macro_rules! passed_on {
    ($($name:ident $method:ident ($($argument:ident: $type:ty),*) $(-> $answer:ty)?;)*) => { $(
        unsafe extern "C" fn $name(file: *mut ffi::sqlite3_file $(, $argument: $type)*) $(-> $answer)? {
            // SAFETY: arguments are passed on to the system's file, which `open` has opened.
            unsafe { (*(*real(file)).pMethods).$method.unwrap()(real(file) $(, $argument)*) }
        }
    )* };
}

passed_on! {
    close xClose() -> c_int;
    read xRead(to: *mut c_void, amount: c_int, offset: ffi::sqlite3_int64) -> c_int;
    file_size xFileSize(size: *mut ffi::sqlite3_int64) -> c_int;
    lock xLock(level: c_int) -> c_int;
    unlock xUnlock(level: c_int) -> c_int;
    check_reserved_lock xCheckReservedLock(out: *mut c_int) -> c_int;
    file_control xFileControl(op: c_int, argument: *mut c_void) -> c_int;
    sector_size xSectorSize() -> c_int;
    characteristics xDeviceCharacteristics() -> c_int;
    shm_map xShmMap(page: c_int, size: c_int, extend: c_int, out: *mut *mut c_void) -> c_int;
    shm_lock xShmLock(offset: c_int, count: c_int, flags: c_int) -> c_int;
    shm_barrier xShmBarrier();
    shm_unmap xShmUnmap(delete: c_int) -> c_int;
}

static METHODS: ffi::sqlite3_io_methods = ffi::sqlite3_io_methods {
    // Version 2 has no mapped reads and writes, which would go past the log.
    iVersion: 2,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(file_size),
    xLock: Some(lock),
    xUnlock: Some(unlock),
    xCheckReservedLock: Some(check_reserved_lock),
    xFileControl: Some(file_control),
    xSectorSize: Some(sector_size),
    xDeviceCharacteristics: Some(characteristics),
    xShmMap: Some(shm_map),
    xShmLock: Some(shm_lock),
    xShmBarrier: Some(shm_barrier),
    xShmUnmap: Some(shm_unmap),
    xFetch: None,
    xUnfetch: None,
};

/// Counts how often each kind of operation occurs, for messages.
pub(crate) fn kinds(log: &Log) -> HashMap<&'static str, usize> {
    let mut kinds = HashMap::new();
    for op in &log.0 {
        let kind = match op {
            Op::Create(_) => "create",
            Op::Write(..) => "write",
            Op::Truncate(..) => "truncate",
            Op::Sync(_) => "sync",
            Op::Delete(_) => "delete",
        };
        *kinds.entry(kind).or_default() += 1;
    }
    kinds
}
