//! The store's database: where it lies, its tables, and its connections.

pub(crate) mod busy;
pub(crate) mod database;
pub(crate) mod place;
pub(crate) mod schema;
mod short_name;
