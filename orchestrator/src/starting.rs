//! How each node of a run is started, by its duty.

use std::num::NonZeroUsize;
use std::sync::Arc;

use anabranch_engine::chunk::Chunk;
use anabranch_engine::driver::{Job, NodeJob, NodeMetrics};
use anabranch_engine::memory::MemoryBudget;
use anabranch_engine::operator::{Bound, Context, Share};
use anabranch_engine::provenance::Origins;
use anabranch_engine::spill::{FileArea, SpillArea, SpillBudget};
use anabranch_engine::stage::{ChunkReader, Running, StageError};
use anabranch_engine::store::{RecordLayout, Recorder, RecordingKey, StoreError};
use anabranch_nodes::function::{Authors, BoundFunction, CacheMode, FailureSink, FunctionStage, StageParts};
use anabranch_nodes::recording::{RecordMode, RecordingStage};
use anabranch_nodes::sink::{Outbox, SinkCounters, SinkStage, WriteSpec};
use anabranch_nodes::source::{ChunkReader as SourceReader, Scratch, SourceNode, Upstream};
use anabranch_storage::{Link, RecordingInfo};

use crate::block_on::block_on;
use crate::counted::{Counted, FunctionCounted};
use crate::cumulative::{self, Cumulative};
use crate::pipeline::{Node, Pipeline, Work};
use crate::run::{RunError, RunOptions};
use crate::serve::{self, Duty};
use crate::settings::Executor;
use crate::store::Store;

/// Machines that share an operator's work at most; each looks at all rows for its own.
const MOST_COPIES: u32 = 8;
/// Bytes of record ids that a source keeps in memory.
const RECORD_ID_BYTES: usize = 64 << 20;

/// What nodes of some kinds count beside their rows.
#[derive(Default)]
struct NodeCounters {
    function: Option<FunctionCounted>,
    sink: Option<Arc<SinkCounters>>,
}

/// A run whose nodes are being started.
pub(crate) struct Starting<'a> {
    pub(crate) pipeline: &'a Pipeline,
    pub(crate) store: &'a Store,
    pub(crate) options: &'a RunOptions,
    pub(crate) run_id: &'a str,
    pub(crate) origins: Arc<Origins>,
    pub(crate) memory: MemoryBudget,
    pub(crate) spill: SpillBudget,
    pub(crate) outbox: Outbox,
    pub(crate) jobs: Vec<NodeJob>,
    pub(crate) counted: Vec<Counted>,
    pub(crate) authors: Arc<Authors>,
}

impl Starting<'_> {
    /// Starts all nodes that have something to do.
    pub(crate) fn start(mut self, duties: Vec<Duty>) -> Result<(Job, Vec<Counted>, Outbox), RunError> {
        // Position in the job of each node that runs.
        let mut places: Vec<Option<usize>> = Vec::new();
        for (node, duty) in self.pipeline.nodes().zip(duties) {
            let inputs = node.inputs.iter().filter_map(|at| places.get(*at).copied().flatten()).collect();
            places.push(match duty {
                Duty::Nothing => None,
                Duty::Serve(recording) => Some(self.serve(node, &recording)?),
                Duty::Run => Some(self.work(node, inputs)?),
            });
        }
        for (handle, spec) in &self.options.outputs {
            let place = self.pipeline.index(*handle).and_then(|at| places.get(at).copied().flatten());
            let (Some(place), Some(contract)) = (place, self.pipeline.contract(*handle)) else {
                return Err(self.foreign());
            };
            let name = format!("--out {}", self.pipeline.name_of(*handle).unwrap_or_default());
            let (sink, counters) =
                self.sink(spec, &contract.schema).map_err(|cause| start_failed(&name, cause))?;
            self.push(&name, "out", vec![place], sink, counters);
        }
        let job = Job { nodes: self.jobs, capacity: self.pipeline.settings().channel_capacity };
        Ok((job, self.counted, self.outbox))
    }

    /// Starts a node; gives the place in the job from which its rows come.
    fn work(&mut self, node: &Node, inputs: Vec<usize>) -> Result<usize, RunError> {
        let (running, counters) = self.running(node)?;
        self.push(&node.name, node.kind, inputs, running, counters);
        if let Some(counted) = self.counted.last_mut() {
            counted.ran_because = serve::ran_because(node, self.options);
        }
        let last = self.jobs.len() - 1;
        let records = node.record != RecordMode::Off && matches!(node.work, Work::Operator(_));
        if !records || self.options.limit.is_some() {
            return Ok(last);
        }
        let recorder = self.recorder(node, None).map_err(|e| start_failed(&node.name, e.into()))?;
        let stage = Running::Stage(Box::new(RecordingStage::new(recorder)));
        self.push_job(&node.name, vec![last], stage, Arc::new(NodeMetrics::new(1)));
        Ok(last + 1)
    }

    /// Gives a node's rows from a recording instead of its work.
    fn serve(&mut self, node: &Node, recording: &RecordingInfo) -> Result<usize, RunError> {
        let reader = self.store.served(recording, &self.origins)?;
        self.push(&node.name, node.kind, Vec::new(), Running::Source(reader), NodeCounters::default());
        if let Some(counted) = self.counted.last_mut() {
            counted.replayed = true;
        }
        Ok(self.jobs.len() - 1)
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
        counters: NodeCounters,
    ) {
        let metrics = Arc::new(NodeMetrics::new(inputs.len()));
        let counted = Arc::clone(&metrics);
        let name_of = name.to_owned();
        let NodeCounters { function, sink } = counters;
        self.counted.push(Counted {
            name: name_of,
            kind,
            metrics: counted,
            function,
            sink,
            replayed: false,
            ran_because: None,
        });
        self.push_job(name, inputs, running, metrics);
    }

    fn push_job(&mut self, name: &str, inputs: Vec<usize>, running: Running, metrics: Arc<NodeMetrics>) {
        let spill = Box::new(FileArea::new(self.store.scratch(), &self.spill));
        self.jobs.push(NodeJob { name: name.into(), inputs, running, spill, metrics });
    }

    fn running(&self, node: &Node) -> Result<(Running, NodeCounters), RunError> {
        let wrong = |cause| start_failed(&node.name, cause);
        let settings = self.pipeline.settings();
        let chunk_rows = settings.chunk_rows.rows();
        if let Work::Source(source) = &node.work
            && self.pipeline.may_run_again()
        {
            source.keep(self.store.scratch()).map_err(|e| wrong(e.into()))?;
        }
        Ok(match &node.work {
            Work::Source(source) if source.is_cumulative() && self.options.limit.is_none() => {
                let reader = Cumulative::new(self.cumulative(node, source)).map_err(|e| wrong(e.into()))?;
                (Running::Source(Box::new(reader)), NodeCounters::default())
            }
            Work::Source(source) => {
                let scratch =
                    Scratch { directory: self.store.scratch().to_owned(), memory_bytes: RECORD_ID_BYTES };
                let reader =
                    source.start(&self.origins, chunk_rows, &scratch).map_err(|e| wrong(e.into()))?;
                // Nothing that a run of some rows keeps leads back through a link.
                if let Some(upstream) = reader.upstream().filter(|_| self.options.limit.is_none()) {
                    self.link(node, source, &upstream)?;
                }
                let left = self.options.limit.unwrap_or(u64::MAX);
                (Running::Source(Box::new(Limited { reader, left })), NodeCounters::default())
            }
            Work::Operator(bound) => {
                let (origins, memory) = (Arc::clone(&self.origins), self.memory.clone());
                let context =
                    Context { origins, memory, chunk_rows, share: Share::WHOLE, cores: self.cores() };
                (self.machines(bound.as_ref(), &context), NodeCounters::default())
            }
            Work::Function(function) => {
                let (stage, counted) = self.function(node, function).map_err(wrong)?;
                (Running::Stage(Box::new(stage)), NodeCounters { function: Some(counted), sink: None })
            }
            Work::Write(spec) => self.sink(spec, &node.contract.schema).map_err(wrong)?,
        })
    }

    fn cumulative(&self, node: &Node, source: &Arc<SourceNode>) -> cumulative::Parts {
        cumulative::Parts {
            store: self.store.inner().clone(),
            source: Arc::clone(source),
            key: self.key(node),
            origins: Arc::clone(&self.origins),
            chunk_rows: self.pipeline.settings().chunk_rows.rows(),
            memory_bytes: usize::try_from(self.pipeline.settings().memory_limit / 4)
                .unwrap_or(usize::MAX)
                .min(RECORD_ID_BYTES),
            spill: self.spill.clone(),
        }
    }

    /// Writes down which recording a source reads.
    fn link(&self, node: &Node, source: &SourceNode, upstream: &Upstream) -> Result<(), StoreError> {
        let link = Link {
            run: self.run_id.to_owned(),
            node: node.name.clone(),
            source_id: source.source_id().to_owned(),
            store: self.store.link_name(&upstream.store),
            recording: upstream.recording,
        };
        block_on(self.store.inner().link(link))
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
    ) -> Result<(Running, NodeCounters), StageError> {
        let sink = SinkStage::create(spec, schema, Arc::clone(&self.origins), self.outbox.clone())?;
        let counters = NodeCounters { function: None, sink: Some(sink.counters()) };
        Ok((Running::Stage(Box::new(sink)), counters))
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
        let verifies = cache == CacheMode::Verify;
        let counted = FunctionCounted { verifies, recorded, ..FunctionCounted::default() };
        let stage = FunctionStage::new(StageParts {
            function: Arc::clone(function),
            cache,
            calls: node.knobs.calls(self.pipeline.settings()),
            results: self.store.results(),
            recorder: if recorded { Some(self.recorder(node, Some(function))?) } else { None },
            failures: FailureSink {
                store: self.store.failures(),
                run: self.run_id.to_owned(),
                pipeline: self.pipeline.name().to_owned(),
                node: node.name.clone(),
            },
            origins: Arc::clone(&self.origins),
            counters: Arc::clone(&counted.counters),
            differences: Arc::clone(&counted.differences),
            authors: Arc::clone(&self.authors),
        });
        Ok((stage, counted))
    }

    fn key(&self, node: &Node) -> RecordingKey {
        RecordingKey {
            pipeline: self.pipeline.name().to_owned(),
            node: node.name.clone(),
            content: node.identity.content_hash,
            pipeline_hash: node.identity.pipeline_hash,
            run: self.run_id.to_owned(),
            revisions: node.identity.revisions.clone(),
        }
    }

    fn recorder(
        &self,
        node: &Node,
        function: Option<&Arc<BoundFunction>>,
    ) -> Result<Box<dyn Recorder>, StoreError> {
        let key = self.key(node);
        let layout = RecordLayout {
            schema: Arc::clone(&node.contract.schema),
            ordered: node.contract.ordered,
            function: function.map(|function| Arc::clone(function.stored())),
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
