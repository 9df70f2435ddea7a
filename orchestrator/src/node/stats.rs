//! Counters of each node while it runs, and the summary made from them.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use anabranch_engine::driver::NodeMetrics;
use anabranch_nodes::function::{
    Difference, Differences, ForecastCounters, FunctionCounters, SampleCounters,
};
use anabranch_nodes::sink::SinkCounters;
use serde::Serialize;
use serde_json::{Value, json};

/// Counts of a function node in a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FunctionSummary {
    /// Calls that ran.
    pub computed: u64,
    /// Rows served without a call.
    pub reused: u64,
    /// Rows that gave no packet.
    pub dropped: u64,
    /// Rows set aside.
    pub set_aside: u64,
    /// Rows skipped.
    pub skipped: u64,
    /// Result of the comparison with the store, where results were compared.
    pub verified: Option<VerifySummary>,
}

/// Result of comparing a function's results with the store, in packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct VerifySummary {
    /// Packets whose outcome is bit for bit the same.
    pub same: u64,
    /// Packets whose outcome differs.
    pub different: u64,
    /// Packets that the store has no result of.
    pub unverified: u64,
}

/// Counts of a node in a run.
#[derive(Debug, Clone, PartialEq)]
pub struct NodeSummary {
    /// Its name.
    pub name: String,
    /// Its kind.
    pub kind: &'static str,
    /// Rows taken, per input.
    pub rows_in: Vec<u64>,
    /// Rows given.
    pub rows_out: u64,
    /// True if its rows came from a recording instead of its work.
    pub replayed: bool,
    /// For a node that is served from its recording where possible, the reason why it ran.
    pub ran_because: Option<&'static str>,
    /// For a function node, its calls.
    pub function: Option<FunctionSummary>,
    /// For a function node, true if its rows are recorded, provided that the run has succeeded.
    pub recorded: bool,
    /// For a join, rows without a match, per input.
    pub unmatched: Vec<u64>,
    /// For a sink of JSON lines, values that are NaN or infinite and were written as null or as a string.
    pub non_finite: u64,
    /// Time spent in its own steps.
    pub seconds: f64,
}

/// Counts of a node so far.
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
pub(crate) struct NodeStats {
    pub(crate) name: String,
    pub(crate) kind: &'static str,
    pub(crate) metrics: Arc<NodeMetrics>,
    pub(crate) function: Option<FunctionStats>,
    pub(crate) sink: Option<Arc<SinkCounters>>,
    /// True if its rows come from a recording.
    pub(crate) replayed: bool,
    /// The reason why it ran although a recording could have served it.
    pub(crate) ran_because: Option<&'static str>,
    /// In a forecast, the look-ups of a function node.
    pub(crate) forecast: Option<Arc<ForecastCounters>>,
    /// In a verification, the packets that were computed again.
    pub(crate) verify: Option<VerifyStats>,
}

/// Counters of a function node.
#[derive(Clone, Default)]
pub(crate) struct FunctionStats {
    pub(crate) counters: Arc<FunctionCounters>,
    pub(crate) differences: Arc<Differences>,
    /// True if results are compared with the store.
    pub(crate) verifies: bool,
    /// True if its rows are recorded.
    pub(crate) recorded: bool,
}

impl FunctionStats {
    fn summary(&self) -> FunctionSummary {
        let counters = &self.counters;
        let found = &self.differences;
        FunctionSummary {
            computed: counters.computed.get(),
            reused: counters.reused.get(),
            dropped: counters.dropped.get(),
            set_aside: counters.set_aside.get(),
            skipped: counters.skipped.get(),
            verified: self.verifies.then(|| VerifySummary {
                same: found.same.get(),
                different: found.different.get(),
                unverified: found.unverified.get(),
            }),
        }
    }
}

/// Counters of a function node that is verified.
#[derive(Clone, Default)]
pub(crate) struct VerifyStats {
    pub(crate) sampled: Arc<SampleCounters>,
    pub(crate) calls: Arc<FunctionCounters>,
    pub(crate) differences: Arc<Differences>,
}

impl NodeStats {
    pub(crate) fn new(name: &str, kind: &'static str, metrics: Arc<NodeMetrics>) -> Self {
        Self {
            name: name.to_owned(),
            kind,
            metrics,
            function: None,
            sink: None,
            replayed: false,
            ran_because: None,
            forecast: None,
            verify: None,
        }
    }

    pub(crate) fn progress(&self) -> NodeProgress {
        NodeProgress {
            name: self.name.clone(),
            kind: self.kind,
            rows_in: self.metrics.rows_in().iter().sum(),
            rows_out: self.metrics.rows_out(),
            reused: self.function.as_ref().map(|f| f.counters.reused.get()),
            computed: self.function.as_ref().map(|f| f.counters.computed.get()),
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
            function: self.function.as_ref().map(FunctionStats::summary),
            recorded: self.function.as_ref().is_some_and(|function| function.recorded),
            unmatched: self.metrics.unmatched(),
            non_finite: self.sink.as_ref().map_or(0, |sink| sink.non_finite.load(Relaxed)),
            seconds: self.metrics.busy().as_secs_f64(),
        }
    }
}

impl NodeSummary {
    /// The part of the document of `run --format json` that is about this node.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let count = |count: fn(FunctionSummary) -> u64| self.function.map(|function| json!(count(function)));
        let verified = self.function.and_then(|function| function.verified);
        let fields = [
            ("name", Some(json!(self.name))),
            ("kind", Some(json!(self.kind))),
            ("rows_in", Some(json!(self.rows_in))),
            ("rows_out", Some(json!(self.rows_out))),
            ("replayed", self.replayed.then_some(json!(true))),
            ("ran_because", self.ran_because.map(Value::from)),
            ("reused", count(|function| function.reused)),
            ("computed", count(|function| function.computed)),
            ("dropped", count(|function| function.dropped)),
            ("set_aside", count(|function| function.set_aside)),
            ("skipped", count(|function| function.skipped)),
            ("recorded", self.function.map(|_| json!(self.recorded))),
            ("verified", verified.map(|verified| json!(verified))),
            ("unmatched", (!self.unmatched.is_empty()).then(|| json!(self.unmatched))),
            ("non_finite", (self.non_finite > 0).then(|| json!(self.non_finite))),
            ("seconds", Some(json!(rounded(self.seconds)))),
        ];
        present(fields)
    }
}

/// Returns a document of the fields that have a value.
pub(crate) fn present<const N: usize>(fields: [(&str, Option<Value>); N]) -> Value {
    fields.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

/// Seconds to the microsecond: further digits are noise.
pub(crate) fn rounded(seconds: f64) -> f64 {
    (seconds * 1e6).round() / 1e6
}

/// Differences between a node's results and those of the store.
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

/// Returns true if all verified results equal those of the store.
pub(crate) fn differences(stats: &[NodeStats]) -> Result<(), Vec<NodeDifferences>> {
    let differences = stats.iter().filter_map(|node| {
        let found = &node.function.as_ref()?.differences;
        (found.different.get() > 0).then(|| NodeDifferences {
            node: node.name.clone(),
            compared: found.same.get() + found.different.get(),
            different: found.different.get(),
            found: found.found(),
        })
    });
    let differences: Vec<_> = differences.collect();
    if differences.is_empty() { Ok(()) } else { Err(differences) }
}

/// Differences in words; each node's first ones are named.
pub(crate) fn describe_differences(differences: &[NodeDifferences]) -> String {
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
