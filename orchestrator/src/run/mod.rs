//! A run: every node is started, a driver moves the rows, and written files get their names.

mod runtime;
mod summary;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};
use std::time::{Duration, Instant};

use anabranch_engine::clock::now_unix_millis;
use anabranch_engine::driver::{Job, RunError as DriveError, run_streaming, run_synchronous};
use anabranch_engine::spill::SpillBudget;
use anabranch_engine::store::ResultStore;
use anabranch_nodes::function::{Authors, Withdrawn};
use anabranch_nodes::sink::Outbox;
use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::graph::Pipeline;
use crate::node::{
    Executor, JobBuilder, Mode, NodeProgress, NodeStats, NodeSummary, RunMode, available_cores, differences,
};
use crate::plan::{LoweredJob, RunError, RunOptions, RunScope, actions, check_outputs, lower, run_note};
use crate::store::block_on::block_on;
use crate::store::run_id::run_id;
use crate::store::{Lease, RunStart, Store};

use self::summary::peak_memory_bytes;
pub use self::summary::{RunStatus, Summary};

/// Name of a run's thread.
const RUN: &str = "anabranch run";
/// Time that a cancelled run waits for nodes that are in the middle of a step.
const GRACE: Duration = Duration::from_millis(400);
/// Time that the run's threads may take to end after a cancel.
const SHUTDOWN: Duration = Duration::from_millis(500);

/// A run under way. Dropping it cancels the run; awaiting it returns the summary.
#[must_use = "dropping the handle cancels the run; await it, wait for it or detach it"]
pub struct RunHandle {
    cancel: CancellationToken,
    cancel_on_drop: bool,
    shown: watch::Receiver<Shown>,
    answer: oneshot::Receiver<Result<Summary, RunError>>,
}

impl std::fmt::Debug for RunHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RunHandle").field("run_id", &self.run_id()).finish_non_exhaustive()
    }
}

impl RunHandle {
    /// Returns the run's id. It changes when the run begins again with code that a call has loaded.
    #[must_use]
    pub fn run_id(&self) -> String {
        self.shown.borrow().run_id.clone()
    }

    /// Stops the run within about a second; committed results are kept.
    pub fn cancel(&self) {
        self.cancel.cancel();
    }

    /// Returns the token that cancels the run, for a signal handler.
    #[must_use]
    pub fn canceller(&self) -> CancellationToken {
        self.cancel.clone()
    }

    /// Returns the counts of each node so far.
    #[must_use]
    pub fn progress(&self) -> Vec<NodeProgress> {
        self.shown.borrow().stats.iter().map(NodeStats::progress).collect()
    }

    /// Returns the counts of each node so far in the form of the summary; also of a run that failed.
    #[must_use]
    pub fn nodes(&self) -> Vec<NodeSummary> {
        self.shown.borrow().stats.iter().map(NodeStats::summary).collect()
    }

    /// Detaches the run, which goes on without the handle.
    pub fn detach(mut self) {
        self.cancel_on_drop = false;
    }

    /// Blocks until the run has ended. It works inside an async runtime too, whose thread it blocks.
    pub fn wait(mut self) -> Result<Summary, RunError> {
        // A task that waits here would use up its budget, which is not refilled while it blocks.
        block_on(tokio::task::unconstrained(&mut self.answer)).unwrap_or(Err(RunError::Lost))
    }
}

impl Drop for RunHandle {
    fn drop(&mut self) {
        if self.cancel_on_drop {
            self.cancel.cancel();
        }
    }
}

impl Future for RunHandle {
    type Output = Result<Summary, RunError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut TaskContext<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.answer).poll(context).map(|answer| answer.unwrap_or(Err(RunError::Lost)))
    }
}

impl Pipeline {
    /// Runs the pipeline and blocks until it has ended. It works anywhere, inside a runtime too.
    pub fn run(&self, store: &Store) -> Result<Summary, RunError> {
        self.run_with(store, &RunOptions::default())
    }

    /// Runs as [`Pipeline::run`], with options.
    pub fn run_with(&self, store: &Store, options: &RunOptions) -> Result<Summary, RunError> {
        self.start_with(store, options)?.wait()
    }

    /// Starts a run on threads of its own.
    pub fn start(&self, store: &Store) -> Result<RunHandle, RunError> {
        self.start_with(store, &RunOptions::default())
    }

    /// Starts as [`Pipeline::start`], with options.
    ///
    /// If a call of a Python function loads code that the function was planned without, the run ends as failed, the store
    /// records the code, and another run begins, which is planned with it. This happens once at most.
    pub fn start_with(&self, store: &Store, options: &RunOptions) -> Result<RunHandle, RunError> {
        let pipeline = self.recalled(store)?.unwrap_or_else(|| self.clone());
        let cancel = CancellationToken::new();
        let (sender, answer) = oneshot::channel();
        let (hand, handed) = std::sync::mpsc::sync_channel::<(Attempt, watch::Sender<Shown>)>(1);
        let thread = std::thread::Builder::new().name(RUN.into());
        let run = {
            let (cancel, pipeline) = (cancel.clone(), pipeline.clone());
            let (store, options) = (store.clone(), options.clone());
            move || {
                // The sender is dropped if the run could not begin.
                let Ok((first, display)) = handed.recv() else { return };
                let ended = match first.run(&cancel) {
                    Err(error) if error.late_import().is_some() && !cancel.is_cancelled() => {
                        pipeline.run_again(&store, &options, error, &cancel, &display)
                    }
                    ended => ended,
                };
                // The process may exit on the result, so the store is released before it is sent.
                drop((pipeline, store, options, display));
                // A detached run has no receiver.
                let _ = sender.send(ended);
            }
        };
        // The thread comes first: without one no run begins that would have to be ended.
        let thread = thread.spawn(run).map_err(|cause| RunError::Thread { name: RUN, cause })?;
        let first = match Attempt::begin(&pipeline, store, options) {
            Ok(first) => first,
            Err(error) => {
                drop(hand);
                // The thread releases the store, and cannot panic before it has begun.
                let _ = thread.join();
                return Err(error);
            }
        };
        let (display, shown) = watch::channel(first.shown());
        // The thread waits for this message.
        let _ = hand.send((first, display));
        Ok(RunHandle { cancel, cancel_on_drop: true, shown, answer })
    }

    /// Runs once more, planned with the code that a call has loaded.
    fn run_again(
        &self,
        store: &Store,
        options: &RunOptions,
        error: RunError,
        cancel: &CancellationToken,
        display: &watch::Sender<Shown>,
    ) -> Result<Summary, RunError> {
        self.remember(store, &error)?;
        let Some(pipeline) = self.recalled(store)? else { return Err(error) };
        let second = Attempt::begin(&pipeline, store, options)?;
        // A dropped handle has no receiver.
        let _ = display.send(second.shown());
        let ended = second.run(cancel);
        if let Err(error) = &ended {
            // The next run loads more.
            self.remember(store, error)?;
        }
        ended
    }

    /// Records in the store the code that a call has loaded.
    fn remember(&self, store: &Store, error: &RunError) -> Result<(), RunError> {
        let Some((node, late)) = error.late_import() else { return Ok(()) };
        match self.remembered_as(node, store) {
            Some(function) => Ok(store.remember(function, late)?),
            None => Ok(()),
        }
    }
}

/// The part of a run that its handle reads.
#[derive(Clone)]
struct Shown {
    run_id: String,
    stats: Arc<Vec<NodeStats>>,
}

/// A run that has been started and moves no rows yet.
struct Attempt {
    begun: Instant,
    lease: Lease,
    job: Job,
    stats: Arc<Vec<NodeStats>>,
    outbox: Outbox,
    spill: SpillBudget,
    authors: Arc<Authors>,
    results: Arc<dyn ResultStore>,
    summary: Summary,
}

impl Attempt {
    fn begin(pipeline: &Pipeline, store: &Store, options: &RunOptions) -> Result<Self, RunError> {
        let begun = Instant::now();
        let executor = options.executor.unwrap_or(pipeline.settings().executor);
        let needed = pipeline.needed(options)?;
        let outputs = check_outputs(pipeline, store.dir(), &needed, options)?;
        let actions = actions(pipeline, store, options, &needed)?;
        let scope = RunScope {
            limit: options.limit,
            until: options.until.and_then(|node| pipeline.name_of(node)).map(str::to_owned),
        };
        let started_ms = now_unix_millis();
        let lease = store.begin_run(RunStart {
            run: run_id(started_ms),
            pipeline: pipeline.name().to_owned(),
            pipeline_hash: pipeline.hash().0.to_string(),
            started_ms,
            summary: run_note(pipeline, &scope, &needed, &outputs).to_string(),
        })?;
        let run_id = lease.run_id().to_owned();
        let cores = match executor {
            Executor::Sync => 1,
            Executor::Async => available_cores(),
        };
        let builder = JobBuilder::new(pipeline.settings(), store.inner().scratch(), cores);
        let (spill, outbox) = (builder.spill.clone(), Outbox::default());
        let authors = Arc::<Authors>::default();
        let mode = Mode::Run(RunMode {
            store,
            pipeline: pipeline.name(),
            settings: pipeline.settings(),
            run_id: &run_id,
            limit: options.limit,
            no_reuse: options.no_reuse,
            keeps_sources: pipeline.may_run_again(),
            outputs,
            outbox: outbox.clone(),
            authors: Arc::clone(&authors),
        });
        let LoweredJob { job, nodes, outputs } = match lower(pipeline, &actions, &mode, builder) {
            Ok(lowered) => lowered,
            Err(error) => {
                // The first error is the cause; a run without a recorded end shows as lost.
                let _ = lease.finish(RunStatus::Failed.name(), now_unix_millis(), "{}");
                return Err(error);
            }
        };
        drop(mode);
        let stats: Vec<NodeStats> = nodes.into_iter().flatten().chain(outputs).collect();
        let summary = Summary {
            run_id,
            pipeline: pipeline.name().to_owned(),
            file: pipeline.file.clone(),
            pipeline_hash: pipeline.hash().0.to_string(),
            executor,
            scope,
            status: RunStatus::Ok,
            seconds: 0.0,
            peak_memory_bytes: 0,
            spilled_bytes: 0,
            nodes: Vec::new(),
        };
        let (stats, results) = (Arc::new(stats), store.results());
        Ok(Self { begun, lease, job, stats, outbox, spill, authors, results, summary })
    }

    fn shown(&self) -> Shown {
        Shown { run_id: self.summary.run_id.clone(), stats: Arc::clone(&self.stats) }
    }

    /// Moves the rows to their end, gives files their names, and records the result of the run.
    fn run(self, cancel: &CancellationToken) -> Result<Summary, RunError> {
        let Self { begun, lease, job, stats, outbox, spill, authors, results, mut summary } = self;
        let driven = drive(summary.executor, job, cancel);
        let ended = withdraw_untrusted(&authors, &*results, driven)
            .and_then(|()| differences(&stats).map_err(|found| RunError::Differs { found }))
            .and_then(|()| Ok(outbox.publish()?));
        // Files that get no name are removed before the result is sent.
        drop(outbox);
        summary.status = match &ended {
            Ok(()) => RunStatus::Ok,
            Err(error) if error.is_cancelled() => RunStatus::Cancelled,
            Err(_) => RunStatus::Failed,
        };
        summary.seconds = begun.elapsed().as_secs_f64();
        summary.peak_memory_bytes = peak_memory_bytes();
        summary.spilled_bytes = spill.spilled_bytes();
        summary.nodes = stats.iter().map(NodeStats::summary).collect();
        let text = summary.to_json().to_string();
        let kept = lease.finish(summary.status.name(), now_unix_millis(), &text);
        ended.and_then(|()| Ok(kept?)).map(|()| summary)
    }
}

/// Withdraws results of workers that are not trusted any more, since they wrote something beyond their requests'
/// results. It does so whatever the run's outcome: the next run would reuse them.
fn withdraw_untrusted(
    authors: &Authors,
    results: &dyn ResultStore,
    ended: Result<(), RunError>,
) -> Result<(), RunError> {
    match (authors.withdraw(results).map_err(|e| RunError::NotWithdrawn(e.into()))?, ended) {
        (None, ended) => ended,
        (Some(_), Err(error)) if error.is_cancelled() || error.is_stray() => Err(error),
        (Some(Withdrawn { node, function, cause }), _) => Err(RunError::Withdrawn { node, function, cause }),
    }
}

/// Moves the rows to their end. It runs on the run's own thread: a runtime must not be dropped in a task.
fn drive(executor: Executor, job: Job, cancel: &CancellationToken) -> Result<(), RunError> {
    let runtime = runtime::start(executor)?;
    let driven = match executor {
        Executor::Async => runtime.block_on(async {
            tokio::select! {
                biased;
                driven = run_streaming(job, cancel) => driven,
                () = given_up(cancel) => Err(DriveError::Cancelled),
            }
        }),
        Executor::Sync => run_synchronous(job, &runtime, cancel),
    };
    // The results of calls that are still running have no receiver.
    runtime.shutdown_timeout(SHUTDOWN);
    Ok(driven?)
}

/// Resolves a while after a cancel. It needs no timer of the runtime, whose threads may all be in a step.
async fn given_up(cancel: &CancellationToken) {
    cancel.cancelled().await;
    let (sender, passed) = oneshot::channel::<()>();
    let wait = std::thread::Builder::new().name("anabranch cancel".into());
    let waiting = wait.spawn(move || {
        std::thread::sleep(GRACE);
        drop(sender);
    });
    if waiting.is_ok() {
        // A closed channel is the signal.
        let _ = passed.await;
    }
}
