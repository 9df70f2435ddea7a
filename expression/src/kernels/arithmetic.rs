//! Arithmetic of integers and floats: exact or an error of the row.

use std::ops::BitOr;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, Float64Array, PrimitiveArray};
use arrow::buffer::ScalarBuffer;
use arrow::compute::kernels::arity::binary;
use arrow::datatypes::{DataType, Float64Type, Int32Type, Int64Type, UInt64Type};
use arrow::error::ArrowError;

use super::by_row::try_binary;
use super::numbers::{through_int64, with_float};
use super::value::{Side, Value, nulls_of_both};
use super::{Answer, Answered, Function, Reason, RowErrors};
use crate::syntax::tree::Binary;

/// An integer whose arithmetic reports an overflow, beside the answer by the highest bit of another one: the bits of many rows
/// are put together before one is looked at.
pub(crate) trait Integer: Copy + PartialEq + PartialOrd + Default + BitOr<Output = Self> {
    const ONE: Self;
    fn plus(self, other: Self) -> (Self, Self);
    fn minus(self, other: Self) -> (Self, Self);
    fn times(self, other: Self) -> (Self, Self);
    /// True if the highest bit is set.
    fn is_high(self) -> bool;
    fn quotient(self, other: Self) -> Option<Self>;
    fn remainder(self, other: Self) -> Self;
    fn power(self, exponent: u32) -> Option<Self>;
    fn bits(self, operator: Binary, other: Self) -> Option<Self>;
}

macro_rules! integers {
    ($($native:ty),*) => {$(
        impl Integer for $native {
            const ONE: Self = 1;
            // The bits of the signs, or of what is carried, show an overflow of several numbers at once; the processor's flag
            // does so for one.
            fn plus(self, other: Self) -> (Self, Self) {
                let sum = self.wrapping_add(other);
                let signs = (self ^ sum) & (other ^ sum);
                let carried = (self & other) | ((self | other) & !sum);
                (sum, if Self::MIN == 0 { carried } else { signs })
            }
            fn minus(self, other: Self) -> (Self, Self) {
                let rest = self.wrapping_sub(other);
                let signs = (self ^ other) & (self ^ rest);
                let borrowed = (!self & other) | ((!self | other) & rest);
                (rest, if Self::MIN == 0 { borrowed } else { signs })
            }
            fn times(self, other: Self) -> (Self, Self) {
                let (product, over) = self.overflowing_mul(other);
                (product, Self::from(over) << (Self::BITS - 1))
            }
            fn is_high(self) -> bool { self >> (Self::BITS - 1) != 0 }
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

/// `left operator right` for integers of one type; those of 64 bits with a sign take operands of 32 bits as they are.
pub(crate) fn integers(operator: Binary, data_type: &DataType) -> Option<Function> {
    fn of<A: ArrowPrimitiveType<Native: Integer>>(operator: Binary) -> Function {
        Function::of_two(move |left, right, rows| Ok(calculate::<A, A, A>(operator, left, right, rows)))
    }
    let of_int64 = Function::of_two(move |left, right, rows| {
        Ok(match (left.array().data_type(), right.array().data_type()) {
            (DataType::Int32, DataType::Int64) => {
                calculate::<Int32Type, Int64Type, Int64Type>(operator, left, right, rows)
            }
            (DataType::Int64, DataType::Int32) => {
                calculate::<Int64Type, Int32Type, Int64Type>(operator, left, right, rows)
            }
            _ => calculate::<Int64Type, Int64Type, Int64Type>(operator, left, right, rows),
        })
    });
    Some(match data_type {
        DataType::Int32 => of::<Int32Type>(operator),
        DataType::Int64 => of_int64,
        DataType::UInt64 => of::<UInt64Type>(operator),
        other if other.is_integer() => through_int64(other, of_int64),
        _ => return None,
    })
}

fn calculate<L, R, A>(operator: Binary, left: &Value, right: &Value, rows: usize) -> Answer
where
    L: ArrowPrimitiveType<Native: Into<A::Native>>,
    R: ArrowPrimitiveType<Native: Into<A::Native>>,
    A: ArrowPrimitiveType<Native: Integer>,
{
    let zero = A::Native::default();
    match operator {
        Binary::Add => checked::<L, R, A>(left, right, rows, A::Native::plus),
        Binary::Subtract => checked::<L, R, A>(left, right, rows, A::Native::minus),
        Binary::Multiply => checked::<L, R, A>(left, right, rows, A::Native::times),
        Binary::IntegerDivide => try_binary::<L, R, A>(left, right, rows, |l, r| {
            let (l, r) = (l.into(), r.into());
            if r == zero { Ok(None) } else { l.quotient(r).map(Some).ok_or(Reason::Overflow) }
        }),
        Binary::Modulo => try_binary::<L, R, A>(left, right, rows, |l, r| {
            let (l, r) = (l.into(), r.into());
            Ok((r != zero).then(|| l.remainder(r)))
        }),
        bits => try_binary::<L, R, A>(left, right, rows, |l, r| {
            l.into().bits(bits, r.into()).map(Some).ok_or(Reason::Overflow)
        }),
    }
}

/// Rows that are computed together, into memory that no cache has lost before it is copied.
const BLOCK_ROWS: usize = 512;

/// All values, and whether any of them overflowed. No block is larger than [`BLOCK_ROWS`].
fn all<N: Integer, B>(rows: usize, blocks: impl Iterator<Item = B>) -> (Vec<N>, bool)
where
    B: ExactSizeIterator<Item = (N, N)>,
{
    let mut values = Vec::with_capacity(rows);
    let mut block = [N::default(); BLOCK_ROWS];
    let mut any = N::default();
    for rows in blocks {
        let places = block.get_mut(..rows.len()).expect("a block has no more rows than it may");
        for (place, (computed, over)) in places.iter_mut().zip(rows) {
            *place = computed;
            any = any | over;
        }
        values.extend_from_slice(places);
    }
    (values, any.is_high())
}

/// Computes all rows at once and looks for the rows that overflowed only where one did.
fn checked<L, R, A>(
    left: &Value,
    right: &Value,
    rows: usize,
    apply: impl Fn(A::Native, A::Native) -> (A::Native, A::Native),
) -> Answer
where
    L: ArrowPrimitiveType<Native: Into<A::Native>>,
    R: ArrowPrimitiveType<Native: Into<A::Native>>,
    A: ArrowPrimitiveType<Native: Integer>,
{
    let (l, r) = (left.numbers::<L>(), right.numbers::<R>());
    let apply = |l: L::Native, r: R::Native| apply(l.into(), r.into());
    let (values, overflowed) = match (l.side(), r.side()) {
        (Some(Side::Each(l)), Some(Side::Each(r))) => {
            let blocks = l.chunks(BLOCK_ROWS).zip(r.chunks(BLOCK_ROWS));
            all(rows, blocks.map(|(l, r)| l.iter().zip(r).map(|(l, r)| apply(*l, *r))))
        }
        (Some(Side::Each(l)), Some(Side::One(r))) => {
            all(rows, l.chunks(BLOCK_ROWS).map(|l| l.iter().map(|l| apply(*l, r))))
        }
        (Some(Side::One(l)), Some(Side::Each(r))) => {
            all(rows, r.chunks(BLOCK_ROWS).map(|r| r.iter().map(|r| apply(l, *r))))
        }
        (Some(Side::One(l)), Some(Side::One(r))) => {
            let (value, over) = apply(l, r);
            (vec![value; rows], over.is_high())
        }
        _ => return PrimitiveArray::<A>::new_null(rows).into(),
    };
    let array = PrimitiveArray::<A>::new(ScalarBuffer::from(values), nulls_of_both(left, right));
    let mut errors = RowErrors::default();
    if overflowed {
        for row in 0..array.len() {
            if let (true, Some(l), Some(r)) = (array.is_valid(row), l.get(row), r.get(row))
                && apply(l, r).1.is_high()
            {
                errors.push(row, Reason::Overflow);
            }
        }
    }
    Answer::new(Arc::new(array), errors)
}

/// `left operator right` for floats of one type.
pub(crate) fn floats(operator: Binary, data_type: &DataType) -> Option<Function> {
    with_float!(data_type, A => Some(Function::of_two(move |left, right, _| {
        match operator {
            Binary::Add => map::<A, A, A>(left, right, |l, r| l + r),
            Binary::Subtract => map::<A, A, A>(left, right, |l, r| l - r),
            Binary::Multiply => map::<A, A, A>(left, right, |l, r| l * r),
            Binary::IntegerDivide => map::<A, A, A>(left, right, |l, r| (l / r).trunc()),
            _ => map::<A, A, A>(left, right, |l, r| l % r),
        }
    })), else None)
}

/// A number of 64 bits as the nearest float.
trait Nearest {
    fn nearest(self) -> f64;
}

impl Nearest for f64 {
    fn nearest(self) -> f64 {
        self
    }
}

impl Nearest for i64 {
    #[expect(clippy::cast_precision_loss, reason = "the nearest float is what is wanted")]
    fn nearest(self) -> f64 {
        self as f64
    }
}

/// The true quotient of floats, or of integers of 64 bits with a sign.
pub(crate) fn quotient() -> Function {
    fn of<L, R>(left: &Value, right: &Value) -> Answered
    where
        L: ArrowPrimitiveType<Native: Nearest>,
        R: ArrowPrimitiveType<Native: Nearest>,
    {
        map::<L, R, Float64Type>(left, right, |l, r| l.nearest() / r.nearest())
    }
    Function::of_two(|left, right, _| match (left.array().data_type(), right.array().data_type()) {
        (DataType::Int64, DataType::Int64) => of::<Int64Type, Int64Type>(left, right),
        (DataType::Int64, _) => of::<Int64Type, Float64Type>(left, right),
        (_, DataType::Int64) => of::<Float64Type, Int64Type>(left, right),
        _ => of::<Float64Type, Float64Type>(left, right),
    })
}

/// Applies an infallible function to two operands.
pub(crate) fn map<L, R, B>(
    left: &Value,
    right: &Value,
    apply: impl Fn(L::Native, R::Native) -> B::Native,
) -> Answered
where
    L: ArrowPrimitiveType,
    R: ArrowPrimitiveType,
    B: ArrowPrimitiveType,
{
    let (l, r) = (left.numbers::<L>(), right.numbers::<R>());
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
