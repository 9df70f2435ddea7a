//! Recordings: the ordered rows of a node in one run.

pub(crate) mod catalogue;
pub(crate) mod cut;
pub(crate) mod origins;
pub(crate) mod reader;
pub(crate) mod reading;
pub(crate) mod recorder;
pub(crate) mod schema;
pub(crate) mod seal;
pub(crate) mod writing;
