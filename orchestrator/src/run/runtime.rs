//! Runtime of a run, on a system that may refuse threads.
//!
//! tokio panics if it cannot start the threads of a runtime, and never ends if it has started some of them by then.
//! So threads are probed first: as many as the runtime begins with and some more. If these are refused, the runtime
//! has one worker thread, which starts as a whole or not at all.
//!
//! A thread for blocking work is started with the runtime and stays. Blocking work for which the system refuses
//! another thread waits for this one, so that a run goes on with the threads that it has.

use std::io;
use std::num::NonZeroUsize;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::{Builder, JoinHandle, available_parallelism};
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;

use crate::node::Executor;
use crate::plan::RunError;

/// Name of a runtime's threads.
const WORKER: &str = "anabranch worker";
/// Number of threads that are probed beyond those that a runtime begins with: for the source of a small pipeline, and
/// for threads that other processes may start meanwhile.
const SPARE: usize = 8;
/// Time that probed threads may take to disappear.
const LEAVING: Duration = Duration::from_secs(1);
/// Time that an idle thread for blocking work stays: longer than any run.
const FOREVER: Duration = Duration::from_hours(10 * 365 * 24);

/// Starts a runtime for one run. It offers users' async functions timers and, where their tokio has it, input and
/// output.
///
/// Errors: no thread for a worker, or none for blocking work.
pub(crate) fn start(executor: Executor) -> Result<Runtime, RunError> {
    let wanted = match executor {
        Executor::Async => available_parallelism().map_or(1, NonZeroUsize::get),
        // The threads are for async functions alone, so that one that blocks does not delay a cancel.
        Executor::Sync => 1,
    };
    // One thread is for blocking work.
    let workers = match try_out(wanted + 1 + SPARE) {
        (_, None) => wanted,
        (2.., Some(_)) => 1,
        (_, Some(cause)) => return Err(refused(cause)),
    };
    let built = catch_unwind(|| build(workers));
    built.unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::WouldBlock))).map_err(refused)
}

fn build(workers: usize) -> io::Result<Runtime> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(workers).thread_name(WORKER).thread_keep_alive(FOREVER).enable_all();
    let runtime = builder.build()?;
    drop(runtime.spawn_blocking(|| ()));
    Ok(runtime)
}

fn refused(cause: io::Error) -> RunError {
    RunError::Thread { name: WORKER, cause }
}

/// Starts a number of threads at once and ends them; returns how many started, and the error that prevented more.
fn try_out(wanted: usize) -> (usize, Option<io::Error>) {
    let mut waiting: Vec<(SyncSender<()>, JoinHandle<Option<PathBuf>>)> = Vec::with_capacity(wanted);
    let mut refused = None;
    while waiting.len() < wanted && refused.is_none() {
        let (release, released) = sync_channel::<()>(1);
        let wait = move || {
            // Nothing is sent: the thread waits until the channel closes.
            let _ = released.recv();
            std::fs::read_link("/proc/thread-self").ok().map(|this| Path::new("/proc").join(this))
        };
        match Builder::new().name(WORKER.to_owned()).spawn(wait) {
            Ok(thread) => waiting.push((release, thread)),
            Err(cause) => refused = Some(cause),
        }
    }
    let started = waiting.len();
    let (releases, threads): (Vec<_>, Vec<_>) = waiting.into_iter().unzip();
    drop(releases);
    let left: Vec<PathBuf> = threads.into_iter().filter_map(|thread| thread.join().ok().flatten()).collect();
    await_exit(left);
    (started, refused)
}

/// Waits until the system has removed joined threads: until then they count against its limits.
fn await_exit(mut threads: Vec<PathBuf>) {
    let begun = Instant::now();
    threads.retain(|thread| thread.exists());
    while !threads.is_empty() && begun.elapsed() < LEAVING {
        std::thread::yield_now();
        threads.retain(|thread| thread.exists());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_that_were_tried_out_are_gone_and_a_runtime_starts_after_them() {
        assert!(matches!(try_out(20), (20, None)));
        for executor in [Executor::Async, Executor::Sync] {
            let runtime = start(executor).unwrap();
            let (one, other) = (runtime.spawn_blocking(|| 1), runtime.spawn(async { 2 }));
            let sum = runtime.block_on(async { one.await.unwrap() + other.await.unwrap() });
            assert_eq!(sum, 3);
        }
    }
}
