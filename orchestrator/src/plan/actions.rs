//! Actions of the nodes of a run: their work, nothing, or the rows of an earlier run.

use anabranch_engine::store::StoreError;
use anabranch_nodes::recording::RecordMode;

use super::RunOptions;
use crate::graph::Pipeline;
use crate::node::{Node, PerNode};
use crate::store::{RecordingInfo, Store};

/// The action of a node.
#[derive(Clone)]
pub(crate) enum NodeAction {
    /// Its rows are not needed.
    Skip,
    /// It does its work.
    Run,
    /// Its rows are read from a recording in this store.
    Reuse(Box<RecordingInfo>, Store),
}

/// Returns the actions of all nodes of a run; `needed` marks those that could have one.
///
/// A node whose rows are needed runs, or is reused where a recording can replace it. The rows of a node are needed
/// if a node that runs reads them, so a node that feeds only reused ones is skipped.
pub(crate) fn actions(
    pipeline: &Pipeline,
    store: &Store,
    options: &RunOptions,
    needed: &PerNode<bool>,
) -> Result<PerNode<NodeAction>, StoreError> {
    let mut actions = pipeline.per_node(|_| NodeAction::Skip);
    let mut wanted = roots(pipeline, options, needed);
    // Inputs stand before their consumers.
    for index in pipeline.indices_of_nodes().rev().filter(|index| needed[*index]) {
        if !wanted[index] {
            continue;
        }
        let node = pipeline.at(index);
        if let Some(recording) = recorded(node, store, options)? {
            actions[index] = NodeAction::Reuse(Box::new(recording), store.clone());
            continue;
        }
        actions[index] = NodeAction::Run;
        for input in &node.inputs {
            wanted[*input] = true;
        }
    }
    Ok(actions)
}

/// Returns the needed nodes that no needed one reads from, and those whose rows are written beside the sinks.
fn roots(pipeline: &Pipeline, options: &RunOptions, needed: &PerNode<bool>) -> PerNode<bool> {
    let mut roots = needed.clone();
    for index in pipeline.indices_of_nodes().filter(|index| needed[*index]) {
        for input in &pipeline.at(index).inputs {
            roots[*input] = false;
        }
    }
    for written in options.outputs.iter().filter_map(|(handle, _)| pipeline.index(*handle)) {
        roots[written] = true;
    }
    roots
}

/// Returns the recording that replaces a node in this run.
fn recorded(node: &Node, store: &Store, options: &RunOptions) -> Result<Option<RecordingInfo>, StoreError> {
    if node.record != RecordMode::Replay || options.no_reuse || options.limit.is_some() {
        return Ok(None);
    }
    let contract = &node.contract;
    // A hash does not include nullability, an order that an earlier version did not promise, or the revisions of
    // expressions and of source reading.
    let fits = |r: &RecordingInfo| {
        let of_now = r.revisions.as_ref() == Some(&node.identity.revisions);
        of_now && *r.schema == *contract.schema && (r.ordered || !contract.ordered)
    };
    Ok(store.inner().recordings_of(&node.identity.content_hash)?.into_iter().find(fits))
}
