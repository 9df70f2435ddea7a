//! The caller's side of histories.

use std::sync::Arc;

use anabranch_engine::chunk::Chunk;
use anabranch_engine::provenance::Origins;
use anabranch_engine::store::{ReadError, RecordError, RecordLayout, Recorder as _, RecordingKey};

use super::Store;
use super::recorder::StoreRecorder;
use crate::recordings::histories::{History, HistoryStep, find};

/// The next recording of a history, being written.
#[derive(Debug)]
pub struct HistoryRecorder {
    recorder: StoreRecorder,
    step: HistoryStep,
}

impl HistoryRecorder {
    /// Appends rows.
    pub async fn append(&mut self, chunk: Chunk) -> Result<(), RecordError> {
        self.recorder.append(chunk, Vec::new()).await
    }

    /// Makes the recording complete and the newest of its history, durably; none, and no trace, if
    /// the history has moved on since.
    pub async fn complete(self) -> Result<Option<i64>, RecordError> {
        self.recorder.complete_step(self.step).await
    }
}

impl Store {
    /// Returns all that the source of that id has read so far. Blocks for a read.
    pub fn history(&self, source_id: &str) -> Result<Option<History>, ReadError> {
        Ok(find(&*self.reader()?, source_id)?)
    }

    /// Begins the next recording of a history; it is in the key's run as any other.
    pub async fn begin_history(
        &self,
        key: RecordingKey,
        layout: RecordLayout,
        origins: Arc<Origins>,
        step: HistoryStep,
    ) -> Result<HistoryRecorder, RecordError> {
        Ok(HistoryRecorder { recorder: self.begin_recording(key, layout, origins).await?, step })
    }
}
