//! The stage that runs a function: look up, join a call in flight, compute, commit, record, emit.
//!
//! ```text
//! chunk -> hash -> known in flight? --yes--> wait with it
//!                   | no                      (the next chunk is hashed meanwhile)
//!                  look up -- hit ------------------------------> outcome
//!                   | miss                                          ^
//!                  queue -> call (at most `concurrency`) -> commit -'
//!                   ^         | failed
//!                   '-- wait -'-> for good: stop | skip | set aside
//! outcomes fill the window; its front leaves in input order, recorded first
//! ```
//!
//! The packet's path is in the state machines of [`machine`](super::machine), which know neither futures nor the clock.
//! The stage connects them with the store, workers and timers.
//!
//! | file | commands and events |
//! |---|---|
//! | `look_up.rs` | look-ups of chunks, and of packets that others compute |
//! | `calls.rs`, `tasks.rs` | claims and calls |
//! | `commit.rs`, `verify.rs` | outcomes: committed or compared |
//! | `failures.rs` | packets that failed for good |
//!
//! Bounds: the buffer holds `WINDOW_ROWS` rows and `WINDOW_BYTES` bytes, or one chunk; what is full looks
//! nothing more up and calls nothing, unless nothing else could let a row leave. A few commits are under way,
//! and the next one takes what was computed meanwhile.

mod calls;
mod commit;
mod counters;
mod error;
mod failures;
mod look_up;
mod tasks;
mod verify;

pub use counters::FunctionCounters;
pub use verify::{Difference, Differences};

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use anabranch_engine::chunk::Chunk;
use anabranch_engine::operator::Item;
use anabranch_engine::provenance::{OriginId, Origins};
use anabranch_engine::stage::{Stage, StageError, StageStep};
use anabranch_engine::store::{Claimant, ClientId, FailureStore, Recorder, ResultStore};
use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use tokio::time::{sleep_until, timeout_at};

use super::bound::{BoundFunction, Call};
use super::machine::call_scheduler::{CallKind, CallScheduler};
use super::machine::commit_queue::CommitQueue;
use super::machine::lookup::LookupMachine;
use super::machine::reorder_buffer::{OutcomeBatch, ReorderBuffer};
use crate::arrived::Arrived;
use crate::call::{AsyncFunction, Authors, CacheMode, CallOptions, Closing, Failure, Limits, StrayOutput};
use error::FunctionStageError;
use failures::SetAsideQueue;
use look_up::ByPacket;
use tasks::StageEvent;

/// Rows that may wait for their outcomes before no more input is taken.
const WINDOW_ROWS: usize = 32_768;
/// Bytes of rows and outcomes that may wait.
const WINDOW_BYTES: usize = 32 << 20;
/// Fewer rows wait for the rest of their chunk as long as there is something else to do.
const LEAVE_ROWS: usize = 1_024;

/// Maximum wait of a failed node for calls under way whose workers may turn out to be untrusted.
const LAST_CALLS: Duration = Duration::from_secs(1);

/// Store of packets that are set aside.
#[derive(Debug, Clone)]
pub struct FailureSink {
    /// The store.
    pub store: Arc<dyn FailureStore>,
    /// The run.
    pub run: String,
    /// Name of the pipeline.
    pub pipeline: String,
    /// Name of the node.
    pub node: String,
}

/// Parts of a function stage.
pub struct StageParts {
    /// The function.
    pub function: Arc<BoundFunction>,
    /// Use of stored results; [`CacheMode::Off`] for a function that cannot be cached.
    pub cache: CacheMode,
    /// Options of calls.
    pub calls: CallOptions,
    /// Store of results; not used if the cache is off.
    pub results: Arc<dyn ResultStore>,
    /// Recorder of rows, if they are recorded; none where the cache is off or verified.
    pub recorder: Option<Box<dyn Recorder>>,
    /// Store of packets that are set aside.
    pub failures: FailureSink,
    /// The run's origin table.
    pub origins: Arc<Origins>,
    /// Counters.
    pub counters: Arc<FunctionCounters>,
    /// Findings of [`CacheMode::Verify`].
    pub differences: Arc<Differences>,
    /// The run's workers whose answers may turn out to be untrusted.
    pub authors: Arc<Authors>,
}

/// A function at work: the state machines of a packet's path, and everything that is under way for them.
pub struct FunctionStage {
    parts: StageParts,
    /// Processes and the like that the code has for this run alone.
    opened: Option<Arc<dyn AsyncFunction>>,
    outputs: Vec<OriginId>,
    limits: Limits,
    /// Set when the stage is dropped: calls on threads end.
    stop: Arc<AtomicBool>,
    input: Arrived,
    lookup: LookupMachine,
    calls: CallScheduler,
    commits: CommitQueue,
    buffer: ReorderBuffer,
    set_aside: SetAsideQueue,
    /// Outcomes of the store for packets that are computed to be compared with them.
    stored: ByPacket<(Arc<OutcomeBatch>, u32)>,
    /// True once a refreshing node knows the snapshot from before it began.
    has_baseline: bool,
    claimant: Option<Arc<dyn Claimant>>,
    /// Identifies this stage in its commits.
    client: ClientId,
    /// Number of the next row that leaves, if these are recorded.
    next_row: Option<u64>,
    /// Everything that is under way.
    events: FuturesUnordered<BoxFuture<'static, StageEvent>>,
    failure: Option<FunctionStageError>,
    /// Time at which a failed node stops waiting for calls under way.
    given_up: Option<Instant>,
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
        let recording = parts.recorder.as_ref().and_then(|recorder| recorder.number());
        let outputs = parts.function.output_origins(&parts.origins, recording);
        let opened = match &parts.function.code.call {
            Call::Async(call) => call.open(),
            Call::Sql(_) | Call::Blocking(_) => None,
        };
        let reads = parts.cache != CacheMode::Off;
        let shares = parts.cache == CacheMode::Reuse;
        Self {
            opened,
            outputs,
            limits: Limits { timeout: parts.calls.timeout },
            stop: Arc::default(),
            input: Arrived::default(),
            lookup: LookupMachine::new(reads),
            calls: CallScheduler::new(CallKind::of(&parts.function.code.call), &parts.calls, shares),
            commits: CommitQueue::default(),
            buffer: ReorderBuffer::new(parts.calls.order),
            set_aside: SetAsideQueue::default(),
            stored: ByPacket::default(),
            has_baseline: false,
            claimant: None,
            client: parts.results.client(),
            next_row: recording.is_some().then_some(0),
            events: FuturesUnordered::new(),
            failure: None,
            given_up: None,
            parts,
        }
    }

    fn name(&self) -> String {
        self.parts.function.stored.name.clone()
    }

    async fn advance(&mut self) -> Result<StageStep, FunctionStageError> {
        loop {
            if let Some(chunk) = self.input.take()
                && let Err(error) = self.hash(chunk).await
            {
                self.failure.get_or_insert(error);
            }
            self.launch()?;
            if self.failure.is_some() {
                if self.is_saved() && !self.awaits_calls() {
                    self.close_workers(Closing::Failed).await;
                    let stalled = FunctionStageError::Stalled { function: self.name() };
                    return Err(self.failure.take().unwrap_or(stalled));
                }
            } else {
                let (ready, whole) = self.buffer.front();
                if whole || ready >= LEAVE_ROWS || (ready > 0 && self.would_wait()) {
                    if let Some(chunk) = self.emit().await? {
                        return Ok(StageStep::Output(chunk));
                    }
                    continue;
                }
                if !self.input.ended && self.lookup.accepts() && self.has_room() {
                    return Ok(StageStep::NeedInput(vec![0]));
                }
                if self.input.ended && self.buffer.is_empty() && self.is_saved() {
                    // Their ends may show that answers were not their packets'.
                    self.close_workers(Closing::Done).await;
                    if let Some(error) = self.failure.take() {
                        return Err(error);
                    }
                    if let Some(recorder) = self.parts.recorder.take() {
                        recorder.complete().await?;
                    }
                    return Ok(StageStep::Done);
                }
            }
            match self.next_event().await {
                Some(event) => self.take(event),
                None if self.failure.is_some() && self.is_saved() => self.given_up = Some(Instant::now()),
                // Outcomes fill the buffer, and nothing else can let a row leave.
                None if self.lookup.is_held() && self.failure.is_none() => self.look_up(true)?,
                None => return Err(FunctionStageError::Stalled { function: self.name() }),
            }
        }
    }

    /// The next event; none if nothing is under way, or if calls of a node that has failed take too long.
    async fn next_event(&mut self) -> Option<StageEvent> {
        if let Some(wake) = self.next_wake() {
            if self.events.is_empty() {
                sleep_until(wake.into()).await;
                return Some(StageEvent::Wake);
            }
            return timeout_at(wake.into(), self.events.next()).await.unwrap_or(Some(StageEvent::Wake));
        }
        match self.given_up.filter(|_| self.failure.is_some() && self.is_saved()) {
            Some(until) => timeout_at(until.into(), self.events.next()).await.ok().flatten(),
            None => self.events.next().await,
        }
    }

    /// The next moment at which a machine has something to do.
    fn next_wake(&self) -> Option<Instant> {
        if self.failure.is_some() {
            return None;
        }
        [self.calls.next_wake(Instant::now()), self.commits.gathers_until].into_iter().flatten().min()
    }

    /// True if the node has failed and calls go on whose ends may show that workers are not trusted.
    fn awaits_calls(&mut self) -> bool {
        let unproven = self.opened.as_ref().is_some_and(|opened| opened.is_unproven());
        if !unproven || self.calls.limiter.is_idle() {
            return false;
        }
        Instant::now() < *self.given_up.get_or_insert_with(|| Instant::now() + LAST_CALLS)
    }

    /// Lets workers end by themselves. One that is not trusted is the failure, before any other.
    async fn close_workers(&mut self, after: Closing) {
        let Some(opened) = self.opened.take() else { return };
        if let Some(failure) = opened.close(after).await
            && let Some(stray) = self.stray(&failure)
        {
            self.failure = Some(stray);
        }
    }

    /// The error of a worker that is not trusted.
    fn stray(&self, failure: &Failure) -> Option<FunctionStageError> {
        let cause = failure.cause.downcast_ref::<StrayOutput>()?.clone();
        Some(FunctionStageError::Stray { function: self.name(), cause })
    }

    /// True if more input may come in.
    fn has_room(&self) -> bool {
        self.buffer.is_empty() || (self.buffer.rows < WINDOW_ROWS && self.waiting_bytes() < WINDOW_BYTES)
    }

    /// Bytes of rows and of outcomes that wait.
    fn waiting_bytes(&self) -> usize {
        self.buffer.bytes + self.commits.bytes() + self.set_aside.bytes
    }

    /// True if nothing more can be done without waiting.
    fn would_wait(&self) -> bool {
        !self.events.is_empty() || !self.input.ended || self.next_wake().is_some()
    }

    /// True if nothing is left that has to reach the store.
    fn is_saved(&self) -> bool {
        self.commits.is_empty() && self.set_aside.is_written()
    }

    /// Begins what can begin: look-ups, calls, commits, the writing of failures.
    fn launch(&mut self) -> Result<(), FunctionStageError> {
        if self.failure.is_none()
            && let Err(error) = self.look_up(self.has_room_for_outcomes())
        {
            self.failure = Some(error);
        }
        if self.failure.is_none() {
            self.call()?;
        }
        self.commit()?;
        self.write_failures(self.failure.is_some() || (self.input.ended && self.buffer.is_empty()));
        Ok(())
    }

    /// Lets something begin now whose end is an event.
    fn begin_now(&mut self, mut event: BoxFuture<'static, StageEvent>) {
        // It is polled again, with the waker of the stage, before the stage waits.
        match event.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(event) => self.events.push(Box::pin(std::future::ready(event))),
            Poll::Pending => self.events.push(event),
        }
    }

    /// Takes an event.
    fn take(&mut self, event: StageEvent) {
        let taken = match event {
            StageEvent::Committed(end) => self.commit_ended(end),
            StageEvent::FailuresWritten(outcome) => {
                self.set_aside.writing = false;
                outcome.map_err(|error| {
                    self.set_aside.clear();
                    error.into()
                })
            }
            StageEvent::Found(found) => self.looked_up(found),
            StageEvent::OthersFound(packets, found) => {
                self.calls.looked_up_others();
                self.found_others(packets, found)
            }
            StageEvent::ClaimedFound(packets, found) => {
                self.calls.call_vanished();
                self.found_others(vec![packets], found)
            }
            StageEvent::Answered(packets, computed, took) => self.answered(packets, computed, took),
            StageEvent::TimedOut(packets, packet, thread) => {
                self.timed_out(packets, packet, thread);
                Ok(())
            }
            StageEvent::Failed(packet, failure, unchanged) => {
                unchanged.map(|()| self.failed(packet, failure))
            }
            StageEvent::Vanished => {
                self.calls.call_vanished();
                Err(FunctionStageError::Worker { function: self.name() })
            }
            StageEvent::ThreadFreed => {
                self.calls.thread_freed();
                Ok(())
            }
            StageEvent::Wake => self.held().map_or(Ok(()), Err),
        };
        if let Err(error) = taken {
            self.failure.get_or_insert(error);
        }
    }

    /// Waits for the store, and takes events meanwhile; failures among them count afterwards.
    async fn meanwhile<T>(&mut self, store: impl Future<Output = T>) -> T {
        let mut store = std::pin::pin!(store);
        loop {
            tokio::select! {
                biased;
                answer = &mut store => return answer,
                Some(event) = self.next_event() => {
                    self.take(event);
                    if let Err(error) = self.launch() {
                        self.failure.get_or_insert(error);
                    }
                }
            }
        }
    }

    /// Takes the rows at the front, records them, and gives those that were not dropped.
    async fn emit(&mut self) -> Result<Option<Chunk>, FunctionStageError> {
        let function = Arc::clone(&self.parts.function);
        let Some(leaving) = self.buffer.pop(&function.signature.outputs)? else { return Ok(None) };
        let ready = leaving.assemble(&function, &self.outputs, self.next_row)?;
        self.next_row = self.next_row.map(|next| next + ready.references.len() as u64);
        self.parts.counters.dropped.add(ready.dropped);
        if ready.chunk.rows() == 0 {
            return Ok(None);
        }
        if let Some(mut recorder) = self.parts.recorder.take() {
            let appended = recorder.append_traced(ready.chunk.clone(), ready.references, ready.taken);
            let appended = self.meanwhile(appended).await;
            self.parts.recorder = Some(recorder);
            appended?;
        }
        Ok(Some(ready.chunk))
    }
}

impl Stage for FunctionStage {
    fn accept(&mut self, _: usize, item: Item) -> Result<(), StageError> {
        self.input.accept(item);
        Ok(())
    }

    fn step(&mut self) -> BoxFuture<'_, Result<StageStep, StageError>> {
        Box::pin(async { Ok(self.advance().await?) })
    }

    fn progress(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            // An event is taken or still there, wherever this future is dropped.
            match self.events.next().await {
                Some(event) => self.take(event),
                None => std::future::pending().await,
            }
        })
    }
}
