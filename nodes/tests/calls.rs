//! The one path of a packet, against a store in memory: every outcome, every mode.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::cast_possible_truncation,
    reason = "a test that cannot go on panics, and its rows are there"
)]

use std::collections::{HashMap, HashSet};
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::{Duration, Instant};

use anabranch_engine::chunk::Chunk;
use anabranch_engine::identity::{Digest, PacketHash, PacketHasher, PipelineHash};
use anabranch_engine::operator::{Input, Item, Step};
use anabranch_engine::provenance::{Origin, Origins, Positions, Provenance, ProvenanceColumn, RecordIds};
use anabranch_engine::schema::{StreamSchema, SystemTag};
use anabranch_engine::stage::Stage as _;
use anabranch_engine::store::{
    Claim, Claimant, CommitMode, FailingNode, FailureStore, Found, NewResults, Outcomes, ResultRef,
    ResultStore, SetAside, StoreError, StoreErrorKind, StoredFunction,
};
use anabranch_nodes::function::{
    CacheMode, CallOptions, ChunkOutput, Differences, FailureSink, Function, FunctionCounters, FunctionStage,
    OnError, Outcome, OutputOrder, PacketError, Rate, Retry, StageParts,
};
use arrow::array::{Array as _, ArrayRef, AsArray as _, Int64Array, new_empty_array};
use arrow::compute::concat;
use arrow::datatypes::{DataType, Field, FieldRef, Int64Type};
use futures::future::BoxFuture;
use tokio::sync::Semaphore;

type Kept = (u64, bool, Vec<ArrayRef>);

/// A store in memory.
#[derive(Debug, Default)]
struct Fake {
    kept: Mutex<HashMap<PacketHash, Kept>>,
    blocks: AtomicU64,
    commits: AtomicUsize,
    broken: bool,
    aside: Mutex<Vec<SetAside>>,
    more: Mutex<HashMap<PacketHash, u64>>,
    /// Packets that somebody else computes; they are there after so many look-ups.
    elsewhere: Mutex<HashSet<PacketHash>>,
    lookups: AtomicUsize,
    claims: AtomicUsize,
}

impl Fake {
    fn keep(&self, packet: PacketHash, value: Option<i64>) {
        let column: ArrayRef = Arc::new(Int64Array::from(vec![value]));
        let block = self.blocks.fetch_add(1, SeqCst) + 1;
        self.kept.lock().unwrap().insert(packet, (block, value.is_some(), vec![column]));
    }
}

fn gathered(found: &[Kept], outputs: &[FieldRef]) -> Outcomes {
    let column = |at: usize, field: &FieldRef| {
        let rows: Vec<_> = found.iter().map(|kept| kept.2[at].as_ref()).collect();
        if rows.is_empty() { new_empty_array(field.data_type()) } else { concat(&rows).unwrap() }
    };
    Outcomes {
        references: found.iter().map(|kept| ResultRef { block: kept.0, row: 0 }).collect(),
        emitted: found.iter().map(|kept| kept.1).collect(),
        values: outputs.iter().enumerate().map(|(at, field)| column(at, field)).collect(),
    }
}

impl ResultStore for Fake {
    fn find(
        &self,
        function: Arc<StoredFunction>,
        keys: Vec<PacketHash>,
    ) -> BoxFuture<'_, Result<Found, StoreError>> {
        let lookups = self.lookups.fetch_add(1, SeqCst);
        Box::pin(async move {
            let mut elsewhere = self.elsewhere.lock().unwrap();
            if lookups >= 3 {
                for packet in elsewhere.drain() {
                    self.keep(packet, Some(-1));
                }
            }
            let kept = self.kept.lock().unwrap();
            let found: Vec<_> = keys.iter().map(|key| kept.get(key).cloned()).collect();
            let hits = found.iter().map(Option::is_some).collect();
            let found: Vec<Kept> = found.into_iter().flatten().collect();
            Ok(Found { hits, outcomes: gathered(&found, &function.outputs) })
        })
    }

    fn commit(
        &self,
        function: Arc<StoredFunction>,
        results: NewResults,
    ) -> BoxFuture<'_, Result<Outcomes, StoreError>> {
        self.commits.fetch_add(1, SeqCst);
        Box::pin(async move {
            if self.broken {
                let message = "the disk is gone".to_owned();
                let kind = StoreErrorKind::System;
                return Err(StoreError { kind, operation: "commit results", message, source: None });
            }
            let mut kept = self.kept.lock().unwrap();
            let block = self.blocks.fetch_add(1, SeqCst) + 1;
            let mut current = Vec::new();
            for (row, key) in results.keys.iter().enumerate() {
                let new: Kept =
                    (block, results.emitted[row], results.values.iter().map(|c| c.slice(row, 1)).collect());
                if results.mode == CommitMode::Refresh {
                    kept.insert(*key, new.clone());
                }
                current.push(kept.entry(*key).or_insert(new).clone());
            }
            Ok(gathered(&current, &function.outputs))
        })
    }

    fn newest_block(&self) -> BoxFuture<'_, Result<u64, StoreError>> {
        Box::pin(async { Ok(self.blocks.load(SeqCst)) })
    }

    fn claimant(&self) -> Result<Box<dyn Claimant>, StoreError> {
        self.claims.fetch_add(1, SeqCst);
        Ok(Box::new(Others(self.elsewhere.lock().unwrap().clone())))
    }
}

/// Somebody who never gets what others hold.
#[derive(Debug)]
struct Others(HashSet<PacketHash>);

impl Claimant for Others {
    fn claim(&self, _: &StoredFunction, keys: &[PacketHash]) -> Result<Claim, StoreError> {
        Ok(Claim::new(keys.iter().map(|key| !self.0.contains(key)).collect(), ()))
    }
}

impl FailureStore for Fake {
    fn set_aside(
        &self,
        node: Arc<FailingNode>,
        packets: Vec<SetAside>,
        more: Vec<(PacketHash, u64)>,
    ) -> BoxFuture<'_, Result<(), StoreError>> {
        assert_eq!((node.node.as_str(), node.takes.len(), node.tags.len()), ("f", 1, 1));
        self.aside.lock().unwrap().extend(packets);
        for (packet, rows) in more {
            *self.more.lock().unwrap().entry(packet).or_default() += rows;
        }
        Box::pin(async { Ok(()) })
    }
}

/// Numbers that go through a function.
struct Node {
    function: Function,
    calls: CallOptions,
    cache: CacheMode,
    store: Arc<Fake>,
    counters: Arc<FunctionCounters>,
    differences: Arc<Differences>,
}

fn options() -> CallOptions {
    CallOptions { concurrency: NonZeroUsize::new(3).unwrap(), ..CallOptions::default() }
}

fn retry(attempts: u32) -> Retry {
    Retry::attempts(NonZeroU32::new(attempts).unwrap()).backoff(Duration::from_micros(100))
}

fn f() -> Function {
    Function::new("f").version("1").takes(["n"]).gives::<i64>("out")
}

fn field(name: &str) -> FieldRef {
    Arc::new(Field::new(name, DataType::Int64, true))
}

/// The hash of the packet that holds a number.
fn packet(n: i64) -> PacketHash {
    let column: ArrayRef = Arc::new(Int64Array::from(vec![n]));
    PacketHasher::new(&[field("n")]).unwrap().hash(&[column], 1).unwrap()[0]
}

impl Node {
    fn new(function: Function, calls: CallOptions) -> Self {
        Self {
            function,
            calls,
            cache: CacheMode::Reuse,
            store: Arc::default(),
            counters: Arc::default(),
            differences: Arc::default(),
        }
    }

    fn stage(&self, origins: &Arc<Origins>, schema: &Arc<StreamSchema>) -> FunctionStage {
        let input = Input {
            schema: Arc::clone(schema),
            pipeline_hash: PipelineHash(Digest([1; 32])),
            ordered: true,
            bounded: true,
        };
        FunctionStage::new(StageParts {
            function: Arc::new(self.function.bind(&input).unwrap()),
            cache: self.cache,
            calls: self.calls,
            results: Arc::clone(&self.store) as Arc<dyn ResultStore>,
            recorder: None,
            failures: FailureSink {
                store: Arc::clone(&self.store) as Arc<dyn FailureStore>,
                run: "run".to_owned(),
                pipeline: "p".to_owned(),
                node: "f".to_owned(),
            },
            origins: Arc::clone(origins),
            counters: Arc::clone(&self.counters),
            differences: Arc::clone(&self.differences),
        })
    }

    /// Runs chunks through; the rows that came out (position in the input, value), or the error.
    fn run(&self, chunks: &[Vec<i64>]) -> Result<Vec<(i64, i64)>, String> {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let rows = runtime.block_on(self.drive(chunks));
        runtime.shutdown_background();
        rows
    }

    async fn drive(&self, chunks: &[Vec<i64>]) -> Result<Vec<(i64, i64)>, String> {
        let origins = Arc::new(Origins::default());
        let rows = Numbers::new(&origins);
        let mut stage = self.stage(&origins, &rows.schema);
        let mut inputs = rows.chunks(chunks).into_iter();
        let mut given = Vec::new();
        loop {
            match stage.step().await.map_err(|error| text(error.as_ref()))? {
                Step::NeedInput(_) => {
                    stage.accept(0, inputs.next().map_or(Item::End, Item::Chunk)).unwrap();
                }
                Step::Output(chunk) => given.extend(pairs(&chunk)),
                _ => return Ok(given),
            }
        }
    }

    /// computed, reused, skipped, set aside; they are all rows.
    fn counts(&self, rows: usize) -> [u64; 4] {
        let c = &self.counters;
        let counts = [c.computed(), c.reused(), c.skipped(), c.set_aside()];
        assert_eq!(counts.iter().sum::<u64>(), rows as u64, "{counts:?}");
        counts
    }
}

fn text(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

fn pairs(chunk: &Chunk) -> Vec<(i64, i64)> {
    let column = |name: &str| chunk.column(name).unwrap().as_primitive::<Int64Type>().clone();
    let (ids, outs) = (column("id"), column("out"));
    ids.values().iter().copied().zip(outs.values().iter().copied()).collect()
}

/// A source of numbers, its rows numbered by a tag.
struct Numbers {
    schema: Arc<StreamSchema>,
    provenance: Provenance,
}

impl Numbers {
    fn new(origins: &Origins) -> Self {
        let schema = StreamSchema::new(
            vec![field("id")],
            vec![field("n")],
            vec![SystemTag::of_source("abababababab")],
        );
        let source: Arc<str> = "numbers".into();
        let tag = origins.add(Origin::Source { source: Arc::clone(&source), records: RecordIds::Ordinal });
        let column = origins.add(Origin::Column { source, records: RecordIds::Ordinal, column: "n".into() });
        let places = Positions::places((0..100_000).collect());
        let provenance = Provenance {
            tags: vec![ProvenanceColumn::constant(tag, places.clone())],
            sources: vec![ProvenanceColumn::constant(column, places)],
        };
        Self { schema: Arc::new(schema.unwrap()), provenance }
    }

    fn chunks(&self, numbers: &[Vec<i64>]) -> Vec<Chunk> {
        let mut at = 0;
        let chunk = |numbers: &Vec<i64>| {
            let (rows, first) = (numbers.len(), at);
            at += rows;
            let ids = (first..at).map(|n| i64::try_from(n).unwrap());
            let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(ids));
            let column: ArrayRef = Arc::new(Int64Array::from(numbers.clone()));
            let provenance = self.provenance.slice(first, rows);
            Chunk::new(Arc::clone(&self.schema), rows, vec![ids], vec![column], provenance).unwrap()
        };
        numbers.iter().map(chunk).collect()
    }
}

/// A function in each form: for a packet, async, for a chunk.
fn forms(
    call: impl Fn(i64) -> Result<Outcome<i64>, PacketError> + Clone + Send + Sync + 'static,
) -> [Function; 3] {
    let (one, two, three) = (call.clone(), call.clone(), call);
    [
        f().call(move |n: i64| one(n)),
        f().call_async(move |n: i64| {
            let answer = two(n);
            async move { answer }
        }),
        f().call_chunk(move |columns, rows| {
            let numbers = columns[0].as_primitive::<Int64Type>();
            let outcomes: Vec<Outcome<i64>> =
                (0..rows).map(|row| three(numbers.value(row))).collect::<Result<_, _>>()?;
            let given = |outcome: &Outcome<i64>| match outcome {
                Outcome::Give(value) => Some(*value),
                Outcome::Drop => None,
            };
            let keep = outcomes.iter().map(|outcome| given(outcome).is_some()).collect();
            let column: Int64Array = outcomes.iter().map(given).collect();
            Ok(ChunkOutput { columns: vec![Arc::new(column)], keep: Some(keep) })
        }),
    ]
}

#[test]
fn a_packet_that_succeeds_at_the_third_attempt_is_computed_once() {
    let attempts: Arc<Mutex<HashMap<i64, u32>>> = Arc::default();
    for function in forms(move |n| {
        let mut attempts = attempts.lock().unwrap();
        let attempt = attempts.entry(n).or_default();
        *attempt += 1;
        if n == 2 && *attempt < 3 {
            return Err(PacketError::new("not yet"));
        }
        if n == 2 {
            *attempt = 0;
        }
        Ok(Outcome::Give(n * 10))
    }) {
        let node = Node::new(function, CallOptions { retry: retry(3), ..options() });
        // A chunk that fails is called again in halves, which are attempts of nobody.
        let rows = node.run(&[vec![1], vec![2, 2], vec![3]]).unwrap();
        assert_eq!(rows, [(0, 10), (1, 20), (2, 20), (3, 30)]);
        assert_eq!(node.counts(4), [3, 1, 0, 0]);
    }
}

#[test]
fn only_the_packet_at_fault_is_left_out_and_its_equals_are_not_tried_again() {
    for on_error in [OnError::Skip, OnError::SetAside] {
        let calls = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&calls);
        for (form, function) in forms(move |n| match n {
            5 => {
                counted.fetch_add(1, SeqCst);
                Err(PacketError::new("no fives"))
            }
            7 => Ok(Outcome::Drop),
            _ => Ok(Outcome::Give(n)),
        })
        .into_iter()
        .enumerate()
        {
            calls.store(0, SeqCst);
            let node = Node::new(function, CallOptions { on_error, retry: retry(2), ..options() });
            let chunks = [vec![1, 5, 2, 5, 7], (0..10).collect(), vec![5], vec![9, 9]];
            let rows: Vec<i64> = node.run(&chunks).unwrap().into_iter().map(|(_, n)| n).collect();
            assert_eq!(rows, [1, 2, 0, 1, 2, 3, 4, 6, 8, 9, 9, 9]);
            let counts = node.counts(18);
            assert_eq!(counts[2] + counts[3], 4);
            assert_eq!(counts[usize::from(on_error == OnError::SetAside) + 2], 4);
            assert_eq!(node.counters.dropped(), 2);
            if form < 2 {
                assert_eq!(calls.load(SeqCst), 2, "two attempts, whatever the number of rows");
            }
            let kept = node.store.kept.lock().unwrap();
            assert!(!kept.contains_key(&packet(5)) && kept.contains_key(&packet(7)));
        }
    }
}

#[test]
fn a_packet_that_is_set_aside_is_written_down_with_its_input_and_its_error() {
    let function = f().call(|n: i64| if n == 5 { Err(PacketError::new("no fives")) } else { Ok(n) });
    let calls = CallOptions { on_error: OnError::SetAside, retry: retry(3), ..options() };
    let node = Node::new(function, calls);
    node.run(&[vec![1, 5, 2, 5], vec![3], vec![5, 5]]).unwrap();
    let aside = node.store.aside.lock().unwrap();
    let [one] = aside.as_slice() else { panic!("{aside:?}") };
    assert_eq!((one.packet, one.attempts), (packet(5), 3));
    assert_eq!((one.kind.as_str(), one.message.as_str()), ("the function failed", "no fives"));
    let more = node.store.more.lock().unwrap().get(&packet(5)).copied().unwrap_or_default();
    assert_eq!(one.rows + more, 4);
    assert_eq!(one.taken[0].as_primitive::<Int64Type>().values(), &[5]);
    assert_eq!(one.tags[0].as_primitive::<Int64Type>().values(), &[1]);
    assert_eq!(one.records, [("numbers".to_owned(), "row_1".to_owned())]);
}

#[test]
fn the_run_stops_at_a_failure_with_hash_and_record_and_keeps_what_was_computed() {
    for function in forms(|n| if n == 5 { Err(PacketError::new("no fives")) } else { Ok(Outcome::Give(n)) }) {
        let node = Node::new(function, CallOptions { concurrency: NonZeroUsize::MIN, ..options() });
        let error = node.run(&[vec![1, 2, 3], vec![4, 5]]).unwrap_err();
        let named = format!("packet {} (\"numbers::row_4\"): the function failed", packet(5).0.hex(12));
        assert!(error.contains(&named) && error.ends_with("no fives"), "{error}");
        assert!(node.store.kept.lock().unwrap().contains_key(&packet(4)));
    }
}

#[test]
fn a_commit_that_fails_fails_the_run() {
    let mut node = Node::new(f().call(|n: i64| Ok(n)), options());
    node.store = Arc::new(Fake { broken: true, ..Fake::default() });
    let error = node.run(&[vec![1, 2], vec![3]]).unwrap_err();
    assert!(error.contains("the disk is gone"), "{error}");
}

/// A function whose calls for some numbers wait until they are let go.
fn gated(gate: &Arc<Semaphore>, waits: impl Fn(i64) -> bool + Send + Sync + 'static) -> Function {
    let gate = Arc::clone(gate);
    f().call_async(move |n: i64| {
        let gate = waits(n).then(|| Arc::clone(&gate));
        async move {
            if let Some(gate) = gate {
                gate.acquire().await.unwrap().forget();
            }
            Ok(n)
        }
    })
}

#[test]
fn rows_leave_as_they_came_or_as_they_are_computed() {
    for order in [OutputOrder::Input, OutputOrder::Arrival] {
        let gate = Arc::new(Semaphore::new(0));
        let calls = CallOptions { order, ..options() };
        let node = Node::new(gated(&gate, |n| n == 0), calls);
        let origins = Arc::new(Origins::default());
        let rows = Numbers::new(&origins);
        let mut stage = node.stage(&origins, &rows.schema);
        let mut inputs = rows.chunks(&[vec![0, 1, 2], vec![3, 4]]).into_iter();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let given = runtime.block_on(async {
            let mut given = Vec::new();
            let mut closed = true;
            loop {
                // The first may end once the others have left, or are done and cannot.
                let others =
                    given.len() == 4 || (order == OutputOrder::Input && node.counters.computed() == 4);
                if others && std::mem::take(&mut closed) {
                    gate.add_permits(1);
                }
                let polled = futures::poll!(stage.step());
                match polled {
                    Poll::Pending => tokio::task::yield_now().await,
                    Poll::Ready(step) => match step.unwrap() {
                        Step::NeedInput(_) => {
                            stage.accept(0, inputs.next().map_or(Item::End, Item::Chunk)).unwrap();
                        }
                        Step::Output(chunk) => given.extend(pairs(&chunk).into_iter().map(|(_, n)| n)),
                        _ => return given,
                    },
                }
            }
        });
        match order {
            OutputOrder::Input => assert_eq!(given, [0, 1, 2, 3, 4]),
            OutputOrder::Arrival => {
                assert_eq!(given[4], 0, "{given:?}");
                let mut sorted = given;
                sorted.sort_unstable();
                assert_eq!(sorted, [0, 1, 2, 3, 4]);
            }
        }
    }
}

#[test]
fn a_call_that_takes_too_long_fails_its_packet_alone() {
    let gate = Arc::new(Semaphore::new(0));
    let (open, closed) = std::sync::mpsc::sync_channel::<()>(0);
    let closed = Arc::new(Mutex::new(closed));
    let waits = Arc::clone(&closed);
    let blocks = f().call(move |n: i64| {
        if n == 3 {
            // Until the test ends: no call ends by itself.
            let _ = waits.lock().unwrap().recv();
        }
        Ok(n)
    });
    let waits = Arc::clone(&closed);
    let chunk = f().call_chunk(move |columns, _| {
        let numbers = columns[0].as_primitive::<Int64Type>();
        if numbers.values().contains(&3) {
            let _ = waits.lock().map(|waits| waits.recv());
        }
        Ok(ChunkOutput { columns: columns.to_vec(), keep: None })
    });
    for function in [gated(&gate, |n| n == 3), blocks, chunk] {
        let timeout = Some(Duration::from_millis(30));
        let calls = CallOptions { timeout, on_error: OnError::SetAside, ..options() };
        let node = Node::new(function, calls);
        let rows = node.run(&[vec![1, 2], vec![3, 4, 3], (5..40).collect()]).unwrap();
        let rows: Vec<i64> = rows.into_iter().map(|(_, n)| n).collect();
        let expected: Vec<i64> = [1, 2, 4].into_iter().chain(5..40).collect();
        assert_eq!(rows, expected);
        assert_eq!(node.counts(40), [38, 0, 0, 2]);
        let aside = node.store.aside.lock().unwrap();
        assert_eq!((aside.len(), aside[0].kind.as_str()), (1, "the call took too long"));
    }
    drop(open);
}

#[test]
fn an_async_call_that_takes_too_long_is_dropped() {
    struct Dropped(Arc<AtomicU64>);
    impl Drop for Dropped {
        fn drop(&mut self) {
            self.0.fetch_add(1, SeqCst);
        }
    }
    let dropped = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&dropped);
    let function = f().call_async(move |n: i64| {
        let held = Dropped(Arc::clone(&counted));
        async move {
            std::future::pending::<()>().await;
            drop(held);
            Ok(n)
        }
    });
    let timeout = Some(Duration::from_millis(5));
    let calls = CallOptions { timeout, on_error: OnError::Skip, retry: retry(2), ..options() };
    let node = Node::new(function, calls);
    assert_eq!(node.run(&[vec![1, 2]]).unwrap(), []);
    assert_eq!((node.counts(2), dropped.load(SeqCst)), ([0, 0, 2, 0], 4));
}

#[test]
fn a_run_whose_threads_are_all_held_by_calls_that_do_not_end_fails() {
    let (open, closed) = std::sync::mpsc::sync_channel::<()>(0);
    let closed = Arc::new(Mutex::new(closed));
    let function = f().call(move |n: i64| {
        // The lock is held while it waits: all wait for the first.
        let _ = closed.lock().map(|closed| closed.recv());
        Ok(n)
    });
    let timeout = Some(Duration::from_millis(20));
    let calls = CallOptions { timeout, on_error: OnError::Skip, ..options() };
    let error = Node::new(function, calls).run(&[(0..20).collect()]).unwrap_err();
    assert!(error.contains("all 3 threads are held by calls"), "{error}");
    drop(open);
}

#[test]
fn replay_gives_what_is_stored_and_names_the_packet_that_is_not() {
    let mut node = Node::new(f().call(|_: i64| -> Result<i64, PacketError> { panic!("called") }), options());
    node.cache = CacheMode::Replay;
    for n in 0..5 {
        node.store.keep(packet(n), (n != 3).then_some(n * 2));
    }
    assert_eq!(node.run(&[vec![0, 1, 1], vec![3, 4]]).unwrap(), [(0, 0), (1, 2), (2, 2), (4, 8)]);
    assert_eq!(node.counts(5), [0, 5, 0, 0]);
    let error = node.run(&[vec![4, 9]]).unwrap_err();
    let named = format!("packet {} (\"numbers::row_1\"): found no result", packet(9).0.hex(12));
    assert!(error.contains("function \"f\"") && error.contains(&named), "{error}");
}

#[test]
fn verify_computes_again_tells_what_differs_and_leaves_the_store_alone() {
    for function in forms(|n| if n == 6 { Ok(Outcome::Drop) } else { Ok(Outcome::Give(n)) }) {
        let mut node = Node::new(function, options());
        node.cache = CacheMode::Verify;
        for n in 0..8 {
            node.store.keep(packet(n), Some(if n == 2 { 99 } else { n }));
        }
        let rows = node.run(&[vec![0, 1, 2, 2], vec![6, 7], vec![20]]).unwrap();
        // What the store has is given, and what is computed where it has nothing.
        assert_eq!(rows, [(0, 0), (1, 1), (2, 99), (3, 99), (4, 6), (5, 7), (6, 20)]);
        assert_eq!(node.counts(7), [6, 1, 0, 0]);
        let found = &node.differences;
        assert_eq!((found.same(), found.different(), found.unverified()), (3, 2, 1));
        let mut told: Vec<_> = found.found().into_iter().map(|d| (d.packet, d.output, d.row)).collect();
        told.sort_by(|a, b| a.2.cmp(&b.2));
        let expected = [
            (packet(2), Some("out".to_owned()), "numbers::row_2".to_owned()),
            (packet(6), None, "numbers::row_4".to_owned()),
        ];
        assert_eq!(told, expected);
        assert_eq!((node.store.commits.load(SeqCst), node.store.kept.lock().unwrap().len()), (0, 8));
    }
}

#[test]
fn refresh_computes_each_packet_once_although_the_store_has_it() {
    let mut node = Node::new(f().call(|n: i64| Ok(n + 100)), options());
    node.cache = CacheMode::Refresh;
    (0..3).for_each(|n| node.store.keep(packet(n), Some(n)));
    let rows = node.run(&[vec![0, 1], vec![1, 2], vec![0, 9]]).unwrap();
    assert_eq!(rows.iter().map(|(_, n)| *n).collect::<Vec<_>>(), [100, 101, 101, 102, 100, 109]);
    assert_eq!(node.counts(6), [4, 2, 0, 0]);
}

#[test]
fn slow_packets_that_somebody_else_computes_are_waited_for_and_not_computed() {
    let function = f().call(|n: i64| {
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_millis(2) {
            std::hint::spin_loop();
        }
        Ok(n)
    });
    let node = Node::new(function, CallOptions { concurrency: NonZeroUsize::MIN, ..options() });
    // The first calls are made without a claim: nothing is known of their time.
    let held = [30, 31, 40];
    node.store.elsewhere.lock().unwrap().extend(held.map(packet));
    let rows = node.run(&[(0..50).collect()]).unwrap();
    let expected: Vec<i64> = (0..50).map(|n| if held.contains(&n) { -1 } else { n }).collect();
    assert_eq!(rows.into_iter().map(|(_, n)| n).collect::<Vec<_>>(), expected);
    assert_eq!(node.counts(50), [47, 3, 0, 0]);
    assert_eq!(node.store.claims.load(SeqCst), 1);
}

#[test]
fn fast_packets_are_not_claimed() {
    let node = Node::new(f().call(|n: i64| Ok(n)), options());
    node.run(&[(0..5_000).collect()]).unwrap();
    assert_eq!(node.store.claims.load(SeqCst), 0);
}

#[test]
fn a_rate_bounds_the_calls_of_a_second() {
    for function in forms(|n| Ok(Outcome::Give(n))).into_iter().take(2) {
        let rate = Some(Rate::per_second(500.0).unwrap());
        let node = Node::new(function, CallOptions { rate, ..options() });
        let begun = Instant::now();
        node.run(&[(0..40).collect()]).unwrap();
        // 39 intervals, less what may be made up for.
        assert!(begun.elapsed() >= Duration::from_millis(2 * 39 - 12), "{:?}", begun.elapsed());
        assert_eq!(node.counts(40), [40, 0, 0, 0]);
    }
}

#[test]
fn no_more_chunks_are_taken_than_the_window_holds() {
    for (rows, most) in [(60_000, 1), (10_000, 4)] {
        let gate = Arc::new(Semaphore::new(0));
        let node = Node::new(gated(&gate, |_| true), options());
        let origins = Arc::new(Origins::default());
        let source = Numbers::new(&origins);
        let mut stage = node.stage(&origins, &source.schema);
        let chunk = source.chunks(&[(0..rows).collect()]).remove(0);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let accepted = runtime.block_on(async {
            let mut accepted = 0;
            loop {
                let polled = futures::poll!(stage.step());
                // It waits for calls, which do not end.
                let Poll::Ready(step) = polled else { return accepted };
                assert!(matches!(step.unwrap(), Step::NeedInput(_)));
                stage.accept(0, Item::Chunk(chunk.clone())).unwrap();
                accepted += 1;
            }
        });
        assert_eq!(accepted, most);
    }
}

/// Many chunks of many sizes, with packets that fail, are dropped or come again.
#[test]
fn every_row_has_one_outcome_whatever_the_form_the_order_and_the_chunks() {
    let mut seed = 7_u64;
    let mut random = move |below: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        i64::try_from((seed >> 33) % below).unwrap()
    };
    for round in 0..24_u64 {
        let sizes: Vec<i64> = (0..8).map(|_| random(if round % 2 == 0 { 400 } else { 5 }) + 1).collect();
        let chunks: Vec<Vec<i64>> = sizes.iter().map(|n| (0..*n).map(|_| random(150)).collect()).collect();
        let total: usize = chunks.iter().map(Vec::len).sum();
        for (form, function) in forms(|n| match n % 11 {
            0 => Err(PacketError::new("eleven")),
            1 => Ok(Outcome::Drop),
            _ => Ok(Outcome::Give(n * 3)),
        })
        .into_iter()
        .enumerate()
        {
            let order = if round % 4 < 2 { OutputOrder::Input } else { OutputOrder::Arrival };
            let on_error = if round % 3 == 0 { OnError::SetAside } else { OnError::Skip };
            let calls = CallOptions { order, on_error, ..options() };
            let mut node = Node::new(function, calls);
            node.cache = if round % 5 == 4 { CacheMode::Off } else { CacheMode::Reuse };
            (0..40).filter(|n| n % 11 > 1).for_each(|n| node.store.keep(packet(n), Some(n * 3)));
            let mut rows = node.run(&chunks).unwrap();
            let numbers = chunks.iter().flatten().copied().zip(0_i64..);
            let expected: Vec<(i64, i64)> =
                numbers.filter(|(n, _)| n % 11 > 1).map(|(n, id)| (id, n * 3)).collect();
            if order == OutputOrder::Arrival {
                rows.sort_unstable();
            }
            assert_eq!(rows, expected, "round {round}, form {form}");
            let counts = node.counts(total);
            let failed = chunks.iter().flatten().filter(|n| **n % 11 == 0).count() as u64;
            assert_eq!(counts[2] + counts[3], failed);
            assert_eq!(
                node.counters.dropped() as usize,
                chunks.iter().flatten().filter(|n| **n % 11 == 1).count()
            );
        }
    }
}
