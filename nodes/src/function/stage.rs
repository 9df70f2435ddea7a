//! The stage that runs a function: look up, join a call in flight, compute, commit, record, emit.
//!
//! ```text
//! chunk -> hash -> known in flight? --yes--> wait with it
//!                   | no
//!                  look up -- hit ------------------------------> outcome
//!                   | miss                                          ^
//!                  queue -> compute (at most `concurrency`) -> commit
//! outcomes fill the window; its front leaves in input order, recorded first
//! ```
//!
//! Bounds: the window holds `WINDOW_ROWS` rows or one chunk, and at most one commit is under way,
//! which takes what was computed during the one before.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use anabranch_engine::chunk::{Chunk, ChunkError};
use anabranch_engine::identity::{IdentityError, PacketHash};
use anabranch_engine::operator::{Item, Step};
use anabranch_engine::provenance::{Origin, OriginId, Origins};
use anabranch_engine::stage::{Stage, StageError};
use anabranch_engine::store::{
    CommitMode, NewResults, Outcomes, Recorder, ResultRef, ResultStore, StoreError,
};
use arrow::array::{Array, ArrayRef, BooleanArray, UInt32Array};
use arrow::compute::{concat, filter, take};
use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use tokio::task::JoinSet;

use super::CacheMode;
use super::bound::{BoundFunction, Call};
use super::compute::{Computed, Failure, Limits, Packets, Waiting};
use super::window::{Place, Window};

/// Rows that may wait for their outcomes before no more input is taken.
const WINDOW_ROWS: usize = 16_384;
/// Results that one commit takes.
const COMMIT_ROWS: usize = 8_192;
/// Bytes of outputs that one commit takes, by the average of those that wait; one row at least.
const COMMIT_BYTES: usize = 4 << 20;
/// Packets that a worker is given at once.
const SLICE_ROWS: usize = 1_024;
/// Fewer rows wait for the rest of their chunk as long as there is something else to do.
const LEAVE_ROWS: usize = 1_024;

/// What is counted of a function node.
#[derive(Debug, Default)]
pub struct FunctionCounters {
    computed: AtomicU64,
    reused: AtomicU64,
    dropped: AtomicU64,
}

impl FunctionCounters {
    /// Calls that ran.
    #[must_use]
    pub fn computed(&self) -> u64 {
        self.computed.load(Relaxed)
    }

    /// Rows served without a call: from the store, or from an equal packet of this run.
    #[must_use]
    pub fn reused(&self) -> u64 {
        self.reused.load(Relaxed)
    }

    /// Rows that gave no packet.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Relaxed)
    }
}

/// A packet that failed, or a store that did.
#[derive(Debug, thiserror::Error)]
enum FunctionStageError {
    #[error("function \"{function}\", packet {packet}: {failure}; what was computed before is kept")]
    Packet {
        function: String,
        packet: String,
        failure: &'static str,
        #[source]
        cause: StageError,
    },
    #[error("function \"{function}\": a worker ended without an answer")]
    Worker { function: String },
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error(transparent)]
    Chunk(#[from] ChunkError),
    #[error("outcomes could not be gathered")]
    Arrow(#[from] arrow::error::ArrowError),
}

/// What a function stage is put together from.
pub struct StageParts {
    /// The function.
    pub function: Arc<BoundFunction>,
    /// What it does with stored results; [`CacheMode::Off`] for one that cannot be cached.
    pub cache: CacheMode,
    /// Calls that may run at once.
    pub concurrency: usize,
    /// Where results are looked up and stored; not used if the cache is off.
    pub results: Arc<dyn ResultStore>,
    /// Where rows are recorded, if they are.
    pub recorder: Option<Box<dyn Recorder>>,
    /// The run's origin table.
    pub origins: Arc<Origins>,
    /// What is counted.
    pub counters: Arc<FunctionCounters>,
}

/// A function at work.
pub struct FunctionStage {
    parts: StageParts,
    /// What the code began for this run alone.
    opened: Option<Arc<dyn Waiting>>,
    outputs: Vec<OriginId>,
    stop: Arc<AtomicBool>,
    arrived: Option<Chunk>,
    ended: bool,
    window: Window,
    /// Rows that wait for a packet in flight, from its first row until it is committed.
    flying: HashMap<PacketHash, Vec<Place>>,
    queue: VecDeque<Work>,
    running: FuturesUnordered<BoxFuture<'static, Option<Done>>>,
    fresh: Fresh,
    committing: Option<Committing>,
    /// Newest block of results when a refreshing node began.
    baseline: Option<u64>,
    failure: Option<FunctionStageError>,
}

/// A commit under way.
struct Committing {
    keys: Vec<PacketHash>,
    outcomes: BoxFuture<'static, Result<Outcomes, StoreError>>,
}

/// Packets that wait for a worker.
struct Work {
    packets: Arc<Packets>,
    hashes: Arc<[PacketHash]>,
    start: usize,
}

/// What a worker has made of some packets from `work.start` on.
struct Done {
    work: Work,
    computed: Computed,
}

/// Outcomes that are not committed yet.
#[derive(Default)]
struct Fresh {
    keys: Vec<PacketHash>,
    emitted: Vec<bool>,
    /// Batches of columns.
    values: Vec<Vec<ArrayRef>>,
}

impl std::fmt::Debug for FunctionStage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FunctionStage").field("function", &self.parts.function).finish_non_exhaustive()
    }
}

impl Drop for FunctionStage {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
    }
}

impl FunctionStage {
    /// A stage that is ready for its first chunk.
    #[must_use]
    pub fn new(parts: StageParts) -> Self {
        let stored = &parts.function.stored;
        let (function, fingerprint): (Arc<str>, Arc<str>) =
            (stored.name.as_str().into(), stored.fingerprint.short().into());
        let origin = |output: &str| {
            parts.origins.add(Origin::Output {
                function: Arc::clone(&function),
                fingerprint: Arc::clone(&fingerprint),
                output: output.into(),
            })
        };
        let outputs = stored.outputs.iter().map(|f| origin(f.name())).collect();
        let opened = match &parts.function.call {
            Call::Waiting(call) => call.open(),
            Call::Sql(_) | Call::Blocking(_) => None,
        };
        Self {
            parts,
            opened,
            outputs,
            stop: Arc::default(),
            arrived: None,
            ended: false,
            window: Window::default(),
            flying: HashMap::new(),
            queue: VecDeque::new(),
            running: FuturesUnordered::new(),
            fresh: Fresh::default(),
            committing: None,
            baseline: None,
            failure: None,
        }
    }

    fn name(&self) -> String {
        self.parts.function.stored.name.clone()
    }

    async fn advance(&mut self) -> Result<Step, FunctionStageError> {
        loop {
            if let Some(chunk) = self.arrived.take() {
                self.admit(chunk).await?;
            }
            self.launch()?;
            if self.failure.is_none() {
                let (ready, whole) = self.window.front();
                let leave = whole || ready >= LEAVE_ROWS || (ready > 0 && self.would_wait());
                if leave {
                    if let Some(chunk) = self.emit().await? {
                        return Ok(Step::Output(chunk));
                    }
                    continue;
                }
                if !self.ended && self.window.rows() < WINDOW_ROWS {
                    return Ok(Step::NeedInput(vec![0]));
                }
                if self.ended && self.window.is_empty() {
                    if let Some(recorder) = self.parts.recorder.take() {
                        recorder.complete().await?;
                    }
                    if let Some(opened) = self.opened.take() {
                        opened.close().await;
                    }
                    return Ok(Step::Done);
                }
            } else if self.committing.is_none() && self.fresh.keys.is_empty() {
                // What was finished before the fault is committed now.
                return Err(self
                    .failure
                    .take()
                    .unwrap_or(FunctionStageError::Worker { function: self.name() }));
            }
            self.event().await;
        }
    }

    /// Whether nothing more can be done without waiting.
    fn would_wait(&self) -> bool {
        !self.running.is_empty() || self.committing.is_some() || !self.ended
    }

    /// Hashes a chunk's packets, joins those in flight, looks the others up and queues the misses.
    async fn admit(&mut self, chunk: Chunk) -> Result<(), FunctionStageError> {
        if chunk.rows() == 0 {
            return Ok(());
        }
        let function = Arc::clone(&self.parts.function);
        let taken: Vec<ArrayRef> =
            function.taken.iter().filter_map(|at| chunk.packets().get(*at)).map(Arc::clone).collect();
        let hashes = function.hasher.hash(&taken, chunk.rows())?;
        let number = self.window.push(chunk, hashes.clone());
        let mut first: HashMap<PacketHash, usize> = HashMap::new();
        let mut asked: Vec<(PacketHash, Vec<Place>)> = Vec::new();
        for (row, hash) in (0_u32..).zip(&hashes) {
            let place = Place { chunk: number, row };
            if let Some(waiting) = self.flying.get_mut(hash) {
                waiting.push(place);
                self.count_reused(1);
                continue;
            }
            let at = *first.entry(*hash).or_insert(asked.len());
            match asked.get_mut(at) {
                Some((_, places)) => places.push(place),
                None => asked.push((*hash, vec![place])),
            }
        }
        let missed = self.look_up(asked).await?;
        self.enqueue(missed, &taken)
    }

    /// Fills the rows whose packets have a result; gives the others.
    async fn look_up(
        &mut self,
        asked: Vec<(PacketHash, Vec<Place>)>,
    ) -> Result<Vec<(PacketHash, Vec<Place>)>, FunctionStageError> {
        if self.parts.cache == CacheMode::Off || asked.is_empty() {
            return Ok(asked);
        }
        if self.parts.cache == CacheMode::Refresh && self.baseline.is_none() {
            self.baseline = Some(self.parts.results.newest_block().await?);
        }
        let oldest = self.baseline.unwrap_or(0);
        let keys = asked.iter().map(|(hash, _)| *hash).collect();
        let found = self.parts.results.find(Arc::clone(&self.parts.function.stored), keys).await?;
        let outcomes = Arc::new(found.outcomes);
        let mut missed = Vec::new();
        let mut row = 0_u32;
        for (hit, (hash, places)) in found.hits.iter().zip(asked) {
            let at = row;
            row += u32::from(*hit);
            let recent = self.baseline.is_none()
                || outcomes.references.get(at as usize).is_some_and(|reference| reference.block > oldest);
            if *hit && recent {
                self.count_reused(places.len());
                self.window.fill(&outcomes, places.into_iter().map(|place| (place, at)));
            } else {
                missed.push((hash, places));
            }
        }
        Ok(missed)
    }

    fn enqueue(
        &mut self,
        missed: Vec<(PacketHash, Vec<Place>)>,
        taken: &[ArrayRef],
    ) -> Result<(), FunctionStageError> {
        if missed.is_empty() {
            return Ok(());
        }
        let rows: Vec<u32> = missed.iter().filter_map(|(_, places)| places.first().map(|p| p.row)).collect();
        let indices = UInt32Array::from(rows);
        let columns = taken.iter().map(|c| take(c, &indices, None)).collect::<Result<Vec<_>, _>>()?;
        let hashes: Vec<PacketHash> = missed.iter().map(|(hash, _)| *hash).collect();
        for (hash, places) in missed {
            self.count_reused(places.len() - 1);
            self.flying.insert(hash, places);
        }
        let workers = self.parts.concurrency.max(1);
        let size = match self.parts.function.call {
            Call::Sql(_) => hashes.len(),
            _ => hashes.len().div_ceil(workers).clamp(1, SLICE_ROWS),
        };
        for (at, slice) in hashes.chunks(size).enumerate() {
            let columns = columns.iter().map(|c| c.slice(at * size, slice.len())).collect();
            let packets = Arc::new(Packets { columns, rows: slice.len() });
            self.queue.push_back(Work { packets, hashes: slice.into(), start: 0 });
        }
        Ok(())
    }

    /// Gives workers what waits, and the store what was computed.
    fn launch(&mut self) -> Result<(), FunctionStageError> {
        while self.failure.is_none() && self.running.len() < self.parts.concurrency.max(1) {
            let Some(work) = self.queue.pop_front() else { break };
            self.start(work);
        }
        while self.committing.is_none() && !self.fresh.keys.is_empty() {
            self.commit()?;
        }
        Ok(())
    }

    fn start(&mut self, work: Work) {
        let function = Arc::clone(&self.parts.function);
        let stop = Arc::clone(&self.stop);
        match &self.parts.function.call {
            Call::Sql(call) => {
                // Fast, and no user's code: computed where it stands.
                match call.run(&work.packets) {
                    Ok(computed) => {
                        if let Err(error) = self.done(Done { work, computed }) {
                            self.failure.get_or_insert(error);
                        }
                    }
                    Err(failure) => self.failure = Some(self.packet_failed(&work, 0, failure)),
                }
            }
            Call::Blocking(call) => {
                let call = Arc::clone(call);
                let worker = tokio::task::spawn_blocking(move || {
                    let computed = call.run(&function.signature, &work.packets, work.start, &stop);
                    Done { work, computed }
                });
                self.running.push(Box::pin(async move { worker.await.ok() }));
            }
            Call::Waiting(call) => {
                // The rest of the slice goes back into the queue.
                let call = self.opened.as_ref().unwrap_or(call);
                let next = work.start + call.packets_per_call().max(1);
                if next < work.packets.rows {
                    let (packets, hashes) = (Arc::clone(&work.packets), Arc::clone(&work.hashes));
                    self.queue.push_front(Work { packets, hashes, start: next });
                }
                let end = work.packets.rows.min(next);
                let work = Work { hashes: work.hashes.get(..end).unwrap_or_default().into(), ..work };
                let call = Arc::clone(call);
                // A task of its own goes on while this node waits for its consumers; it ends with
                // its set, so that it does not outlive this node.
                let mut task = JoinSet::new();
                task.spawn(async move {
                    let computed = call
                        .run(&function.signature, &work.packets, work.start..end, Limits::default())
                        .await;
                    Done { work, computed }
                });
                self.running.push(Box::pin(async move { task.join_next().await?.ok() }));
            }
        }
    }

    /// Takes a worker's answer: outcomes become fresh, the rest of its packets waits again.
    fn done(&mut self, done: Done) -> Result<(), FunctionStageError> {
        let Done { work, computed } = done;
        let count = computed.emitted.len();
        self.parts.counters.computed.fetch_add(count as u64, Relaxed);
        let end = work.start + count;
        let keys = work.hashes.get(work.start..end).unwrap_or_default();
        if computed.failures.is_empty() {
            self.fresh.keys.extend_from_slice(keys);
            self.fresh.emitted.extend(computed.emitted);
            self.fresh.values.push(computed.values);
        } else {
            let mut good = vec![true; count];
            for (at, _) in &computed.failures {
                if let Some(good) = good.get_mut(*at) {
                    *good = false;
                }
            }
            let pick = BooleanArray::from(good.clone());
            let values = computed.values.iter().map(|column| filter(column, &pick));
            self.fresh.values.push(values.collect::<Result<_, _>>()?);
            let picked = good.iter().zip(keys).zip(computed.emitted).filter(|((good, _), _)| **good);
            for ((_, key), emitted) in picked {
                self.fresh.keys.push(*key);
                self.fresh.emitted.push(emitted);
            }
        }
        if let Some((at, failure)) = computed.failures.into_iter().next() {
            if self.failure.is_none() {
                self.failure = Some(self.packet_failed(&work, at, failure));
            }
        } else if end < work.hashes.len() {
            self.queue.push_front(Work { start: end, ..work });
        }
        Ok(())
    }

    fn packet_failed(&self, work: &Work, offset: usize, failure: Failure) -> FunctionStageError {
        let hash = work.hashes.get(work.start + offset);
        FunctionStageError::Packet {
            function: self.name(),
            packet: hash.map_or_else(String::new, |h| h.0.hex(12)),
            failure: failure.kind,
            cause: failure.cause,
        }
    }

    /// Begins to commit what is fresh; without a cache it fills the window at once.
    fn commit(&mut self) -> Result<(), FunctionStageError> {
        let results = self.fresh.take()?;
        let keys = results.keys.clone();
        if self.parts.cache == CacheMode::Off {
            let none = ResultRef { block: 0, row: 0 };
            let references = vec![none; keys.len()];
            let outcomes = Outcomes { references, emitted: results.emitted, values: results.values };
            self.committed(&keys, outcomes);
            return Ok(());
        }
        let mode = match self.parts.cache {
            CacheMode::Refresh => CommitMode::Refresh,
            _ => CommitMode::First,
        };
        let store = Arc::clone(&self.parts.results);
        let function = Arc::clone(&self.parts.function.stored);
        let results = NewResults { mode, ..results };
        let outcomes = Box::pin(async move { store.commit(function, results).await });
        self.committing = Some(Committing { keys, outcomes });
        Ok(())
    }

    fn committed(&mut self, keys: &[PacketHash], outcomes: Outcomes) {
        let outcomes = Arc::new(outcomes);
        for (row, key) in (0_u32..).zip(keys) {
            let places = self.flying.remove(key).unwrap_or_default();
            self.window.fill(&outcomes, places.into_iter().map(|place| (place, row)));
        }
    }

    /// Waits for a worker or for the commit.
    ///
    /// Cancellation: an answer is taken or still there.
    async fn event(&mut self) {
        let committing = async {
            match &mut self.committing {
                Some(committing) => (&mut committing.outcomes).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            result = committing => {
                let keys = self.committing.take().map(|committing| committing.keys).unwrap_or_default();
                match result {
                    Ok(outcomes) => self.committed(&keys, outcomes),
                    Err(error) => self.lost(error.into()),
                }
            }
            Some(done) = self.running.next() => {
                let taken = match done {
                    Some(done) => self.done(done),
                    None => Err(FunctionStageError::Worker { function: self.name() }),
                };
                if let Err(error) = taken {
                    self.failure.get_or_insert(error);
                }
            },
            else => {}
        }
    }

    /// What is fresh cannot be stored any more: nothing is left to be saved.
    fn lost(&mut self, error: FunctionStageError) {
        self.fresh = Fresh::default();
        self.failure = Some(error);
    }

    /// Takes the rows at the front, records them, and gives those that were not dropped.
    async fn emit(&mut self) -> Result<Option<Chunk>, FunctionStageError> {
        let Some(ready) = self.window.pop(&self.parts.function, &self.outputs)? else { return Ok(None) };
        self.parts.counters.dropped.fetch_add(ready.dropped as u64, Relaxed);
        if ready.chunk.rows() == 0 {
            return Ok(None);
        }
        if let Some(recorder) = &mut self.parts.recorder {
            recorder.append(ready.chunk.clone(), ready.references).await?;
        }
        Ok(Some(ready.chunk))
    }

    fn count_reused(&self, rows: usize) {
        self.parts.counters.reused.fetch_add(rows as u64, Relaxed);
    }
}

impl Stage for FunctionStage {
    fn accept(&mut self, _: usize, item: Item) -> Result<(), StageError> {
        match item {
            Item::Chunk(chunk) => self.arrived = Some(chunk),
            Item::End => self.ended = true,
        }
        Ok(())
    }

    fn step(&mut self) -> BoxFuture<'_, Result<Step, StageError>> {
        Box::pin(async { Ok(self.advance().await?) })
    }

    fn progress(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            if self.running.is_empty() && self.committing.is_none() {
                std::future::pending::<()>().await;
            }
            self.event().await;
        })
    }
}

impl Fresh {
    /// How many of the oldest outcomes one commit takes.
    fn commit_rows(&self) -> usize {
        let columns = self.values.iter().flatten();
        let bytes: usize = columns.map(|c| c.to_data().get_slice_memory_size().unwrap_or(0)).sum();
        let each = bytes.div_ceil(self.keys.len().max(1)).max(1);
        self.keys.len().min(COMMIT_ROWS).min((COMMIT_BYTES / each).max(1))
    }

    /// Takes the oldest outcomes.
    fn take(&mut self) -> Result<NewResults, FunctionStageError> {
        let count = self.commit_rows();
        let keys = self.keys.drain(..count).collect();
        let emitted = self.emitted.drain(..count).collect();
        let outputs = self.values.first().map_or(0, Vec::len);
        let mut values = Vec::with_capacity(outputs);
        let mut rest = Vec::with_capacity(outputs);
        for output in 0..outputs {
            let parts: Vec<&dyn Array> =
                self.values.iter().filter_map(|batch| batch.get(output).map(AsRef::as_ref)).collect();
            let all = concat(&parts)?;
            rest.push(all.slice(count, all.len() - count));
            values.push(all.slice(0, count));
        }
        self.values = if self.keys.is_empty() { Vec::new() } else { vec![rest] };
        Ok(NewResults { keys, emitted, values, mode: CommitMode::First })
    }
}
