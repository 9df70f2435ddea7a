//! Settings of a pipeline's runs; none is part of an identity.

use std::num::NonZeroUsize;

use anabranch_engine::chunk::CHUNK_ROWS;
use anabranch_nodes::function::OnError;

/// Which driver moves the rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Executor {
    /// Every node a task, every edge a bounded channel.
    #[default]
    Async,
    /// One loop on one thread.
    Sync,
}

impl Executor {
    /// Its name in a pipeline file.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Async => "async",
            Self::Sync => "sync",
        }
    }
}

/// Rows that a chunk of a source has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ChunkRows {
    /// What suits the engine: 8,192, less where rows come slowly.
    #[default]
    Adaptive,
    /// This many.
    Fixed(NonZeroUsize),
}

impl ChunkRows {
    pub(crate) fn rows(self) -> usize {
        match self {
            Self::Adaptive => CHUNK_ROWS,
            Self::Fixed(rows) => rows.get(),
        }
    }
}

/// Settings of a pipeline's runs; none is part of an identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Which driver moves the rows.
    pub executor: Executor,
    /// Chunks that an edge holds.
    pub channel_capacity: NonZeroUsize,
    /// Rows of a source's chunks.
    pub chunk_rows: ChunkRows,
    /// Bytes that the state of all operators may take.
    pub memory_limit: u64,
    /// Bytes that may leave memory for disk.
    pub spill_limit: u64,
    /// Calls that a function node may run at once, unless the node says otherwise.
    pub concurrency: NonZeroUsize,
    /// What becomes of packets that fail for good, unless their node says otherwise.
    pub on_error: OnError,
}

const EIGHT: NonZeroUsize = NonZeroUsize::new(8).unwrap();

impl Default for Settings {
    fn default() -> Self {
        Self {
            executor: Executor::Async,
            channel_capacity: EIGHT,
            chunk_rows: ChunkRows::Adaptive,
            memory_limit: 2 << 30,
            spill_limit: 100 << 30,
            concurrency: EIGHT,
            on_error: OnError::Stop,
        }
    }
}
