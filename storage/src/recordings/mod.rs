//! Recordings: the ordered rows of a node in one run.

pub(crate) mod catalogue;
pub(crate) mod histories;
pub(crate) mod links;
pub(crate) mod reader;
pub(crate) mod schema;
pub(crate) mod seal;
pub(crate) mod writing;
