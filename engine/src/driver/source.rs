//! A source under either executor, and on a thread of its own.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::metrics::Tally;
use super::{RunError, Stop, guarded};
use crate::channel::Sender;
use crate::chunk::Chunk;
use crate::stage::ChunkReader;

/// A reader with the name and the counters of its node.
pub(super) struct SourceRunner {
    name: Arc<str>,
    reader: Box<dyn ChunkReader>,
    tally: Tally,
}

impl SourceRunner {
    pub(super) fn new(name: &Arc<str>, reader: Box<dyn ChunkReader>, tally: Tally) -> Self {
        Self { name: Arc::clone(name), reader, tally }
    }

    /// Reads the next chunk, which may be empty; none at the end.
    pub(super) fn read(&mut self) -> Result<Option<Chunk>, RunError> {
        let begun = Instant::now();
        let next = guarded(&self.name, || self.reader.next())?;
        self.tally.worked(begun.elapsed());
        self.tally.gave(next.as_ref().map_or(0, Chunk::rows));
        Ok(next)
    }

    /// Starts a thread that sends all chunks to the consumers; the answer comes when it ends, and does not come if the
    /// thread vanished.
    pub(super) fn start(
        self,
        outputs: Vec<Sender<Chunk>>,
        stop: CancellationToken,
    ) -> Result<oneshot::Receiver<Result<(), Stop>>, RunError> {
        let (answer, done) = oneshot::channel();
        let node = self.name.to_string();
        let thread = std::thread::Builder::new().name(format!("source {node}"));
        let spawned = thread.spawn(move || {
            // The receiver is gone only if the run was dropped.
            let _ = answer.send(self.send_all(outputs, &stop));
        });
        spawned.map(|_| done).map_err(|cause| RunError::Thread { node, cause })
    }

    fn send_all(mut self, outputs: Vec<Sender<Chunk>>, stop: &CancellationToken) -> Result<(), Stop> {
        loop {
            if stop.is_cancelled() {
                return Err(Stop::Followed);
            }
            let Some(chunk) = self.read()? else { break };
            if chunk.rows() == 0 {
                continue;
            }
            for output in &outputs {
                // A consumer that is gone has all it wants, or the run is about to stop.
                let _ = output.send_blocking(chunk.clone());
            }
        }
        for output in outputs {
            let _ = output.end_blocking();
        }
        Ok(())
    }
}
