//! Packets in flight, beside the table of function nodes, which is visible in a module of this name.

mod flights;
mod machine;

pub(crate) use flights::FLIGHTS;
