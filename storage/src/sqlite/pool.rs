//! Connections that only read, kept open from one read to the next.

use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError};

use anabranch_engine::store::StoreFault;
use rusqlite::Connection;

use super::database::Database;

/// Idle connections that are kept: each holds a descriptor or two, and up to 2 MB of pages.
const MOST_IDLE: usize = 8;

/// Connections of one store that only read. Clones are one pool.
#[derive(Debug, Clone)]
pub(crate) struct ReaderPool(Arc<Pool>);

#[derive(Debug)]
struct Pool {
    database: Database,
    // Readers are taken and given back by any thread; held for a push or a pop.
    idle: Mutex<Vec<Connection>>,
}

/// A connection that only reads; dropping it gives it back to its pool.
#[derive(Debug)]
pub(crate) struct PooledReader {
    /// Taken out when it is dropped.
    connection: Option<Connection>,
    pool: ReaderPool,
}

impl ReaderPool {
    pub(crate) fn new(database: Database) -> Self {
        Self(Arc::new(Pool { database, idle: Mutex::default() }))
    }

    /// An idle connection, or a new one.
    pub(crate) fn reader(&self) -> Result<PooledReader, StoreFault> {
        let idle = self.0.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let connection = match idle {
            Some(connection) => connection,
            None => self.0.database.reader()?,
        };
        Ok(PooledReader { connection: Some(connection), pool: self.clone() })
    }
}

impl Deref for PooledReader {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        let Some(connection) = &self.connection else {
            unreachable!("a connection is taken out when its reader is dropped")
        };
        connection
    }
}

impl Drop for PooledReader {
    fn drop(&mut self) {
        let pool = &self.pool.0;
        // A transaction ends with its connection. Where no log is read, one may appear before the next read.
        let reusable = |connection: &Connection| connection.is_autocommit() && pool.database.keeps_readers();
        let Some(connection) = self.connection.take().filter(reusable) else { return };
        let mut idle = pool.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < MOST_IDLE {
            idle.push(connection);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqlite::busy::wait_quietly;
    use crate::sqlite::place::Access;

    fn idle(pool: &ReaderPool) -> usize {
        pool.0.idle.lock().unwrap().len()
    }

    #[test]
    fn readers_are_used_again_but_for_those_with_a_transaction_and_those_of_a_store_without_a_log() {
        let dir = tempfile::tempdir().unwrap();
        let pool = ReaderPool::new(Database::open(dir.path(), Access::Full, wait_quietly).unwrap());
        let first = pool.reader().unwrap();
        first.pragma_update(None, "cache_size", 77).unwrap();
        drop(first);
        assert_eq!(idle(&pool), 1);
        let size =
            |reader: &PooledReader| reader.pragma_query_value(None, "cache_size", |row| row.get::<_, i64>(0));
        let (again, other) = (pool.reader().unwrap(), pool.reader().unwrap());
        assert_eq!(size(&again).unwrap(), 77, "the connection from before");
        assert_ne!(size(&other).unwrap(), 77);
        again.execute_batch("BEGIN; SELECT count(*) FROM runs").unwrap();
        drop((again, other));
        assert_eq!(idle(&pool), 1, "a connection within a transaction is not kept");
        let many: Vec<_> = (0..20).map(|_| pool.reader().unwrap()).collect();
        drop(many);
        assert_eq!(idle(&pool), MOST_IDLE);
        let only = ReaderPool::new(Database::open(dir.path(), Access::ReadOnly, wait_quietly).unwrap());
        drop(only.reader().unwrap());
        assert_eq!(idle(&only), 0);
    }
}
