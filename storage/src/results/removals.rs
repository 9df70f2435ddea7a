//! Number of removals of results, so that tables in memory are not older than the blocks that they refer to.

use anabranch_engine::store::StoreError;
use rusqlite::{Connection, OptionalExtension as _};

use crate::error::sql;

/// Reads the number of removals.
pub(crate) fn count(connection: &Connection) -> Result<i64, StoreError> {
    let found: Option<i64> = connection
        .prepare_cached("SELECT value FROM meta WHERE key = 'removals'")
        .and_then(|mut select| select.query_row([], |row| row.get(0)).optional())
        .map_err(|e| sql("look up results", e))?;
    Ok(found.unwrap_or(0))
}

/// Counts a removal, in the transaction that removes.
pub(crate) fn add(connection: &Connection) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO meta VALUES ('removals', 1) ON CONFLICT (key) DO UPDATE SET value = value + 1",
        )?
        .execute([])
        .map(drop)
}
