//! The contract of a store's media: each case runs over a folder and over memory.
//!
//! Cases are functions of a [`TestPlace`]; [`both`] makes two tests of each. `queries`, `changes`, `transactions` and `readers` hold
//! the [catalog](crate::catalog) to its rules, `random` compares both with a plain list of rows, `leases` is about what is in
//! use, `stores` is about the store above, `crashes` cuts it off at each of its writes, and `key_runs`
//! compares the index of keys with a map.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by a panic")]

mod changes;
mod crashes;
mod key_runs;
mod leases;
mod queries;
mod random;
mod readers;
mod stores;
mod transactions;

#[path = "../../tests/support/mod.rs"]
#[allow(unused_imports, reason = "each file uses its part")]
mod support;

use std::ops::ControlFlow;
use std::sync::Arc;

use tempfile::TempDir;

use crate::catalog::query::Query;
use crate::catalog::table::Table;
use crate::catalog::value::Value;
use crate::catalog::{Catalog, Rows, Transaction, WriterOptions};
use crate::leases::Leases;
use crate::memory::catalog::MemoryCatalog;
use crate::memory::leases::MemoryLeases;
use crate::sqlite::busy::wait_quietly;
use crate::sqlite::catalog::SqliteCatalog;
use crate::sqlite::database::Database;
use crate::sqlite::leases::FolderLeases;
use crate::sqlite::place::{self, Access};
use crate::store::{Medium, Store, StoreOptions};

/// Makes a test over a folder and one over memory of each case.
macro_rules! both {
    ($($case:ident),* $(,)?) => {
        mod folder {
            $(#[test] fn $case() { super::$case(&crate::contract::TestPlace::folder()); })*
        }
        mod memory {
            $(#[test] fn $case() { super::$case(&crate::contract::TestPlace::memory()); })*
        }
    };
}

use both;

/// A place that a store is in.
enum TestPlace {
    Folder(TempDir),
    Memory(MemoryCatalog, MemoryLeases),
}

impl TestPlace {
    fn folder() -> Self {
        let dir = tempfile::tempdir().unwrap();
        place::prepare(dir.path(), true).unwrap();
        Self::Folder(dir)
    }

    fn memory() -> Self {
        Self::Memory(MemoryCatalog::new(), MemoryLeases::default())
    }

    /// Opens the catalog, as another process does; in memory there is one.
    fn catalog(&self) -> Arc<dyn Catalog> {
        match self {
            Self::Folder(dir) => {
                let database = Database::open(dir.path(), Access::Full, wait_quietly).unwrap();
                Arc::new(SqliteCatalog::new(dir.path(), database))
            }
            Self::Memory(catalog, _) => Arc::new(catalog.clone()),
        }
    }

    fn leases(&self) -> Arc<dyn Leases> {
        match self {
            Self::Folder(dir) => Arc::new(FolderLeases::new(dir.path())),
            Self::Memory(_, leases) => Arc::new(leases.clone()),
        }
    }

    fn store_with(&self, options: &StoreOptions) -> Store {
        self.store_over(self.catalog(), options)
    }

    fn store_over(&self, catalog: Arc<dyn Catalog>, options: &StoreOptions) -> Store {
        let medium = Medium { dir: None, scratch: std::env::temp_dir(), catalog, leases: self.leases() };
        Store::over(medium, options).unwrap()
    }

    /// Does something in a transaction that is committed.
    fn write<T>(&self, work: impl FnOnce(&dyn Transaction) -> T) -> T {
        write(&*self.catalog(), work)
    }

    /// Reads what is committed.
    fn read<T>(&self, read: impl FnOnce(&dyn Rows) -> T) -> T {
        read(&*self.catalog().reader().unwrap())
    }

    /// The rows of a query that are committed.
    fn rows(&self, query: &Query<'_>) -> Vec<Vec<Cell>> {
        rows(&*self.catalog().reader().unwrap(), query)
    }
}

fn write<T>(catalog: &dyn Catalog, work: impl FnOnce(&dyn Transaction) -> T) -> T {
    let mut writer = catalog.writer(&WriterOptions::default()).unwrap();
    let transaction = writer.begin().unwrap();
    let done = work(&*transaction);
    transaction.commit().unwrap();
    done
}

/// A value that was read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Cell {
    Null,
    Number(i64),
    String(String),
    Bytes(Vec<u8>),
}

impl Cell {
    fn of(value: Value<'_>) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Number(number) => Self::Number(number),
            Value::String(string) => Self::String(string.to_owned()),
            Value::Bytes(bytes) => Self::Bytes(bytes.to_vec()),
        }
    }
}

fn rows(rows: &dyn Rows, query: &Query<'_>) -> Vec<Vec<Cell>> {
    let mut found = Vec::new();
    rows.scan(query, &mut |row| {
        found.push((0..query.fields.len()).map(|at| Cell::of(row.value(at))).collect());
        ControlFlow::Continue(())
    })
    .unwrap();
    found
}

/// The numbers in the first column.
fn numbers(of: &dyn Rows, query: &Query<'_>) -> Vec<i64> {
    let number = |row: Vec<Cell>| match row[0] {
        Cell::Number(number) => number,
        _ => panic!("found {row:?}, expected a number"),
    };
    rows(of, query).into_iter().map(number).collect()
}

/// Adds a run.
fn add_run(
    transaction: &dyn Transaction,
    run: &str,
    pipeline: &str,
    started: i64,
    ended: Option<i64>,
) -> i64 {
    let row = [
        ("run", run.into()),
        ("pipeline", pipeline.into()),
        ("pipeline_hash", "".into()),
        ("started_ms", started.into()),
        ("ended_ms", ended.into()),
    ];
    transaction.insert(&crate::catalog::tables::RUNS, &row).unwrap()
}

/// Adds a function whose fingerprint is its name.
fn add_function(transaction: &dyn Transaction, name: &str) -> i64 {
    let row = [("fingerprint", name.as_bytes().into()), ("name", name.into()), ("created_ms", 0_i64.into())];
    transaction.insert(&crate::catalog::tables::FUNCTIONS, &row).unwrap()
}

/// Adds a block of results without contents.
fn add_block(transaction: &dyn Transaction, function: i64, rows: i64, data: &[u8]) -> i64 {
    let row = [
        ("function", function.into()),
        ("rows", rows.into()),
        ("checksum", b"".into()),
        ("prefixes", b"".into()),
        ("data", data.into()),
    ];
    transaction.insert(&crate::catalog::tables::RESULT_BLOCKS, &row).unwrap()
}

/// Adds some data of a number.
fn add_page(transaction: &dyn Transaction, id: i64, data: &[u8]) {
    transaction
        .insert(&crate::catalog::tables::KEY_PAGES, &[("id", id.into()), ("data", data.into())])
        .unwrap();
}

fn count(place: &TestPlace, table: &'static Table) -> usize {
    place.rows(&Query::of(table, &[])).len()
}
