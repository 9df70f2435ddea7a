//! The caller's side of a recording being written.

use std::collections::VecDeque;
use std::sync::Arc;

use anabranch_engine::chunk::Chunk;
use anabranch_engine::store::{InputLineage, RecordError, Recorder, ResultId, StoreFault, StoreProblem};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio::sync::oneshot;

use super::Threads;
use super::jobs::{Ticket, WriteJob, queue, submit};
use crate::recordings::histories::HistoryStep;
use crate::results::result_ref::ResultRef;

/// Appends whose outcome need not be known before the next one is sent.
const IN_FLIGHT: usize = 2;

/// Sends rows to the writer; a failed write is reported by a later call, by `complete` at the
/// latest.
#[derive(Debug)]
pub(crate) struct StoreRecorder {
    threads: Arc<Threads>,
    ticket: Ticket,
    number: u64,
    /// While it lives, the writer keeps the recording.
    alive: Arc<()>,
    in_flight: VecDeque<oneshot::Receiver<Result<(), RecordError>>>,
    /// True if rows may have been lost, since an append was dropped half-way.
    torn: bool,
}

impl StoreRecorder {
    pub(crate) fn new(threads: Arc<Threads>, ticket: Ticket, number: u64, alive: Arc<()>) -> Self {
        Self { threads, ticket, number, alive, in_flight: VecDeque::new(), torn: false }
    }

    fn check(&self) -> Result<(), RecordError> {
        if self.torn {
            return Err(RecordError::Torn {});
        }
        Ok(())
    }

    /// Completes a recording that is a history's next; none if the history has moved on since.
    pub(crate) async fn complete_step(mut self, step: HistoryStep) -> Result<Option<i64>, RecordError> {
        self.wait_for_all_but(0).await?;
        self.check()?;
        let job = |answer| WriteJob::CompleteStep(self.ticket, step, answer);
        submit(&self.threads.writer, job).await
    }

    /// Waits until at most so many appends are in flight; an error is that of the oldest.
    async fn wait_for_all_but(&mut self, left: usize) -> Result<(), RecordError> {
        while self.in_flight.len() > left {
            let Some(oldest) = self.in_flight.front_mut() else { break };
            let outcome = oldest.await;
            self.in_flight.pop_front();
            outcome.map_err(|_| StoreFault::from(StoreProblem::Stopped))??;
        }
        Ok(())
    }
}

impl Recorder for StoreRecorder {
    fn append(&mut self, chunk: Chunk, references: Vec<ResultId>) -> BoxFuture<'_, Result<(), RecordError>> {
        self.append_traced(chunk, references, InputLineage::default())
    }

    fn number(&self) -> Option<u64> {
        Some(self.number)
    }

    fn append_traced(
        &mut self,
        chunk: Chunk,
        references: Vec<ResultId>,
        taken: InputLineage,
    ) -> BoxFuture<'_, Result<(), RecordError>> {
        async move {
            self.check()?;
            self.torn = true;
            self.wait_for_all_but(IN_FLIGHT - 1).await?;
            let references = references.into_iter().map(ResultRef::from).collect();
            let job = |answer| WriteJob::Append(self.ticket, chunk, references, taken, answer);
            self.in_flight.push_back(queue(&self.threads.writer, job).await?);
            self.torn = false;
            Ok(())
        }
        .boxed()
    }

    fn complete(mut self: Box<Self>) -> BoxFuture<'static, Result<(), RecordError>> {
        async move {
            self.wait_for_all_but(0).await?;
            self.check()?;
            let completed = submit(&self.threads.writer, |answer| WriteJob::Complete(self.ticket, answer));
            let completed = completed.await;
            drop(self.alive);
            completed
        }
        .boxed()
    }
}
