//! Giving pages that are free back to the disk.

use std::time::Duration;

use anabranch_engine::store::StoreError;
use rusqlite::Connection;

use super::mark::OPERATION;
use super::sweep::{Progress, Sweeper};
use crate::error::sql;
use crate::runs;

/// Pages that are moved before the clock is looked at: 256 KiB.
const PAGES: u32 = 16;
/// Pages that are moved in a step at most: a commit writes them to the log and waits for the disk.
const MOST_PAGES: u32 = 64;
/// Value of `auto_vacuum` where pages can be given back one by one.
const INCREMENTAL: i64 = 2;
/// Longest wait for others before the log is emptied.
const PATIENCE: Duration = Duration::from_millis(50);

/// Pages of a database that hold nothing.
#[derive(Debug, Clone, Copy)]
pub(super) struct Free {
    pub(super) bytes: u64,
    /// True if they can be given back.
    pub(super) returnable: bool,
}

/// Looks how much is free.
pub(super) fn free(connection: &Connection) -> Result<Free, StoreError> {
    let number = |name: &str| -> Result<i64, StoreError> {
        connection.pragma_query_value(None, name, |row| row.get(0)).map_err(|e| sql(OPERATION, e))
    };
    let bytes = number("freelist_count")?.unsigned_abs() * number("page_size")?.unsigned_abs();
    Ok(Free { bytes, returnable: number("auto_vacuum")? == INCREMENTAL })
}

/// Moves what lies behind free pages to them, and cuts the file. A database that was not made for
/// it keeps its free pages and uses them first.
pub(super) fn shrink(sweeper: &mut Sweeper) -> Result<(), StoreError> {
    if free(&sweeper.connection)?.returnable {
        sweeper.steps(|transaction, clock| {
            let mut moved = 0;
            while free(transaction)?.bytes > 0 {
                move_pages(transaction).map_err(|e| sql(OPERATION, e))?;
                moved += PAGES;
                if clock.is_over() || moved >= MOST_PAGES {
                    return Ok(Progress::More);
                }
            }
            Ok(Progress::Done)
        })?;
    }
    checkpoint(sweeper).map_err(|e| sql(OPERATION, e))
}

fn move_pages(connection: &Connection) -> rusqlite::Result<()> {
    let mut statement = connection.prepare(&format!("PRAGMA incremental_vacuum({PAGES})"))?;
    let mut rows = statement.query([])?;
    // Each row is a page.
    while rows.next()?.is_some() {}
    Ok(())
}

/// The file is cut when the log has been taken over. Others are never waited for while a run is at
/// work; what they hold up, the next one to write does.
fn checkpoint(sweeper: &Sweeper) -> rusqlite::Result<()> {
    let connection = &sweeper.connection;
    connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))?;
    if runs::any_alive(&sweeper.dir).is_none() {
        connection.busy_timeout(PATIENCE)?;
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    }
    Ok(())
}
