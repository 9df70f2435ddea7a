//! Settings of a pipeline's runs; none is part of an identity.

use std::num::NonZeroUsize;

use anabranch_engine::chunk::CHUNK_ROWS;
use anabranch_nodes::function::OnError;

/// Driver that moves the rows.
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

/// Number of rows in a chunk of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ChunkRows {
    /// The engine's choice: 8,192, less where rows come slowly.
    #[default]
    Adaptive,
    /// A fixed number.
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
    /// Driver that moves the rows.
    pub executor: Executor,
    /// Chunks that an edge holds.
    pub channel_capacity: NonZeroUsize,
    /// Rows of a source's chunks.
    pub chunk_rows: ChunkRows,
    /// Maximum number of bytes in memory for the state of all operators.
    pub memory_limit: u64,
    /// Maximum number of bytes that are spilled to disk.
    pub spill_limit: u64,
    /// Maximum number of concurrent calls of a function node, unless the node sets its own.
    pub concurrency: NonZeroUsize,
    /// Treatment of packets that fail for good, unless their node sets its own.
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
