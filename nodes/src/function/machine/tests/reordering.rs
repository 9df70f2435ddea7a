//! Rows leave in input order, whatever the order of their outcomes.

use proptest::prelude::*;

use super::super::reorder_buffer::{ReorderBuffer, RowId};
use super::*;
use crate::call::OutputOrder;

const TYPES: [DataType; 1] = [DataType::Int64];

fn push(buffer: &mut ReorderBuffer, range: std::ops::Range<usize>) -> u64 {
    buffer.push(chunk(range.clone()), Arc::new(range.map(key).collect()))
}

/// Input and output of the rows that leave.
fn pop(buffer: &mut ReorderBuffer) -> Vec<(i64, Option<i64>)> {
    let leaving = buffer.pop(&TYPES).unwrap().unwrap();
    let input = values(&leaving.input.packets()[0]).into_iter().flatten();
    input.zip(values(&leaving.outputs[0])).collect()
}

fn ids(chunk: u64, rows: std::ops::Range<u32>) -> impl Iterator<Item = RowId> {
    rows.map(move |row| RowId { chunk, row })
}

#[test]
fn rows_wait_for_those_before_them() {
    let mut buffer = ReorderBuffer::new(OutputOrder::Input);
    let number = push(&mut buffer, 0..3);
    let outcomes = batch(&[Some(10), Some(20)]);
    buffer.fill(&outcomes, ids(number, 1..3).zip(0..));
    assert_eq!(buffer.front(), (0, false));
    buffer.fill(&batch(&[Some(0)]), ids(number, 0..1).zip(0..));
    assert_eq!(buffer.front(), (3, true));
    assert_eq!(pop(&mut buffer), [(0, Some(0)), (1, Some(10)), (2, Some(20))]);
    assert!(buffer.is_empty());
    assert_eq!((buffer.rows, buffer.bytes), (0, 0));
}

#[test]
fn in_the_order_of_arrival_rows_leave_as_they_have_outcomes() {
    let mut buffer = ReorderBuffer::new(OutputOrder::Arrival);
    let (first, second) = (push(&mut buffer, 0..2), push(&mut buffer, 2..4));
    buffer.fill(&batch(&[Some(30)]), ids(second, 1..2).zip(0..));
    assert_eq!(buffer.front(), (1, false));
    assert_eq!(pop(&mut buffer), [(3, Some(30))]);
    buffer.leave_out(ids(first, 0..1));
    assert_eq!(pop(&mut buffer), []);
    buffer.fill(&batch(&[Some(10)]), ids(first, 1..2).zip(0..));
    assert_eq!(pop(&mut buffer), [(1, Some(10))]);
    buffer.fill(&batch(&[Some(20)]), ids(second, 0..1).zip(0..));
    assert_eq!(pop(&mut buffer), [(2, Some(20))]);
    assert_eq!((buffer.rows, buffer.bytes), (0, 0));
}

#[test]
fn dropped_rows_are_counted_and_rows_left_out_are_not() {
    let mut buffer = ReorderBuffer::new(OutputOrder::Input);
    let number = push(&mut buffer, 0..4);
    buffer.leave_out(ids(number, 1..2));
    buffer.fill(
        &batch(&[Some(0), None, Some(30)]),
        [(0, 0), (2, 1), (3, 2)].map(|(row, outcome)| (RowId { chunk: number, row }, outcome)),
    );
    let leaving = buffer.pop(&TYPES).unwrap().unwrap();
    assert_eq!(leaving.dropped, 1);
    assert_eq!(values(&leaving.input.packets()[0]), [Some(0), Some(3)]);
    assert_eq!(values(&leaving.outputs[0]), [Some(0), Some(30)]);
    assert_eq!(leaving.references.len(), 2);
}

#[test]
fn rows_without_an_outcome_leave_with_nulls_and_without_a_version() {
    let mut buffer = ReorderBuffer::new(OutputOrder::Input);
    let number = push(&mut buffer, 0..3);
    buffer.set_unknown(ids(number, 0..1).chain(ids(number, 2..3)));
    buffer.fill(&batch(&[Some(10)]), ids(number, 1..2).zip(0..));
    let leaving = buffer.pop(&TYPES).unwrap().unwrap();
    assert_eq!(values(&leaving.outputs[0]), [None, Some(10), None]);
    assert_eq!(leaving.references.len(), 1);
    // Without any outcome as well.
    let number = push(&mut buffer, 3..4);
    buffer.set_unknown(ids(number, 0..1));
    assert_eq!(pop(&mut buffer), [(3, None)]);
}

#[test]
fn bytes_of_outcomes_count_until_the_last_row_of_their_batch_has_left() {
    let mut buffer = ReorderBuffer::new(OutputOrder::Input);
    let number = push(&mut buffer, 0..3);
    let input = buffer.bytes;
    let outcomes = batch(&[Some(0), Some(10), Some(20)]);
    buffer.fill(&outcomes, ids(number, 0..1).zip(0..));
    buffer.fill(&outcomes, ids(number, 1..2).zip(1..));
    let both = buffer.bytes - input;
    assert!(both > 0);
    pop(&mut buffer);
    assert_eq!(buffer.bytes, input, "the batch goes with its last row");
    buffer.fill(&outcomes, ids(number, 2..3).zip(2..));
    assert_eq!(buffer.bytes - input, both);
    pop(&mut buffer);
    assert_eq!(buffer.bytes, 0);
}

#[test]
#[should_panic(expected = "a row gets one outcome")]
fn a_second_outcome_of_a_row_breaks_an_invariant() {
    let mut buffer = ReorderBuffer::new(OutputOrder::Input);
    let number = push(&mut buffer, 0..2);
    buffer.leave_out(ids(number, 0..1));
    buffer.leave_out(ids(number, 0..1));
}

#[test]
#[should_panic(expected = "a row waits until its outcome is known")]
fn an_outcome_of_a_row_that_has_left_breaks_an_invariant() {
    let mut buffer = ReorderBuffer::new(OutputOrder::Input);
    let number = push(&mut buffer, 0..1);
    buffer.leave_out(ids(number, 0..1));
    buffer.pop(&TYPES).unwrap();
    buffer.leave_out(ids(number, 0..1));
}

proptest! {
    /// Outcomes come in any order and in batches of any size; `value % 4` says what becomes of a row.
    #[test]
    fn rows_and_outcomes_are_those_of_plain_vectors(
        sizes in proptest::collection::vec(1_usize..6, 1..6),
        order in Just(()).prop_perturb(|(), mut rng| rng.random::<u64>()),
        group in 1_usize..5,
        arrival in any::<bool>(),
    ) {
        let kind = if arrival { OutputOrder::Arrival } else { OutputOrder::Input };
        let mut buffer = ReorderBuffer::new(kind);
        let mut waiting = Vec::new();
        let mut at = 0;
        for size in sizes {
            let number = push(&mut buffer, at..at + size);
            waiting.extend(ids(number, 0..u32::try_from(size).unwrap()).zip(at..));
            at += size;
        }
        // A permutation that depends on the seed alone.
        waiting.sort_by_key(|(_, n)| (*n as u64).wrapping_add(order).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut found = Vec::new();
        for rows in waiting.chunks(group) {
            let outcome = |n: usize| (n % 4 != 1).then_some(i64::try_from(n).unwrap() * 10);
            let filled: Vec<_> = rows.iter().filter(|(_, n)| n % 4 < 2).collect();
            let outcomes: Vec<_> = filled.iter().map(|(_, n)| outcome(*n)).collect();
            buffer.fill(&batch(&outcomes), filled.iter().map(|(id, _)| *id).zip(0..));
            buffer.leave_out(rows.iter().filter(|(_, n)| n % 4 == 2).map(|(id, _)| *id));
            buffer.set_unknown(rows.iter().filter(|(_, n)| n % 4 == 3).map(|(id, _)| *id));
            while buffer.front().0 > 0 {
                found.extend(pop(&mut buffer));
            }
        }
        prop_assert!(buffer.is_empty());
        prop_assert_eq!((buffer.rows, buffer.bytes), (0, 0));
        if arrival {
            found.sort_unstable();
        }
        let expected: Vec<_> = (0..i64::try_from(at).unwrap())
            .filter_map(|n| match n % 4 {
                0 => Some((n, Some(n * 10))),
                3 => Some((n, None)),
                _ => None,
            })
            .collect();
        prop_assert_eq!(found, expected);
    }
}
