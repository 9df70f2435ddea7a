//! A run: every node is started, a driver moves the rows, what was written gets its name.

use std::error::Error as _;
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
use anabranch_nodes::function::{Authors, LateImports, StrayOutput};
use anabranch_nodes::sink::{Outbox, SinkError, WriteSpec};
use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::believed::Believed;
use crate::block_on::block_on;
use crate::counted::{self, Counted, NodeDifferences, NodeProgress};
use crate::outputs;
use crate::pipeline::{NodeHandle, Pipeline, Work};
use crate::plan_error::PlanError;
use crate::runtime;
use crate::serve;
use crate::settings::Executor;
use crate::starting::Starting;
use crate::store::{Lease, Store};
use crate::summary::{NodeSummary, RunScope, RunStatus, Summary, peak_memory_bytes};

/// The name of a run's thread.
const RUN: &str = "anabranch run";
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
    /// The pipeline could not be planned with code that calls were seen to load.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// A pipeline that was planned only to be held against what was recorded.
    #[error(
        "run: found \"{pipeline}\" planned without a look at its code, expected a pipeline that can run; plan it by load"
    )]
    Unread {
        /// The pipeline.
        pipeline: String,
    },
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
    /// What a worker has answered is not believed, and is withdrawn from the store.
    #[error(
        "node \"{node}\", function \"{function}\": a worker is not believed, and what it has answered in this run is withdrawn from the store"
    )]
    Withdrawn {
        /// The node.
        node: String,
        /// Its function.
        function: String,
        /// What the worker did.
        #[source]
        cause: StrayOutput,
    },
    /// What a worker has answered is not believed, and may still be in the store.
    #[error(
        "what a worker has answered is not believed, and could not be withdrawn; run again with --no-reuse, or drop the function's results"
    )]
    NotWithdrawn(#[source] StoreError),
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
    /// The system refused a thread.
    #[error(
        "run: thread \"{name}\" could not be started; end other programs, or raise the limit of threads (ulimit -u, or that of the container) or of address space (ulimit -v)"
    )]
    Thread {
        /// The thread's name.
        name: &'static str,
        /// What the system says.
        #[source]
        cause: std::io::Error,
    },
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

    /// Whether it is that of a worker that is not believed.
    pub(crate) fn is_stray(&self) -> bool {
        let mut causes = std::iter::successors(self.source(), |cause| (*cause).source());
        causes.any(<dyn std::error::Error>::is::<StrayOutput>)
    }

    /// The node whose call has loaded code that can be remembered, and what that is.
    fn late_import(&self) -> Option<(&str, &LateImports)> {
        let Self::Drive(DriveError::Node { node, cause }) = self else { return None };
        let mut causes = std::iter::successors(cause.source(), |cause| (*cause).source());
        let late = causes.find_map(|cause| cause.downcast_ref::<LateImports>())?;
        (!late.entries().is_empty()).then_some((node, late))
    }
}

/// A run under way. Dropping it cancels the run; awaiting it gives the summary.
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
    /// The run's id; another one from the moment on in which it begins again with code that a call has loaded.
    #[must_use]
    pub fn run_id(&self) -> String {
        self.shown.borrow().run_id.clone()
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
        self.shown.borrow().counted.iter().map(Counted::progress).collect()
    }

    /// What each node has done so far, as the summary tells it; also of a run that failed.
    #[must_use]
    pub fn nodes(&self) -> Vec<NodeSummary> {
        self.shown.borrow().counted.iter().map(Counted::summary).collect()
    }

    /// Lets the run go on without the handle.
    pub fn detach(mut self) {
        self.cancel_on_drop = false;
    }

    /// Blocks until the run has ended. Works inside an async runtime too, whose thread it blocks.
    pub fn wait(mut self) -> Result<Summary, RunError> {
        // The share of time of a task that waits here does not come back while it waits.
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
    ///
    /// Where a call of a Python function loads code that the function was planned without, the run ends as
    /// failed, the store remembers the code, and another run begins, which is planned with it. That is done once.
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
                // Nothing comes where the run could not begin.
                let Ok((first, display)) = handed.recv() else { return };
                let ended = match first.run(&cancel) {
                    Err(error) if error.late_import().is_some() && !cancel.is_cancelled() => {
                        pipeline.run_again(&store, &options, error, &cancel, &display)
                    }
                    ended => ended,
                };
                // Who hears of the end may leave at once: by then the store is let go.
                drop((pipeline, store, options, display));
                // Nobody listens to a detached run.
                let _ = sender.send(ended);
            }
        };
        // First the thread: without one no run begins that would have to be ended.
        let thread = thread.spawn(run).map_err(|cause| RunError::Thread { name: RUN, cause })?;
        let first = match Attempt::begin(&pipeline, store, options) {
            Ok(first) => first,
            Err(error) => {
                drop(hand);
                // It lets go of the store, and cannot panic before it has begun.
                let _ = thread.join();
                return Err(error);
            }
        };
        let (display, shown) = watch::channel(first.shown());
        // It waits for this.
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
        // Who has let go of the handle does not look.
        let _ = display.send(second.shown());
        let ended = second.run(cancel);
        if let Err(error) = &ended {
            // The next run gets further.
            self.remember(store, error)?;
        }
        ended
    }

    /// Lets the store remember what a call has loaded.
    fn remember(&self, store: &Store, error: &RunError) -> Result<(), RunError> {
        let Some((node, late)) = error.late_import() else { return Ok(()) };
        match self.remembered_as(node, store) {
            Some(function) => Ok(store.remember(function, late)?),
            None => Ok(()),
        }
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
        if self.is_for_reading() {
            return Err(RunError::Unread { pipeline: self.name().to_owned() });
        }
        let count = self.nodes().len();
        let Some(until) = until else { return Ok(vec![true; count]) };
        let mut open =
            vec![self.index(until).ok_or_else(|| RunError::Foreign { pipeline: self.name().to_owned() })?];
        let mut needed = vec![false; count];
        while let Some(at) = open.pop() {
            // Of many ways to a node one is enough.
            if let Some(mark) = needed.get_mut(at).filter(|mark| !**mark) {
                *mark = true;
                open.extend(self.at(at).into_iter().flat_map(|node| &node.inputs));
            }
        }
        Ok(needed)
    }
}

/// What is seen of a run from outside.
#[derive(Clone)]
struct Shown {
    run_id: String,
    counted: Arc<Vec<Counted>>,
}

/// A run that has been started and does not move yet.
struct Attempt {
    begun: Instant,
    lease: Lease,
    job: Job,
    counted: Arc<Vec<Counted>>,
    outbox: Outbox,
    spill: SpillBudget,
    believed: Believed,
    summary: Summary,
}

impl Attempt {
    fn begin(pipeline: &Pipeline, store: &Store, options: &RunOptions) -> Result<Self, RunError> {
        let begun = Instant::now();
        let executor = options.executor.unwrap_or(pipeline.settings().executor);
        let needed = pipeline.needed(options)?;
        outputs::check(pipeline, store.dir(), &needed, &options.outputs)?;
        let duties = serve::duties(pipeline, store, options, &needed)?;
        let scope = RunScope {
            limit: options.limit,
            until: options.until.and_then(|node| pipeline.name_of(node)).map(str::to_owned),
        };
        let note = outputs::note(pipeline, &scope, &needed, &options.outputs);
        let lease = store.begin_run(pipeline, now_unix_millis(), &note)?;
        let run_id = lease.run_id().to_owned();
        let spill = SpillBudget::new(pipeline.settings().spill_limit);
        let memory_bytes = usize::try_from(pipeline.settings().memory_limit).unwrap_or(usize::MAX);
        let authors = Arc::<Authors>::default();
        let starting = Starting {
            pipeline,
            store,
            options,
            run_id: &run_id,
            origins: Arc::default(),
            memory: MemoryBudget::new(memory_bytes),
            spill: spill.clone(),
            outbox: Outbox::default(),
            jobs: Vec::new(),
            counted: Vec::new(),
            authors: Arc::clone(&authors),
        };
        let (job, counted, outbox) = match starting.start(duties) {
            Ok(started) => started,
            Err(error) => {
                // The first error is the cause; a run that is not written down as ended shows as lost.
                let _ = lease.finish(RunStatus::Failed.name(), now_unix_millis(), "{}");
                return Err(error);
            }
        };
        let summary = Summary {
            run_id,
            pipeline: pipeline.name().to_owned(),
            file: pipeline.file().map(str::to_owned),
            pipeline_hash: pipeline.hash().0.to_string(),
            executor,
            scope,
            status: RunStatus::Ok,
            seconds: 0.0,
            peak_memory_bytes: 0,
            spilled_bytes: 0,
            nodes: Vec::new(),
        };
        let believed = Believed::new(authors, store.results());
        Ok(Self { begun, lease, job, counted: Arc::new(counted), outbox, spill, believed, summary })
    }

    fn shown(&self) -> Shown {
        Shown { run_id: self.summary.run_id.clone(), counted: Arc::clone(&self.counted) }
    }

    /// Moves the rows to their end, gives files their names, and writes down how it went.
    fn run(self, cancel: &CancellationToken) -> Result<Summary, RunError> {
        let Self { begun, lease, job, counted, outbox, spill, believed, mut summary } = self;
        let ended = believed
            .check(drive(summary.executor, job, cancel))
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
        ended.and_then(|()| Ok(kept?)).map(|()| summary)
    }
}

/// Moves the rows to their end. On the run's own thread: a runtime must not be dropped in a task.
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
