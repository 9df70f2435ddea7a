//! The operators of anabranch, each written once as a synchronous machine.
//!
//! ```text
//!   select drop map --- projection        columns by reference
//!   filter ------------ coalescer         small chunks put together
//!   join merge_join --- keys, rows        what key columns mean; rows kept for matching
//!   sort batch -------- sorter            rows in order, in runs that leave memory
//!   sort batch -------- sorter            rows in order, in stretches that leave memory
//! ```

mod arrivals;
mod batch;
mod coalescer;
mod drop;
mod filter;
mod join;
mod keys;
mod map;
mod projection;
mod rows;
mod select;
mod sort;

pub use batch::Batch;
pub use drop::DropColumns;
pub use filter::Filter;
pub use join::{Join, MergeJoin};
pub use map::Map;
pub use select::Select;
pub use sort::Sort;
