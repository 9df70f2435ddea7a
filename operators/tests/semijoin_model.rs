//! semijoin and antijoin against nested loops over plain rows, at any budget.

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
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use anabranch_engine::chunk::Chunk;
use anabranch_engine::memory::MemoryBudget;
use anabranch_engine::operator::{Bound, Context, Input, Item, Operator, Step};
use anabranch_engine::provenance::Origins;
use anabranch_operators::{Antijoin, Semijoin};
use arrow::datatypes::{DataType, TimeUnit};
use common::*;

/// Types that one key may have on both sides.
fn key_types(random: &mut Random) -> Vec<DataType> {
    use DataType as D;
    let units = [TimeUnit::Second, TimeUnit::Millisecond, TimeUnit::Microsecond, TimeUnit::Nanosecond];
    match random.below(14) {
        0 | 1 => vec![D::Int8, D::Int16, D::Int32, D::Int64, D::UInt8, D::UInt16, D::UInt32],
        2 => vec![D::UInt8, D::UInt16, D::UInt32, D::UInt64, D::Int8, D::Int16, D::Int32],
        3 => vec![D::Float64],
        4 => vec![D::Float32],
        5 | 6 => vec![D::Utf8View],
        7 => vec![D::BinaryView],
        8 => vec![D::Boolean],
        9 => vec![D::Date32],
        10 => units.iter().map(|unit| D::Timestamp(*unit, None)).collect(),
        11 => units.iter().map(|unit| D::Timestamp(*unit, Some("UTC".into()))).collect(),
        12 => units.iter().map(|unit| D::Duration(*unit)).collect(),
        _ => vec![D::Decimal128(10, 2), D::Decimal128(38, 2)],
    }
}

fn other_type(random: &mut Random) -> DataType {
    random.pick(&[DataType::Int32, DataType::Utf8View, DataType::Float64, list_type()])
}

/// A side with the given keys, each a tag or a packet, and columns of its own.
fn side(random: &mut Random, origins: &Origins, keys: &[(String, Vec<DataType>)], number: usize) -> Stream {
    let (mut tags, mut packets) = (Vec::new(), Vec::new());
    for (name, types) in keys {
        if random.chance(90) {
            let group = if random.chance(50) { &mut tags } else { &mut packets };
            group.push((name.clone(), random.pick(types)));
        }
    }
    for n in 0..random.below(3) {
        let group = if random.chance(50) { &mut tags } else { &mut packets };
        let at = random.below(group.len() + 1);
        group.insert(at, (format!("own{number}_{n}"), other_type(random)));
    }
    let borrowed = |columns: &[(String, DataType)]| -> Vec<(&'static str, DataType)> {
        columns.iter().map(|(name, t)| (&*Box::leak(name.clone().into_boxed_str()), t.clone())).collect()
    };
    let schema = schema(&borrowed(&tags), &borrowed(&packets), &["0123456789ab"]);
    let rows = if random.chance(10) { 0 } else { random.below(40) };
    stream(random, origins, schema, hash(number as u8), rows)
}

fn sides(random: &mut Random, origins: &Origins) -> [Stream; 2] {
    let keys: Vec<(String, Vec<DataType>)> =
        (0..random.pick(&[0, 1, 1, 1, 2, 2, 3])).map(|n| (format!("key{n}"), key_types(random))).collect();
    [side(random, origins, &keys, 0), side(random, origins, &keys, 1)]
}

/// For each row the cells of the named columns; none where one is null.
fn keys(stream: &Stream, rows: &Rows, names: &[String]) -> Vec<Option<Vec<String>>> {
    let columns = stream.input.schema.names();
    let places: Vec<usize> = names.iter().map(|n| columns.iter().position(|c| c == n).unwrap()).collect();
    let key = |row: &Vec<String>| {
        let cells = places.iter().map(|at| (row[*at] != NULL).then(|| key_cell(&row[*at])));
        cells.collect::<Option<Vec<String>>>()
    };
    rows.rows.iter().map(key).collect()
}

/// The rows that match, by the book, and the others.
fn model(streams: &[Stream; 2], origins: &Origins) -> [Rows; 2] {
    let [left, right] = streams;
    let theirs = right.input.schema.names();
    let names: Vec<String> = left.input.schema.names().into_iter().filter(|n| theirs.contains(n)).collect();
    let rows = read(&left.input.schema, &left.chunks, origins);
    let others = keys(right, &read(&right.input.schema, &right.chunks, origins), &names);
    let (mut matching, mut rest) = (Vec::new(), Vec::new());
    for (row, key) in rows.rows.iter().zip(keys(left, &rows, &names)) {
        let matches = names.is_empty() || (key.is_some() && others.contains(&key));
        if matches { &mut matching } else { &mut rest }.push(row.clone());
    }
    [matching, rest].map(|chosen| Rows { columns: rows.columns.clone(), rows: chosen })
}

fn bind(streams: &[Stream; 2]) -> [Box<dyn Bound>; 2] {
    let inputs: Vec<Input> = streams.iter().map(|s| s.input.clone()).collect();
    [Semijoin.bind(&inputs).unwrap(), Antijoin.bind(&inputs).unwrap()]
}

fn limited(origins: &Arc<Origins>, chunk_rows: usize, bytes: usize) -> Context {
    Context { memory: MemoryBudget::new(bytes), ..context(origins, chunk_rows) }
}

/// On so many cores.
fn on_cores(cores: usize, context: Context) -> Context {
    Context { cores, ..context }
}

#[test]
fn both_give_what_nested_loops_give_in_the_order_of_left_at_any_budget() {
    let [rows, spilled, whole, subtasks] = std::array::from_fn(|_| AtomicUsize::new(0));
    seeds(500, |seed| {
        let random = &mut Random::new(seed);
        let origins = Arc::new(Origins::default());
        let streams = sides(random, &origins);
        let expected = model(&streams, &origins);
        let chunk_rows = random.pick(&[1, 7, 1024]);
        let budget = random.pick(&[0, 100, 1_000, 4_000, usize::MAX]);
        for (bound, expected) in bind(&streams).iter().zip(&expected) {
            let context = on_cores(random.pick(&[1, 1, 2, 5]), limited(&origins, chunk_rows, budget));
            let chunks = streams.clone().map(|s| s.chunks);
            let driven = drive_randomly(&**bound, &context, &chunks, random);
            subtasks.fetch_add(driven.subtasks, Relaxed);
            let found = read(&bound.contract().schema, &driven.chunks, &origins);
            assert_eq!(&found, expected, "seed {seed}, budget {budget}");
            assert_eq!(context.memory.used(), 0, "seed {seed}: memory was not given back");
            rows.fetch_add(found.rows.len(), Relaxed);
            let count = if driven.spilled > 0 { &spilled } else { &whole };
            count.fetch_add(1, Relaxed);
        }
    });
    let [rows, spilled, whole, subtasks] = [rows, spilled, whole, subtasks].map(AtomicUsize::into_inner);
    assert!(rows > 8_000, "only {rows} rows were compared");
    assert!(spilled > 300 && whole > 200, "{spilled} runs spilled, {whole} did not");
    assert!(subtasks > 500, "only {subtasks} subtasks were done beside");
}

/// Sides of so many chunks of three rows, over a key of integers or two keys.
fn sides_of(random: &mut Random, origins: &Origins, chunks: [usize; 2], exact: bool) -> [Stream; 2] {
    let tags = [("k", DataType::Int32), ("l", DataType::Utf8View)];
    let tags = if exact { &tags[..1] } else { &tags[..] };
    let mut number = 0;
    chunks.map(|count| {
        number += 1;
        let packet = ["x", "y"][number - 1];
        let schema = schema(tags, &[(packet, DataType::Int64)], &[packet]);
        let mut made = stream(random, origins, Arc::clone(&schema), hash(number as u8), count * 3);
        let whole = Chunk::concat(&schema, &made.chunks).unwrap();
        made.chunks = (0..count).map(|n| whole.slice(n * 3, 3)).collect();
        made
    })
}

#[test]
fn every_interleaving_of_the_inputs_gives_the_same_rows_in_the_same_order() {
    let (mut spilled, mut subtasks) = (0, 0);
    for (left, right) in (0..=4).flat_map(|left| (0..=4).map(move |right| (left, right))) {
        let random = &mut Random::new((left * 10 + right) as u64 + 50_000);
        let origins = Arc::new(Origins::default());
        let streams = sides_of(random, &origins, [left, right], (left + right) % 2 == 0);
        let expected = model(&streams, &origins);
        let chunks = streams.clone().map(|s| s.chunks);
        for (bound, expected) in bind(&streams).iter().zip(&expected) {
            for order in interleavings(left + 1, right + 1) {
                for (budget, cores) in [(0, 1), (usize::MAX, 1), (usize::MAX, 2)] {
                    let mut next = order.iter().copied();
                    let context = on_cores(cores, limited(&origins, 2, budget));
                    let driven = drive(&**bound, &context, &chunks, &mut |_| next.next().unwrap(), random);
                    let found = read(&bound.contract().schema, &driven.chunks, &origins);
                    assert_eq!(&found, expected, "fed in the order {order:?}, budget {budget}");
                    spilled += driven.spilled;
                    subtasks += driven.subtasks;
                }
            }
        }
    }
    assert!(spilled > 1_000, "only {spilled} parts left memory");
    assert!(subtasks > 1_000, "only {subtasks} subtasks were done beside");
}

/// Streams of many rows over few or many keys.
fn many(
    random: &mut Random,
    origins: &Origins,
    rows: [usize; 2],
    distinct: usize,
    exact: bool,
) -> [Stream; 2] {
    let mut number = 0;
    rows.map(|rows| {
        number += 1;
        let keys: Vec<usize> = (0..rows).map(|_| random.below(distinct)).collect();
        let column: arrow::array::ArrayRef = if exact {
            Arc::new(arrow::array::Int64Array::from_iter_values(keys.iter().map(|k| *k as i64)))
        } else {
            let texts = keys.iter().map(|k| format!("the key of number {k}"));
            Arc::new(arrow::array::StringViewArray::from_iter_values(texts))
        };
        let schema = schema(&[("k", column.data_type().clone())], &[], &["0123456789ab"]);
        let mut made = stream(random, origins, Arc::clone(&schema), hash(number as u8), rows);
        let whole = Chunk::concat(&schema, &made.chunks).unwrap();
        let (_, packets, provenance) = whole.into_parts();
        let whole = Chunk::new(schema, rows, vec![column], packets, provenance).unwrap();
        made.chunks = (0..rows).step_by(1_000).map(|from| whole.slice(from, 1_000)).collect();
        made
    })
}

#[test]
fn many_rows_pass_through_little_memory_in_their_order() {
    for exact in [true, false] {
        let random = &mut Random::new(u64::from(exact));
        let origins = Arc::new(Origins::default());
        let streams = many(random, &origins, [30_000, 40_000], 40_000, exact);
        for bound in bind(&streams) {
            let chunks = streams.clone().map(|s| s.chunks);
            let mut run = |cores: usize, budget: usize| {
                let context = on_cores(cores, limited(&origins, 1_000, budget));
                let driven = drive_randomly(&*bound, &context, &chunks, random);
                let rows = read(&bound.contract().schema, &driven.chunks, &origins);
                (rows, driven.spilled, driven.subtasks)
            };
            let (expected, none, alone) = run(1, usize::MAX);
            let (found, some, _) = run(1, 64 << 10);
            assert!(expected.rows.len() > 5_000, "only {} rows were compared", expected.rows.len());
            assert_eq!(found, expected);
            assert!(none == 0 && some > 200, "{none} and {some} parts left memory");
            let (found, none, all) = run(2, usize::MAX);
            assert_eq!(found, expected);
            assert!((alone, none) == (0, 0) && all > 20, "{all} subtasks, {none} parts left memory");
            // Tables have grown beside before some of them have to leave.
            let (found, some, subtasks) = run(2, if exact { 400 << 10 } else { 1_600 << 10 });
            assert_eq!(found, expected);
            assert!(some > 0 && subtasks > 0, "{subtasks} subtasks, {some} parts left memory");
        }
    }
}

#[test]
fn memory_stays_near_the_budget_whatever_comes_first() {
    let alone =
        [(true, 0), (true, 1), (false, 0), (false, 1)].map(|(exact, first)| (exact, first, 1, 256 << 10));
    for (exact, first, cores, budget) in alone.into_iter().chain([(false, 1, 2, 2 << 20)]) {
        let random = &mut Random::new(7);
        let origins = Arc::new(Origins::default());
        let streams = many(random, &origins, [50_000, 50_000], 50_000, exact);
        let context = on_cores(cores, limited(&origins, 1_000, budget));
        let [bound, _] = bind(&streams);
        let memory = context.memory.clone();
        let mut most = 0;
        let mut choose = |open: &[usize]| {
            most = most.max(memory.used());
            if open.contains(&first) { first } else { open[0] }
        };
        let chunks = streams.clone().map(|s| s.chunks);
        let driven = drive_as_asked(&*bound, &context, &chunks, &mut choose);
        assert!(driven.spilled > 0 && (driven.subtasks > 0) == (cores > 1));
        assert!(most < budget + budget / 2, "{most} bytes were held, {first} first");
    }
}

#[test]
fn equal_keys_of_right_take_no_more_memory_than_there_is_and_never_leave_it() {
    for exact in [true, false] {
        let random = &mut Random::new(11);
        let origins = Arc::new(Origins::default());
        let streams = many(random, &origins, [1_000, 200_000], 100, exact);
        let chunks = streams.clone().map(|s| s.chunks);
        let [bound, _] = bind(&streams);
        for cores in [1, 2] {
            let budget = 1 << 20;
            let context = on_cores(cores, limited(&origins, 1_000, budget));
            let memory = context.memory.clone();
            let mut most = 0;
            let mut right_first = |open: &[usize]| {
                most = most.max(memory.used());
                open[0]
            };
            let driven = drive_as_asked(&*bound, &context, &chunks, &mut right_first);
            let rows: usize = driven.chunks.iter().map(Chunk::rows).sum();
            assert_eq!((rows, driven.spilled), (1_000, 0));
            assert!(most > 100_000 && most < budget, "{most} bytes were held");
        }
    }
}

#[test]
fn chunks_of_right_are_on_the_account_while_they_wait_and_while_they_are_away() {
    for exact in [true, false] {
        let origins = Arc::new(Origins::default());
        let streams = many(&mut Random::new(5), &origins, [1_000, 80_000], 80_000, exact);
        let context = on_cores(2, limited(&origins, 1_000, usize::MAX));
        let [bound, _] = bind(&streams);
        let mut machine = bound.start(&context);
        let (mut accepted, mut away) = (0, Vec::new());
        // Eight bytes a row are the least that a key takes.
        let check = |accepted: usize, when: &str| {
            let used = context.memory.used();
            assert!(used >= 8 * accepted, "{used} bytes are on the account for {accepted} rows {when}");
        };
        for chunk in &streams[1].chunks {
            machine.accept(1, Item::Chunk(chunk.clone())).unwrap();
            accepted += chunk.rows();
            if let Step::Spawn(subtask) = machine.step().unwrap() {
                away.push(subtask);
            }
            check(accepted, "while they wait");
        }
        machine.accept(1, Item::End).unwrap();
        assert_eq!(away.len(), 2, "chunks of 80,000 rows are work for two subtasks and a third");
        let mut subtasks = 0;
        loop {
            match machine.step().unwrap() {
                Step::Spawn(subtask) => away.push(subtask),
                Step::Join => {
                    subtasks += 1;
                    away.remove(0).run().unwrap();
                    machine.subtask_done().unwrap();
                }
                // All keys are in tables, equal ones once.
                _ => break,
            }
            if !away.is_empty() {
                check(accepted, "while they are away");
            }
        }
        assert!(subtasks > 5, "tables were made in {subtasks} subtasks");
        drop(machine);
        assert_eq!(context.memory.used(), 0);
    }
}

#[test]
fn an_endless_left_side_gets_its_rows_at_every_pause_even_when_keys_are_on_disk() {
    let random = &mut Random::new(3);
    let origins = Arc::new(Origins::default());
    let mut streams = sides_of(random, &origins, [3, 4], true);
    streams[0].input.bounded = false;
    let expected = model(&streams, &origins)[0].clone();
    let [bound, _] = bind(&streams);
    assert!(!bound.contract().bounded);
    let mut machine = bound.start(&limited(&origins, 1_000, 0));
    for chunk in &streams[1].chunks {
        machine.accept(1, Item::Chunk(chunk.clone())).unwrap();
    }
    machine.accept(1, Item::End).unwrap();
    let mut away: std::collections::BTreeMap<_, Vec<Chunk>> = std::collections::BTreeMap::new();
    let (mut found, mut pauses) = (Vec::new(), 0);
    let mut left = streams[0].chunks.iter();
    loop {
        match machine.step().unwrap() {
            Step::Output(chunk) => found.push(chunk),
            Step::Spill(part, chunks) => away.entry(part).or_default().extend(chunks),
            Step::Load(part) => machine.loaded(part, away[&part].clone()).unwrap(),
            Step::Forget(part) => assert!(away.remove(&part).is_some()),
            Step::NeedInput(ports) => {
                assert_eq!(ports, [0]);
                pauses += 1;
                let Some(chunk) = left.next() else { break };
                machine.accept(0, Item::Chunk(chunk.clone())).unwrap();
            }
            Step::More => {}
            Step::Spawn(_) | Step::Join => panic!("work was handed out on one core"),
            Step::Done => panic!("done before left ended"),
        }
    }
    assert_eq!(pauses, 4);
    assert!(!away.is_empty(), "right's keys were not on disk");
    assert!(!expected.rows.is_empty(), "nothing was compared");
    assert_eq!(read(&bound.contract().schema, &found, &origins), expected);
}
