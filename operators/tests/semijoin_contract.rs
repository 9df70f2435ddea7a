//! Refusals and promises of semijoin and antijoin.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a test that meets the unexpected fails"
)]

mod common;

use std::sync::Arc;

use anabranch_engine::chunk::Chunk;
use anabranch_engine::operator::{Input, Item, Operator, Step};
use anabranch_engine::provenance::Origins;
use anabranch_engine::schema::StreamSchema;
use anabranch_operators::{Antijoin, Semijoin};
use arrow::datatypes::DataType;
use common::*;

const INT: DataType = DataType::Int64;

fn inputs(schemas: &[Arc<StreamSchema>]) -> Vec<Input> {
    schemas.iter().enumerate().map(|(at, s)| input(Arc::clone(s), hash(at as u8))).collect()
}

fn refusal(inputs: &[Input]) -> String {
    let operators: [&dyn Operator; 2] = [&Semijoin, &Antijoin];
    let messages = operators.map(|operator| match operator.bind(inputs) {
        Ok(_) => panic!("{} was bound", operator.kind()),
        Err(error) => error.to_string(),
    });
    assert_eq!(messages[0], messages[1]);
    messages[0].clone()
}

#[test]
fn any_number_of_inputs_but_two_is_refused() {
    let one = schema(&[("k", INT)], &[], &["s"]);
    for count in [0, 1, 3] {
        assert_eq!(
            refusal(&inputs(&vec![Arc::clone(&one); count])),
            format!(
                "inputs: found {count} inputs, expected exactly two, left and right; name one node for each; put several together with join or union first"
            )
        );
    }
}

#[test]
fn a_right_side_without_end_is_refused() {
    let one = schema(&[("k", INT)], &[], &["s"]);
    let mut both = inputs(&[Arc::clone(&one), one]);
    both[1].bounded = false;
    assert_eq!(
        refusal(&both),
        "right: found an input without end, expected one that ends, since all of it is needed before the first row of left can leave; exchange left and right, or let right read a part that ends"
    );
}

#[test]
fn columns_of_a_common_name_that_cannot_be_compared_are_refused() {
    let pair = |left: DataType, right: DataType| {
        refusal(&inputs(&[schema(&[("k", left)], &[], &["s"]), schema(&[], &[("k", right)], &["s"])]))
    };
    assert_eq!(
        pair(INT, DataType::Utf8View),
        "column \"k\": int64 in input 0 and string in input 1, expected one logical type; convert it in one of them (with types: at the source), or rename it there with map"
    );
    assert_eq!(
        pair(INT, DataType::UInt64),
        "column \"k\": int64 in input 0 and uint64 in input 1, expected integers that one type of 64 bits holds; convert it to int64 in one of them (with types: at the source), or rename it there with map"
    );
    let list = "expected a type that can be a key, which a list, struct or map is not; remove it from right with drop, or rename it there with map, so that it is no common column";
    assert_eq!(pair(list_type(), list_type()), format!("column \"k\": list<int64> in input 0, {list}"));
    assert_eq!(pair(INT, list_type()), format!("column \"k\": list<int64> in input 1, {list}"));
}

#[test]
fn the_contract_is_that_of_left_with_its_own_types() {
    let left = schema(&[("k", DataType::Int8)], &[("x", list_type())], &["s"]);
    let right = schema(&[], &[("k", INT)], &["t"]);
    let mut both = inputs(&[Arc::clone(&left), right]);
    for (ordered, bounded) in [(true, false), (false, true)] {
        (both[0].ordered, both[0].bounded) = (ordered, bounded);
        (both[1].ordered, both[1].bounded) = (!ordered, true);
        for bound in [Semijoin.bind(&both).unwrap(), Antijoin.bind(&both).unwrap()] {
            let contract = bound.contract();
            assert_eq!((contract.ordered, contract.bounded), (ordered, bounded));
            assert_eq!(contract.schema, left);
            assert!(!bound.splits());
        }
    }
}

#[test]
fn right_is_asked_for_first_and_left_leaves_untouched_where_all_rows_match() {
    let random = &mut Random::new(1);
    let origins = Arc::new(Origins::default());
    let one = schema(&[("k", DataType::Boolean)], &[("x", INT)], &["s"]);
    let made = stream(random, &origins, Arc::clone(&one), hash(1), 12);
    let whole = Chunk::concat(&one, &made.chunks).unwrap();
    let bound = Semijoin.bind(&[made.input.clone(), made.input.clone()]).unwrap();
    let mut machine = bound.start(&context(&origins, 1));
    assert!(matches!(machine.step().unwrap(), Step::NeedInput(ports) if ports == [1, 0]));
    let row = (0..12).find(|row| whole.tags()[0].is_valid(*row)).unwrap();
    let chunk = whole.slice(row, 1);
    machine.accept(0, Item::Chunk(chunk.clone())).unwrap();
    assert!(matches!(machine.step().unwrap(), Step::NeedInput(ports) if ports == [1, 0]));
    machine.accept(1, Item::Chunk(chunk.clone())).unwrap();
    machine.accept(1, Item::End).unwrap();
    let Step::Output(out) = machine.step().unwrap() else { panic!("no row came out") };
    assert!(Arc::ptr_eq(&out.packets()[0], &chunk.packets()[0]), "the rows were copied");
    assert!(matches!(machine.step().unwrap(), Step::NeedInput(ports) if ports == [0]));
    assert!(machine.accept(1, Item::End).is_err());
    machine.accept(0, Item::End).unwrap();
    assert!(matches!(machine.step().unwrap(), Step::Done));
}
