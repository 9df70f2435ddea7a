//! Ways to read the rows of a query.

use std::ops::ControlFlow;

use anabranch_engine::store::StoreFault;

use super::query::Query;
use super::value::Row;
use super::{Reader, Rows};

/// Ways to read the rows of a query, over [`Rows::scan`].
pub(crate) trait Reads: Rows {
    /// Does something to each row until it breaks or fails.
    fn each<E: From<StoreFault>>(
        &self,
        query: &Query<'_>,
        mut each: impl FnMut(&Row<'_>) -> Result<ControlFlow<()>, E>,
    ) -> Result<(), E> {
        let mut failed = None;
        let scanned = self.scan(query, &mut |row| match each(row) {
            Ok(flow) => flow,
            Err(error) => {
                failed = Some(error);
                ControlFlow::Break(())
            }
        });
        match failed {
            Some(error) => Err(error),
            None => Ok(scanned?),
        }
    }

    /// Reads all rows.
    fn all<T>(
        &self,
        query: &Query<'_>,
        mut read: impl FnMut(&Row<'_>) -> Result<T, StoreFault>,
    ) -> Result<Vec<T>, StoreFault> {
        let mut found = Vec::new();
        self.each(query, |row| {
            found.push(read(row)?);
            Ok::<_, StoreFault>(ControlFlow::Continue(()))
        })?;
        Ok(found)
    }

    /// Reads the first row.
    fn one<T>(
        &self,
        query: &Query<'_>,
        mut read: impl FnMut(&Row<'_>) -> Result<T, StoreFault>,
    ) -> Result<Option<T>, StoreFault> {
        let mut found = None;
        // A medium that reads rows in batches has to know that one is enough.
        self.each(&query.clone().first(1), |row| {
            found = Some(read(row)?);
            Ok::<_, StoreFault>(ControlFlow::Break(()))
        })?;
        Ok(found)
    }

    /// Returns true if there is a row.
    fn exists(&self, query: &Query<'_>) -> Result<bool, StoreFault> {
        self.one(query, |_| Ok(())).map(|found| found.is_some())
    }

    /// Counts the rows.
    fn count(&self, query: &Query<'_>) -> Result<u64, StoreFault> {
        let mut rows = 0;
        self.scan(query, &mut |_| {
            rows += 1;
            ControlFlow::Continue(())
        })?;
        Ok(rows)
    }
}

impl<R: Rows + ?Sized> Reads for R {}

/// A snapshot that lasts until it is dropped; none of its own where the reader has one already.
#[derive(Debug)]
pub(crate) struct Snapshot<'a> {
    reader: &'a dyn Reader,
    begun: bool,
}

impl<'a> Snapshot<'a> {
    pub(crate) fn take(reader: &'a dyn Reader) -> Result<Self, StoreFault> {
        Ok(Self { reader, begun: reader.begin()? })
    }

    /// Returns true if the reader had no snapshot before.
    pub(crate) fn is_begun(&self) -> bool {
        self.begun
    }
}

impl Drop for Snapshot<'_> {
    fn drop(&mut self) {
        if self.begun {
            self.reader.end();
        }
    }
}
