//! The room on disk that the state of a run's operators may take, all of them together.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::SpillError;

/// A limit that the areas of a run share. Cheap to clone; clones count together.
#[derive(Debug, Clone)]
pub struct SpillBudget {
    limit: u64,
    counters: Arc<Counters>,
}

#[derive(Debug, Default)]
struct Counters {
    used: AtomicU64,
    written: AtomicU64,
}

impl SpillBudget {
    /// A budget of so many bytes.
    #[must_use]
    pub fn new(limit: u64) -> Self {
        Self { limit, counters: Arc::default() }
    }

    /// Bytes that lie on disk now; each put counts as whole blocks of 4 KiB.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.counters.used.load(Relaxed)
    }

    /// Bytes that were written so far, whether they are still needed or not.
    #[must_use]
    pub fn spilled_bytes(&self) -> u64 {
        self.counters.written.load(Relaxed)
    }

    /// Takes room.
    ///
    /// Errors: more than is left; then nothing was taken.
    pub(super) fn take(&self, bytes: u64) -> Result<(), SpillError> {
        let total = |used: u64| used.saturating_add(bytes);
        let within = |used| Some(total(used)).filter(|total| *total <= self.limit);
        match self.counters.used.fetch_update(Relaxed, Relaxed, within) {
            Ok(_) => Ok(()),
            Err(used) => Err(SpillError::Limit { bytes: total(used), limit: self.limit }),
        }
    }

    pub(super) fn give_back(&self, bytes: u64) {
        self.counters.used.fetch_sub(bytes, Relaxed);
    }

    pub(super) fn wrote(&self, bytes: u64) {
        self.counters.written.fetch_add(bytes, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_share_a_budget_and_a_refusal_takes_nothing() {
        let budget = SpillBudget::new(100);
        budget.take(60).unwrap();
        let refused = budget.clone().take(41).unwrap_err();
        assert!(matches!(refused, SpillError::Limit { bytes: 101, limit: 100 }), "{refused}");
        assert!(refused.to_string().contains("raise spill_limit"), "{refused}");
        budget.take(40).unwrap();
        assert_eq!(budget.used(), 100);
        budget.give_back(100);
        assert_eq!(budget.used(), 0);
    }
}
