//! Calls: begun, answered, left behind, tried again.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use anabranch_engine::store::Claimant;
use arrow::array::BooleanArray;
use arrow::compute::filter;
use tokio::time::Instant;

use super::super::bound::Call;
use super::super::compute::{Computed, Failure, TimeSlice};
use super::super::knobs::{CacheMode, CallOptions, Rate};
use super::error::FunctionStageError;
use super::work::{Event, Work, look_up_first, on_task, on_thread, unchanged};
use super::{FunctionStage, WINDOW_BYTES};
use crate::worker::LateImports;

/// Packets that a worker is given at once, as long as they are not known to be fast.
const SLICE_ROWS: usize = 1_024;
/// Packets that a worker is given at once at most.
const MOST_SLICE_ROWS: usize = 8_192;
/// Time that a worker should take for what it is given; handing over less costs more than it is worth.
const SLICE: Duration = Duration::from_millis(1);
/// A call that takes no longer, on average, gives the most that a worker is given within 5 ms.
const FAST: Duration = Duration::from_nanos(600);
/// A call that takes so long, on average, is worth asking first whether somebody else is at it.
const SLOW: Duration = Duration::from_millis(1);
/// Time behind a rate that later calls make up for.
const MADE_UP: Duration = Duration::from_millis(10);
/// How much of the average of calls a new one makes.
const NEW_PART: f64 = 0.2;

/// How many calls are under way, how long they take, and when the next may begin.
#[derive(Debug)]
pub(super) struct CallLimiter {
    concurrency: usize,
    /// Calls under way, those included that took too long and whose threads go on.
    busy: usize,
    /// Threads whose calls took too long.
    held: usize,
    /// Counts threads that came back, so that one that waits for any of them can tell.
    freed: u64,
    /// Time that a packet takes, by a moving average.
    each: Option<f64>,
    interval: Option<Duration>,
    next: Option<Instant>,
    /// Whether the stage is woken when the next call may begin.
    ticking: bool,
}

impl CallLimiter {
    pub(super) fn new(calls: &CallOptions) -> Self {
        Self {
            concurrency: calls.concurrency.get(),
            busy: 0,
            held: 0,
            freed: 0,
            each: None,
            interval: calls.rate.map(Rate::interval),
            next: None,
            ticking: false,
        }
    }

    /// Whether no call is under way.
    pub(super) fn is_idle(&self) -> bool {
        self.busy == 0
    }

    pub(super) fn is_free(&self) -> bool {
        self.busy < self.concurrency
    }

    fn measured(&mut self, packets: usize, took: Duration) {
        let packets = u32::try_from(packets.max(1)).unwrap_or(u32::MAX);
        let each = took.as_secs_f64() / f64::from(packets);
        self.each = Some(self.each.map_or(each, |mean| mean + NEW_PART * (each - mean)));
    }

    /// Whether a packet takes so long that claims pay.
    fn is_slow(&self) -> bool {
        self.each.is_some_and(|each| each >= SLOW.as_secs_f64())
    }

    /// Whether calls are under way that take no longer than a slice should. Those that wait for a rate
    /// do not come soon, and nothing but the rate tells when to look again.
    pub(super) fn ends_soon(&self) -> bool {
        let fast = |each: f64| each <= FAST.as_secs_f64();
        self.busy > self.held && self.interval.is_none() && self.each.is_some_and(fast)
    }

    /// Packets that a worker is given at once.
    fn slice(&self) -> usize {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "brought into bounds")]
        let rows = |each: f64| (SLICE.as_secs_f64() / each) as usize;
        self.each.map_or(SLICE_ROWS, rows).clamp(SLICE_ROWS, MOST_SLICE_ROWS)
    }

    /// How long the next call has to wait; none if it may begin.
    fn wait(&self) -> Option<Duration> {
        self.next?.checked_duration_since(Instant::now()).filter(|wait| !wait.is_zero())
    }

    /// Notes that a call begins. Timers are late by a little, which is made up for.
    fn called(&mut self) {
        let Some(interval) = self.interval else { return };
        let now = Instant::now();
        let earliest = now.checked_sub(MADE_UP).unwrap_or(now);
        self.next = Some(self.next.map_or(now, |next| next.max(earliest)) + interval);
    }
}

impl FunctionStage {
    /// Gives workers what waits.
    pub(super) fn call(&mut self) -> Result<(), FunctionStageError> {
        while self.failure.is_none() && self.pace.is_free() && self.may_call() {
            if self.queue.is_empty() {
                self.look_elsewhere();
                break;
            }
            if let Some(wait) = self.pace.wait() {
                self.tick(wait);
                break;
            }
            let Some(work) = self.next_work() else { break };
            if let Some(work) = self.claimed(work)? {
                self.pace.called();
                self.begin(work);
            }
        }
        Ok(())
    }

    /// Whether the window can take another outcome; at least one call is always under way.
    fn may_call(&self) -> bool {
        self.waiting_bytes() < WINDOW_BYTES || (self.pace.busy == 0 && self.commits == 0)
    }

    pub(super) fn tick(&mut self, wait: Duration) {
        if !std::mem::replace(&mut self.pace.ticking, true) {
            self.events.push(Box::pin(async move {
                tokio::time::sleep(wait).await;
                Event::Tick
            }));
        }
    }

    /// The packets of the next call.
    fn next_work(&mut self) -> Option<Work> {
        let concurrency = self.pace.concurrency;
        let alone = self.takes_one() || self.queue.front()?.alone;
        let work = self.queue.front_mut()?;
        let size = match &self.parts.function.call {
            Call::Sql(_) => work.len(),
            Call::Blocking(call) if alone && (work.alone || !call.takes_chunks()) => 1,
            Call::Blocking(_) => work.len().div_ceil(concurrency).clamp(1, self.pace.slice()),
            Call::Async(_) if alone => 1,
            Call::Async(call) => self.opened.as_ref().unwrap_or(call).packets_per_call().max(1),
        };
        if size >= work.len() {
            return self.queue.pop_front();
        }
        Some(work.cut(size))
    }

    /// Whether calls are made packet by packet, so that they can be claimed or counted.
    fn takes_one(&self) -> bool {
        self.pace.interval.is_some() || self.claims()
    }

    /// Whether packets are claimed before they are computed.
    pub(super) fn claims(&self) -> bool {
        let single = match &self.parts.function.call {
            Call::Sql(_) => false,
            Call::Blocking(call) => !call.takes_chunks(),
            Call::Async(_) => true,
        };
        single && self.parts.cache == CacheMode::Reuse && self.pace.is_slow()
    }

    fn begin(&mut self, work: Work) {
        let function = Arc::clone(&self.parts.function);
        let signature = Arc::clone(&function.signature);
        let (limits, call) = (
            self.limits,
            match &function.call {
                Call::Sql(_) => {
                    self.evaluate(work);
                    return;
                }
                Call::Blocking(call) => {
                    let (call, slice) =
                        (Arc::clone(call), TimeSlice::new(Arc::clone(&self.stop), self.limits));
                    Begin::Thread(call, slice)
                }
                Call::Async(call) => Begin::Task(Arc::clone(self.opened.as_ref().unwrap_or(call))),
            },
        );
        self.pace.busy += 1;
        let looked = work.held.is_some().then(|| look_up_first(&self.parts.results, &function.stored, &work));
        let begin = move |work| match call {
            Begin::Thread(call, slice) => on_thread(call, signature, work, slice, limits),
            Begin::Task(call) => on_task(call, signature, work, limits),
        };
        let event = match looked {
            None => begin(work),
            // Whoever held the claim before may just have committed.
            Some(looked) => Box::pin(async move {
                match looked.await {
                    Ok(found) if !found.hits.contains(&true) => begin(work).await,
                    found => Event::Known(work, found),
                }
            }),
        };
        self.events.push(event);
    }

    /// Evaluates expressions where it stands: fast, and no user's code. What fails is halved until
    /// the packets at fault are alone.
    fn evaluate(&mut self, work: Work) {
        let function = Arc::clone(&self.parts.function);
        let Call::Sql(call) = &function.call else { return };
        let mut waiting = VecDeque::from([work]);
        while let Some(mut work) = waiting.pop_front() {
            let computed = match call.run(&work.packets()) {
                Ok(computed) => computed,
                Err(_) if work.len() > 1 => {
                    let first = work.cut(work.len() / 2);
                    waiting.push_front(work);
                    waiting.push_front(first);
                    continue;
                }
                Err(failure) => Computed::failed(&function.signature, failure),
            };
            if let Err(error) = self.done(work, computed) {
                self.failure.get_or_insert(error);
            }
            if self.failure.is_some() {
                return;
            }
        }
    }

    /// Deals with what has become of a call.
    pub(super) fn answered(&mut self, event: Event) -> Result<(), FunctionStageError> {
        match event {
            Event::Done(work, computed, took) => {
                self.pace.busy -= 1;
                self.pace.measured(computed.emitted.len(), took);
                self.done(work, computed)
            }
            Event::TimedOut(work, packet, thread) => {
                self.left_behind(thread);
                self.timed_out(work, packet);
                Ok(())
            }
            Event::Failed(packet, failure, unchanged) => {
                unchanged?;
                self.failed(packet, failure);
                Ok(())
            }
            Event::Known(work, found) => {
                self.pace.busy -= 1;
                self.looked(vec![work], found)
            }
            Event::Vanished => {
                self.pace.busy -= 1;
                Err(FunctionStageError::Worker { function: self.name() })
            }
            Event::Freed => {
                self.pace.busy -= 1;
                self.pace.held -= 1;
                self.pace.freed += 1;
                Ok(())
            }
            Event::Held(freed) => self.still_held(freed),
            Event::Again(work) => {
                self.queue.push_front(work);
                Ok(())
            }
            Event::Tick => {
                self.pace.ticking = false;
                Ok(())
            }
            Event::Committed(_) | Event::WrittenDown(_) | Event::Found(_) | Event::Looked(..) => Ok(()),
        }
    }

    /// Takes an answer: outcomes become fresh, failures are dealt with, the rest waits again.
    fn done(&mut self, mut work: Work, computed: Computed) -> Result<(), FunctionStageError> {
        if !computed.is_whole(&self.parts.function.signature, work.len()) {
            return Err(FunctionStageError::Answer { function: self.name() });
        }
        let Computed { emitted, values, failures, author } = computed;
        let mut done = work.cut(emitted.len());
        if work.len() > 0 {
            self.queue.push_front(work);
        }
        if failures.is_empty() {
            let held = done.held.take();
            self.uncommitted.push(done.keys, emitted, values, (done.seen, held, author));
            return Ok(());
        }
        let mut good = vec![true; emitted.len()];
        for (at, _) in &failures {
            if let Some(good) = good.get_mut(*at) {
                *good = false;
            }
        }
        let chosen = |(good, value)| if good { Some(value) } else { None };
        let keys = done.keys.marked(&good);
        let emitted = good.iter().copied().zip(emitted).filter_map(chosen).collect();
        let pick = BooleanArray::from(good);
        let values = values.iter().map(|column| filter(column, &pick)).collect::<Result<_, _>>()?;
        self.uncommitted.push(keys, emitted, values, (done.seen, None, author));
        for (at, failure) in failures {
            let mut packet = done.part(at..at + 1);
            packet.held = if done.len() == 1 { done.held.take() } else { None };
            self.doubted(packet, failure);
        }
        Ok(())
    }

    /// A failure counts only if it is the function's own, and not that of other code than was planned.
    fn doubted(&mut self, packet: Work, failure: Failure) {
        if let Some(late) = failure.cause.downcast_ref::<LateImports>() {
            let late = FunctionStageError::Late { function: self.name(), cause: late.clone() };
            self.failure.get_or_insert(late);
            return;
        }
        if let Some(stray) = self.stray(&failure) {
            self.failure.get_or_insert(stray);
            return;
        }
        let function = Arc::clone(&self.parts.function);
        if function.stamps.is_empty() {
            self.failed(packet, failure);
            return;
        }
        self.events.push(Box::pin(async move {
            let unchanged = unchanged(&function).await;
            Event::Failed(packet, failure, unchanged)
        }));
    }

    /// Tries a packet again after a while, or gives it up.
    fn failed(&mut self, mut work: Work, failure: Failure) {
        let hash = work.hashes().first().copied();
        let delay = hash.and_then(|hash| self.parts.calls.retry.delay(&hash, work.attempt));
        // Expressions fail again where they have failed.
        let again = !failure.is_lasting() && !matches!(self.parts.function.call, Call::Sql(_));
        match delay.filter(|_| again && self.failure.is_none()) {
            Some(delay) => {
                work.attempt += 1;
                work.alone = true;
                self.events.push(Box::pin(async move {
                    tokio::time::sleep(delay).await;
                    Event::Again(work)
                }));
            }
            None => {
                if let Some(id) = work.flight() {
                    self.give_up(id, work.attempt, failure);
                }
            }
        }
    }

    /// A call took too long at a packet. The others wait again: those before it were computed, but
    /// the answer is with the thread.
    fn timed_out(&mut self, mut work: Work, packet: usize) {
        let Some(timeout) = self.limits.timeout else { return };
        let chunk = matches!(&self.parts.function.call, Call::Blocking(call) if call.takes_chunks());
        if chunk && work.len() > 1 {
            // One of them is too slow, or all together are: alone, each has the time to itself.
            work.alone = true;
            self.queue.push_front(work);
            return;
        }
        let (total, held) = (work.len(), work.held.take());
        for part in [packet + 1..total, 0..packet] {
            if !part.is_empty() {
                self.queue.push_front(work.part(part));
            }
        }
        let mut late = work.part(packet..packet + 1);
        late.held = held;
        self.failed(late, Failure::timed_out(timeout));
    }

    /// A thread goes on although its call took too long; it counts as a call until it ends.
    fn left_behind(&mut self, thread: tokio::task::JoinHandle<()>) {
        self.pace.held += 1;
        self.events.push(Box::pin(async move {
            // Whether it ended well is of no interest any more.
            let _ = thread.await;
            Event::Freed
        }));
        if let Some(timeout) = self.limits.timeout.filter(|_| self.pace.held >= self.pace.concurrency) {
            let freed = self.pace.freed;
            self.events.push(Box::pin(async move {
                tokio::time::sleep(timeout).await;
                Event::Held(freed)
            }));
        }
    }

    /// All threads were held a while ago: if none came back since, none will.
    fn still_held(&mut self, freed: u64) -> Result<(), FunctionStageError> {
        if self.pace.freed != freed || self.window.is_empty() {
            return Ok(());
        }
        Err(FunctionStageError::Held {
            function: self.name(),
            threads: self.pace.held,
            timeout: self.limits.timeout.unwrap_or_default(),
        })
    }
}

/// Code that is about to be called.
enum Begin {
    Thread(Arc<dyn super::super::compute::BlockingFunction>, TimeSlice),
    Task(Arc<dyn super::super::compute::AsyncFunction>),
}

/// Takes part in claims: only a function whose calls are slow makes one.
pub(super) type Claims = Option<Box<dyn Claimant>>;
