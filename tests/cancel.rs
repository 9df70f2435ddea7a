//! A cancel ends a run at once, whatever its packets are at; what was committed is kept, and the
//! next run does the rest.

#![allow(
    clippy::unwrap_used,
    clippy::similar_names,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a test that cannot go on panics, and its numbers are small"
)]

use std::num::{NonZeroU32, NonZeroUsize};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anabranch::{Executor, Function, NodeHandle, PacketError, Pipeline, Retry, Rows, RunHandle, Store};

/// A second, and what a busy machine adds to it.
const SOON: Duration = Duration::from_secs(3);
const ROWS: i64 = 40;
/// The number whose packet is on its way when the run is cancelled.
const HELD: i64 = 20;

fn store() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().join("store")).unwrap();
    (folder, store)
}

fn f() -> Function {
    Function::new("f").version("1").takes(["n"]).gives::<i64>("out")
}

fn pipeline(executor: Executor, numbers: impl Iterator<Item = i64>, f: Function) -> (Pipeline, NodeHandle) {
    let mut p = Pipeline::new("cancelled");
    let rows = numbers.map(|n| [("id", n.into()), ("n", n.into())]);
    let source = p.source("numbers", Rows::new(rows).tags(["id"])).unwrap();
    let node = p.function("f", source, f).unwrap();
    p.settings_mut().executor = executor;
    p.set_concurrency(node, NonZeroUsize::MIN).unwrap();
    (p, node)
}

/// Cancels a run and waits for its end, which comes soon; nothing of it looks whole.
fn cancelled(handle: RunHandle, p: &Pipeline, node: NodeHandle, store: &Store) {
    let asked = Instant::now();
    handle.cancel();
    assert!(handle.wait().unwrap_err().is_cancelled());
    assert!(asked.elapsed() < SOON, "{:?}", asked.elapsed());
    assert!(store.replay(p, node).is_err(), "a cancelled run looks whole");
}

/// Computed, reused; together all rows.
fn completed(p: &Pipeline, store: &Store, rows: u64) -> (u64, u64) {
    let function = p.run(store).unwrap().node("f").unwrap().function.unwrap();
    assert_eq!(function.computed + function.reused, rows);
    (function.computed, function.reused)
}

/// Tells that a call has begun, and lets it wait for as long as it is told to.
struct Hold {
    holds: AtomicBool,
    begun: SyncSender<()>,
    end: Mutex<Receiver<()>>,
}

/// Gate that holds calls, the signal that one has begun, and the guard that lets them go when it is dropped.
fn hold() -> (Arc<Hold>, Receiver<()>, SyncSender<()>) {
    let ((begun, first_call), (open, end)) = (sync_channel(100), sync_channel(0));
    let hold = Hold { holds: AtomicBool::new(true), begun, end: Mutex::new(end) };
    (Arc::new(hold), first_call, open)
}

impl Hold {
    fn holds(&self, n: i64) -> bool {
        let held = n == HELD && self.holds.load(SeqCst);
        if held {
            self.begun.try_send(()).unwrap();
        }
        held
    }

    fn wait(&self) {
        let _ = self.end.lock().unwrap().recv();
    }
}

/// A call that waits, one that blocks, and one that has failed and waits for its next attempt.
fn functions(hold: &Arc<Hold>) -> [Function; 3] {
    let (one, two, three) = (Arc::clone(hold), Arc::clone(hold), Arc::clone(hold));
    [
        f().call_async(move |n: i64| {
            let held = one.holds(n);
            async move {
                if held {
                    std::future::pending::<()>().await;
                }
                Ok(-n)
            }
        }),
        f().call(move |n: i64| {
            if two.holds(n) {
                two.wait();
            }
            Ok(-n)
        }),
        f().call(move |n: i64| if three.holds(n) { Err(PacketError::new("not yet")) } else { Ok(-n) }),
    ]
}

#[test]
fn calls_under_way_and_packets_that_wait_for_an_attempt_end_with_the_run() {
    for executor in [Executor::Async, Executor::Sync] {
        for at in 0..3 {
            let (hold, first_call, open) = hold();
            let function = functions(&hold)[at].clone();
            let (mut p, node) = pipeline(executor, 0..ROWS, function);
            let hour = Duration::from_hours(1);
            p.set_retry(node, Retry::attempts(NonZeroU32::new(2).unwrap()).backoff(hour)).unwrap();
            let (_folder, store) = store();
            let handle = p.start(&store).unwrap();
            first_call.recv().unwrap();
            cancelled(handle, &p, node, &store);
            hold.holds.store(false, SeqCst);
            drop(open);
            let (computed, _) = completed(&p, &store, ROWS as u64);
            assert!(computed >= 1, "what was held had no result");
            assert_eq!(completed(&p, &store, ROWS as u64), (0, ROWS as u64));
        }
    }
}

/// Takes two milliseconds, so that its node claims what comes next.
fn slowly() {
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_millis(2) {
        std::hint::spin_loop();
    }
}

/// A run of other numbers that comes, last of all, to the packet that is held elsewhere.
fn waiter(executor: Executor, others: Range<i64>, calls: &Arc<AtomicUsize>) -> (Pipeline, NodeHandle) {
    let counted = Arc::clone(calls);
    let function = f().call(move |n: i64| {
        slowly();
        counted.fetch_add(usize::from(n == HELD), SeqCst);
        Ok(-n)
    });
    pipeline(executor, others.chain([HELD]), function)
}

#[test]
fn a_packet_that_waits_for_another_run_ends_with_its_own() {
    for executor in [Executor::Async, Executor::Sync] {
        let (hold, first_call, open) = hold();
        let held = Arc::clone(&hold);
        let function = f().call(move |n: i64| {
            slowly();
            if held.holds(n) {
                held.wait();
            }
            Ok(-n)
        });
        let (holder, _) = pipeline(executor, 0..ROWS, function);
        let (_folder, store) = store();
        let holding = holder.start(&store).unwrap();
        first_call.recv().unwrap();
        let calls = Arc::new(AtomicUsize::new(0));
        let (p, node) = waiter(executor, 100..120, &calls);
        let handle = p.start(&store).unwrap();
        let computed = || handle.nodes()[1].function.unwrap().computed;
        while computed() < 20 {
            std::thread::yield_now();
        }
        cancelled(handle, &p, node, &store);
        drop(open);
        holding.wait().unwrap();
        assert_eq!(completed(&p, &store, 21), (0, 21));
        assert_eq!(calls.load(SeqCst), 0, "the packet was computed twice");
    }
}

#[test]
fn a_commit_under_way_is_whole_or_not_there() {
    for executor in [Executor::Async, Executor::Sync] {
        let (begun, called) = sync_channel(ROWS as usize * 3);
        let (open, gate) = sync_channel::<()>(0);
        let gate = Mutex::new(gate);
        let function = f().call_async(move |n: i64| {
            begun.try_send(n).unwrap();
            if n == 0 {
                // Until the database is locked.
                let _ = gate.lock().unwrap().recv();
            }
            async move { Ok(-n) }
        });
        let (p, node) = pipeline(executor, 0..ROWS, function);
        let (folder, store) = store();
        let handle = p.start(&store).unwrap();
        assert_eq!(called.recv().unwrap(), 0);
        let other = rusqlite::Connection::open(folder.path().join("store/store.db")).unwrap();
        other.busy_timeout(SOON).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        drop(open);
        // The second call begins when the outcome of the first is on its way into the store.
        assert_eq!(called.recv().unwrap(), 1);
        handle.cancel();
        other.execute_batch("ROLLBACK").unwrap();
        cancelled(handle, &p, node, &store);
        let (computed, reused) = completed(&p, &store, ROWS as u64);
        assert!(computed >= 1 && reused < ROWS as u64, "{computed} computed");
        assert_eq!(completed(&p, &store, ROWS as u64), (0, ROWS as u64));
    }
}
