//! Settings of a pipeline's runs, and knobs of its nodes; but for the order of rows none is part of what a node is.

use std::num::NonZeroUsize;
use std::time::Duration;

use anabranch_engine::chunk::CHUNK_ROWS;
use anabranch_nodes::function::{CacheMode, CallOptions, OnError, OutputOrder, Rate, Retry};
use anabranch_nodes::recording::RecordMode;

use crate::pipeline::{NodeHandle, Pipeline, Work};
use crate::plan_error::PlanError;

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

/// What a function node says of its calls; settings say the rest.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Knobs {
    concurrency: Option<NonZeroUsize>,
    timeout: Option<Duration>,
    retry: Retry,
    rate: Option<Rate>,
    on_error: Option<OnError>,
    pub(crate) order: OutputOrder,
}

impl Knobs {
    pub(crate) fn calls(&self, settings: &Settings) -> CallOptions {
        CallOptions {
            concurrency: self.concurrency.unwrap_or(settings.concurrency),
            timeout: self.timeout,
            retry: self.retry,
            rate: self.rate,
            on_error: self.on_error.unwrap_or(settings.on_error),
            order: self.order,
        }
    }
}

impl Pipeline {
    /// How a function node treats stored results.
    pub fn set_cache(&mut self, node: NodeHandle, cache: CacheMode) {
        if let Some(node) = self.node_mut(node) {
            node.cache = cache;
        }
    }

    /// Whether an operator's rows are kept, and served instead of running it. Function nodes keep
    /// theirs anyway, sources have [`SourceOptions::cumulative`](anabranch_nodes::source::SourceOptions).
    pub fn set_recording(&mut self, node: NodeHandle, mode: RecordMode) {
        if let Some(node) = self.node_mut(node) {
            node.record = mode;
        }
    }

    /// Calls that a function node may run at once.
    pub fn set_concurrency(&mut self, node: NodeHandle, concurrency: NonZeroUsize) {
        if let Some(node) = self.node_mut(node) {
            node.knobs.concurrency = Some(concurrency);
        }
    }

    /// How long an attempt at a packet may take.
    ///
    /// A closure that blocks is left to end by itself, and takes the place of a call until then;
    /// an async one is dropped.
    pub fn set_timeout(&mut self, node: NodeHandle, timeout: Duration) {
        if let Some(node) = self.node_mut(node) {
            node.knobs.timeout = Some(timeout);
        }
    }

    /// How often a packet of a function node is tried.
    pub fn set_retry(&mut self, node: NodeHandle, retry: Retry) {
        if let Some(node) = self.node_mut(node) {
            node.knobs.retry = retry;
        }
    }

    /// Calls per second that a function node makes at most.
    pub fn set_rate(&mut self, node: NodeHandle, rate: Rate) {
        if let Some(node) = self.node_mut(node) {
            node.knobs.rate = Some(rate);
        }
    }

    /// What becomes of packets of a function node that fail for good.
    pub fn set_on_error(&mut self, node: NodeHandle, on_error: OnError) {
        if let Some(node) = self.node_mut(node) {
            node.knobs.on_error = Some(on_error);
        }
    }

    /// In which order a function node gives its rows: those behind it see whether it is defined.
    ///
    /// Errors: a node that others read from already, since they were checked against its order.
    pub fn set_order(&mut self, node: NodeHandle, order: OutputOrder) -> Result<(), PlanError> {
        let Some(index) = self.index(node) else { return Ok(()) };
        // Readers stand behind what they read from.
        let behind = self.nodes().skip(index + 1).find(|other| other.inputs.contains(&index));
        let reader = behind.map(|n| n.name.clone());
        let input = self.at(index).and_then(|n| n.inputs.first()).and_then(|at| self.at(*at));
        let ordered = input.is_some_and(|input| input.contract.ordered) && order == OutputOrder::Input;
        let Some(node) = self.node_mut(node).filter(|node| matches!(node.work, Work::Function(_))) else {
            return Ok(());
        };
        if let Some(reader) = reader {
            let reason = format!(
                "order: found \"{reader}\", which reads from it and was checked against its order, expected no reader yet; set the order before nodes are added behind it"
            );
            return Err(PlanError::new(&node.name, reason));
        }
        node.knobs.order = order;
        node.contract.ordered = ordered;
        Ok(())
    }

    /// A text for people, shown beside the name.
    pub fn set_label(&mut self, node: NodeHandle, label: impl Into<String>) {
        if let Some(node) = self.node_mut(node) {
            node.label = Some(label.into());
        }
    }
}
