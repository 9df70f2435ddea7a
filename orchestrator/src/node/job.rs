//! Construction of a job: one entry for each machine, stage or source that runs.

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;

use anabranch_engine::driver::{Job, NodeJob, NodeMetrics};
use anabranch_engine::memory::MemoryBudget;
use anabranch_engine::operator::{Context, Partition};
use anabranch_engine::provenance::Origins;
use anabranch_engine::spill::{FileArea, SpillArea, SpillBudget};
use anabranch_engine::stage::Running;

use super::{Lowered, Node, NodeStats, Settings};

/// Position of an entry of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct JobIndex(usize);

/// A job that is being built, and the resources that its entries share.
pub(crate) struct JobBuilder<'a> {
    entries: Vec<NodeJob>,
    pub(crate) origins: Arc<Origins>,
    pub(crate) memory: MemoryBudget,
    pub(crate) spill: SpillBudget,
    /// Folder of files without names.
    pub(crate) scratch: &'a Path,
    pub(crate) settings: &'a Settings,
    /// Cores that operators may use.
    pub(crate) cores: usize,
}

impl<'a> JobBuilder<'a> {
    /// An empty job under the limits of the settings.
    pub(crate) fn new(settings: &'a Settings, scratch: &'a Path, cores: usize) -> Self {
        Self {
            entries: Vec::new(),
            origins: Arc::default(),
            memory: MemoryBudget::new(usize::try_from(settings.memory_limit).unwrap_or(usize::MAX)),
            spill: SpillBudget::new(settings.spill_limit),
            scratch,
            settings,
            cores,
        }
    }

    /// Target number of rows of a chunk.
    pub(crate) fn chunk_rows(&self) -> usize {
        self.settings.chunk_rows.rows()
    }

    /// Context of a machine that works on all rows.
    pub(crate) fn context(&self) -> Context {
        Context {
            origins: Arc::clone(&self.origins),
            memory: self.memory.clone(),
            chunk_rows: self.chunk_rows(),
            partition: Partition::WHOLE,
            cores: self.cores,
        }
    }

    /// Creates an area for state that leaves memory.
    pub(crate) fn area(&self) -> Box<dyn SpillArea> {
        Box::new(FileArea::new(self.scratch, &self.spill))
    }

    /// Adds the entry of a node, whose rows come from it.
    pub(super) fn push_node(&mut self, node: &Node, inputs: &[JobIndex], running: Running) -> Lowered {
        let (rows, metrics) = self.push(&node.name, inputs, running);
        Lowered { rows, stats: NodeStats::new(&node.name, node.kind, metrics) }
    }

    /// Adds an entry that reads from others.
    pub(crate) fn push(
        &mut self,
        name: &str,
        inputs: &[JobIndex],
        running: Running,
    ) -> (JobIndex, Arc<NodeMetrics>) {
        let metrics = Arc::new(NodeMetrics::new(inputs.len()));
        let inputs = inputs.iter().map(|input| input.0).collect();
        let spill = self.area();
        self.entries.push(NodeJob {
            name: name.into(),
            inputs,
            running,
            spill,
            metrics: Arc::clone(&metrics),
        });
        (JobIndex(self.entries.len() - 1), metrics)
    }

    /// Returns the job, whose edges have the capacity of the settings.
    pub(crate) fn finish(self) -> Job {
        Job { nodes: self.entries, capacity: self.settings.channel_capacity }
    }
}

/// Cores of the machine.
pub(crate) fn available_cores() -> usize {
    std::thread::available_parallelism().map_or(1, NonZeroUsize::get)
}
