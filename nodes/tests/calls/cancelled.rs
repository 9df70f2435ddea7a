//! A node that is dropped in the middle: calls end, claims are given back, nothing goes on.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anabranch_engine::provenance::Origins;
use anabranch_nodes::function::{CallOptions, Function, OnError, PacketError, Retry};

use crate::fake::Fake;
use crate::node::{Node, Numbers, drive_until, f, options, packet, retry, settled};

/// Drives a node until something is so, drops it, and waits until something else is so.
fn dropped(node: &Node, numbers: &[i64], is_so: impl FnMut() -> bool, mut is_over: impl FnMut() -> bool) {
    let origins = Arc::new(Origins::default());
    let source = Numbers::new(&origins);
    let mut stage = node.stage(&origins, &source.schema);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        drive_until(&mut stage, source.chunks(&[numbers.to_vec()]), is_so).await;
        drop(stage);
        let begun = Instant::now();
        while !is_over() {
            tokio::task::yield_now().await;
            assert!(begun.elapsed() < Duration::from_mins(1), "something outlives the node");
        }
    });
    // Waits for threads, if any are left.
    drop(runtime);
}

/// Counts what is alive.
struct Alive(Arc<AtomicUsize>);

impl Alive {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, SeqCst);
        Self(Arc::clone(count))
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

/// A function whose calls wait for ever; counts those under way.
fn endless(alive: &Arc<AtomicUsize>) -> Function {
    let alive = Arc::clone(alive);
    f().call_async(move |_: i64| {
        let alive = Alive::new(&alive);
        async move {
            std::future::pending::<()>().await;
            drop(alive);
            Ok(0_i64)
        }
    })
}

/// Takes two milliseconds, so that its node claims what comes next.
fn slowly() {
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_millis(2) {
        std::hint::spin_loop();
    }
}

#[test]
fn async_calls_under_way_are_dropped() {
    let alive = Arc::new(AtomicUsize::new(0));
    let node = Node::new(endless(&alive), options());
    dropped(&node, &[1, 2, 3, 4, 5], || alive.load(SeqCst) == 3, || alive.load(SeqCst) == 0);
    assert_eq!(node.store.commits.load(SeqCst), 0);
}

#[test]
fn a_thread_that_computes_stops_after_the_packet_it_is_at() {
    let (open, closed) = std::sync::mpsc::sync_channel::<()>(0);
    let (closed, calls) = (Mutex::new(closed), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&calls);
    let function = f().call(move |n: i64| {
        counted.fetch_add(1, SeqCst);
        // Until the node is gone.
        let _ = closed.lock().unwrap().recv();
        Ok(n)
    });
    let node = Node::new(function, CallOptions { concurrency: NonZeroUsize::MIN, ..options() });
    let mut open = Some(open);
    let over = || {
        open = None;
        true
    };
    dropped(&node, &(0..100).collect::<Vec<_>>(), || calls.load(SeqCst) == 1, over);
    assert_eq!((calls.load(SeqCst), node.store.commits.load(SeqCst)), (1, 0));
}

#[test]
fn a_packet_that_waits_for_its_next_attempt_has_none() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let function = f().call_async(move |_: i64| {
        counted.fetch_add(1, SeqCst);
        async { Err::<i64, _>(PacketError::new("not yet")) }
    });
    let hour = Duration::from_hours(1);
    let node = Node::new(function, CallOptions { retry: retry(2).backoff(hour), ..options() });
    let looked = || (calls.load(SeqCst), node.store.lookups.load(SeqCst));
    dropped(&node, &[1, 2], settled(looked), || true);
    assert_eq!(calls.load(SeqCst), 2, "one attempt each");
    assert_eq!(node.store.aside.lock().unwrap().len(), 0);
}

#[test]
fn claims_are_given_back_by_packets_that_are_computed_or_wait_for_an_attempt() {
    for (ends, retry) in [(false, Retry::default()), (true, retry(2).backoff(Duration::from_hours(1)))] {
        let alive = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&alive);
        let function = f().call_async(move |n: i64| {
            if n < 5 {
                slowly();
            }
            let alive = Alive::new(&counted);
            async move {
                if n >= 5 && !ends {
                    std::future::pending::<()>().await;
                }
                drop(alive);
                if n < 5 { Ok(n) } else { Err(PacketError::new("not yet")) }
            }
        });
        let node = Node::new(function, CallOptions { retry, on_error: OnError::Skip, ..options() });
        let held = &node.store.held;
        // The first calls are made without claims, and what they gave is stored.
        let waits = || node.counters.computed.get() == 5 && held.load(SeqCst) >= 3;
        dropped(&node, &(0..8).collect::<Vec<_>>(), waits, || held.load(SeqCst) + alive.load(SeqCst) == 0);
        assert_eq!(node.store.kept.lock().unwrap().len(), 5);
    }
}

#[test]
fn a_node_that_waits_for_what_somebody_else_computes_looks_no_more() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let function = f().call_async(move |n: i64| {
        slowly();
        counted.fetch_add(1, SeqCst);
        async move { Ok(n) }
    });
    let mut node = Node::new(function, CallOptions { concurrency: NonZeroUsize::MIN, ..options() });
    node.store = Arc::new(Fake { never: true, ..Fake::default() });
    node.store.elsewhere.lock().unwrap().insert(packet(9));
    let lookups = || node.store.lookups.load(SeqCst);
    // Once for each packet it won, once for the chunk, and then for what it waits for.
    dropped(&node, &(0..10).collect::<Vec<_>>(), || calls.load(SeqCst) == 9 && lookups() > 20, || true);
    assert_eq!((calls.load(SeqCst), node.store.held.load(SeqCst)), (9, 0));
    assert_eq!(node.store.kept.lock().unwrap().len(), 9);
}

#[test]
fn a_commit_under_way_is_left_to_the_store_and_its_claims_are_given_back() {
    let function = f().call_async(move |n: i64| {
        slowly();
        async move { Ok(n) }
    });
    let mut node = Node::new(function, options());
    node.store = Arc::new(Fake { stuck: true, ..Fake::default() });
    let (commits, held) = (|| node.store.commits.load(SeqCst), &node.store.held);
    let waits = settled(|| (commits(), held.load(SeqCst)));
    dropped(&node, &(0..20).collect::<Vec<_>>(), waits, || held.load(SeqCst) == 0);
    assert_eq!(commits(), 1, "one that is not full is under way alone");
    assert_eq!(node.store.claims.load(SeqCst), 1, "there were claims");
    assert_eq!(node.counters.computed.get(), 0, "nothing is told that was not committed");
}

#[test]
fn packets_that_are_being_written_down_do_not_hold_a_node_up() {
    let function = f().call(|n: i64| if n == 3 { Err(PacketError::new("no threes")) } else { Ok(n) });
    let mut node = Node::new(function, CallOptions { on_error: OnError::SetAside, ..options() });
    node.store = Arc::new(Fake { stuck: true, ..Fake::default() });
    (0..3).for_each(|n| node.store.keep(packet(n), Some(n)));
    let written = || node.store.aside.lock().unwrap().len();
    dropped(&node, &[0, 1, 2, 3], || written() == 1, || true);
    assert_eq!(node.counts(4), [0, 3, 0, 1]);
}
