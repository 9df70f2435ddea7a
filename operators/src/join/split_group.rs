//! The state that the machines of one split join have in common.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use anabranch_engine::index::At as _;

/// The machines of one split join: which stages have spilled in one of them.
///
/// Chunks that machines hold in common leave memory only when all of them drop them.
#[derive(Debug)]
pub(super) struct SplitGroup {
    spilled: Box<[AtomicBool]>,
}

impl SplitGroup {
    fn new(stages: usize) -> Arc<Self> {
        Arc::new(Self { spilled: (0..stages).map(|_| AtomicBool::new(false)).collect() })
    }

    /// Records that a stage's state leaves memory.
    pub(super) fn set_spilled(&self, stage: usize) {
        self.spilled.at(stage, "stage of the join").store(true, Relaxed);
    }

    /// Returns whether a stage's state has left memory in one of the machines.
    pub(super) fn has_spilled(&self, stage: usize) -> bool {
        self.spilled.at(stage, "stage of the join").load(Relaxed)
    }
}

/// The group of the machines that are started of one join, as long as one of them lives.
#[derive(Debug, Default)]
pub(super) struct CurrentSplitGroup(Mutex<Weak<SplitGroup>>);

impl CurrentSplitGroup {
    /// The group of a machine that is being started.
    pub(super) fn join(&self, stages: usize) -> Arc<SplitGroup> {
        let mut current = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        current.upgrade().unwrap_or_else(|| {
            let group = SplitGroup::new(stages);
            *current = Arc::downgrade(&group);
            group
        })
    }
}
