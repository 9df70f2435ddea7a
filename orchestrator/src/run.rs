//! A run: every node is started, a driver moves the rows, what was written gets its name.

use std::future::Future;
use std::num::NonZeroUsize;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};
use std::time::{Duration, Instant};

use anabranch_engine::chunk::Chunk;
use anabranch_engine::clock::now_unix_millis;
use anabranch_engine::driver::{
    Job, NodeJob, NodeMetrics, RunError as DriveError, run_streaming, run_synchronous,
};
use anabranch_engine::memory::MemoryBudget;
use anabranch_engine::operator::{Bound, Context, Share};
use anabranch_engine::provenance::Origins;
use anabranch_engine::spill::{FileArea, SpillArea, SpillBudget};
use anabranch_engine::stage::{ChunkReader, Running, StageError};
use anabranch_engine::store::{RecordLayout, Recorder, RecordingKey, StoreError};
use anabranch_nodes::function::{BoundFunction, CacheMode, FailureSink, FunctionStage, StageParts};
use anabranch_nodes::sink::{Outbox, SinkError, SinkStage, WriteSpec};
use anabranch_nodes::source::{ChunkReader as SourceReader, Scratch};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::counted::{self, Counted, FunctionCounted, NodeDifferences, NodeProgress};
use crate::park::block_on;
use crate::pipeline::{Executor, Node, NodeHandle, Pipeline, Work};
use crate::store::Store;
use crate::summary::{NodeSummary, RunStatus, Summary, peak_memory_bytes};
use crate::targets;

/// Machines that share an operator's work at most; each looks at all rows for its own.
const MOST_COPIES: u32 = 8;
/// Bytes of record ids that a source keeps in memory.
const RECORD_ID_BYTES: usize = 64 << 20;
/// How long a cancelled run waits for nodes that are in the middle of a step.
const GRACE: Duration = Duration::from_millis(400);
/// How long the run's threads may take to end after a cancel.
const SHUTDOWN: Duration = Duration::from_millis(500);

/// What a single run does differently from what the pipeline says.
#[derive(Debug, Clone, Default)]
pub struct RunOptions {
    /// Another driver.
    pub executor: Option<Executor>,
    /// Only this node and what it needs.
    pub until: Option<NodeHandle>,
    /// At most this many rows of each source. Nothing is recorded then, since it is not the whole.
    pub limit: Option<u64>,
    /// Every function computes again; its results become the current ones.
    pub no_reuse: bool,
    /// Files that nodes' rows are written to while the run goes on.
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
        let needed = self.needed_until(options.until)?;
        targets::check(self, &needed, &options.outputs)?;
        let lease = store.begin_run(self, now_unix_millis())?;
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
        let (job, counted, outbox) = match starting.start(&needed) {
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

    /// Which nodes run: all, or those that the last one needs.
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

/// A run whose nodes are being started.
struct Starting<'a> {
    pipeline: &'a Pipeline,
    store: &'a Store,
    options: &'a RunOptions,
    run_id: &'a str,
    origins: Arc<Origins>,
    memory: MemoryBudget,
    spill: SpillBudget,
    outbox: Outbox,
    jobs: Vec<NodeJob>,
    counted: Vec<Counted>,
}

impl Starting<'_> {
    fn start(mut self, needed: &[bool]) -> Result<(Job, Vec<Counted>, Outbox), RunError> {
        // Position in the job of each node that runs.
        let mut places: Vec<Option<usize>> = Vec::new();
        for (node, needed) in self.pipeline.nodes().zip(needed) {
            places.push(needed.then_some(self.jobs.len()));
            if *needed {
                let inputs = node.inputs.iter().filter_map(|at| places.get(*at).copied().flatten()).collect();
                let (running, counters) = self.running(node)?;
                self.push(&node.name, node.kind, inputs, running, counters);
            }
        }
        for (handle, spec) in &self.options.outputs {
            let place = self.pipeline.index(*handle).and_then(|at| places.get(at).copied().flatten());
            let (Some(place), Some(contract)) = (place, self.pipeline.contract(*handle)) else {
                return Err(self.foreign());
            };
            let name = format!("--out {}", self.pipeline.name_of(*handle).unwrap_or_default());
            let sink = self.sink(spec, &contract.schema).map_err(|cause| start_failed(&name, cause))?;
            self.push(&name, "out", vec![place], sink, None);
        }
        let job = Job { nodes: self.jobs, capacity: self.pipeline.settings().channel_capacity };
        Ok((job, self.counted, self.outbox))
    }

    fn foreign(&self) -> RunError {
        RunError::Foreign { pipeline: self.pipeline.name().to_owned() }
    }

    fn push(
        &mut self,
        name: &str,
        kind: &'static str,
        inputs: Vec<usize>,
        running: Running,
        function: Option<FunctionCounted>,
    ) {
        let metrics = Arc::new(NodeMetrics::new(inputs.len()));
        self.counted.push(Counted { name: name.to_owned(), kind, metrics: Arc::clone(&metrics), function });
        let spill = Box::new(FileArea::new(self.store.scratch(), &self.spill));
        self.jobs.push(NodeJob { name: name.into(), inputs, running, spill, metrics });
    }

    fn running(&self, node: &Node) -> Result<(Running, Option<FunctionCounted>), RunError> {
        let wrong = |cause| start_failed(&node.name, cause);
        let settings = self.pipeline.settings();
        let chunk_rows = settings.chunk_rows.rows();
        Ok(match &node.work {
            Work::Source(source) => {
                let scratch =
                    Scratch { directory: self.store.scratch().to_owned(), memory_bytes: RECORD_ID_BYTES };
                let reader =
                    source.start(&self.origins, chunk_rows, &scratch).map_err(|e| wrong(e.into()))?;
                let left = self.options.limit.unwrap_or(u64::MAX);
                (Running::Source(Box::new(Limited { reader, left })), None)
            }
            Work::Operator(bound) => {
                let (origins, memory) = (Arc::clone(&self.origins), self.memory.clone());
                let context =
                    Context { origins, memory, chunk_rows, share: Share::WHOLE, cores: self.cores() };
                (self.machines(bound.as_ref(), &context), None)
            }
            Work::Function(function) => {
                let (stage, counted) = self.function(node, function).map_err(wrong)?;
                (Running::Stage(Box::new(stage)), Some(counted))
            }
            Work::Write(spec) => (self.sink(spec, &node.contract.schema).map_err(wrong)?, None),
        })
    }

    /// The cores that the operators may use.
    fn cores(&self) -> usize {
        match self.options.executor.unwrap_or(self.pipeline.settings().executor) {
            Executor::Sync => 1,
            Executor::Async => std::thread::available_parallelism().map_or(1, NonZeroUsize::get),
        }
    }

    /// The machine of an operator, or one for each core where they can share the work.
    fn machines(&self, bound: &dyn Bound, context: &Context) -> Running {
        let copies = u32::try_from(context.cores).unwrap_or(MOST_COPIES).min(MOST_COPIES);
        if copies < 2 || !bound.splits() {
            return Running::Machine(bound.start(context));
        }
        let copy = |part| {
            let context = Context { share: Share::new(part, copies), ..context.clone() };
            let area: Box<dyn SpillArea> = Box::new(FileArea::new(self.store.scratch(), &self.spill));
            (bound.start(&context), area)
        };
        Running::Split((0..copies).map(copy).collect())
    }

    fn sink(
        &self,
        spec: &WriteSpec,
        schema: &anabranch_engine::schema::StreamSchema,
    ) -> Result<Running, StageError> {
        let sink = SinkStage::create(spec, schema, Arc::clone(&self.origins), self.outbox.clone())?;
        Ok(Running::Stage(Box::new(sink)))
    }

    fn function(
        &self,
        node: &Node,
        function: &Arc<BoundFunction>,
    ) -> Result<(FunctionStage, FunctionCounted), StageError> {
        let cache = match node.cache {
            CacheMode::Replay | CacheMode::Verify if !function.cacheable() => {
                return Err("cache: found replay or verify, expected reuse or off, since a closure without a version has no results; give it one by version".into());
            }
            _ if !function.cacheable() => CacheMode::Off,
            CacheMode::Reuse if self.options.no_reuse => CacheMode::Refresh,
            cache => cache,
        };
        let kept = !matches!(cache, CacheMode::Off | CacheMode::Verify);
        let recorded = kept && self.options.limit.is_none();
        let counted = FunctionCounted { verifies: cache == CacheMode::Verify, ..FunctionCounted::default() };
        let stage = FunctionStage::new(StageParts {
            function: Arc::clone(function),
            cache,
            calls: node.knobs.calls(self.pipeline.settings()),
            results: self.store.results(),
            recorder: if recorded { Some(self.recorder(node, function)?) } else { None },
            failures: FailureSink {
                store: self.store.failures(),
                run: self.run_id.to_owned(),
                pipeline: self.pipeline.name().to_owned(),
                node: node.name.clone(),
            },
            origins: Arc::clone(&self.origins),
            counters: Arc::clone(&counted.counters),
            differences: Arc::clone(&counted.differences),
        });
        Ok((stage, counted))
    }

    fn recorder(&self, node: &Node, function: &Arc<BoundFunction>) -> Result<Box<dyn Recorder>, StoreError> {
        let key = RecordingKey {
            pipeline: self.pipeline.name().to_owned(),
            node: node.name.clone(),
            content: node.content_hash,
            pipeline_hash: node.pipeline_hash,
            run: self.run_id.to_owned(),
        };
        let layout = RecordLayout {
            schema: Arc::clone(&node.contract.schema),
            ordered: node.contract.ordered,
            function: Some(Arc::clone(function.stored())),
        };
        let store = self.store.recordings();
        let begun = store.begin(key, layout, Arc::clone(&self.origins));
        block_on(begun)
    }
}

fn start_failed(node: &str, cause: StageError) -> RunError {
    RunError::Start { node: node.to_owned(), cause }
}

/// A source that ends after so many rows.
struct Limited {
    reader: SourceReader,
    left: u64,
}

impl ChunkReader for Limited {
    fn next(&mut self) -> Result<Option<Chunk>, StageError> {
        if self.left == 0 {
            return Ok(None);
        }
        let Some(chunk) = self.reader.next()? else { return Ok(None) };
        let rows = usize::try_from(self.left).unwrap_or(usize::MAX).min(chunk.rows());
        self.left -= rows as u64;
        Ok(Some(chunk.slice(0, rows)))
    }
}
