//! Subtasks under way beside the machines that spawned them.

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
    under_way: FuturesOrdered<JoinHandle<Result<Duration, RunError>>>,
    /// Held by every subtask until its end.
    guard: mpsc::Sender<()>,
}

impl Subtasks {
    pub(super) fn new(guard: mpsc::Sender<()>) -> Self {
        Self { under_way: FuturesOrdered::new(), guard }
    }

    /// Starts a subtask of a machine of this node.
    pub(super) fn spawn(&mut self, node: Arc<str>, subtask: Subtask) {
        let guard = self.guard.clone();
        let work = async move {
            let begun = Instant::now();
            let done = guarded(&node, || Ok(subtask.run()?));
            drop(guard);
            done.map(|()| begun.elapsed())
        };
        self.under_way.push_back(Handle::current().spawn(work));
    }

    /// Waits for the end of the subtask that was spawned first, and returns how long it took; waits for ever if none is
    /// under way.
    ///
    /// Cancellation: a dropped future has lost nothing.
    pub(super) async fn join(&mut self) -> Result<Duration, Stop> {
        match self.under_way.next().await {
            // It is cancelled only when the runtime goes away.
            Some(joined) => Ok(joined.map_err(|_| Stop::Followed)??),
            None => std::future::pending().await,
        }
    }
}
