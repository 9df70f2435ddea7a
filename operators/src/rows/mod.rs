//! Rows that a stateful operator keeps, and how it finds them again by key.
//!
//! ```text
//!   hash -> RowTable -> row number of either side -> next row of the same hash -> ..
//!                           |
//!                       RowStore: KeptColumn by column, ProvenanceStore
//! ```
//! Rows are numbered from 0 in order of arrival, in table and store alike; a number may have no row.

mod bits;
mod column;
mod pages;
mod pieces;
mod provenance;
mod store;
mod table;
mod weight;

pub(crate) use anabranch_engine::bytes::{array_bytes, chunk_bytes};
pub(crate) use anabranch_engine::compact::compact;
pub(crate) use bits::Bits;
pub(crate) use pages::{PAGE, Selection};
pub(crate) use store::{Numbers, RowStore};
pub(crate) use table::{Chain, RowTable, TableSide};
pub(crate) use weight::row_weights;
