//! The catalog of a store: tables of rows, read in snapshots and changed in transactions.
//!
//! Everything that a store has is in the tables of [`tables`], blocks included, as columns of bytes. What the tables mean is
//! the business of the folders around; this one has no more than what a medium must do:
//!
//! 1. A transaction excludes all other transactions of the store, in whatever process, and is durable once it is committed. Whatever
//!    happens before, nothing of it is there.
//! 2. A reader sees one state of the store from [`Reader::begin`] to [`Reader::end`], while others write.
//! 3. A number that a committed transaction took of a table that gives none again is never given again, also when its row is gone.
//!
//! `sqlite/` and `memory/` implement it; `contract/` holds both to the same.

pub(crate) mod query;
pub(crate) mod reads;
pub(crate) mod table;
pub(crate) mod tables;
pub(crate) mod value;

use std::fmt::Debug;
use std::ops::ControlFlow;
use std::path::Path;

use anabranch_engine::store::{CopyError, StoreFault};

use query::{Filter, Query};
use table::Table;
use value::{Row, Value};

/// The medium that has a store's tables.
pub(crate) trait Catalog: Debug + Send + Sync {
    /// A reader; idle ones are used again.
    fn reader(&self) -> Result<Box<dyn Reader>, StoreFault>;

    /// A writer. Several exclude each other for a transaction each.
    fn writer(&self, options: &WriterOptions) -> Result<Box<dyn Writer>, StoreFault>;

    /// Copies the store, as it is at one moment, into a folder without a store, and returns the bytes.
    fn copy_to(&self, dir: &Path) -> Result<u64, CopyError>;

    /// Bytes that the store takes on its medium.
    fn disk_bytes(&self) -> u64;
}

/// Options of a writer.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct WriterOptions {
    /// Largest size of the store; none for the room that there is.
    pub(crate) size_limit_bytes: Option<u64>,
    /// True if it works beside others that should not wait for it.
    pub(crate) yields: bool,
}

/// Access to the rows of a catalog.
pub(crate) trait Rows {
    /// Hands out the rows of a query until one ends it. A table that a store of an earlier format lacks has no rows, and a column
    /// has nulls.
    fn scan(
        &self,
        query: &Query<'_>,
        each: &mut dyn FnMut(&Row<'_>) -> ControlFlow<()>,
    ) -> Result<(), StoreFault>;

    /// The largest number that a table has ever given; 0 if it has given none.
    fn last_number(&self, table: &'static Table) -> Result<i64, StoreFault>;
}

/// Reads the store on one thread at a time. Without a snapshot each scan sees what is committed when it begins.
pub(crate) trait Reader: Rows + Debug + Send {
    /// Takes a snapshot, unless there is one; returns true if it did.
    fn begin(&self) -> Result<bool, StoreFault>;

    /// Gives the snapshot back.
    fn end(&self);

    /// Bytes within the medium that hold nothing.
    fn free(&self) -> Result<FreeSpace, StoreFault>;

    /// Checks the medium itself; returns what is wrong with it.
    fn check(&self) -> Vec<String>;
}

/// Changes the store in transactions.
pub(crate) trait Writer: Debug + Send {
    /// Begins a transaction.
    ///
    /// Errors: a store that cannot be written.
    fn begin(&mut self) -> Result<Box<dyn Transaction + '_>, StoreFault>;

    /// A reader of what is committed, on the same thread.
    fn rows(&self) -> &dyn Reader;

    /// Gives space that holds nothing back to the medium, where several runs are not at work (`alone`) at once.
    fn checkpoint(&mut self, alone: bool) -> Result<(), StoreFault>;
}

/// A transaction. It is undone where it is dropped.
pub(crate) trait Transaction: Rows {
    /// Adds a row and returns its number, where the table is numbered. Columns that are not given are null.
    ///
    /// Errors: a row with the same key, or equal values of a unique index. Some media undo the part that the change is in with it, or
    /// the transaction where it is in none, so that nothing is done after a refusal but to undo.
    fn insert(&self, table: &'static Table, values: &[(&'static str, Value<'_>)]) -> Result<i64, StoreFault>;

    /// Adds a row in place of the one with its key, if there is one.
    fn put(&self, table: &'static Table, values: &[(&'static str, Value<'_>)]) -> Result<(), StoreFault>;

    /// Changes columns of rows and returns how many rows there were.
    fn update(
        &self,
        table: &'static Table,
        of: &Filter<'_>,
        values: &[(&'static str, Value<'_>)],
    ) -> Result<u64, StoreFault>;

    /// Removes rows and returns how many there were.
    fn delete(&self, table: &'static Table, of: &Filter<'_>) -> Result<u64, StoreFault>;

    /// Moves data into space that holds nothing, some of it at a time; returns false if nothing is left to do.
    fn shrink(&self) -> Result<bool, StoreFault>;

    /// Begins a part that [`Transaction::undo`] can undo. Parts lie within each other.
    fn begin_part(&self) -> Result<(), StoreFault>;

    /// Ends the innermost part; its changes stay if the transaction is committed.
    fn end_part(&self) -> Result<(), StoreFault>;

    /// Undoes the innermost part.
    fn undo_part(&self) -> Result<(), StoreFault>;

    /// Returns true if the medium has undone the transaction by itself, as on a full disk.
    fn is_undone(&self) -> bool;

    /// Makes the changes durable and visible.
    fn commit(self: Box<Self>) -> Result<(), StoreFault>;
}

/// Space of a medium that holds nothing.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct FreeSpace {
    pub(crate) bytes: u64,
    /// True if it can be given back.
    pub(crate) returnable: bool,
}
