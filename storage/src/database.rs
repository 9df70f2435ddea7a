//! The `SQLite` database: its tables, its version, and how connections are opened.

use std::fmt::Write as _;
use std::fs::{File, TryLockError};
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use anabranch_engine::store::{StoreError, StoreErrorKind};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, OptionalExtension as _, TransactionBehavior};

use crate::busy::BusyHandler;
use crate::error::{corrupt, failure, io, sql};
use crate::place::Access;
use crate::recordings::seal;
use crate::short_name::ShortName;

/// Says that a database is a store: "anab" in ASCII.
const APPLICATION_ID: i32 = 0x616e_6162;

/// Version of tables and blocks. A later version is refused.
pub(crate) const FORMAT: i64 = 5;

/// Version of the set of tables that refer to blocks. Whoever removes blocks has to know them all.
pub(crate) const REFERENCES: i64 = 2;

/// The earliest format that is read as it is: a store that cannot be written cannot be taken over. What
/// later formats add may be missing there, so whoever reads a column or table of theirs asks first whether
/// it is there ([`has_table`](crate::garbage::has_table)).
const READ_FORMAT: i64 = 2;

/// What format 2 adds to format 1. See `design/formats.md`, which explains each table.
const ADDED_BY_2: &str = "
CREATE TABLE several_versions (function INTEGER PRIMARY KEY REFERENCES functions(id)) STRICT;

CREATE INDEX small_result_blocks ON result_blocks(function, id, rows) WHERE rows <= 2048;
CREATE TABLE result_packs (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  function INTEGER NOT NULL REFERENCES functions(id),
  first_block INTEGER NOT NULL,
  last_block INTEGER NOT NULL,
  rows INTEGER NOT NULL,
  checksum BLOB NOT NULL,
  pieces BLOB NOT NULL,
  prefixes BLOB NOT NULL,
  data BLOB NOT NULL
) STRICT;
CREATE INDEX result_packs_by_function ON result_packs(function, first_block);

CREATE TABLE key_runs (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  function INTEGER NOT NULL REFERENCES functions(id),
  first_block INTEGER NOT NULL,
  last_block INTEGER NOT NULL,
  keys INTEGER NOT NULL,
  page_bits INTEGER NOT NULL
) STRICT;
CREATE INDEX key_runs_by_function ON key_runs(function, last_block);
CREATE TABLE key_pages (id INTEGER PRIMARY KEY, data BLOB NOT NULL) STRICT;
";

/// What format 4 adds to earlier ones.
const ADDED_BY_4: &str = "ALTER TABLE recordings ADD COLUMN revisions TEXT;";

/// What format 5 adds to earlier ones.
const ADDED_BY_5: &str = "
CREATE TABLE withdrawn_results (
  block INTEGER NOT NULL,
  first_row INTEGER NOT NULL,
  rows INTEGER NOT NULL,
  function INTEGER NOT NULL REFERENCES functions(id),
  PRIMARY KEY (block, first_row)
) STRICT, WITHOUT ROWID;
CREATE INDEX withdrawn_results_by_function ON withdrawn_results(function);
";

/// What formats 1 and 4 have. See `design/formats.md`, which explains each table.
const TABLES: &str = "
CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;

CREATE TABLE functions (
  id INTEGER PRIMARY KEY,
  fingerprint BLOB NOT NULL UNIQUE,
  name TEXT NOT NULL,
  created_ms INTEGER NOT NULL
) STRICT;
CREATE TABLE components (
  function INTEGER NOT NULL REFERENCES functions(id),
  position INTEGER NOT NULL,
  name TEXT NOT NULL,
  value TEXT NOT NULL,
  PRIMARY KEY (function, position)
) STRICT, WITHOUT ROWID;
CREATE INDEX functions_by_name ON functions(name, id);

CREATE TABLE result_blocks (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  function INTEGER NOT NULL REFERENCES functions(id),
  rows INTEGER NOT NULL,
  checksum BLOB NOT NULL,
  prefixes BLOB NOT NULL,
  data BLOB NOT NULL
) STRICT;
CREATE INDEX result_blocks_by_function ON result_blocks(function, id);

CREATE TABLE blocks (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  hash BLOB NOT NULL UNIQUE,
  bytes INTEGER NOT NULL,
  data BLOB NOT NULL
) STRICT;

CREATE TABLE recordings (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  pipeline TEXT NOT NULL,
  node TEXT NOT NULL,
  content_hash BLOB NOT NULL,
  pipeline_hash BLOB NOT NULL,
  run TEXT NOT NULL,
  schema BLOB NOT NULL,
  ordered INTEGER NOT NULL,
  function INTEGER REFERENCES functions(id),
  function_name TEXT,
  outputs TEXT NOT NULL,
  origins TEXT NOT NULL,
  rows INTEGER NOT NULL,
  complete INTEGER NOT NULL,
  completed_ms INTEGER,
  revisions TEXT
) STRICT;
CREATE INDEX recordings_by_node ON recordings(pipeline, node, complete, id);
CREATE INDEX recordings_by_run ON recordings(run);
CREATE TABLE recording_blocks (
  recording INTEGER NOT NULL REFERENCES recordings(id),
  position INTEGER NOT NULL,
  block INTEGER NOT NULL REFERENCES blocks(id),
  rows INTEGER NOT NULL,
  PRIMARY KEY (recording, position)
) STRICT, WITHOUT ROWID;
CREATE INDEX recording_blocks_by_block ON recording_blocks(block);

CREATE TABLE runs (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  run TEXT NOT NULL UNIQUE,
  pipeline TEXT NOT NULL,
  pipeline_hash TEXT NOT NULL,
  started_ms INTEGER NOT NULL,
  ended_ms INTEGER,
  status TEXT,
  summary TEXT
) STRICT;
CREATE INDEX runs_by_pipeline ON runs(pipeline, id);
";

/// Tables and indexes that a store may lack which an earlier version has made; whoever does not
/// know them stays right.
const ADDED: &str = "
CREATE INDEX IF NOT EXISTS recordings_by_content ON recordings(content_hash, complete, id);

CREATE TABLE IF NOT EXISTS links (
  run TEXT NOT NULL,
  node TEXT NOT NULL,
  source_id TEXT NOT NULL,
  store TEXT NOT NULL,
  recording INTEGER NOT NULL,
  PRIMARY KEY (run, node)
) STRICT, WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS histories (
  source_id TEXT NOT NULL PRIMARY KEY,
  record_id TEXT NOT NULL,
  recording INTEGER NOT NULL REFERENCES recordings(id)
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS histories_by_recording ON histories(recording);
";

/// For who only reads. No flag lets a name be a URI, but where one is made here.
const READ: OpenFlags = OpenFlags::SQLITE_OPEN_READ_ONLY.union(OpenFlags::SQLITE_OPEN_NO_MUTEX);
/// For who writes.
const WRITE: OpenFlags = OpenFlags::SQLITE_OPEN_READ_WRITE
    .union(OpenFlags::SQLITE_OPEN_CREATE)
    .union(OpenFlags::SQLITE_OPEN_NO_MUTEX);

/// Where a store's database is, and how to reach it.
#[derive(Debug, Clone)]
pub(crate) struct Database {
    /// From the root, so that no name is taken for a URI.
    path: PathBuf,
    /// Where the path is too long for `SQLite`.
    short: Option<ShortName>,
    access: Access,
    busy: BusyHandler,
}

impl Database {
    /// Where the database of a folder is.
    pub(crate) fn path(dir: &Path) -> PathBuf {
        dir.join("store.db")
    }

    /// Opens the database in a folder; it is made if it is new and can be written.
    pub(crate) fn open(dir: &Path, access: Access, busy: BusyHandler) -> Result<Self, StoreError> {
        const OPERATION: &str = "open store";
        let path = std::path::absolute(Self::path(dir)).map_err(|e| io(OPERATION, dir, e))?;
        let short = ShortName::of(&path, dir)?;
        let database = Self { path, short, access, busy };
        if access == Access::ReadOnly {
            database.check_readable()?;
            return Ok(database);
        }
        // Two processes may open a new store at once; the lock goes with the process that holds it.
        let gate = dir.join("opening");
        let lock = File::create(&gate).map_err(|e| io(OPERATION, &gate, e))?;
        database.wait_for(&lock).map_err(|e| io(OPERATION, &gate, e))?;
        // Made by SQLite it could not be written by a group, whatever the umask allows; its other files
        // get its permissions. One that is there is not opened, since closing it would drop its locks.
        match File::create_new(&database.path) {
            Err(cause) if cause.kind() != ErrorKind::AlreadyExists => {
                return Err(io(OPERATION, &database.path, cause));
            }
            _ => {}
        }
        let mut connection = database.connect(WRITE)?;
        database.prepare(&mut connection)?;
        Ok(database)
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
    pub(crate) fn writer(&self, size_limit_bytes: Option<u64>) -> Result<Connection, StoreError> {
        const OPERATION: &str = "open store for writing";
        let connection = match self.access {
            Access::Full => self.connect(WRITE)?,
            // Whatever it is asked to write is refused with the reason.
            Access::ReadOnly => self.reader()?,
        };
        let set = |name: &str, value: i64| connection.pragma_update(None, name, value);
        // 2 = FULL: a commit returns once its bytes are on the disk.
        set("synchronous", 2).map_err(|e| sql(OPERATION, e))?;
        // 2 = MEMORY: the few pages that a savepoint may have to put back need no file.
        set("temp_store", 2).map_err(|e| sql(OPERATION, e))?;
        set("foreign_keys", 1).map_err(|e| sql(OPERATION, e))?;
        set("journal_size_limit", 64 << 20).map_err(|e| sql(OPERATION, e))?;
        if let Some(bytes) = size_limit_bytes {
            let page: i64 = connection
                .pragma_query_value(None, "page_size", |row| row.get(0))
                .map_err(|e| sql(OPERATION, e))?;
            let pages = i64::try_from(bytes).unwrap_or(i64::MAX) / page.max(1);
            connection
                .query_row(&format!("PRAGMA max_page_count = {}", pages.clamp(1, 4_294_967_294)), [], |_| {
                    Ok(())
                })
                .map_err(|e| sql(OPERATION, e))?;
        }
        Ok(connection)
    }

    /// A connection that only reads.
    pub(crate) fn reader(&self) -> Result<Connection, StoreError> {
        match self.access {
            Access::ReadOnly if !self.has_log() => {
                self.connect_to(&self.immutable_uri(), READ | OpenFlags::SQLITE_OPEN_URI)
            }
            _ => self.connect(READ),
        }
    }

    /// Whether there is a log. Without one nobody writes, and `SQLite` could not make the one that it
    /// needs even for reading where nothing can be made.
    fn has_log(&self) -> bool {
        let mut log = self.path.clone().into_os_string();
        log.push("-wal");
        Path::new(&log).metadata().is_ok_and(|about| about.len() > 0)
    }

    /// The database as a URI that promises that nobody writes it.
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

    fn connect(&self, flags: OpenFlags) -> Result<Connection, StoreError> {
        self.connect_to(self.name(), flags)
    }

    /// The database's path for `SQLite`.
    fn name(&self) -> &Path {
        self.short.as_ref().map_or(&self.path, ShortName::path)
    }

    fn connect_to(&self, name: &Path, flags: OpenFlags) -> Result<Connection, StoreError> {
        let connection = match self.short {
            Some(_) => Connection::open_with_flags_and_vfs(name, flags, ShortName::LAYER),
            None => Connection::open_with_flags(name, flags),
        };
        let mut connection = connection.map_err(|e| sql("open store", e))?;
        connection.busy_handler(Some(self.busy)).map_err(|e| sql("open store", e))?;
        // Else each new value that a statement is given may let it be planned again.
        connection
            .set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)
            .map_err(|e| sql("open store", e))?;
        connection.set_prepared_statement_cache_capacity(64);
        Ok(connection)
    }

    fn prepare(&self, connection: &mut Connection) -> Result<(), StoreError> {
        const OPERATION: &str = "open store";
        let failed = |e| sql(OPERATION, e);
        let is_new = self.is_new(connection)?;
        if is_new {
            // Only a database without tables takes another page size.
            connection.pragma_update(None, "page_size", 16_384).map_err(failed)?;
            // 2 = INCREMENTAL: pages that are free can be given back, when somebody asks for it.
            connection.pragma_update(None, "auto_vacuum", 2).map_err(failed)?;
        }
        let mode: String = connection
            .pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0))
            .map_err(failed)?;
        if mode != "wal" {
            let message = format!(
                "\"{}\" is on a file system without shared memory; choose a local disk",
                self.place()
            );
            return Err(failure(StoreErrorKind::Place, OPERATION, message));
        }
        if is_new {
            create(connection).map_err(failed)?;
        }
        self.check_format(connection)?;
        connection.execute_batch(ADDED).and_then(|()| connection.execute_batch(seal::TABLE)).map_err(failed)
    }

    /// Whether the database is empty; one of another program is refused.
    fn is_new(&self, connection: &Connection) -> Result<bool, StoreError> {
        const OPERATION: &str = "open store";
        let failed = |e| sql(OPERATION, e);
        let owner: i32 =
            connection.pragma_query_value(None, "application_id", |row| row.get(0)).map_err(failed)?;
        let tables: i64 = connection
            .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
            .map_err(failed)?;
        if owner != APPLICATION_ID && (owner != 0 || tables > 0) {
            let found = format!("\"{}\" is the database of another program", self.place());
            let message = format!("{found}, expected a store or nothing; choose another folder");
            return Err(failure(StoreErrorKind::Place, OPERATION, message));
        }
        Ok(owner == 0)
    }

    /// Refuses a database that cannot be read as it is.
    fn check_readable(&self) -> Result<(), StoreError> {
        const OPERATION: &str = "open store";
        let connection = self.reader()?;
        let found = if self.is_new(&connection)? { 0 } else { self.format(&connection)? };
        if found >= READ_FORMAT {
            return Ok(());
        }
        let message = format!(
            "\"{}\" has format {found}, which has to become {FORMAT} first, but it cannot be written; open it once where it can",
            self.place()
        );
        Err(failure(StoreErrorKind::Version, OPERATION, message))
    }

    /// Takes a store of an earlier format over, refuses one of a later.
    fn check_format(&self, connection: &mut Connection) -> Result<(), StoreError> {
        match self.format(connection)? {
            FORMAT => Ok(()),
            earlier => take_over(connection, earlier).map_err(|e| sql("open store", e)),
        }
    }

    /// The store's format; a later one is refused.
    fn format(&self, connection: &Connection) -> Result<i64, StoreError> {
        const OPERATION: &str = "open store";
        let format: Option<i64> = connection
            .query_row("SELECT value FROM meta WHERE key = 'format'", [], |row| row.get(0))
            .optional()
            .map_err(|e| sql(OPERATION, e))?;
        match format {
            Some(found @ 1..=FORMAT) => Ok(found),
            Some(found) if found > FORMAT => {
                let message = format!(
                    "\"{}\" has format {found}, expected at most {FORMAT}; use the version of anabranch that wrote it, or a later one",
                    self.place()
                );
                Err(failure(StoreErrorKind::Version, OPERATION, message))
            }
            _ => Err(corrupt(OPERATION, &format!("\"{}\"", self.place()), "it does not say its format")),
        }
    }
}

fn create(connection: &mut Connection) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute_batch(TABLES)?;
    transaction.execute_batch(ADDED_BY_2)?;
    transaction.execute_batch(ADDED_BY_5)?;
    transaction
        .execute("INSERT INTO meta VALUES ('format', ?1), ('references', ?2)", [FORMAT, REFERENCES])?;
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.commit()
}

/// Makes a store of an earlier format one of this: nothing that is there changes, and a program that knows
/// earlier formats alone refuses it from then on.
fn take_over(connection: &mut Connection, earlier: i64) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    if earlier == 1 {
        transaction.execute_batch(ADDED_BY_2)?;
        // Nobody wrote down which functions were refreshed.
        transaction.execute("INSERT INTO several_versions SELECT id FROM functions", [])?;
    }
    if earlier < 4 {
        transaction.execute_batch(ADDED_BY_4)?;
    }
    transaction.execute_batch(ADDED_BY_5)?;
    transaction.execute("UPDATE meta SET value = ?1 WHERE key = 'format'", [FORMAT])?;
    transaction.execute("UPDATE meta SET value = ?1 WHERE key = 'references'", [REFERENCES])?;
    transaction.commit()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI32, Ordering};

    use super::*;
    use crate::busy::wait_quietly;

    fn open(dir: &Path, access: Access) -> Result<Database, StoreError> {
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
        assert_eq!(sql("write", refused).kind, StoreErrorKind::Place);
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
                assert_eq!(error.kind, StoreErrorKind::Version, "format {format}: {error}");
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
        assert!(sql("write", refused).to_string().contains("busy for too long"));
        assert_eq!(ATTEMPTS.load(Ordering::Relaxed), 4);
    }
}
