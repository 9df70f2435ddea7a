//! `merge_join` against nested loops over plain rows, and what it refuses.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "a test that meets the unexpected fails"
)]

mod common;

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use anabranch_engine::chunk::Chunk;
use anabranch_engine::memory::MemoryBudget;
use anabranch_engine::operator::{Input, Operator, Partition};
use anabranch_engine::provenance::Origins;
use anabranch_operators::{MergeJoin, Unbatch};
use arrow::datatypes::{DataType, TimeUnit};
use common::order::Key;
use common::*;

type Cells = BTreeMap<String, String>;

/// Types that a packet column may have in both inputs.
fn packet_types(random: &mut Random) -> [DataType; 2] {
    let second = DataType::Timestamp(TimeUnit::Second, None);
    random.pick(&[
        [DataType::Int32, DataType::Int64],
        [DataType::UInt8, DataType::Int8],
        [DataType::Utf8View, DataType::Utf8View],
        [DataType::Float64, DataType::Float64],
        [DataType::Boolean, DataType::Boolean],
        [DataType::BinaryView, DataType::BinaryView],
        [second, DataType::Timestamp(TimeUnit::Millisecond, None)],
        [DataType::Decimal128(10, 2), DataType::Decimal128(38, 2)],
    ])
}

fn sides(random: &mut Random, origins: &Origins, most_rows: usize) -> [Stream; 2] {
    let key = random.pick(&[DataType::Int32, DataType::Utf8View, DataType::Float64, DataType::Boolean]);
    let types: Vec<[DataType; 2]> = (0..random.below(3)).map(|_| packet_types(random)).collect();
    let equal = random.chance(20);
    [0, 1].map(|side: usize| {
        let mut tags = vec![("k", key.clone())];
        if random.chance(40) && !equal {
            tags.push((["own0", "own1"][side], DataType::Int64));
        }
        let names = ["both0", "both1", "both2"];
        let at = if equal { 0 } else { side };
        let mut packets: Vec<(&str, DataType)> =
            types.iter().zip(names).map(|(types, name)| (name, types[at].clone())).collect();
        if random.chance(40) && !equal {
            packets.insert(0, (["mine0", "mine1"][side], list_type()));
        }
        let stem = if equal { "a" } else { ["a", "b"][side] };
        let rows = if random.chance(10) { 0 } else { random.below(most_rows + 1) };
        let first = if equal { 5 } else { random.below(100) as u8 * 2 + side as u8 };
        stream(random, origins, schema(&tags, &packets, &[stem]), hash(first), rows)
    })
}

/// A token in the order of its parts; none last.
fn token(text: &str) -> (bool, usize, Vec<String>) {
    if text == NULL {
        return (true, 0, vec![]);
    }
    let mut parts: Vec<String> = text.split("::").map(str::to_owned).collect();
    if let [_, _, key, output] = parts.as_mut_slice() {
        std::mem::swap(key, output);
    }
    (false, parts.len(), parts)
}

struct Side {
    stream: Stream,
    whole: Chunk,
    rows: Rows,
}

impl Side {
    fn cell(&self, row: usize, column: &str) -> Option<&String> {
        Some(&self.rows.rows[row][self.rows.columns.iter().position(|c| c == column)?])
    }
}

fn merged(one: (&Side, usize), other: (&Side, usize), column: &str) -> [String; 2] {
    let parts = [one, other].map(|(side, row)| {
        let info = side.cell(row, &format!("_source_{column}")).unwrap().clone();
        (
            Key::of(side.whole.column(column).unwrap().as_ref(), row),
            side.cell(row, column).unwrap().clone(),
            info,
        )
    });
    let [a, b] = &parts;
    // Instants of two units are compared as their texts have them.
    let instant = |text: &str| text.strip_prefix("instant:").map(|n| n.parse::<i128>().unwrap());
    let values = match (instant(&a.1), instant(&b.1)) {
        (Some(one), Some(other)) => one.cmp(&other),
        _ => a.0.compare(&b.0),
    };
    let float =
        |text: &str| text.strip_prefix("f64:").map(|b| f64::from_bits(u64::from_str_radix(b, 16).unwrap()));
    let bits = || match (float(&a.1), float(&b.1)) {
        (Some(one), Some(other)) => one.total_cmp(&other),
        _ => Ordering::Equal,
    };
    let order = values.then_with(|| token(&a.2).cmp(&token(&b.2))).then_with(bits);
    let pair = if order == Ordering::Greater { [b, a] } else { [a, b] };
    [list_cell(&pair.map(|part| part.1.clone())), list_cell(&pair.map(|part| part.2.clone()))]
}

fn row(one: (&Side, usize), other: (&Side, usize)) -> Option<Cells> {
    let key = one.0.cell(one.1, "k").unwrap();
    if key == NULL || key_cell(key) != key_cell(other.0.cell(other.1, "k").unwrap()) {
        return None;
    }
    let mut cells = Cells::from([("k".to_owned(), key_cell(key))]);
    for (side, at) in [one, other] {
        for field in side.stream.input.schema.columns().filter(|f| f.name() != "k") {
            let name = field.name();
            let is_packet = side.stream.input.schema.packets().iter().any(|f| f.name() == name);
            if name.starts_with("both") {
                let [values, tokens] = merged(one, other, name);
                cells.insert(name.clone(), values);
                cells.insert(format!("_source_{name}"), tokens);
            } else {
                cells.insert(name.clone(), side.cell(at, name).unwrap().clone());
                if is_packet {
                    let info = format!("_source_{name}");
                    cells.insert(info.clone(), side.cell(at, &info).unwrap().clone());
                }
            }
        }
    }
    tuples(one, other, &mut cells);
    Some(cells)
}

fn tuples(one: (&Side, usize), other: (&Side, usize), cells: &mut Cells) {
    let mut pairs = [one, other].map(|(side, row)| {
        let tag = &side.stream.input.schema.system_tags()[0];
        let pair = [tag.source_column(), tag.record_column()].map(|c| side.cell(row, &c).unwrap().clone());
        (pair[0] == NULL, pair)
    });
    if one.0.stream.input.pipeline_hash == other.0.stream.input.pipeline_hash {
        pairs.sort();
    }
    for (position, ((side, _), (_, pair))) in [one, other].into_iter().zip(pairs).enumerate() {
        let input = &side.stream.input;
        let tag = input.schema.system_tags()[0].suffixed(&input.pipeline_hash.short(), position);
        let [source, record] = pair;
        cells.insert(tag.source_column(), source);
        cells.insert(tag.record_column(), record);
    }
}

fn model(streams: &[Stream; 2], origins: &Origins) -> Vec<Cells> {
    let mut sides = streams.clone().map(|stream| Side {
        whole: Chunk::concat(&stream.input.schema, &stream.chunks).unwrap(),
        rows: read(&stream.input.schema, &stream.chunks, origins),
        stream,
    });
    sides.sort_by_key(|side| side.stream.input.pipeline_hash);
    let [one, other] = &sides;
    let pairs = (0..one.whole.rows()).flat_map(|a| (0..other.whole.rows()).map(move |b| (a, b)));
    pairs.filter_map(|(a, b)| row((one, a), (other, b))).collect()
}

fn given(streams: &[Stream; 2], origins: &Arc<Origins>, random: &mut Random) -> (Rows, usize) {
    let known: Vec<Input> = streams.iter().map(|s| s.input.clone()).collect();
    let bound = MergeJoin::new().bind(&known).unwrap();
    let chunks: Vec<_> = streams.iter().map(|s| s.chunks.clone()).collect();
    let machines = random.pick(&[1, 2]);
    let (mut out, mut spilled) = (Vec::new(), 0);
    for part in 0..machines {
        let mut context = context(origins, random.pick(&[1, 7, 1024]));
        context.memory = MemoryBudget::new(random.pick(&[usize::MAX, 0, 2_000]));
        context.partition = Partition::new(part, machines);
        let driven = drive_randomly(&*bound, &context, &chunks, random);
        out.extend(driven.chunks);
        spilled += driven.spilled;
    }
    (read(&bound.contract().schema, &out, origins).sorted(), spilled)
}

fn in_order(columns: &[String], rows: &[Cells]) -> Rows {
    let rows = rows.iter().map(|cells| {
        assert_eq!(cells.len(), columns.len(), "columns {columns:?} are not those of {cells:?}");
        columns.iter().map(|column| cells[column].clone()).collect()
    });
    Rows { columns: columns.to_vec(), rows: rows.collect() }.sorted()
}

#[test]
fn merged_rows_are_those_of_nested_loops_whichever_input_is_first() {
    let (mut rows, mut spilled) = (0, 0);
    seeds(600, |seed| {
        let random = &mut Random::new(seed + 70_000);
        let origins = Arc::new(Origins::default());
        let streams = sides(random, &origins, 14);
        let (found, parts) = given(&streams, &origins, random);
        assert_eq!(found, in_order(&found.columns, &model(&streams, &origins)), "seed {seed}");
        let [one, other] = streams;
        assert_eq!(given(&[other, one], &origins, random).0, found, "seed {seed}, the other way round");
        rows += found.rows.len();
        spilled += parts;
    });
    assert!(rows > 5_000, "only {rows} rows were compared");
    assert!(spilled > 1_000, "only {spilled} parts have left memory");
}

#[test]
fn merged_lists_and_their_source_info_are_taken_apart_together() {
    let random = &mut Random::new(3);
    let origins = Arc::new(Origins::default());
    let int = |name: &'static str| schema(&[("k", DataType::Boolean)], &[("v", DataType::Int64)], &[name]);
    let streams =
        [stream(random, &origins, int("a"), hash(1), 10), stream(random, &origins, int("b"), hash(2), 10)];
    let bound = MergeJoin::new().bind(&streams.clone().map(|s| s.input)).unwrap();
    let merged =
        drive_randomly(&*bound, &context(&origins, 7), &streams.clone().map(|s| s.chunks), random).chunks;
    let pairs: usize = merged.iter().map(Chunk::rows).sum();
    let known = input(Arc::clone(&bound.contract().schema), hash(3));
    let flat = Unbatch.bind(&[known]).unwrap();
    let apart = drive_randomly(&*flat, &context(&origins, 7), &[merged], random).chunks;
    assert_eq!(apart.iter().map(Chunk::rows).sum::<usize>(), 2 * pairs);
    assert_eq!(flat.contract().schema.source_depths(), [0]);
    let cells = |schema, chunks: &[Chunk]| -> Vec<(String, String)> {
        let rows = read(schema, chunks, &origins);
        let at = |name: &str| rows.columns.iter().position(|c| c == name).unwrap();
        let (value, info) = (at("v"), at("_source_v"));
        let mut cells: Vec<_> = rows.rows.iter().map(|r| (r[value].clone(), r[info].clone())).collect();
        cells.sort();
        cells.dedup();
        cells
    };
    let mut inputs = cells(&streams[0].input.schema, &streams[0].chunks);
    inputs.extend(cells(&streams[1].input.schema, &streams[1].chunks));
    for pair in cells(&flat.contract().schema, &apart) {
        assert!(inputs.contains(&pair), "{pair:?} is in neither input");
    }
}

fn refusal(inputs: &[(&str, DataType)]) -> String {
    let inputs: Vec<Input> = inputs
        .iter()
        .enumerate()
        .map(|(at, (name, t))| {
            input(schema(&[("k", DataType::Int32)], &[(*name, t.clone())], &["s"]), hash(at as u8))
        })
        .collect();
    match MergeJoin::new().bind(&inputs) {
        Ok(_) => panic!("it was bound"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn what_cannot_be_merged_is_refused_in_full() {
    use DataType as D;
    assert_eq!(
        refusal(&[("v", D::Int32)]),
        "inputs: found 1, expected two; name two nodes; join takes any number, and so does union"
    );
    assert_eq!(
        refusal(&[("v", D::Int32), ("v", D::Utf8View)]),
        "column \"v\": int32 in input 0 and string in input 1, expected one logical type; convert it in one of them (with types: at the source), or rename it there with map"
    );
    assert_eq!(
        refusal(&[("v", list_type()), ("v", D::Int64)]),
        "column \"v\": list<int64> in input 0 and int64 in input 1, expected one logical type; convert it in one of them, or rename it there with map"
    );
    assert_eq!(
        refusal(&[("v", D::Int64), ("v", D::UInt64)]),
        "column \"v\": int64 in input 0 and uint64 in input 1, expected integers that one type of 64 bits holds; convert it to int64 in one of them (with types: at the source), or rename it there with map"
    );
}
