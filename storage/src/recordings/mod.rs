//! Recordings: the ordered rows of a node in one run.

pub(crate) mod catalogue;
pub(crate) mod histories;
pub(crate) mod links;
mod outputs;
pub(crate) mod reader;
pub(crate) mod schema;
pub(crate) mod seal;
pub(crate) mod stored;
pub(crate) mod writing;
