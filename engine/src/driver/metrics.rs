//! What is counted while a node runs.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Counters of one node; written by its task, read by whoever shows progress.
#[derive(Debug)]
pub struct NodeMetrics {
    rows_in: Box<[AtomicU64]>,
    queued: Box<[AtomicU64]>,
    rows_out: AtomicU64,
    busy_nanoseconds: AtomicU64,
    unmatched: OnceLock<Vec<u64>>,
}

impl NodeMetrics {
    /// Counters for a node with that many ports.
    #[must_use]
    pub fn new(ports: usize) -> Self {
        let counters = || (0..ports).map(|_| AtomicU64::new(0)).collect();
        Self {
            rows_in: counters(),
            queued: counters(),
            rows_out: AtomicU64::new(0),
            busy_nanoseconds: AtomicU64::new(0),
            unmatched: OnceLock::new(),
        }
    }

    /// Rows taken at each port.
    #[must_use]
    pub fn rows_in(&self) -> Vec<u64> {
        self.rows_in.iter().map(|n| n.load(Relaxed)).collect()
    }

    /// Chunks that waited at each port when one was last taken.
    #[must_use]
    pub fn queued(&self) -> Vec<u64> {
        self.queued.iter().map(|n| n.load(Relaxed)).collect()
    }

    /// Rows given.
    #[must_use]
    pub fn rows_out(&self) -> u64 {
        self.rows_out.load(Relaxed)
    }

    /// Time spent in the node's own steps (waits of a stage included, waits for edges not).
    #[must_use]
    pub fn busy(&self) -> Duration {
        Duration::from_nanos(self.busy_nanoseconds.load(Relaxed))
    }

    /// Rows of each input without a match, once the node is done; empty where it does not match.
    #[must_use]
    pub fn unmatched(&self) -> &[u64] {
        self.unmatched.get().map_or(&[], Vec::as_slice)
    }

    pub(super) fn took(&self, port: usize, rows: usize, queued: usize) {
        if let Some(counter) = self.rows_in.get(port) {
            counter.fetch_add(rows as u64, Relaxed);
        }
        if let Some(counter) = self.queued.get(port) {
            counter.store(queued as u64, Relaxed);
        }
    }

    pub(super) fn gave(&self, rows: usize) {
        self.rows_out.fetch_add(rows as u64, Relaxed);
    }

    pub(super) fn worked(&self, time: Duration) {
        self.busy_nanoseconds.fetch_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX), Relaxed);
    }

    pub(super) fn matched(&self, unmatched: Vec<u64>) {
        if !unmatched.is_empty() {
            // Set once, when the node is done.
            let _ = self.unmatched.set(unmatched);
        }
    }
}
