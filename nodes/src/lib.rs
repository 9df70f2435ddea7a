//! Source, function and sink nodes: where rows come from, what is computed once, what is recorded,
//! where they go.

mod arrived;
mod call;
mod counter;
pub mod function;
pub mod leftovers;
mod metadata;
pub mod recording;
pub mod sink;
pub mod source;
mod worker;

pub use counter::Counter;
