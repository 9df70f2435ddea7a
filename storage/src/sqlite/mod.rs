//! The store in an `SQLite` database: where it lies, its tables, its connections and their statements.

pub(crate) mod busy;
mod byte_locks;
pub(crate) mod catalog;
mod claims;
mod copy;
pub(crate) mod database;
mod fault;
mod insert;
pub(crate) mod leases;
pub(crate) mod place;
mod pool;
mod reading;
mod scan;
mod schema;
mod short_name;
mod space;
mod statement;
