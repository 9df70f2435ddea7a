//! What is counted of each node while it runs, and what is told of it.

use std::fmt::Write as _;
use std::sync::Arc;

use anabranch_engine::driver::NodeMetrics;
use anabranch_nodes::function::{Difference, Differences, FunctionCounters};
use anabranch_nodes::sink::SinkCounters;

use crate::summary::{FunctionSummary, NodeSummary, VerifySummary};

/// What a node has done so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeProgress {
    /// Its name.
    pub name: String,
    /// Its kind.
    pub kind: &'static str,
    /// Rows taken, all inputs together.
    pub rows_in: u64,
    /// Rows given.
    pub rows_out: u64,
    /// For a function node, rows served without a call.
    pub reused: Option<u64>,
    /// For a function node, calls that ran.
    pub computed: Option<u64>,
    /// Chunks that wait, per input.
    pub queued: Vec<u64>,
}

/// Counters of a node of a run.
pub(crate) struct Counted {
    pub(crate) name: String,
    pub(crate) kind: &'static str,
    pub(crate) metrics: Arc<NodeMetrics>,
    pub(crate) function: Option<FunctionCounted>,
    pub(crate) sink: Option<Arc<SinkCounters>>,
    /// Whether its rows come from a recording.
    pub(crate) replayed: bool,
    /// Why it ran although a recording could have served it.
    pub(crate) ran_because: Option<&'static str>,
}

/// Counters of a function node.
#[derive(Clone, Default)]
pub(crate) struct FunctionCounted {
    pub(crate) counters: Arc<FunctionCounters>,
    pub(crate) differences: Arc<Differences>,
    /// Whether results are compared with the store.
    pub(crate) verifies: bool,
    /// Whether the rows that it gives are recorded.
    pub(crate) recorded: bool,
}

impl FunctionCounted {
    fn summary(&self) -> FunctionSummary {
        let counters = &self.counters;
        let found = &self.differences;
        FunctionSummary {
            computed: counters.computed(),
            reused: counters.reused(),
            dropped: counters.dropped(),
            set_aside: counters.set_aside(),
            skipped: counters.skipped(),
            verified: self.verifies.then(|| VerifySummary {
                same: found.same(),
                different: found.different(),
                unverified: found.unverified(),
            }),
        }
    }
}

impl Counted {
    pub(crate) fn progress(&self) -> NodeProgress {
        NodeProgress {
            name: self.name.clone(),
            kind: self.kind,
            rows_in: self.metrics.rows_in().iter().sum(),
            rows_out: self.metrics.rows_out(),
            reused: self.function.as_ref().map(|f| f.counters.reused()),
            computed: self.function.as_ref().map(|f| f.counters.computed()),
            queued: self.metrics.queued(),
        }
    }

    pub(crate) fn summary(&self) -> NodeSummary {
        NodeSummary {
            name: self.name.clone(),
            kind: self.kind,
            rows_in: self.metrics.rows_in(),
            rows_out: self.metrics.rows_out(),
            replayed: self.replayed,
            ran_because: self.ran_because,
            function: self.function.as_ref().map(FunctionCounted::summary),
            recorded: self.function.as_ref().is_some_and(|function| function.recorded),
            unmatched: self.metrics.unmatched(),
            non_finite: self.sink.as_ref().map_or(0, |sink| sink.non_finite()),
            seconds: self.metrics.busy().as_secs_f64(),
        }
    }
}

/// How a node's results differ from those of the store.
#[derive(Debug, Clone)]
pub struct NodeDifferences {
    /// The node.
    pub node: String,
    /// Packets that were compared.
    pub compared: u64,
    /// Packets that differ.
    pub different: u64,
    /// The first differences, a thousand at most; without values.
    pub found: Vec<Difference>,
}

/// Whether all that was verified is as the store has it.
pub(crate) fn check(counted: &[Counted]) -> Result<(), Vec<NodeDifferences>> {
    let differences = counted.iter().filter_map(|node| {
        let found = &node.function.as_ref()?.differences;
        (found.different() > 0).then(|| NodeDifferences {
            node: node.name.clone(),
            compared: found.same() + found.different(),
            different: found.different(),
            found: found.found(),
        })
    });
    let differences: Vec<_> = differences.collect();
    if differences.is_empty() { Ok(()) } else { Err(differences) }
}

/// Differences in words; each node's first ones are named.
pub(crate) fn told(differences: &[NodeDifferences]) -> String {
    const NAMED: usize = 5;
    let each = differences.iter().map(|node| {
        let mut text = format!(
            "node \"{}\": {} of {} packets were computed otherwise than the store has them",
            node.node, node.different, node.compared
        );
        for (at, difference) in node.found.iter().take(NAMED).enumerate() {
            let what = match &difference.output {
                Some(output) => format!("output \"{output}\""),
                None => "given or dropped".to_owned(),
            };
            let before = if at == 0 { ": " } else { ", " };
            let packet = difference.packet.0.hex(12);
            // Writing to a string cannot fail.
            let _ = match difference.row.as_str() {
                "" => write!(text, "{before}{packet} in {what}"),
                row => write!(text, "{before}{packet} (\"{row}\") in {what}"),
            };
        }
        if node.found.len() > NAMED {
            text.push_str(", ...");
        }
        text
    });
    let text = each.collect::<Vec<_>>().join("; ");
    format!("{text}; the store was left as it is, run with cache: refresh to make the new results current")
}
