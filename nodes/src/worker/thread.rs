//! The thread that owns a worker.
//!
//! It is not a task thread of the engine (`engine/task_thread.rs`), since dropping one of these waits for its thread: a worker is
//! dropped by a canceled call, on a thread of the runtime, and its own thread may wait for the killed process by then.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use anabranch_engine::stage::panic_message;
use tokio::sync::oneshot;

use super::process_group::ProcessGroup;
use super::{Answer, CallError, Request, WorkerConnection, WorkerSpawner, no_thread};
use crate::call::{Failure, FailureKind};

/// Maximum time for a worker to end by itself.
const GRACE: Duration = Duration::from_secs(1);

enum Job {
    Start(oneshot::Sender<Result<(), Failure>>),
    Exchange(Request, oneshot::Sender<Result<Answer, CallError>>),
    Close(oneshot::Sender<Option<Failure>>),
}

/// A worker, as calls see it. Dropping it kills its processes.
#[derive(Debug)]
pub(super) struct Worker {
    jobs: SyncSender<Job>,
    group: Arc<ProcessGroup>,
    /// True if its answers are trusted only once it has ended.
    pub(super) unproven: bool,
}

impl Worker {
    /// A thread for a worker, whose process starts with [`Worker::start`].
    pub(super) fn new(spawner: Arc<dyn WorkerSpawner>) -> Result<Self, Failure> {
        // One call is under way at a time, so one place is enough.
        let (jobs, queue) = sync_channel(1);
        let group = Arc::new(ProcessGroup::default());
        let held = Arc::clone(&group);
        let thread = std::thread::Builder::new().name("worker".to_owned());
        let begun = thread.spawn(move || {
            serve(&*spawner, &queue, &held);
            held.kill();
        });
        begun.map_err(|error| no_thread("worker", &error))?;
        Ok(Self { jobs, group, unproven: false })
    }

    /// Starts the process, and waits until it is ready.
    pub(super) async fn start(&self) -> Result<(), Failure> {
        let (reply, answer) = oneshot::channel();
        let sent = self.jobs.try_send(Job::Start(reply)).is_ok();
        let gone = || Failure::new(FailureKind::NoWorker, "its thread ended");
        if sent { answer.await.unwrap_or_else(|_| Err(gone())) } else { Err(gone()) }
    }

    /// Requests packets; the receiver gets the answer, or is closed without one.
    pub(super) fn exchange(&self, request: Request) -> oneshot::Receiver<Result<Answer, CallError>> {
        let (reply, answer) = oneshot::channel();
        // If the thread has gone the reply goes with the job, which the answer shows.
        let _ = self.jobs.try_send(Job::Exchange(request, reply));
        answer
    }

    /// Lets the process end by itself, for a second or as its partner needs; gives what is wrong with what it wrote.
    pub(super) async fn close(self) -> Option<Failure> {
        let (reply, answer) = oneshot::channel();
        self.jobs.try_send(Job::Close(reply)).ok()?;
        answer.await.ok().flatten()
    }

    /// Takes note of what an answer rests on.
    pub(super) fn note(&mut self, answer: &Answer) {
        self.unproven |= answer.computed.author.is_some();
    }

    /// Kills its processes at once; their last output can still be read.
    pub(super) fn kill(&self) {
        self.group.kill();
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.group.kill();
    }
}

fn serve(spawner: &dyn WorkerSpawner, queue: &Receiver<Job>, group: &Arc<ProcessGroup>) {
    let mut partner: Option<Box<dyn WorkerConnection>> = None;
    while let Ok(job) = queue.recv() {
        match job {
            Job::Start(reply) => {
                let begun = catch_unwind(AssertUnwindSafe(|| spawner.spawn(group)));
                let begun = begun
                    .unwrap_or_else(|panic| Err(Failure::new(FailureKind::NoWorker, panic_message(&*panic))));
                let result = begun.map(|begun| partner = Some(begun));
                let failed = result.is_err();
                // Whoever asked may have gone: then the worker is not wanted.
                if reply.send(result).is_err() || failed {
                    break;
                }
            }
            Job::Exchange(request, reply) => {
                let answer = exchange(partner.as_deref_mut(), &request);
                let lost = !matches!(answer, Err(CallError::Refused(_)) | Ok(Answer { retire: false, .. }));
                if reply.send(answer).is_err() || lost {
                    break;
                }
            }
            Job::Close(reply) => {
                let stray = partner.take().and_then(|mut partner| partner.close(Instant::now() + GRACE));
                group.kill();
                let _ = reply.send(stray);
                break;
            }
        }
    }
    // Killed before the partner waits for its process.
    group.kill();
}

fn exchange(
    partner: Option<&mut (dyn WorkerConnection + 'static)>,
    request: &Request,
) -> Result<Answer, CallError> {
    let Some(partner) = partner else {
        return Err(CallError::Lost(Failure::new(FailureKind::WorkerDied, "it was not started")));
    };
    // A library that panics on what a foreign program wrote must not take more than the worker with it.
    catch_unwind(AssertUnwindSafe(|| partner.exchange(request))).unwrap_or_else(|panic| {
        Err(CallError::Lost(Failure::new(FailureKind::BadWorkerAnswer, panic_message(&*panic))))
    })
}
