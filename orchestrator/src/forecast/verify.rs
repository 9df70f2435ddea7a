//! Verification: results are computed again and compared with the store, and a certificate lists the checks.
//!
//! Functions emit rows with their stored outcomes, as in a forecast. Beside each function that is verified, a second
//! entry reads the same rows, computes them and compares; nothing is written.

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

/// Options of a verification.
#[derive(Debug, Clone, Default)]
pub struct VerifyOptions {
    /// The only function node to verify; all of them if none is named.
    pub node: Option<NodeHandle>,
    /// Maximum number of packets of each function: those with the smallest hashes.
    pub sample: Option<usize>,
}

/// Result of verifying a function node.
#[derive(Debug, Clone)]
pub struct VerifiedNode {
    /// The node.
    pub node: String,
    /// The function's name.
    pub function: String,
    /// Its fingerprint.
    pub fingerprint: Fingerprint,
    /// True if its results are stored at all.
    pub cached: bool,
    /// Rows read.
    pub rows: u64,
    /// Rows whose packets have no result, or depend on a missing one.
    pub without_result: u64,
    /// Packets that were computed again and equal the stored ones bit for bit.
    pub equal: u64,
    /// Packets that differ from the stored ones.
    pub different: u64,
    /// Packets whose call failed.
    pub failed: u64,
    /// The first differences, a thousand at most; without values.
    pub differences: Vec<Difference>,
}

/// The result of a verification.
#[derive(Debug, Clone)]
pub struct Certificate {
    /// The pipeline.
    pub pipeline: String,
    /// The pipeline's identity, 64 hex digits.
    pub pipeline_hash: String,
    /// Time of the verification, in milliseconds since 1970.
    pub at_ms: i64,
    /// Duration.
    pub seconds: f64,
    /// Maximum number of packets of each function that were chosen.
    pub sample: Option<usize>,
    /// Results of the function nodes.
    pub nodes: Vec<VerifiedNode>,
}

impl VerifiedNode {
    /// Returns the number of packets that were computed again.
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
    /// Returns true if all checked packets equal the stored ones.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.nodes.iter().all(|node| node.different == 0 && node.failed == 0)
    }

    /// Returns the certificate as the document of `verify --format json`.
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
    /// Computes packets that have results again and compares them. Writes nothing. Blocks.
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

/// Returns the result of a function node's verification; none for a node that was not verified.
fn verified_node(node: &Node, stats: &NodeStats) -> Option<VerifiedNode> {
    let (function, stats) = (&node.work.as_function()?.bound, stats.verify.as_ref()?);
    let stored = &function.stored;
    Some(VerifiedNode {
        node: node.name.clone(),
        function: stored.name.clone(),
        fingerprint: stored.fingerprint.clone(),
        cached: function.cacheable && node.cache != CacheMode::Off,
        rows: stats.sampled.rows.get(),
        without_result: stats.sampled.without.get(),
        equal: stats.differences.same.get(),
        different: stats.differences.different.get(),
        failed: stats.calls.skipped.get(),
        differences: stats.differences.found(),
    })
}
