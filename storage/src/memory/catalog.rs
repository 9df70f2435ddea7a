//! The catalog in memory.
//!
//! A state of the store is a table each, copies of which cost nothing: a snapshot is a copy, a transaction changes a copy, and
//! its commit puts the copy in the place of the state.

use std::cell::RefCell;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anabranch_engine::index::holds;
use anabranch_engine::store::{CopyError, StoreFault, StoreProblem};

use super::tables::{Conflict, MemoryTable};
use crate::catalog::query::{Filter, Query};
use crate::catalog::table::Table;
use crate::catalog::tables::{ALL, META, REFERENCES};
use crate::catalog::value::{Row, Value};
use crate::catalog::{Catalog, FreeSpace, Reader, Rows, Transaction, Writer, WriterOptions};

/// All tables at one moment.
#[derive(Debug, Clone)]
struct MemoryTables(Vec<MemoryTable>);

impl MemoryTables {
    fn new() -> Self {
        let mut state = Self(ALL.into_iter().map(MemoryTable::new).collect());
        let references = [("key", "references".into()), ("value", REFERENCES.into())];
        holds(state.table_mut(&META).insert(&references).ok(), "a new table has no rows");
        state
    }

    fn table(&self, table: &'static Table) -> &MemoryTable {
        let found = self.0.iter().find(|found| std::ptr::eq(found.table(), table));
        holds(found, "the catalog has all tables")
    }

    fn table_mut(&mut self, table: &'static Table) -> &mut MemoryTable {
        let found = self.0.iter_mut().find(|found| std::ptr::eq(found.table(), table));
        holds(found, "the catalog has all tables")
    }
}

#[derive(Debug)]
struct SharedState {
    // Held to copy or to replace it.
    committed: Mutex<MemoryTables>,
    // Held for the length of a transaction, by the thread that writes.
    writing: Mutex<()>,
}

impl SharedState {
    fn committed(&self) -> MemoryTables {
        self.committed.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A store in memory. Clones are one store.
#[derive(Debug, Clone)]
pub(crate) struct MemoryCatalog(Arc<SharedState>);

impl MemoryCatalog {
    pub(crate) fn new() -> Self {
        Self(Arc::new(SharedState { committed: Mutex::new(MemoryTables::new()), writing: Mutex::new(()) }))
    }
}

impl Catalog for MemoryCatalog {
    fn reader(&self) -> Result<Box<dyn Reader>, StoreFault> {
        Ok(Box::new(MemoryReader::new(&self.0)))
    }

    fn writer(&self, _: &WriterOptions) -> Result<Box<dyn Writer>, StoreFault> {
        Ok(Box::new(MemoryWriter(MemoryReader::new(&self.0))))
    }

    fn copy_to(&self, _: &Path) -> Result<u64, CopyError> {
        let message = "found a store in memory, expected one in a folder; run the pipeline into a folder";
        Err(StoreFault::from(StoreProblem::Refused(message.to_owned())).into())
    }

    fn disk_bytes(&self) -> u64 {
        0
    }
}

#[derive(Debug)]
struct MemoryReader {
    shared: Arc<SharedState>,
    snapshot: RefCell<Option<MemoryTables>>,
}

impl MemoryReader {
    fn new(shared: &Arc<SharedState>) -> Self {
        Self { shared: Arc::clone(shared), snapshot: RefCell::new(None) }
    }

    fn state(&self) -> MemoryTables {
        self.snapshot.borrow().clone().unwrap_or_else(|| self.shared.committed())
    }
}

impl Rows for MemoryReader {
    fn scan(
        &self,
        query: &Query<'_>,
        each: &mut dyn FnMut(&Row<'_>) -> ControlFlow<()>,
    ) -> Result<(), StoreFault> {
        self.state().table(query.table).scan(query, each);
        Ok(())
    }

    fn last_number(&self, table: &'static Table) -> Result<i64, StoreFault> {
        Ok(self.state().table(table).last())
    }
}

impl Reader for MemoryReader {
    fn begin(&self) -> Result<bool, StoreFault> {
        let mut snapshot = self.snapshot.borrow_mut();
        let begins = snapshot.is_none();
        if begins {
            *snapshot = Some(self.shared.committed());
        }
        Ok(begins)
    }

    fn end(&self) {
        *self.snapshot.borrow_mut() = None;
    }

    fn free(&self) -> Result<FreeSpace, StoreFault> {
        Ok(FreeSpace { bytes: 0, returnable: true })
    }

    fn check(&self) -> Vec<String> {
        Vec::new()
    }
}

#[derive(Debug)]
struct MemoryWriter(MemoryReader);

impl Writer for MemoryWriter {
    fn begin(&mut self) -> Result<Box<dyn Transaction + '_>, StoreFault> {
        let shared = &*self.0.shared;
        let writing = shared.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let state = RefCell::new(shared.committed());
        Ok(Box::new(MemoryTransaction { shared, state, parts: RefCell::default(), _writing: writing }))
    }

    fn rows(&self) -> &dyn Reader {
        &self.0
    }

    fn checkpoint(&mut self, _: bool) -> Result<(), StoreFault> {
        Ok(())
    }
}

struct MemoryTransaction<'a> {
    shared: &'a SharedState,
    state: RefCell<MemoryTables>,
    /// The state before each part.
    parts: RefCell<Vec<MemoryTables>>,
    /// Keeps other writers out.
    _writing: MutexGuard<'a, ()>,
}

impl Rows for MemoryTransaction<'_> {
    fn scan(
        &self,
        query: &Query<'_>,
        each: &mut dyn FnMut(&Row<'_>) -> ControlFlow<()>,
    ) -> Result<(), StoreFault> {
        // A copy, since what is done with a row may change the table.
        let table = self.state.borrow().table(query.table).clone();
        table.scan(query, each);
        Ok(())
    }

    fn last_number(&self, table: &'static Table) -> Result<i64, StoreFault> {
        Ok(self.state.borrow().table(table).last())
    }
}

fn conflict(table: &'static Table) -> impl Fn(Conflict) -> StoreFault {
    move |Conflict| StoreFault::damaged(format!("table \"{}\"", table.name), "it has a row with the same key")
}

impl Transaction for MemoryTransaction<'_> {
    fn insert(&self, table: &'static Table, values: &[(&'static str, Value<'_>)]) -> Result<i64, StoreFault> {
        self.state.borrow_mut().table_mut(table).insert(values).map_err(conflict(table))
    }

    fn put(&self, table: &'static Table, values: &[(&'static str, Value<'_>)]) -> Result<(), StoreFault> {
        self.state.borrow_mut().table_mut(table).put(values).map_err(conflict(table))
    }

    fn update(
        &self,
        table: &'static Table,
        of: &Filter<'_>,
        values: &[(&'static str, Value<'_>)],
    ) -> Result<u64, StoreFault> {
        self.state.borrow_mut().table_mut(table).update(of, values).map_err(conflict(table))
    }

    fn delete(&self, table: &'static Table, of: &Filter<'_>) -> Result<u64, StoreFault> {
        Ok(self.state.borrow_mut().table_mut(table).delete(of))
    }

    fn shrink(&self) -> Result<bool, StoreFault> {
        Ok(false)
    }

    fn begin_part(&self) -> Result<(), StoreFault> {
        self.parts.borrow_mut().push(self.state.borrow().clone());
        Ok(())
    }

    fn end_part(&self) -> Result<(), StoreFault> {
        holds(self.parts.borrow_mut().pop(), "a part that ends has begun");
        Ok(())
    }

    fn undo_part(&self) -> Result<(), StoreFault> {
        *self.state.borrow_mut() = holds(self.parts.borrow_mut().pop(), "a part that is undone has begun");
        Ok(())
    }

    fn is_undone(&self) -> bool {
        false
    }

    fn commit(self: Box<Self>) -> Result<(), StoreFault> {
        let state = self.state.borrow().clone();
        *self.shared.committed.lock().unwrap_or_else(PoisonError::into_inner) = state;
        Ok(())
    }
}
