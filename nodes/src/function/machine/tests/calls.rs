//! Calls: concurrency, rate, retries, timeouts and claims.

use std::num::{NonZeroU32, NonZeroUsize};
use std::time::{Duration, Instant};

use anabranch_engine::store::Claim;

use super::super::call_scheduler::{CallCommand, CallKind, CallScheduler};
use super::*;
use crate::call::{CallOptions, Computed, Failure, FailureKind, Rate, Retry};

const MILLI: Duration = Duration::from_millis(1);

fn options(concurrency: usize) -> CallOptions {
    CallOptions { concurrency: NonZeroUsize::new(concurrency).unwrap(), ..CallOptions::default() }
}

/// The packets that a scheduler calls now.
fn begin(scheduler: &mut CallScheduler, now: Instant) -> Option<PendingPackets> {
    match scheduler.advance(now, true, 3)? {
        CallCommand::Begin(packets) => Some(packets),
        CallCommand::Claim(_) => panic!("a claim"),
        CallCommand::Find(_) => panic!("a look-up"),
    }
}

fn computed(range: std::ops::Range<usize>, failed: &[usize]) -> Computed {
    let failure = |row: &usize| (*row, Failure::new(FailureKind::Failed, "no"));
    let emitted = vec![true; range.len()];
    let failures = failed.iter().map(failure).collect();
    Computed { emitted, values: vec![integers(range)], failures, author: None }
}

fn failure() -> Failure {
    Failure::new(FailureKind::Failed, "no")
}

/// A scheduler whose calls have been slow, so that packets are claimed.
fn slow(concurrency: usize, now: Instant) -> CallScheduler {
    let mut scheduler = CallScheduler::new(CallKind::Packets, &options(concurrency), true);
    scheduler.push(pending(0..1));
    let packets = begin(&mut scheduler, now).unwrap();
    scheduler.call_ended(1, 2 * MILLI);
    scheduler.answered(packets, computed(0..1, &[])).unwrap();
    scheduler
}

#[test]
fn no_more_calls_are_under_way_than_concurrency_allows() {
    let now = Instant::now();
    let mut scheduler = CallScheduler::new(CallKind::Tasks, &options(2), true);
    scheduler.push(pending(0..10));
    let first = begin(&mut scheduler, now).unwrap();
    assert_eq!(numbers(&first), [0, 1, 2]);
    assert_eq!(numbers(&begin(&mut scheduler, now).unwrap()), [3, 4, 5]);
    assert!(scheduler.advance(now, true, 3).is_none());
    scheduler.call_ended(3, MILLI);
    assert!(scheduler.advance(now, false, 3).is_none(), "no room for outcomes");
    assert_eq!(numbers(&begin(&mut scheduler, now).unwrap()), [6, 7, 8]);
    assert!(!scheduler.limiter.is_idle());
}

#[test]
fn expressions_take_all_packets_and_no_place_of_a_call() {
    let now = Instant::now();
    let mut scheduler = CallScheduler::new(CallKind::Expressions, &options(1), true);
    scheduler.push(pending(0..5_000));
    scheduler.push(pending(5_000..5_001));
    assert_eq!(begin(&mut scheduler, now).unwrap().len(), 5_000);
    assert!(scheduler.limiter.is_idle());
    assert_eq!(begin(&mut scheduler, now).unwrap().len(), 1);
}

#[test]
fn packets_without_an_answer_come_next() {
    let now = Instant::now();
    let mut scheduler = CallScheduler::new(CallKind::Tasks, &options(1), true);
    scheduler.push(pending(0..5));
    let packets = begin(&mut scheduler, now).unwrap();
    scheduler.call_ended(1, MILLI / 2);
    let answer = scheduler.answered(packets, computed(0..1, &[])).unwrap();
    assert_eq!(
        (answer.outcomes.keys.hashes(), values(&answer.outcomes.values[0])),
        (&[key(0)][..], vec![Some(0)])
    );
    assert_eq!(answer.outcomes.snapshot, Snapshot::new(7));
    assert_eq!(numbers(&begin(&mut scheduler, now).unwrap()), [1, 2]);
}

#[test]
fn packets_that_failed_are_apart_from_those_with_outcomes() {
    let now = Instant::now();
    let mut scheduler = CallScheduler::new(CallKind::Tasks, &options(1), true);
    scheduler.push(pending(0..3));
    let packets = begin(&mut scheduler, now).unwrap();
    scheduler.call_ended(3, MILLI);
    let answer = scheduler.answered(packets, computed(0..3, &[1])).unwrap();
    assert_eq!(values(&answer.outcomes.values[0]), [Some(0), Some(2)]);
    assert_eq!(
        (answer.outcomes.keys.hashes(), answer.outcomes.emitted),
        (&[key(0), key(2)][..], vec![true, true])
    );
    let failed: Vec<_> = answer.failed.iter().map(|(packet, _)| numbers(packet)).collect();
    assert_eq!(failed, [[1]]);
}

#[test]
fn a_failed_packet_is_tried_again_alone_after_its_wait_and_before_others() {
    let now = Instant::now();
    let retry = Retry::attempts(NonZeroU32::new(3).unwrap()).backoff(8 * MILLI).jitter(0.0);
    let mut scheduler = CallScheduler::new(CallKind::Tasks, &CallOptions { retry, ..options(1) }, true);
    scheduler.push(pending(1..9));
    assert!(scheduler.failed(pending(0..1), failure(), now).is_none());
    assert_eq!(scheduler.next_wake(now), Some(now + 8 * MILLI));
    assert_eq!(numbers(&begin(&mut scheduler, now + 7 * MILLI).unwrap()), [1, 2, 3]);
    scheduler.call_vanished();
    let again = begin(&mut scheduler, now + 8 * MILLI).unwrap();
    assert_eq!((numbers(&again), again.attempt), (vec![0], 2));
    // Twice as long after the second attempt; the third is the last.
    let now = now + 10 * MILLI;
    assert!(scheduler.failed(again, failure(), now).is_none());
    assert_eq!(scheduler.next_wake(now), Some(now + 16 * MILLI));
    scheduler.call_vanished();
    let again = begin(&mut scheduler, now + 16 * MILLI).unwrap();
    let given_up = scheduler.failed(again, failure(), now).unwrap();
    assert_eq!((given_up.flight, given_up.attempts), (FlightId(0), 3));
}

#[test]
fn retries_at_one_moment_keep_their_order_from_the_front() {
    let now = Instant::now();
    let retry = Retry::attempts(NonZeroU32::new(2).unwrap()).backoff(MILLI).jitter(0.0);
    let mut scheduler = CallScheduler::new(CallKind::Tasks, &CallOptions { retry, ..options(9) }, true);
    for n in 0..3 {
        scheduler.failed(pending(n..n + 1), failure(), now);
    }
    let called: Vec<_> =
        std::iter::from_fn(|| begin(&mut scheduler, now + MILLI)).map(|p| numbers(&p)).collect();
    assert_eq!(called, [[2], [1], [0]]);
}

#[test]
fn packets_that_cannot_be_passed_and_expressions_are_not_tried_again() {
    let now = Instant::now();
    let retry = Retry::attempts(NonZeroU32::new(9).unwrap());
    let options = CallOptions { retry, ..options(1) };
    let mut scheduler = CallScheduler::new(CallKind::Tasks, &options, true);
    let lasting = Failure::new(FailureKind::NotPassed, "null");
    assert!(scheduler.failed(pending(0..1), lasting, now).is_some());
    let mut scheduler = CallScheduler::new(CallKind::Expressions, &options, true);
    assert!(scheduler.failed(pending(0..1), failure(), now).is_some());
}

#[test]
fn calls_begin_at_even_distances_one_packet_each() {
    let mut now = Instant::now();
    let rate = Some(Rate::per_second(50.0).unwrap());
    let mut scheduler = CallScheduler::new(CallKind::Tasks, &CallOptions { rate, ..options(9) }, true);
    scheduler.push(pending(0..9));
    assert_eq!(begin(&mut scheduler, now).unwrap().len(), 1);
    assert!(scheduler.advance(now, true, 3).is_none());
    assert_eq!(scheduler.next_wake(now), Some(now + 20 * MILLI));
    // A timer that is late by 5 ms is made up for; 15 ms of a delay of 25 ms are not.
    now += 25 * MILLI;
    assert!(begin(&mut scheduler, now).is_some());
    assert_eq!(scheduler.next_wake(now), Some(now + 15 * MILLI));
    now += 40 * MILLI;
    assert!(begin(&mut scheduler, now).is_some());
    assert_eq!(scheduler.next_wake(now), Some(now + 10 * MILLI));
}

#[test]
fn a_rate_holds_for_retries_as_well() {
    let now = Instant::now();
    let rate = Some(Rate::per_second(50.0).unwrap());
    let retry = Retry::attempts(NonZeroU32::new(2).unwrap()).backoff(MILLI).jitter(0.0);
    let mut scheduler = CallScheduler::new(CallKind::Tasks, &CallOptions { retry, rate, ..options(9) }, true);
    scheduler.push(pending(0..1));
    let packet = begin(&mut scheduler, now).unwrap();
    scheduler.call_vanished();
    scheduler.failed(packet, failure(), now);
    assert_eq!(scheduler.next_wake(now), Some(now + MILLI));
    assert!(scheduler.advance(now + MILLI, true, 3).is_none());
    assert_eq!(scheduler.next_wake(now + MILLI), Some(now + 20 * MILLI));
    assert!(begin(&mut scheduler, now + 20 * MILLI).is_some());
}

#[test]
fn a_call_that_takes_too_long_fails_its_packet_and_holds_its_thread() {
    let now = Instant::now();
    let timeout = Some(5 * MILLI);
    let mut scheduler = CallScheduler::new(CallKind::Packets, &CallOptions { timeout, ..options(2) }, true);
    scheduler.push(pending(0..10));
    let first = begin(&mut scheduler, now).unwrap();
    assert_eq!(first.len(), 5);
    let (late, failure) = scheduler.timed_out(first, 2, now).unwrap();
    assert_eq!((numbers(&late), failure.kind), (vec![2], FailureKind::TimedOut));
    // The packets before and behind it wait again; the thread counts as a call.
    let second = begin(&mut scheduler, now).unwrap();
    assert_eq!(numbers(&second), [0]);
    assert!(scheduler.advance(now, true, 1).is_none());
    assert_eq!(scheduler.gives_up_threads(now + 5 * MILLI), None);
    scheduler.timed_out(second, 0, now);
    assert_eq!(scheduler.next_wake(now), Some(now + 5 * MILLI));
    assert_eq!(scheduler.gives_up_threads(now + 4 * MILLI), None);
    assert_eq!(scheduler.gives_up_threads(now + 5 * MILLI), Some(2));
}

#[test]
fn a_thread_that_comes_back_in_time_lets_calls_go_on() {
    let now = Instant::now();
    let timeout = Some(5 * MILLI);
    let mut scheduler = CallScheduler::new(CallKind::Packets, &CallOptions { timeout, ..options(1) }, true);
    scheduler.push(pending(0..2));
    let packets = begin(&mut scheduler, now).unwrap();
    scheduler.timed_out(packets, 0, now);
    scheduler.thread_freed();
    assert_eq!(scheduler.gives_up_threads(now + 5 * MILLI), None);
    assert_eq!(numbers(&begin(&mut scheduler, now).unwrap()), [1]);
}

#[test]
fn a_chunk_that_takes_too_long_is_called_again_packet_by_packet() {
    let now = Instant::now();
    let timeout = Some(5 * MILLI);
    let mut scheduler = CallScheduler::new(CallKind::Chunks, &CallOptions { timeout, ..options(1) }, true);
    scheduler.push(pending(0..3));
    let packets = begin(&mut scheduler, now).unwrap();
    assert_eq!(packets.len(), 3);
    assert!(scheduler.timed_out(packets, 0, now).is_none());
    scheduler.thread_freed();
    assert_eq!(numbers(&begin(&mut scheduler, now).unwrap()), [0]);
}

#[test]
fn slow_packets_are_claimed_one_by_one_and_called_with_their_claim() {
    let now = Instant::now();
    let mut scheduler = slow(2, now);
    scheduler.push(pending(1..3));
    let Some(CallCommand::Claim(packet)) = scheduler.advance(now, true, 3) else { panic!("no claim") };
    assert_eq!(numbers(&packet), [1]);
    assert!(scheduler.limiter.is_idle());
    let packet = scheduler.claimed(packet, Claim::new(vec![true], ()), now).unwrap();
    assert!(packet.claim.is_some() && !scheduler.limiter.is_idle());
    // The claim stays with a packet that failed, which is not claimed again.
    scheduler.call_ended(1, 2 * MILLI);
    let mut answer = scheduler.answered(packet, computed(1..2, &[0])).unwrap();
    assert!(answer.failed.pop().unwrap().0.claim.is_some());
    assert!(answer.outcomes.claim.is_none());
}

#[test]
fn packets_that_others_have_claimed_wait_behind_all_others_and_are_looked_up() {
    let now = Instant::now();
    let mut scheduler = slow(2, now);
    scheduler.push(pending(1..3));
    let Some(CallCommand::Claim(packet)) = scheduler.advance(now, true, 3) else { panic!("no claim") };
    assert!(scheduler.claimed(packet, Claim::new(vec![false], ()), now).is_none());
    let Some(CallCommand::Claim(packet)) = scheduler.advance(now, true, 3) else { panic!("no claim") };
    assert!(scheduler.claimed(packet, Claim::new(vec![false], ()), now).is_none());
    let Some(CallCommand::Find(packets)) = scheduler.advance(now, true, 3) else { panic!("no look-up") };
    assert_eq!(packets.iter().map(numbers).collect::<Vec<_>>(), [[1], [2]]);
    assert!(scheduler.advance(now, true, 3).is_none(), "one look-up at a time");
    // The first has an outcome; the second is not committed, so it is claimed again.
    scheduler.looked_up_others();
    assert_eq!(scheduler.found(packets, &[true, false]), [(FlightId(1), 0)]);
    let Some(CallCommand::Claim(packet)) = scheduler.advance(now, true, 3) else { panic!("no claim") };
    assert!(scheduler.claimed(packet, Claim::new(vec![false], ()), now).is_none());
    // The next look-up follows at once, since the last one found something; the one after it in vain waits.
    let Some(CallCommand::Find(packets)) = scheduler.advance(now, true, 3) else { panic!("no look-up") };
    scheduler.looked_up_others();
    assert!(scheduler.found(packets, &[false]).is_empty());
    let Some(CallCommand::Claim(packet)) = scheduler.advance(now, true, 3) else { panic!("no claim") };
    scheduler.claimed(packet, Claim::new(vec![false], ()), now);
    assert!(scheduler.advance(now, true, 3).is_none());
    assert_eq!(scheduler.next_wake(now), Some(now + 20 * MILLI));
    assert!(matches!(scheduler.advance(now + 20 * MILLI, true, 3), Some(CallCommand::Find(_))));
}

#[test]
fn an_answer_that_was_full_leaves_packets_to_the_next_look_up() {
    let now = Instant::now();
    let mut scheduler = slow(2, now);
    scheduler.looked_up_others();
    let found = scheduler.found(vec![pending(1..2), pending(2..3)], &[true]);
    assert_eq!(found, [(FlightId(1), 0)]);
    let Some(CallCommand::Find(packets)) = scheduler.advance(now, true, 3) else { panic!("no look-up") };
    assert_eq!(packets.iter().map(numbers).collect::<Vec<_>>(), [[2]]);
}

#[test]
#[should_panic(expected = "a call ends once")]
fn a_call_that_ends_twice_breaks_an_invariant() {
    let mut scheduler = CallScheduler::new(CallKind::Tasks, &options(1), true);
    scheduler.call_vanished();
}
