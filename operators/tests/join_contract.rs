//! Refusals, promises and memory of a join.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "a test that meets the unexpected fails"
)]

mod common;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use anabranch_engine::chunk::Chunk;
use anabranch_engine::memory::MemoryBudget;
use anabranch_engine::operator::{Input, InputOrder, Item, Machine, Operator, OperatorError, PartId, Step};
use anabranch_engine::provenance::{OriginId, Origins, Positions, Provenance, ProvenanceColumn};
use anabranch_engine::schema::StreamSchema;
use anabranch_operators::Join;
use arrow::array::{Array, ArrayRef, AsArray, Int64Array, ListArray};
use arrow::datatypes::{DataType, Field, Int64Type, TimeUnit};
use common::*;

fn tagged(tags: NamesAndTypes<'_>, packets: NamesAndTypes<'_>) -> Arc<StreamSchema> {
    schema(tags, packets, &["s"])
}

fn refusal(join: &Join, schemas: &[Arc<StreamSchema>]) -> String {
    let inputs: Vec<Input> =
        schemas.iter().enumerate().map(|(at, s)| input(Arc::clone(s), hash(at as u8))).collect();
    match join.bind(&inputs) {
        Ok(_) => panic!("the join was bound"),
        Err(error) => error.to_string(),
    }
}

const INT: DataType = DataType::Int64;

#[test]
fn a_packet_name_in_two_inputs_is_refused() {
    assert_eq!(
        refusal(
            &Join::new(),
            &[tagged(&[("k", INT)], &[("year", INT)]), tagged(&[("k", INT)], &[("year", INT)])]
        ),
        "column \"year\": packet in input 0 and packet in input 1, expected a packet name in one input only; rename it in one of them with map, or remove it there with drop"
    );
}

#[test]
fn a_tag_here_and_a_packet_there_is_refused() {
    assert_eq!(
        refusal(
            &Join::new(),
            &[tagged(&[("k", INT)], &[("year", INT)]), tagged(&[("k", INT), ("year", INT)], &[])]
        ),
        "column \"year\": packet in input 0 and tag in input 1, expected a name that is a tag in all inputs or a packet column in one; rename it in one of them with map, or make it a tag in both sources"
    );
}

#[test]
fn inputs_without_a_shared_tag_need_cross() {
    let apart =
        [tagged(&[("a", INT)], &[]), tagged(&[("b", INT)], &[]), tagged(&[("a", INT), ("c", INT)], &[])];
    assert_eq!(
        refusal(&Join::new(), &apart),
        "cross: found no tag name in common between inputs 0, 2 with tags \"a\", \"c\" and input 1 with tags \"b\", expected inputs that share tag names; rename a tag with map so that they share it, or give cross: true to join each row with each"
    );
    let through_the_third =
        [tagged(&[("a", INT)], &[]), tagged(&[("b", INT)], &[]), tagged(&[("a", INT), ("b", INT)], &[])];
    let inputs = [0, 1, 2].map(|at| input(Arc::clone(&through_the_third[at]), hash(at as u8)));
    assert!(Join::new().bind(&inputs).is_ok());
}

#[test]
fn keys_of_types_that_do_not_go_together_are_refused() {
    let of_schemas = |schemas: &[Arc<StreamSchema>]| refusal(&Join::new(), schemas);
    let refusal = |one: DataType, other: DataType| {
        of_schemas(&[tagged(&[("k", one)], &[]), tagged(&[("k", other)], &[])])
    };
    let convert = "expected one logical type; convert it in one of them (with types: at the source), or rename it there with map";
    assert_eq!(
        refusal(DataType::Int64, DataType::UInt64),
        "column \"k\": int64 in input 0 and uint64 in input 1, expected integers that one type of 64 bits holds; convert it to int64 in one of them (with types: at the source), or rename it there with map"
    );
    let money = Field::new("k", DataType::Int32, true)
        .with_metadata(HashMap::from([("ARROW:extension:name".to_owned(), "money".to_owned())]));
    let money = StreamSchema::new(vec![Arc::new(money)], vec![], vec![]).unwrap();
    let text = of_schemas(&[tagged(&[("k", DataType::UInt64)], &[]), Arc::new(money)]);
    assert!(text.contains("uint64 in input 0 and extension<\"money\",int32> in input 1"), "{text}");
    assert_eq!(
        refusal(DataType::Int64, DataType::Utf8View),
        format!("column \"k\": int64 in input 0 and string in input 1, {convert}")
    );
    assert_eq!(
        refusal(DataType::Float32, DataType::Float64),
        format!("column \"k\": float32 in input 0 and float64 in input 1, {convert}")
    );
    let (naive, utc) = (
        DataType::Timestamp(TimeUnit::Second, None),
        DataType::Timestamp(TimeUnit::Second, Some("UTC".into())),
    );
    assert_eq!(
        refusal(naive, utc),
        format!("column \"k\": timestamp in input 0 and timestamp_utc in input 1, {convert}")
    );
    assert_eq!(
        refusal(DataType::Decimal128(9, 1), DataType::Decimal128(9, 2)),
        format!("column \"k\": decimal(1) in input 0 and decimal(2) in input 1, {convert}")
    );
    assert_eq!(
        refusal(list_type(), list_type()),
        "column \"k\": list<int64> in input 0, expected a type that can be a key, which a list, struct or map is not; rename it with map in all inputs but one, so that it is no shared tag"
    );
}

#[test]
fn nothing_to_join_is_refused() {
    assert_eq!(
        refusal(&Join::new(), &[]),
        "inputs: found none, expected at least one; name the nodes to join"
    );
}

#[test]
fn the_wider_key_type_leaves_without_nulls() {
    use DataType as D;
    let widened = |types: &[DataType]| {
        let inputs: Vec<Input> = types
            .iter()
            .enumerate()
            .map(|(at, t)| input(tagged(&[("k", t.clone())], &[]), hash(at as u8)))
            .collect();
        let bound = Join::new().bind(&inputs).unwrap();
        let field = bound.contract().schema.tags()[0].clone();
        assert!(!field.is_nullable());
        field.data_type().clone()
    };
    assert_eq!(widened(&[D::Int32, D::UInt32]), D::Int64);
    assert_eq!(widened(&[D::Int64, D::UInt32]), D::Int64);
    assert_eq!(widened(&[D::UInt8, D::Int8]), D::Int16);
    assert_eq!(widened(&[D::Int8, D::UInt8, D::UInt16]), D::Int32);
    assert_eq!(widened(&[D::UInt64, D::UInt8]), D::UInt64);
    assert_eq!(widened(&[D::UInt64, D::Int32]), D::UInt64);
    assert_eq!(widened(&[D::Int8, D::UInt8, D::UInt64]), D::UInt64);
    let (seconds, nanoseconds) =
        (D::Timestamp(TimeUnit::Second, None), D::Timestamp(TimeUnit::Nanosecond, None));
    assert_eq!(widened(&[seconds, nanoseconds.clone()]), nanoseconds);
    assert_eq!(widened(&[D::Decimal128(5, 2), D::Decimal256(50, 2)]), D::Decimal256(50, 2));
}

#[test]
fn the_contract_is_unordered_and_bounded_if_all_inputs_are() {
    let one = input(tagged(&[("k", INT)], &[]), hash(1));
    let endless = Input { bounded: false, ordered: false, ..input(tagged(&[("k", INT)], &[]), hash(2)) };
    assert_eq!(Join::new().input_order(), InputOrder::Commutative);
    let two = Join::new().bind(&[one.clone(), endless.clone()]).unwrap();
    assert!(!two.contract().ordered && !two.contract().bounded);
    let two = Join::new().bind(&[one.clone(), one.clone()]).unwrap();
    assert!(!two.contract().ordered && two.contract().bounded);
    let alone = Join::new().bind(&[endless]).unwrap();
    assert!(!alone.contract().ordered && !alone.contract().bounded);
    let alone = Join::new().bind(std::slice::from_ref(&one)).unwrap();
    assert!(alone.contract().ordered && alone.contract().bounded);
}

#[test]
fn a_join_of_one_input_is_that_input() {
    let random = &mut Random::new(1);
    let origins = Arc::new(Origins::default());
    let made = stream(random, &origins, tagged(&[("k", INT)], &[("x", INT)]), hash(1), 20);
    let bound = Join::new().bind(std::slice::from_ref(&made.input)).unwrap();
    assert_eq!(bound.contract().schema, made.input.schema);
    let driven = drive_randomly(&*bound, &context(&origins, 7), std::slice::from_ref(&made.chunks), random);
    let found = read(&made.input.schema, &driven.chunks, &origins);
    assert_eq!(found, read(&made.input.schema, &made.chunks, &origins));
}

/// A chunk over a tag `k` and a packet of the given name.
fn numbers(packet: &str, keys: Vec<i64>) -> Chunk {
    let rows = keys.len();
    let positions = Positions::range(0, rows);
    let schema = tagged(&[("k", INT)], &[(packet, INT)]);
    let values: ArrayRef = Arc::new(Int64Array::from_iter_values(0..rows as i64));
    let column = || ProvenanceColumn::constant(OriginId::NULL, positions.clone());
    let provenance = Provenance { tags: vec![column()], sources: vec![column()] };
    Chunk::new(schema, rows, vec![Arc::new(Int64Array::from(keys))], vec![values], provenance).unwrap()
}

fn two_sided(origins: &Arc<Origins>, chunk_rows: usize, memory_limit: usize) -> Box<dyn Machine> {
    let inputs = [
        input(Arc::clone(numbers("x", vec![]).schema()), hash(1)),
        input(Arc::clone(numbers("y", vec![]).schema()), hash(2)),
    ];
    let mut context = context(origins, chunk_rows);
    context.memory = MemoryBudget::new(memory_limit);
    Join::new().bind(&inputs).unwrap().start(&context)
}

#[test]
fn a_hot_key_leaves_in_bounded_chunks_one_for_each_step() {
    let origins = Arc::new(Origins::default());
    let mut machine = two_sided(&origins, 1000, usize::MAX);
    machine.accept(0, Item::Chunk(numbers("x", vec![5; 1500]))).unwrap();
    machine.accept(0, Item::End).unwrap();
    machine.accept(1, Item::Chunk(numbers("y", vec![5; 1100]))).unwrap();
    machine.accept(1, Item::End).unwrap();
    let mut seen = vec![0_u8; 1500 * 1100];
    loop {
        match machine.step().unwrap() {
            Step::Output(chunk) => {
                assert!(chunk.rows() <= 1000);
                let at =
                    |column: &ArrayRef, row: usize| column.as_primitive::<Int64Type>().value(row) as usize;
                for row in 0..chunk.rows() {
                    seen[at(&chunk.packets()[0], row) * 1100 + at(&chunk.packets()[1], row)] += 1;
                }
            }
            Step::Done => break,
            other => panic!("unexpected {other:?}"),
        }
    }
    assert!(seen.iter().all(|count| *count == 1), "a pair is missing or came twice");
    assert_eq!(machine.unmatched(), [0, 0]);
}

#[test]
fn a_match_leaves_before_any_input_has_ended() {
    let origins = Arc::new(Origins::default());
    let mut machine = two_sided(&origins, 1000, usize::MAX);
    assert!(matches!(machine.step().unwrap(), Step::NeedInput(ports) if ports == [0, 1]));
    machine.accept(1, Item::Chunk(numbers("y", vec![1, 2]))).unwrap();
    assert!(matches!(machine.step().unwrap(), Step::NeedInput(_)));
    machine.accept(0, Item::Chunk(numbers("x", vec![2]))).unwrap();
    assert!(matches!(machine.step().unwrap(), Step::Output(chunk) if chunk.rows() == 1));
    assert_eq!(machine.unmatched(), [0, 1]);
    machine.accept(0, Item::End).unwrap();
    assert!(matches!(machine.step().unwrap(), Step::NeedInput(ports) if ports == [1]));
}

/// Runs a join of two at a limit; gives its rows, each as the two numbers, and the most bytes that
/// its budget had in use.
fn joined_within(
    limit: usize,
    left: &[Chunk],
    right: &[Chunk],
    cross: bool,
) -> (Vec<(i64, i64)>, Vec<u64>, usize, usize) {
    let origins = Arc::new(Origins::default());
    let inputs =
        [(left, 1), (right, 2)].map(|(chunks, first)| input(Arc::clone(chunks[0].schema()), hash(first)));
    let mut context = context(&origins, 1000);
    context.memory = MemoryBudget::new(limit);
    let mut machine = Join { cross }.bind(&inputs).unwrap().start(&context);
    let mut waiting = [left.iter().cloned(), right.iter().cloned()];
    let mut away: BTreeMap<PartId, Vec<Chunk>> = BTreeMap::new();
    let (mut rows, mut most, mut spilled) = (Vec::new(), 0, 0);
    loop {
        match machine.step().unwrap() {
            Step::Output(chunk) => {
                assert!(chunk.rows() <= 1000);
                let at = |column: usize, row: usize| {
                    chunk.packets()[column].as_primitive::<Int64Type>().value(row)
                };
                rows.extend((0..chunk.rows()).map(|row| (at(0, row), at(1, row))));
            }
            Step::NeedInput(ports) => {
                let item = waiting[ports[0]].next().map_or(Item::End, Item::Chunk);
                machine.accept(ports[0], item).unwrap();
            }
            Step::Spill(part, chunks) => {
                spilled += 1;
                away.entry(part).or_default().extend(chunks);
            }
            Step::Load(part) => machine.loaded(part, away[&part].clone()).unwrap(),
            Step::Forget(part) => assert!(away.remove(&part).is_some()),
            Step::More => {}
            Step::Spawn(_) | Step::Join => panic!("a join does all its work itself"),
            Step::Done => break,
        }
        most = most.max(context.memory.used());
    }
    assert!(away.is_empty());
    rows.sort_unstable();
    (rows, machine.unmatched(), most, spilled)
}

#[test]
fn state_of_many_times_the_limit_gives_the_same_rows_and_stays_within_it() {
    let side = |packet: &str, turn: i64| -> Vec<Chunk> {
        (0..60)
            .map(|n| numbers(packet, (0..5_000).map(|row| (n * 5_000 + row) * turn % 300_007 / 2).collect()))
            .collect()
    };
    let (left, right) = (side("x", 7), side("y", 11));
    let free = joined_within(usize::MAX, &left, &right, false);
    let limit = 1 << 20;
    let bound = joined_within(limit, &left, &right, false);
    assert!(free.2 > 10 * limit, "the state had {} bytes only", free.2);
    assert!(free.3 == 0 && bound.3 > 100, "{} parts have left memory", bound.3);
    assert!(free.0.len() > 500_000 && free.0 == bound.0, "{} and {} rows", free.0.len(), bound.0.len());
    assert_eq!(free.1, bound.1);
    assert!(bound.2 < limit * 5 / 4 + (1 << 20), "{} bytes were in use", bound.2);
}

#[test]
fn a_partition_that_does_not_fit_is_joined_in_blocks() {
    let left: Vec<Chunk> = (0..50).map(|n| numbers("x", (n * 2_000..(n + 1) * 2_000).collect())).collect();
    let right = [rekeyed("y", &[1, 2, 3])];
    let free = joined_within(usize::MAX, &left, &right, true);
    let bound = joined_within(1_000, &left, &right, true);
    assert_eq!(free.0.len(), 300_000);
    assert!(free.0 == bound.0 && free.1 == bound.1);
    let right: Vec<Chunk> = (0..50).map(|_| rekeyed("y", &[0; 2_000])).collect();
    let left = [numbers("x", vec![4, 5])];
    assert_eq!(joined_within(1_000, &left, &right, true).0.len(), 200_000);
}

/// As [`numbers`], over a tag of another name.
fn rekeyed(packet: &str, keys: &[i64]) -> Chunk {
    let (tags, packets, provenance) = numbers(packet, keys.to_vec()).into_parts();
    Chunk::new(tagged(&[("l", INT)], &[(packet, INT)]), keys.len(), tags, packets, provenance).unwrap()
}

#[test]
fn rows_that_nobody_can_match_any_more_are_not_kept() {
    let origins = Arc::new(Origins::default());
    let mut machine = two_sided(&origins, 1000, 1_000_000);
    machine.accept(0, Item::Chunk(numbers("x", vec![1, 2, 3]))).unwrap();
    machine.accept(0, Item::End).unwrap();
    for part in 0..100 {
        machine.accept(1, Item::Chunk(numbers("y", (part * 10_000..(part + 1) * 10_000).collect()))).unwrap();
        while !matches!(machine.step().unwrap(), Step::NeedInput(_)) {}
    }
    assert_eq!(machine.unmatched(), [0, 999_997]);
}

#[test]
fn a_driver_that_breaks_the_protocol_is_told() {
    let origins = Arc::new(Origins::default());
    let mut machine = two_sided(&origins, 1000, 1_000_000);
    assert!(matches!(machine.accept(2, Item::End), Err(OperatorError::Protocol(_))));
    machine.accept(0, Item::End).unwrap();
    assert!(matches!(machine.accept(0, Item::End), Err(OperatorError::Protocol(_))));
}

#[test]
fn metadata_that_all_inputs_agree_on_stays_on_a_key() {
    let with = |pairs: &[(&str, &str)]| {
        let metadata: HashMap<String, String> =
            pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let field = Arc::new(Field::new("k", INT, true).with_metadata(metadata));
        Arc::new(StreamSchema::new(vec![field], vec![], vec![]).unwrap())
    };
    let inputs =
        [input(with(&[("a", "1"), ("b", "2")]), hash(1)), input(with(&[("b", "2"), ("c", "3")]), hash(2))];
    let bound = Join::new().bind(&inputs).unwrap();
    let metadata = bound.contract().schema.tags()[0].metadata().clone();
    assert_eq!(metadata, HashMap::from([("b".to_owned(), "2".to_owned())]));
}

#[test]
fn many_rows_in_chunks_of_any_size_find_each_other() {
    let random = &mut Random::new(7);
    let origins = Arc::new(Origins::default());
    let mut machine = two_sided(&origins, 1000, usize::MAX);
    let keys = |random: &mut Random| -> Vec<i64> {
        let mut keys: Vec<i64> = (0..30_000).collect();
        for at in (1..keys.len()).rev() {
            keys.swap(at, random.below(at + 1));
        }
        keys
    };
    let whole = [numbers("x", keys(random)), numbers("y", keys(random))];
    let mut next = [0, 0];
    let mut sums = (0, 0_i64, 0_i64, 0_i64);
    loop {
        match machine.step().unwrap() {
            Step::Output(chunk) => {
                let column = |column: &ArrayRef, row: usize| column.as_primitive::<Int64Type>().value(row);
                for row in 0..chunk.rows() {
                    let key = column(&chunk.tags()[0], row);
                    for (side, packet) in whole.iter().zip(chunk.packets()) {
                        let place = column(packet, row) as usize;
                        assert_eq!(column(&side.tags()[0], place), key);
                    }
                    for (source, packet) in chunk.provenance().sources.iter().zip(chunk.packets()) {
                        assert_eq!(source.flat().unwrap().positions.get(row), column(packet, row) as u128);
                    }
                    sums = (
                        sums.0 + 1,
                        sums.1 + key,
                        sums.2 + column(&chunk.packets()[0], row),
                        sums.3 + column(&chunk.packets()[1], row),
                    );
                }
            }
            Step::NeedInput(ports) => {
                let port = random.pick(&ports);
                let rows = random.pick(&[1, 30, 3_000]);
                let chunk = whole[port].slice(next[port], rows);
                next[port] += rows;
                let item = if chunk.rows() == 0 { Item::End } else { Item::Chunk(chunk) };
                machine.accept(port, item).unwrap();
            }
            Step::Done => break,
            other => panic!("unexpected {other:?}"),
        }
    }
    let sum: i64 = (0..30_000).sum();
    assert_eq!(sums, (30_000, sum, sum, sum));
}

/// Rows over the tag `k`, which is 1 in all, and one packet column.
fn of_one_key(packet: &str, column: ArrayRef) -> Chunk {
    let rows = column.len();
    let schema = tagged(&[("k", INT)], &[(packet, column.data_type().clone())]);
    let place = || ProvenanceColumn::constant(OriginId::NULL, Positions::range(0, rows));
    let provenance = Provenance { tags: vec![place()], sources: vec![place()] };
    Chunk::new(schema, rows, vec![Arc::new(Int64Array::from(vec![1; rows]))], vec![column], provenance)
        .unwrap()
}

#[test]
fn rows_with_long_lists_leave_a_few_at_a_time_whichever_side_has_them() {
    let items = ListArray::from_iter_primitive::<Int64Type, _, _>([Some(vec![Some(7); 500_000])]);
    let heavy = of_one_key("x", Arc::new(items));
    let light = of_one_key("y", Arc::new(Int64Array::from_iter_values(0..50)));
    for first in [0, 1] {
        let inputs = [input(Arc::clone(heavy.schema()), hash(1)), input(Arc::clone(light.schema()), hash(2))];
        let mut machine = Join::new().bind(&inputs).unwrap().start(&context(&Arc::default(), 8_192));
        for port in [first, 1 - first] {
            let chunk = if port == 0 { &heavy } else { &light };
            machine.accept(port, Item::Chunk(chunk.clone())).unwrap();
            machine.accept(port, Item::End).unwrap();
        }
        let mut rows = 0;
        loop {
            match machine.step().unwrap() {
                Step::Output(chunk) => {
                    assert_eq!(chunk.rows(), 1, "rows of 4 MB each leave together");
                    rows += chunk.rows();
                }
                Step::More => {}
                Step::Done => break,
                other => panic!("unexpected {other:?}"),
            }
        }
        assert_eq!(rows, 50);
        assert_eq!(machine.unmatched(), [0, 0]);
    }
}

#[test]
fn pairs_that_a_later_stage_drops_are_made_in_many_steps() {
    let side = |tags: NamesAndTypes<'_>, columns: Vec<Vec<i64>>, first: u8| {
        let rows = columns[0].len();
        let schema = schema(tags, &[], &["s"]);
        let tags = columns.into_iter().map(|c| Arc::new(Int64Array::from(c)) as ArrayRef).collect();
        let provenance = Provenance { tags: vec![ProvenanceColumn::null(rows)], sources: vec![] };
        let chunk = Chunk::new(Arc::clone(&schema), rows, tags, vec![], provenance).unwrap();
        (input(schema, hash(first)), chunk)
    };
    let sides = [
        side(&[("k", INT)], vec![vec![1; 2_000]], 1),
        side(&[("k", INT), ("j", INT)], vec![vec![1; 2_000], vec![5; 2_000]], 2),
        side(&[("j", INT)], vec![vec![-1]], 3),
    ];
    let inputs = sides.clone().map(|(input, _)| input);
    let mut machine = Join::new().bind(&inputs).unwrap().start(&context(&Arc::default(), 1_000));
    for (port, (_, chunk)) in sides.into_iter().enumerate() {
        machine.accept(port, Item::Chunk(chunk)).unwrap();
        machine.accept(port, Item::End).unwrap();
    }
    let mut steps = 0;
    loop {
        match machine.step().unwrap() {
            Step::More => steps += 1,
            Step::Done => break,
            other => panic!("unexpected {other:?}"),
        }
    }
    // Four million pairs, at most a thousand in a piece.
    assert!(steps > 300, "only {steps} steps");
    assert_eq!(machine.unmatched(), [0, 0, 1]);
}
