//! Pieces of work under way beside the machines that handed them out.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use futures::stream::FuturesOrdered;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::{RunError, Stop, guarded};
use crate::piece::Piece;

/// The pieces of a chain that are under way, each on a task of its own.
///
/// A piece that is under way when its chain stops goes on to its end, which is near; the run waits for
/// it as for the disk.
pub(super) struct Pieces {
    under_way: FuturesOrdered<JoinHandle<Result<Finished, RunError>>>,
    /// Held by every piece until its end.
    guard: mpsc::Sender<()>,
}

/// A piece that is done.
pub(super) struct Finished {
    /// The place in the chain of the machine that handed it out.
    pub(super) link: usize,
    /// How long it took.
    pub(super) time: Duration,
}

impl Pieces {
    pub(super) fn new(guard: mpsc::Sender<()>) -> Self {
        Self { under_way: FuturesOrdered::new(), guard }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.under_way.is_empty()
    }

    /// Begins a piece of the machine at this place.
    pub(super) fn begin(&mut self, link: usize, node: Arc<str>, piece: Piece) {
        let guard = self.guard.clone();
        let work = async move {
            let begun = Instant::now();
            let done = guarded(&node, || Ok(piece.run()?));
            drop(guard);
            done.map(|()| Finished { link, time: begun.elapsed() })
        };
        self.under_way.push_back(Handle::current().spawn(work));
    }

    /// Waits for the end of the piece that was begun first; none if none is under way.
    ///
    /// Cancellation: a dropped future has lost nothing.
    pub(super) async fn next(&mut self) -> Option<Result<Finished, Stop>> {
        let joined = self.under_way.next().await?;
        // It is cancelled only when the runtime goes away.
        Some(joined.map_err(|_| Stop::Followed).and_then(|done| Ok(done?)))
    }
}
