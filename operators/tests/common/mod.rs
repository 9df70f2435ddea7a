//! Random streams, a driver for machines, and rows as plain texts for reference models.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "a test that meets the unexpected fails"
)]
#![allow(dead_code, reason = "every test file uses its own part")]
#![allow(unreachable_pub, reason = "shared by test files")]

pub mod order;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use anabranch_engine::chunk::{Chunk, Columns};
use anabranch_engine::identity::{Digest, PipelineHash};
use anabranch_engine::memory::MemoryBudget;
use anabranch_engine::operator::{Bound, Context, Input, Item, Machine, PartId, Partition, Step};
use anabranch_engine::provenance::{
    Origin, OriginColumn, OriginId, Origins, Positions, Provenance, ProvenanceColumn, RecordIds,
    RecordStrings,
};
use anabranch_engine::schema::{StreamSchema, SystemTag};
use anabranch_engine::subtask::Subtask;
use arrow::array::*;
use arrow::datatypes::{DataType, Field, FieldRef, TimeUnit};

/// The seeds of a model: so many, or as many as `ANABRANCH_SEEDS` says. Prints the seed that fails.
pub fn seeds(default: u64, mut check: impl FnMut(u64)) {
    struct Seed(u64);
    impl Drop for Seed {
        fn drop(&mut self) {
            if std::thread::panicking() {
                eprintln!("failed with seed {}", self.0);
            }
        }
    }
    let count = std::env::var("ANABRANCH_SEEDS").map_or(default, |count| count.parse().unwrap());
    for seed in 0..count {
        let running = Seed(seed);
        check(running.0);
    }
}

/// A small generator of random numbers, the same on every machine.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x2545_f491_4f6c_dd1d) ^ 0x9e37_79b9)
    }

    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        (self.bits() % end.max(1) as u64) as usize
    }

    pub fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    pub fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())].clone()
    }
}

/// Values that are close enough together to meet, with nulls.
pub fn column(random: &mut Random, data_type: &DataType, rows: usize, null_percent: usize) -> ArrayRef {
    macro_rules! numbers {
        ($array:ty, $values:expr) => {
            Arc::new(
                (0..rows)
                    .map(|_| (!random.chance(null_percent)).then(|| random.pick($values)))
                    .collect::<$array>(),
            )
        };
    }
    let long = ["", "a", "b", "twelve_chars", "a text beyond the view: x", "a text beyond the view: y"];
    match data_type {
        DataType::Boolean => numbers!(BooleanArray, &[true, false]),
        DataType::Int8 => numbers!(Int8Array, &[-1, 0, 1, 2, i8::MAX]),
        DataType::Int16 => numbers!(Int16Array, &[-1, 0, 1, 2, i16::MAX]),
        DataType::Int32 => numbers!(Int32Array, &[-1, 0, 1, 2, i32::MIN]),
        DataType::Int64 => numbers!(Int64Array, &[-1, 0, 1, 2, i64::MAX]),
        DataType::UInt8 => numbers!(UInt8Array, &[0, 1, 2, u8::MAX]),
        DataType::UInt16 => numbers!(UInt16Array, &[0, 1, 2, u16::MAX]),
        DataType::UInt32 => numbers!(UInt32Array, &[0, 1, 2, u32::MAX]),
        DataType::UInt64 => numbers!(UInt64Array, &[0, 1, 2, u64::MAX]),
        DataType::Float32 => {
            numbers!(Float32Array, &[0.0, -0.0, f32::NAN, f32::from_bits(0xffc0_0001), 1.5])
        }
        DataType::Float64 => {
            numbers!(Float64Array, &[0.0, -0.0, f64::NAN, f64::from_bits(0xfff8_0000_0000_0001), 1.5])
        }
        DataType::Utf8View => Arc::new(
            (0..rows)
                .map(|_| (!random.chance(null_percent)).then(|| random.pick(&long)))
                .collect::<StringViewArray>(),
        ),
        DataType::BinaryView => Arc::new(
            (0..rows)
                .map(|_| (!random.chance(null_percent)).then(|| random.pick(&long).as_bytes()))
                .collect::<BinaryViewArray>(),
        ),
        DataType::Date32 => numbers!(Date32Array, &[-1, 0, 1, 18_000]),
        DataType::Timestamp(unit, _) | DataType::Duration(unit) => {
            let second = per_second(*unit);
            let far = if *unit == TimeUnit::Second { i64::MAX / 1000 } else { second };
            let numbers: ArrayRef = numbers!(Int64Array, &[0, second, -second, second + 1, far]);
            arrow::compute::cast(&numbers, data_type).unwrap()
        }
        DataType::Decimal128(precision, scale) => {
            let numbers: Decimal128Array = (0..rows)
                .map(|_| (!random.chance(null_percent)).then(|| random.pick(&[-1_i128, 0, 1, 12_345])))
                .collect();
            Arc::new(numbers.with_precision_and_scale(*precision, *scale).unwrap())
        }
        DataType::Float16 => {
            let half = |value: f32| half_of(value);
            let values = [half(0.0), half(-0.0), half(f32::NAN), half(1.5), half(-2.0)];
            numbers!(Float16Array, &values)
        }
        DataType::Time64(TimeUnit::Nanosecond) => {
            numbers!(Time64NanosecondArray, &[0, 1, 86_399_999_999_999])
        }
        DataType::Decimal256(precision, scale) => {
            let numbers: Decimal256Array = (0..rows)
                .map(|_| (!random.chance(null_percent)).then(|| random.pick(&[-1_i128, 0, 1, 12_345]).into()))
                .collect();
            Arc::new(numbers.with_precision_and_scale(*precision, *scale).unwrap())
        }
        DataType::Struct(fields) => {
            let columns = fields.iter().map(|f| column(random, f.data_type(), rows, null_percent)).collect();
            let valid: Vec<bool> = (0..rows).map(|_| !random.chance(null_percent)).collect();
            Arc::new(StructArray::try_new(fields.clone(), columns, Some(valid.into())).unwrap())
        }
        DataType::List(_) => {
            let mut lists = ListBuilder::new(Int64Builder::new());
            for _ in 0..rows {
                if random.chance(null_percent) {
                    lists.append_null();
                } else {
                    lists.append_value((0..random.below(3)).map(|n| Some(n as i64)));
                }
            }
            Arc::new(lists.finish())
        }
        other => panic!("no values of type {other}"),
    }
}

fn per_second(unit: TimeUnit) -> i64 {
    match unit {
        TimeUnit::Second => 1,
        TimeUnit::Millisecond => 1_000,
        TimeUnit::Microsecond => 1_000_000,
        TimeUnit::Nanosecond => 1_000_000_000,
    }
}

/// The type of lists that [`column`] makes.
pub fn list_type() -> DataType {
    DataType::List(Arc::new(Field::new("item", DataType::Int64, true)))
}

/// A cell as text: the same for values that are equal whatever their physical type.
pub fn cell(array: &dyn Array, row: usize) -> String {
    if array.is_null(row) {
        return NULL.to_owned();
    }
    let nanoseconds = |unit: TimeUnit, zone: &str| {
        let numbers = arrow::compute::cast(&array.slice(row, 1), &DataType::Int64).unwrap();
        let value = i128::from(numbers.as_any().downcast_ref::<Int64Array>().unwrap().value(0));
        format!("instant{zone}:{}", value * i128::from(1_000_000_000 / per_second(unit)))
    };
    match array.data_type() {
        DataType::Float16 => {
            let value = array.as_any().downcast_ref::<Float16Array>().unwrap().value(row);
            format!("f16:{:04x}", value.to_bits())
        }
        DataType::Float32 => {
            let value = array.as_any().downcast_ref::<Float32Array>().unwrap().value(row);
            format!("f32:{:08x}", value.to_bits())
        }
        DataType::Float64 => {
            let value = array.as_any().downcast_ref::<Float64Array>().unwrap().value(row);
            format!("f64:{:016x}", value.to_bits())
        }
        DataType::List(_) => {
            let items = array.as_any().downcast_ref::<ListArray>().unwrap().value(row);
            let cells: Vec<String> = (0..items.len()).map(|item| cell(items.as_ref(), item)).collect();
            list_cell(&cells)
        }
        DataType::Struct(_) => {
            let columns = array.as_any().downcast_ref::<StructArray>().unwrap().columns();
            let cells: Vec<String> = columns.iter().map(|c| cell(c.as_ref(), row)).collect();
            format!("{{{}}}", cells.join(", "))
        }
        DataType::Timestamp(unit, zone) => nanoseconds(*unit, if zone.is_some() { "_utc" } else { "" }),
        DataType::Duration(unit) => nanoseconds(*unit, "_duration"),
        _ => arrow::util::display::array_value_to_string(array, row).unwrap(),
    }
}

/// A list of cells as a cell.
pub fn list_cell(cells: &[String]) -> String {
    format!("[{}]", cells.join(", "))
}

/// The float of 16 bits that is nearest.
fn half_of(value: f32) -> <arrow::datatypes::Float16Type as arrow::datatypes::ArrowPrimitiveType>::Native {
    let narrow = arrow::compute::cast(&Float32Array::from(vec![value]), &DataType::Float16).unwrap();
    narrow.as_any().downcast_ref::<Float16Array>().unwrap().value(0)
}

/// Text of a null cell; no value looks like this.
pub const NULL: &str = "\u{2205}";

/// A key cell in the form in which it leaves a join.
pub fn key_cell(cell: &str) -> String {
    match cell {
        "f16:8000" => "f16:0000".to_owned(),
        "f32:80000000" => "f32:00000000".to_owned(),
        "f64:8000000000000000" => "f64:0000000000000000".to_owned(),
        "f32:ffc00001" => "f32:7fc00000".to_owned(),
        "f64:fff8000000000001" => "f64:7ff8000000000000".to_owned(),
        other => other.to_owned(),
    }
}

/// Rows as texts, with everything that a stream hides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rows {
    pub columns: Vec<String>,
    pub rows: Vec<Vec<String>>,
}

/// Reads chunks with the texts of their provenance.
pub fn read(schema: &StreamSchema, chunks: &[Chunk], origins: &Origins) -> Rows {
    let fields = anabranch_engine::chunk::arrow_schema(schema, Columns::All);
    let columns: Vec<String> = fields.fields().iter().map(|f| f.name().clone()).collect();
    let mut rows = Vec::new();
    for chunk in chunks {
        let batch = chunk.to_batch(Columns::All, origins).unwrap();
        assert_eq!(
            batch.schema().fields().iter().map(|f| f.name().clone()).collect::<Vec<_>>(),
            columns,
            "a chunk has other columns than its contract"
        );
        for row in 0..batch.num_rows() {
            rows.push(batch.columns().iter().map(|c| cell(c.as_ref(), row)).collect());
        }
    }
    Rows { columns, rows }
}

impl Rows {
    pub fn sorted(mut self) -> Self {
        self.rows.sort();
        self
    }
}

/// Texts of record ids for tests.
#[derive(Debug)]
struct Names;

impl RecordStrings for Names {
    fn text(&self, position: u64) -> std::io::Result<String> {
        Ok(format!("id={}", position * 37 % 11))
    }
}

/// A stream in memory: what an operator is told and given.
#[derive(Debug, Clone)]
pub struct Stream {
    pub input: Input,
    pub chunks: Vec<Chunk>,
}

/// A hash that begins with this byte.
pub fn hash(first: u8) -> PipelineHash {
    let mut bytes = [7; 32];
    bytes[0] = first;
    PipelineHash(Digest(bytes))
}

pub fn field(name: &str, data_type: &DataType) -> FieldRef {
    Arc::new(Field::new(name, data_type.clone(), true))
}

/// Names and types of columns.
pub type NamesAndTypes<'a> = &'a [(&'a str, DataType)];

/// The schema of a source or of something behind one.
pub fn schema(
    tags: NamesAndTypes<'_>,
    packets: NamesAndTypes<'_>,
    system_tags: &[&str],
) -> Arc<StreamSchema> {
    let fields = |columns: NamesAndTypes<'_>| columns.iter().map(|(name, t)| field(name, t)).collect();
    let system_tags = system_tags.iter().map(|stem| SystemTag::from_stem(stem)).collect();
    Arc::new(StreamSchema::new(fields(tags), fields(packets), system_tags).unwrap())
}

pub fn input(schema: Arc<StreamSchema>, pipeline_hash: PipelineHash) -> Input {
    Input { schema, pipeline_hash, ordered: true, bounded: true }
}

/// Random rows of a schema, cut into random chunks, some of them empty.
pub fn stream(
    random: &mut Random,
    origins: &Origins,
    schema: Arc<StreamSchema>,
    pipeline_hash: PipelineHash,
    rows: usize,
) -> Stream {
    let null_percent = random.pick(&[0, 10, 30]);
    let make = |random: &mut Random, fields: &[FieldRef]| -> Vec<ArrayRef> {
        fields.iter().map(|f| column(random, f.data_type(), rows, null_percent)).collect()
    };
    let tags = make(random, schema.tags());
    let packets = make(random, schema.packets());
    let provenance = provenance(random, origins, &schema, rows);
    let whole = Chunk::new(Arc::clone(&schema), rows, tags, packets, provenance).unwrap();
    Stream { input: input(schema, pipeline_hash), chunks: cut(random, &whole) }
}

fn provenance(random: &mut Random, origins: &Origins, schema: &StreamSchema, rows: usize) -> Provenance {
    let shared = Positions::range(random.below(12) as u64, rows);
    let source = |random: &mut Random| {
        let records =
            if random.chance(30) { RecordIds::Strings(Arc::new(Names)) } else { RecordIds::Ordinal };
        origins.add(Origin::Source { source: random.pick(&["left", "right"]).into(), records })
    };
    let tags = schema.system_tags().iter().enumerate().map(|(at, _)| {
        let positions = if at == 0 || random.chance(50) {
            shared.clone()
        } else {
            Positions::places((0..rows).map(|_| random.below(120) as u64).collect())
        };
        let (one, other) = (source(random), source(random));
        let origins = match random.below(3) {
            0 => OriginColumn::Constant(one),
            _ => OriginColumn::compact(
                (0..rows).map(|_| random.pick(&[one, one, other, OriginId::NULL])).collect(),
            ),
        };
        ProvenanceColumn::of(origins, positions)
    });
    let tags = tags.collect();
    let sources = schema.packets().iter().map(|field| {
        let name: Arc<str> = field.name().as_str().into();
        if random.chance(30) {
            let output = Origin::Output {
                function: "f".into(),
                fingerprint: "0123456789ab".into(),
                output: name,
                recording: None,
            };
            let keys = (0..rows).map(|_| u128::from(random.bits()) << 9).collect();
            ProvenanceColumn::constant(origins.add(output), Positions::keys(keys))
        } else {
            let column = Origin::Column { source: "left".into(), records: RecordIds::Ordinal, column: name };
            ProvenanceColumn::constant(origins.add(column), shared.clone())
        }
    });
    let sources = sources.collect();
    Provenance { tags, sources }
}

/// A chunk cut at random places.
pub fn cut(random: &mut Random, whole: &Chunk) -> Vec<Chunk> {
    let mut chunks = Vec::new();
    let mut start = 0;
    while start < whole.rows() {
        let length = random.below(whole.rows() - start + 1);
        chunks.push(whole.slice(start, length));
        start += length;
    }
    if random.chance(30) {
        chunks.push(whole.slice(whole.rows(), 0));
    }
    chunks
}

/// Output of a driven machine.
#[derive(Debug)]
pub struct Driven {
    pub chunks: Vec<Chunk>,
    pub unmatched: Vec<u64>,
    /// Parts of the state that left memory.
    pub spilled: usize,
    /// Subtasks of work that were done beside.
    pub subtasks: usize,
}

/// Subtasks under way; none in the place of one that is done and not told yet.
#[derive(Default)]
struct Subtasks(VecDeque<Option<Subtask>>);

impl Subtasks {
    /// Begins a subtask; it may be done at once, before those that were begun before it.
    fn begin(&mut self, subtask: Subtask, at_once: bool) {
        let left = if at_once {
            subtask.run().unwrap();
            None
        } else {
            Some(subtask)
        };
        self.0.push_back(left);
    }

    fn finish_first(&mut self, machine: &mut dyn Machine) {
        let first = self.0.pop_front().unwrap();
        if let Some(subtask) = first {
            subtask.run().unwrap();
        }
        machine.subtask_done().unwrap();
    }
}

/// A context with these chunk rows and memory without end.
pub fn context(origins: &Arc<Origins>, chunk_rows: usize) -> Context {
    Context {
        origins: Arc::clone(origins),
        memory: MemoryBudget::new(usize::MAX),
        chunk_rows,
        partition: Partition::WHOLE,
        cores: 1,
    }
}

/// Drives a machine to its end. `choose` is told the open ports and says which is fed; sometimes
/// it may be fed more before the next step.
pub fn drive(
    bound: &dyn Bound,
    context: &Context,
    inputs: &[Vec<Chunk>],
    choose: &mut dyn FnMut(&[usize]) -> usize,
    random: &mut Random,
) -> Driven {
    drive_with(bound, context, inputs, choose, &mut |percent| random.chance(percent))
}

/// Drives a machine to its end and feeds it only when it asks, as the drivers of a run do.
pub fn drive_as_asked(
    bound: &dyn Bound,
    context: &Context,
    inputs: &[Vec<Chunk>],
    choose: &mut dyn FnMut(&[usize]) -> usize,
) -> Driven {
    drive_with(bound, context, inputs, choose, &mut |_| false)
}

fn drive_with(
    bound: &dyn Bound,
    context: &Context,
    inputs: &[Vec<Chunk>],
    choose: &mut dyn FnMut(&[usize]) -> usize,
    feeds_more: &mut dyn FnMut(usize) -> bool,
) -> Driven {
    let mut machine = bound.start(context);
    let mut next = vec![0; inputs.len()];
    let mut ended = vec![false; inputs.len()];
    let mut chunks = Vec::new();
    let mut away: BTreeMap<PartId, Vec<Chunk>> = BTreeMap::new();
    let mut spilled = 0;
    let (mut begun, mut under_way) = (0, Subtasks::default());
    loop {
        match machine.step().unwrap() {
            Step::Spawn(subtask) => {
                begun += 1;
                under_way.begin(subtask, feeds_more(50));
                while !under_way.0.is_empty() && feeds_more(20) {
                    under_way.finish_first(&mut *machine);
                }
            }
            Step::Join => under_way.finish_first(&mut *machine),
            Step::More => {}
            Step::NeedInput(_) if !under_way.0.is_empty() && feeds_more(50) => {
                under_way.finish_first(&mut *machine);
            }
            Step::Spill(part, chunks) => {
                spilled += 1;
                away.entry(part).or_default().extend(chunks);
                if feeds_more(10) {
                    feed(&mut *machine, inputs, &mut next, &mut ended, choose);
                }
            }
            Step::Load(part) => machine.loaded(part, away[&part].clone()).unwrap(),
            Step::Forget(part) => assert!(away.remove(&part).is_some(), "{part:?} was not there"),
            Step::Output(chunk) => {
                assert!(chunk.rows() > 0, "an empty chunk came out");
                chunks.push(chunk);
                if feeds_more(10) {
                    feed(&mut *machine, inputs, &mut next, &mut ended, choose);
                }
            }
            Step::NeedInput(mut ports) => {
                ports.sort_unstable();
                let open: Vec<usize> = (0..inputs.len()).filter(|port| !ended[*port]).collect();
                assert_eq!(ports, open, "the ports asked for are not the open ones");
                feed(&mut *machine, inputs, &mut next, &mut ended, choose);
                while feeds_more(20) {
                    feed(&mut *machine, inputs, &mut next, &mut ended, choose);
                }
            }
            Step::Done => {
                assert!(ended.iter().all(|e| *e), "done before the inputs ended");
                assert!(away.is_empty(), "{} parts were left behind", away.len());
                assert!(under_way.0.is_empty(), "done before the subtasks were");
                return Driven { chunks, unmatched: machine.unmatched(), spilled, subtasks: begun };
            }
        }
    }
}

fn feed(
    machine: &mut dyn Machine,
    inputs: &[Vec<Chunk>],
    next: &mut [usize],
    ended: &mut [bool],
    choose: &mut dyn FnMut(&[usize]) -> usize,
) {
    let open: Vec<usize> = (0..inputs.len()).filter(|port| !ended[*port]).collect();
    if open.is_empty() {
        return;
    }
    let port = choose(&open);
    if let Some(chunk) = inputs[port].get(next[port]) {
        next[port] += 1;
        machine.accept(port, Item::Chunk(chunk.clone())).unwrap();
    } else {
        ended[port] = true;
        machine.accept(port, Item::End).unwrap();
    }
}

/// Drives with random choices of ports.
pub fn drive_randomly(
    bound: &dyn Bound,
    context: &Context,
    inputs: &[Vec<Chunk>],
    random: &mut Random,
) -> Driven {
    let mut choices = Random::new(random.bits());
    drive(bound, context, inputs, &mut |open| open[choices.below(open.len())], random)
}

/// Every order in which two ports can be fed so many items.
pub fn interleavings(left: usize, right: usize) -> Vec<Vec<usize>> {
    if left + right == 0 {
        return vec![vec![]];
    }
    let begin = |port: usize, rest: Vec<Vec<usize>>| {
        rest.into_iter().map(move |tail| std::iter::once(port).chain(tail).collect())
    };
    let mut all = Vec::new();
    if left > 0 {
        all.extend(begin(0, interleavings(left - 1, right)));
    }
    if right > 0 {
        all.extend(begin(1, interleavings(left, right - 1)));
    }
    all
}
