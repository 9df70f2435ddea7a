//! Machines that partition the rows of a join: chunks of about a page, which they keep together.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "a test that meets the unexpected fails"
)]

mod common;

use std::sync::Arc;

use anabranch_engine::chunk::Chunk;
use anabranch_engine::memory::MemoryBudget;
use anabranch_engine::operator::{Bound, Context, Input, Item, Machine, Operator, Partition, Step};
use anabranch_engine::provenance::{Origin, OriginColumn, Origins, Positions, Provenance, ProvenanceColumn};
use anabranch_engine::provenance::{OriginId, RecordIds};
use anabranch_engine::schema::StreamSchema;
use anabranch_operators::Join;
use arrow::array::{Array, ArrayRef, BooleanArray, Int64Array, ListArray, StringViewArray};
use arrow::datatypes::{DataType, FieldRef, Int64Type};
use common::*;

const INT: DataType = DataType::Int64;
const TEXT: DataType = DataType::Utf8View;

/// Form of the columns of an input.
#[derive(Debug, Clone, Copy)]
struct Shape {
    /// Keys lie below it.
    keys: usize,
    nulls: usize,
    texts: &'static str,
}

fn values(random: &mut Random, field: &FieldRef, rows: usize, shape: Shape) -> ArrayRef {
    let is_key = field.name().starts_with('k');
    let mut numbers = (0..rows).map(|row| {
        let value = if is_key { random.below(shape.keys) } else { row };
        (!random.chance(shape.nulls)).then_some(value as i64)
    });
    match field.data_type() {
        DataType::Int64 => Arc::new(numbers.collect::<Int64Array>()),
        DataType::Boolean => Arc::new(numbers.map(|n| n.map(|n| n % 3 == 0)).collect::<BooleanArray>()),
        DataType::Utf8View => {
            let texts = numbers.map(|n| n.map(|n| format!("{}{n}", shape.texts)));
            Arc::new(texts.collect::<StringViewArray>())
        }
        _ => Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>(
            std::iter::from_fn(|| numbers.next()).map(|n| n.map(|n| vec![Some(n); 2])),
        )),
    }
}

fn provenance(random: &mut Random, origins: &Origins, schema: &StreamSchema, rows: usize) -> Provenance {
    let origin =
        |source: &str| origins.add(Origin::Source { source: source.into(), records: RecordIds::Ordinal });
    let (one, other) = (origin("one"), origin("other"));
    let mut column = || {
        let positions = match random.below(6) {
            0 => Positions::keys((0..rows).map(|row| (row as u128) << 70).collect()),
            1 => Positions::places((0..rows as u64).map(|row| row * 3).collect()),
            _ => Positions::range(random.below(1000) as u64, rows),
        };
        let of_each = |random: &mut Random| (0..rows).map(|_| random.pick(&[one, other])).collect();
        let mixed = random.chance(10).then(|| OriginColumn::compact(of_each(random)));
        ProvenanceColumn::of(mixed.unwrap_or(OriginColumn::Constant(one)), positions)
    };
    let tags = schema.system_tags().iter().map(|_| column()).collect();
    Provenance { tags, sources: schema.packets().iter().map(|_| column()).collect() }
}

/// Rows of a schema in one chunk.
fn whole(random: &mut Random, origins: &Origins, schema: &Arc<StreamSchema>, rows: usize) -> Chunk {
    let texts = random.pick(&["k", "k", "a text that does not lie in its view "]);
    let shape = Shape { keys: rows * 2 / 3, nulls: random.pick(&[0, 10]), texts: "k" };
    let tags = schema.tags().iter().map(|f| values(random, f, rows, shape)).collect();
    let shape = Shape { texts, ..shape };
    let packets = schema.packets().iter().map(|f| values(random, f, rows, shape)).collect();
    let provenance = provenance(random, origins, schema, rows);
    Chunk::new(Arc::clone(schema), rows, tags, packets, provenance).unwrap()
}

/// The chunk in pieces of these sizes, over and over.
fn pieces(whole: &Chunk, sizes: &[usize]) -> Vec<Chunk> {
    let mut start = 0;
    let mut pieces = Vec::new();
    for size in sizes.iter().cycle() {
        let rows = (*size).min(whole.rows() - start);
        if rows == 0 {
            break;
        }
        pieces.push(whole.slice(start, rows));
        start += rows;
    }
    pieces
}

fn sizes(random: &mut Random) -> Vec<usize> {
    let usual = random.chance(50);
    let any = [8192, 8192, 5000, 4096, 4095, 300, 1, 9000, 20_000];
    (0..4).map(|_| if usual { 8192 } else { random.pick(&any) }).collect()
}

/// The rows of all partitions of a join, with the counts of unmatched rows.
fn joined(
    inputs: &[(Input, Vec<Chunk>)],
    origins: &Arc<Origins>,
    partitions: u32,
    memory: &MemoryBudget,
    random: &mut Random,
) -> (Rows, Vec<u64>, usize) {
    let known: Vec<Input> = inputs.iter().map(|(input, _)| input.clone()).collect();
    let bound = Join::new().bind(&known).unwrap();
    let chunks: Vec<_> = inputs.iter().map(|(_, chunks)| chunks.clone()).collect();
    let (mut given, mut unmatched, mut spilled) = (Vec::new(), vec![0; inputs.len()], 0);
    for part in 0..partitions {
        let partition = Partition::new(part, partitions);
        let context = Context { memory: memory.clone(), partition, ..context(origins, 8192) };
        let driven = drive_randomly(&*bound, &context, &chunks, random);
        given.extend(driven.chunks);
        unmatched.iter_mut().zip(driven.unmatched).for_each(|(sum, count)| *sum += count);
        spilled += driven.spilled;
    }
    (read(&bound.contract().schema, &given, origins).sorted(), unmatched, spilled)
}

#[test]
fn shares_of_chunks_of_about_a_page_give_what_one_machine_gives_of_small_chunks() {
    let (mut rows, mut spilled) = (0, 0);
    seeds(12, |seed| {
        let random = &mut Random::new(seed);
        let origins = Arc::new(Origins::default());
        let key = random.pick(&[INT, TEXT]);
        let nested = random.pick(&[DataType::Boolean, DataType::Boolean, list_type()]);
        let both = [("k", key.clone()), ("k2", INT)];
        let with_second = random.chance(30);
        let tags: &[(&str, DataType)] = if with_second { &both } else { &both[..1] };
        let schemas = [
            schema(tags, &[("a", INT), ("b", TEXT)], &["s"]),
            schema(&both[..1], &[("c", nested)], &["s"]),
            schema(tags, &[("d", TEXT)], &["s", "t"]),
        ];
        let count = 2 + usize::from(random.chance(40));
        let whole: Vec<Chunk> = schemas
            .iter()
            .take(count)
            .map(|schema| {
                let most = random.pick(&[6_000, 25_000]);
                whole(random, &origins, schema, most)
            })
            .collect();
        let cut = |sizes: &dyn Fn(&mut Random) -> Vec<usize>, random: &mut Random| -> Vec<_> {
            let known = |at: usize, chunk: &Chunk| input(Arc::clone(chunk.schema()), hash(at as u8));
            let cut = whole.iter().enumerate();
            cut.map(|(at, chunk)| (known(at, chunk), pieces(chunk, &sizes(random)))).collect()
        };
        let free = MemoryBudget::new(usize::MAX);
        let expected = joined(&cut(&|_| vec![1000], random), &origins, 1, &free, random);
        let tight = MemoryBudget::new(random.pick(&[usize::MAX, 2_000_000, 500_000, 100_000]));
        let partitions = random.pick(&[1, 2, 2, 3]);
        let found = joined(&cut(&sizes, random), &origins, partitions, &tight, random);
        assert!(found.0 == expected.0, "{} rows instead of {}", found.0.rows.len(), expected.0.rows.len());
        assert_eq!(found.1, expected.1);
        assert_eq!((tight.used(), free.used()), (0, 0), "memory was not given back");
        rows += found.0.rows.len();
        spilled += found.2;
    });
    assert!(rows > 10_000 && spilled > 100, "{rows} rows, {spilled} parts");
}

fn numbers(packet: &str, keys: std::ops::Range<i64>) -> Chunk {
    let rows = keys.clone().count();
    let schema = schema(&[("k", INT)], &[(packet, INT)], &["s"]);
    let column = || -> ArrayRef { Arc::new(Int64Array::from_iter_values(keys.clone())) };
    let null = || ProvenanceColumn::constant(OriginId::NULL, Positions::range(0, rows));
    let provenance = Provenance { tags: vec![null()], sources: vec![null()] };
    Chunk::new(schema, rows, vec![column()], vec![column()], provenance).unwrap()
}

fn two(limit: usize) -> (Box<dyn Bound>, MemoryBudget) {
    let side = |packet: &str, first| input(Arc::clone(numbers(packet, 0..0).schema()), hash(first));
    (Join::new().bind(&[side("x", 1), side("y", 2)]).unwrap(), MemoryBudget::new(limit))
}

fn machine(bound: &dyn Bound, memory: &MemoryBudget, partition: Partition) -> Box<dyn Machine> {
    bound.start(&Context { memory: memory.clone(), partition, ..context(&Arc::default(), 8192) })
}

/// Steps until it wants rows; gives how many parts of its state it has sent out, and drops them.
fn settle(machine: &mut dyn Machine) -> usize {
    let mut spilled = 0;
    loop {
        match machine.step().unwrap() {
            Step::NeedInput(_) => return spilled,
            Step::Spill(..) => spilled += 1,
            other => panic!("unexpected {other:?}"),
        }
    }
}

/// Number of holders of the memory of a chunk's values.
fn holders(chunk: &Chunk) -> usize {
    chunk.packets()[0].to_data().buffers()[0].strong_count()
}

#[test]
fn a_chunk_that_several_machines_keep_is_counted_once() {
    let used = |partitions: u32| {
        let (bound, memory) = two(usize::MAX);
        let mut machines: Vec<_> =
            (0..partitions).map(|part| machine(&*bound, &memory, Partition::new(part, partitions))).collect();
        let empty = memory.used();
        for page in 0..50 {
            let chunk = numbers("x", page * 8192..(page + 1) * 8192);
            let alone = holders(&chunk);
            for machine in &mut machines {
                machine.accept(0, Item::Chunk(chunk.clone())).unwrap();
                settle(&mut **machine);
            }
            assert_eq!(holders(&chunk), alone + partitions as usize, "the values were copied");
        }
        memory.used() - empty
    };
    let values = 50 * 8192 * 2 * size_of::<i64>();
    let (one, three) = (used(1), used(3));
    // The tables differ: they grow in leaps.
    assert!(one > values && three > values, "{one} and {three} bytes");
    assert!(three < one * 2, "{three} bytes of three machines, {one} of one");
}

#[test]
fn machines_let_go_together_of_the_chunks_that_they_keep_together() {
    let limit = 8 << 20;
    let (bound, memory) = two(limit);
    let mut machines = [0, 1].map(|part| machine(&*bound, &memory, Partition::new(part, 2)));
    let mut given: Vec<Chunk> = Vec::new();
    let mut spilled = [0, 0];
    while spilled[0] == 0 || spilled[1] == 0 {
        let first = given.len() as i64 * 8192;
        let chunk = numbers("x", first..first + 8192);
        given.push(chunk.clone());
        for (machine, spilled) in machines.iter_mut().zip(&mut spilled) {
            machine.accept(0, Item::Chunk(chunk.clone())).unwrap();
            *spilled += settle(&mut **machine);
        }
        assert!(given.len() < 1000, "no state leaves memory");
        if spilled != [0, 0] {
            // The one that is not over the limit itself learns it with its next chunk.
            machines.iter_mut().zip(&mut spilled).for_each(|(machine, spilled)| {
                machine.accept(0, Item::Chunk(numbers("x", -1..0))).unwrap();
                *spilled += settle(&mut **machine);
            });
            assert!(spilled.iter().all(|parts| *parts > 0), "only one let go: {spilled:?}");
        }
    }
    let held = given.iter().filter(|chunk| holders(chunk) > 2).count();
    assert_eq!(held, 0, "of {} chunks {held} are still held", given.len());
    assert!(memory.used() < limit, "{} bytes are in use", memory.used());
}
