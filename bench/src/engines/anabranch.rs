//! Ours: two sources in memory with provenance, the operator, a sink that counts.
//!
//! One thread is the synchronous driver. The streaming driver reads each source on a thread of its
//! own, so it always has more of them than its runtime's.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};

use anabranch_engine::chunk::Chunk;
use anabranch_engine::driver::{
    Job, NodeJob, NodeMetrics, NoSpill, SpillArea, run_streaming, run_synchronous,
};
use anabranch_engine::identity::{Digest, PipelineHash};
use anabranch_engine::memory::MemoryBudget;
use anabranch_engine::operator::{Bound, Context, Input, Item, Machine, Operator, Partition};
use anabranch_engine::provenance::{Origin, Origins, Positions, Provenance, ProvenanceColumn, RecordIds};
use anabranch_engine::schema::{StreamSchema, SystemTag};
use anabranch_engine::stage::{ChunkReader, Running, Stage, StageError, StageStep};
use anabranch_operators::{Antijoin, Join, Semijoin};
use futures::future::BoxFuture;
use tokio::runtime::{Builder, Runtime};
use tokio_util::sync::CancellationToken;

use super::{Drain, Prepared};
use crate::arrays::ours::{columns, fields, words};
use crate::cases::{Case, Engine, Matching};
use crate::data::{CHUNK_ROWS, Table};
use crate::error::{BenchError, Cause, in_engine};
use crate::tally::Tally;

/// Chunks that an edge holds.
const CAPACITY: NonZeroUsize = NonZeroUsize::MIN.saturating_add(7);
/// More than any case needs.
const MEMORY_LIMIT: usize = 16 << 30;

/// Ours, with its tables.
pub(crate) struct Ours {
    case: &'static Case,
    threads: usize,
    runtime: Runtime,
    context: Context,
    bound: Box<dyn Bound>,
    tables: [Vec<Chunk>; 2],
}

fn operator(matching: Matching) -> Box<dyn Operator> {
    match matching {
        Matching::Join => Box::new(Join::new()),
        Matching::Semijoin => Box::new(Semijoin),
        Matching::Antijoin => Box::new(Antijoin),
    }
}

impl Ours {
    /// Builds the chunks and binds the operator.
    pub(crate) fn new(case: &'static Case, tables: &[Table; 2], threads: usize) -> Result<Self, BenchError> {
        Self::build(case, tables, threads).map_err(in_engine(Engine::Anabranch))
    }

    fn build(case: &'static Case, tables: &[Table; 2], threads: usize) -> Result<Self, Cause> {
        let origins = Arc::new(Origins::default());
        let mut number = 0;
        let [left, right] = tables.each_ref().map(|table| {
            number += 1;
            input(table, number, &origins)
        });
        let (left, right) = (left?, right?);
        let bound = operator(case.matching).bind(&[left.0, right.0])?;
        let context = Context { cores: threads, ..context(origins) };
        Ok(Self { case, threads, runtime: runtime(threads)?, context, bound, tables: [left.1, right.1] })
    }

    fn job(&self, tally: &Arc<Mutex<Tally>>, drain: Drain) -> Job {
        let mut nodes: Vec<NodeJob> = self
            .tables
            .iter()
            .zip(["left", "right"])
            .map(|(chunks, name)| node(name, vec![], source(chunks.clone())))
            .collect();
        nodes.push(node("match", vec![0, 1], self.running()));
        let columns = (drain == Drain::Sum).then(|| self.case.columns());
        let sink = Sink { tally: Arc::clone(tally), columns, ended: false };
        nodes.push(node("sink", vec![2], Running::Stage(Box::new(sink))));
        job(nodes)
    }

    /// As many machines as threads, each with its share of the rows, where the operator allows it.
    fn running(&self) -> Running {
        let of = u32::try_from(self.threads).unwrap_or(1);
        if of == 1 || !self.bound.splits() {
            return Running::Machine(self.bound.start(&self.context));
        }
        let copy = |part| -> (Box<dyn Machine>, Box<dyn SpillArea>) {
            let context = Context { partition: Partition::new(part, of), ..self.context.clone() };
            (self.bound.start(&context), Box::new(NoSpill))
        };
        Running::Split((0..of).map(copy).collect())
    }
}

/// A runtime of so many threads; of one, the calling thread.
pub(crate) fn runtime(threads: usize) -> std::io::Result<Runtime> {
    match threads {
        1 => Builder::new_current_thread().enable_time().build(),
        _ => Builder::new_multi_thread().worker_threads(threads).enable_time().build(),
    }
}

/// Runs a job: by the synchronous driver on one thread, else by the streaming one.
pub(crate) fn drive(job: Job, threads: usize, runtime: &Runtime) -> Result<(), Cause> {
    let cancel = CancellationToken::new();
    if threads == 1 {
        return Ok(run_synchronous(job, runtime, &cancel)?);
    }
    let run = async move { run_streaming(job, &cancel).await };
    // This thread only waits, so that the runtime's threads are all there are beside the sources'.
    Ok(runtime.block_on(runtime.spawn(run))??)
}

/// A job over edges as in a run.
pub(crate) fn job(nodes: Vec<NodeJob>) -> Job {
    Job { nodes, capacity: CAPACITY }
}

impl Prepared for Ours {
    fn run(&mut self, drain: Drain) -> Result<Tally, BenchError> {
        let tally = Arc::default();
        let driven = drive(self.job(&tally, drain), self.threads, &self.runtime);
        driven.map_err(in_engine(Engine::Anabranch))?;
        let tally = *tally.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(tally)
    }
}

/// Context of machines in a run.
pub(crate) fn context(origins: Arc<Origins>) -> Context {
    Context {
        origins,
        memory: MemoryBudget::new(MEMORY_LIMIT),
        chunk_rows: CHUNK_ROWS,
        partition: Partition::WHOLE,
        cores: 1,
    }
}

/// A node of a job.
pub(crate) fn node(name: &str, inputs: Vec<usize>, running: Running) -> NodeJob {
    let metrics = Arc::new(NodeMetrics::new(inputs.len()));
    NodeJob { name: name.into(), inputs, running, spill: Box::new(NoSpill), metrics }
}

/// A table as a source gives it: one system tag, and source info for each packet column.
pub(crate) fn input(table: &Table, number: u8, origins: &Origins) -> Result<(Input, Vec<Chunk>), Cause> {
    let pipeline_hash = PipelineHash(Digest([number; 32]));
    let [key, packets @ ..] = fields(table);
    let tag = SystemTag::of_source(&pipeline_hash.short());
    let schema = Arc::new(StreamSchema::new(vec![key], packets.to_vec(), vec![tag])?);
    let source: Arc<str> = format!("table {number}").into();
    let records = RecordIds::Ordinal;
    let row = origins.add(Origin::Source { source: Arc::clone(&source), records: records.clone() });
    let columns_of = schema.packets().iter().map(|field| {
        let column = field.name().as_str().into();
        origins.add(Origin::Column { source: Arc::clone(&source), records: records.clone(), column })
    });
    let sources: Vec<_> = columns_of.collect();
    let chunks = table.batches().map(|rows| {
        let positions = Positions::range(rows.start as u64, rows.len());
        let provenance = Provenance {
            tags: vec![ProvenanceColumn::constant(row, positions.clone())],
            sources: sources.iter().map(|id| ProvenanceColumn::constant(*id, positions.clone())).collect(),
        };
        let [key, packets @ ..] = columns(table, &rows);
        Chunk::new(Arc::clone(&schema), rows.len(), vec![key], packets.to_vec(), provenance)
    });
    let chunks = chunks.collect::<Result<Vec<_>, _>>()?;
    Ok((Input { schema, pipeline_hash, ordered: true, bounded: true }, chunks))
}

/// A source of these chunks.
pub(crate) fn source(chunks: Vec<Chunk>) -> Running {
    Running::Source(Box::new(Reader(chunks.into_iter())))
}

/// A sink that only counts.
pub(crate) fn counting_sink(tally: &Arc<Mutex<Tally>>) -> Running {
    Running::Stage(Box::new(Sink { tally: Arc::clone(tally), columns: None, ended: false }))
}

struct Reader(std::vec::IntoIter<Chunk>);

impl ChunkReader for Reader {
    fn next(&mut self) -> Result<Option<Chunk>, StageError> {
        Ok(self.0.next())
    }
}

/// Counts the rows that come, and sums them up where columns are named.
struct Sink {
    /// Read by the measurement once the run is over; a lock for that one hand-over.
    tally: Arc<Mutex<Tally>>,
    columns: Option<&'static [&'static str]>,
    ended: bool,
}

impl Stage for Sink {
    fn accept(&mut self, _port: usize, item: Item) -> Result<(), StageError> {
        let Item::Chunk(chunk) = item else {
            self.ended = true;
            return Ok(());
        };
        let mut tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
        match self.columns {
            None => tally.count(chunk.rows()),
            Some(names) => {
                let columns: Option<Vec<_>> =
                    names.iter().map(|name| chunk.column(name).map(|column| words(column))).collect();
                tally.add(chunk.rows(), &columns.ok_or("a column is missing")?);
            }
        }
        Ok(())
    }

    fn step(&mut self) -> BoxFuture<'_, Result<StageStep, StageError>> {
        let step = if self.ended { StageStep::Done } else { StageStep::NeedInput(vec![0]) };
        Box::pin(std::future::ready(Ok(step)))
    }
}
