//! Recordings that the derived sources of runs have read, so that lineage continues through them.

use anabranch_engine::store::StoreFault;

use crate::catalog::query::Query;
use crate::catalog::reads::Reads as _;
use crate::catalog::tables::LINKS;
use crate::catalog::{Rows, Transaction};

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
pub(crate) fn insert(transaction: &dyn Transaction, link: &Link) -> Result<(), StoreFault> {
    let row = [
        ("run", (&link.run).into()),
        ("node", (&link.node).into()),
        ("source_id", (&link.source_id).into()),
        ("store", (&link.store).into()),
        ("recording", link.recording.into()),
    ];
    transaction.put(&LINKS, &row)
}

/// The links of a run, by node.
pub(crate) fn of_run(rows: &dyn Rows, run: &str) -> Result<Vec<Link>, StoreFault> {
    let columns = ["run", "node", "source_id", "store", "recording"];
    let query = Query::of(&LINKS, &columns).equal("run", run).ascending("node");
    rows.all(&query, |row| {
        Ok(Link {
            run: row.string(0)?,
            node: row.string(1)?,
            source_id: row.string(2)?,
            store: row.string(3)?,
            recording: row.number(4)?,
        })
    })
}
