//! The `SQLite` database: its tables, its version, and how connections are opened.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anabranch_engine::store::{StoreError, StoreErrorKind};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, OptionalExtension as _, TransactionBehavior};

use crate::error::{corrupt, failure, io, sql};
use crate::recordings::seal;

/// Says that a database is a store: "anab" in ASCII.
const APPLICATION_ID: i32 = 0x616e_6162;

/// Version of tables and blocks. A later version is refused.
pub(crate) const FORMAT: i64 = 4;

/// Version of the set of tables that refer to blocks. Whoever removes blocks has to know them all.
pub(crate) const REFERENCES: i64 = 2;

/// How long a connection waits for another process's transaction.
const BUSY: Duration = Duration::from_mins(1);

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

/// Where a store's database is, and how to reach it.
#[derive(Debug, Clone)]
pub(crate) struct Database {
    path: PathBuf,
}

impl Database {
    /// Where the database of a folder is.
    pub(crate) fn path(dir: &Path) -> PathBuf {
        dir.join("store.db")
    }

    /// Opens the database in a folder, which is made if it is new.
    pub(crate) fn open(dir: &Path) -> Result<Self, StoreError> {
        const OPERATION: &str = "open store";
        // Two processes may open a new store at once; the lock goes with the process that holds it.
        let gate = dir.join("opening");
        let lock = std::fs::File::create(&gate).map_err(|e| io(OPERATION, &gate, e))?;
        lock.lock().map_err(|e| io(OPERATION, &gate, e))?;
        let database = Self { path: Self::path(dir) };
        let mut connection = database.connect(OpenFlags::default())?;
        database.prepare(&mut connection)?;
        Ok(database)
    }

    /// A connection that writes; `size_limit_bytes` bounds what the database may grow to.
    pub(crate) fn writer(&self, size_limit_bytes: Option<u64>) -> Result<Connection, StoreError> {
        const OPERATION: &str = "open store for writing";
        let connection = self.connect(OpenFlags::default())?;
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
        self.connect(OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)
    }

    /// The database's path, for messages.
    pub(crate) fn place(&self) -> String {
        self.path.display().to_string()
    }

    fn connect(&self, flags: OpenFlags) -> Result<Connection, StoreError> {
        let connection = Connection::open_with_flags(&self.path, flags).map_err(|e| sql("open store", e))?;
        connection.busy_timeout(BUSY).map_err(|e| sql("open store", e))?;
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
        if owner == 0 {
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
        if owner == 0 {
            create(connection).map_err(failed)?;
        }
        self.check_format(connection)?;
        connection.execute_batch(ADDED).and_then(|()| connection.execute_batch(seal::TABLE)).map_err(failed)
    }

    /// Takes a store of an earlier format over, refuses one of a later.
    fn check_format(&self, connection: &mut Connection) -> Result<(), StoreError> {
        const OPERATION: &str = "open store";
        let format: Option<i64> = connection
            .query_row("SELECT value FROM meta WHERE key = 'format'", [], |row| row.get(0))
            .optional()
            .map_err(|e| sql(OPERATION, e))?;
        match format {
            Some(FORMAT) => Ok(()),
            Some(earlier @ (1..=3)) => take_over(connection, earlier).map_err(|e| sql(OPERATION, e)),
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
    transaction.execute_batch(ADDED_BY_4)?;
    transaction.execute("UPDATE meta SET value = ?1 WHERE key = 'format'", [FORMAT])?;
    transaction.execute("UPDATE meta SET value = ?1 WHERE key = 'references'", [REFERENCES])?;
    transaction.commit()
}
