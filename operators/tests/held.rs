//! Rows that wait in an operator do not hold what was filtered away beside them.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that meets the unexpected fails")]

mod common;

use std::sync::Arc;

use anabranch_engine::chunk::Chunk;
use anabranch_engine::memory::MemoryBudget;
use anabranch_engine::operator::{Item, Operator, Step};
use anabranch_engine::provenance::{Provenance, ProvenanceColumn};
use anabranch_operators::{Batch, Join, Semijoin, Sort};
use arrow::array::{ArrayRef, Int64Array, ListArray, StringViewArray};
use arrow::buffer::{Buffer, OffsetBuffer};
use arrow::datatypes::{DataType, Field};
use common::*;

const ROWS: usize = 4_000;

/// Three rows of many, and the buffer with the texts of all.
fn few_of_many(in_lists: bool) -> (Chunk, Buffer) {
    let text = |n: usize| format!("a text that does not lie in its view, number {n}");
    let all = StringViewArray::from_iter_values((0..ROWS).map(text));
    let buffer = all.data_buffers()[0].clone();
    let column: ArrayRef = if in_lists {
        let field = Field::new("item", DataType::Utf8View, true);
        let offsets = OffsetBuffer::from_lengths(std::iter::repeat_n(1, ROWS));
        Arc::new(ListArray::new(Arc::new(field), offsets, Arc::new(all), None))
    } else {
        Arc::new(all)
    };
    let schema = schema(&[("k", DataType::Int64)], &[("text", column.data_type().clone())], &["s"]);
    let place = || ProvenanceColumn::null(ROWS);
    let provenance = Provenance { tags: vec![place()], sources: vec![place()] };
    let keys = Arc::new(Int64Array::from_iter_values((0..ROWS).map(|n| i64::try_from(n).unwrap())));
    let whole = Chunk::new(schema, ROWS, vec![keys], vec![column], provenance).unwrap();
    (whole.take(&[7, 8, 2_000]).unwrap(), buffer)
}

/// Another input with the same key.
fn other() -> Chunk {
    let schema = schema(&[("k", DataType::Int64)], &[], &["t"]);
    let provenance = Provenance { tags: vec![ProvenanceColumn::null(1)], sources: vec![] };
    Chunk::new(schema, 1, vec![Arc::new(Int64Array::from(vec![8]))], vec![], provenance).unwrap()
}

fn check(operator: &dyn Operator, memory: usize) {
    for in_lists in [false, true] {
        let (few, buffer) = few_of_many(in_lists);
        assert!(buffer.strong_count() > 1, "the rows hold the texts of all others");
        let mut inputs = vec![input(Arc::clone(few.schema()), hash(1))];
        if operator.kind().ends_with("join") {
            inputs.push(input(Arc::clone(other().schema()), hash(2)));
        }
        let mut context = context(&Arc::default(), 1_000);
        context.memory = MemoryBudget::new(memory);
        let mut machine = operator.bind(&inputs).unwrap().start(&context);
        // The second time memory is full already where it is small.
        for _ in 0..2 {
            machine.accept(0, Item::Chunk(few.clone())).unwrap();
            while !matches!(machine.step().unwrap(), Step::NeedInput(_)) {}
        }
        drop(few);
        assert_eq!(buffer.strong_count(), 1, "{} (in lists: {in_lists}): texts are held", operator.kind());
    }
}

#[test]
fn a_sort_holds_the_texts_of_its_own_rows() {
    check(&Sort::by(["k"]), usize::MAX);
}

#[test]
fn a_batch_holds_the_texts_of_its_own_rows() {
    check(&Batch::new().size(100), usize::MAX);
    check(&Batch::new().size(0), usize::MAX);
    check(&Batch::new().by(["k"]), usize::MAX);
}

#[test]
fn a_semijoin_holds_the_texts_of_its_own_rows() {
    check(&Semijoin, usize::MAX);
}

#[test]
fn a_join_holds_the_texts_of_its_own_rows_also_on_their_way_to_the_disk() {
    check(&Join::new(), usize::MAX);
    check(&Join::new(), 1);
}
