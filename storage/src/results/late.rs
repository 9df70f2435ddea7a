//! Code that functions have been seen to load during calls, so that they are planned with it from then on.

use anabranch_engine::store::StoreFault;

use crate::catalog::query::Query;
use crate::catalog::reads::Reads as _;
use crate::catalog::tables::LATE_IMPORTS;
use crate::catalog::{Rows, Transaction};

/// Code that calls of a function have loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LateImport {
    /// The function: a text that is the same in all runs, whatever its code is.
    pub function: String,
    /// Code that was loaded.
    pub entries: Vec<String>,
}

/// Writes down what was loaded; what is known already stays.
pub(crate) fn insert(transaction: &dyn Transaction, late: &LateImport) -> Result<(), StoreFault> {
    for entry in &late.entries {
        let row = [("function", (&late.function).into()), ("entry", entry.into())];
        transaction.put(&LATE_IMPORTS, &row)?;
    }
    Ok(())
}

/// Returns the code that calls of a function have loaded, sorted.
pub(crate) fn of_function(rows: &dyn Rows, function: &str) -> Result<Vec<String>, StoreFault> {
    let entries = Query::of(&LATE_IMPORTS, &["entry"]).equal("function", function).ascending("entry");
    rows.all(&entries, |row| row.string(0))
}
