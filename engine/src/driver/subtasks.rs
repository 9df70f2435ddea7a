//! Subtasks of work under way beside the machines that handed them out.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use futures::stream::FuturesOrdered;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::{RunError, Stop, guarded};
use crate::subtask::Subtask;

/// The subtasks of a chain that are under way, each on a task of its own.
///
/// A subtask that is under way when its chain stops goes on to its end, which is near; the run waits for
/// it as for the disk.
pub(super) struct Subtasks {
    under_way: FuturesOrdered<JoinHandle<Result<FinishedSubtask, RunError>>>,
    /// Held by every subtask until its end.
    guard: mpsc::Sender<()>,
}

/// A subtask that is done.
pub(super) struct FinishedSubtask {
    /// The place in the chain of the machine that handed it out.
    pub(super) op: usize,
    /// How long it took.
    pub(super) time: Duration,
}

impl Subtasks {
    pub(super) fn new(guard: mpsc::Sender<()>) -> Self {
        Self { under_way: FuturesOrdered::new(), guard }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.under_way.is_empty()
    }

    /// Begins a subtask of the machine at this place.
    pub(super) fn begin(&mut self, op: usize, node: Arc<str>, subtask: Subtask) {
        let guard = self.guard.clone();
        let work = async move {
            let begun = Instant::now();
            let done = guarded(&node, || Ok(subtask.run()?));
            drop(guard);
            done.map(|()| FinishedSubtask { op, time: begun.elapsed() })
        };
        self.under_way.push_back(Handle::current().spawn(work));
    }

    /// Waits for the end of the subtask that was begun first; none if none is under way.
    ///
    /// Cancellation: a dropped future has lost nothing.
    pub(super) async fn next(&mut self) -> Option<Result<FinishedSubtask, Stop>> {
        let joined = self.under_way.next().await?;
        // It is cancelled only when the runtime goes away.
        Some(joined.map_err(|_| Stop::Followed).and_then(|done| Ok(done?)))
    }
}
