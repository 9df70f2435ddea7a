//! The store's database: where it lies, its tables, and its connections.

pub(crate) mod busy;
mod copy;
pub(crate) mod database;
pub(crate) mod place;
pub(crate) mod pool;
pub(crate) mod schema;
mod short_name;

use std::fmt::Display;

use anabranch_engine::index::fitting;

/// A count of rows or bytes, or the number of a block, as `SQLite` has it.
#[inline]
#[track_caller]
pub(crate) fn sql_number<N: Copy + Display>(number: N) -> i64
where
    i64: TryFrom<N>,
{
    fitting(number, "number of the store")
}
