//! Number of calls under way, their duration, and when the next may begin.

use std::time::{Duration, Instant};

use crate::call::{CallOptions, Rate};

/// Packets of one call, as long as they are not known to be fast.
const SLICE_ROWS: usize = 1_024;
/// Maximum number of packets of one call.
const MOST_SLICE_ROWS: usize = 8_192;
/// Time that one call should take; handing over less costs more than it is worth.
const SLICE: Duration = Duration::from_millis(1);
/// Calls whose packets take no longer, on average, give the most that a call takes within 5 ms.
const FAST: Duration = Duration::from_nanos(600);
/// Calls whose packets take so long, on average, are worth a claim.
const SLOW: Duration = Duration::from_millis(1);
/// Time behind a rate that later calls make up for.
const MADE_UP: Duration = Duration::from_millis(10);
/// Weight of a new call in the average.
const NEW_PART: f64 = 0.2;

/// Concurrency and rate of calls, and the average time of a packet.
#[derive(Debug)]
pub(in crate::function) struct CallLimiter {
    pub(super) concurrency: usize,
    /// Calls under way, those included that took too long and whose threads go on.
    busy: usize,
    /// Threads whose calls took too long.
    pub(super) held: usize,
    /// Time that a packet takes, by a moving average.
    each: Option<f64>,
    pub(super) interval: Option<Duration>,
    next: Option<Instant>,
}

impl CallLimiter {
    pub(super) fn new(calls: &CallOptions) -> Self {
        Self {
            concurrency: calls.concurrency.get(),
            busy: 0,
            held: 0,
            each: None,
            interval: calls.rate.map(Rate::interval),
            next: None,
        }
    }

    /// True if no call is under way.
    pub(in crate::function) fn is_idle(&self) -> bool {
        self.busy == 0
    }

    /// True if another call may be under way.
    pub(super) fn is_free(&self) -> bool {
        self.busy < self.concurrency
    }

    /// Counts a call that begins. Timers are late by a little, which is made up for.
    pub(super) fn begin(&mut self, now: Instant, takes_a_thread: bool) {
        self.busy += usize::from(takes_a_thread);
        let Some(interval) = self.interval else { return };
        let earliest = now.checked_sub(MADE_UP).unwrap_or(now);
        self.next = Some(self.next.map_or(now, |next| next.max(earliest)) + interval);
    }

    /// Counts a call that has ended.
    pub(super) fn end(&mut self) {
        assert!(self.busy > 0, "a call ends once");
        self.busy -= 1;
    }

    /// Counts a call that took too long; its thread goes on.
    pub(super) fn hold(&mut self) {
        self.held += 1;
    }

    /// Counts a held thread that has come back.
    pub(super) fn release(&mut self) {
        assert!(self.held > 0, "a held thread comes back once");
        self.held -= 1;
        self.end();
    }

    /// Takes the duration of a call into the average.
    pub(super) fn measure(&mut self, packets: usize, took: Duration) {
        let packets = u32::try_from(packets.max(1)).unwrap_or(u32::MAX);
        let each = took.as_secs_f64() / f64::from(packets);
        self.each = Some(self.each.map_or(each, |mean| mean + NEW_PART * (each - mean)));
    }

    /// True if a packet takes so long that claims pay.
    pub(super) fn is_slow(&self) -> bool {
        self.each.is_some_and(|each| each >= SLOW.as_secs_f64())
    }

    /// True if calls are under way that take no longer than a slice should. Those that wait for a rate
    /// do not come soon, and nothing but the rate determines when to look again.
    pub(in crate::function) fn ends_soon(&self) -> bool {
        let fast = |each: f64| each <= FAST.as_secs_f64();
        self.busy > self.held && self.interval.is_none() && self.each.is_some_and(fast)
    }

    /// Packets of a call on a thread, of so many that wait.
    pub(super) fn slice(&self, waiting: usize) -> usize {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "brought into bounds")]
        let rows = |each: f64| (SLICE.as_secs_f64() / each) as usize;
        let most = self.each.map_or(SLICE_ROWS, rows).clamp(SLICE_ROWS, MOST_SLICE_ROWS);
        waiting.div_ceil(self.concurrency).clamp(1, most)
    }

    /// Time at which the next call may begin; none if it may begin now.
    pub(super) fn next_begin(&self, now: Instant) -> Option<Instant> {
        self.next.filter(|next| *next > now)
    }
}
