//! Counters of a running node.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::index::At as _;

/// Counters of one node; written by its task, read by the display of progress.
#[derive(Debug)]
pub struct NodeMetrics {
    rows_in: Box<[AtomicU64]>,
    queued: Box<[AtomicU64]>,
    rows_out: AtomicU64,
    busy_nanoseconds: AtomicU64,
    // Written once by each machine, when it is done.
    unmatched: Mutex<Vec<u64>>,
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
            unmatched: Mutex::default(),
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
    pub fn unmatched(&self) -> Vec<u64> {
        self.unmatched.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The part of the counters that one of a node's machines adds.
///
/// All machines of a node are given the same rows, which count once; what they give and the time
/// they take adds up.
#[derive(Debug)]
pub(super) struct Tally {
    metrics: Arc<NodeMetrics>,
    /// Rows that this machine took at each port.
    taken: Vec<u64>,
}

impl Tally {
    pub(super) fn new(metrics: &Arc<NodeMetrics>) -> Self {
        Self { metrics: Arc::clone(metrics), taken: vec![0; metrics.rows_in.len()] }
    }

    pub(super) fn took(&mut self, port: usize, rows: usize, queued: usize) {
        let taken = self.taken.at_mut(port, "counted port");
        *taken += rows as u64;
        self.metrics.rows_in.at(port, "counted port").fetch_max(*taken, Relaxed);
        self.metrics.queued.at(port, "counted port").store(queued as u64, Relaxed);
    }

    pub(super) fn gave(&self, rows: usize) {
        self.metrics.rows_out.fetch_add(rows as u64, Relaxed);
    }

    pub(super) fn worked(&self, time: Duration) {
        let nanoseconds = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.metrics.busy_nanoseconds.fetch_add(nanoseconds, Relaxed);
    }

    pub(super) fn matched(&self, unmatched: &[u64]) {
        let mut sums = self.metrics.unmatched.lock().unwrap_or_else(PoisonError::into_inner);
        if sums.len() < unmatched.len() {
            sums.resize(unmatched.len(), 0);
        }
        for (sum, rows) in sums.iter_mut().zip(unmatched) {
            *sum += rows;
        }
    }
}
