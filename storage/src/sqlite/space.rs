//! Pages of a database that hold nothing.

use std::time::Duration;

use anabranch_engine::store::StoreFault;
use rusqlite::Connection;

use super::fault::fault;
use crate::catalog::FreeSpace;

/// Pages that are moved at once: 256 KiB.
const PAGES: u32 = 16;
/// Value of `auto_vacuum` where pages can be given back one by one.
const INCREMENTAL: i64 = 2;
/// Longest wait for others before the log is emptied.
const PATIENCE: Duration = Duration::from_millis(50);

pub(super) fn free(connection: &Connection) -> Result<FreeSpace, StoreFault> {
    let number = |name: &str| -> Result<i64, StoreFault> {
        connection.pragma_query_value(None, name, |row| row.get(0)).map_err(fault)
    };
    let bytes = number("freelist_count")?.unsigned_abs() * number("page_size")?.unsigned_abs();
    Ok(FreeSpace { bytes, returnable: number("auto_vacuum")? == INCREMENTAL })
}

/// Moves what lies behind free pages to some of them; returns false if none is free.
pub(super) fn move_pages(connection: &Connection) -> Result<bool, StoreFault> {
    if free(connection)?.bytes == 0 {
        return Ok(false);
    }
    let mut statement = connection.prepare(&format!("PRAGMA incremental_vacuum({PAGES})")).map_err(fault)?;
    let mut rows = statement.query([]).map_err(fault)?;
    // Each row is a page.
    while rows.next().map_err(fault)?.is_some() {}
    Ok(true)
}

/// The file is cut when the log has been taken over. Others are never waited for unless this is the only one at work; what they
/// hold up, the next one to write does.
pub(super) fn checkpoint(connection: &Connection, alone: bool) -> Result<(), StoreFault> {
    connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())).map_err(fault)?;
    if alone {
        connection.busy_timeout(PATIENCE).map_err(fault)?;
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).map_err(fault)?;
    }
    Ok(())
}
