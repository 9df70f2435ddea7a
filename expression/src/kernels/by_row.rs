//! Functions applied row by row, with the errors of single rows.

use std::iter::repeat_n;
use std::sync::Arc;

use arrow::array::{
    Array as _, ArrayRef, ArrowPrimitiveType, AsArray as _, BooleanBufferBuilder, PrimitiveArray,
};
use arrow::buffer::{NullBuffer, ScalarBuffer};

use super::value::{Side, Value, nulls_of, nulls_of_both};
use super::{Answer, Reason, RowErrors};

/// Applies a fallible function to each row of one operand; null gives null.
pub(crate) fn try_unary<A, B>(
    value: &Value,
    rows: usize,
    apply: impl Fn(A::Native) -> Result<B::Native, Reason>,
) -> Answer
where
    A: ArrowPrimitiveType,
    B: ArrowPrimitiveType,
{
    each::<A::Native, B>(value.numbers::<A>().side(), value, rows, apply)
}

/// [`try_unary`] of values that were read already.
pub(crate) fn each<N: Copy, B: ArrowPrimitiveType>(
    side: Option<Side<'_, N>>,
    value: &Value,
    rows: usize,
    apply: impl Fn(N) -> Result<B::Native, Reason>,
) -> Answer {
    let apply = move |value| apply(value).map(Some);
    match side {
        Some(Side::Each(values)) => {
            gather::<B>(values.iter().map(move |v| apply(*v)), nulls_of(value).cloned())
        }
        Some(Side::One(value)) => gather::<B>(repeat_n(apply(value), rows), None),
        None => PrimitiveArray::<B>::new_null(rows).into(),
    }
}

/// Applies a fallible function to each row of two operands; a null gives null.
pub(crate) fn try_binary<A, B, C>(
    left: &Value,
    right: &Value,
    rows: usize,
    apply: impl Fn(A::Native, B::Native) -> Result<Option<C::Native>, Reason>,
) -> Answer
where
    A: ArrowPrimitiveType,
    B: ArrowPrimitiveType,
    C: ArrowPrimitiveType,
{
    let sides = (left.numbers::<A>().side(), right.numbers::<B>().side());
    let nulls = nulls_of_both(left, right);
    // What stands under a null is computed too: a branch would cost more, and its answer is dropped.
    match sides {
        (Some(Side::Each(l)), Some(Side::Each(r))) => {
            gather::<C>(l.iter().zip(r).map(move |(l, r)| apply(*l, *r)), nulls)
        }
        (Some(Side::Each(l)), Some(Side::One(r))) => gather::<C>(l.iter().map(move |l| apply(*l, r)), nulls),
        (Some(Side::One(l)), Some(Side::Each(r))) => gather::<C>(r.iter().map(move |r| apply(l, *r)), nulls),
        (Some(Side::One(l)), Some(Side::One(r))) => gather::<C>(repeat_n(apply(l, r), rows), nulls),
        _ => PrimitiveArray::<C>::new_null(rows).into(),
    }
}

/// The values of all rows but those that are null; a row that has none, or fails, is null too.
fn gather<C: ArrowPrimitiveType>(
    values: impl Iterator<Item = Result<Option<C::Native>, Reason>>,
    nulls: Option<NullBuffer>,
) -> Answer {
    let mut errors = RowErrors::default();
    let mut absent = Vec::new();
    let mut note = |row: usize, reason: Option<Reason>| {
        if nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row)) {
            absent.push(row);
            if let Some(reason) = reason {
                errors.push(row, reason);
            }
        }
        C::Native::default()
    };
    let number = |(row, value): (usize, Result<Option<C::Native>, Reason>)| match value {
        Ok(Some(value)) => value,
        Ok(None) => note(row, None),
        Err(reason) => note(row, Some(reason)),
    };
    let values: Vec<C::Native> = values.enumerate().map(number).collect();
    let nulls = if absent.is_empty() {
        nulls
    } else {
        let mut valid = BooleanBufferBuilder::new(values.len());
        match nulls {
            Some(nulls) => valid.append_buffer(nulls.inner()),
            None => valid.append_n(values.len(), true),
        }
        for row in absent {
            valid.set_bit(row, false);
        }
        Some(NullBuffer::new(valid.finish()))
    };
    Answer::new(Arc::new(PrimitiveArray::<C>::new(ScalarBuffer::from(values), nulls)), errors)
}

/// The values of all rows; a row that fails is null and has its error.
pub(crate) fn collect<C: ArrowPrimitiveType>(
    rows: usize,
    value: impl Fn(usize) -> Result<Option<C::Native>, Reason>,
) -> Answer {
    let mut errors = RowErrors::default();
    let values: PrimitiveArray<C> = (0..rows)
        .map(|row| {
            value(row).unwrap_or_else(|reason| {
                errors.push(row, reason);
                None
            })
        })
        .collect();
    Answer::new(Arc::new(values), errors)
}

/// The numbers that strings are read as; an error for a string that is none.
pub(crate) fn read_each<C: ArrowPrimitiveType>(
    strings: &ArrayRef,
    read: impl Fn(&str) -> Option<C::Native>,
) -> Answer {
    let strings = strings.as_string_view();
    collect::<C>(strings.len(), |row| {
        let text = strings.is_valid(row).then(|| strings.value(row));
        text.map(|text| read(text).ok_or(Reason::Cast)).transpose()
    })
}
