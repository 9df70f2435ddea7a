//! Computing again, and comparing with the store: a certificate of what was checked.
//!
//! Rows pass functions with their stored outcomes, as in a forecast. Beside each function that is
//! verified, a second one takes the same rows, computes them and compares; nothing is written.

use std::sync::Arc;
use std::time::Instant;

use anabranch_engine::clock::now_unix_millis;
use anabranch_engine::driver::{NodeJob, NodeMetrics};
use anabranch_engine::identity::Fingerprint;
use anabranch_engine::provenance::Origins;
use anabranch_engine::spill::{FileArea, SpillBudget};
use anabranch_engine::stage::Running;
use anabranch_nodes::function::{
    BoundFunction, CacheMode, Difference, Differences, FailureSink, FunctionCounters, FunctionStage, OnError,
    SampleCounters, SampleStage, StageParts,
};
use serde_json::{Value, json};

use crate::forecast::Nothing;
use crate::pipeline::{Node, NodeHandle, Pipeline, Work};
use crate::run::RunError;
use crate::store::Store;

/// What is verified.
#[derive(Debug, Clone, Default)]
pub struct VerifyOptions {
    /// Only this function node; all of them if none is named.
    pub node: Option<NodeHandle>,
    /// At most so many packets of each function: those with the smallest hashes.
    pub sample: Option<usize>,
}

/// What was checked of a function node.
#[derive(Debug, Clone)]
pub struct VerifiedNode {
    /// The node.
    pub node: String,
    /// The function's name.
    pub function: String,
    /// Its fingerprint.
    pub fingerprint: Fingerprint,
    /// Whether its results are stored at all.
    pub cached: bool,
    /// Rows that came in.
    pub rows: u64,
    /// Rows whose packets have no result, or depend on one that is not there.
    pub without_result: u64,
    /// Packets that were computed again and are bit for bit what the store has.
    pub equal: u64,
    /// Packets that are not.
    pub different: u64,
    /// Packets whose call failed.
    pub failed: u64,
    /// The first differences, a thousand at most; without values.
    pub differences: Vec<Difference>,
}

/// What was checked, and what that found.
#[derive(Debug, Clone)]
pub struct Certificate {
    /// The pipeline.
    pub pipeline: String,
    /// The pipeline's identity, 64 hex digits.
    pub pipeline_hash: String,
    /// When, in milliseconds since 1970.
    pub at_ms: i64,
    /// How long it took.
    pub seconds: f64,
    /// Packets of each function that were chosen at most.
    pub sample: Option<usize>,
    /// What was checked of each function node.
    pub nodes: Vec<VerifiedNode>,
}

impl VerifiedNode {
    /// Packets that were computed again.
    #[must_use]
    pub fn checked(&self) -> u64 {
        self.equal + self.different + self.failed
    }

    fn to_json(&self) -> Value {
        let difference =
            |d: &Difference| json!({ "packet": d.packet.0.to_string(), "output": d.output, "row": d.row });
        json!({
            "node": self.node,
            "function": self.function,
            "fingerprint": self.fingerprint.digest().to_string(),
            "cached": self.cached,
            "rows": self.rows,
            "without_result": self.without_result,
            "checked": self.checked(),
            "equal": self.equal,
            "different": self.different,
            "failed": self.failed,
            "differences": self.differences.iter().map(difference).collect::<Vec<_>>(),
        })
    }
}

impl Certificate {
    /// Whether all that was checked is what the store has.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.nodes.iter().all(|node| node.different == 0 && node.failed == 0)
    }

    /// The certificate as the document of `verify --format json`.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let status = match self.nodes.iter().map(VerifiedNode::checked).sum::<u64>() {
            0 => "unchecked",
            _ if self.holds() => "equal",
            _ => "different",
        };
        json!({
            "status": status,
            "pipeline": self.pipeline,
            "pipeline_hash": self.pipeline_hash,
            "at": crate::format_time(self.at_ms, "%Y-%m-%dT%H:%M:%SZ"),
            "seconds": self.seconds,
            "version": env!("CARGO_PKG_VERSION"),
            "sample": self.sample,
            "nodes": self.nodes.iter().map(VerifiedNode::to_json).collect::<Vec<_>>(),
        })
    }
}

impl Pipeline {
    /// Computes packets again that have results, and compares. Writes nothing. Blocks.
    ///
    /// Memory: as a synchronous run, and a row for each packet of a sample.
    pub fn verify(&self, store: &Store, options: &VerifyOptions) -> Result<Certificate, RunError> {
        if let Some(recalled) = self.recalled(store)? {
            return recalled.verify(store, options);
        }
        let begun = Instant::now();
        let only = match options.node {
            Some(node) => {
                Some(self.index(node).ok_or_else(|| RunError::Foreign { pipeline: self.name().to_owned() })?)
            }
            None => None,
        };
        let checks = Checks { store, only, sample: options.sample, counted: std::cell::RefCell::default() };
        self.pass_with_checks(store, options.node, &checks)?;
        let nodes = checks.counted.into_inner();
        Ok(Certificate {
            pipeline: self.name().to_owned(),
            pipeline_hash: self.hash().0.to_string(),
            at_ms: now_unix_millis(),
            seconds: begun.elapsed().as_secs_f64(),
            sample: options.sample,
            nodes: nodes.iter().filter_map(|counted| counted.told(self)).collect(),
        })
    }
}

/// Function nodes that are verified beside a forecast.
pub(crate) struct Checks<'a> {
    store: &'a Store,
    only: Option<usize>,
    sample: Option<usize>,
    counted: std::cell::RefCell<Vec<Counted>>,
}

/// What is counted of one of them.
struct Counted {
    node: usize,
    sampled: Arc<SampleCounters>,
    calls: Arc<FunctionCounters>,
    differences: Arc<Differences>,
}

impl Counted {
    fn told(&self, pipeline: &Pipeline) -> Option<VerifiedNode> {
        let node = pipeline.at(self.node)?;
        let Work::Function(function) = &node.work else { return None };
        let stored = function.stored();
        Some(VerifiedNode {
            node: node.name.clone(),
            function: stored.name.clone(),
            fingerprint: stored.fingerprint.clone(),
            cached: function.cacheable() && node.cache != CacheMode::Off,
            rows: self.sampled.rows(),
            without_result: self.sampled.without(),
            equal: self.differences.same(),
            different: self.differences.different(),
            failed: self.calls.skipped(),
            differences: self.differences.found(),
        })
    }
}

impl Checks<'_> {
    /// Adds what verifies a function node to the jobs; its input is at `input` among them.
    pub(crate) fn push(
        &self,
        jobs: &mut Vec<NodeJob>,
        pipeline: &Pipeline,
        (at, node, function): (usize, &Node, &Arc<BoundFunction>),
        input: usize,
        origins: &Arc<Origins>,
    ) {
        if self.only.is_some_and(|only| only != at) {
            return;
        }
        let counted =
            Counted { node: at, sampled: Arc::default(), calls: Arc::default(), differences: Arc::default() };
        let sampled = Arc::clone(&counted.sampled);
        let sample = SampleStage::new(Arc::clone(function), self.store.results(), sampled, self.sample);
        let mut calls = node.knobs.calls(pipeline.settings());
        // A call that fails now has no result to be compared with; the others are still checked.
        calls.on_error = OnError::Skip;
        let compare = FunctionStage::new(StageParts {
            function: Arc::clone(function),
            cache: CacheMode::Verify,
            calls,
            results: self.store.results(),
            recorder: None,
            failures: FailureSink {
                store: self.store.failures(),
                run: String::new(),
                pipeline: pipeline.name().to_owned(),
                node: node.name.clone(),
            },
            origins: Arc::clone(origins),
            counters: Arc::clone(&counted.calls),
            differences: Arc::clone(&counted.differences),
            // Nothing is committed.
            authors: Arc::default(),
        });
        let spill = SpillBudget::new(0);
        let mut add = |input: usize, running: Running| {
            jobs.push(NodeJob {
                name: node.name.as_str().into(),
                inputs: vec![input],
                running,
                spill: Box::new(FileArea::new(&std::env::temp_dir(), &spill)),
                metrics: Arc::new(NodeMetrics::new(1)),
            });
            jobs.len() - 1
        };
        let sample = add(input, Running::Stage(Box::new(sample)));
        let compare = add(sample, Running::Stage(Box::new(compare)));
        add(compare, Running::Stage(Box::new(Nothing::new(1))));
        self.counted.borrow_mut().push(counted);
    }
}
