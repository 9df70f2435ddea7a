//! Recordings: reading the rows of an earlier run in place of a node's work, and writing new ones.

use std::sync::Arc;

use anabranch_engine::chunk::Chunk;
use anabranch_engine::provenance::Origins;
use anabranch_engine::stage::{ChunkReader, Running, StageError};
use anabranch_engine::store::{RecordError, RecordLayout, Recorder, RecordingKey};
use anabranch_nodes::function::BoundFunction;

use super::{JobBuilder, LowerError, Lowered, Node, RunMode};
use crate::store::block_on::block_on;
use crate::store::{RecordingInfo, RecordingReader, Store};

/// Adds the rows of a recording in place of a node's work.
pub(crate) fn lower_recording(
    node: &Node,
    recording: &RecordingInfo,
    store: &Store,
    job: &mut JobBuilder<'_>,
) -> Result<Lowered, LowerError> {
    let reader = store
        .inner()
        .open_recording_into(recording, Arc::clone(&job.origins))
        .map_err(|e| LowerError::Store(e.into()))?;
    let mut lowered = job.push_node(node, &[], Running::Source(Box::new(RecordedRows(reader))));
    lowered.stats.replayed = true;
    Ok(lowered)
}

/// A recording as a source of chunks.
struct RecordedRows(RecordingReader);

impl ChunkReader for RecordedRows {
    fn next(&mut self) -> Result<Option<Chunk>, StageError> {
        Ok(self.0.next().transpose()?)
    }
}

impl RunMode<'_> {
    /// Returns the key of a node's recording in this run.
    pub(super) fn key(&self, node: &Node) -> RecordingKey {
        RecordingKey {
            pipeline: self.pipeline.to_owned(),
            node: node.name.clone(),
            content: node.identity.content_hash,
            pipeline_hash: node.identity.pipeline_hash,
            run: self.run_id.to_owned(),
            revisions: node.identity.revisions.clone(),
        }
    }

    /// Begins the recording of a node's rows.
    pub(super) fn recorder(
        &self,
        node: &Node,
        function: Option<&Arc<BoundFunction>>,
        origins: &Arc<Origins>,
    ) -> Result<Box<dyn Recorder>, RecordError> {
        let layout = RecordLayout {
            schema: Arc::clone(&node.contract.schema),
            ordered: node.contract.ordered,
            function: function.map(|function| Arc::clone(&function.stored)),
        };
        block_on(self.store.recordings().begin(self.key(node), layout, Arc::clone(origins)))
    }
}
