//! What a run would do: sources are read, packets hashed and looked up, and nothing is computed.
//!
//! A function all of whose packets have results passes them on, so that what stands below it is
//! exact too. Below a function that has to compute, nobody knows which rows it drops and what an
//! operator makes of the values: there counts are upper bounds. Which functions have to compute is
//! known after a first pass; if any does, a second one counts what stands below.

mod stages;
mod told;

pub(crate) use stages::Nothing;
pub use told::{Count, Forecast, ForecastCalls, ForecastNode};

use std::sync::Arc;
use std::time::Instant;

use anabranch_engine::driver::{Job, NodeJob, NodeMetrics, run_synchronous};
use anabranch_engine::memory::MemoryBudget;
use anabranch_engine::operator::{Context, Share, UnknownValues};
use anabranch_engine::provenance::Origins;
use anabranch_engine::spill::{FileArea, SpillBudget};
use anabranch_engine::stage::Running;
use anabranch_nodes::function::{
    BoundFunction, CacheMode, ForecastCounters, ForecastParts, ForecastStage, MissedRows,
};
use anabranch_nodes::source::{Scratch, SourceError};
use tokio_util::sync::CancellationToken;

use crate::explain::Explanation;
use crate::pipeline::{Node, NodeHandle, Pipeline, Work};
use crate::run::RunError;
use crate::store::Store;
use crate::verify::Checks;
use stages::{Lenient, OnePort};

/// Bytes of record ids that a source keeps in memory.
const RECORD_ID_BYTES: usize = 64 << 20;
/// The name of the thread that drives a forecast.
const FORECAST: &str = "anabranch forecast";

/// What a forecast is made for.
#[derive(Debug, Clone, Default)]
pub struct ForecastOptions {
    /// A run in which every function computes again.
    pub no_reuse: bool,
    /// Only this node and what it needs.
    pub until: Option<NodeHandle>,
}

impl Pipeline {
    /// What a run would do: it reads the sources and runs operators, but computes no function and
    /// writes nothing. Without a store, there are no results.
    ///
    /// Memory: as a synchronous run; state beyond the limits goes to files without a name in the
    /// system's folder for such. Blocks; works inside a runtime too.
    pub fn forecast(&self, store: Option<&Store>, options: &ForecastOptions) -> Result<Forecast, RunError> {
        let begun = Instant::now();
        if let Some(recalled) = self.recalled_from(store)? {
            return recalled.forecast(store, options);
        }
        let needed = self.needed_until(options.until)?;
        let first =
            Pass::run(self, store, options, &needed, &vec![State::Exact; needed.len()], &Extra::None)?;
        let states = first.states(self);
        let all_exact = states.iter().all(|state| *state == State::Exact);
        let second =
            if all_exact { first } else { Pass::run(self, store, options, &needed, &states, &Extra::None)? };
        let mut nodes = Vec::with_capacity(self.nodes().len());
        for (at, node) in self.nodes().enumerate().filter(|(at, _)| second.is_needed(*at)) {
            nodes.push(second.node(self, store, (at, node), &states)?);
        }
        let seconds = begun.elapsed().as_secs_f64();
        Ok(Forecast { pipeline: self.name().to_owned(), nodes, seconds })
    }

    /// Reads up to a node with the outcomes of the store, and verifies functions beside.
    pub(crate) fn pass_with_checks(
        &self,
        store: &Store,
        until: Option<NodeHandle>,
        checks: &Checks<'_>,
    ) -> Result<(), RunError> {
        let needed = self.needed_until(until)?;
        let states = vec![State::Exact; needed.len()];
        let options = ForecastOptions::default();
        Pass::run(self, Some(store), &options, &needed, &states, &Extra::Verify(checks)).map(drop)
    }

    /// Reads up to a function node and shows its input rows whose packets would be computed.
    pub(crate) fn watch_missed(
        &self,
        store: Option<&Store>,
        node: NodeHandle,
        missed: impl Fn(&Arc<Origins>) -> MissedRows,
    ) -> Result<ForecastNode, RunError> {
        let options = ForecastOptions { until: Some(node), ..ForecastOptions::default() };
        let needed = self.needed_until(options.until)?;
        let first =
            Pass::run(self, store, &options, &needed, &vec![State::Exact; needed.len()], &Extra::None)?;
        let states = first.states(self);
        let at = self.index(node).unwrap_or_default();
        let watch = Watch { node: at, missed: &missed };
        let second = Pass::run(self, store, &options, &needed, &states, &Extra::Watch(watch))?;
        match self.at(at) {
            Some(found) => second.node(self, store, (at, found), &states),
            None => Err(RunError::Foreign { pipeline: self.name().to_owned() }),
        }
    }
}

/// Which node's missed rows are shown to whom.
struct Watch<'a> {
    node: usize,
    missed: &'a dyn Fn(&Arc<Origins>) -> MissedRows,
}

/// What a pass does beside.
enum Extra<'a> {
    None,
    Watch(Watch<'a>),
    Verify(&'a Checks<'a>),
}

/// What is known of a node's rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum State {
    /// All.
    Exact,
    /// How many there are at most.
    Bounded,
    /// Nothing.
    Unknown,
}

/// One reading of the sources.
struct Pass {
    /// For each node that is needed, its counters.
    counted: Vec<Option<Counted>>,
}

struct Counted {
    metrics: Arc<NodeMetrics>,
    calls: Option<Arc<ForecastCounters>>,
}

impl Pass {
    fn run(
        pipeline: &Pipeline,
        store: Option<&Store>,
        options: &ForecastOptions,
        needed: &[bool],
        states: &[State],
        extra: &Extra<'_>,
    ) -> Result<Self, RunError> {
        let starting = Starting {
            pipeline,
            store,
            no_reuse: options.no_reuse,
            states,
            extra,
            origins: Arc::default(),
            memory: MemoryBudget::new(
                usize::try_from(pipeline.settings().memory_limit).unwrap_or(usize::MAX),
            ),
            spill: SpillBudget::new(pipeline.settings().spill_limit),
        };
        let (job, counted) = starting.job(needed)?;
        let refused = |cause| RunError::Thread { name: FORECAST, cause };
        // A runtime must not be entered from within another; a thread of its own has none.
        let driven = std::thread::scope(|scope| {
            let thread = std::thread::Builder::new().name(FORECAST.into());
            let driving = thread.spawn_scoped(scope, || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                let runtime = runtime.map_err(refused)?;
                Ok(run_synchronous(job, &runtime, &CancellationToken::new())?)
            });
            driving.map_err(refused)?.join().unwrap_or(Err(RunError::Lost))
        });
        driven.map(|()| Self { counted })
    }

    fn is_needed(&self, at: usize) -> bool {
        self.counted.get(at).is_some_and(Option::is_some)
    }

    fn counted(&self, at: usize) -> Option<&Counted> {
        self.counted.get(at)?.as_ref()
    }

    /// What is known of the rows that each node gives, now that it is known who has to compute.
    fn states(&self, pipeline: &Pipeline) -> Vec<State> {
        let mut states: Vec<State> = Vec::with_capacity(self.counted.len());
        for (at, node) in pipeline.nodes().enumerate() {
            let inputs = node.inputs.iter().filter_map(|input| states.get(*input)).copied();
            let above = inputs.max().unwrap_or(State::Exact);
            let computes = self.counted(at).and_then(|c| c.calls.as_ref()).is_some_and(|c| c.compute() > 0);
            states.push(match above {
                State::Exact if computes => State::Bounded,
                State::Bounded => match &node.work {
                    Work::Operator(bound) if bound.with_unknown_values() == UnknownValues::Nothing => {
                        State::Unknown
                    }
                    _ => State::Bounded,
                },
                above => above,
            });
        }
        states
    }

    fn node(
        &self,
        pipeline: &Pipeline,
        store: Option<&Store>,
        (at, node): (usize, &Node),
        states: &[State],
    ) -> Result<ForecastNode, RunError> {
        let state = |at: usize| states.get(at).copied().unwrap_or(State::Unknown);
        let count = |state: State, number: u64| match state {
            State::Exact => Count::Exactly(number),
            State::Bounded => Count::AtMost(number),
            State::Unknown => Count::Unknown,
        };
        let counted = self.counted(at);
        let rows = counted.map(|c| c.metrics.rows_in()).unwrap_or_default();
        let rows_in: Vec<Count> =
            node.inputs.iter().zip(rows).map(|(input, rows)| count(state(*input), rows)).collect();
        let above = node.inputs.iter().map(|input| state(*input)).max().unwrap_or(State::Exact);
        let calls = match (&node.work, counted.and_then(|c| c.calls.as_ref())) {
            (Work::Function(function), Some(counters)) => {
                let compute = match above {
                    State::Exact if counters.is_rough() => State::Bounded,
                    above => above,
                };
                let reason = if counters.compute() == 0 && above != State::Unknown {
                    None
                } else {
                    Some(Explanation::reason(pipeline, store, node, function, above != State::Exact)?)
                };
                Some(ForecastCalls {
                    compute: count(compute, counters.compute()),
                    reuse: count(compute, counters.rows() - counters.compute()),
                    dropped: count(above, counters.dropped()),
                    reason,
                })
            }
            _ => None,
        };
        let given = counted.map_or(0, |c| c.metrics.rows_out());
        let rows_out = match node.work {
            Work::Write(_) => Count::Exactly(0),
            _ => count(state(at), given),
        };
        Ok(ForecastNode { name: node.name.clone(), kind: node.kind, rows_in, rows_out, calls })
    }
}

/// A pass whose nodes are being started.
struct Starting<'a> {
    pipeline: &'a Pipeline,
    store: Option<&'a Store>,
    no_reuse: bool,
    states: &'a [State],
    extra: &'a Extra<'a>,
    origins: Arc<Origins>,
    memory: MemoryBudget,
    spill: SpillBudget,
}

impl Starting<'_> {
    fn job(&self, needed: &[bool]) -> Result<(Job, Vec<Option<Counted>>), RunError> {
        let mut places: Vec<Option<usize>> = Vec::new();
        let mut jobs: Vec<NodeJob> = Vec::new();
        let mut counted = Vec::new();
        for ((at, node), needed) in self.pipeline.nodes().enumerate().zip(needed) {
            places.push(needed.then_some(jobs.len()));
            if !*needed {
                counted.push(None);
                continue;
            }
            let inputs: Vec<usize> =
                node.inputs.iter().filter_map(|at| places.get(*at).copied().flatten()).collect();
            let (running, calls) = self.running(at, node)?;
            let metrics = Arc::new(NodeMetrics::new(inputs.len()));
            counted.push(Some(Counted { metrics: Arc::clone(&metrics), calls }));
            let spill = Box::new(FileArea::new(&std::env::temp_dir(), &self.spill));
            let above = inputs.first().copied();
            jobs.push(NodeJob { name: node.name.as_str().into(), inputs, running, spill, metrics });
            if let (Extra::Verify(checks), Work::Function(function), Some(above)) =
                (self.extra, &node.work, above)
            {
                checks.push(&mut jobs, self.pipeline, (at, node, function), above, &self.origins);
            }
        }
        Ok((Job { nodes: jobs, capacity: self.pipeline.settings().channel_capacity }, counted))
    }

    fn running(&self, at: usize, node: &Node) -> Result<(Running, Option<Arc<ForecastCounters>>), RunError> {
        let chunk_rows = self.pipeline.settings().chunk_rows.rows();
        let above = node.inputs.iter().filter_map(|input| self.states.get(*input)).max();
        let unknown = above.is_some_and(|above| *above != State::Exact);
        Ok(match &node.work {
            Work::Source(source) => {
                let scratch = Scratch { directory: std::env::temp_dir(), memory_bytes: RECORD_ID_BYTES };
                let wrong = |e: SourceError| RunError::Start { node: node.name.clone(), cause: e.into() };
                // Where something may have to be computed there may be a second pass.
                if self.pipeline.nodes().any(|node| matches!(node.work, Work::Function(_))) {
                    source.keep(&scratch.directory).map_err(wrong)?;
                }
                let reader = source.start(&self.origins, chunk_rows, &scratch).map_err(wrong)?;
                (Running::Source(Box::new(stages::Reading(reader))), None)
            }
            Work::Operator(bound) => {
                let (origins, memory) = (Arc::clone(&self.origins), self.memory.clone());
                let context = Context { origins, memory, chunk_rows, share: Share::WHOLE, cores: 1 };
                let ports = node.inputs.len();
                let known = if unknown { bound.with_unknown_values() } else { UnknownValues::Run };
                let running = match known {
                    UnknownValues::Run => Running::Machine(bound.start(&context)),
                    UnknownValues::PassRow => Running::Stage(Box::new(Lenient::new(bound.start(&context)))),
                    UnknownValues::AtMost(port) => Running::Stage(Box::new(OnePort::new(ports, port))),
                    UnknownValues::Nothing => Running::Stage(Box::new(Nothing::new(ports))),
                };
                (running, None)
            }
            Work::Function(function) => {
                let (stage, counters) = self.function(at, node, function);
                (Running::Stage(Box::new(stage)), Some(counters))
            }
            Work::Write(_) => (Running::Stage(Box::new(Nothing::new(1))), None),
        })
    }

    fn function(
        &self,
        at: usize,
        node: &Node,
        function: &Arc<BoundFunction>,
    ) -> (ForecastStage, Arc<ForecastCounters>) {
        let cache = match node.cache {
            _ if !function.cacheable() => CacheMode::Off,
            CacheMode::Reuse if self.no_reuse => CacheMode::Refresh,
            cache => cache,
        };
        let missed = match self.extra {
            Extra::Watch(watch) if watch.node == at => Some((watch.missed)(&self.origins)),
            _ => None,
        };
        let counters = Arc::new(ForecastCounters::default());
        let stage = ForecastStage::new(ForecastParts {
            function: Arc::clone(function),
            cache,
            results: self.store.map(Store::results),
            origins: Arc::clone(&self.origins),
            counters: Arc::clone(&counters),
            missed,
        });
        (stage, counters)
    }
}
