//! What becomes of outcomes: they are committed, or compared, and fill the window.

use std::sync::Arc;

use anabranch_engine::identity::PacketHash;
use anabranch_engine::store::{CommitMode, Missed, NewResults, Outcomes, ResultRef};

use super::super::knobs::CacheMode;
use super::FunctionStage;
use super::counters::add;
use super::error::FunctionStageError;
use super::fresh::Taken;
use super::window::Batch;
use super::work::Event;

/// Commits that are under way at most; the store puts those that wait together.
const COMMITS: usize = 3;

impl FunctionStage {
    /// Begins to commit what is fresh; where nothing is stored it fills the window at once.
    pub(super) fn commit(&mut self) -> Result<(), FunctionStageError> {
        if matches!(self.parts.cache, CacheMode::Off | CacheMode::Verify) {
            while self.fresh.rows() > 0 {
                let NewResults { keys, emitted, values, .. } = self.fresh.take()?.results;
                let references = vec![ResultRef { block: 0, row: 0 }; keys.len()];
                self.committed(&keys, Outcomes { references, emitted, values });
            }
            return Ok(());
        }
        // A commit that is not full waits for the one before, and grows meanwhile.
        while self.fresh.rows() > 0
            && (self.commits == 0 || (self.commits < COMMITS && self.fresh.fills_a_commit()))
        {
            let Taken { results, held, bytes, seen } = self.fresh.take()?;
            let mode = match self.parts.cache {
                CacheMode::Refresh => CommitMode::Refresh,
                _ => CommitMode::First,
            };
            let store = Arc::clone(&self.parts.results);
            let function = Arc::clone(&self.parts.function.stored);
            let keys = results.keys.clone();
            let missed = Missed { seen, by: Arc::clone(&self.flights.by) };
            let results = NewResults { mode, missed: Some(missed), ..results };
            self.commits += 1;
            self.committing_bytes += bytes;
            self.events.push(Box::pin(async move {
                let outcomes = store.commit(function, results).await;
                Event::Committed(keys, held, bytes, outcomes)
            }));
        }
        Ok(())
    }

    /// Fills the rows that wait for packets with their outcomes.
    pub(super) fn committed(&mut self, keys: &[PacketHash], outcomes: Outcomes) {
        let batch = Batch::new(outcomes);
        let mut reused = 0;
        for (row, key) in (0_u32..).zip(keys) {
            let Some(flight) = self.flights.rows.remove(key) else { continue };
            reused += flight.rows() - 1;
            let (batch, row) = self.compared(&flight, key, (&batch, row));
            self.window.fill(&batch, flight.places().map(|place| (place, row)));
        }
        add(&self.parts.counters.computed, keys.len());
        add(&self.parts.counters.reused, reused);
    }
}
