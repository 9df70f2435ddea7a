//! unbatch and union against models of plain rows, and what they refuse.

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
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use anabranch_engine::chunk::Chunk;
use anabranch_engine::operator::{Input, Item, Operator};
use anabranch_engine::provenance::{Origin, Origins, Positions, Provenance, ProvenanceColumn, RecordIds};
use anabranch_engine::schema::StreamSchema;
use anabranch_operators::{Batch, Unbatch, Union};
use arrow::array::{ArrayRef, Int64Array, ListArray, TimestampSecondArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, TimeUnit};
use common::order::{any_type, sortable};
use common::*;

const INT: DataType = DataType::Int64;

/// Output of an operator over streams, as a stream.
fn through(
    operator: &dyn Operator,
    streams: &[Stream],
    origins: &Arc<Origins>,
    random: &mut Random,
) -> Stream {
    let inputs: Vec<Input> = streams.iter().map(|s| s.input.clone()).collect();
    let bound = operator.bind(&inputs).unwrap();
    let chunks: Vec<Vec<Chunk>> = streams.iter().map(|s| s.chunks.clone()).collect();
    let chunk_rows = random.pick(&[1, 7, 1024]);
    let driven = drive_randomly(&*bound, &context(origins, chunk_rows), &chunks, random);
    if operator.kind() == "unbatch" {
        assert!(driven.chunks.iter().all(|c| c.rows() <= chunk_rows), "a chunk is too long");
    }
    let contract = bound.contract();
    let input = Input {
        schema: Arc::clone(&contract.schema),
        pipeline_hash: hash(99),
        ordered: contract.ordered,
        bounded: contract.bounded,
    };
    Stream { input, chunks: driven.chunks }
}

fn rows(stream: &Stream, origins: &Origins) -> Rows {
    read(&stream.input.schema, &stream.chunks, origins)
}

fn refusal(operator: &dyn Operator, schemas: &[Arc<StreamSchema>]) -> String {
    let inputs: Vec<Input> =
        schemas.iter().enumerate().map(|(at, s)| input(Arc::clone(s), hash(at as u8))).collect();
    match operator.bind(&inputs) {
        Ok(_) => panic!("the operator was bound"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn unbatch_undoes_batch_with_provenance_and_schema() {
    let compared = AtomicUsize::new(0);
    seeds(500, |seed| {
        let random = &mut Random::new(seed + 100_000);
        let origins = Arc::new(Origins::default());
        let (mut stream, _) = sortable(random, &origins, 30);
        stream.input.ordered = true;
        let batch = Batch::new().size(random.pick(&[1, 2, 5, 100]));
        let depth = 1 + random.below(2);
        let mut streams = vec![stream.clone()];
        (0..depth).for_each(|_| streams = vec![through(&batch, &streams, &origins, random)]);
        (0..depth).for_each(|_| streams = vec![through(&Unbatch, &streams, &origins, random)]);
        assert_eq!(streams[0].input.schema, stream.input.schema, "seed {seed}");
        assert_eq!(rows(&streams[0], &origins), rows(&stream, &origins), "seed {seed}");
        compared.fetch_add(rows(&stream, &origins).rows.len(), Relaxed);
    });
    assert!(compared.into_inner() > 4_000, "too few rows were compared");
}

/// Lists of these lengths; of those without one some are null, with items that belong to no row.
fn lists(random: &mut Random, item: &DataType, lengths: &[usize]) -> (ListArray, Vec<Vec<String>>) {
    let stray: Vec<bool> = lengths.iter().map(|n| *n == 0 && random.chance(30)).collect();
    let sizes: Vec<usize> = lengths.iter().zip(&stray).map(|(n, stray)| n + usize::from(*stray)).collect();
    let items = column(random, item, sizes.iter().sum(), 20);
    let offsets = OffsetBuffer::<i32>::from_lengths(sizes);
    let cells = lengths.iter().enumerate().map(|(row, length)| {
        let from = offsets[row] as usize;
        (from..from + length).map(|at| cell(items.as_ref(), at)).collect()
    });
    let cells = cells.collect();
    let field = Arc::new(Field::new("item", item.clone(), true));
    let valid: Vec<bool> = stray.iter().map(|stray| !stray).collect();
    (ListArray::try_new(field, offsets, items, Some(valid.into())).unwrap(), cells)
}

#[test]
fn lists_that_no_batch_made_explode_beside_what_repeats() {
    let compared = AtomicUsize::new(0);
    seeds(500, |seed| {
        let random = &mut Random::new(seed + 200_000);
        let origins = Arc::new(Origins::default());
        let (tag, packet) = (any_type(random), any_type(random));
        let of = |item: &DataType| DataType::List(Arc::new(Field::new("item", item.clone(), true)));
        let plain = DataType::Utf8View;
        let with = |tags: DataType, packets: DataType| {
            schema(
                &[("plain", plain.clone()), ("tags", tags)],
                &[("packets", packets), ("other", DataType::Float64)],
                &["s"],
            )
        };
        let count = random.below(20);
        let schema = with(INT, INT);
        let made = stream(random, &origins, Arc::clone(&schema), hash(1), count);
        let lengths: Vec<usize> = (0..count).map(|_| random.pick(&[0, 0, 1, 2, 9])).collect();
        let (tag_lists, tag_cells) = lists(random, &tag, &lengths);
        let (packet_lists, packet_cells) = lists(random, &packet, &lengths);
        let (tags, packets, provenance) = Chunk::concat(&schema, &made.chunks).unwrap().into_parts();
        let tags = vec![Arc::clone(&tags[0]), Arc::new(tag_lists) as ArrayRef];
        let packets = vec![Arc::new(packet_lists) as ArrayRef, Arc::clone(&packets[1])];
        let schema = with(of(&tag), of(&packet));
        let whole = Chunk::new(Arc::clone(&schema), count, tags, packets, provenance).unwrap();
        let stream = Stream { chunks: cut(random, &whole), input: input(schema, hash(1)) };
        let mut expected = Vec::new();
        for (row, cells) in rows(&stream, &origins).rows.iter().enumerate() {
            for item in 0..lengths[row] {
                let mut cells = cells.clone();
                cells[1].clone_from(&tag_cells[row][item]);
                cells[2].clone_from(&packet_cells[row][item]);
                expected.push(cells);
            }
        }
        let found = rows(&through(&Unbatch, &[stream], &origins, random), &origins);
        assert_eq!(found.rows, expected, "seed {seed}");
        compared.fetch_add(expected.len(), Relaxed);
    });
    assert!(compared.into_inner() > 5_000, "too few rows were compared");
}

#[test]
fn one_row_of_many_items_leaves_in_small_chunks() {
    let origins = Arc::new(Origins::default());
    let random = &mut Random::new(1);
    let mut one = stream(random, &origins, schema(&[("k", INT)], &[("x", INT)], &["s"]), hash(1), 100_000);
    one.chunks = vec![Chunk::concat(&one.input.schema, &one.chunks).unwrap()];
    let batched = through(&Batch::new().size(0), &[one.clone()], &origins, random);
    assert_eq!(batched.chunks.iter().map(Chunk::rows).sum::<usize>(), 1);
    let bound = Unbatch.bind(&[batched.input]).unwrap();
    let driven = drive_randomly(&*bound, &context(&origins, 1_000), &[batched.chunks], random);
    assert!(driven.chunks.iter().all(|chunk| chunk.rows() == 1_000));
    assert_eq!(read(&bound.contract().schema, &driven.chunks, &origins), rows(&one, &origins));
}

#[test]
fn a_row_whose_lists_differ_is_named_with_its_place_and_its_source() {
    let schema = schema(&[("a", list_type())], &[("b", list_type())], &["s"]);
    let origins = Arc::new(Origins::default());
    let id = origins.add(Origin::Source { source: "flights".into(), records: RecordIds::Ordinal });
    let made = |lengths: [usize; 2]| -> ArrayRef {
        let items = Arc::new(Int64Array::from(vec![0; lengths.iter().sum()]));
        let field = Arc::new(Field::new("item", INT, true));
        Arc::new(ListArray::try_new(field, OffsetBuffer::from_lengths(lengths), items, None).unwrap())
    };
    let bound = Unbatch.bind(&[input(Arc::clone(&schema), hash(1))]).unwrap();
    let mut machine = bound.start(&context(&origins, 10));
    for (first, lengths) in [(3, [2, 1]), (5, [2, 0])] {
        let positions = Positions::range(first, 2);
        let provenance = Provenance {
            tags: vec![ProvenanceColumn::constant(id, positions.clone())],
            sources: vec![ProvenanceColumn::constant(id, positions)],
        };
        let columns = (vec![made([2, 1])], vec![made(lengths)]);
        let chunk = Chunk::new(Arc::clone(&schema), 2, columns.0, columns.1, provenance).unwrap();
        machine.accept(0, Item::Chunk(chunk)).unwrap();
    }
    assert!(machine.step().is_ok());
    assert_eq!(
        machine.step().unwrap_err().to_string(),
        "unbatch: row 3 (from flights row_6) with lists of 1 and 0 items in \"a\" and \"b\", expected lists of one length within a row; drop one of the columns before the unbatch, or mend its lists with a function"
    );
}

#[test]
fn an_unbatch_without_lists_is_refused() {
    assert_eq!(
        refusal(&Unbatch, &[schema(&[("k", INT)], &[("x", INT)], &["s"])]),
        "input: found no list among the columns \"k\", \"x\", expected at least one tag or packet column of a list type; put a batch before it, or leave the unbatch out"
    );
}

/// Physical forms of one logical type whose random values all of them can hold.
fn forms(random: &mut Random) -> Vec<DataType> {
    use DataType as D;
    use TimeUnit as U;
    match random.below(6) {
        0 => [U::Second, U::Millisecond].map(|unit| D::Timestamp(unit, None)).to_vec(),
        1 => [U::Millisecond, U::Nanosecond].map(|unit| D::Timestamp(unit, Some("UTC".into()))).to_vec(),
        2 => [U::Millisecond, U::Microsecond].map(D::Duration).to_vec(),
        3 => vec![D::Decimal128(10, 2), D::Decimal128(38, 2), D::Decimal256(50, 2)],
        _ => vec![any_type(random)],
    }
}

fn unitable(random: &mut Random, origins: &Origins, count: usize) -> Vec<Stream> {
    let columns: Vec<Vec<DataType>> = (0..4).map(|_| forms(random)).collect();
    let with_packets = random.chance(80);
    (0..count)
        .map(|_| {
            let mut made: Vec<(&str, DataType)> =
                ["a", "b", "x", "y"].into_iter().zip(&columns).map(|(n, f)| (n, random.pick(f))).collect();
            let mut packets = made.split_off(2);
            if random.chance(50) {
                made.reverse();
                packets.reverse();
            }
            let packets = if with_packets { packets } else { vec![] };
            let stems: &[&str] = random.pick(&[&["one"] as &[&str], &["two"], &["two", "one"], &[]]);
            let first = random.pick(&[1, 1, 2, 3]);
            let rows = random.below(15);
            stream(random, origins, schema(&made, &packets, stems), hash(first), rows)
        })
        .collect()
}

/// Rows with their cells by name, where a column that is missing is null.
fn by_name(stream: &Stream, columns: &[String], origins: &Origins) -> Vec<Vec<String>> {
    let read = rows(stream, origins);
    let cells = |row: &Vec<String>| -> Vec<String> {
        let named: BTreeMap<&String, &String> = read.columns.iter().zip(row).collect();
        columns.iter().map(|name| named.get(name).map_or(NULL.to_owned(), ToString::to_string)).collect()
    };
    read.rows.iter().map(cells).collect()
}

#[test]
fn a_union_gives_all_rows_of_its_inputs_in_any_order_of_them() {
    let compared = AtomicUsize::new(0);
    seeds(500, |seed| {
        let random = &mut Random::new(seed + 300_000);
        let origins = Arc::new(Origins::default());
        let count = 2 + random.below(3);
        let mut streams = unitable(random, &origins, count);
        let united = through(&Union, &streams, &origins, random);
        let found = rows(&united, &origins).sorted();
        let all = streams.iter().flat_map(|s| by_name(s, &found.columns, &origins)).collect();
        assert_eq!(found, Rows { columns: found.columns.clone(), rows: all }.sorted(), "seed {seed}");
        streams.rotate_left(1 + random.below(count - 1));
        let other = through(&Union, &streams, &origins, random);
        assert_eq!(other.input.schema, united.input.schema, "seed {seed}");
        assert_eq!(rows(&other, &origins).sorted(), found, "seed {seed}");
        compared.fetch_add(found.rows.len(), Relaxed);
    });
    assert!(compared.into_inner() > 5_000, "too few rows were compared");
}

#[test]
fn a_union_of_batches_unbatches_into_the_union_of_their_rows() {
    seeds(500, |seed| {
        let random = &mut Random::new(seed + 400_000);
        let origins = Arc::new(Origins::default());
        let mut streams = unitable(random, &origins, 2);
        for (number, made) in streams.iter_mut().enumerate() {
            made.input.pipeline_hash = hash(number as u8);
        }
        let mut batched: Vec<Stream> = Vec::new();
        for (at, made) in streams.iter().enumerate() {
            let mut lists = through(&Batch::new().size(2 + at), std::slice::from_ref(made), &origins, random);
            lists.input.pipeline_hash = hash(at as u8);
            batched.push(lists);
        }
        let lists = through(&Union, &batched, &origins, random);
        let found = rows(&through(&Unbatch, &[lists], &origins, random), &origins);
        let expected = rows(&through(&Union, &streams, &origins, random), &origins);
        assert_eq!(found.sorted(), expected.sorted(), "seed {seed}");
    });
}

#[test]
fn inputs_of_a_union_that_differ_are_refused() {
    let of = |tags: NamesAndTypes<'_>, packets: NamesAndTypes<'_>| schema(tags, packets, &["s"]);
    let union = |one: Arc<StreamSchema>, other: Arc<StreamSchema>| refusal(&Union, &[one, other]);
    assert_eq!(
        refusal(&Union, &[]),
        "inputs: found none, expected at least one; name the nodes to put together"
    );
    let missing = "expected the same columns in all inputs; remove it there with drop, or rename a column of the other input to it with map";
    assert_eq!(
        union(of(&[("k", INT)], &[("x", INT)]), of(&[("k", INT)], &[])),
        format!("column \"x\": packet of type int64 in input 0 and no such column in input 1, {missing}")
    );
    assert_eq!(
        union(of(&[("k", INT)], &[]), of(&[("k", INT), ("l", INT)], &[])),
        format!("column \"l\": tag of type int64 in input 1 and no such column in input 0, {missing}")
    );
    assert_eq!(
        union(of(&[("k", INT)], &[]), of(&[], &[("k", INT)])),
        "column \"k\": tag in input 0 and packet in input 1, expected one role in all inputs; make it a tag in all sources or in none, or rename it there with map"
    );
    assert_eq!(
        union(of(&[("k", INT)], &[]), of(&[("k", DataType::Int32)], &[])),
        "column \"k\": int64 in input 0 and int32 in input 1, expected one logical type in all inputs; convert it in one of them (with types: at the source, or with a function)"
    );
}

#[test]
fn provenance_in_lists_of_different_depth_is_refused() {
    let batched = |schema: Arc<StreamSchema>| {
        let bound = Batch::new().size(2).bind(&[input(schema, hash(1))]).unwrap();
        Arc::clone(&bound.contract().schema)
    };
    let remedy = "expected one depth in all inputs; batch or unbatch one of them first";
    assert_eq!(
        refusal(&Union, &[schema(&[], &[("x", list_type())], &[]), batched(schema(&[], &[("x", INT)], &[]))]),
        format!("column \"x\": source info in lists of depth 0 in input 0 and 1 in input 1, {remedy}")
    );
    assert_eq!(
        refusal(
            &Union,
            &[batched(schema(&[("k", INT)], &[], &["s"])), schema(&[("k", list_type())], &[], &["s"])]
        ),
        format!(
            "column \"_tag_source_id::s\": system tags in lists of depth 1 in input 0 and 0 in input 1, {remedy}"
        )
    );
}

#[test]
fn an_instant_that_the_finer_unit_cannot_hold_fails_the_union() {
    let [seconds, nanoseconds] = [TimeUnit::Second, TimeUnit::Nanosecond]
        .map(|unit| schema(&[("t", DataType::Timestamp(unit, None))], &[], &[]));
    let bound = Union.bind(&[input(Arc::clone(&seconds), hash(1)), input(nanoseconds, hash(2))]).unwrap();
    let mut machine = bound.start(&context(&Arc::default(), 10));
    let far: ArrayRef = Arc::new(TimestampSecondArray::from(vec![i64::MAX / 1000]));
    let chunk = Chunk::new(seconds, 1, vec![far], vec![], Provenance::default()).unwrap();
    machine.accept(0, Item::Chunk(chunk)).unwrap();
    assert_eq!(
        machine.step().unwrap_err().to_string(),
        "union: a value of column \"t\" of input 0 that Timestamp(ns) cannot hold, expected values that fit the finest unit of all inputs; give the column one unit in all inputs (with types: at the source)"
    );
}

#[test]
fn a_union_is_bounded_if_all_inputs_are_and_has_no_order() {
    let one = input(schema(&[("k", INT)], &[], &["s"]), hash(1));
    let endless = Input { bounded: false, ..one.clone() };
    let contract = |inputs: &[Input]| {
        let bound = Union.bind(inputs).unwrap();
        (bound.contract().ordered, bound.contract().bounded)
    };
    assert_eq!(contract(std::slice::from_ref(&one)), (true, true));
    assert_eq!(contract(&[one.clone(), one.clone()]), (false, true));
    assert_eq!(contract(&[one, endless.clone()]), (false, false));
    assert_eq!(contract(&[endless]), (true, false));
}
