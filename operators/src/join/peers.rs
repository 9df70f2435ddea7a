//! What the machines of one split join know of each other.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// Which stages have moved their state out of memory in one of the machines.
///
/// Chunks that machines keep together only leave memory when all of them let go.
#[derive(Debug)]
pub(super) struct Peers {
    left: Box<[AtomicBool]>,
}

impl Peers {
    fn new(stages: usize) -> Arc<Self> {
        Arc::new(Self { left: (0..stages).map(|_| AtomicBool::new(false)).collect() })
    }

    /// Tells the others that a stage's state leaves memory.
    pub(super) fn tell(&self, stage: usize) {
        if let Some(left) = self.left.get(stage) {
            left.store(true, Relaxed);
        }
    }

    /// Whether a stage's state has left memory in one of the machines.
    pub(super) fn has_left(&self, stage: usize) -> bool {
        self.left.get(stage).is_some_and(|left| left.load(Relaxed))
    }
}

/// Brings together the machines that are started of one join, as long as one of them lives.
#[derive(Debug, Default)]
pub(super) struct Meeting(Mutex<Weak<Peers>>);

impl Meeting {
    /// The peers of a machine that is being started.
    pub(super) fn join(&self, stages: usize) -> Arc<Peers> {
        let mut present = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        present.upgrade().unwrap_or_else(|| {
            let peers = Peers::new(stages);
            *present = Arc::downgrade(&peers);
            peers
        })
    }
}
