//! batch against lists of plain rows.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a test that meets the unexpected fails"
)]

mod common;

use std::sync::Arc;

use anabranch_engine::chunk::Chunk;
use anabranch_engine::memory::MemoryBudget;
use anabranch_engine::operator::Operator;
use anabranch_engine::provenance::Origins;
use anabranch_operators::Batch;
use common::order::{doubled, packet_hashes, shuffled, some_of, sortable, sorted};
use common::*;

const LIMITS: [usize; 5] = [0, 600, 2_000, 20_000, usize::MAX];

/// A random batch, by some of the keys or by none.
fn some_batch(random: &mut Random, keys: &[String]) -> Batch {
    let mut batch = Batch { allow_unordered: true, ..Batch::new() };
    let has_by = !keys.is_empty() && random.chance(60);
    if has_by {
        batch = batch.by(some_of(random, keys));
    }
    if !has_by || random.chance(40) {
        batch = batch.size(random.pick(&[0, 1, 2, 3, 7, 50, 1_000]));
    }
    let has_size = batch.size.is_some_and(|size| size > 0);
    Batch { drop_partial: has_size && random.chance(40), ..batch }
}

/// The rows that a batch gives, by the book.
fn model(batch: &Batch, stream: &Stream, origins: &Origins) -> Vec<Vec<String>> {
    let size = batch.size.filter(|size| *size > 0);
    let by = batch.by.clone().unwrap_or_default();
    let mut stream = stream.clone();
    if batch.by.is_none() && size.is_some() {
        stream.input.ordered = true;
    }
    let mut groups: Vec<Vec<Vec<String>>> = Vec::new();
    for (row, same) in sorted(&stream, origins, &by) {
        match groups.last_mut() {
            Some(group) if same => group.push(row),
            _ => groups.push(vec![row]),
        }
    }
    let lists = groups.iter().flat_map(|group| group.chunks(size.unwrap_or(usize::MAX)));
    let kept = lists.filter(|list| !batch.drop_partial || size == Some(list.len()));
    let columns = read(&stream.input.schema, &[], origins).columns;
    kept.map(|list| {
        let cell = |at: usize| {
            let cells: Vec<String> = list.iter().map(|row| row[at].clone()).collect();
            if by.contains(&columns[at]) { key_cell(&cells[0]) } else { list_cell(&cells) }
        };
        (0..columns.len()).map(cell).collect()
    })
    .collect()
}

/// Output of the operator as a stream, and the number of parts that left memory.
fn batched(
    batch: &Batch,
    stream: &Stream,
    origins: &Arc<Origins>,
    limit: usize,
    random: &mut Random,
) -> (Stream, usize) {
    let bound = batch.bind(std::slice::from_ref(&stream.input)).unwrap();
    let chunk_rows = random.pick(&[1, 7, 1024]);
    let mut context = context(origins, chunk_rows);
    context.memory = MemoryBudget::new(limit);
    let driven = drive_randomly(&*bound, &context, std::slice::from_ref(&stream.chunks), random);
    assert!(driven.chunks.iter().all(|chunk| chunk.rows() <= chunk_rows), "a chunk is too long");
    assert_eq!(context.memory.used(), 0, "memory was not given back");
    let contract = bound.contract();
    let mut input = input(Arc::clone(&contract.schema), hash(random.below(256) as u8));
    input.ordered = contract.ordered;
    (Stream { input, chunks: driven.chunks }, driven.spilled)
}

fn texts(stream: &Stream, origins: &Origins) -> Vec<Vec<String>> {
    read(&stream.input.schema, &stream.chunks, origins).rows
}

#[test]
fn lists_are_those_of_plain_rows_put_together() {
    let (mut count, mut tight, mut spilled) = (0, 0, 0);
    seeds(800, |seed| {
        let random = &mut Random::new(seed);
        let origins = Arc::new(Origins::default());
        let (stream, keys) = sortable(random, &origins, 120);
        let batch = some_batch(random, &keys);
        let limit = random.pick(&LIMITS);
        let (found, parts) = batched(&batch, &stream, &origins, limit, random);
        let rows = texts(&found, &origins);
        assert_eq!(rows, model(&batch, &stream, &origins), "seed {seed}, {batch:?}");
        count += rows.len();
        let is_barrier = batch.by.is_some() || batch.size == Some(0);
        if limit < 20_000 && is_barrier && texts(&stream, &origins).len() > 20 {
            tight += 1;
            spilled += usize::from(parts > 0);
        }
    });
    assert!(count > 10_000, "only {count} rows were compared");
    assert!(spilled * 10 > tight * 8, "state left memory in {spilled} of {tight} runs only");
}

#[test]
fn lists_of_lists_are_made_by_two_batches() {
    let mut count = 0;
    seeds(500, |seed| {
        let random = &mut Random::new(seed + 1_000_000);
        let origins = Arc::new(Origins::default());
        let (mut stream, keys) = sortable(random, &origins, 60);
        stream.input.ordered = true;
        let first = some_batch(random, &keys);
        let (inner, _) = batched(&first, &stream, &origins, random.pick(&LIMITS), random);
        let second = some_batch(random, first.by.as_deref().unwrap_or_default());
        let (outer, _) = batched(&second, &inner, &origins, random.pick(&LIMITS), random);
        let rows = texts(&outer, &origins);
        assert_eq!(rows, model(&second, &inner, &origins), "seed {seed}, {first:?}, {second:?}");
        count += rows.len();
    });
    assert!(count > 1_000, "only {count} rows were compared");
}

#[test]
fn the_order_of_arrival_makes_no_difference_where_none_is_defined() {
    seeds(40, |seed| {
        let random = &mut Random::new(seed + 2_000_000);
        let origins = Arc::new(Origins::default());
        let (mut stream, keys) = sortable(random, &origins, 40);
        stream.input.ordered = false;
        let whole = Chunk::concat(&stream.input.schema, &stream.chunks).unwrap();
        let whole = doubled(random, &whole);
        let batch =
            if random.chance(30) { Batch::new().size(0) } else { Batch::new().by(some_of(random, &keys)) };
        let mut first = None;
        for shuffle in 0..50 {
            stream.chunks = shuffled(random, &whole);
            let (made, _) = batched(&batch, &stream, &origins, random.pick(&LIMITS), random);
            let found = (texts(&made, &origins), packet_hashes(&made.input.schema, &made.chunks));
            let expected = first.get_or_insert_with(|| found.clone());
            assert_eq!(found, *expected, "seed {seed}, shuffle {shuffle}");
        }
    });
}
