//! A run: every node is started, a driver moves the rows, what was written gets its name.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};
use std::time::{Duration, Instant};

use anabranch_engine::clock::now_unix_millis;
use anabranch_engine::driver::{Job, RunError as DriveError, run_streaming, run_synchronous};
use anabranch_engine::memory::MemoryBudget;
use anabranch_engine::spill::SpillBudget;
use anabranch_engine::stage::StageError;
use anabranch_engine::store::StoreError;
use anabranch_nodes::sink::{Outbox, SinkError, WriteSpec};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::counted::{self, Counted, NodeDifferences, NodeProgress};
use crate::outputs;
use crate::pipeline::{Executor, NodeHandle, Pipeline, Work};
use crate::serve;
use crate::starting::Starting;
use crate::store::Store;
use crate::summary::{NodeSummary, RunScope, RunStatus, Summary, peak_memory_bytes};

/// How long a cancelled run waits for nodes that are in the middle of a step.
const GRACE: Duration = Duration::from_millis(400);
/// How long the run's threads may take to end after a cancel.
const SHUTDOWN: Duration = Duration::from_millis(500);

/// What a single run does differently from what the pipeline says.
#[derive(Debug, Clone, Default)]
pub struct RunOptions {
    /// Another driver.
    pub executor: Option<Executor>,
    /// Only this node and what it needs. Sinks are not written, unless it is one.
    pub until: Option<NodeHandle>,
    /// At most this many rows of each source. Results are kept; nothing is recorded and no sink is
    /// written then, since it is not the whole.
    pub limit: Option<u64>,
    /// Every function computes again; its results become the current ones.
    pub no_reuse: bool,
    /// Files that nodes' rows are written to while the run goes on: always, whatever else it is limited to.
    pub outputs: Vec<(NodeHandle, WriteSpec)>,
}

/// Why a run did not succeed. What was committed before is kept.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// A node could not be started.
    #[error("node \"{node}\" could not be started")]
    Start {
        /// The node.
        node: String,
        /// Why.
        #[source]
        cause: StageError,
    },
    /// The rows could not be moved to the end.
    #[error(transparent)]
    Drive(#[from] DriveError),
    /// The store could not keep the run.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A file could not be given its name.
    #[error(transparent)]
    Publish(#[from] SinkError),
    /// Functions gave something else than the store has.
    #[error("verify: {}", counted::told(found))]
    Differs {
        /// What was found, by node.
        found: Vec<NodeDifferences>,
    },
    /// A handle that belongs to another pipeline.
    #[error("run: found a node of another pipeline, expected one of \"{pipeline}\"")]
    Foreign {
        /// The pipeline.
        pipeline: String,
    },
    /// Rows that cannot be written to the file asked for.
    #[error(
        "run, output of \"{node}\": found {found}, expected a node that gives rows in this run and a file of its own; {remedy}"
    )]
    Output {
        /// The node.
        node: String,
        /// What was found.
        found: String,
        /// What to do.
        remedy: &'static str,
    },
    /// The system refused a thread or a runtime.
    #[error("run: the system gave no thread")]
    Thread(#[source] std::io::Error),
    /// The run's thread is gone without an answer.
    #[error("run: its thread ended without an answer")]
    Lost,
}

impl RunError {
    /// Whether the run was cancelled.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        matches!(self, Self::Drive(DriveError::Cancelled))
    }
}

/// A run under way. Dropping it cancels the run; awaiting it gives the summary.
#[must_use = "dropping the handle cancels the run; await it, wait for it or detach it"]
pub struct RunHandle {
    run_id: String,
    cancel: CancellationToken,
    cancel_on_drop: bool,
    counted: Arc<Vec<Counted>>,
    answer: oneshot::Receiver<Result<Summary, RunError>>,
}

impl std::fmt::Debug for RunHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RunHandle").field("run_id", &self.run_id).finish_non_exhaustive()
    }
}

impl RunHandle {
    /// The run's id.
    #[must_use]
    pub fn run_id(&self) -> &str {
        &self.run_id
    }

    /// Stops the run within about a second; what was committed is kept.
    pub fn cancel(&self) {
        self.cancel.cancel();
    }

    /// What cancels the run, for a signal handler.
    #[must_use]
    pub fn canceller(&self) -> CancellationToken {
        self.cancel.clone()
    }

    /// What each node has done so far.
    #[must_use]
    pub fn progress(&self) -> Vec<NodeProgress> {
        self.counted.iter().map(Counted::progress).collect()
    }

    /// What each node has done so far, as the summary tells it; also of a run that failed.
    #[must_use]
    pub fn nodes(&self) -> Vec<NodeSummary> {
        self.counted.iter().map(Counted::summary).collect()
    }

    /// Lets the run go on without the handle.
    pub fn detach(mut self) {
        self.cancel_on_drop = false;
    }

    /// Blocks until the run has ended. Works inside an async runtime too, whose thread it blocks.
    pub fn wait(mut self) -> Result<Summary, RunError> {
        let (sender, receiver) = std::sync::mpsc::sync_channel(1);
        let answer = std::mem::replace(&mut self.answer, oneshot::channel().1);
        let waiting = std::thread::Builder::new().name("anabranch wait".into()).spawn(move || {
            // The receiver waits below.
            let _ = sender.send(answer.blocking_recv());
        });
        waiting.map_err(RunError::Thread)?;
        receiver.recv().ok().and_then(Result::ok).unwrap_or(Err(RunError::Lost))
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
    /// Runs the pipeline and blocks until it has ended. Works from anywhere, inside a runtime too.
    pub fn run(&self, store: &Store) -> Result<Summary, RunError> {
        self.run_with(store, &RunOptions::default())
    }

    /// [`Pipeline::run`] with options.
    pub fn run_with(&self, store: &Store, options: &RunOptions) -> Result<Summary, RunError> {
        self.start_with(store, options)?.wait()
    }

    /// Starts a run on threads of its own.
    pub fn start(&self, store: &Store) -> Result<RunHandle, RunError> {
        self.start_with(store, &RunOptions::default())
    }

    /// [`Pipeline::start`] with options.
    pub fn start_with(&self, store: &Store, options: &RunOptions) -> Result<RunHandle, RunError> {
        let begun = Instant::now();
        let executor = options.executor.unwrap_or(self.settings().executor);
        let needed = self.needed(options)?;
        outputs::check(self, store.dir(), &needed, &options.outputs)?;
        let duties = serve::duties(self, store, options, &needed)?;
        let scope = RunScope {
            limit: options.limit,
            until: options.until.and_then(|node| self.name_of(node)).map(str::to_owned),
        };
        let note = outputs::note(self, &scope, &needed, &options.outputs);
        let lease = store.begin_run(self, now_unix_millis(), &note)?;
        let run_id = lease.run_id().to_owned();
        let spill = SpillBudget::new(self.settings().spill_limit);
        let starting = Starting {
            pipeline: self,
            store,
            options,
            run_id: &run_id,
            origins: Arc::default(),
            memory: MemoryBudget::new(usize::try_from(self.settings().memory_limit).unwrap_or(usize::MAX)),
            spill: spill.clone(),
            outbox: Outbox::default(),
            jobs: Vec::new(),
            counted: Vec::new(),
        };
        let (job, counted, outbox) = match starting.start(duties) {
            Ok(started) => started,
            Err(error) => {
                // The first error is the cause; a run that is not written down as ended shows as lost.
                let _ = lease.finish(RunStatus::Failed.name(), now_unix_millis(), "{}");
                return Err(error);
            }
        };
        let counted = Arc::new(counted);
        let cancel = CancellationToken::new();
        let (sender, answer) = oneshot::channel();
        let handle = RunHandle {
            run_id: run_id.clone(),
            cancel: cancel.clone(),
            cancel_on_drop: true,
            counted: Arc::clone(&counted),
            answer,
        };
        let mut summary = Summary {
            run_id,
            pipeline: self.name().to_owned(),
            pipeline_hash: self.hash().0.to_string(),
            executor,
            scope,
            status: RunStatus::Ok,
            seconds: 0.0,
            peak_memory_bytes: 0,
            spilled_bytes: 0,
            nodes: Vec::new(),
        };
        let thread = std::thread::Builder::new().name("anabranch run".into());
        let run = move || {
            let ended = drive(executor, job, &cancel)
                .and_then(|()| counted::check(&counted).map_err(|found| RunError::Differs { found }))
                .and_then(|()| Ok(outbox.publish()?));
            // Files that get no name are gone before anybody hears of the end.
            drop(outbox);
            summary.status = match &ended {
                Ok(()) => RunStatus::Ok,
                Err(error) if error.is_cancelled() => RunStatus::Cancelled,
                Err(_) => RunStatus::Failed,
            };
            summary.seconds = begun.elapsed().as_secs_f64();
            summary.peak_memory_bytes = peak_memory_bytes();
            summary.spilled_bytes = spill.spilled_bytes();
            summary.nodes = counted.iter().map(Counted::summary).collect();
            let text = summary.to_json().to_string();
            let kept = lease.finish(summary.status.name(), now_unix_millis(), &text);
            let answer = ended.and_then(|()| Ok(kept?)).map(|()| summary);
            // Nobody listens to a detached run.
            let _ = sender.send(answer);
        };
        thread.spawn(run).map_err(RunError::Thread)?;
        Ok(handle)
    }

    /// Which nodes run: those up to the last one, and those whose rows are asked for by name; no sink of
    /// a run that takes only some rows.
    fn needed(&self, options: &RunOptions) -> Result<Vec<bool>, RunError> {
        let mut needed = self.needed_until(options.until)?;
        for (node, _) in &options.outputs {
            for (needed, also) in needed.iter_mut().zip(self.needed_until(Some(*node))?) {
                *needed |= also;
            }
        }
        for (node, needed) in self.nodes().zip(&mut needed) {
            *needed &= options.limit.is_none() || !matches!(node.work, Work::Write(_));
        }
        Ok(needed)
    }

    /// Which nodes there are up to the last one: all, or that and those that it needs.
    pub(crate) fn needed_until(&self, until: Option<NodeHandle>) -> Result<Vec<bool>, RunError> {
        let count = self.nodes().len();
        let Some(until) = until else { return Ok(vec![true; count]) };
        let mut open =
            vec![self.index(until).ok_or_else(|| RunError::Foreign { pipeline: self.name().to_owned() })?];
        let mut needed = vec![false; count];
        while let Some(at) = open.pop() {
            if let Some(mark) = needed.get_mut(at) {
                *mark = true;
            }
            open.extend(self.at(at).into_iter().flat_map(|node| &node.inputs));
        }
        Ok(needed)
    }
}

/// Moves the rows to their end. On the run's own thread: a runtime must not be dropped in a task.
fn drive(executor: Executor, job: Job, cancel: &CancellationToken) -> Result<(), RunError> {
    let runtime = runtime(executor).map_err(RunError::Thread)?;
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
    // Calls that are still running have nobody to give their answer to.
    runtime.shutdown_timeout(SHUTDOWN);
    Ok(driven?)
}

/// Resolves a while after a cancel. No timer of the runtime, whose threads may all be in a step.
async fn given_up(cancel: &CancellationToken) {
    cancel.cancelled().await;
    let (sender, passed) = oneshot::channel::<()>();
    let wait = std::thread::Builder::new().name("anabranch cancel".into());
    let waiting = wait.spawn(move || {
        std::thread::sleep(GRACE);
        drop(sender);
    });
    if waiting.is_ok() {
        // That the other end is gone is the answer.
        let _ = passed.await;
    }
}

/// Users' async functions find timers and, where their tokio has it, input and output.
fn runtime(executor: Executor) -> std::io::Result<tokio::runtime::Runtime> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    if executor == Executor::Sync {
        // For async functions alone, so that one that blocks does not hold up a cancel.
        builder.worker_threads(1);
    }
    builder.thread_name("anabranch worker").enable_all().build()
}
