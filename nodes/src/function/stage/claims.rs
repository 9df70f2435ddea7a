//! Slow packets that another process, or another node, is at.
//!
//! A packet that somebody else holds waits behind all others. Once nothing else is to do, the store
//! is asked for it now and then: its holder commits before it gives the packet back.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use anabranch_engine::store::{Found, StoreError};

use super::FunctionStage;
use super::calls::Claims;
use super::counters::add;
use super::error::FunctionStageError;
use super::window::Batch;
use super::work::{Event, Work};

/// How long to wait before the store is asked again for what others compute.
const POLL: Duration = Duration::from_millis(20);
/// Packets that are asked for at once.
const POLL_PACKETS: usize = 64;

/// Packets that others compute.
#[derive(Default)]
pub(super) struct ClaimedByOthers {
    claims: Claims,
    waiting: VecDeque<Work>,
    /// Whether the store is being asked for some of them.
    looking: bool,
    /// Whether the last answer had none of them.
    in_vain: bool,
}

impl FunctionStage {
    /// Claims packets if that pays. What somebody else holds is put behind all others.
    pub(super) fn claimed(&mut self, mut work: Work) -> Result<Option<Work>, FunctionStageError> {
        if work.held.is_some() || work.attempt > 1 || !self.claims() {
            return Ok(Some(work));
        }
        if self.elsewhere.claims.is_none() {
            self.elsewhere.claims = Some(self.parts.results.claimant()?);
        }
        let Some(claimant) = &self.elsewhere.claims else { return Ok(Some(work)) };
        let claim = claimant.claim(&self.parts.function.stored, work.hashes())?;
        if claim.won.iter().all(|won| *won) {
            work.held = Some(claim);
            return Ok(Some(work));
        }
        self.elsewhere.waiting.push_back(work);
        Ok(None)
    }

    /// Asks the store for packets that others compute.
    pub(super) fn look_elsewhere(&mut self) {
        if self.elsewhere.looking || self.elsewhere.waiting.is_empty() {
            return;
        }
        self.elsewhere.looking = true;
        let count = self.elsewhere.waiting.len().min(POLL_PACKETS);
        let works: Vec<Work> = self.elsewhere.waiting.drain(..count).collect();
        let wait = if std::mem::replace(&mut self.elsewhere.in_vain, true) { POLL } else { Duration::ZERO };
        let (results, function) = (Arc::clone(&self.parts.results), Arc::clone(&self.parts.function.stored));
        self.events.push(Box::pin(async move {
            tokio::time::sleep(wait).await;
            let keys = works.iter().flat_map(Work::hashes).copied().collect();
            let found = results.find(function, keys).await;
            Event::Looked(works, found)
        }));
    }

    /// Fills rows with what others have computed; what is not there yet waits for a call.
    pub(super) fn looked(
        &mut self,
        works: Vec<Work>,
        found: Result<Found, StoreError>,
    ) -> Result<(), FunctionStageError> {
        let Found { hits, outcomes, .. } = found?;
        let batch = Batch::new(outcomes);
        let mut hits = hits.into_iter();
        let mut next = 0_u32;
        for work in works {
            let Some(hit) = hits.next() else {
                // The answer was full.
                self.elsewhere.in_vain = false;
                self.elsewhere.waiting.push_back(work);
                continue;
            };
            let id = work.flight().filter(|_| hit);
            if id.is_some() && self.is_refused(&batch.outcomes, next as usize) {
                self.elsewhere.in_vain = false;
                self.refuse_stored(id);
            } else if let Some(flight) = id.and_then(|id| self.flights.rows.remove(id)) {
                self.elsewhere.in_vain = false;
                add(&self.parts.counters.reused, flight.rows());
                self.window.fill(&batch, flight.places().map(|place| (place, next)));
            } else {
                self.queue.push_back(work);
            }
            next += u32::from(hit);
        }
        Ok(())
    }

    /// The look-up for which `looked` takes the answer has come back.
    pub(super) fn looked_elsewhere(&mut self) {
        self.elsewhere.looking = false;
    }
}
