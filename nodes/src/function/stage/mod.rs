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
//! | file | what |
//! |---|---|
//! | `admit.rs` | from a chunk to packets that have to be computed |
//! | `calls.rs`, `work.rs` | calls: begun, answered, timed out, tried again |
//! | `claims.rs` | slow packets that another process or node is at |
//! | `commit.rs`, `uncommitted.rs` | outcomes: committed, compared, put into the window |
//! | `flights.rs` | packets in flight and the rows that wait for them |
//! | `failures.rs` | packets that failed for good |
//! | `window.rs` | rows that wait, and what they take |
//! | `emit.rs` | rows that leave, put together |
//!
//! Bounds: the window holds `WINDOW_ROWS` rows and `WINDOW_BYTES` bytes, or one chunk; what is full looks
//! nothing more up and calls nothing, unless nothing else could let a row leave. A few commits are under way,
//! and the next one takes what was computed meanwhile.

mod admit;
mod calls;
mod claims;
mod commit;
mod counters;
mod emit;
mod error;
mod failures;
mod flights;
mod uncommitted;
mod verify;
mod window;
mod work;

pub use counters::FunctionCounters;
pub use verify::{Difference, Differences};

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use anabranch_engine::chunk::Chunk;
use anabranch_engine::operator::Item;
use anabranch_engine::provenance::{Origin, OriginId, Origins};
use anabranch_engine::stage::{Stage, StageError, StageStep};
use anabranch_engine::store::{FailureStore, Recorder, ResultStore};
use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use tokio::time::{Instant, timeout_at};

use super::bound::{BoundFunction, Call};
use super::compute::{AsyncFunction, Closing, Failure, Limits};
use super::knobs::{CacheMode, CallOptions};
use admit::{Flights, LookupQueue};
use calls::CallLimiter;
use claims::ClaimedByOthers;
use counters::add;
use error::FunctionStageError;
use failures::Failures;
use uncommitted::Uncommitted;
use window::Window;
use work::{Committed, Event, Work};

use crate::worker::{Authors, StrayOutput};

/// Rows that may wait for their outcomes before no more input is taken.
const WINDOW_ROWS: usize = 32_768;
/// Bytes of rows and outcomes that may wait.
const WINDOW_BYTES: usize = 32 << 20;
/// Fewer rows wait for the rest of their chunk as long as there is something else to do.
const LEAVE_ROWS: usize = 1_024;

/// How long a node that has failed waits for calls under way whose workers may turn out to be not believed.
const LAST_CALLS: Duration = Duration::from_secs(1);

/// Where packets that are set aside are written down.
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

/// What a function stage is put together from.
pub struct StageParts {
    /// The function.
    pub function: Arc<BoundFunction>,
    /// What it does with stored results; [`CacheMode::Off`] for one that cannot be cached.
    pub cache: CacheMode,
    /// How calls are made.
    pub calls: CallOptions,
    /// Where results are looked up and stored; not used if the cache is off.
    pub results: Arc<dyn ResultStore>,
    /// Where rows are recorded, if they are; nowhere where the cache is off or verified.
    pub recorder: Option<Box<dyn Recorder>>,
    /// Where packets are set aside.
    pub failures: FailureSink,
    /// The run's origin table.
    pub origins: Arc<Origins>,
    /// What is counted.
    pub counters: Arc<FunctionCounters>,
    /// Where [`CacheMode::Verify`] tells what it finds.
    pub differences: Arc<Differences>,
    /// The run's workers whose answers may yet turn out to be not believed.
    pub authors: Arc<Authors>,
}

/// A function at work.
pub struct FunctionStage {
    parts: StageParts,
    /// What the code began for this run alone.
    opened: Option<Arc<dyn AsyncFunction>>,
    outputs: Vec<OriginId>,
    limits: Limits,
    stop: Arc<AtomicBool>,
    arrived: Option<Chunk>,
    entrance: LookupQueue,
    ended: bool,
    window: Window,
    flights: Flights,
    /// Packets that wait for a call.
    queue: VecDeque<Work>,
    pace: CallLimiter,
    elsewhere: ClaimedByOthers,
    uncommitted: Uncommitted,
    /// Commits under way, and their bytes.
    commits: usize,
    committing_bytes: usize,
    failures: Failures,
    /// Everything that is under way.
    events: FuturesUnordered<BoxFuture<'static, Event>>,
    failure: Option<FunctionStageError>,
    /// When calls under way are no longer waited for, once the node has failed.
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
        let stored = &parts.function.stored;
        let (function, fingerprint): (Arc<str>, Arc<str>) =
            (stored.name.as_str().into(), stored.fingerprint.short().into());
        let recording = parts.recorder.as_ref().and_then(|recorder| recorder.number());
        let origin = |output: &str| {
            parts.origins.add(Origin::Output {
                function: Arc::clone(&function),
                fingerprint: Arc::clone(&fingerprint),
                output: output.into(),
                recording,
            })
        };
        let outputs = stored.outputs.iter().map(|f| origin(f.name())).collect();
        let opened = match &parts.function.call {
            Call::Async(call) => call.open(),
            Call::Sql(_) | Call::Blocking(_) => None,
        };
        Self {
            opened,
            outputs,
            limits: Limits { timeout: parts.calls.timeout },
            stop: Arc::default(),
            arrived: None,
            entrance: LookupQueue::default(),
            ended: false,
            window: Window::new(parts.calls.order, recording.is_some()),
            flights: Flights::default(),
            queue: VecDeque::new(),
            pace: CallLimiter::new(&parts.calls),
            elsewhere: ClaimedByOthers::default(),
            uncommitted: Uncommitted::default(),
            commits: 0,
            committing_bytes: 0,
            failures: Failures::default(),
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
            if let Some(chunk) = self.arrived.take()
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
                let (ready, whole) = self.window.front();
                if whole || ready >= LEAVE_ROWS || (ready > 0 && self.would_wait()) {
                    if let Some(chunk) = self.emit().await? {
                        return Ok(StageStep::Output(chunk));
                    }
                    continue;
                }
                if !self.ended && self.entrance.is_free() && self.has_room() {
                    return Ok(StageStep::NeedInput(vec![0]));
                }
                if self.ended && self.window.is_empty() && self.is_saved() {
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
                // Nothing that fills the window can leave before.
                None if self.entrance.is_held() && self.failure.is_none() => self.go_on()?,
                None => return Err(FunctionStageError::Stalled { function: self.name() }),
            }
        }
    }

    /// The next event; none if there is none, or if calls of a node that has failed take too long.
    async fn next_event(&mut self) -> Option<Event> {
        match self.given_up.filter(|_| self.failure.is_some() && self.is_saved()) {
            Some(until) => timeout_at(until, self.events.next()).await.ok().flatten(),
            None => self.events.next().await,
        }
    }

    /// Whether the node has failed and calls go on whose ends may show that workers are not to be believed.
    fn awaits_calls(&mut self) -> bool {
        let unproven = self.opened.as_ref().is_some_and(|opened| opened.is_unproven());
        if !unproven || self.pace.is_idle() {
            return false;
        }
        Instant::now() < *self.given_up.get_or_insert_with(|| Instant::now() + LAST_CALLS)
    }

    /// Lets workers end by themselves. One that is not believed is the failure, whatever else is.
    async fn close_workers(&mut self, after: Closing) {
        let Some(opened) = self.opened.take() else { return };
        if let Some(failure) = opened.close(after).await
            && let Some(stray) = self.stray(&failure)
        {
            self.failure = Some(stray);
        }
    }

    /// The error of a worker that is not believed.
    fn stray(&self, failure: &Failure) -> Option<FunctionStageError> {
        let cause = failure.cause.downcast_ref::<StrayOutput>()?.clone();
        Some(FunctionStageError::Stray { function: self.name(), cause })
    }

    /// Whether more input may come in.
    fn has_room(&self) -> bool {
        self.window.is_empty() || (self.window.rows() < WINDOW_ROWS && self.waiting_bytes() < WINDOW_BYTES)
    }

    /// Bytes of rows and of outcomes that wait.
    fn waiting_bytes(&self) -> usize {
        self.window.bytes() + self.uncommitted.bytes() + self.committing_bytes + self.failures.bytes()
    }

    /// Whether nothing more can be done without waiting.
    fn would_wait(&self) -> bool {
        !self.events.is_empty() || !self.ended
    }

    /// Whether nothing is left that has to reach the store.
    fn is_saved(&self) -> bool {
        self.commits == 0 && self.uncommitted.rows() == 0 && self.failures.is_written()
    }

    /// Begins what can begin: look-ups, calls, commits, the writing of failures.
    fn launch(&mut self) -> Result<(), FunctionStageError> {
        if self.failure.is_none()
            && let Err(error) = self.admit()
        {
            self.failure = Some(error);
        }
        if self.failure.is_none() {
            self.call()?;
        }
        self.commit()?;
        self.write_failures(self.failure.is_some() || (self.ended && self.window.is_empty()));
        Ok(())
    }

    /// Lets something begin now whose end is an event.
    fn under_way(&mut self, mut event: BoxFuture<'static, Event>) {
        // It is asked again, with who is to be woken, before anybody waits.
        match event.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(event) => self.events.push(Box::pin(std::future::ready(event))),
            Poll::Pending => self.events.push(event),
        }
    }

    /// Deals with something that has happened.
    fn take(&mut self, event: Event) {
        let taken = match event {
            Event::Committed(Committed { flights, held, bytes, authors, outcomes }) => {
                self.commits -= 1;
                self.committing_bytes = self.committing_bytes.saturating_sub(bytes);
                let committed = outcomes.map(|outcomes| {
                    self.note_authors(&authors, &outcomes);
                    self.committed(&flights, outcomes);
                });
                // Others look the packets up once they are given back: not before the commit.
                drop(held);
                committed.map_err(|error| self.lost(error))
            }
            Event::WrittenDown(outcome) => {
                self.failures.written();
                outcome.map_err(|error| {
                    self.failures.clear();
                    error.into()
                })
            }
            Event::Found(found) => self.looked_up(found),
            Event::Looked(works, found) => {
                self.looked_elsewhere();
                self.looked(works, found)
            }
            call => self.answered(call),
        };
        if let Err(error) = taken {
            self.failure.get_or_insert(error);
        }
    }

    /// What is fresh cannot be stored any more: nothing is left to be saved.
    fn lost(&mut self, error: FunctionStageError) -> FunctionStageError {
        self.uncommitted.clear();
        error
    }

    /// Waits for the store, and deals with calls and commits meanwhile; what fails of these is told later.
    async fn meanwhile<T>(&mut self, store: impl Future<Output = T>) -> T {
        let mut store = std::pin::pin!(store);
        loop {
            tokio::select! {
                biased;
                answer = &mut store => return answer,
                Some(event) = self.events.next(), if !self.events.is_empty() => {
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
        let Some(ready) = self.window.pop(&self.parts.function, &self.outputs)? else { return Ok(None) };
        add(&self.parts.counters.dropped, ready.dropped);
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
        match item {
            Item::Chunk(chunk) => self.arrived = Some(chunk),
            Item::End => self.ended = true,
        }
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
