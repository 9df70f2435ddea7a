//! Counters of a function node.

use crate::Counter;

/// Counters of a function node while it runs.
///
/// Every row that came in and has its outcome is counted once: as computed, reused, skipped or set
/// aside. Attempts are not counted: a packet that succeeds at the third is computed once, and one
/// that fails for good is skipped or set aside and not computed.
#[derive(Debug, Default)]
pub struct FunctionCounters {
    /// Packets whose call ran and came to an outcome.
    pub computed: Counter,
    /// Rows served without a call: from the store, or from an equal packet of this run.
    pub reused: Counter,
    /// Rows that gave no packet, although nothing failed.
    pub dropped: Counter,
    /// Rows left out since their packet failed.
    pub skipped: Counter,
    /// Rows left out since their packet failed and was written down.
    pub set_aside: Counter,
}
