//! What each node of a run does: its work, nothing, or serving what an earlier run recorded.

use std::sync::Arc;

use anabranch_engine::chunk::Chunk;
use anabranch_engine::provenance::Origins;
use anabranch_engine::stage::{ChunkReader, StageError};
use anabranch_engine::store::StoreError;
use anabranch_nodes::recording::RecordMode;
use anabranch_storage::{RecordingInfo, RecordingReader};

use crate::pipeline::{Node, Pipeline, Work};
use crate::run::RunOptions;
use crate::store::Store;

/// What a node does in a run.
pub(crate) enum Duty {
    /// Nobody needs its rows.
    Nothing,
    /// Its work.
    Run,
    /// Its rows are those of a recording.
    Serve(Box<RecordingInfo>),
}

/// The duties of all nodes, in their order; `needed` says which could have one.
///
/// What is asked for runs, or is served where a recording can stand for it; and so on with the
/// inputs of what runs. So a node that only feeds served ones has nothing to do.
pub(crate) fn duties(
    pipeline: &Pipeline,
    store: &Store,
    options: &RunOptions,
    needed: &[bool],
) -> Result<Vec<Duty>, StoreError> {
    let mut duties: Vec<Duty> = needed.iter().map(|_| Duty::Nothing).collect();
    let mut wanted = roots(pipeline, options, needed);
    let nodes: Vec<&Node> = pipeline.nodes().collect();
    // Inputs stand before their consumers.
    for (at, node) in nodes.iter().enumerate().rev() {
        if !wanted.get(at).is_some_and(|wanted| *wanted) {
            continue;
        }
        let duty = match recorded(node, store, options)? {
            Some(recording) => Duty::Serve(Box::new(recording)),
            None => Duty::Run,
        };
        if matches!(duty, Duty::Run) {
            for input in &node.inputs {
                if let Some(wanted) = wanted.get_mut(*input) {
                    *wanted = true;
                }
            }
        }
        if let Some(place) = duties.get_mut(at) {
            *place = duty;
        }
    }
    Ok(duties)
}

/// The needed nodes that no needed one reads from, and those whose rows are asked for by name.
fn roots(pipeline: &Pipeline, options: &RunOptions, needed: &[bool]) -> Vec<bool> {
    let mut roots = needed.to_vec();
    for (node, _) in pipeline.nodes().zip(needed).filter(|(_, needed)| **needed) {
        for input in &node.inputs {
            if let Some(root) = roots.get_mut(*input) {
                *root = false;
            }
        }
    }
    for asked in options.outputs.iter().filter_map(|(handle, _)| pipeline.index(*handle)) {
        if let Some(root) = roots.get_mut(asked) {
            *root = true;
        }
    }
    roots
}

/// The recording that stands for a node in this run.
fn recorded(node: &Node, store: &Store, options: &RunOptions) -> Result<Option<RecordingInfo>, StoreError> {
    let replays = node.record == RecordMode::Replay && matches!(node.work, Work::Operator(_));
    if !replays || options.no_reuse || options.limit.is_some() {
        return Ok(None);
    }
    let contract = &node.contract;
    // A hash does not tell of nullability, nor of an order that an earlier version did not promise,
    // nor of what an earlier version understood by an expression or found in a file.
    let fits = |r: &RecordingInfo| {
        let of_now = r.revisions.as_ref() == Some(&node.identity.revisions);
        of_now && *r.schema == *contract.schema && (r.ordered || !contract.ordered)
    };
    Ok(store.recordings_of(&node.identity.content_hash)?.into_iter().find(fits))
}

/// Why a node that runs was not served from a recording, where it asks for that.
pub(crate) fn ran_because(node: &Node, options: &RunOptions) -> Option<&'static str> {
    if node.record != RecordMode::Replay || !matches!(node.work, Work::Operator(_)) {
        return None;
    }
    Some(if options.no_reuse {
        "nothing is reused in this run: it ran and was recorded anew"
    } else if options.limit.is_some() {
        "a limited run neither reads nor keeps a recording: it ran"
    } else {
        "no recording stands for it as it is now: it ran and was recorded, and the next run is served from that"
    })
}

/// A recording as a source of chunks.
struct Served(RecordingReader);

impl ChunkReader for Served {
    fn next(&mut self) -> Result<Option<Chunk>, StageError> {
        Ok(self.0.next().transpose()?)
    }
}

impl Store {
    /// A recording as the rows of a node of a run with that origin table.
    pub(crate) fn served(
        &self,
        recording: &RecordingInfo,
        origins: &Arc<Origins>,
    ) -> Result<Box<dyn ChunkReader>, StoreError> {
        Ok(Box::new(Served(self.open_recording_into(recording, Arc::clone(origins))?)))
    }
}
