//! The operators of anabranch, each written once as a synchronous machine.
//!
//! ```text
//!   select drop map --- projection        columns by reference
//!   filter ------------ coalescer         small chunks put together
//!   union merge_join -- forms             one physical form for the values of several inputs
//!   unbatch ----------- cursor            a chunk of lists that leaves a piece at a time
//!   semijoin antijoin - keys              what key columns mean
//!   join merge_join --- keys, rows        the same; rows kept for matching
//!   sort batch distinct sorter            rows in order, in sorted runs that leave memory
//! ```

mod batch;
mod bound;
mod coalescer;
mod distinct;
mod drop;
mod filter;
mod forms;
mod input_queue;
mod join;
mod keys;
mod map;
mod projection;
mod rows;
mod select;
mod semijoin;
mod sort;
mod unbatch;
mod union;

pub use batch::Batch;
pub use distinct::Distinct;
pub use drop::DropColumns;
pub use filter::Filter;
pub use join::{Join, MergeJoin};
pub use map::Map;
pub use select::Select;
pub use semijoin::{Antijoin, Semijoin};
pub use sort::Sort;
pub use unbatch::Unbatch;
pub use union::Union;
