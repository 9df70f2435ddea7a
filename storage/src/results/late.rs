//! Code that functions have been seen to load during calls, so that they are planned with it from then on.
//!
//! The table is made with the first of them, so that a store of an older version gets it too.

use anabranch_engine::store::StoreError;
use rusqlite::Connection;

use crate::error::sql;
use crate::sqlite::schema::has_table;

const TABLE: &str = "
CREATE TABLE IF NOT EXISTS late_imports (
  function TEXT NOT NULL,
  entry TEXT NOT NULL,
  PRIMARY KEY (function, entry)
) STRICT, WITHOUT ROWID;
";

/// Code that calls of a function have loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LateImport {
    /// The function: a text that is the same in all runs, whatever its code is.
    pub function: String,
    /// Code that was loaded.
    pub entries: Vec<String>,
}

/// Writes down what was loaded; what is known already stays.
pub(crate) fn insert(connection: &Connection, late: &LateImport) -> Result<(), StoreError> {
    let failed = |e| sql("remember late imports", e);
    connection.execute_batch(TABLE).map_err(failed)?;
    let mut insert =
        connection.prepare_cached("INSERT OR IGNORE INTO late_imports VALUES (?1, ?2)").map_err(failed)?;
    for entry in &late.entries {
        insert.execute((&late.function, entry)).map_err(failed)?;
    }
    Ok(())
}

/// Returns the code that calls of a function have loaded, sorted.
pub(crate) fn of_function(connection: &Connection, function: &str) -> Result<Vec<String>, StoreError> {
    let failed = |e| sql("recall late imports", e);
    if !has_table(connection, "late_imports").map_err(failed)? {
        return Ok(Vec::new());
    }
    let mut select = connection
        .prepare_cached("SELECT entry FROM late_imports WHERE function = ?1 ORDER BY entry")
        .map_err(failed)?;
    let entries = select.query_map([function], |row| row.get(0)).map_err(failed)?;
    entries.collect::<rusqlite::Result<_>>().map_err(failed)
}
