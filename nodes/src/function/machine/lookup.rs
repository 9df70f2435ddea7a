//! Look-up of packets: which rows have a stored outcome, and which packets have to be computed.
//!
//! One chunk is looked up, some packets at a time, while the next is hashed. Rows whose packet is in flight already wait
//! with it; so a chunk joins the packets in flight only once the look-ups of the chunk before have ended.

use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hasher};
use std::ops::Range;
use std::sync::Arc;

use anabranch_engine::identity::PacketHash;
use anabranch_engine::index::{At as _, row_number};
use anabranch_engine::prefetch::AHEAD;
use anabranch_engine::store::{Found, LookUpError, Snapshot};
use arrow::array::{ArrayRef, UInt32Array};
use arrow::compute::take;
use arrow::error::ArrowError;

use super::flights::{Flight, FlightId, FlightTable};
use super::pending::{PacketKeys, PendingPackets};
use super::portion::LookupPortion;
use super::reorder_buffer::{OutcomeBatch, RowId};
use crate::call::Packets;

/// Failed packets that are remembered, so that their later rows are left out without a call.
/// Beyond these, a packet is tried again where it comes again.
const REMEMBERED: usize = 1 << 20;

/// A set of packets. Their hashes are spread as evenly as any.
pub(in crate::function) type PacketSet = HashSet<PacketHash, BuildHasherDefault<FirstBytes>>;

/// Takes the first bytes of a hash for the hash.
#[derive(Debug, Default)]
pub(in crate::function) struct FirstBytes(u64);

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

/// The next action of a look-up.
pub(in crate::function) enum LookupCommand {
    /// Leave these rows out: their packets have failed before.
    LeaveOut(Vec<(PacketHash, RowId)>),
    /// Look these packets up in the store; [`LookupMachine::found`] takes the answer.
    Find(Vec<PacketHash>),
    /// Compute these packets; [`LookupMachine::end`] takes the end of each.
    Compute(PendingPackets),
}

/// A chunk whose packets are hashed.
pub(in crate::function) struct HashedChunk {
    /// Its number in the reorder buffer.
    pub(in crate::function) number: u64,
    pub(in crate::function) hashes: Arc<Vec<PacketHash>>,
    /// The columns that the function takes.
    pub(in crate::function) taken: Vec<ArrayRef>,
    /// The rows to look up, ascending; all where none are given.
    pub(in crate::function) rows: Option<Vec<u32>>,
}

/// The answered rows of a look-up, by what the store has.
pub(in crate::function) struct LookedUp {
    pub(in crate::function) chunk: u64,
    pub(in crate::function) hashes: Arc<Vec<PacketHash>>,
    pub(in crate::function) batch: Arc<OutcomeBatch>,
    /// Rows with an outcome, and its row in the batch.
    pub(in crate::function) hits: Vec<(RowId, u32)>,
    /// Rows without an outcome, or with one that is not recent enough.
    pub(in crate::function) missed: Vec<u32>,
}

/// Packets that are looked up, and packets in flight from the first row that waits for them until they have an outcome.
#[derive(Default)]
pub(in crate::function) struct LookupMachine {
    /// False if no packet is looked up: all are computed.
    reads: bool,
    /// The snapshot when a refreshing node began: outcomes that it includes are not served.
    pub(in crate::function) baseline: Option<Snapshot>,
    flights: FlightTable,
    /// Packets without an outcome, as long as they are remembered.
    pub(in crate::function) failed: PacketSet,
    portion: LookupPortion,
    next: Option<HashedChunk>,
    current: Option<ChunkLookup>,
}

/// A chunk that is being looked up.
struct ChunkLookup {
    chunk: HashedChunk,
    asked: AskedRows,
    /// Number of the asked rows that are answered.
    done: usize,
    /// The asked rows of the last answer.
    answered: Range<usize>,
    state: LookupState,
    /// First rows of packets that have to be computed, and their flights.
    missed: Vec<u32>,
    flights: Vec<FlightId>,
    /// The earliest snapshot of its look-ups, once there was one; see [`Found::snapshot`].
    snapshot: Option<Snapshot>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LookupState {
    /// The next look-up may begin.
    Ready,
    /// A look-up of this number of packets is under way.
    Finding(usize),
    /// An answer was taken: the next look-up begins if there is room for more outcomes.
    Answered,
    /// Waits for room.
    Held,
}

impl LookupMachine {
    /// A machine that looks packets up, or has them all computed.
    pub(in crate::function) fn new(reads: bool) -> Self {
        Self { reads, ..Self::default() }
    }

    /// True if [`LookupMachine::push`] may be called.
    pub(in crate::function) fn accepts(&self) -> bool {
        self.next.is_none()
    }

    /// True if a chunk waits for room.
    pub(in crate::function) fn is_held(&self) -> bool {
        self.current.as_ref().is_some_and(|current| current.state == LookupState::Held)
    }

    /// Takes a chunk, whose look-up begins after that of the chunk before.
    pub(in crate::function) fn push(&mut self, chunk: HashedChunk) {
        assert!(self.accepts(), "one hashed chunk waits at a time");
        self.next = Some(chunk);
    }

    /// Returns the next command; none while a look-up is under way, without a chunk, or without room.
    ///
    /// `room`: whether rows may get further outcomes. The first look-up of a chunk needs none.
    pub(in crate::function) fn advance(&mut self, room: bool) -> Result<Option<LookupCommand>, ArrowError> {
        loop {
            let Some(current) = &mut self.current else {
                let Some(chunk) = self.next.take() else { return Ok(None) };
                let failed = self.join(chunk);
                if failed.is_empty() {
                    continue;
                }
                return Ok(Some(LookupCommand::LeaveOut(failed)));
            };
            match current.state {
                LookupState::Finding(_) => return Ok(None),
                LookupState::Held if !room => return Ok(None),
                LookupState::Answered if !room => {
                    // Rows have to leave before more outcomes come, and calls may be needed for that.
                    current.state = LookupState::Held;
                    return Ok(current.take_missed()?.map(LookupCommand::Compute));
                }
                LookupState::Ready | LookupState::Answered | LookupState::Held => {}
            }
            let left = current.asked.len() - current.done;
            if left > 0 && self.reads {
                let portion = self.portion.of(left);
                current.state = LookupState::Finding(portion);
                let keys = current.asked.keys(&current.chunk.hashes, current.done..current.done + portion);
                return Ok(Some(LookupCommand::Find(keys)));
            }
            if left > 0 {
                current.answered = 0..current.asked.len();
                self.compute_answered();
            }
            let ended = self.current.take().map(|mut ended| ended.take_missed()).transpose()?.flatten();
            if let Some(packets) = ended {
                return Ok(Some(LookupCommand::Compute(packets)));
            }
        }
    }

    /// Takes the store's answer to [`LookupCommand::Find`].
    pub(in crate::function) fn found(&mut self, found: Found) -> Result<LookedUp, LookUpError> {
        let current = self.current.as_mut().map(|current| (current.state, current));
        let Some((LookupState::Finding(portion), current)) = current else {
            panic!("the store's answer belongs to a look-up under way");
        };
        let answered = match found.answered(portion) {
            Ok(answered) => answered,
            Err(error) => {
                self.fail();
                return Err(error);
            }
        };
        self.portion.adapt(portion, &found);
        let baseline = self.baseline;
        current.state = LookupState::Answered;
        current.answered = current.done..current.done + answered;
        current.done += answered;
        let Found { hits, outcomes, snapshot } = found;
        current.snapshot = Some(current.snapshot.map_or(snapshot, |earliest| earliest.min(snapshot)));
        let (chunk, hashes) = (current.chunk.number, Arc::clone(&current.chunk.hashes));
        let rows = current.asked.slice(current.answered.clone());
        let batch = OutcomeBatch::new(outcomes);
        let references = &batch.outcomes.references;
        let mut looked_up = LookedUp {
            chunk,
            hashes,
            hits: Vec::with_capacity(references.len()),
            missed: Vec::with_capacity(answered.saturating_sub(references.len())),
            batch: Arc::clone(&batch),
        };
        let mut outcome = 0_u32;
        for (row, hit) in rows.zip(hits) {
            let place = outcome as usize;
            let recent =
                |baseline: Snapshot| !baseline.includes(*references.at(place, "each hit has a version"));
            if hit && baseline.is_none_or(recent) {
                looked_up.hits.push((RowId { chunk, row }, outcome));
            } else {
                looked_up.missed.push(row);
            }
            outcome += u32::from(hit);
        }
        Ok(looked_up)
    }

    /// Returns up the look-up that is under way, which has failed.
    pub(in crate::function) fn fail(&mut self) {
        self.current = None;
    }

    /// Lets rows of the last answer wait for their packets, each of which is computed once.
    pub(in crate::function) fn compute(&mut self, rows: &[u32]) {
        let Some(ChunkLookup { chunk, missed, flights, .. }) = &mut self.current else {
            panic!("rows that are computed were looked up");
        };
        wait(&mut self.flights, chunk, rows.iter().copied(), (missed, flights));
    }

    /// Lets all rows of the last answer wait for their packets.
    pub(in crate::function) fn compute_answered(&mut self) {
        let Some(ChunkLookup { chunk, asked, answered, missed, flights, .. }) = &mut self.current else {
            panic!("rows that are computed were looked up");
        };
        let rows = asked.slice(answered.clone());
        wait(&mut self.flights, chunk, rows, (missed, flights));
    }

    /// Lets a row wait for a packet that gets an outcome without a call; the flight if the row is its first.
    pub(in crate::function) fn begin(&mut self, packet: PacketHash, row: RowId) -> Option<FlightId> {
        self.flights.join_or_begin(packet, row)
    }

    /// The packet in flight.
    pub(in crate::function) fn flight(&self, id: FlightId) -> &Flight {
        match self.flights.get(id) {
            Some(flight) => flight,
            None => panic!("a packet is in flight until it has an outcome"),
        }
    }

    /// Ends a packet in flight; its rows have an outcome now.
    #[inline]
    pub(in crate::function) fn end(&mut self, id: FlightId) -> Flight {
        match self.flights.remove(id) {
            Some(flight) => flight,
            None => panic!("a packet in flight ends once"),
        }
    }

    /// Remembers a packet that failed for good, so that its later rows are left out.
    pub(in crate::function) fn remember_failed(&mut self, packet: PacketHash) {
        if self.failed.len() < REMEMBERED {
            self.failed.insert(packet);
        }
    }

    /// Begins with a chunk: rows wait whose packets are in flight. Returns the rows of packets that have failed.
    fn join(&mut self, chunk: HashedChunk) -> Vec<(PacketHash, RowId)> {
        let mut failed = Vec::new();
        let asked = if self.flights.is_empty() && self.failed.is_empty() {
            AskedRows::of(&chunk)
        } else {
            let candidates = AskedRows::of(&chunk);
            let mut asked = Vec::with_capacity(candidates.len());
            let mut ahead = chunk.keys(candidates.iter().skip(AHEAD));
            for (row, hash) in candidates.iter().zip(chunk.keys(candidates.iter())) {
                if let Some(hash) = ahead.next() {
                    self.flights.prefetch(hash);
                }
                let place = RowId { chunk: chunk.number, row };
                match () {
                    () if self.flights.join(hash, place) => {}
                    () if self.failed.contains(hash) => failed.push((*hash, place)),
                    () => asked.push(row),
                }
            }
            if asked.len() == chunk.hashes.len() {
                AskedRows::All(asked.len())
            } else {
                AskedRows::Some(asked)
            }
        };
        let (missed, flights) = (Vec::with_capacity(asked.len()), Vec::with_capacity(asked.len()));
        let state = LookupState::Ready;
        self.current = Some(ChunkLookup {
            chunk,
            asked,
            done: 0,
            answered: 0..0,
            state,
            missed,
            flights,
            snapshot: None,
        });
        failed
    }
}

/// Lets rows wait for their packets; appends the first row of each, and its flight.
fn wait(
    table: &mut FlightTable,
    chunk: &HashedChunk,
    rows: impl Iterator<Item = u32> + Clone,
    (missed, flights): (&mut Vec<u32>, &mut Vec<FlightId>),
) {
    let mut ahead = chunk.keys(rows.clone().skip(AHEAD));
    for (row, hash) in rows.clone().zip(chunk.keys(rows)) {
        if let Some(hash) = ahead.next() {
            table.prefetch(hash);
        }
        if let Some(flight) = table.join_or_begin(*hash, RowId { chunk: chunk.number, row }) {
            missed.push(row);
            flights.push(flight);
        }
    }
}

impl HashedChunk {
    /// The hashes of rows.
    fn keys(&self, rows: impl Iterator<Item = u32>) -> impl Iterator<Item = &PacketHash> {
        rows.map(|row| self.hashes.at(row as usize, "each row of a chunk is hashed"))
    }
}

impl ChunkLookup {
    /// The packets that have to be computed, if there are any.
    fn take_missed(&mut self) -> Result<Option<PendingPackets>, ArrowError> {
        let (missed, flights) = (std::mem::take(&mut self.missed), std::mem::take(&mut self.flights));
        let HashedChunk { hashes, taken, .. } = &self.chunk;
        let rows = missed.len();
        if rows == 0 {
            return Ok(None);
        }
        let (columns, hashes) = if rows == hashes.len() {
            (taken.clone(), Arc::clone(hashes))
        } else {
            let picked = self.chunk.keys(missed.iter().copied()).copied().collect();
            let indices = UInt32Array::from(missed);
            let columns = taken.iter().map(|c| take(c, &indices, None)).collect::<Result<_, _>>()?;
            (columns, Arc::new(picked))
        };
        let keys = PacketKeys::new(hashes, flights);
        // Without a look-up nothing is known.
        let snapshot = self.snapshot.unwrap_or(Snapshot::EMPTY);
        Ok(Some(PendingPackets::new(Packets { columns, rows }, keys, snapshot)))
    }
}

/// Rows of a chunk that are looked up.
enum AskedRows {
    /// All of so many.
    All(usize),
    Some(Vec<u32>),
}

impl AskedRows {
    fn of(chunk: &HashedChunk) -> Self {
        match &chunk.rows {
            Some(rows) => Self::Some(rows.clone()),
            None => Self::All(chunk.hashes.len()),
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::All(total) => *total,
            Self::Some(rows) => rows.len(),
        }
    }

    fn iter(&self) -> impl Iterator<Item = u32> + Clone + use<'_> {
        self.slice(0..self.len())
    }

    fn slice(&self, range: Range<usize>) -> impl Iterator<Item = u32> + Clone + use<'_> {
        let (all, rows) = match self {
            Self::All(_) => (row_number(range.start)..row_number(range.end), &[][..]),
            Self::Some(rows) => (0..0, rows.at(range, "answered rows were asked for")),
        };
        all.chain(rows.iter().copied())
    }

    fn keys(&self, hashes: &[PacketHash], range: Range<usize>) -> Vec<PacketHash> {
        match self {
            Self::All(_) => hashes.at(range, "each row of a chunk is hashed").to_vec(),
            Self::Some(rows) => {
                let rows = rows.at(range, "rows that are looked up are among those asked for");
                rows.iter().map(|row| *hashes.at(*row as usize, "each row of a chunk is hashed")).collect()
            }
        }
    }
}
