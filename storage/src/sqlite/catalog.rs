//! The catalog in an `SQLite` database.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use anabranch_engine::store::{CopyError, StoreFault, StoreProblem};
use rusqlite::{Connection, MAIN_DB, OptionalExtension as _, Params, Transaction, TransactionBehavior};

use super::database::{Database, disk_bytes};
use super::fault::fault;
use super::insert::insert;
use super::pool::{PooledReader, ReaderPool};
use super::scan::scan;
use super::space::{checkpoint, free, move_pages};
use super::statement::Statement;
use crate::catalog::query::{Filter, Query};
use crate::catalog::table::Table;
use crate::catalog::value::{Row, Value};
use crate::catalog::{
    Catalog, FreeSpace, Reader, Rows, Transaction as CatalogTransaction, Writer, WriterOptions,
};

/// Pages of the log that a writer takes over at once that others should not wait for: 2 MiB.
const FEW_PAGES: u32 = 128;

/// A store's database and its connections.
#[derive(Debug)]
pub(crate) struct SqliteCatalog {
    dir: PathBuf,
    database: Database,
    readers: ReaderPool,
}

impl SqliteCatalog {
    pub(crate) fn new(dir: &Path, database: Database) -> Self {
        Self { dir: dir.to_owned(), readers: ReaderPool::new(database.clone()), database }
    }
}

impl Catalog for SqliteCatalog {
    fn reader(&self) -> Result<Box<dyn Reader>, StoreFault> {
        Ok(Box::new(SqliteReader(self.readers.reader()?)))
    }

    fn writer(&self, options: &WriterOptions) -> Result<Box<dyn Writer>, StoreFault> {
        let connection = self.database.writer(options.size_limit_bytes)?;
        if options.yields {
            // Little by little: the disk is busy for a while with each checkpoint, and commits wait for it.
            connection.pragma_update(None, "wal_autocheckpoint", FEW_PAGES).map_err(fault)?;
        }
        Ok(Box::new(SqliteWriter(connection)))
    }

    fn copy_to(&self, dir: &Path) -> Result<u64, CopyError> {
        self.database.copy_to(dir)
    }

    fn disk_bytes(&self) -> u64 {
        disk_bytes(&self.dir)
    }
}

#[derive(Debug)]
struct SqliteReader(PooledReader);

#[derive(Debug)]
struct SqliteWriter(Connection);

struct SqliteTransaction<'a>(Transaction<'a>);

/// Implements access to rows for what has a connection.
macro_rules! rows {
    ($($kind:ty),*) => {$(
        impl Rows for $kind {
            fn scan(
                &self,
                query: &Query<'_>,
                each: &mut dyn FnMut(&Row<'_>) -> ControlFlow<()>,
            ) -> Result<(), StoreFault> {
                scan(&self.0, query, each)
            }

            fn last_number(&self, table: &'static Table) -> Result<i64, StoreFault> {
                last_number(&self.0, table)
            }
        }
    )*};
}

rows!(SqliteReader, SqliteWriter, SqliteTransaction<'_>);

/// Implements reading in snapshots for what has a connection.
macro_rules! reader {
    ($($kind:ty),*) => {$(
        impl Reader for $kind {
            fn begin(&self) -> Result<bool, StoreFault> {
                begin(&self.0)
            }

            fn end(&self) {
                // A transaction that only read has nothing to lose.
                let _ = self.0.execute_batch("COMMIT");
            }

            fn free(&self) -> Result<FreeSpace, StoreFault> {
                free(&self.0)
            }

            fn check(&self) -> Vec<String> {
                check(&self.0)
            }
        }
    )*};
}

reader!(SqliteReader, SqliteWriter);

/// Begins a transaction and reads in it, since `SQLite` takes the snapshot with the first read.
fn begin(connection: &Connection) -> Result<bool, StoreFault> {
    if !connection.is_autocommit() {
        return Ok(false);
    }
    connection.prepare_cached("BEGIN").and_then(|mut begin| begin.execute([])).map_err(fault)?;
    let read = connection
        .prepare_cached("SELECT 1 FROM meta LIMIT 1")
        .and_then(|mut select| select.query_row([], |_| Ok(())).optional());
    if let Err(cause) = read {
        // The failure is what the caller has to know.
        let _ = connection.execute_batch("COMMIT");
        return Err(fault(cause));
    }
    Ok(true)
}

fn last_number(connection: &Connection, table: &'static Table) -> Result<i64, StoreFault> {
    let last: Option<i64> = connection
        .prepare_cached("SELECT seq FROM sqlite_sequence WHERE name = ?1")
        .and_then(|mut select| select.query_row([table.name], |row| row.get(0)).optional())
        .map_err(fault)?;
    Ok(last.unwrap_or(0))
}

/// Checks pages and indexes by `SQLite` itself, and finds rows that refer to none.
fn check(connection: &Connection) -> Vec<String> {
    const REFERENCES: &str =
        "SELECT \"table\" || ' row ' || coalesce(rowid, '') || ' refers to no ' || parent
         FROM pragma_foreign_key_check LIMIT 100";
    let strings = |query: &str| -> Vec<String> {
        let lines = connection
            .prepare(query)
            .and_then(|mut select| select.query_map([], |row| row.get(0))?.collect::<Result<_, _>>());
        lines.unwrap_or_else(|cause| vec![cause.to_string()])
    };
    let pages = strings("PRAGMA integrity_check(100)").into_iter().filter(|line| line != "ok");
    pages.chain(strings(REFERENCES)).collect()
}

impl Writer for SqliteWriter {
    fn begin(&mut self) -> Result<Box<dyn CatalogTransaction + '_>, StoreFault> {
        // SQLite begins one that only reads.
        if self.0.is_readonly(MAIN_DB).map_err(fault)? {
            return Err(StoreProblem::ReadOnly.into());
        }
        let transaction = self.0.transaction_with_behavior(TransactionBehavior::Immediate).map_err(fault)?;
        Ok(Box::new(SqliteTransaction(transaction)))
    }

    fn rows(&self) -> &dyn Reader {
        self
    }

    fn checkpoint(&mut self, alone: bool) -> Result<(), StoreFault> {
        checkpoint(&self.0, alone)
    }
}

impl SqliteTransaction<'_> {
    fn execute(&self, statement: &str, values: impl Params) -> Result<u64, StoreFault> {
        let changed = self.0.prepare_cached(statement).and_then(|mut change| change.execute(values));
        changed.map(|rows| rows as u64).map_err(fault)
    }
}

impl CatalogTransaction for SqliteTransaction<'_> {
    fn insert(&self, table: &'static Table, values: &[(&'static str, Value<'_>)]) -> Result<i64, StoreFault> {
        insert(&self.0, table, values).map_err(fault)
    }

    fn put(&self, table: &'static Table, values: &[(&'static str, Value<'_>)]) -> Result<(), StoreFault> {
        let put = Statement::put(table, values);
        self.execute(&put.sql, rusqlite::params_from_iter(put.values)).map(drop)
    }

    fn update(
        &self,
        table: &'static Table,
        of: &Filter<'_>,
        values: &[(&'static str, Value<'_>)],
    ) -> Result<u64, StoreFault> {
        let update = Statement::update(table, of, values);
        self.execute(&update.sql, rusqlite::params_from_iter(update.values))
    }

    fn delete(&self, table: &'static Table, of: &Filter<'_>) -> Result<u64, StoreFault> {
        let delete = Statement::delete(table, of);
        self.execute(&delete.sql, rusqlite::params_from_iter(delete.values))
    }

    fn shrink(&self) -> Result<bool, StoreFault> {
        move_pages(&self.0)
    }

    fn begin_part(&self) -> Result<(), StoreFault> {
        self.execute("SAVEPOINT part", []).map(drop)
    }

    fn end_part(&self) -> Result<(), StoreFault> {
        self.execute("RELEASE part", []).map(drop)
    }

    fn undo_part(&self) -> Result<(), StoreFault> {
        self.execute("ROLLBACK TO part", [])?;
        self.end_part()
    }

    fn is_undone(&self) -> bool {
        self.0.is_autocommit()
    }

    fn commit(self: Box<Self>) -> Result<(), StoreFault> {
        self.0.commit().map_err(fault)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::table::Kind;
    use crate::catalog::tables::ALL;
    use crate::sqlite::busy::wait_quietly;
    use crate::sqlite::place::Access;

    #[test]
    fn the_database_has_the_columns_of_the_catalog_and_of_their_kinds() {
        let dir = tempfile::tempdir().unwrap();
        let database = Database::open(dir.path(), Access::Full, wait_quietly).unwrap();
        let reader = database.reader().unwrap();
        for table in ALL {
            let mut select = reader.prepare("SELECT name, type FROM pragma_table_info(?1)").unwrap();
            let found = select.query_map([table.name], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
            let mut found: Vec<(String, String)> = found.collect::<Result<_, _>>().unwrap();
            let kind = |kind: &Kind| match kind {
                Kind::Number => "INTEGER",
                Kind::String => "TEXT",
                Kind::Bytes | Kind::Large => "BLOB",
            };
            assert_eq!(table.columns.len(), table.kinds.len());
            let columns = table.columns.iter().zip(table.kinds);
            let mut expected: Vec<_> =
                columns.map(|(name, of)| ((*name).to_owned(), kind(of).to_owned())).collect();
            found.sort();
            expected.sort();
            assert_eq!(found, expected, "{}", table.name);
        }
    }
}
