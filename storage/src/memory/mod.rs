//! The store in memory: for tests, and for pipelines whose results need not outlive the process.

pub(crate) mod catalog;
pub(crate) mod leases;
mod tables;
