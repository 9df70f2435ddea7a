//! A function node over numbers, and functions for it.

use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use anabranch_engine::chunk::Chunk;
use anabranch_engine::identity::{Digest, PacketHash, PacketHasher, PipelineHash};
use anabranch_engine::operator::{Input, Item};
use anabranch_engine::provenance::{Origin, Origins, Positions, Provenance, ProvenanceColumn, RecordIds};
use anabranch_engine::schema::{StreamSchema, SystemTag};
use anabranch_engine::stage::{Stage as _, StageStep};
use anabranch_engine::store::{FailureStore, ResultStore};
use anabranch_nodes::function::{
    CacheMode, CallOptions, ChunkOutput, Differences, FailureSink, Function, FunctionCounters, FunctionStage,
    Outcome, PacketError, Retry, StageParts,
};
use arrow::array::{Array as _, ArrayRef, AsArray as _, Int64Array, StringViewArray};
use arrow::datatypes::{DataType, Field, FieldRef, Int64Type};
use tokio::sync::Semaphore;

use crate::fake::Fake;

/// Numbers that go through a function.
pub struct Node {
    pub function: Function,
    pub calls: CallOptions,
    pub cache: CacheMode,
    pub store: Arc<Fake>,
    pub counters: Arc<FunctionCounters>,
    pub differences: Arc<Differences>,
}

pub fn options() -> CallOptions {
    CallOptions { concurrency: NonZeroUsize::new(3).unwrap(), ..CallOptions::default() }
}

pub fn retry(attempts: u32) -> Retry {
    Retry::attempts(NonZeroU32::new(attempts).unwrap()).backoff(Duration::from_micros(100))
}

pub fn f() -> Function {
    Function::new("f").version("1").takes(["n"]).gives::<i64>("out")
}

pub fn field(name: &str) -> FieldRef {
    Arc::new(Field::new(name, DataType::Int64, true))
}

/// The hash of the packet that holds a number.
pub fn packet(n: i64) -> PacketHash {
    let column: ArrayRef = Arc::new(Int64Array::from(vec![n]));
    PacketHasher::new(&[field("n")]).unwrap().hash(&[column], 1).unwrap()[0]
}

impl Node {
    pub fn new(function: Function, calls: CallOptions) -> Self {
        Self {
            function,
            calls,
            cache: CacheMode::Reuse,
            store: Arc::default(),
            counters: Arc::default(),
            differences: Arc::default(),
        }
    }

    pub fn stage(&self, origins: &Arc<Origins>, schema: &Arc<StreamSchema>) -> FunctionStage {
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
            authors: Arc::default(),
        })
    }

    /// Runs chunks through; the rows that came out (position in the input, value), or the error.
    pub fn run(&self, chunks: &[Vec<i64>]) -> Result<Vec<(i64, i64)>, String> {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let rows = runtime.block_on(self.drive(chunks));
        runtime.shutdown_background();
        rows
    }

    pub async fn drive(&self, chunks: &[Vec<i64>]) -> Result<Vec<(i64, i64)>, String> {
        let origins = Arc::new(Origins::default());
        let rows = Numbers::new(&origins);
        let mut stage = self.stage(&origins, &rows.schema);
        let given = finish(&mut stage, rows.chunks(chunks)).await?;
        Ok(given.iter().flat_map(pairs).collect())
    }

    /// computed, reused, skipped, set aside; they are all rows.
    pub fn counts(&self, rows: usize) -> [u64; 4] {
        let c = &self.counters;
        let counts = [c.computed.get(), c.reused.get(), c.skipped.get(), c.set_aside.get()];
        assert_eq!(counts.iter().sum::<u64>(), rows as u64, "{counts:?}");
        counts
    }
}

pub fn text(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

pub fn pairs(chunk: &Chunk) -> Vec<(i64, i64)> {
    let column = |name: &str| chunk.column(name).unwrap().as_primitive::<Int64Type>().clone();
    let (ids, outs) = (column("id"), column("out"));
    ids.values().iter().copied().zip(outs.values().iter().copied()).collect()
}

/// A source of numbers, its rows numbered by a tag.
pub struct Numbers {
    pub schema: Arc<StreamSchema>,
    pub provenance: Provenance,
}

impl Numbers {
    pub fn new(origins: &Origins) -> Self {
        Self::of(origins, DataType::Int64)
    }

    /// The same of texts.
    pub fn texts(origins: &Origins) -> Self {
        Self::of(origins, DataType::Utf8View)
    }

    fn of(origins: &Origins, packets: DataType) -> Self {
        let schema = StreamSchema::new(
            vec![field("id")],
            vec![Arc::new(Field::new("n", packets, true))],
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

    /// Texts of a length, all of them different.
    pub fn chunk_of_texts(&self, rows: i64, bytes: usize) -> Chunk {
        let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(0..rows));
        let texts = (0..rows).map(|n| format!("{n:010}").repeat(bytes / 10));
        let column: ArrayRef = Arc::new(StringViewArray::from_iter_values(texts));
        let count = ids.len();
        let provenance = self.provenance.slice(0, count);
        Chunk::new(Arc::clone(&self.schema), count, vec![ids], vec![column], provenance).unwrap()
    }

    pub fn chunks(&self, numbers: &[Vec<i64>]) -> Vec<Chunk> {
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
pub fn forms(
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

/// A function whose calls for some numbers wait until they are let go.
pub fn gated(gate: &Arc<Semaphore>, waits: impl Fn(i64) -> bool + Send + Sync + 'static) -> Function {
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

/// Runs a stage to its end: the chunks that came out, or the error.
pub async fn finish(
    stage: &mut FunctionStage,
    inputs: impl IntoIterator<Item = Chunk>,
) -> Result<Vec<Chunk>, String> {
    let (mut inputs, mut given) = (inputs.into_iter(), Vec::new());
    loop {
        match stage.step().await.map_err(|error| text(error.as_ref()))? {
            StageStep::NeedInput(_) => {
                stage.accept(0, inputs.next().map_or(Item::End, Item::Chunk)).unwrap();
            }
            StageStep::Output(chunk) => given.push(chunk),
            StageStep::Done => return Ok(given),
        }
    }
}

/// Lets a stage go on until something is so, or until it waits for more than a test does.
pub async fn drive_until(
    stage: &mut FunctionStage,
    inputs: impl IntoIterator<Item = Chunk>,
    mut is_so: impl FnMut() -> bool,
) -> Vec<Chunk> {
    let (begun, mut inputs, mut given) = (Instant::now(), inputs.into_iter(), Vec::new());
    loop {
        match futures::poll!(stage.step()) {
            Poll::Ready(Ok(StageStep::NeedInput(_))) => {
                stage.accept(0, inputs.next().map_or(Item::End, Item::Chunk)).unwrap();
            }
            Poll::Ready(Ok(StageStep::Output(chunk))) => given.push(chunk),
            Poll::Ready(other) => panic!("it ended: {other:?}"),
            Poll::Pending if is_so() => return given,
            Poll::Pending => tokio::task::yield_now().await,
        }
        assert!(begun.elapsed() < Duration::from_mins(1), "what was waited for does not come");
    }
}

/// A state that has been seen so often, with nothing new: nothing more happens.
pub fn settled<T: PartialEq>(mut look: impl FnMut() -> T) -> impl FnMut() -> bool {
    let (mut before, mut times) = (look(), 0);
    move || {
        let now = look();
        times = if now == before { times + 1 } else { 0 };
        before = now;
        times > 200
    }
}
