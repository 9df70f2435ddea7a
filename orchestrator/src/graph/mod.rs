//! The graph of a pipeline and the builder that makes it.

mod knobs;
mod output_conflicts;
pub mod picture;
mod pipeline;

pub(crate) use output_conflicts::Conflict;
pub use pipeline::{NodeHandle, Pipeline};
