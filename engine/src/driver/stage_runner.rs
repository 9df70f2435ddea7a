//! A stage under either executor.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use futures::FutureExt as _;

use super::metrics::Tally;
use super::{RunError, guarded, named};
use crate::operator::Item;
use crate::stage::{Stage, StageStep};

/// A stage with the name and the counters of its node.
pub(super) struct StageRunner {
    name: Arc<str>,
    stage: Box<dyn Stage>,
    tally: Tally,
}

impl StageRunner {
    pub(super) fn new(name: &Arc<str>, stage: Box<dyn Stage>, tally: Tally) -> Self {
        Self { name: Arc::clone(name), stage, tally }
    }

    /// Works until something is needed or ready.
    pub(super) async fn step(&mut self) -> Result<StageStep, RunError> {
        let begun = Instant::now();
        let stage = &mut self.stage;
        let ended = AssertUnwindSafe(async { stage.step().await }).catch_unwind().await;
        self.tally.worked(begun.elapsed());
        let step = named(&self.name, ended)?;
        if let StageStep::Output(chunk) = &step {
            self.tally.gave(chunk.rows());
        }
        Ok(step)
    }

    /// Pushes what has come at a port; `queued` chunks wait behind it.
    pub(super) fn push(&mut self, port: usize, item: Item, queued: usize) -> Result<(), RunError> {
        if let Item::Chunk(chunk) = &item {
            self.tally.took(port, chunk.rows(), queued);
        }
        guarded(&self.name, || self.stage.accept(port, item))
    }

    /// Waits until the stage has work although no input came.
    ///
    /// Cancellation: nothing is lost by dropping the future.
    pub(super) async fn progress(&mut self) {
        self.stage.progress().await;
    }
}
