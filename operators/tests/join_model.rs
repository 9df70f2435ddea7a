//! join against nested loops over plain rows.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "a test that meets the unexpected fails"
)]

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;

use anabranch_engine::memory::MemoryBudget;
use anabranch_engine::operator::{Input, Operator, Partition};
use anabranch_engine::provenance::Origins;
use anabranch_engine::schema::StreamSchema;
use anabranch_operators::Join;
use arrow::datatypes::{DataType, TimeUnit};
use common::*;

/// One input of the model, read as texts.
struct Side {
    hash: anabranch_engine::identity::PipelineHash,
    schema: Arc<StreamSchema>,
    rows: Vec<Vec<String>>,
}

type Cells = BTreeMap<String, String>;

/// A combination of rows: tags, then other visible columns and tokens, then a tuple for each input.
#[derive(Clone, Default)]
struct Combined {
    tags: Cells,
    others: Cells,
    tuples: Vec<Vec<(String, String)>>,
}

fn extend(combined: &Combined, side: &Side, row: &[String], shared: &[String]) -> Option<Combined> {
    let mut out = combined.clone();
    let mut cells = row.iter();
    for field in side.schema.tags() {
        let mut value = cells.next().unwrap().clone();
        if shared.contains(field.name()) {
            if value == NULL {
                return None;
            }
            value = key_cell(&value);
        }
        if out.tags.get(field.name()).is_some_and(|other| *other != value) {
            return None;
        }
        out.tags.insert(field.name().clone(), value);
    }
    for field in side.schema.packets() {
        out.others.insert(field.name().clone(), cells.next().unwrap().clone());
    }
    let pairs = side.schema.system_tags().iter();
    out.tuples.push(pairs.map(|_| (cells.next().unwrap().clone(), cells.next().unwrap().clone())).collect());
    for field in side.schema.packets() {
        out.others.insert(format!("_source_{}", field.name()), cells.next().unwrap().clone());
    }
    Some(out)
}

/// The rows that a join gives, by the book.
fn model(inputs: &[Stream], origins: &Origins) -> Vec<Cells> {
    let mut sides: Vec<Side> = inputs
        .iter()
        .map(|s| Side {
            hash: s.input.pipeline_hash,
            schema: Arc::clone(&s.input.schema),
            rows: read(&s.input.schema, &s.chunks, origins).rows,
        })
        .collect();
    sides.sort_by_key(|side| side.hash);
    let mut names: Vec<String> =
        sides.iter().flat_map(|s| s.schema.tags()).map(|f| f.name().clone()).collect();
    names.sort();
    let shared: Vec<String> =
        names.windows(2).filter(|two| two[0] == two[1]).map(|two| two[0].clone()).collect();
    let mut combined = vec![Combined::default()];
    for side in &sides {
        let pairs = combined.iter().flat_map(|c| side.rows.iter().map(move |row| (c, row)));
        combined = pairs.filter_map(|(c, row)| extend(c, side, row, &shared)).collect();
    }
    combined.into_iter().map(|c| finish(c, &sides)).collect()
}

fn finish(mut combined: Combined, sides: &[Side]) -> Cells {
    let order = |pair: &(String, String)| (pair.0 == NULL, pair.clone());
    let mut start = 0;
    while start < sides.len() {
        let end = start + sides[start..].iter().take_while(|s| s.hash == sides[start].hash).count();
        combined.tuples[start..end].sort_by_key(|tuple| tuple.iter().map(order).collect::<Vec<_>>());
        start = end;
    }
    let mut cells = combined.tags;
    cells.extend(combined.others);
    for (position, (side, tuple)) in sides.iter().zip(combined.tuples).enumerate() {
        for (tag, (source, record)) in side.schema.system_tags().iter().zip(tuple) {
            let tag = tag.suffixed(&side.hash.short(), position);
            cells.insert(tag.source_column(), source);
            cells.insert(tag.record_column(), record);
        }
    }
    cells
}

fn in_order(columns: &[String], rows: &[Cells]) -> Rows {
    let rows = rows.iter().map(|cells| {
        assert_eq!(cells.len(), columns.len(), "columns {columns:?} are not those of {cells:?}");
        columns.iter().map(|column| cells[column].clone()).collect()
    });
    Rows { columns: columns.to_vec(), rows: rows.collect() }.sorted()
}

/// Output of the operator, sorted, with the counts of unmatched rows.
fn joined(
    inputs: &[Stream],
    origins: &Arc<Origins>,
    chunk_rows: usize,
    random: &mut Random,
) -> (Rows, Vec<u64>) {
    joined_by(&Join { cross: true }, inputs, origins, chunk_rows, random)
}

/// With memory that is too little, just so, or without end, on one machine or split over several.
fn joined_by(
    operator: &dyn Operator,
    inputs: &[Stream],
    origins: &Arc<Origins>,
    chunk_rows: usize,
    random: &mut Random,
) -> (Rows, Vec<u64>) {
    let known: Vec<Input> = inputs.iter().map(|s| s.input.clone()).collect();
    let bound = operator.bind(&known).unwrap();
    let chunks: Vec<_> = inputs.iter().map(|s| s.chunks.clone()).collect();
    let machines = if bound.splits() { random.pick(&[1, 1, 2, 3]) } else { 1 };
    let (mut given, mut unmatched) = (Vec::new(), vec![0; inputs.len()]);
    for part in 0..machines {
        let mut context = context(origins, chunk_rows);
        context.memory = MemoryBudget::new(random.pick(&[usize::MAX, 0, 1_000, 10_000]));
        context.partition = Partition::new(part, machines);
        let driven = drive_randomly(&*bound, &context, &chunks, random);
        assert!(driven.chunks.iter().all(|c| c.rows() <= chunk_rows), "a chunk is too long");
        given.extend(driven.chunks);
        unmatched.iter_mut().zip(driven.unmatched).for_each(|(sum, count)| *sum += count);
        SPILLED.with(|parts| parts.set(parts.get() + driven.spilled));
    }
    (read(&bound.contract().schema, &given, origins).sorted(), unmatched)
}

thread_local! {
    /// Parts that left memory in the joins of this test.
    static SPILLED: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

fn assert_much_has_spilled() {
    SPILLED.with(|parts| assert!(parts.get() > 1_000, "only {} parts have left memory", parts.get()));
}

/// Types that one key may have on several sides.
fn key_types(random: &mut Random) -> Vec<DataType> {
    use DataType as D;
    let units = [TimeUnit::Second, TimeUnit::Millisecond, TimeUnit::Microsecond, TimeUnit::Nanosecond];
    match random.below(12) {
        0 | 1 => vec![D::Int8, D::Int16, D::Int32, D::Int64, D::UInt8, D::UInt16, D::UInt32],
        2 => vec![D::UInt8, D::UInt16, D::UInt32, D::UInt64, D::Int8, D::Int16, D::Int32],
        3 => vec![D::Float64],
        4 => vec![D::Float32],
        5 | 6 => vec![D::Utf8View],
        7 => vec![D::Boolean],
        8 => vec![D::Date32],
        9 => units.iter().map(|unit| D::Timestamp(*unit, None)).collect(),
        10 => units.iter().map(|unit| D::Timestamp(*unit, Some("UTC".into()))).collect(),
        _ => vec![D::Decimal128(10, 2), D::Decimal128(38, 2)],
    }
}

fn other_type(random: &mut Random) -> DataType {
    random.pick(&[DataType::Int32, DataType::Utf8View, DataType::Float64, list_type(), DataType::BinaryView])
}

/// Inputs over some of the given keys, each with tags and packets of its own.
fn inputs(random: &mut Random, origins: &Origins, count: usize, most_rows: usize) -> Vec<Stream> {
    let keys: Vec<(String, Vec<DataType>)> =
        (0..=random.below(3)).map(|n| (format!("key{n}"), key_types(random))).collect();
    let mut streams = Vec::new();
    for number in 0..count {
        let mut tags: Vec<(String, DataType)> = Vec::new();
        for (name, types) in &keys {
            if random.chance(75) {
                tags.push((name.clone(), random.pick(types)));
            }
        }
        if random.chance(40) {
            tags.insert(random.below(tags.len() + 1), (format!("own{number}"), other_type(random)));
        }
        let packets: Vec<(String, DataType)> =
            (0..random.below(3)).map(|n| (format!("packet{number}_{n}"), other_type(random))).collect();
        let stems: Vec<String> = (0..=random.below(2)).map(|n| format!("{number:012x}::{n}")).collect();
        let schema = schema(
            &borrowed(&tags),
            &borrowed(&packets),
            &stems.iter().map(String::as_str).collect::<Vec<_>>(),
        );
        let rows = if random.chance(10) { 0 } else { random.below(most_rows + 1) };
        let first = (random.below(25) * 10 + number) as u8;
        streams.push(stream(random, origins, schema, hash(first), rows));
    }
    streams
}

fn borrowed(columns: &[(String, DataType)]) -> Vec<(&str, DataType)> {
    columns.iter().map(|(name, t)| (name.as_str(), t.clone())).collect()
}

#[test]
fn a_join_of_two_gives_what_nested_loops_give() {
    let mut rows = 0;
    seeds(600, |seed| {
        let random = &mut Random::new(seed);
        let origins = Arc::new(Origins::default());
        let streams = inputs(random, &origins, 2, 30);
        let chunk_rows = random.pick(&[1, 7, 1024]);
        let (found, _) = joined(&streams, &origins, chunk_rows, random);
        let expected = in_order(&found.columns, &model(&streams, &origins));
        assert_eq!(found, expected, "seed {seed}");
        rows += found.rows.len();
    });
    assert!(rows > 10_000, "only {rows} rows were compared");
    assert_much_has_spilled();
}

#[test]
fn a_join_of_several_gives_what_nested_loops_give() {
    let mut rows = 0;
    seeds(500, |seed| {
        let random = &mut Random::new(seed + 10_000);
        let origins = Arc::new(Origins::default());
        let count = 3 + random.below(3);
        let streams = inputs(random, &origins, count, [14, 10, 7][count - 3]);
        let chunk_rows = random.pick(&[1, 7, 1024]);
        let expected_rows = model(&streams, &origins);
        let (found, _) = joined(&streams, &origins, chunk_rows, random);
        assert_eq!(found, in_order(&found.columns, &expected_rows), "seed {seed}");
        rows += found.rows.len();
    });
    assert!(rows > 2_000, "only {rows} rows were compared");
}

#[test]
fn the_order_of_inputs_makes_no_difference() {
    seeds(500, |seed| {
        let random = &mut Random::new(seed + 20_000);
        let origins = Arc::new(Origins::default());
        let count = 2 + random.below(3);
        let streams = inputs(random, &origins, count, 6);
        let (first, unmatched) = joined(&streams, &origins, 7, random);
        for order in permutations(count) {
            let given: Vec<Stream> = order.iter().map(|at| streams[*at].clone()).collect();
            let (other, counts) = joined(&given, &origins, 7, random);
            assert_eq!(first, other, "seed {seed}, order {order:?}");
            let expected: Vec<u64> = order.iter().map(|at| unmatched[*at]).collect();
            assert_eq!(counts, expected, "seed {seed}, order {order:?}");
        }
    });
}

fn permutations(count: usize) -> Vec<Vec<usize>> {
    let mut all = vec![vec![]];
    for number in 0..count {
        let insert = |p: &Vec<usize>, at: usize| {
            let mut longer = p.clone();
            longer.insert(at, number);
            longer
        };
        all = all.iter().flat_map(|p| (0..=p.len()).map(move |at| insert(p, at))).collect();
    }
    all
}

/// Inputs of one pipeline hash over tags alone, their columns in either order.
fn tied_inputs(random: &mut Random, origins: &Origins, count: usize) -> Vec<Stream> {
    let types = [DataType::Boolean, random.pick(&[DataType::Boolean, DataType::Float64])];
    let stems: &[&str] = random.pick(&[&["0123456789ab"] as &[&str], &["0123456789ab", "ba9876543210"]]);
    let make = |random: &mut Random| {
        let mut tags = [("a", types[0].clone()), ("b", types[1].clone())];
        if random.chance(50) {
            tags.reverse();
        }
        let rows = random.below(16);
        stream(random, origins, schema(&tags, &[], stems), hash(100), rows)
    };
    (0..count).map(|_| make(random)).collect()
}

#[test]
fn tuples_of_inputs_with_one_hash_are_sorted_as_units() {
    let mut rows = 0;
    seeds(500, |seed| {
        let random = &mut Random::new(seed + 30_000);
        let origins = Arc::new(Origins::default());
        let count = 2 + random.below(2);
        let mut streams = tied_inputs(random, &origins, count);
        let between = schema(
            &[("b", streams[0].input.schema.find("b").unwrap().2.data_type().clone())],
            &[("x", DataType::Int32)],
            &["c"],
        );
        let first = random.pick(&[50, 150]);
        streams.push(stream(random, &origins, between, hash(first), 4));
        let (first, _) = joined(&streams, &origins, 7, random);
        assert_eq!(first, in_order(&first.columns, &model(&streams, &origins)), "seed {seed}");
        rows += first.rows.len();
        for order in permutations(streams.len()) {
            let given: Vec<Stream> = order.iter().map(|at| streams[*at].clone()).collect();
            let (other, _) = joined(&given, &origins, 7, random);
            assert_eq!(first, other, "seed {seed}, order {order:?}");
        }
    });
    assert!(rows > 1_000, "only {rows} rows were compared");
}

#[test]
fn rows_without_a_match_are_counted_on_both_sides() {
    seeds(500, |seed| {
        let random = &mut Random::new(seed + 40_000);
        let origins = Arc::new(Origins::default());
        let streams = inputs(random, &origins, 2, 20);
        let (_, counts) = joined(&streams, &origins, 7, random);
        let expected: Vec<u64> =
            [(0, 1), (1, 0)].map(|(mine, other)| alone(&streams, mine, other, &origins)).to_vec();
        assert_eq!(counts, expected, "seed {seed}");
    });
}

fn alone(streams: &[Stream], mine: usize, other: usize, origins: &Origins) -> u64 {
    let whole =
        anabranch_engine::chunk::Chunk::concat(&streams[mine].input.schema, &streams[mine].chunks).unwrap();
    let single =
        |row: usize| Stream { input: streams[mine].input.clone(), chunks: vec![whole.slice(row, 1)] };
    (0..whole.rows()).filter(|row| model(&[single(*row), streams[other].clone()], origins).is_empty()).count()
        as u64
}

#[test]
fn every_interleaving_of_two_inputs_gives_the_same_rows() {
    let tags = [("k", DataType::Int32), ("l", DataType::Utf8View)];
    for (left, right) in (0..=4).flat_map(|left| (0..=4).map(move |right| (left, right))) {
        let random = &mut Random::new((left * 10 + right) as u64 + 50_000);
        let origins = Arc::new(Origins::default());
        let make = |random: &mut Random, packet: &str, first: u8, chunks: usize| {
            let schema = schema(&tags, &[(packet, DataType::Int64)], &[packet]);
            let mut made = stream(random, &origins, Arc::clone(&schema), hash(first), chunks * 3);
            let whole = anabranch_engine::chunk::Chunk::concat(&schema, &made.chunks).unwrap();
            made.chunks = (0..chunks).map(|n| whole.slice(n * 3, 3)).collect();
            made
        };
        let streams = [make(random, "x", 1, left), make(random, "y", 2, right)];
        let bound = Join::new().bind(&streams.clone().map(|s| s.input)).unwrap();
        let chunks = streams.clone().map(|s| s.chunks);
        let columns = read(&bound.contract().schema, &[], &origins).columns;
        let expected = in_order(&columns, &model(&streams, &origins));
        for order in interleavings(left + 1, right + 1) {
            for limit in [usize::MAX, 300] {
                let mut next = order.iter().copied();
                let mut context = context(&origins, 2);
                context.memory = MemoryBudget::new(limit);
                let driven = drive(&*bound, &context, &chunks, &mut |_| next.next().unwrap(), random);
                let found = read(&bound.contract().schema, &driven.chunks, &origins).sorted();
                assert_eq!(found, expected, "fed in the order {order:?} with {limit} bytes");
            }
        }
    }
}
