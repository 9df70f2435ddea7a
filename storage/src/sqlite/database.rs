//! The `SQLite` database of a store and its connections.

use std::fmt::Write as _;
use std::fs::{File, TryLockError};
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use anabranch_engine::store::{StoreFault, StoreProblem};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, OptionalExtension as _};

use super::busy::BusyHandler;
use super::fault::fault;
use super::place::Access;
use super::schema::{ADDED, APPLICATION_ID, FORMAT, READ_FORMAT, create, take_over};
use super::short_name::ShortName;

/// Flags of connections that only read. No flag lets a name be a URI, but where one is made here.
const READ: OpenFlags = OpenFlags::SQLITE_OPEN_READ_ONLY.union(OpenFlags::SQLITE_OPEN_NO_MUTEX);
/// Flags of connections that write.
const WRITE: OpenFlags = OpenFlags::SQLITE_OPEN_READ_WRITE
    .union(OpenFlags::SQLITE_OPEN_CREATE)
    .union(OpenFlags::SQLITE_OPEN_NO_MUTEX);

/// Location of a store's database, and the way to open it.
#[derive(Debug, Clone)]
pub(crate) struct Database {
    /// From the root, so that no name is taken for a URI.
    path: PathBuf,
    /// Present if the path is too long for `SQLite`.
    short: Option<ShortName>,
    access: Access,
    busy: BusyHandler,
}

impl Database {
    /// Path of the database of a folder.
    pub(crate) fn path(dir: &Path) -> PathBuf {
        dir.join("store.db")
    }

    /// Opens the database in a folder; it is made if it is new and can be written.
    pub(crate) fn open(dir: &Path, access: Access, busy: BusyHandler) -> Result<Self, StoreFault> {
        let path = std::path::absolute(Self::path(dir)).map_err(|e| StoreFault::file(dir, e))?;
        let short = ShortName::of(&path, dir)?;
        let database = Self { path, short, access, busy };
        if access == Access::ReadOnly {
            database.check_readable()?;
            return Ok(database);
        }
        let _gate = database.gate(dir)?;
        // Made by SQLite it could not be written by a group, whatever the umask allows; its other files
        // get its permissions. One that is there is not opened, since closing it would drop its locks.
        match File::create_new(&database.path) {
            Err(cause) if cause.kind() != ErrorKind::AlreadyExists => {
                return Err(StoreFault::file(&database.path, cause));
            }
            _ => {}
        }
        let mut connection = database.connect(WRITE)?;
        database.prepare(&mut connection)?;
        Ok(database)
    }

    /// Locks a folder against others that make a store there. The lock is released when it is dropped, or the process ends.
    pub(super) fn gate(&self, dir: &Path) -> Result<File, StoreFault> {
        let gate = dir.join("opening");
        let lock = File::create(&gate).map_err(|e| StoreFault::file(&gate, e))?;
        self.wait_for(&lock).map_err(|e| StoreFault::file(&gate, e))?;
        Ok(lock)
    }

    fn wait_for(&self, lock: &File) -> std::io::Result<()> {
        let mut attempt = 0;
        loop {
            match lock.try_lock() {
                Err(TryLockError::WouldBlock) if (self.busy)(attempt) => attempt += 1,
                answer => return answer.map_err(Into::into),
            }
        }
    }

    /// A connection that writes; `size_limit_bytes` bounds what the database may grow to.
    pub(crate) fn writer(&self, size_limit_bytes: Option<u64>) -> Result<Connection, StoreFault> {
        let connection = match self.access {
            Access::Full => self.connect(WRITE)?,
            // Every write is refused with the reason.
            Access::ReadOnly => self.reader()?,
        };
        let set = |name: &str, value: i64| connection.pragma_update(None, name, value);
        // 2 = FULL: a commit returns once its bytes are on the disk.
        set("synchronous", 2).map_err(fault)?;
        // 2 = MEMORY: the few pages that a savepoint may have to put back need no file.
        set("temp_store", 2).map_err(fault)?;
        set("foreign_keys", 1).map_err(fault)?;
        set("journal_size_limit", 64 << 20).map_err(fault)?;
        if let Some(bytes) = size_limit_bytes {
            let page: i64 =
                connection.pragma_query_value(None, "page_size", |row| row.get(0)).map_err(fault)?;
            let pages = i64::try_from(bytes).unwrap_or(i64::MAX) / page.max(1);
            connection
                .query_row(&format!("PRAGMA max_page_count = {}", pages.clamp(1, 4_294_967_294)), [], |_| {
                    Ok(())
                })
                .map_err(fault)?;
        }
        Ok(connection)
    }

    /// A connection that only reads.
    pub(crate) fn reader(&self) -> Result<Connection, StoreFault> {
        match self.access {
            Access::ReadOnly if !self.has_log() => {
                self.connect_to(&self.immutable_uri(), READ | OpenFlags::SQLITE_OPEN_URI)
            }
            _ => self.connect(READ),
        }
    }

    /// Returns true if a connection that only reads can be used again later: one of a store that cannot be written may have been
    /// opened without the log that is there by then.
    pub(super) fn keeps_readers(&self) -> bool {
        self.access == Access::Full
    }

    /// A connection that only reads, and takes names as they are, as those of [`ShortName`] have to be.
    pub(super) fn reader_by_short_names(&self) -> Result<Connection, StoreFault> {
        Self { short: Some(ShortName::as_it_is(self.name())), ..self.clone() }.reader()
    }

    /// Returns true if there is a log. Without one no process writes, and `SQLite` could not make the one that it
    /// needs even for reading where nothing can be made.
    fn has_log(&self) -> bool {
        let mut log = self.path.clone().into_os_string();
        log.push("-wal");
        Path::new(&log).metadata().is_ok_and(|about| about.len() > 0)
    }

    /// The database as a URI that promises that no process writes it.
    fn immutable_uri(&self) -> PathBuf {
        let mut uri = String::from("file://");
        for byte in self.name().as_os_str().as_bytes() {
            if byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'.' | b'-' | b'_') {
                uri.push(char::from(*byte));
            } else {
                // Writing to a string cannot fail.
                let _ = write!(uri, "%{byte:02X}");
            }
        }
        PathBuf::from(uri + "?immutable=1")
    }

    /// The database's path, for messages.
    pub(crate) fn place(&self) -> String {
        self.path.display().to_string()
    }

    fn connect(&self, flags: OpenFlags) -> Result<Connection, StoreFault> {
        self.connect_to(self.name(), flags)
    }

    /// The database's path for `SQLite`.
    fn name(&self) -> &Path {
        self.short.as_ref().map_or(&self.path, ShortName::path)
    }

    fn connect_to(&self, name: &Path, flags: OpenFlags) -> Result<Connection, StoreFault> {
        let connection = match self.short {
            Some(_) => Connection::open_with_flags_and_vfs(name, flags, ShortName::LAYER),
            None => Connection::open_with_flags(name, flags),
        };
        let mut connection = connection.map_err(fault)?;
        connection.busy_handler(Some(self.busy)).map_err(fault)?;
        // Else each new value that a statement is given may let it be planned again.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map_err(fault)?;
        connection.set_prepared_statement_cache_capacity(64);
        Ok(connection)
    }

    fn prepare(&self, connection: &mut Connection) -> Result<(), StoreFault> {
        let is_new = self.is_new(connection)?;
        if is_new {
            // Only a database without tables takes another page size.
            connection.pragma_update(None, "page_size", 16_384).map_err(fault)?;
            // 2 = INCREMENTAL: free pages can be given back on demand.
            connection.pragma_update(None, "auto_vacuum", 2).map_err(fault)?;
        }
        let mode: String = connection
            .pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0))
            .map_err(fault)?;
        if mode != "wal" {
            let message = format!(
                "\"{}\" is on a file system without shared memory; choose a local disk",
                self.place()
            );
            return Err(StoreFault::from(StoreProblem::Place(message)));
        }
        if is_new {
            create(connection).map_err(fault)?;
        }
        self.check_format(connection)?;
        connection.execute_batch(ADDED).map_err(fault)
    }

    /// Returns true if the database is empty; one of another program is refused.
    fn is_new(&self, connection: &Connection) -> Result<bool, StoreFault> {
        let owner: i32 =
            connection.pragma_query_value(None, "application_id", |row| row.get(0)).map_err(fault)?;
        let tables: i64 = connection
            .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
            .map_err(fault)?;
        if owner != APPLICATION_ID && (owner != 0 || tables > 0) {
            let found = format!("\"{}\" is the database of another program", self.place());
            let message = format!("{found}, expected a store or nothing; choose another folder");
            return Err(StoreFault::from(StoreProblem::Place(message)));
        }
        Ok(owner == 0)
    }

    /// Refuses a database that cannot be read as it is.
    fn check_readable(&self) -> Result<(), StoreFault> {
        let connection = self.reader()?;
        let found = if self.is_new(&connection)? { 0 } else { self.format(&connection)? };
        if found >= READ_FORMAT {
            return Ok(());
        }
        let message = format!(
            "\"{}\" has format {found}, which has to become {FORMAT} first, but it cannot be written; open it once where it can",
            self.place()
        );
        Err(StoreFault::from(StoreProblem::Version(message)))
    }

    /// Takes a store of an earlier format over, refuses one of a later.
    fn check_format(&self, connection: &mut Connection) -> Result<(), StoreFault> {
        match self.format(connection)? {
            FORMAT => Ok(()),
            earlier => take_over(connection, earlier).map_err(fault),
        }
    }

    /// The store's format; a later one is refused.
    fn format(&self, connection: &Connection) -> Result<i64, StoreFault> {
        let format: Option<i64> = connection
            .query_row("SELECT value FROM meta WHERE key = 'format'", [], |row| row.get(0))
            .optional()
            .map_err(fault)?;
        match format {
            Some(found @ 1..=FORMAT) => Ok(found),
            Some(found) if found > FORMAT => {
                let message = format!(
                    "\"{}\" has format {found}, expected at most {FORMAT}; use the version of anabranch that wrote it, or a later one",
                    self.place()
                );
                Err(StoreFault::from(StoreProblem::Version(message)))
            }
            _ => Err(StoreFault::damaged(format!("\"{}\"", self.place()), "it has no format")),
        }
    }
}

/// Bytes of the database and its log.
pub(crate) fn disk_bytes(dir: &Path) -> u64 {
    let size = |name: &str| dir.join(name).metadata().map_or(0, |file| file.len());
    size("store.db") + size("store.db-wal") + size("store.db-shm")
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI32, Ordering};

    use anabranch_engine::store::StoreErrorKind;

    use super::*;
    use crate::sqlite::busy::wait_quietly;

    fn open(dir: &Path, access: Access) -> Result<Database, StoreFault> {
        Database::open(dir, access, wait_quietly)
    }

    fn runs(connection: &Connection) -> i64 {
        connection.query_row("SELECT count(*) FROM runs", [], |row| row.get(0)).unwrap()
    }

    const RUN: &str = "INSERT INTO runs (run, pipeline, pipeline_hash, started_ms) VALUES ('r', 'p', '', 0)";

    #[test]
    fn a_database_that_cannot_be_written_is_read_with_its_log_and_without() {
        let dir = tempfile::tempdir().unwrap();
        let full = open(dir.path(), Access::Full).unwrap();
        let writer = full.writer(None).unwrap();
        writer.execute_batch(RUN).unwrap();
        let only = open(dir.path(), Access::ReadOnly).unwrap();
        assert!(only.has_log());
        assert_eq!(runs(&only.reader().unwrap()), 1);
        drop(writer);
        assert!(!only.has_log());
        let reader = only.reader().unwrap();
        assert_eq!(runs(&reader), 1);
        assert!(!only.has_log() && !dir.path().join("store.db-shm").exists());
        let refused = only.writer(None).unwrap().execute_batch(RUN).unwrap_err();
        assert_eq!(fault(refused).kind(), StoreErrorKind::Place);
    }

    #[test]
    fn an_earlier_format_is_read_as_it_is_if_it_has_all_that_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let full = open(dir.path(), Access::Full).unwrap();
        for (format, readable) in [(FORMAT, true), (READ_FORMAT, true), (1, false), (FORMAT + 1, false)] {
            let writer = full.writer(None).unwrap();
            writer.execute("UPDATE meta SET value = ?1 WHERE key = 'format'", [format]).unwrap();
            drop(writer);
            let opened = open(dir.path(), Access::ReadOnly);
            assert_eq!(opened.is_ok(), readable, "format {format}");
            if let Err(error) = opened {
                assert_eq!(error.kind(), StoreErrorKind::Version, "format {format}: {error}");
            }
        }
    }

    #[test]
    fn who_waits_for_a_busy_database_is_asked_before_each_attempt() {
        static ATTEMPTS: AtomicI32 = AtomicI32::new(0);
        fn three(attempt: i32) -> bool {
            ATTEMPTS.fetch_max(attempt + 1, Ordering::Relaxed);
            attempt < 3
        }
        let dir = tempfile::tempdir().unwrap();
        let database = Database::open(dir.path(), Access::Full, three).unwrap();
        let other = database.writer(None).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        let refused = database.writer(None).unwrap().execute_batch(RUN).unwrap_err();
        assert!(fault(refused).to_string().contains("busy for too long"));
        assert_eq!(ATTEMPTS.load(Ordering::Relaxed), 4);
    }
}
