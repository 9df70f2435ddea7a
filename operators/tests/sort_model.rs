//! sort against a stable sort of plain rows.

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
use anabranch_operators::{Batch, Sort};
use common::order::{doubled, packet_hashes, shuffled, some_of, sortable, sorted};
use common::*;

/// Limits that let everything, something or nothing stay in memory.
const LIMITS: [usize; 5] = [0, 600, 2_000, 20_000, usize::MAX];

#[test]
fn sorted_rows_are_those_of_a_stable_sort() {
    let (mut count, mut tight, mut spilled) = (0, 0, 0);
    seeds(600, |seed| {
        let random = &mut Random::new(seed);
        let origins = Arc::new(Origins::default());
        let (stream, keys) = sortable(random, &origins, 120);
        let by = some_of(random, &keys);
        let bound = Sort::by(by.clone()).bind(std::slice::from_ref(&stream.input)).unwrap();
        assert!(bound.contract().ordered);
        assert_eq!(bound.contract().schema, stream.input.schema);
        let chunk_rows = random.pick(&[1, 7, 1024]);
        let limit = random.pick(&LIMITS);
        let mut context = context(&origins, chunk_rows);
        context.memory = MemoryBudget::new(limit);
        let driven = drive_randomly(&*bound, &context, std::slice::from_ref(&stream.chunks), random);
        assert!(
            driven.chunks.iter().all(|chunk| chunk.rows() <= chunk_rows),
            "seed {seed}: a chunk is too long"
        );
        let found = read(&stream.input.schema, &driven.chunks, &origins);
        let expected: Vec<Vec<String>> =
            sorted(&stream, &origins, &by).into_iter().map(|(row, _)| row).collect();
        assert_eq!(found.rows, expected, "seed {seed}, by {by:?}");
        assert_eq!(context.memory.used(), 0, "seed {seed}: memory was not given back");
        count += found.rows.len();
        if limit < 20_000 && found.rows.len() > 20 {
            tight += 1;
            spilled += usize::from(driven.spilled > 0);
        }
    });
    assert!(count > 10_000, "only {count} rows were compared");
    assert!(spilled * 10 > tight * 8, "state left memory in {spilled} of {tight} runs only");
}

#[test]
fn the_order_of_arrival_makes_no_difference_where_none_is_defined() {
    seeds(40, |seed| {
        let random = &mut Random::new(seed + 1_000_000);
        let origins = Arc::new(Origins::default());
        let (mut stream, keys) = sortable(random, &origins, 40);
        let mut whole = Chunk::concat(&stream.input.schema, &stream.chunks).unwrap();
        whole = doubled(random, &whole);
        if random.chance(30) {
            // Provenance in lists.
            let batch = Batch::new().by(keys.clone()).size(2);
            let bound = batch.bind(std::slice::from_ref(&stream.input)).unwrap();
            let driven = drive_randomly(&*bound, &context(&origins, 7), &[vec![whole]], random);
            stream.input.schema = Arc::clone(&bound.contract().schema);
            whole = Chunk::concat(&stream.input.schema, &driven.chunks).unwrap();
        }
        stream.input.ordered = false;
        let bound = Sort::by(some_of(random, &keys)).bind(std::slice::from_ref(&stream.input)).unwrap();
        let mut first = None;
        for shuffle in 0..50 {
            let mut context = context(&origins, random.pick(&[1, 7, 1024]));
            context.memory = MemoryBudget::new(random.pick(&LIMITS));
            let chunks = shuffled(random, &whole);
            let driven = drive_randomly(&*bound, &context, &[chunks], random);
            let rows = read(&stream.input.schema, &driven.chunks, &origins);
            let found = (rows, packet_hashes(&stream.input.schema, &driven.chunks));
            let expected = first.get_or_insert_with(|| found.clone());
            assert_eq!(found, *expected, "seed {seed}, shuffle {shuffle}");
        }
    });
}
