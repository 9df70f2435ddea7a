//! The stage that hands a stream's chunks to a writer.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anabranch_engine::chunk::arrow_schema;
use anabranch_engine::operator::Item;
use anabranch_engine::provenance::Origins;
use anabranch_engine::schema::StreamSchema;
use anabranch_engine::stage::{Stage, StageError, StageStep};
use futures::future::BoxFuture;

use super::{Finished, SinkError, WriteSpec, Writer};
use crate::arrived::Arrived;

/// Files that are complete but do not have their final names yet.
///
/// Filled by the sinks of a run, emptied by the run once everything has succeeded; a lock is held
/// for a push only.
#[derive(Debug, Clone, Default)]
pub struct Outbox(Arc<Mutex<Vec<Finished>>>);

impl Outbox {
    /// Returns every file its final name.
    ///
    /// Errors: the first that could not be; those after it keep no trace.
    pub fn publish(&self) -> Result<(), SinkError> {
        let finished = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        finished.into_iter().try_for_each(|file| file.publish().map(drop))
    }

    fn push(&self, file: Finished) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(file);
    }
}

/// Counters of a sink while it writes.
#[derive(Debug, Default)]
pub struct SinkCounters {
    /// Values that are `NaN` or infinite and were written as null or as a string to JSON lines.
    pub non_finite: AtomicU64,
}

/// A sink at work: gives no rows.
#[derive(Debug)]
pub struct SinkStage {
    writer: Option<Writer>,
    spec: WriteSpec,
    origins: Arc<Origins>,
    outbox: Outbox,
    counters: Arc<SinkCounters>,
    input: Arrived,
}

impl SinkStage {
    /// Begins a file for rows of that schema. Blocks for as long as it takes to create it.
    pub fn create(
        spec: &WriteSpec,
        schema: &StreamSchema,
        origins: Arc<Origins>,
        outbox: Outbox,
    ) -> Result<Self, SinkError> {
        let writer = Some(Writer::create(spec, &arrow_schema(schema, spec.columns))?);
        let (spec, counters) = (spec.clone(), Arc::default());
        Ok(Self { writer, spec, origins, outbox, counters, input: Arrived::default() })
    }

    /// Its counters.
    #[must_use]
    pub fn counters(&self) -> Arc<SinkCounters> {
        Arc::clone(&self.counters)
    }

    async fn work(&mut self) -> Result<StageStep, StageError> {
        let lost = || StageError::from("the file's writer is gone");
        if let Some(chunk) = self.input.take() {
            let mut writer = self.writer.take().ok_or_else(lost)?;
            let (origins, columns) = (Arc::clone(&self.origins), self.spec.columns);
            // Encoding and disk are no work for the runtime's threads.
            let written = tokio::task::spawn_blocking(move || -> Result<Writer, StageError> {
                writer.write(&chunk.to_batch(columns, &origins)?)?;
                Ok(writer)
            });
            let writer = written.await??;
            self.counters.non_finite.store(writer.non_finite(), Ordering::Relaxed);
            self.writer = Some(writer);
        }
        if !self.input.ended {
            return Ok(StageStep::NeedInput(vec![0]));
        }
        if let Some(writer) = self.writer.take() {
            let finished = tokio::task::spawn_blocking(move || writer.finish()).await??;
            self.outbox.push(finished);
        }
        Ok(StageStep::Done)
    }
}

impl Stage for SinkStage {
    fn accept(&mut self, _: usize, item: Item) -> Result<(), StageError> {
        self.input.accept(item);
        Ok(())
    }

    fn step(&mut self) -> BoxFuture<'_, Result<StageStep, StageError>> {
        Box::pin(self.work())
    }
}
