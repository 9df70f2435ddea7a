//! Order, time and claims.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::{Duration, Instant};

use anabranch_engine::operator::Item;
use anabranch_engine::provenance::Origins;
use anabranch_engine::stage::{Stage as _, StageStep};
use anabranch_nodes::function::{CallOptions, ChunkOutput, OnError, Outcome, OutputOrder, Rate};
use arrow::array::AsArray as _;
use arrow::datatypes::Int64Type;
use tokio::sync::Semaphore;

use crate::node::{Node, Numbers, f, forms, gated, options, packet, pairs, retry};

#[test]
fn rows_leave_as_they_came_or_as_they_are_computed() {
    for order in [OutputOrder::Input, OutputOrder::Arrival] {
        let gate = Arc::new(Semaphore::new(0));
        let calls = CallOptions { order, ..options() };
        let node = Node::new(gated(&gate, |n| n == 0), calls);
        let origins = Arc::new(Origins::default());
        let rows = Numbers::new(&origins);
        let mut stage = node.stage(&origins, &rows.schema);
        let mut inputs = rows.chunks(&[vec![0, 1, 2], vec![3, 4]]).into_iter();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let given = runtime.block_on(async {
            let mut given = Vec::new();
            let mut closed = true;
            loop {
                // The first may end once the others have left, or are done and cannot.
                let others =
                    given.len() == 4 || (order == OutputOrder::Input && node.counters.computed.get() == 4);
                if others && std::mem::take(&mut closed) {
                    gate.add_permits(1);
                }
                let polled = futures::poll!(stage.step());
                match polled {
                    Poll::Pending => tokio::task::yield_now().await,
                    Poll::Ready(step) => match step.unwrap() {
                        StageStep::NeedInput(_) => {
                            stage.accept(0, inputs.next().map_or(Item::End, Item::Chunk)).unwrap();
                        }
                        StageStep::Output(chunk) => given.extend(pairs(&chunk).into_iter().map(|(_, n)| n)),
                        StageStep::Done => return given,
                    },
                }
            }
        });
        match order {
            OutputOrder::Input => assert_eq!(given, [0, 1, 2, 3, 4]),
            OutputOrder::Arrival => {
                assert_eq!(given[4], 0, "{given:?}");
                let mut sorted = given;
                sorted.sort_unstable();
                assert_eq!(sorted, [0, 1, 2, 3, 4]);
            }
        }
    }
}

#[test]
fn a_call_that_takes_too_long_fails_its_packet_alone() {
    let gate = Arc::new(Semaphore::new(0));
    let (open, closed) = std::sync::mpsc::sync_channel::<()>(0);
    let closed = Arc::new(Mutex::new(closed));
    let waits = Arc::clone(&closed);
    let blocks = f().call(move |n: i64| {
        if n == 3 {
            // Until the test ends: no call ends by itself.
            let _ = waits.lock().unwrap().recv();
        }
        Ok(n)
    });
    let waits = Arc::clone(&closed);
    let chunk = f().call_chunk(move |columns, _| {
        let numbers = columns[0].as_primitive::<Int64Type>();
        if numbers.values().contains(&3) {
            let _ = waits.lock().map(|waits| waits.recv());
        }
        Ok(ChunkOutput { columns: columns.to_vec(), keep: None })
    });
    for function in [gated(&gate, |n| n == 3), blocks, chunk] {
        let timeout = Some(Duration::from_millis(30));
        let calls = CallOptions { timeout, on_error: OnError::SetAside, ..options() };
        let node = Node::new(function, calls);
        let rows = node.run(&[vec![1, 2], vec![3, 4, 3], (5..40).collect()]).unwrap();
        let rows: Vec<i64> = rows.into_iter().map(|(_, n)| n).collect();
        let expected: Vec<i64> = [1, 2, 4].into_iter().chain(5..40).collect();
        assert_eq!(rows, expected);
        assert_eq!(node.counts(40), [38, 0, 0, 2]);
        let aside = node.store.aside.lock().unwrap();
        assert_eq!((aside.len(), aside[0].kind.as_str()), (1, "the call took too long"));
    }
    drop(open);
}

#[test]
fn an_async_call_that_takes_too_long_is_dropped() {
    struct Dropped(Arc<AtomicU64>);
    impl Drop for Dropped {
        fn drop(&mut self) {
            self.0.fetch_add(1, SeqCst);
        }
    }
    let dropped = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&dropped);
    let function = f().call_async(move |n: i64| {
        let held = Dropped(Arc::clone(&counted));
        async move {
            std::future::pending::<()>().await;
            drop(held);
            Ok(n)
        }
    });
    let timeout = Some(Duration::from_millis(5));
    let calls = CallOptions { timeout, on_error: OnError::Skip, retry: retry(2), ..options() };
    let node = Node::new(function, calls);
    assert_eq!(node.run(&[vec![1, 2]]).unwrap(), []);
    assert_eq!((node.counts(2), dropped.load(SeqCst)), ([0, 0, 2, 0], 4));
}

#[test]
fn a_run_whose_threads_are_all_held_by_calls_that_do_not_end_fails() {
    let (open, closed) = std::sync::mpsc::sync_channel::<()>(0);
    let closed = Arc::new(Mutex::new(closed));
    let function = f().call(move |n: i64| {
        // The lock is held while it waits: all wait for the first.
        let _ = closed.lock().map(|closed| closed.recv());
        Ok(n)
    });
    let timeout = Some(Duration::from_millis(20));
    let calls = CallOptions { timeout, on_error: OnError::Skip, ..options() };
    let error = Node::new(function, calls).run(&[(0..20).collect()]).unwrap_err();
    assert!(error.contains("all 3 threads are held by calls"), "{error}");
    drop(open);
}

#[test]
fn slow_packets_that_somebody_else_computes_are_waited_for_and_not_computed() {
    let function = f().call(|n: i64| {
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_millis(2) {
            std::hint::spin_loop();
        }
        Ok(n)
    });
    let node = Node::new(function, CallOptions { concurrency: NonZeroUsize::MIN, ..options() });
    // The first calls are made without a claim: nothing is known of their time.
    let held = [30, 31, 40];
    node.store.elsewhere.lock().unwrap().extend(held.map(packet));
    let rows = node.run(&[(0..50).collect()]).unwrap();
    let expected: Vec<i64> = (0..50).map(|n| if held.contains(&n) { -1 } else { n }).collect();
    assert_eq!(rows.into_iter().map(|(_, n)| n).collect::<Vec<_>>(), expected);
    assert_eq!(node.counts(50), [47, 3, 0, 0]);
    assert_eq!(node.store.claims.load(SeqCst), 1);
}

#[test]
fn fast_packets_are_not_claimed() {
    let node = Node::new(f().call(|n: i64| Ok(n)), options());
    node.run(&[(0..5_000).collect()]).unwrap();
    assert_eq!(node.store.claims.load(SeqCst), 0);
}

#[test]
fn a_rate_bounds_the_calls_of_a_second() {
    for function in forms(|n| Ok(Outcome::Give(n))).into_iter().take(2) {
        let rate = Some(Rate::per_second(500.0).unwrap());
        let node = Node::new(function, CallOptions { rate, ..options() });
        let begun = Instant::now();
        node.run(&[(0..40).collect()]).unwrap();
        // 39 intervals, less what may be made up for.
        assert!(begun.elapsed() >= Duration::from_millis(2 * 39 - 12), "{:?}", begun.elapsed());
        assert_eq!(node.counts(40), [40, 0, 0, 0]);
    }
}
