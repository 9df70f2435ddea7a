//! Rows that a stateful operator keeps, and how it finds them again by key.
//!
//! ```text
//!   hash -> RowTable -> row number -> next row of the same hash -> ..
//!                           |
//!                       RowStore: pages of columns, ProvenanceStore
//! ```
//! Rows are numbered from 0 in order of arrival, in table and store alike.

mod bytes;
mod paged;
mod provenance;
mod store;
mod table;

pub(crate) use bytes::{array_bytes, chunk_bytes};
pub(crate) use paged::Paged;
pub(crate) use store::RowStore;
pub(crate) use table::{NO_ROW, RowTable};
