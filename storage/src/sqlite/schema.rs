//! The store's tables: their format, how they are made and how an earlier format becomes this one.

use rusqlite::{Connection, TransactionBehavior};

use crate::catalog::tables::REFERENCES;

/// Says that a database is a store: "anab" in ASCII.
pub(super) const APPLICATION_ID: i32 = 0x616e_6162;

/// Version of tables and blocks. A later version is refused.
pub(super) const FORMAT: i64 = 5;

/// The earliest format that is read as it is: a store that cannot be written cannot be taken over. What
/// later formats add may be missing there: such a table has no rows, such a column nulls.
pub(super) const READ_FORMAT: i64 = 2;

/// Tables that format 2 adds to format 1. See `design/formats.md`, which explains each table.
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

/// Column that format 4 adds to earlier ones.
const ADDED_BY_4: &str = "ALTER TABLE recordings ADD COLUMN revisions TEXT;";

/// Table that format 5 adds to earlier ones.
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

/// Tables of formats 1 and 4. See `design/formats.md`, which explains each table.
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

/// Tables and indexes that a store of an earlier version may lack; a program that does not
/// know them stays correct.
pub(super) const ADDED: &str = "
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

CREATE TABLE IF NOT EXISTS recording_checksums (
  recording INTEGER PRIMARY KEY,
  checksum BLOB NOT NULL
) STRICT;

CREATE TABLE IF NOT EXISTS key_filters (id INTEGER PRIMARY KEY, data BLOB NOT NULL) STRICT;

CREATE TABLE IF NOT EXISTS late_imports (
  function TEXT NOT NULL,
  entry TEXT NOT NULL,
  PRIMARY KEY (function, entry)
) STRICT, WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS set_aside_blocks (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  run TEXT NOT NULL,
  pipeline TEXT NOT NULL,
  node TEXT NOT NULL,
  function_name TEXT NOT NULL,
  fingerprint BLOB NOT NULL,
  written_ms INTEGER NOT NULL,
  packets INTEGER NOT NULL,
  checksum BLOB NOT NULL,
  data BLOB NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS set_aside_blocks_by_run ON set_aside_blocks(run, node, id);
CREATE TABLE IF NOT EXISTS set_aside (
  run TEXT NOT NULL,
  node TEXT NOT NULL,
  packet BLOB NOT NULL,
  block INTEGER NOT NULL REFERENCES set_aside_blocks(id),
  position INTEGER NOT NULL,
  rows INTEGER NOT NULL,
  PRIMARY KEY (run, node, packet)
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS set_aside_by_block ON set_aside(block, position);
";

/// Makes the tables of a new store.
pub(super) fn create(connection: &mut Connection) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute_batch(TABLES)?;
    transaction.execute_batch(ADDED_BY_2)?;
    transaction.execute_batch(ADDED_BY_5)?;
    transaction
        .execute("INSERT INTO meta VALUES ('format', ?1), ('references', ?2)", [FORMAT, REFERENCES])?;
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.commit()
}

/// Upgrades a store of an earlier format to this one: no data changes, and a program that reads
/// earlier formats alone refuses it from then on.
pub(super) fn take_over(connection: &mut Connection, earlier: i64) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    if earlier == 1 {
        transaction.execute_batch(ADDED_BY_2)?;
        // Format 1 does not record which functions were refreshed.
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
