//! Computing again, and comparing with the store: a certificate of what was checked.
//!
//! Rows pass functions with their stored outcomes, as in a forecast. Beside each function that is
//! verified, a second one takes the same rows, computes them and compares; nothing is written.

use std::time::Instant;

use anabranch_engine::clock::now_unix_millis;
use anabranch_engine::identity::Fingerprint;
use anabranch_nodes::function::{CacheMode, Difference};
use serde_json::{Value, json};

use super::drive;
use crate::graph::{NodeHandle, Pipeline};
use crate::node::{Mode, Node, NodeStats, VerifyMode};
use crate::plan::RunError;
use crate::store::Store;
use crate::store::run_id::format_time;

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
            "at": format_time(self.at_ms, "%Y-%m-%dT%H:%M:%SZ"),
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
        let mode = Mode::Verify(VerifyMode {
            store,
            pipeline: self.name(),
            settings: self.settings(),
            keeps_sources: false,
            only: options.node.map(|node| self.known(node)).transpose()?,
            sample: options.sample,
        });
        let stats = drive(self, &self.needed_until(options.node)?, &mode)?;
        let verified = self.nodes().zip(stats.iter());
        Ok(Certificate {
            pipeline: self.name().to_owned(),
            pipeline_hash: self.hash().0.to_string(),
            at_ms: now_unix_millis(),
            seconds: begun.elapsed().as_secs_f64(),
            sample: options.sample,
            nodes: verified.filter_map(|(node, stats)| verified_node(node, stats.as_ref()?)).collect(),
        })
    }
}

/// The result of a function node's verification; none of a node that was not verified.
fn verified_node(node: &Node, stats: &NodeStats) -> Option<VerifiedNode> {
    let (function, stats) = (&node.work.as_function()?.bound, stats.verify.as_ref()?);
    let stored = function.stored();
    Some(VerifiedNode {
        node: node.name.clone(),
        function: stored.name.clone(),
        fingerprint: stored.fingerprint.clone(),
        cached: function.cacheable() && node.cache != CacheMode::Off,
        rows: stats.sampled.rows(),
        without_result: stats.sampled.without(),
        equal: stats.differences.same(),
        different: stats.differences.different(),
        failed: stats.calls.skipped(),
        differences: stats.differences.found(),
    })
}
