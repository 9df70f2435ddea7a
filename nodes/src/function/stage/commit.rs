//! Outcomes: committed or compared, and set in the reorder buffer.

use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use anabranch_engine::index::At as _;
use anabranch_engine::store::{CommitMode, Missed, NewResults, Outcomes, ResultId};

use super::super::machine::commit_queue::CommitBatch;
use super::super::machine::flights::FlightId;
use super::super::machine::reorder_buffer::OutcomeBatch;
use super::FunctionStage;
use super::error::FunctionStageError;
use super::tasks::{CommitEnd, StageEvent, unchanged};
use crate::call::{Author, CacheMode};

impl FunctionStage {
    /// Begins to commit outcomes; where nothing is stored they fill the buffer at once.
    pub(super) fn commit(&mut self) -> Result<(), FunctionStageError> {
        if matches!(self.parts.cache, CacheMode::Off | CacheMode::Verify) {
            while let Some(batch) = self.commits.pop(Instant::now())? {
                let CommitBatch { results: NewResults { emitted, values, .. }, flights, .. } = batch;
                let references = vec![ResultId::UNSTORED; flights.len()];
                self.committed(&flights, Outcomes { references, emitted, values });
            }
            return Ok(());
        }
        loop {
            let more_soon = self.failure.is_none() && self.calls.limiter.ends_soon();
            let Some(batch) = self.commits.advance(Instant::now(), more_soon)? else { return Ok(()) };
            self.commit_batch(batch);
        }
    }

    fn commit_batch(&mut self, batch: CommitBatch) {
        let CommitBatch { results, flights, claims, bytes, snapshot, authors } = batch;
        if let Some(cause) = authors.iter().find_map(|(author, _)| author.stray()) {
            let function = self.name();
            self.failure.get_or_insert(FunctionStageError::Stray { function, cause });
            self.commits.committed(bytes);
            return;
        }
        let mode = match self.parts.cache {
            CacheMode::Refresh => CommitMode::Refresh,
            _ => CommitMode::First,
        };
        let store = Arc::clone(&self.parts.results);
        let bound = Arc::clone(&self.parts.function);
        let missed = Missed { snapshot, by: self.client };
        let results = NewResults { mode, missed: Some(missed), ..results };
        self.begin_now(Box::pin(async move {
            let outcomes = match unchanged(&bound).await {
                Ok(()) => store.commit(Arc::clone(&bound.stored), results).await.map_err(Into::into),
                Err(changed) => Err(changed),
            };
            StageEvent::Committed(CommitEnd { flights, claims, bytes, authors, outcomes })
        }));
    }

    /// Takes the end of a commit.
    pub(super) fn commit_ended(&mut self, end: CommitEnd) -> Result<(), FunctionStageError> {
        let CommitEnd { flights, claims, bytes, authors, outcomes } = end;
        self.commits.committed(bytes);
        let committed = outcomes.map(|outcomes| {
            self.note_authors(&authors, &outcomes);
            self.committed(&flights, outcomes);
        });
        // Others look the packets up once their claims are given back: not before the commit.
        drop(claims);
        // Nothing is left to be saved where outcomes cannot be stored any more.
        committed.inspect_err(|_| self.commits.clear())
    }

    /// Remembers the committed results of workers that may turn out to be untrusted.
    fn note_authors(&self, authors: &[(Arc<Author>, Range<usize>)], outcomes: &Outcomes) {
        let (node, function) = (&self.parts.failures.node, &self.parts.function.stored);
        for (author, rows) in authors {
            let versions = outcomes.references.at(rows.clone(), "a commit returns a version for each result");
            self.parts.authors.committed(node, function, author, versions);
        }
    }

    /// Sets the outcomes of the rows that wait for packets.
    fn committed(&mut self, flights: &[FlightId], outcomes: Outcomes) {
        let batch = OutcomeBatch::new(outcomes);
        let mut reused = 0;
        // Another process may have been first, with an outcome that the function does not stand for.
        let (unsound, accepted): (Vec<_>, Vec<_>) = (0_u32..)
            .zip(flights.iter().copied())
            .partition(|(row, _)| self.is_refused(&batch.outcomes, *row));
        if self.parts.cache == CacheMode::Verify {
            for (row, id) in &accepted {
                let flight = self.lookup.end(*id);
                reused += flight.rows() - 1;
                let (batch, row) = self.compared(&flight, (&batch, *row));
                self.buffer.fill(&batch, flight.rows_waiting().map(|id| (id, row)));
            }
        } else {
            let lookup = &mut self.lookup;
            let rows = accepted.iter().flat_map(|(row, id)| {
                let flight = lookup.end(*id);
                reused += flight.rows() - 1;
                flight.rows_waiting().map(move |id| (id, *row))
            });
            self.buffer.fill(&batch, rows);
        }
        self.parts.counters.computed.add(accepted.len());
        self.parts.counters.reused.add(reused);
        self.refuse_stored(unsound.into_iter().map(|(_, id)| id));
    }
}
