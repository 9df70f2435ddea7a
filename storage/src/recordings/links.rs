//! Recordings that the derived sources of runs have read, so that lineage continues through them.

use anabranch_engine::store::StoreError;
use rusqlite::Connection;

use crate::error::sql;
use crate::sqlite::schema::has_table;

/// A recording that a derived source of a run reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// The run.
    pub run: String,
    /// The source's node.
    pub node: String,
    /// The source id that its rows bear.
    pub source_id: String,
    /// The folder of the store that has the recording; `.` for the store that has the link.
    pub store: String,
    /// The recording's number in that store.
    pub recording: i64,
}

/// Writes a link down.
pub(crate) fn insert(connection: &Connection, link: &Link) -> Result<(), StoreError> {
    connection
        .prepare_cached("INSERT OR REPLACE INTO links VALUES (?1, ?2, ?3, ?4, ?5)")
        .and_then(|mut insert| {
            insert.execute((&link.run, &link.node, &link.source_id, &link.store, link.recording))
        })
        .map_err(|e| sql("link a derived source", e))?;
    Ok(())
}

/// The links of a run, by node.
pub(crate) fn of_run(connection: &Connection, run: &str) -> Result<Vec<Link>, StoreError> {
    let failed = |e| sql("list links", e);
    // A store of an earlier version that cannot be written may lack the table.
    if !has_table(connection, "links").map_err(failed)? {
        return Ok(Vec::new());
    }
    let mut statement = connection
        .prepare_cached(
            "SELECT run, node, source_id, store, recording FROM links WHERE run = ?1 ORDER BY node",
        )
        .map_err(failed)?;
    let read = |row: &rusqlite::Row<'_>| {
        Ok(Link {
            run: row.get(0)?,
            node: row.get(1)?,
            source_id: row.get(2)?,
            store: row.get(3)?,
            recording: row.get(4)?,
        })
    };
    let links = statement.query_map([run], read).map_err(failed)?;
    links.collect::<rusqlite::Result<_>>().map_err(failed)
}
