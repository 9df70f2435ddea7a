//! Packets on their way through the code, and what happens to them.

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anabranch_engine::identity::PacketHash;
use anabranch_engine::store::{Claim, Found, Outcomes, ResultStore, StoreError, StoredFunction};
use futures::future::BoxFuture;
use tokio::task::{JoinHandle, JoinSet};

use super::super::bound::BoundFunction;
use super::super::compute::{
    AsyncFunction, BlockingFunction, Computed, Failure, Limits, Packets, Signature, TimeSlice,
};
use super::error::FunctionStageError;
use super::flights::FlightId;
use crate::worker::{Author, FileStamp};

/// Some packets in flight, by their hashes and by their flights.
#[derive(Debug, Clone)]
pub(super) struct InFlight {
    hashes: Arc<Vec<PacketHash>>,
    flights: Arc<Vec<FlightId>>,
    rows: Range<usize>,
}

impl InFlight {
    pub(super) fn new(hashes: Arc<Vec<PacketHash>>, flights: Vec<FlightId>) -> Self {
        let rows = 0..flights.len().min(hashes.len());
        Self { hashes, flights: Arc::new(flights), rows }
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(super) fn hashes(&self) -> &[PacketHash] {
        self.hashes.get(self.rows.clone()).unwrap_or_default()
    }

    pub(super) fn flights(&self) -> &[FlightId] {
        self.flights.get(self.rows.clone()).unwrap_or_default()
    }

    /// Some of them, by their places.
    pub(super) fn part(&self, places: Range<usize>) -> Self {
        let at = |place: usize| (self.rows.start + place).min(self.rows.end);
        let rows = at(places.start)..at(places.end);
        Self { hashes: Arc::clone(&self.hashes), flights: Arc::clone(&self.flights), rows }
    }

    /// Those that are marked.
    pub(super) fn marked(&self, marks: &[bool]) -> Self {
        let all = self.hashes().iter().zip(self.flights()).zip(marks);
        let (hashes, flights) = all.filter(|(_, mark)| **mark).map(|(packet, _)| packet).unzip();
        Self::new(Arc::new(hashes), flights)
    }
}

/// Packets that wait for a call, or that a call was given.
pub(super) struct Work {
    /// The packets of its rows, and those of others.
    packets: Arc<Packets>,
    pub(super) keys: InFlight,
    /// What the look-up that missed its packets saw; see [`Found::seen`].
    pub(super) seen: u64,
    /// Number of the attempt that comes next or is under way; the first is 1.
    pub(super) attempt: u32,
    /// Whether its packets are called one by one.
    pub(super) alone: bool,
    /// What keeps others from computing them.
    pub(super) held: Option<Claim>,
}

impl Work {
    /// Packets, with as many keys.
    pub(super) fn new(packets: Packets, keys: InFlight, seen: u64) -> Self {
        Self { packets: Arc::new(packets), keys, seen, attempt: 1, alone: false, held: None }
    }

    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    pub(super) fn hashes(&self) -> &[PacketHash] {
        self.keys.hashes()
    }

    /// Its only packet's flight, or its first one's.
    pub(super) fn flight(&self) -> Option<FlightId> {
        self.keys.flights().first().copied()
    }

    /// Takes its first packets away, with what is held for them.
    pub(super) fn cut(&mut self, count: usize) -> Self {
        let first = Self { held: self.held.take(), ..self.part(0..count) };
        self.keys = self.keys.part(count..self.len());
        first
    }

    /// Some of its packets, by their places.
    pub(super) fn part(&self, places: Range<usize>) -> Self {
        Self {
            packets: Arc::clone(&self.packets),
            keys: self.keys.part(places),
            seen: self.seen,
            attempt: self.attempt,
            alone: self.alone,
            held: None,
        }
    }

    /// The packets themselves.
    pub(super) fn packets(&self) -> Packets {
        let start = self.keys.rows.start;
        let columns = self.packets.columns.iter().map(|c| c.slice(start, self.len())).collect();
        Packets { columns, rows: self.len() }
    }
}

/// A commit that has ended.
pub(super) struct Committed {
    pub(super) flights: Vec<FlightId>,
    /// What kept others from computing the packets.
    pub(super) held: Vec<Claim>,
    pub(super) bytes: usize,
    /// Who has answered, as far as that may yet turn out to be not believed, and which results.
    pub(super) authors: Vec<(Arc<Author>, Range<usize>)>,
    /// The current versions.
    pub(super) outcomes: Result<Outcomes, FunctionStageError>,
}

/// Something that a stage waits for has happened.
pub(super) enum Event {
    /// A call has answered, after a time.
    Done(Work, Computed, Duration),
    /// The packet at a place took longer than it may; its thread goes on.
    TimedOut(Work, usize, JoinHandle<()>),
    /// A call is gone without an answer.
    Vanished,
    /// A thread whose call had taken too long has come back.
    Freed,
    /// As many threads as there may be are held, and have been for a while.
    Held(u64),
    /// A packet may be tried again.
    Again(Work),
    /// The store was asked for a packet that had been claimed, and had it already, or failed.
    Known(Work, Result<Found, StoreError>),
    /// The store was asked for packets of the chunk that is let in.
    Found(Result<Found, StoreError>),
    /// The store was asked for packets that others were computing.
    Looked(Vec<Work>, Result<Found, StoreError>),
    /// A packet has failed, and the files of the function have been looked at since.
    Failed(Work, Failure, Result<(), FunctionStageError>),
    /// A commit has ended.
    Committed(Committed),
    /// Packets were written down as set aside.
    WrittenDown(Result<(), StoreError>),
    /// It is time for the next call.
    Tick,
}

/// Whether the files that a function consists of are still what they were when it was planned: if so, whatever
/// was computed until now is the function's.
pub(super) async fn unchanged(function: &Arc<BoundFunction>) -> Result<(), FunctionStageError> {
    if function.stamps.is_empty() {
        return Ok(());
    }
    let (name, stamps) = (function.stored.name.clone(), Arc::clone(&function.stamps));
    let looked = tokio::task::spawn_blocking(move || stamps.iter().try_for_each(FileStamp::check)).await;
    match looked {
        Ok(unchanged) => unchanged.map_err(|cause| FunctionStageError::Changed { function: name, cause }),
        Err(_) => Err(FunctionStageError::Worker { function: name }),
    }
}

/// Asks the store for packets that are about to be computed.
pub(super) fn look_up_first(
    results: &Arc<dyn ResultStore>,
    function: &Arc<StoredFunction>,
    work: &Work,
) -> BoxFuture<'static, Result<Found, StoreError>> {
    let (results, function, keys) = (Arc::clone(results), Arc::clone(function), work.hashes().to_vec());
    Box::pin(async move { results.find(function, keys).await })
}

/// Calls code that may block, on a thread for that. Who is called too long is left behind.
pub(super) fn on_thread(
    call: Arc<dyn BlockingFunction>,
    signature: Arc<Signature>,
    work: Work,
    slice: TimeSlice,
    limits: Limits,
) -> BoxFuture<'static, Event> {
    let slice = Arc::new(slice);
    let (packets, watched) = (work.packets(), Arc::clone(&slice));
    let (sender, mut answer) = tokio::sync::oneshot::channel();
    let thread = tokio::task::spawn_blocking(move || {
        let begun = Instant::now();
        let computed = call.run(&signature, &packets, &slice);
        // Nobody waits where the call took too long.
        let _ = sender.send((computed, begun.elapsed()));
    });
    Box::pin(async move {
        let done = |work, answer: Result<(Computed, Duration), _>| match answer {
            Ok((computed, took)) => Event::Done(work, computed, took),
            Err(_) => Event::Vanished,
        };
        let Some(timeout) = limits.timeout else { return done(work, answer.await) };
        loop {
            // Before the first packet the thread waits for its turn, which is nobody's fault.
            let (packet, left) = watched.left(timeout).unwrap_or((0, timeout));
            if left.is_zero() {
                return Event::TimedOut(work, packet, thread);
            }
            tokio::select! {
                biased;
                answer = &mut answer => return done(work, answer),
                () = tokio::time::sleep(left) => {}
            }
        }
    })
}

/// Calls code that waits, as a task of its own: it goes on while the node waits for its consumers,
/// and ends with its set, so that it does not outlive the node.
pub(super) fn on_task(
    call: Arc<dyn AsyncFunction>,
    signature: Arc<Signature>,
    work: Work,
    limits: Limits,
) -> BoxFuture<'static, Event> {
    let mut task = JoinSet::new();
    task.spawn(async move {
        let begun = Instant::now();
        let packets = Arc::new(work.packets());
        let computed = call.run(&signature, &packets, 0..packets.rows, limits).await;
        Event::Done(work, computed, begun.elapsed())
    });
    Box::pin(async move { task.join_next().await.and_then(Result::ok).unwrap_or(Event::Vanished) })
}
