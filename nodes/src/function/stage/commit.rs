//! What becomes of outcomes: they are committed, or compared, and fill the window.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use anabranch_engine::store::{CommitMode, Missed, NewResults, Outcomes, ResultRef};

use super::super::knobs::CacheMode;
use super::FunctionStage;
use super::counters::add;
use super::error::FunctionStageError;
use super::flights::FlightId;
use super::uncommitted::Taken;
use super::window::Batch;
use super::work::{Committed, Event, unchanged};
use crate::worker::Author;

/// Commits that are under way at most; the store puts those that wait together.
const COMMITS: usize = 3;
/// How long outcomes wait for those of calls that are about to end.
const GATHER: Duration = Duration::from_millis(5);

impl FunctionStage {
    /// Begins to commit what is fresh; where nothing is stored it fills the window at once.
    pub(super) fn commit(&mut self) -> Result<(), FunctionStageError> {
        if matches!(self.parts.cache, CacheMode::Off | CacheMode::Verify) {
            while self.uncommitted.rows() > 0 {
                let Taken { results: NewResults { emitted, values, .. }, flights, .. } =
                    self.uncommitted.take()?;
                let references = vec![ResultRef { block: 0, row: 0 }; flights.len()];
                self.committed(&flights, Outcomes { references, emitted, values });
            }
            return Ok(());
        }
        // A commit that is not full waits for the one before, and grows meanwhile.
        while self.uncommitted.rows() > 0
            && (self.commits < COMMITS && self.uncommitted.fills_a_commit()
                || self.commits == 0 && !self.awaits_more())
        {
            let Taken { results, flights, held, bytes, seen, authors } = self.uncommitted.take()?;
            if let Some(cause) = authors.iter().find_map(|(author, _)| author.stray()) {
                let function = self.name();
                self.failure.get_or_insert(FunctionStageError::Stray { function, cause });
                continue;
            }
            let mode = match self.parts.cache {
                CacheMode::Refresh => CommitMode::Refresh,
                _ => CommitMode::First,
            };
            let store = Arc::clone(&self.parts.results);
            let bound = Arc::clone(&self.parts.function);
            let missed = Missed { snapshot: seen, by: Arc::clone(&self.flights.by) };
            let results = NewResults { mode, missed: Some(missed), ..results };
            self.commits += 1;
            self.committing_bytes += bytes;
            self.under_way(Box::pin(async move {
                let outcomes = match unchanged(&bound).await {
                    Ok(()) => store.commit(Arc::clone(&bound.stored), results).await.map_err(Into::into),
                    Err(changed) => Err(changed),
                };
                Event::Committed(Committed { flights, held, bytes, authors, outcomes })
            }));
        }
        Ok(())
    }

    /// Whether calls are about to end whose outcomes go with those that are there.
    fn awaits_more(&mut self) -> bool {
        let left = GATHER.saturating_sub(self.uncommitted.waited());
        let soon = self.failure.is_none() && self.pace.ends_soon();
        if self.uncommitted.fills_a_commit() || !soon || left.is_zero() {
            return false;
        }
        self.tick(left);
        true
    }

    /// Takes note of what was committed of workers that may yet turn out to be not believed.
    pub(super) fn note_authors(&self, authors: &[(Arc<Author>, Range<usize>)], outcomes: &Outcomes) {
        let (node, function) = (&self.parts.failures.node, &self.parts.function.stored);
        for (author, rows) in authors {
            let versions = outcomes.references.get(rows.clone()).unwrap_or_default();
            self.parts.authors.committed(node, function, author, versions);
        }
    }

    /// Fills the rows that wait for packets with their outcomes.
    pub(super) fn committed(&mut self, flights: &[FlightId], outcomes: Outcomes) {
        let batch = Batch::new(outcomes);
        let mut reused = 0;
        // Another process may have been first, with an outcome that this one does not stand for.
        let (unsound, settled): (Vec<_>, Vec<_>) = (0_u32..)
            .zip(flights.iter().copied())
            .partition(|(row, _)| self.is_refused(&batch.outcomes, *row as usize));
        if self.parts.cache == CacheMode::Verify {
            for (row, id) in &settled {
                let Some(flight) = self.flights.rows.remove(*id) else { continue };
                reused += flight.rows() - 1;
                let (batch, row) = self.compared(&flight, (&batch, *row));
                self.window.fill(&batch, flight.places().map(|place| (place, row)));
            }
        } else {
            let flying = &mut self.flights.rows;
            let ended = settled.iter().filter_map(|(row, id)| Some((*row, flying.remove(*id)?)));
            let places = ended.flat_map(|(row, flight)| {
                reused += flight.rows() - 1;
                flight.places().map(move |place| (place, row))
            });
            self.window.fill(&batch, places);
        }
        add(&self.parts.counters.computed, settled.len());
        add(&self.parts.counters.reused, reused);
        self.refuse_stored(unsound.into_iter().map(|(_, id)| id));
    }
}
