//! Recordings of nodes that are no functions: the stage that writes down what passes it.

use anabranch_engine::operator::Item;
use anabranch_engine::stage::{Stage, StageError, StageStep};
use anabranch_engine::store::Recorder;
use futures::future::BoxFuture;

use crate::arrived::Arrived;

/// True if an operator's rows are kept, and whether kept ones are served instead of running it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RecordMode {
    /// Neither.
    #[default]
    Off,
    /// Every run keeps the rows.
    Log,
    /// The newest complete recording of the same content hash is served; where there is none, the
    /// operator runs and its rows are kept.
    Replay,
}

/// Writes down every chunk that passes, and completes the recording once its input has ended.
///
/// A chunk is given on only after the recorder has taken it, and the end only after the recording
/// is complete. Dropped before that, it leaves nothing that looks whole.
pub struct RecordingStage {
    recorder: Option<Box<dyn Recorder>>,
    input: Arrived,
}

impl std::fmt::Debug for RecordingStage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RecordingStage").field("input", &self.input).finish_non_exhaustive()
    }
}

impl RecordingStage {
    /// A stage that fills a recording which has begun.
    #[must_use]
    pub fn new(recorder: Box<dyn Recorder>) -> Self {
        Self { recorder: Some(recorder), input: Arrived::default() }
    }

    async fn work(&mut self) -> Result<StageStep, StageError> {
        if let Some(chunk) = self.input.take() {
            let Some(recorder) = &mut self.recorder else {
                return Err("rows came after the end of a recording".into());
            };
            recorder.append(chunk.clone(), Vec::new()).await?;
            return Ok(StageStep::Output(chunk));
        }
        if !self.input.ended {
            return Ok(StageStep::NeedInput(vec![0]));
        }
        if let Some(recorder) = self.recorder.take() {
            recorder.complete().await?;
        }
        Ok(StageStep::Done)
    }
}

impl Stage for RecordingStage {
    fn accept(&mut self, _: usize, item: Item) -> Result<(), StageError> {
        self.input.accept(item);
        Ok(())
    }

    fn step(&mut self) -> BoxFuture<'_, Result<StageStep, StageError>> {
        Box::pin(self.work())
    }
}
