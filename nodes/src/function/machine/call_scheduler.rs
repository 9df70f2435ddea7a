//! Calls: which packets are called next and when, and what becomes of those that failed.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anabranch_engine::index::At as _;
use anabranch_engine::store::{Claim, Snapshot};
use arrow::array::{ArrayRef, BooleanArray};
use arrow::compute::filter;
use arrow::error::ArrowError;

use super::call_limiter::CallLimiter;
use super::flights::FlightId;
use super::pending::{PacketKeys, PendingPackets};
use crate::call::{Author, CallOptions, Computed, Failure, Retry};

/// Time until the store is read again for packets that others compute.
const POLL: Duration = Duration::from_millis(20);
/// Maximum number of packets that others compute in one look-up.
const POLL_PACKETS: usize = 64;

/// Kind of code, by the packets of one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::function) enum CallKind {
    /// Expressions over all packets at once, evaluated in place.
    Expressions,
    /// Code on a thread, called packet by packet within a time slice.
    Packets,
    /// Code on a thread, called once for many packets.
    Chunks,
    /// A task, with as many packets as the code takes.
    Tasks,
}

/// The next action of calls.
pub(in crate::function) enum CallCommand {
    /// Claim these packets; [`CallScheduler::claimed`] takes the claim.
    Claim(PendingPackets),
    /// Call these packets. Packets with a claim are looked up first, since their last holder may just have committed.
    Begin(PendingPackets),
    /// Look up these packets, which others compute; [`CallScheduler::found`] takes the answer.
    Find(Vec<PendingPackets>),
}

/// The answer of a call: outcomes to commit, and packets that failed.
pub(in crate::function) struct CallAnswer {
    pub(in crate::function) outcomes: ComputedPackets,
    pub(in crate::function) failed: Vec<(PendingPackets, Failure)>,
}

/// Outcomes that came together.
pub(in crate::function) struct ComputedPackets {
    pub(in crate::function) keys: PacketKeys,
    pub(in crate::function) emitted: Vec<bool>,
    pub(in crate::function) values: Vec<ArrayRef>,
    /// Newest block that the look-up saw which missed the packets.
    pub(in crate::function) snapshot: Snapshot,
    /// Keeps others from computing the packet, until it is committed.
    pub(in crate::function) claim: Option<Claim>,
    /// The worker that answered, where its answers may turn out to be untrusted.
    pub(in crate::function) author: Option<Arc<Author>>,
}

/// A packet that is not tried again.
pub(in crate::function) struct GivenUpPacket {
    pub(in crate::function) flight: FlightId,
    pub(in crate::function) attempts: u32,
    pub(in crate::function) failure: Failure,
}

/// Packets that wait for calls: concurrency, rate, retries, timeouts, claims.
pub(in crate::function) struct CallScheduler {
    kind: CallKind,
    /// False if claims are of no use: nothing that others compute is read.
    shares: bool,
    retry: Retry,
    timeout: Option<Duration>,
    pub(in crate::function) limiter: CallLimiter,
    queue: VecDeque<PendingPackets>,
    /// Packets that are tried again later, by the time and by their number: of several at one time the first comes first.
    retries: BTreeMap<(Instant, u64), PendingPackets>,
    retried: u64,
    others: ClaimedByOthers,
    /// Time at which held threads are given up, if none comes back before.
    held_until: Option<Instant>,
}

/// Packets that other nodes or processes have claimed. They wait behind all others: once nothing else is to do, the
/// store is read now and then, since a holder commits before it gives its claim back.
#[derive(Default)]
struct ClaimedByOthers {
    waiting: VecDeque<PendingPackets>,
    /// Packets that are looked up at a time.
    next: Option<(Instant, Vec<PendingPackets>)>,
    /// True from the plan of a look-up to its answer.
    looking: bool,
    /// True if the last answer had none of them.
    in_vain: bool,
}

impl CallScheduler {
    /// A scheduler without packets. `shares`: whether others may compute the same packets and commit them.
    pub(in crate::function) fn new(kind: CallKind, calls: &CallOptions, shares: bool) -> Self {
        Self {
            kind,
            shares,
            retry: calls.retry,
            timeout: calls.timeout,
            limiter: CallLimiter::new(calls),
            queue: VecDeque::new(),
            retries: BTreeMap::new(),
            retried: 0,
            others: ClaimedByOthers::default(),
            held_until: None,
        }
    }

    /// Takes packets, behind all others.
    pub(in crate::function) fn push(&mut self, packets: PendingPackets) {
        self.queue.push_back(packets);
    }

    /// Returns the next command; none while nothing may begin. The caller calls again after each event and at
    /// [`CallScheduler::next_wake`].
    ///
    /// `room`: whether rows may get further outcomes. `packets_per_call`: packets that a task takes.
    pub(in crate::function) fn advance(
        &mut self,
        now: Instant,
        room: bool,
        packets_per_call: usize,
    ) -> Option<CallCommand> {
        while let Some(retry) = self.retries.first_entry().filter(|retry| retry.key().0 <= now) {
            self.queue.push_front(retry.remove());
        }
        if let Some(due) = self.others.due(now) {
            return Some(CallCommand::Find(due));
        }
        if !room || !self.limiter.is_free() {
            return None;
        }
        if self.queue.is_empty() {
            self.others.plan(now);
            return self.others.due(now).map(CallCommand::Find);
        }
        if self.limiter.next_begin(now).is_some() {
            return None;
        }
        let packets = self.next_packets(packets_per_call)?;
        if packets.claim.is_none() && packets.attempt == 1 && self.claims() {
            return Some(CallCommand::Claim(packets));
        }
        Some(CallCommand::Begin(self.begin(packets, now)))
    }

    /// The next moment at which [`CallScheduler::advance`] or [`CallScheduler::gives_up_threads`] has something to do.
    pub(in crate::function) fn next_wake(&self, now: Instant) -> Option<Instant> {
        let retry = self.retries.first_key_value().map(|((at, _), _)| *at);
        let others = self.others.next.as_ref().map(|(at, _)| *at);
        let rate = (!self.queue.is_empty() && self.limiter.is_free()).then(|| self.limiter.next_begin(now));
        [retry, others, rate.flatten(), self.held_until].into_iter().flatten().min()
    }

    /// Takes a claim: returns the packets to call if all were won; else they wait behind all others.
    pub(in crate::function) fn claimed(
        &mut self,
        mut packets: PendingPackets,
        claim: Claim,
        now: Instant,
    ) -> Option<PendingPackets> {
        if claim.won.iter().all(|won| *won) {
            packets.claim = Some(claim);
            return Some(self.begin(packets, now));
        }
        self.others.waiting.push_back(packets);
        None
    }

    /// Takes the store's answer about packets that others compute: for each of the first, whether it has an outcome.
    /// Returns the flights that have one and its row among the outcomes; the others wait for a call or, where the
    /// answer was full, for a further look-up.
    pub(in crate::function) fn found(
        &mut self,
        packets: Vec<PendingPackets>,
        hits: &[bool],
    ) -> Vec<(FlightId, u32)> {
        let mut outcomes = Vec::new();
        let (mut hits, mut outcome) = (hits.iter(), 0_u32);
        for packets in packets {
            match hits.next() {
                None => {
                    self.others.in_vain = false;
                    self.others.waiting.push_back(packets);
                }
                Some(true) => {
                    self.others.in_vain = false;
                    outcomes.push((packets.flight(), outcome));
                    outcome += 1;
                }
                Some(false) => self.queue.push_back(packets),
            }
        }
        outcomes
    }

    /// The look-up of packets that others compute has ended.
    pub(in crate::function) fn looked_up_others(&mut self) {
        self.others.looking = false;
    }

    /// A call has ended with answers about so many packets.
    pub(in crate::function) fn call_ended(&mut self, packets: usize, took: Duration) {
        self.limiter.end();
        self.limiter.measure(packets, took);
    }

    /// A call has ended without an answer.
    pub(in crate::function) fn call_vanished(&mut self) {
        self.limiter.end();
    }

    /// Takes an answer about the first of the packets; the others wait for the next call.
    pub(in crate::function) fn answered(
        &mut self,
        mut packets: PendingPackets,
        computed: Computed,
    ) -> Result<CallAnswer, ArrowError> {
        let Computed { emitted, values, failures, author } = computed;
        let mut done = packets.cut(emitted.len());
        if packets.len() > 0 {
            self.queue.push_front(packets);
        }
        let snapshot = done.snapshot;
        if failures.is_empty() {
            let claim = done.claim.take();
            let outcomes = ComputedPackets { keys: done.keys, emitted, values, snapshot, claim, author };
            return Ok(CallAnswer { outcomes, failed: Vec::new() });
        }
        let mut good = vec![true; emitted.len()];
        for (row, _) in &failures {
            *good.at_mut(*row, "a failure is about a packet of the answer") = false;
        }
        let keys = done.keys.marked(&good);
        let emitted =
            good.iter().zip(emitted).filter_map(|(good, emitted)| good.then_some(emitted)).collect();
        let pick = BooleanArray::from(good);
        let values = values.iter().map(|column| filter(column, &pick)).collect::<Result<_, _>>()?;
        let alone = done.len() == 1;
        let mut claim = done.claim.take().filter(|_| alone);
        let failed = failures.into_iter().map(|(row, failure)| {
            let mut packet = done.part(row..row + 1);
            packet.claim = claim.take();
            (packet, failure)
        });
        let failed = failed.collect();
        let outcomes = ComputedPackets { keys, emitted, values, snapshot, claim: None, author };
        Ok(CallAnswer { outcomes, failed })
    }

    /// A call took too long at a packet, and its thread goes on. Returns the packet if it failed by that. The others
    /// wait again: those before it were computed, but the answer is with the thread.
    pub(in crate::function) fn timed_out(
        &mut self,
        mut packets: PendingPackets,
        packet: usize,
        now: Instant,
    ) -> Option<(PendingPackets, Failure)> {
        let Some(timeout) = self.timeout else {
            panic!("only calls with a timeout take too long");
        };
        self.limiter.hold();
        if self.limiter.held >= self.limiter.concurrency {
            self.held_until = Some(now + timeout);
        }
        if self.kind == CallKind::Chunks && packets.len() > 1 {
            // One of them is too slow, or all together are: alone, each has the time to itself.
            packets.alone = true;
            self.queue.push_front(packets);
            return None;
        }
        let (total, claim) = (packets.len(), packets.claim.take());
        for part in [packet + 1..total, 0..packet] {
            if !part.is_empty() {
                self.queue.push_front(packets.part(part));
            }
        }
        let mut late = packets.part(packet..packet + 1);
        late.claim = claim;
        Some((late, Failure::timed_out(timeout)))
    }

    /// A thread whose call took too long has come back.
    pub(in crate::function) fn thread_freed(&mut self) {
        self.limiter.release();
        self.held_until = None;
    }

    /// The number of threads, if all have been held for a further timeout: none will come back. Returned once.
    pub(in crate::function) fn gives_up_threads(&mut self, now: Instant) -> Option<usize> {
        self.held_until.take_if(|until| *until <= now).map(|_| self.limiter.held)
    }

    /// Tries a packet again after a while; returns it if it is given up.
    pub(in crate::function) fn failed(
        &mut self,
        mut packet: PendingPackets,
        failure: Failure,
        now: Instant,
    ) -> Option<GivenUpPacket> {
        let delay = packet.hashes().first().and_then(|hash| self.retry.delay(hash, packet.attempt));
        // Expressions fail again where they have failed.
        let again = !failure.is_lasting() && self.kind != CallKind::Expressions;
        let Some(delay) = delay.filter(|_| again) else {
            return Some(GivenUpPacket { flight: packet.flight(), attempts: packet.attempt, failure });
        };
        packet.attempt += 1;
        packet.alone = true;
        self.retried += 1;
        self.retries.insert((now + delay, self.retried), packet);
        None
    }

    fn begin(&mut self, packets: PendingPackets, now: Instant) -> PendingPackets {
        self.limiter.begin(now, self.kind != CallKind::Expressions);
        packets
    }

    /// The packets of the next call.
    fn next_packets(&mut self, packets_per_call: usize) -> Option<PendingPackets> {
        let takes_one = self.limiter.interval.is_some() || self.claims();
        let packets = self.queue.front_mut()?;
        let alone = takes_one || packets.alone;
        let size = match self.kind {
            CallKind::Expressions => packets.len(),
            CallKind::Packets | CallKind::Tasks if alone => 1,
            CallKind::Chunks if alone && packets.alone => 1,
            CallKind::Packets | CallKind::Chunks => self.limiter.slice(packets.len()),
            CallKind::Tasks => packets_per_call.max(1),
        };
        if size >= packets.len() {
            return self.queue.pop_front();
        }
        Some(packets.cut(size))
    }

    /// True if packets are claimed before they are computed.
    fn claims(&self) -> bool {
        let single = matches!(self.kind, CallKind::Packets | CallKind::Tasks);
        single && self.shares && self.limiter.is_slow()
    }
}

impl ClaimedByOthers {
    /// Plans the next look-up: at once, or a while after one in vain.
    fn plan(&mut self, now: Instant) {
        if self.looking || self.waiting.is_empty() {
            return;
        }
        self.looking = true;
        let count = self.waiting.len().min(POLL_PACKETS);
        let wait = if std::mem::replace(&mut self.in_vain, true) { POLL } else { Duration::ZERO };
        self.next = Some((now + wait, self.waiting.drain(..count).collect()));
    }

    /// Packets whose look-up is due.
    fn due(&mut self, now: Instant) -> Option<Vec<PendingPackets>> {
        self.next.take_if(|(at, _)| *at <= now).map(|(_, packets)| packets)
    }
}
