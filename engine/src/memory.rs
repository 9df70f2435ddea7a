//! The memory that the state of a run's operators may take, all of them together.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// A limit that several operators share. Cheap to clone; clones count together.
#[derive(Debug, Clone)]
pub struct MemoryBudget {
    limit: usize,
    used: Arc<AtomicUsize>,
}

/// State that does not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("operators' state of {bytes} bytes exceeds memory_limit of {limit} bytes; raise memory_limit")]
pub struct OverBudget {
    /// Bytes that all operators together wanted.
    pub bytes: usize,
    /// Bytes that they may have.
    pub limit: usize,
}

impl MemoryBudget {
    /// A budget of so many bytes.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { limit, used: Arc::default() }
    }

    /// Bytes that all operators together may have.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// An account of one operator, with nothing on it.
    #[must_use]
    pub fn account(&self) -> MemoryAccount {
        MemoryAccount { budget: self.clone(), bytes: 0 }
    }

    /// Bytes in use.
    #[must_use]
    pub fn used(&self) -> usize {
        self.used.load(Relaxed)
    }
}

/// The part of a budget that one operator uses; dropping it gives the part back.
#[derive(Debug)]
pub struct MemoryAccount {
    budget: MemoryBudget,
    bytes: usize,
}

impl MemoryAccount {
    /// Sets the number of bytes that the operator uses.
    ///
    /// Errors: more than is left; the account counts them all the same, since the bytes are in use.
    pub fn set(&mut self, bytes: usize) -> Result<(), OverBudget> {
        let before = std::mem::replace(&mut self.bytes, bytes);
        let MemoryBudget { limit, used } = &self.budget;
        let total = if bytes >= before {
            used.fetch_add(bytes - before, Relaxed) + (bytes - before)
        } else {
            used.fetch_sub(before - bytes, Relaxed) - (before - bytes)
        };
        if total > *limit && bytes > before {
            Err(OverBudget { bytes: total, limit: *limit })
        } else {
            Ok(())
        }
    }
}

impl Drop for MemoryAccount {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.bytes, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_share_a_budget_and_give_back_what_they_had() {
        let budget = MemoryBudget::new(100);
        let (mut one, mut other) = (budget.account(), budget.account());
        assert_eq!(one.set(60), Ok(()));
        assert_eq!(other.set(40), Ok(()));
        assert_eq!(other.set(41), Err(OverBudget { bytes: 101, limit: 100 }));
        assert_eq!(other.set(10), Ok(()));
        assert_eq!(budget.used(), 70);
        drop(one);
        assert_eq!(budget.used(), 10);
    }
}
