//! Refusals, promises and memory of sort.

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

use anabranch_engine::chunk::Chunk;
use anabranch_engine::memory::MemoryBudget;
use anabranch_engine::operator::{Input, Item, Operator, OperatorError, PartId, Step};
use anabranch_engine::provenance::{OriginId, Origins, Positions, Provenance, ProvenanceColumn};
use anabranch_engine::schema::StreamSchema;
use anabranch_operators::Sort;
use arrow::array::{ArrayRef, AsArray, Float64Array, Int64Array, StringViewArray};
use arrow::datatypes::{DataType, Int64Type};
use common::*;

const INT: DataType = DataType::Int64;

fn refusal(sort: &Sort, input: &Input) -> String {
    match sort.bind(std::slice::from_ref(input)) {
        Ok(_) => panic!("the sort was bound"),
        Err(error) => error.to_string(),
    }
}

fn an_input() -> Input {
    let tags = [("year", INT), ("month", INT), ("parts", list_type())];
    input(schema(&tags, &[("value", INT)], &["s"]), hash(1))
}

#[test]
fn what_cannot_be_sorted_by_is_refused_in_full() {
    assert_eq!(
        refusal(&Sort::by(["yaer"]), &an_input()),
        "found no tag \"yaer\" in input 0, expected one of \"year\", \"month\", \"parts\"; did you mean \"year\"?"
    );
    assert_eq!(
        refusal(&Sort::by(["value"]), &an_input()),
        "found no tag \"value\" in input 0, expected one of \"year\", \"month\", \"parts\""
    );
    assert_eq!(
        refusal(&Sort::by([""; 0]), &an_input()),
        "by: found no name, expected at least one tag; name the tags to sort by, or leave the node out"
    );
    assert_eq!(
        refusal(&Sort::by(["year", "month", "year"]), &an_input()),
        "by: found \"year\" listed twice, expected each name once; remove one"
    );
    assert_eq!(
        refusal(&Sort::by(["parts"]), &an_input()),
        "column \"parts\": list<int64>, expected a type that can be a key, which a list, struct or map is not; name another tag in by"
    );
    assert_eq!(
        refusal(&Sort::by(["year"]), &Input { bounded: false, ..an_input() }),
        "input: found an input that never ends, expected one that ends, since nothing can leave before the last row has come; bound the source that its rows come from"
    );
    assert_eq!(
        Sort::by(["year"]).bind(&[an_input(), an_input()]).err().unwrap().to_string(),
        "input: found 2 inputs, expected exactly one; name one node; put several together with join or union first"
    );
}

#[test]
fn the_contract_is_the_input_in_a_defined_order() {
    let unordered = Input { ordered: false, ..an_input() };
    let bound = Sort::by(["month", "year"]).bind(std::slice::from_ref(&unordered)).unwrap();
    assert!(bound.contract().ordered && bound.contract().bounded);
    assert_eq!(bound.contract().schema, unordered.schema);
}

#[test]
fn names_and_their_order_are_part_of_the_identity() {
    use anabranch_engine::identity::Structure;
    let identity = |names: &[&str]| {
        let mut structure = Structure::new("sort");
        Sort::by(names.iter().copied()).identify(&mut structure);
        structure.finish()
    };
    assert_eq!(identity(&["a", "b"]), identity(&["a", "b"]));
    assert_ne!(identity(&["a", "b"]), identity(&["b", "a"]));
    assert_ne!(identity(&["ab"]), identity(&["a", "b"]));
}

fn one_tag(name: &str, values: ArrayRef) -> Chunk {
    let rows = values.len();
    let schema = schema(&[(name, values.data_type().clone())], &[], &["s"]);
    let column = ProvenanceColumn::constant(OriginId::NULL, Positions::range(0, rows));
    Chunk::new(schema, rows, vec![values], vec![], Provenance { tags: vec![column], sources: vec![] })
        .unwrap()
}

/// The bits of floats sorted, null as none.
#[test]
fn nan_stands_after_numbers_and_null_after_nan_and_values_leave_as_they_came() {
    let odd = f64::from_bits(0xfff8_0000_0000_0001);
    let values = [None, Some(odd), Some(f64::INFINITY), Some(0.0), Some(-0.0), Some(f64::NAN), Some(-1.0)];
    let chunk = one_tag("x", Arc::new(Float64Array::from(values.to_vec())));
    let origins = Arc::new(Origins::default());
    let known = input(Arc::clone(chunk.schema()), hash(1));
    let bound = Sort::by(["x"]).bind(&[known]).unwrap();
    let driven = drive_randomly(&*bound, &context(&origins, 100), &[vec![chunk]], &mut Random::new(1));
    let found: Vec<Option<u64>> = driven.chunks[0].tags()[0]
        .as_primitive::<arrow::datatypes::Float64Type>()
        .iter()
        .map(|value| value.map(f64::to_bits))
        .collect();
    let expected = [Some(-1.0), Some(0.0), Some(-0.0), Some(f64::INFINITY), Some(odd), Some(f64::NAN), None];
    assert_eq!(found, expected.map(|value| value.map(f64::to_bits)));
}

#[test]
fn no_rows_give_no_rows() {
    let origins = Arc::new(Origins::default());
    let bound = Sort::by(["year"]).bind(&[an_input()]).unwrap();
    for chunks in [vec![], vec![Chunk::empty(an_input().schema)]] {
        let driven = drive_randomly(&*bound, &context(&origins, 100), &[chunks], &mut Random::new(1));
        assert!(driven.chunks.is_empty());
    }
}

/// A chunk over a number in a random order and a text of which the start is common to all.
fn numbered(schema: &Arc<StreamSchema>, numbers: &[i64]) -> Chunk {
    let rows = numbers.len();
    let texts = numbers.iter().map(|n| format!("a start that all of them have in common {n:09}"));
    let tags: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(numbers.to_vec())),
        Arc::new(StringViewArray::from_iter_values(texts)),
    ];
    let places = numbers.iter().map(|n| *n as u64).collect();
    let column = ProvenanceColumn::constant(OriginId::NULL, Positions::places(places));
    let provenance = Provenance { tags: vec![column], sources: vec![] };
    Chunk::new(Arc::clone(schema), rows, tags, vec![], provenance).unwrap()
}

/// Sorts so many rows, and gives the most bytes in use, the parts that left and the largest of them.
fn sort_shuffled(rows: usize, by: &str, limit: usize) -> (usize, usize, usize) {
    let random = &mut Random::new(5);
    let mut numbers: Vec<i64> = (0..rows as i64).collect();
    for at in (1..rows).rev() {
        numbers.swap(at, random.below(at + 1));
    }
    let schema = schema(&[("n", INT), ("text", DataType::Utf8View)], &[], &["s"]);
    let origins = Arc::new(Origins::default());
    let mut context = context(&origins, 1_000);
    context.memory = MemoryBudget::new(limit);
    let bound = Sort::by([by]).bind(&[input(Arc::clone(&schema), hash(1))]).unwrap();
    let mut machine = bound.start(&context);
    let mut feed = numbers.chunks(1_000);
    let mut parts: BTreeMap<PartId, Vec<Chunk>> = BTreeMap::new();
    let (mut most, mut spilled, mut largest, mut next) = (0, 0, 0, 0);
    loop {
        let step = machine.step().unwrap();
        most = most.max(context.memory.used());
        match step {
            Step::NeedInput(_) => {
                let item = feed.next().map_or(Item::End, |part| Item::Chunk(numbered(&schema, part)));
                machine.accept(0, item).unwrap();
            }
            Step::Spill(part, chunks) => {
                spilled += 1;
                largest = largest.max(chunks.iter().map(Chunk::bytes).sum());
                parts.entry(part).or_default().extend(chunks);
            }
            Step::Load(part) => machine.loaded(part, parts[&part].clone()).unwrap(),
            Step::Forget(part) => assert!(parts.remove(&part).is_some()),
            Step::Output(chunk) => {
                assert!(chunk.rows() <= 1_000);
                let column = chunk.tags()[0].as_primitive::<Int64Type>();
                let place = chunk.provenance().tags[0].flat().unwrap().positions.clone();
                for row in 0..chunk.rows() {
                    assert_eq!(column.value(row), next);
                    assert_eq!(place.get(row), next as u128);
                    next += 1;
                }
            }
            Step::More => {}
            Step::Spawn(_) | Step::Join => panic!("a sort does all its work itself"),
            Step::Done => break,
        }
    }
    assert_eq!(next, rows as i64);
    assert!(parts.is_empty());
    (most, spilled, largest)
}

#[test]
fn memory_stays_within_its_limit_however_many_rows_there_are() {
    // A row takes about 150 bytes beside its key, so there is 15 to 30 times as much as fits.
    for (by, limit) in [("n", 400_000), ("text", 600_000)] {
        let (most, spilled, largest) = sort_shuffled(60_000, by, limit);
        assert!(most < limit + limit / 2, "{most} bytes were in use, {limit} allowed");
        assert!(spilled > 200, "only {spilled} parts left memory");
        assert!(largest < limit / 4, "a part has {largest} bytes");
    }
}

#[test]
fn stretches_are_merged_in_several_passes_where_memory_is_tiny() {
    let (_, spilled, _) = sort_shuffled(3_000, "text", 10_000);
    let (_, once, _) = sort_shuffled(3_000, "text", 200_000);
    assert!(spilled > 20 * once.max(1), "{spilled} parts left memory, {once} where it suffices");
    assert_eq!(sort_shuffled(3_000, "n", usize::MAX).1, 0);
}

#[test]
fn a_driver_that_breaks_the_protocol_is_told() {
    let origins = Arc::new(Origins::default());
    let bound = Sort::by(["year"]).bind(&[an_input()]).unwrap();
    let mut machine = bound.start(&context(&origins, 100));
    assert!(matches!(machine.accept(1, Item::End), Err(OperatorError::Protocol(_))));
    assert!(matches!(machine.loaded(PartId(0), vec![]), Err(OperatorError::Protocol(_))));
    machine.accept(0, Item::End).unwrap();
    assert!(matches!(machine.accept(0, Item::End), Err(OperatorError::Protocol(_))));
    assert!(matches!(machine.step().unwrap(), Step::Done));
    assert!(matches!(machine.step().unwrap(), Step::Done));
}
