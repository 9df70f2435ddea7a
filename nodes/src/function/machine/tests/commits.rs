//! Times and sizes of commits.

use std::time::{Duration, Instant};

use arrow::array::StringViewArray;

use super::super::call_scheduler::ComputedPackets;
use super::super::commit_queue::{CommitBatch, CommitQueue};
use super::*;

/// Results and bytes that one commit takes.
const COMMIT_ROWS: usize = 8_192;

fn answer(range: std::ops::Range<usize>, values: ArrayRef) -> ComputedPackets {
    let emitted = vec![true; range.len()];
    let (claim, author) = (None, None);
    ComputedPackets {
        keys: keys(range),
        emitted,
        values: vec![values],
        snapshot: Snapshot::EMPTY,
        claim,
        author,
    }
}

fn push(queue: &mut CommitQueue, range: std::ops::Range<usize>, now: Instant) {
    queue.push(answer(range.clone(), integers(range)), now);
}

fn pop(queue: &mut CommitQueue) -> Option<CommitBatch> {
    queue.pop(Instant::now()).unwrap()
}

#[test]
fn commits_take_the_oldest_rows_up_to_their_size_and_in_order() {
    let (mut queue, now) = (CommitQueue::default(), Instant::now());
    let mut at = 0;
    for size in [1, 5_000, 3_000, 20_000, 7] {
        push(&mut queue, at..at + size, now);
        at += size;
    }
    let mut seen = 0;
    while let Some(CommitBatch { results: taken, flights, .. }) = pop(&mut queue) {
        let count = taken.keys.len();
        assert!(count == COMMIT_ROWS || queue.is_empty(), "{count}");
        let found = values(&taken.values[0]);
        for (n, at) in (seen..seen + count).zip(0..) {
            assert_eq!((taken.keys[at], found[at]), (key(n), i64::try_from(n).ok()));
            assert_eq!(flights[at], keys(n..n + 1).flights()[0]);
        }
        seen += count;
    }
    assert_eq!((seen, queue.bytes()), (at, 0));
}

#[test]
fn large_rows_share_a_commit_by_their_bytes_and_the_largest_have_one_each() {
    let (mut queue, now) = (CommitQueue::default(), Instant::now());
    let string = |bytes: usize| -> ArrayRef { Arc::new(StringViewArray::from(vec!["x".repeat(bytes)])) };
    for (n, bytes) in [1 << 20, 3 << 20, 9 << 20, 100, 5 << 20].into_iter().enumerate() {
        queue.push(answer(n..n + 1, string(bytes)), now);
    }
    let sizes: Vec<usize> =
        std::iter::from_fn(|| pop(&mut queue)).map(|batch| batch.results.keys.len()).collect();
    assert_eq!(sizes.iter().sum::<usize>(), 5);
    assert!(sizes.iter().all(|n| *n <= 2), "{sizes:?}");
    assert_eq!(queue.bytes(), 0);
}

#[test]
fn a_commit_that_is_not_full_waits_for_the_one_before() {
    let (mut queue, now) = (CommitQueue::default(), Instant::now());
    push(&mut queue, 0..1, now);
    let first = queue.advance(now, false).unwrap().unwrap();
    push(&mut queue, 1..2, now);
    assert!(queue.advance(now, false).unwrap().is_none());
    assert!(!queue.is_idle());
    queue.committed(first.bytes);
    push(&mut queue, 2..3, now);
    let second = queue.advance(now, false).unwrap().unwrap();
    assert_eq!(second.results.keys, [key(1), key(2)]);
    queue.committed(second.bytes);
    assert!(queue.is_empty());
    assert_eq!(queue.bytes(), 0);
}

#[test]
fn full_commits_are_under_way_together_up_to_three() {
    let (mut queue, now) = (CommitQueue::default(), Instant::now());
    push(&mut queue, 0..5 * COMMIT_ROWS, now);
    let batches: Vec<_> = std::iter::from_fn(|| queue.advance(now, false).unwrap()).collect();
    assert_eq!(batches.len(), 3);
    let bytes = queue.bytes();
    queue.committed(batches[1].bytes);
    assert!(queue.bytes() < bytes);
    assert!(queue.advance(now, false).unwrap().is_some());
    assert!(queue.advance(now, false).unwrap().is_none());
}

#[test]
fn outcomes_wait_a_few_milliseconds_for_those_of_calls_that_end_soon() {
    let (mut queue, now) = (CommitQueue::default(), Instant::now());
    push(&mut queue, 0..1, now);
    assert!(queue.advance(now, true).unwrap().is_none());
    let wake = queue.gathers_until.unwrap();
    assert_eq!(wake, now + Duration::from_millis(5));
    push(&mut queue, 1..2, now + Duration::from_millis(4));
    assert!(queue.advance(now + Duration::from_millis(4), true).unwrap().is_none());
    let batch = queue.advance(wake, true).unwrap().unwrap();
    assert_eq!((batch.results.keys.len(), queue.gathers_until), (2, None));
    // A full commit waits for nothing.
    push(&mut queue, 2..COMMIT_ROWS + 2, wake);
    assert!(queue.advance(wake, true).unwrap().is_some());
}

#[test]
fn outcomes_that_cannot_be_stored_are_dropped_while_other_commits_go_on() {
    let (mut queue, now) = (CommitQueue::default(), Instant::now());
    push(&mut queue, 0..2 * COMMIT_ROWS + 1, now);
    let first = queue.advance(now, false).unwrap().unwrap();
    let second = queue.advance(now, false).unwrap().unwrap();
    queue.committed(first.bytes);
    queue.clear();
    assert!(!queue.is_empty());
    queue.committed(second.bytes);
    assert!(queue.is_empty());
}

#[test]
#[should_panic(expected = "a commit ends once")]
fn a_commit_that_ends_twice_breaks_an_invariant() {
    let (mut queue, now) = (CommitQueue::default(), Instant::now());
    push(&mut queue, 0..1, now);
    let batch = queue.advance(now, false).unwrap().unwrap();
    queue.committed(batch.bytes);
    queue.committed(batch.bytes);
}
