//! Arithmetic of integers and floats: exact or an error of the row.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, Float64Array, PrimitiveArray};
use arrow::buffer::ScalarBuffer;
use arrow::compute::kernels::arity::binary;
use arrow::datatypes::{DataType, Float64Type, Int32Type, Int64Type, UInt64Type};
use arrow::error::ArrowError;

use super::numbers::{through_int64, with_float};
use super::{Answer, Answered, Function, Reason, RowErrors, Value, collect, try_binary};
use crate::tree::Binary;

/// An integer whose arithmetic tells an overflow.
pub(crate) trait Integer: Copy + PartialEq + PartialOrd + Default {
    const ONE: Self;
    fn plus(self, other: Self) -> (Self, bool);
    fn minus(self, other: Self) -> (Self, bool);
    fn times(self, other: Self) -> (Self, bool);
    fn quotient(self, other: Self) -> Option<Self>;
    fn remainder(self, other: Self) -> Self;
    fn power(self, exponent: u32) -> Option<Self>;
    fn bits(self, operator: Binary, other: Self) -> Option<Self>;
}

macro_rules! integers {
    ($($native:ty),*) => {$(
        impl Integer for $native {
            const ONE: Self = 1;
            // The bits of the signs, or of what is carried, tell an overflow of several numbers at once; the processor's flag
            // does so for one.
            fn plus(self, other: Self) -> (Self, bool) {
                let sum = self.wrapping_add(other);
                let signs = (self ^ sum) & (other ^ sum);
                let carried = (self & other) | ((self | other) & !sum);
                let over = if Self::MIN == 0 { carried } else { signs };
                (sum, over >> (Self::BITS - 1) != 0)
            }
            fn minus(self, other: Self) -> (Self, bool) {
                let rest = self.wrapping_sub(other);
                let signs = (self ^ other) & (self ^ rest);
                let borrowed = (!self & other) | ((!self | other) & rest);
                let over = if Self::MIN == 0 { borrowed } else { signs };
                (rest, over >> (Self::BITS - 1) != 0)
            }
            fn times(self, other: Self) -> (Self, bool) { self.overflowing_mul(other) }
            fn quotient(self, other: Self) -> Option<Self> { self.checked_div(other) }
            fn remainder(self, other: Self) -> Self { self.wrapping_rem(other) }
            fn power(self, exponent: u32) -> Option<Self> { self.checked_pow(exponent) }
            fn bits(self, operator: Binary, other: Self) -> Option<Self> {
                let shift = || u32::try_from(other).ok();
                match operator {
                    Binary::BitAnd => Some(self & other),
                    Binary::BitOr => Some(self | other),
                    Binary::BitXor => Some(self ^ other),
                    // As a multiplication by a power of two: a bit that leaves is an overflow.
                    Binary::ShiftLeft if self == 0 => Some(0),
                    Binary::ShiftLeft => {
                        let shift = shift()?;
                        let shifted = self.checked_shl(shift)?;
                        (shifted.checked_shr(shift)? == self).then_some(shifted)
                    }
                    Binary::ShiftRight => {
                        Some(self.checked_shr(shift()?).unwrap_or(if self < Self::default() { !0 } else { 0 }))
                    }
                    _ => None,
                }
            }
        }
    )*};
}

#[allow(
    unused_comparisons,
    clippy::absurd_extreme_comparisons,
    clippy::allow_attributes,
    reason = "one body for signed and unsigned"
)]
mod widths {
    use super::{Binary, Integer};
    integers!(i32, i64, u64);
}

/// `left operator right` for integers of one type.
pub(crate) fn integers(operator: Binary, data_type: &DataType) -> Option<Function> {
    fn of<A: ArrowPrimitiveType<Native: Integer>>(operator: Binary) -> Function {
        Function::new(move |arguments, rows| {
            let [left, right] = arguments else { return Err(arity()) };
            Ok(calculate::<A>(operator, left, right, rows))
        })
    }
    Some(match data_type {
        DataType::Int32 => of::<Int32Type>(operator),
        DataType::Int64 => of::<Int64Type>(operator),
        DataType::UInt64 => of::<UInt64Type>(operator),
        other if other.is_integer() => through_int64(other, of::<Int64Type>(operator)),
        _ => return None,
    })
}

pub(crate) fn arity() -> ArrowError {
    ArrowError::InvalidArgumentError("a kernel was given another number of arguments".to_owned())
}

fn calculate<A>(operator: Binary, left: &Value, right: &Value, rows: usize) -> Answer
where
    A: ArrowPrimitiveType<Native: Integer>,
{
    match operator {
        Binary::Add => checked::<A>(left, right, rows, A::Native::plus),
        Binary::Subtract => checked::<A>(left, right, rows, A::Native::minus),
        Binary::Multiply => checked::<A>(left, right, rows, A::Native::times),
        Binary::IntegerDivide => try_binary::<A, A, A>(left, right, rows, |l, r| {
            if r == A::Native::default() { Ok(None) } else { l.quotient(r).map(Some).ok_or(Reason::Overflow) }
        }),
        Binary::Modulo => try_binary::<A, A, A>(left, right, rows, |l, r| {
            Ok((r != A::Native::default()).then(|| l.remainder(r)))
        }),
        bits => {
            try_binary::<A, A, A>(left, right, rows, |l, r| l.bits(bits, r).map(Some).ok_or(Reason::Overflow))
        }
    }
}

/// All values, and whether any of them overflowed.
fn all<N: Integer>(rows: impl ExactSizeIterator<Item = (N, bool)>) -> (Vec<N>, bool) {
    let mut values = vec![N::default(); rows.len()];
    let mut any = false;
    for (value, (computed, over)) in values.iter_mut().zip(rows) {
        *value = computed;
        any |= over;
    }
    (values, any)
}

/// Computes all rows at once and looks for the rows that overflowed only where one did.
fn checked<A>(
    left: &Value,
    right: &Value,
    rows: usize,
    apply: impl Fn(A::Native, A::Native) -> (A::Native, bool),
) -> Answer
where
    A: ArrowPrimitiveType<Native: Integer>,
{
    let (l, r) = (left.numbers::<A>(), right.numbers::<A>());
    let ((values, overflowed), nulls) = match (l.constant(), r.constant()) {
        (Some(c), None) if matches!(right, Value::Rows(_)) => {
            (all(r.array.values().iter().map(|v| apply(c, *v))), r.array.nulls().cloned())
        }
        (None, Some(c)) if matches!(left, Value::Rows(_)) => {
            (all(l.array.values().iter().map(|v| apply(*v, c))), l.array.nulls().cloned())
        }
        _ if matches!((left, right), (Value::Rows(_), Value::Rows(_))) => (
            all(l.array.values().iter().zip(r.array.values()).map(|(l, r)| apply(*l, *r))),
            arrow::buffer::NullBuffer::union(l.array.nulls(), r.array.nulls()),
        ),
        _ => {
            return collect::<A>(rows, |row| match (l.get(row), r.get(row)) {
                (Some(l), Some(r)) => match apply(l, r) {
                    (value, false) => Ok(Some(value)),
                    _ => Err(Reason::Overflow),
                },
                _ => Ok(None),
            });
        }
    };
    let array = PrimitiveArray::<A>::new(ScalarBuffer::from(values), nulls);
    let mut errors = RowErrors::default();
    if overflowed {
        for row in 0..array.len() {
            if let (true, Some(l), Some(r)) = (array.is_valid(row), l.get(row), r.get(row))
                && apply(l, r).1
            {
                errors.push(row, Reason::Overflow);
            }
        }
    }
    Answer::new(Arc::new(array), errors)
}

/// `left operator right` for floats of one type.
pub(crate) fn floats(operator: Binary, data_type: &DataType) -> Option<Function> {
    with_float!(data_type, A => Some(Function::new(move |arguments, _| {
        let [left, right] = arguments else { return Err(arity()) };
        match operator {
            Binary::Add => map::<A, A>(left, right, |l, r| l + r),
            Binary::Subtract => map::<A, A>(left, right, |l, r| l - r),
            Binary::Multiply => map::<A, A>(left, right, |l, r| l * r),
            Binary::IntegerDivide => map::<A, A>(left, right, |l, r| (l / r).trunc()),
            _ => map::<A, A>(left, right, |l, r| l % r),
        }
    })), else None)
}

/// The true quotient of floats.
pub(crate) fn quotient() -> Function {
    Function::new(|arguments, _| {
        let [left, right] = arguments else { return Err(arity()) };
        map::<Float64Type, Float64Type>(left, right, |l, r| l / r)
    })
}

/// Applies an infallible function to two operands of one type.
pub(crate) fn map<A, B>(
    left: &Value,
    right: &Value,
    apply: impl Fn(A::Native, A::Native) -> B::Native,
) -> Answered
where
    A: ArrowPrimitiveType,
    B: ArrowPrimitiveType,
{
    let (l, r) = (left.numbers::<A>(), right.numbers::<A>());
    let array: PrimitiveArray<B> = match (left, right) {
        (Value::Rows(_), Value::Constant(_)) => match r.constant() {
            Some(c) => l.array.unary(|v| apply(v, c)),
            None => PrimitiveArray::new_null(l.array.len()),
        },
        (Value::Constant(_), Value::Rows(_)) => match l.constant() {
            Some(c) => r.array.unary(|v| apply(c, v)),
            None => PrimitiveArray::new_null(r.array.len()),
        },
        _ => binary(l.array, r.array, apply)?,
    };
    Ok(array.into())
}

/// Integers, floats and decimals as floats of 64 bits, each the nearest.
pub(crate) fn to_float64(array: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    match array.data_type() {
        DataType::Decimal128(_, scale) => {
            let scale = *scale;
            let values = arrow::array::AsArray::as_primitive::<arrow::datatypes::Decimal128Type>(array);
            let floats: Float64Array = values.unary(|value| super::decimal::nearest(value, scale));
            Ok(Arc::new(floats))
        }
        _ => arrow::compute::cast(array, &DataType::Float64),
    }
}
