//! From a chunk to the packets that have to be computed.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};
use std::ops::Range;
use std::sync::Arc;

use anabranch_engine::chunk::Chunk;
use anabranch_engine::identity::PacketHash;
use anabranch_engine::prefetch::AHEAD;
use anabranch_engine::store::{Found, StoreError};
use arrow::array::{ArrayRef, UInt32Array};
use arrow::compute::take;

use super::super::compute::{self, Failure};
use super::super::knobs::{CacheMode, OnError};
use super::super::portion::LookupPortion;
use super::counters::add;
use super::error::FunctionStageError;
use super::failures::{NOT_STORED, NOTHING_COMPUTED, STORED_NONE};
use super::flights::{FlightId, FlightTable};
use super::window::{Batch, Place};
use super::work::{Event, InFlight, Work};
use super::{FunctionStage, WINDOW_BYTES};
use crate::worker::ANSWERED;

/// A table by packets. Their hashes are spread as evenly as any.
pub(super) type ByPacket<T> = HashMap<PacketHash, T, BuildHasherDefault<FirstBytes>>;

/// A set of packets.
pub(super) type Packets = HashSet<PacketHash, BuildHasherDefault<FirstBytes>>;

/// Takes the first bytes of a hash for the hash.
#[derive(Debug, Default)]
pub(super) struct FirstBytes(u64);

impl Hasher for FirstBytes {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        if let Some(first) = bytes.first_chunk() {
            self.0 = u64::from_le_bytes(*first);
        }
    }

    fn write_usize(&mut self, _: usize) {
        // The length, which is always the same.
    }
}

/// Packets in flight, from their first row until they have an outcome.
#[derive(Debug, Default)]
pub(super) struct Flights {
    pub(super) rows: FlightTable,
    /// What the store has for packets that are computed to be compared with it.
    pub(super) stored: ByPacket<(Arc<Batch>, u32)>,
    /// Stands for this stage where it commits.
    pub(super) by: Arc<()>,
    /// Newest block of results when a refreshing node began.
    baseline: Option<u64>,
    /// Packets that the next look-up asks for.
    portion: LookupPortion,
}

/// A chunk whose packets are looked up, or will be.
pub(super) struct Admitted {
    number: u64,
    hashes: Arc<Vec<PacketHash>>,
    taken: Vec<ArrayRef>,
    /// First rows of packets that have to be computed, and their flights.
    missed: Vec<u32>,
    flights: Vec<FlightId>,
    /// What the look-ups of its packets saw, the earliest of them; see [`Found::seen`].
    seen: u64,
}

/// A chunk of whose packets some have been looked up.
pub(super) struct LookUp {
    chunk: Admitted,
    asked: Asked,
    /// How many were looked up, and how many are under way.
    at: usize,
    portion: usize,
}

/// What comes in: one chunk is looked up while the next is hashed.
#[derive(Default)]
pub(super) struct LookupQueue {
    hashed: Option<Admitted>,
    looking: Option<LookUp>,
    /// What goes on once the window has room.
    held: Option<LookUp>,
}

impl LookupQueue {
    /// Whether another chunk may come.
    pub(super) fn is_free(&self) -> bool {
        self.hashed.is_none()
    }

    /// Whether some of a chunk has still to be looked up and waits for room.
    pub(super) fn is_held(&self) -> bool {
        self.held.is_some()
    }
}

impl FunctionStage {
    /// Hashes a chunk's packets.
    pub(super) async fn hash(&mut self, chunk: Chunk) -> Result<(), FunctionStageError> {
        let rows = chunk.rows();
        if rows == 0 {
            return Ok(());
        }
        if self.parts.cache == CacheMode::Refresh && self.flights.baseline.is_none() {
            let results = Arc::clone(&self.parts.results);
            self.flights.baseline = Some(self.meanwhile(results.newest_block()).await?);
        }
        let function = Arc::clone(&self.parts.function);
        let taken: Vec<ArrayRef> =
            function.taken.iter().filter_map(|at| chunk.packets().get(*at)).map(Arc::clone).collect();
        let hashes = Arc::new(function.hasher.hash(&taken, rows)?);
        let number = self.window.push(chunk, Arc::clone(&hashes));
        let (missed, flights) = (Vec::with_capacity(rows), Vec::with_capacity(rows));
        self.entrance.hashed = Some(Admitted { number, hashes, taken, missed, flights, seen: u64::MAX });
        Ok(())
    }

    /// Joins packets of the chunk that was hashed with those in flight, and begins to look the others up, once
    /// the chunk before has been: so of packets that are looked up none is in flight, whatever ends meanwhile.
    pub(super) fn admit(&mut self) -> Result<(), FunctionStageError> {
        if self.entrance.looking.is_some() {
            return Ok(());
        }
        if self.entrance.held.is_some() {
            return if self.waiting_bytes() < WINDOW_BYTES { self.go_on() } else { Ok(()) };
        }
        let Some(mut chunk) = self.entrance.hashed.take() else { return Ok(()) };
        let asked = self.join(&chunk);
        if self.parts.cache == CacheMode::Off {
            self.miss(&mut chunk, &asked.rows());
            return self.enqueue(&mut chunk);
        }
        self.look_up(LookUp { chunk, asked, at: 0, portion: 0 })
    }

    /// Lets rows wait whose packets are in flight, and leaves out those that have failed; gives
    /// the others.
    fn join(&mut self, chunk: &Admitted) -> Asked {
        if self.flights.rows.is_empty() && self.failures.is_empty() {
            return Asked::All(chunk.hashes.len());
        }
        let mut asked = Vec::with_capacity(chunk.hashes.len());
        let mut ahead = chunk.hashes.iter().skip(AHEAD);
        for (row, hash) in (0_u32..).zip(chunk.hashes.iter()) {
            if let Some(hash) = ahead.next() {
                self.flights.rows.prefetch(hash);
            }
            let place = Place { chunk: chunk.number, row };
            if !self.flights.rows.join(hash, place) && !self.leave_out_again(hash, place) {
                asked.push(row);
            }
        }
        if asked.len() == chunk.hashes.len() { Asked::All(asked.len()) } else { Asked::Some(asked) }
    }

    /// Looks packets up, some at a time; queues the misses once all have been, or once there is no room.
    fn look_up(&mut self, mut look_up: LookUp) -> Result<(), FunctionStageError> {
        let left = look_up.asked.rows().len() - look_up.at;
        if left == 0 {
            return self.enqueue(&mut look_up.chunk);
        }
        look_up.portion = self.flights.portion.of(left);
        let keys = look_up.asked.keys(&look_up.chunk.hashes, look_up.at..look_up.at + look_up.portion);
        let (results, function) = (Arc::clone(&self.parts.results), Arc::clone(&self.parts.function.stored));
        self.entrance.looking = Some(look_up);
        self.under_way(Box::pin(async move { Event::Found(results.find(function, keys).await) }));
        Ok(())
    }

    /// Takes what a look-up has found.
    pub(super) fn looked_up(&mut self, found: Result<Found, StoreError>) -> Result<(), FunctionStageError> {
        let Some(mut look_up) = self.entrance.looking.take() else { return Ok(()) };
        let found = found?;
        let answered = found.answered(look_up.portion)?;
        self.flights.portion.adapt(look_up.portion, &found);
        let rows = look_up.asked.rows().slice(look_up.at..look_up.at + answered);
        self.found(&mut look_up.chunk, found, &rows)?;
        look_up.at += answered;
        if self.waiting_bytes() < WINDOW_BYTES {
            return self.look_up(look_up);
        }
        // Rows have to leave before more outcomes come, and those that wait for a call are called for that.
        self.enqueue(&mut look_up.chunk)?;
        self.entrance.held = Some(look_up);
        Ok(())
    }

    /// Looks up what had to wait for room.
    pub(super) fn go_on(&mut self) -> Result<(), FunctionStageError> {
        self.entrance.held.take().map_or(Ok(()), |held| self.look_up(held))
    }

    /// Fills the rows whose packets have a result.
    fn found(
        &mut self,
        chunk: &mut Admitted,
        found: Found,
        rows: &AskedRows<'_>,
    ) -> Result<(), FunctionStageError> {
        let Found { hits, outcomes, snapshot: seen } = found;
        chunk.seen = chunk.seen.min(seen);
        let oldest = self.flights.baseline;
        let batch = Batch::new(outcomes);
        let references = &batch.outcomes.references;
        let mut places = Vec::with_capacity(references.len());
        let mut missed = Vec::with_capacity(rows.len());
        let mut refused = Vec::new();
        let mut next = 0_u32;
        for (row, hit) in rows.iter().zip(hits) {
            let at = next;
            next += u32::from(hit);
            let recent =
                oldest.is_none_or(|oldest| references.get(at as usize).is_some_and(|r| r.block > oldest));
            if hit && recent && self.is_refused(&batch.outcomes, at as usize) {
                refused.push((row, at));
            } else if hit && recent {
                places.push((Place { chunk: chunk.number, row }, at));
            } else {
                missed.push(row);
            }
        }
        if self.parts.cache == CacheMode::Verify {
            places.extend(refused.iter().map(|(row, at)| (Place { chunk: chunk.number, row: *row }, *at)));
            for (place, at) in &places {
                if let Some(hash) = chunk.hashes.get(place.row as usize) {
                    self.flights.stored.entry(*hash).or_insert_with(|| (Arc::clone(&batch), *at));
                }
            }
            self.miss(chunk, rows);
            return Ok(());
        }
        add(&self.parts.counters.reused, places.len());
        self.window.fill(&batch, places);
        self.refuse(chunk, refused.iter().map(|(row, _)| *row), || Failure::new(ANSWERED, STORED_NONE));
        if self.parts.cache != CacheMode::Replay {
            self.miss(chunk, &AskedRows::Some(&missed));
            return Ok(());
        }
        if let Some(row) = missed.first()
            && self.parts.calls.on_error == OnError::Stop
        {
            let hash = chunk.hashes.get(*row as usize);
            let place = Place { chunk: chunk.number, row: *row };
            return Err(FunctionStageError::Missing {
                function: self.name(),
                packet: hash.map_or_else(String::new, |hash| self.describe(hash, Some(place))),
            });
        }
        self.refuse(chunk, missed.into_iter(), || Failure::new(NOT_STORED, NOTHING_COMPUTED));
        Ok(())
    }

    /// Gives up the packets of rows without a call, each once.
    fn refuse(&mut self, chunk: &Admitted, rows: impl Iterator<Item = u32>, failure: impl Fn() -> Failure) {
        for row in rows {
            let Some(hash) = chunk.hashes.get(row as usize) else { continue };
            let place = Place { chunk: chunk.number, row };
            if !self.leave_out_again(hash, place)
                && let Some(flight) = self.flights.rows.join_or_begin(*hash, place)
            {
                self.give_up(flight, 0, failure());
            }
        }
    }

    /// Lets rows wait for packets that will be computed, each once.
    fn miss(&mut self, chunk: &mut Admitted, rows: &AskedRows<'_>) {
        let mut ahead = rows.iter().skip(AHEAD).filter_map(|row| chunk.hashes.get(row as usize));
        for row in rows.iter() {
            if let Some(hash) = ahead.next() {
                self.flights.rows.prefetch(hash);
            }
            let Some(hash) = chunk.hashes.get(row as usize) else { continue };
            let place = Place { chunk: chunk.number, row };
            if let Some(flight) = self.flights.rows.join_or_begin(*hash, place) {
                chunk.missed.push(row);
                chunk.flights.push(flight);
            }
        }
    }

    fn enqueue(&mut self, chunk: &mut Admitted) -> Result<(), FunctionStageError> {
        let (missed, flights) = (std::mem::take(&mut chunk.missed), std::mem::take(&mut chunk.flights));
        let Admitted { hashes, taken, seen, .. } = chunk;
        let (rows, seen) = (missed.len(), *seen);
        if rows == 0 {
            return Ok(());
        }
        let (columns, hashes) = if rows == hashes.len() {
            (taken.clone(), Arc::clone(hashes))
        } else {
            let picked = missed.iter().filter_map(|row| hashes.get(*row as usize)).copied().collect();
            let indices = UInt32Array::from(missed);
            let columns = taken.iter().map(|c| take(c, &indices, None)).collect::<Result<_, _>>()?;
            (columns, Arc::new(picked))
        };
        let keys = InFlight::new(hashes, flights);
        self.queue.push_back(Work::new(compute::Packets { columns, rows }, keys, seen));
        Ok(())
    }
}

/// Rows of a chunk that are looked up.
enum Asked {
    /// All of so many.
    All(usize),
    Some(Vec<u32>),
}

impl Asked {
    fn rows(&self) -> AskedRows<'_> {
        match self {
            Self::All(total) => AskedRows::Range(0..u32::try_from(*total).unwrap_or(u32::MAX)),
            Self::Some(rows) => AskedRows::Some(rows),
        }
    }

    fn keys(&self, hashes: &[PacketHash], range: Range<usize>) -> Vec<PacketHash> {
        match self {
            Self::All(_) => hashes.get(range).unwrap_or_default().to_vec(),
            Self::Some(rows) => {
                let rows = rows.get(range).unwrap_or_default();
                let mut keys = Vec::with_capacity(rows.len());
                keys.extend(rows.iter().filter_map(|row| hashes.get(*row as usize)));
                keys
            }
        }
    }
}

/// Some rows of a chunk, ascending.
#[derive(Clone)]
enum AskedRows<'a> {
    Range(Range<u32>),
    Some(&'a [u32]),
}

impl<'a> AskedRows<'a> {
    fn len(&self) -> usize {
        match self {
            Self::Range(range) => range.len(),
            Self::Some(rows) => rows.len(),
        }
    }

    fn slice(self, part: Range<usize>) -> Self {
        match self {
            Self::Range(range) => {
                let at = |n: usize| {
                    u32::try_from(n).unwrap_or(u32::MAX).saturating_add(range.start).min(range.end)
                };
                Self::Range(at(part.start)..at(part.end))
            }
            Self::Some(rows) => Self::Some(rows.get(part).unwrap_or_default()),
        }
    }

    fn iter(&self) -> impl Iterator<Item = u32> + use<'a> {
        let (range, rows) = match self {
            Self::Range(range) => (range.clone(), &[][..]),
            Self::Some(rows) => (0..0, *rows),
        };
        range.chain(rows.iter().copied())
    }
}
