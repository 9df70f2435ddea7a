//! Both drivers over the same small graphs.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use arrow::array::{ArrayRef, AsArray, Int64Array};
use arrow::datatypes::{DataType, Field, Int64Type};
use futures::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use super::*;

use crate::chunk::Chunk;
use crate::operator::{Item, Machine, OperatorError, PartId, Step};
use crate::provenance::{Provenance, ProvenanceColumn};
use crate::schema::StreamSchema;
use crate::stage::{ChunkReader, Stage, StageStep};

fn schema() -> Arc<StreamSchema> {
    let field = Arc::new(Field::new("n", DataType::Int64, false));
    Arc::new(StreamSchema::new(vec![], vec![field], vec![]).unwrap())
}

fn chunk(values: Vec<i64>) -> Chunk {
    let rows = values.len();
    let provenance = Provenance { tags: vec![], sources: vec![ProvenanceColumn::null(rows)] };
    let column: ArrayRef = Arc::new(Int64Array::from(values));
    Chunk::new(schema(), rows, vec![], vec![column], provenance).unwrap()
}

fn values(chunk: &Chunk) -> Vec<i64> {
    chunk.packets()[0].as_primitive::<Int64Type>().values().to_vec()
}

/// Counts from a start to an end in chunks of three; may fail or panic in between.
struct Counter {
    next: i64,
    end: i64,
    fault: Option<(i64, &'static str)>,
}

impl ChunkReader for Counter {
    fn next(&mut self) -> Result<Option<Chunk>, StageError> {
        match self.fault {
            Some((at, "panic")) if self.next >= at => panic!("the source broke"),
            Some((at, text)) if self.next >= at => return Err(text.into()),
            _ => {}
        }
        let stop = (self.next + 3).min(self.end);
        let made = (self.next..stop).collect::<Vec<_>>();
        self.next = stop;
        Ok((!made.is_empty()).then(|| chunk(made)))
    }
}

/// Puts every chunk away and loads all of them when both ports have ended.
#[derive(Default)]
struct Hoard {
    ended: usize,
    ports: usize,
    waiting: Vec<Chunk>,
    parts: u64,
    back: Vec<Chunk>,
    loaded: u64,
}

impl Machine for Hoard {
    fn accept(&mut self, _: usize, item: Item) -> Result<(), OperatorError> {
        match item {
            Item::Chunk(chunk) => self.waiting.push(chunk),
            Item::End => self.ended += 1,
        }
        Ok(())
    }

    fn step(&mut self) -> Result<Step, OperatorError> {
        if let Some(chunk) = self.back.pop() {
            return Ok(Step::Output(chunk));
        }
        if let Some(chunk) = self.waiting.pop() {
            self.parts += 1;
            return Ok(Step::Spill(PartId(self.parts), vec![chunk]));
        }
        if self.ended < self.ports {
            return Ok(Step::NeedInput((0..self.ports).collect()));
        }
        if self.loaded < self.parts {
            self.loaded += 1;
            return Ok(Step::Load(PartId(self.loaded)));
        }
        Ok(Step::Done)
    }

    fn loaded(&mut self, _: PartId, chunks: Vec<Chunk>) -> Result<(), OperatorError> {
        self.back.extend(chunks);
        Ok(())
    }

    fn unmatched(&self) -> Vec<u64> {
        vec![self.parts]
    }
}

#[derive(Debug, Default)]
struct MemoryArea(BTreeMap<PartId, Vec<Chunk>>);

impl SpillArea for MemoryArea {
    fn put(&mut self, part: PartId, chunks: Vec<Chunk>) -> Result<(), SpillError> {
        self.0.entry(part).or_default().extend(chunks);
        Ok(())
    }

    fn read(&mut self, part: PartId) -> Result<Vec<Chunk>, SpillError> {
        self.0.get(&part).cloned().ok_or(SpillError::Missing(part.0))
    }

    fn forget(&mut self, part: PartId) -> Result<(), SpillError> {
        self.0.remove(&part).map(|_| ()).ok_or(SpillError::Missing(part.0))
    }
}

/// Collects what comes and says whether it came to its end.
struct Collect {
    rows: Arc<Mutex<(Vec<i64>, bool)>>,
    ended: bool,
}

impl Stage for Collect {
    fn accept(&mut self, _: usize, item: Item) -> Result<(), StageError> {
        let mut rows = self.rows.lock().unwrap();
        match item {
            Item::Chunk(chunk) => rows.0.extend(values(&chunk)),
            Item::End => (rows.1, self.ended) = (true, true),
        }
        Ok(())
    }

    fn step(&mut self) -> BoxFuture<'_, Result<StageStep, StageError>> {
        let step = if self.ended { StageStep::Done } else { StageStep::NeedInput(vec![0]) };
        Box::pin(async move { Ok(step) })
    }
}

type Seen = Arc<Mutex<(Vec<i64>, bool)>>;

fn node(name: &str, inputs: Vec<usize>, running: Running) -> NodeJob {
    let metrics = Arc::new(NodeMetrics::new(inputs.len()));
    NodeJob { name: name.into(), inputs, running, spill: Box::<MemoryArea>::default(), metrics }
}

/// One counter to both ports of a hoard (a diamond), and a collector behind it.
fn diamond(fault: Option<(i64, &'static str)>) -> (Job, Seen) {
    let seen = Seen::default();
    let collect = Collect { rows: Arc::clone(&seen), ended: false };
    let nodes = vec![
        node("count", vec![], Running::Source(Box::new(Counter { next: 0, end: 100, fault }))),
        node("hoard", vec![0, 0], Running::Machine(Box::new(Hoard { ports: 2, ..Hoard::default() }))),
        node("collect", vec![1], Running::Stage(Box::new(collect))),
    ];
    (Job { nodes, capacity: NonZeroUsize::MIN }, seen)
}

fn run(job: Job, streaming: bool, cancel: &CancellationToken) -> Result<(), RunError> {
    if streaming {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap();
        runtime.block_on(run_streaming(job, cancel))
    } else {
        run_synchronous(job, &tokio::runtime::Builder::new_current_thread().build().unwrap(), cancel)
    }
}

#[test]
fn a_diamond_at_capacity_one_passes_every_row_and_the_end_through_both_drivers() {
    for streaming in [true, false] {
        let (job, seen) = diamond(None);
        let metrics: Vec<_> = job.nodes.iter().map(|n| Arc::clone(&n.metrics)).collect();
        run(job, streaming, &CancellationToken::new()).unwrap();
        let (mut rows, ended) = seen.lock().unwrap().clone();
        rows.sort_unstable();
        assert_eq!(rows, (0..100).flat_map(|n| [n, n]).collect::<Vec<_>>());
        assert!(ended);
        assert_eq!(metrics[0].rows_out(), 100);
        assert_eq!(metrics[1].rows_in(), [100, 100]);
        assert_eq!(metrics[1].unmatched(), [68]);
        assert_eq!(metrics[2].rows_in(), [200]);
    }
}

#[test]
fn a_fault_of_a_source_names_the_source_and_ends_nothing_downstream() {
    for streaming in [true, false] {
        let (job, seen) = diamond(Some((50, "line 7 is torn")));
        let error = run(job, streaming, &CancellationToken::new()).unwrap_err();
        let RunError::Node { node, cause } = error else { panic!("{error}") };
        assert_eq!((node.as_str(), cause.to_string().as_str()), ("count", "line 7 is torn"));
        assert!(!seen.lock().unwrap().1, "the collector was told of an end that was none");
    }
}

#[test]
fn a_panic_names_the_node() {
    for streaming in [true, false] {
        let (job, seen) = diamond(Some((0, "panic")));
        let error = run(job, streaming, &CancellationToken::new()).unwrap_err();
        assert_eq!(error.to_string(), "node \"count\" panicked: the source broke");
        assert!(!seen.lock().unwrap().1);
    }
}

#[test]
fn a_cancelled_run_says_so_and_ends_nothing_downstream() {
    for streaming in [true, false] {
        let (job, seen) = diamond(None);
        let cancel = CancellationToken::new();
        cancel.cancel();
        assert!(matches!(run(job, streaming, &cancel), Err(RunError::Cancelled)));
        assert!(!seen.lock().unwrap().1);
    }
}

/// Is done after so many chunks, whatever may still come.
struct Head {
    left: usize,
    waiting: Option<Chunk>,
}

impl Machine for Head {
    fn accept(&mut self, _: usize, item: Item) -> Result<(), OperatorError> {
        match item {
            Item::Chunk(_) if self.left == 0 => Err(OperatorError::Protocol("rows came after it was done")),
            Item::Chunk(chunk) => {
                self.waiting = Some(chunk);
                Ok(())
            }
            Item::End => Ok(()),
        }
    }

    fn step(&mut self) -> Result<Step, OperatorError> {
        if self.left == 0 {
            return Ok(Step::Done);
        }
        match self.waiting.take() {
            Some(chunk) => {
                self.left -= 1;
                Ok(Step::Output(chunk))
            }
            None => Ok(Step::NeedInput(vec![0])),
        }
    }
}

/// A counter to a head and to a collector, and a collector behind the head.
fn fork(left: usize) -> (Job, Seen, Seen) {
    let (all, first) = (Seen::default(), Seen::default());
    let collect = |rows: &Seen| Running::Stage(Box::new(Collect { rows: Arc::clone(rows), ended: false }));
    let nodes = vec![
        node("count", vec![], Running::Source(Box::new(Counter { next: 0, end: 100, fault: None }))),
        node("head", vec![0], Running::Machine(Box::new(Head { left, waiting: None }))),
        node("all", vec![0], collect(&all)),
        node("first", vec![1], collect(&first)),
    ];
    (Job { nodes, capacity: NonZeroUsize::MIN }, all, first)
}

#[test]
fn a_node_that_is_done_before_its_input_ends_takes_no_row_from_the_others() {
    for streaming in [true, false] {
        for left in [0, 2] {
            let (job, all, first) = fork(left);
            run(job, streaming, &CancellationToken::new()).unwrap();
            assert_eq!(*all.lock().unwrap(), ((0..100).collect(), true));
            let expected = i64::try_from(left).unwrap() * 3;
            assert_eq!(*first.lock().unwrap(), ((0..expected).collect(), true));
        }
    }
}

#[test]
fn a_machine_that_asks_for_more_than_there_is_fails_the_run_instead_of_holding_it_up() {
    for streaming in [true, false] {
        let (job, _, _) = fork(1_000);
        let error = run(job, streaming, &CancellationToken::new()).unwrap_err();
        let RunError::Node { node, cause } = error else { panic!("{error}") };
        assert_eq!(node, "head");
        assert!(cause.to_string().contains("inputs that had ended"), "{cause}");
    }
}

/// Never ends; says when it is read, and may be stuck in a read until its gate opens.
struct Endless {
    read: std::sync::mpsc::SyncSender<()>,
    gate: Option<std::sync::mpsc::Receiver<()>>,
}

impl ChunkReader for Endless {
    fn next(&mut self) -> Result<Option<Chunk>, StageError> {
        // Only the first read is waited for.
        let _ = self.read.try_send(());
        if let Some(gate) = &self.gate {
            let _ = gate.recv();
        }
        Ok(Some(chunk(vec![1])))
    }
}

/// Runs an endless source with or without a consumer and cancels during its first read.
fn cancelled_while_reading(streaming: bool, consumer: bool, gate: Option<std::sync::mpsc::Receiver<()>>) {
    let (read, was_read) = std::sync::mpsc::sync_channel(1);
    let mut nodes = vec![node("endless", vec![], Running::Source(Box::new(Endless { read, gate })))];
    if consumer {
        let collect = Collect { rows: Seen::default(), ended: false };
        nodes.push(node("collect", vec![0], Running::Stage(Box::new(collect))));
    }
    let cancel = CancellationToken::new();
    let canceller = cancel.clone();
    let watcher = std::thread::spawn(move || {
        was_read.recv().unwrap();
        canceller.cancel();
    });
    let ended = run(Job { nodes, capacity: NonZeroUsize::MIN }, streaming, &cancel);
    assert!(matches!(ended, Err(RunError::Cancelled)), "{ended:?}");
    watcher.join().unwrap();
}

#[test]
fn a_source_that_never_ends_is_cancelled_also_where_nothing_reads_from_it() {
    for streaming in [true, false] {
        for consumer in [true, false] {
            cancelled_while_reading(streaming, consumer, None);
        }
    }
}

#[test]
fn a_source_that_is_stuck_in_a_read_does_not_hold_up_a_cancel() {
    let (open, gate) = std::sync::mpsc::sync_channel(1);
    cancelled_while_reading(true, true, Some(gate));
    // The read could not end before the run did.
    open.send(()).unwrap();
}

mod shapes;
mod subtasks;
