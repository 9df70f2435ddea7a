//! Refusals and promises of batch, and the columns that it makes.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_wrap,
    reason = "a test that meets the unexpected fails"
)]

mod common;

use std::collections::HashMap;
use std::sync::Arc;

use anabranch_engine::chunk::Chunk;
use anabranch_engine::list_alignment::{source_alignment, value_alignment};
use anabranch_engine::memory::MemoryBudget;
use anabranch_engine::operator::{Input, Item, Operator, Step};
use anabranch_engine::provenance::{OriginId, Origins, Positions, Provenance, ProvenanceColumn};
use anabranch_engine::schema::StreamSchema;
use anabranch_operators::Batch;
use arrow::array::{Array, ArrayRef, AsArray, Int64Array};
use arrow::datatypes::{DataType, Field};
use common::*;

const INT: DataType = DataType::Int64;

fn an_input() -> Input {
    let tags = [("year", INT), ("parts", list_type())];
    input(schema(&tags, &[("value", INT)], &["s"]), hash(1))
}

fn refusal(batch: &Batch, input: &Input) -> String {
    match batch.bind(std::slice::from_ref(input)) {
        Ok(_) => panic!("the batch was bound"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn parameters_that_make_no_sense_are_refused_in_full() {
    assert_eq!(
        refusal(&Batch::new(), &an_input()),
        "size: found neither size nor by, expected at least one of them; give size: n for lists of n rows, size: 0 for one list of all rows, or by: [tags] for one list for each of their values"
    );
    assert_eq!(
        refusal(&Batch::new().by([""; 0]), &an_input()),
        "by: found no name, expected at least one tag; name the tags to group by, or give size: 0 to put all rows into one"
    );
    assert_eq!(
        refusal(&Batch { drop_partial: true, ..Batch::new().by(["year"]) }, &an_input()),
        "drop_partial: found true without a size, expected a size of 1 or more, since no other list can be incomplete; give such a size, or leave drop_partial out"
    );
    assert_eq!(
        refusal(&Batch { drop_partial: true, ..Batch::new().size(0) }, &an_input()),
        "drop_partial: found true with size: 0, expected a size of 1 or more, since no other list can be incomplete; give such a size, or leave drop_partial out"
    );
    assert_eq!(
        refusal(&Batch::new().by(["yaer"]), &an_input()),
        "found no tag \"yaer\" in input 0, expected one of \"year\", \"parts\"; did you mean \"year\"?"
    );
    assert_eq!(
        refusal(&Batch::new().by(["year", "year"]), &an_input()),
        "by: found \"year\" listed twice, expected each name once; remove one"
    );
    assert_eq!(
        refusal(&Batch::new().by(["parts"]), &an_input()),
        "column \"parts\": list<int64>, expected a type that can be a key, which a list, struct or map is not; name another tag in by"
    );
}

#[test]
fn inputs_that_cannot_be_put_together_are_refused_in_full() {
    let unordered = Input { ordered: false, ..an_input() };
    assert_eq!(
        refusal(&Batch::new().size(3), &unordered),
        "size: found an input without a defined order, expected one that has an order, since that decides which rows come together; put a sort before it, group with by: [tags], or give allow_unordered: true to take the rows as they come"
    );
    let endless = Input { bounded: false, ..an_input() };
    let expected = "input: found an input that never ends, expected one that ends, since nothing can leave before the last row has come; bound the source that its rows come from, or give size without by";
    assert_eq!(refusal(&Batch::new().size(0), &endless), expected);
    assert_eq!(refusal(&Batch::new().by(["year"]).size(2), &endless), expected);
}

#[test]
fn the_contract_says_whether_there_is_an_order_and_an_end() {
    let unordered = Input { ordered: false, ..an_input() };
    let contract = |batch: &Batch, input: &Input| {
        let bound = batch.bind(std::slice::from_ref(input)).unwrap();
        (bound.contract().ordered, bound.contract().bounded)
    };
    let streaming = Batch::new().size(3);
    assert_eq!(contract(&streaming, &an_input()), (true, true));
    assert_eq!(contract(&streaming, &Input { bounded: false, ..an_input() }), (true, false));
    let any = Batch { allow_unordered: true, ..streaming };
    assert_eq!(contract(&any, &unordered), (false, true));
    assert_eq!(contract(&Batch::new().size(0), &unordered), (true, true));
    assert_eq!(contract(&Batch::new().by(["year"]).size(3), &unordered), (true, true));
}

#[test]
fn every_parameter_is_part_of_the_identity() {
    use anabranch_engine::identity::Structure;
    let batches = [
        Batch::new(),
        Batch::new().size(0),
        Batch::new().size(1),
        Batch { drop_partial: true, ..Batch::new().size(1) },
        Batch::new().by(["a"]),
        Batch::new().by(["b"]),
        Batch::new().by(["a"]).size(1),
        Batch { allow_unordered: true, ..Batch::new().size(1) },
    ];
    let mut found: Vec<_> = batches
        .iter()
        .map(|batch| {
            let mut structure = Structure::new("batch");
            batch.identify(&mut structure);
            structure.finish()
        })
        .collect();
    found.sort_unstable();
    found.dedup();
    assert_eq!(found.len(), batches.len());
}

#[test]
fn columns_become_lists_of_what_they_were() {
    let metadata = HashMap::from([("unit".to_owned(), "m".to_owned())]);
    let value = Arc::new(Field::new("value", INT, true).with_metadata(metadata.clone()));
    let year = Arc::new(Field::new("year", INT, true));
    let other = Arc::new(Field::new("other", DataType::Utf8View, false));
    let system = schema(&[], &[], &["s"]).system_tags().to_vec();
    let known = StreamSchema::new(vec![Arc::clone(&year), other], vec![value], system).unwrap();
    let bound = Batch::new().by(["year"]).bind(&[input(Arc::new(known), hash(1))]).unwrap();
    let made = &bound.contract().schema;
    assert_eq!(made.tags()[0], year);
    let list = |item: Field| DataType::List(Arc::new(item));
    assert_eq!(*made.tags()[1].data_type(), list(Field::new("item", DataType::Utf8View, false)));
    assert_eq!(*made.packets()[0].data_type(), list(Field::new("item", INT, true).with_metadata(metadata)));
    assert!(!made.packets()[0].is_nullable());
    let level = value_alignment(&made.packets()[0]).outermost();
    assert!(level.is_some());
    assert_eq!(value_alignment(&made.tags()[0]).depth(), 0);
    assert_eq!(value_alignment(&made.tags()[1]).outermost(), level);
    assert_eq!(source_alignment(&made.packets()[0]).outermost(), level);
    assert_eq!(made.system_tags()[0].alignment().outermost(), level);
    assert_eq!(made.system_tags()[0].alignment().depth(), 1);
    assert_eq!(made.source_depths(), [1]);
}

#[test]
fn a_level_is_one_of_a_node_and_a_second_batch_adds_another() {
    let level = |batch: &Batch, input: &Input| {
        let bound = batch.bind(std::slice::from_ref(input)).unwrap();
        value_alignment(&bound.contract().schema.packets()[0])
    };
    let batch = Batch::new().size(2);
    assert_eq!(level(&batch, &an_input()), level(&batch, &an_input()));
    assert_ne!(level(&batch, &an_input()), level(&Batch::new().size(3), &an_input()));
    assert_ne!(level(&batch, &an_input()), level(&batch, &Input { pipeline_hash: hash(2), ..an_input() }));
    let inner = batch.bind(&[an_input()]).unwrap().contract().schema.clone();
    let twice = level(&batch, &input(Arc::clone(&inner), hash(3)));
    assert_eq!(twice.depth(), 2);
    assert_eq!(twice.unwrapped(), level(&batch, &an_input()));
}

fn numbers(values: Vec<i64>) -> Chunk {
    let rows = values.len();
    let schema = schema(&[("k", INT)], &[("x", INT)], &["s"]);
    let values: ArrayRef = Arc::new(Int64Array::from(values));
    let column = || ProvenanceColumn::constant(OriginId::NULL, Positions::range(0, rows));
    let provenance = Provenance { tags: vec![column()], sources: vec![column()] };
    Chunk::new(schema, rows, vec![Arc::clone(&values)], vec![values], provenance).unwrap()
}

#[test]
fn whole_lists_leave_before_the_input_ends() {
    let origins = Arc::new(Origins::default());
    let chunk = numbers((0..8).collect());
    let bound = Batch::new().size(3).bind(&[input(Arc::clone(chunk.schema()), hash(1))]).unwrap();
    let mut machine = bound.start(&context(&origins, 100));
    assert!(matches!(machine.step().unwrap(), Step::NeedInput(ports) if ports == [0]));
    machine.accept(0, Item::Chunk(chunk)).unwrap();
    let Step::Output(made) = machine.step().unwrap() else { panic!("whole lists wait") };
    assert_eq!(made.rows(), 2);
    assert!(matches!(machine.step().unwrap(), Step::NeedInput(_)));
    machine.accept(0, Item::End).unwrap();
    let Step::Output(rest) = machine.step().unwrap() else { panic!("the last list is missing") };
    assert_eq!(rest.packets()[0].as_list::<i32>().value(0).len(), 2);
    assert!(matches!(machine.step().unwrap(), Step::Done));
}

#[test]
fn long_lists_leave_in_chunks_of_few_rows() {
    let origins = Arc::new(Origins::default());
    let chunk = numbers((0..5_000).map(|n| n % 20).collect());
    let bound = Batch::new().by(["k"]).bind(&[input(Arc::clone(chunk.schema()), hash(1))]).unwrap();
    let driven = drive_randomly(&*bound, &context(&origins, 100), &[vec![chunk]], &mut Random::new(1));
    let items = |chunk: &Chunk| chunk.packets()[0].as_list::<i32>().values().len();
    assert!(driven.chunks.iter().all(|chunk| items(chunk) <= 400), "a chunk has too many items");
    assert_eq!(driven.chunks.iter().map(items).sum::<usize>(), 5_000);
    assert_eq!(driven.chunks.iter().map(Chunk::rows).sum::<usize>(), 20);
}

#[test]
fn a_list_larger_than_memory_is_put_together_all_the_same() {
    let origins = Arc::new(Origins::default());
    let chunks: Vec<Chunk> = (0..50).map(|n| numbers((n * 1_000..(n + 1) * 1_000).collect())).collect();
    let bound = Batch::new().size(0).bind(&[input(Arc::clone(chunks[0].schema()), hash(1))]).unwrap();
    let mut context = context(&origins, 1_000);
    context.memory = MemoryBudget::new(100_000);
    let driven = drive_randomly(&*bound, &context, &[chunks], &mut Random::new(1));
    assert!(driven.spilled > 10, "only {} parts left memory", driven.spilled);
    assert_eq!(driven.chunks.len(), 1);
    let items = driven.chunks[0].packets()[0].as_list::<i32>().value(0);
    let items = items.as_primitive::<arrow::datatypes::Int64Type>();
    assert!(items.values().iter().copied().eq(0..50_000));
}
