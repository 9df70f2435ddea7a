//! SQL text as a tree of what is on the allow-list, and back.

mod canonical;
mod forms;
pub(crate) mod functions;
pub(crate) mod names;
pub(crate) mod parameters;
pub(crate) mod parse;
pub(crate) mod tree;
