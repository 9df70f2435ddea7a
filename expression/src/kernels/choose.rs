//! Conditions and choices: errors of what a row does not reach are dropped.

use std::ops::{BitAnd, BitOr, Not};

use arrow::array::{Array, ArrayData, ArrayRef, AsArray, BooleanArray, make_array};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer};
use arrow::compute::kernels::boolean::{and_kleene, is_not_null, or_kleene};
use arrow::compute::kernels::zip::zip;
use arrow::compute::prep_null_mask_filter;
use arrow::datatypes::ArrowNativeType;
use arrow::error::ArrowError;

use super::compare::datum;
use super::steps::Typed;
use super::value::Value;
use super::{Answer, Answered, RowErrors};

/// Terms joined by AND or OR in three-valued logic, from left to right: behind a term that decides,
/// the errors of the others do not count.
pub(crate) fn logic(is_and: bool, terms: &[Typed], columns: &[ArrayRef], rows: usize) -> Answered {
    let mut terms = terms.iter();
    let first = terms.next().expect("a condition has terms");
    let (value, mut errors) = first.evaluate(columns, rows)?;
    let mut result = value.into_rows(rows)?.as_boolean().clone();
    for term in terms {
        let (value, mut found) = term.evaluate(columns, rows)?;
        if !found.is_empty() {
            found.retain(|row| !(result.is_valid(row) && result.value(row) != is_and));
        }
        let other = value.into_rows(rows)?;
        let other = other.as_boolean();
        result = if is_and { and_kleene(&result, other)? } else { or_kleene(&result, other)? };
        errors = errors.and(found);
    }
    Ok(Answer { array: std::sync::Arc::new(result), errors })
}

/// The value of the first arm whose condition is true.
pub(crate) fn choose(
    arms: &[(Typed, Typed)],
    otherwise: &Typed,
    columns: &[ArrayRef],
    rows: usize,
) -> Answered {
    let mut conditions = Vec::with_capacity(arms.len());
    let mut errors = RowErrors::default();
    // Rows that no arm before has taken.
    let mut open = BooleanBuffer::new_set(rows);
    let mut values = Vec::with_capacity(arms.len());
    for (condition, value) in arms {
        let (truth, mut found) = condition.evaluate(columns, rows)?;
        let truth = truth.into_rows(rows)?;
        let truth = truth.as_boolean();
        let truth = if truth.null_count() > 0 { prep_null_mask_filter(truth) } else { truth.clone() };
        found.retain(|row| open.value(row));
        errors = errors.and(found);
        let taken = &open & truth.values();
        let (value, mut found) = value.evaluate(columns, rows)?;
        found.retain(|row| taken.value(row));
        errors = errors.and(found);
        open = &open & &!truth.values();
        conditions.push(BooleanArray::new(taken, None));
        values.push(value);
    }
    let (value, mut found) = otherwise.evaluate(columns, rows)?;
    found.retain(|row| open.value(row));
    errors = errors.and(found);
    let mut result = value;
    for (taken, value) in conditions.iter().zip(values).rev() {
        result = Value::Rows(select(taken, &value, &result)?);
    }
    Ok(Answer { array: result.into_rows(rows)?, errors })
}

/// The first value that is not null.
pub(crate) fn coalesce(terms: &[Typed], columns: &[ArrayRef], rows: usize) -> Answered {
    let mut terms = terms.iter();
    let first = terms.next().expect("COALESCE has an argument");
    let (value, mut errors) = first.evaluate(columns, rows)?;
    let mut result = value.into_rows(rows)?;
    for term in terms {
        if result.null_count() == 0 {
            break;
        }
        let present = is_not_null(&result)?;
        let (value, mut found) = term.evaluate(columns, rows)?;
        // A row that failed before has no value and reaches the next one, but its error stands.
        found.retain(|row| !present.value(row) && !errors.contains(row));
        errors = errors.and(found);
        result = select(&present, &Value::Rows(result), &value)?;
    }
    Ok(Answer { array: result, errors })
}

/// The value of `yes` where the mask is true, else that of `no`; the mask has no nulls.
pub(crate) fn select(mask: &BooleanArray, yes: &Value, no: &Value) -> Result<ArrayRef, ArrowError> {
    match yes.array().data_type().primitive_width() {
        Some(1) => fixed::<u8>(mask.values(), yes, no),
        Some(2) => fixed::<u16>(mask.values(), yes, no),
        Some(4) => fixed::<u32>(mask.values(), yes, no),
        Some(8) => fixed::<u64>(mask.values(), yes, no),
        Some(16) => fixed::<i128>(mask.values(), yes, no),
        _ => zip(mask, datum(yes).as_ref(), datum(no).as_ref()),
    }
}

/// [`select`] for values of a width, whatever their type: of each row both are there, and one is taken.
#[expect(
    clippy::indexing_slicing,
    reason = "values of a width have one buffer, and as many of them as there are rows"
)]
fn fixed<N>(mask: &BooleanBuffer, yes: &Value, no: &Value) -> Result<ArrayRef, ArrowError>
where
    N: ArrowNativeType + BitAnd<Output = N> + BitOr<Output = N> + Not<Output = N>,
{
    let (one, other) = (yes.array().to_data(), no.array().to_data());
    let (y, n) = (one.buffers()[0].typed_data::<N>(), other.buffers()[0].typed_data::<N>());
    let given = |value: &Value, data: &ArrayData, values: &[N]| match value {
        Value::Rows(_) => None,
        Value::Constant(_) => Some(vec![values[data.offset()]; mask.len()]),
    };
    let (all_y, all_n) = (given(yes, &one, y), given(no, &other, n));
    let y = all_y.as_deref().unwrap_or_else(|| &y[one.offset()..][..one.len()]);
    let n = all_n.as_deref().unwrap_or_else(|| &n[other.offset()..][..other.len()]);
    let mut values: Vec<N> = Vec::with_capacity(mask.len());
    let words = mask.bit_chunks();
    for (word, (y, n)) in words.iter_padded().zip(y.chunks(64).zip(n.chunks(64))) {
        // Without a branch, which would go the wrong way as often as not.
        values.extend(y.iter().zip(n).enumerate().map(|(bit, (y, n))| {
            let taken = if word >> bit & 1 == 1 { !N::default() } else { N::default() };
            (*y & taken) | (*n & !taken)
        }));
    }
    let valid = |value: &Value| match (value, value.array().nulls()) {
        (_, None) => None,
        (Value::Rows(_), Some(nulls)) => Some(nulls.inner().clone()),
        (Value::Constant(_), Some(nulls)) if nulls.is_valid(0) => None,
        (Value::Constant(_), Some(_)) => Some(BooleanBuffer::new_unset(mask.len())),
    };
    let nulls = match (valid(yes), valid(no)) {
        (None, None) => None,
        (Some(yes), None) => Some(&yes | &!mask),
        (None, Some(no)) => Some(&no | mask),
        (Some(yes), Some(no)) => Some(&(&yes & mask) | &(&no & &!mask)),
    };
    let built = ArrayData::builder(one.data_type().clone())
        .len(values.len())
        .add_buffer(Buffer::from_vec(values))
        .nulls(nulls.map(NullBuffer::new));
    Ok(make_array(built.build()?))
}
