//! Number of removals of results, so that tables in memory are not older than the blocks that they refer to.

use anabranch_engine::store::StoreFault;

use crate::catalog::query::Query;
use crate::catalog::reads::Reads as _;
use crate::catalog::tables::META;
use crate::catalog::{Rows, Transaction};

const REMOVALS: &str = "removals";

/// Reads the number of removals.
pub(crate) fn count(rows: &dyn Rows) -> Result<i64, StoreFault> {
    let count = rows.one(&Query::of(&META, &["value"]).equal("key", REMOVALS), |row| row.number(0))?;
    Ok(count.unwrap_or(0))
}

/// Counts a removal, in the transaction that removes.
pub(crate) fn add(transaction: &dyn Transaction) -> Result<(), StoreFault> {
    let count = count(transaction)? + 1;
    transaction.put(&META, &[("key", REMOVALS.into()), ("value", count.into())])
}
