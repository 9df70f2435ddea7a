//! From a pipeline to a job: the nodes that are needed, the action of each, and the one lowering that starts them.

mod actions;
mod error;
mod lower;
mod needed;
mod options;
mod outputs;
mod replan;

pub(crate) use actions::{NodeAction, actions};
pub use error::RunError;
pub(crate) use lower::{LoweredJob, lower};
pub use options::{RunOptions, RunScope};
pub(crate) use outputs::{check_outputs, run_note};
