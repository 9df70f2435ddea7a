//! Chunks from one task to another, over an edge as the streaming driver lays it.

use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use anabranch_engine::channel::{Received, channel};
use anabranch_engine::chunk::Chunk;
use anabranch_engine::provenance::Origins;
use tokio::runtime::{Builder, Runtime};

use super::Work;
use crate::cases::CASES;
use crate::data::tables;
use crate::engines::input;
use crate::error::Cause;

/// Chunks that the edge holds.
const CAPACITY: NonZeroUsize = NonZeroUsize::MIN.saturating_add(7);

/// Two tasks and a chunk to send.
pub(super) struct Edge {
    runtime: Runtime,
    chunk: Chunk,
}

impl Edge {
    /// Both tasks on one thread, or each on any of several.
    pub(super) fn new(threads: usize) -> Result<Self, Cause> {
        let runtime = match threads {
            1 => Builder::new_current_thread().build()?,
            _ => Builder::new_multi_thread().worker_threads(threads).build()?,
        };
        let [table, _] = tables(CASES.first().ok_or("there is no case")?, 1_000);
        let (_, chunks) = input(&table, 1, &Origins::default())?;
        Ok(Self { runtime, chunk: chunks.into_iter().next().ok_or("the table has no rows")? })
    }
}

impl Work for Edge {
    fn run(&mut self, iterations: usize) -> Result<Duration, Cause> {
        // Made and let go outside the measured time, which is that of the edge alone.
        let chunks = vec![self.chunk.clone(); iterations];
        let mut arrived = Vec::with_capacity(iterations);
        let (sender, mut receiver) = channel(CAPACITY);
        let begun = Instant::now();
        let sends = self.runtime.spawn(async move {
            for chunk in chunks {
                sender.send(chunk).await?;
            }
            sender.end().await
        });
        let takes = self.runtime.spawn(async move {
            while let Received::Item(chunk) = receiver.recv().await {
                arrived.push(chunk);
            }
            (Instant::now(), arrived)
        });
        let (all_sent, all_taken) = self.runtime.block_on(async { (sends.await, takes.await) });
        all_sent??;
        let (ended, arrived) = all_taken?;
        if arrived.len() != iterations {
            return Err(format!("{} chunks came, expected {iterations}", arrived.len()).into());
        }
        Ok(ended.duration_since(begun))
    }
}
