//! Identities of nodes, made from their own structure and those of their inputs.

use anabranch_engine::identity::{ContentHash, Digest, PipelineHash, Revisions, Structure};
use anabranch_engine::operator::InputOrder;

use super::Node;

/// Features by which a node is recognized in another run.
#[derive(Clone)]
pub(crate) struct Identity {
    pub(crate) pipeline_hash: PipelineHash,
    pub(crate) content_hash: ContentHash,
    /// Hash of the node's own code and of all nodes above it.
    pub(crate) revisions: Revisions,
}

impl Identity {
    /// Returns the identity of a node with inputs; `identify` writes the node's own structure.
    pub(crate) fn derived(inputs: &[&Node], order: InputOrder, identify: impl Fn(&mut Structure)) -> Self {
        let tree = |mut inputs: Vec<Digest>| {
            if order == InputOrder::Commutative {
                inputs.sort_unstable();
            }
            let mut structure = Structure::new("node");
            identify(&mut structure);
            structure.list(inputs.len());
            for hash in &inputs {
                structure.digest(hash);
            }
            structure.finish()
        };
        let pipeline = tree(inputs.iter().map(|node| node.identity.pipeline_hash.0).collect());
        let content = tree(inputs.iter().map(|node| node.identity.content_hash.0).collect());
        let mut revisions = Revisions::default();
        for node in inputs {
            revisions.add(&node.identity.revisions);
        }
        Self { pipeline_hash: PipelineHash(pipeline), content_hash: ContentHash(content), revisions }
    }
}
