//! Source, function and sink nodes: where rows come from, what is computed once, where they go.

pub mod function;
mod metadata;
pub mod sink;
pub mod source;
mod worker;
