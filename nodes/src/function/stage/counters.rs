//! Counters of a function node.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Counters of a function node while it runs.
///
/// Every row that came in and has its outcome is counted once: as computed, reused, skipped or set
/// aside. Attempts are not counted: a packet that succeeds at the third is computed once, and one
/// that fails for good is skipped or set aside and not computed.
#[derive(Debug, Default)]
pub struct FunctionCounters {
    pub(super) computed: AtomicU64,
    pub(super) reused: AtomicU64,
    pub(super) dropped: AtomicU64,
    pub(super) skipped: AtomicU64,
    pub(super) set_aside: AtomicU64,
}

impl FunctionCounters {
    /// Packets whose call ran and came to an outcome.
    #[must_use]
    pub fn computed(&self) -> u64 {
        self.computed.load(Relaxed)
    }

    /// Rows served without a call: from the store, or from an equal packet of this run.
    #[must_use]
    pub fn reused(&self) -> u64 {
        self.reused.load(Relaxed)
    }

    /// Rows that gave no packet, although nothing failed.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Relaxed)
    }

    /// Rows left out since their packet failed.
    #[must_use]
    pub fn skipped(&self) -> u64 {
        self.skipped.load(Relaxed)
    }

    /// Rows left out since their packet failed and was written down.
    #[must_use]
    pub fn set_aside(&self) -> u64 {
        self.set_aside.load(Relaxed)
    }
}

pub(super) fn add(counter: &AtomicU64, count: usize) {
    counter.fetch_add(count as u64, Relaxed);
}
