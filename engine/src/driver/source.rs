//! A source on a thread of its own.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::metrics::Tally;
use super::{RunError, Stop, guarded};
use crate::channel::Sender;
use crate::chunk::Chunk;
use crate::stage::ChunkReader;

/// What reads the rows of a source and hands them to its consumers.
pub(super) struct Source {
    pub(super) name: Arc<str>,
    pub(super) reader: Box<dyn ChunkReader>,
    pub(super) outputs: Vec<Sender<Chunk>>,
    pub(super) tally: Tally,
}

impl Source {
    /// Starts the thread; the answer comes when it ends, and does not come if the thread vanished.
    pub(super) fn start(
        self,
        stop: CancellationToken,
    ) -> Result<oneshot::Receiver<Result<(), Stop>>, RunError> {
        let (answer, done) = oneshot::channel();
        let node = self.name.to_string();
        let thread = std::thread::Builder::new().name(format!("source {node}"));
        let spawned = thread.spawn(move || {
            // Nobody listens only if the run was dropped.
            let _ = answer.send(self.read(&stop));
        });
        spawned.map(|_| done).map_err(|cause| RunError::Thread { node, cause })
    }

    fn read(mut self, stop: &CancellationToken) -> Result<(), Stop> {
        loop {
            if stop.is_cancelled() {
                return Err(Stop::Followed);
            }
            let begun = Instant::now();
            let next = guarded(&self.name, || self.reader.next())?;
            self.tally.worked(begun.elapsed());
            let Some(chunk) = next else { break };
            if chunk.rows() == 0 {
                continue;
            }
            self.tally.gave(chunk.rows());
            for output in &self.outputs {
                // A consumer that is gone has all it wants, or the run is about to stop.
                let _ = output.send_blocking(chunk.clone());
            }
        }
        for output in self.outputs {
            let _ = output.end_blocking();
        }
        Ok(())
    }
}
