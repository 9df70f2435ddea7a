//! distinct against a list of rows, at any memory limit.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "a test that meets the unexpected fails"
)]

mod common;

use std::collections::HashSet;
use std::sync::Arc;

use anabranch_engine::chunk::Chunk;
use anabranch_engine::identity::{PacketHash, PacketHasher, Structure};
use anabranch_engine::memory::MemoryBudget;
use anabranch_engine::operator::{Input, Operator, UnknownValues};
use anabranch_engine::provenance::Origins;
use anabranch_operators::{Distinct, Sort};
use common::order::{doubled, shuffled, some_of, sortable};
use common::*;

/// Limits that let everything, something or nothing stay in memory.
const LIMITS: [usize; 5] = [0, 600, 2_000, 20_000, usize::MAX];

/// The values of columns of all rows, as packets have them.
fn values(stream: &Stream, by: &[String]) -> Vec<PacketHash> {
    let schema = &stream.input.schema;
    let fields: Vec<_> = by.iter().map(|name| Arc::clone(schema.find(name).unwrap().2)).collect();
    let hasher = PacketHasher::new(&fields).unwrap();
    let digests = |chunk: &Chunk| {
        let columns: Vec<_> = by.iter().map(|name| chunk.column(name).unwrap().clone()).collect();
        hasher.hash(&columns, chunk.rows()).unwrap()
    };
    stream.chunks.iter().flat_map(digests).collect()
}

/// A stream in which rows come again, as they are and with other provenance, and some of its columns, or all.
fn repeated(
    random: &mut Random,
    origins: &Arc<Origins>,
    most_rows: usize,
) -> (Stream, Distinct, Vec<String>) {
    let (mut stream, _) = sortable(random, origins, most_rows);
    stream.input.ordered = true;
    let whole = Chunk::concat(&stream.input.schema, &stream.chunks).unwrap();
    let twice = doubled(random, &whole);
    let often = doubled(random, &twice);
    stream.chunks = cut(random, &often);
    let names = stream.input.schema.names();
    if random.chance(30) {
        return (stream, Distinct::new(), names);
    }
    let by = some_of(random, &names);
    let distinct = Distinct::by(by.clone());
    (stream, distinct, by)
}

#[test]
fn the_first_row_of_each_value_leaves_in_the_order_of_the_input() {
    let (mut count, mut spilled) = (0, 0);
    seeds(600, |seed| {
        let random = &mut Random::new(seed);
        let origins = Arc::new(Origins::default());
        let (stream, distinct, by) = repeated(random, &origins, 60);
        let bound = distinct.bind(std::slice::from_ref(&stream.input)).unwrap();
        assert!(bound.contract().ordered && bound.contract().bounded);
        assert_eq!(bound.contract().schema, stream.input.schema);
        let mut context = context(&origins, random.pick(&[1, 7, 1024]));
        context.memory = MemoryBudget::new(random.pick(&LIMITS));
        let driven = drive_randomly(&*bound, &context, std::slice::from_ref(&stream.chunks), random);
        let found = read(&stream.input.schema, &driven.chunks, &origins);
        let given = read(&stream.input.schema, &stream.chunks, &origins);
        let mut seen = HashSet::new();
        let rows = given.rows.into_iter().zip(values(&stream, &by)).filter(|(_, value)| seen.insert(*value));
        assert_eq!(found.rows, rows.map(|(row, _)| row).collect::<Vec<_>>(), "seed {seed}, by {by:?}");
        assert_eq!(context.memory.used(), 0, "seed {seed}: memory was not given back");
        count += found.rows.len();
        spilled += usize::from(driven.spilled > 0);
    });
    assert!(count > 5_000, "only {count} rows were compared");
    assert!(spilled > 100, "state left memory in {spilled} runs only");
}

#[test]
fn without_an_order_the_row_of_least_provenance_leaves_whatever_the_order_of_arrival() {
    seeds(100, |seed| {
        let random = &mut Random::new(seed + 1_000_000);
        let origins = Arc::new(Origins::default());
        let (mut stream, keys) = sortable(random, &origins, 30);
        stream.input.ordered = false;
        let whole = doubled(random, &Chunk::concat(&stream.input.schema, &stream.chunks).unwrap());
        let by = some_of(random, &keys);
        let bound = Distinct::by(by.clone()).bind(std::slice::from_ref(&stream.input)).unwrap();
        assert!(!bound.contract().ordered);
        // A sort has the rows of one key in the order of their provenance.
        let sort = Sort::by(by.clone()).bind(std::slice::from_ref(&stream.input)).unwrap();
        let sorted = drive_randomly(&*sort, &context(&origins, 7), &[vec![whole.clone()]], random);
        stream.chunks = sorted.chunks;
        let rows = read(&stream.input.schema, &stream.chunks, &origins).rows;
        let mut seen = HashSet::new();
        let first = rows.into_iter().zip(values(&stream, &by)).filter(|(_, value)| seen.insert(*value));
        let mut expected: Vec<Vec<String>> = first.map(|(row, _)| row).collect();
        expected.sort();
        for shuffle in 0..5 {
            let mut context = context(&origins, random.pick(&[1, 7, 1024]));
            context.memory = MemoryBudget::new(random.pick(&LIMITS));
            let chunks = shuffled(random, &whole);
            let driven = drive_randomly(&*bound, &context, &[chunks], random);
            let found = read(&stream.input.schema, &driven.chunks, &origins).sorted();
            assert_eq!(found.rows, expected, "seed {seed}, shuffle {shuffle}, by {by:?}");
        }
    });
}

#[test]
fn what_cannot_be_compared_is_refused_and_columns_enter_the_identity_without_their_order() {
    let random = &mut Random::new(1);
    let (stream, _) = sortable(random, &Arc::new(Origins::default()), 5);
    let refusal = |distinct: Distinct, input: &Input| {
        distinct.bind(std::slice::from_ref(input)).err().map(|error| error.to_string()).unwrap()
    };
    assert!(refusal(Distinct::by(["nothing like it"]), &stream.input).starts_with("found no column"));
    let name = stream.input.schema.names()[0].clone();
    assert!(refusal(Distinct::by([&name, &name]), &stream.input).contains("listed twice"));
    assert!(refusal(Distinct::by([""; 0]), &stream.input).contains("name the columns to compare"));
    let endless = Input { bounded: false, ordered: false, ..stream.input.clone() };
    assert!(refusal(Distinct::new(), &endless).contains("never ends"));
    let streaming = Input { bounded: false, ordered: true, ..stream.input.clone() };
    let bound = Distinct::new().bind(std::slice::from_ref(&streaming)).unwrap();
    assert!(!bound.contract().bounded);
    assert_eq!(bound.with_unknown_values(), UnknownValues::AtMost(0));

    let identity = |distinct: &Distinct| {
        let mut structure = Structure::new(distinct.kind());
        distinct.identify(&mut structure);
        structure.finish()
    };
    assert_eq!(identity(&Distinct::by(["a", "b"])), identity(&Distinct::by(["b", "a"])));
    assert_ne!(identity(&Distinct::by(["a"])), identity(&Distinct::new()));
}
