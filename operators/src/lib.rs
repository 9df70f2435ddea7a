//! The operators of anabranch, each written once as a synchronous machine.
//!
//! ```text
//!   select drop map --- projection        columns by reference
//!   filter ------------ coalescer         small chunks put together
//!   union ------------- forms             one physical form for the values of several inputs
//!   unbatch ----------- cursor            a chunk of lists that leaves a piece at a time
//!   join -------------- keys, rows        what key columns mean; rows kept for matching
//! ```

mod arrivals;
mod coalescer;
mod drop;
mod filter;
mod join;
mod keys;
mod map;
mod projection;
mod rows;
mod select;
mod unbatch;
mod union;

pub use drop::DropColumns;
pub use filter::Filter;
pub use join::Join;
pub use map::Map;
pub use select::Select;
pub use unbatch::Unbatch;
pub use union::Union;
