//! From a chunk to outcomes that are stored, and to packets that have to be computed.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;
use std::sync::Arc;

use anabranch_engine::chunk::Chunk;
use anabranch_engine::identity::PacketHash;
use anabranch_engine::index::At as _;
use anabranch_engine::store::{Found, LookUpError};

use super::super::machine::lookup::{FirstBytes, HashedChunk, LookedUp, LookupCommand};
use super::super::machine::pending::PendingPackets;
use super::super::machine::reorder_buffer::{OutcomeBatch, RowId};
use super::error::FunctionStageError;
use super::failures::{NOTHING_COMPUTED, STORED_NONE};
use super::tasks::StageEvent;
use super::{FunctionStage, WINDOW_BYTES};
use crate::call::{CacheMode, Failure, FailureKind, OnError};

/// A table by packets. Their hashes are spread as evenly as any.
pub(super) type ByPacket<T> = HashMap<PacketHash, T, BuildHasherDefault<FirstBytes>>;

impl FunctionStage {
    /// Hashes a chunk's packets.
    pub(super) async fn hash(&mut self, chunk: Chunk) -> Result<(), FunctionStageError> {
        if self.parts.cache == CacheMode::Refresh && !std::mem::replace(&mut self.has_baseline, true) {
            let results = Arc::clone(&self.parts.results);
            let now = self.meanwhile(results.snapshot()).await?;
            self.lookup.baseline = Some(now);
        }
        let function = Arc::clone(&self.parts.function);
        let taken = function.taken_columns(&chunk);
        let hashes = Arc::new(function.hasher.hash(&taken, chunk.rows())?);
        let number = self.buffer.push(chunk, Arc::clone(&hashes));
        self.lookup.push(HashedChunk { number, hashes, taken, rows: None });
        Ok(())
    }

    /// Executes what the look-up of chunks needs next.
    pub(super) fn look_up(&mut self, room: bool) -> Result<(), FunctionStageError> {
        while let Some(command) = self.lookup.advance(room)? {
            match command {
                LookupCommand::LeaveOut(rows) => {
                    for (packet, row) in rows {
                        self.leave_out_again(&packet, row);
                    }
                }
                LookupCommand::Find(keys) => {
                    let results = Arc::clone(&self.parts.results);
                    let function = Arc::clone(&self.parts.function.stored);
                    self.begin_now(Box::pin(
                        async move { StageEvent::Found(results.find(function, keys).await) },
                    ));
                }
                LookupCommand::Compute(packets) => self.calls.push(packets),
            }
        }
        Ok(())
    }

    /// True if rows may get further outcomes.
    pub(super) fn has_room_for_outcomes(&self) -> bool {
        self.waiting_bytes() < WINDOW_BYTES
    }

    /// Takes the answer of a look-up.
    pub(super) fn looked_up(&mut self, found: Result<Found, LookUpError>) -> Result<(), FunctionStageError> {
        let found = match found {
            Ok(found) => self.lookup.found(found),
            Err(error) => {
                self.lookup.fail();
                Err(error)
            }
        };
        let LookedUp { chunk, hashes, batch, mut hits, missed } = found?;
        let packet = |row: u32| *hashes.at(row as usize, "each row of a chunk is hashed");
        if self.parts.cache == CacheMode::Verify {
            for (id, outcome) in &hits {
                self.stored.entry(packet(id.row)).or_insert_with(|| (Arc::clone(&batch), *outcome));
            }
            self.lookup.compute_answered();
            return Ok(());
        }
        let refused: Vec<RowId> = if self.parts.function.refuses_drops {
            hits.extract_if(.., |(_, row)| self.is_refused(&batch.outcomes, *row)).map(|(id, _)| id).collect()
        } else {
            Vec::new()
        };
        self.parts.counters.reused.add(hits.len());
        self.buffer.fill(&batch, hits);
        for id in refused {
            self.refuse(packet(id.row), id, || Failure::new(FailureKind::BadAnswer, STORED_NONE));
        }
        if self.parts.cache != CacheMode::Replay {
            self.lookup.compute(&missed);
            return Ok(());
        }
        if let Some(row) = missed.first()
            && self.parts.calls.on_error == OnError::Stop
        {
            return Err(FunctionStageError::Missing {
                function: self.name(),
                packet: self.describe(&packet(*row), RowId { chunk, row: *row }),
            });
        }
        for row in missed {
            let failure = || Failure::new(FailureKind::NoResult, NOTHING_COMPUTED);
            self.refuse(packet(row), RowId { chunk, row }, failure);
        }
        Ok(())
    }

    /// Returns up the packet of a row without a call.
    fn refuse(&mut self, packet: PacketHash, row: RowId, failure: impl Fn() -> Failure) {
        if self.lookup.failed.contains(&packet) {
            self.leave_out_again(&packet, row);
        } else if let Some(flight) = self.lookup.begin(packet, row) {
            self.give_up(flight, 0, failure());
        }
    }

    /// Fills rows with outcomes that others have committed; other packets wait for a call.
    pub(super) fn found_others(
        &mut self,
        packets: Vec<PendingPackets>,
        found: Result<Found, LookUpError>,
    ) -> Result<(), FunctionStageError> {
        let Found { hits, outcomes, .. } = found?;
        let batch = OutcomeBatch::new(outcomes);
        for (id, outcome) in self.calls.found(packets, &hits) {
            if self.is_refused(&batch.outcomes, outcome) {
                self.refuse_stored([id]);
                continue;
            }
            let flight = self.lookup.end(id);
            self.parts.counters.reused.add(flight.rows());
            self.buffer.fill(&batch, flight.rows_waiting().map(|row| (row, outcome)));
        }
        Ok(())
    }
}
