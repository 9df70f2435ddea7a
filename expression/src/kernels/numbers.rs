//! Arithmetic and comparison of numbers as Polars does them.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, Datum, PrimitiveArray};
use arrow::compute::kernels::arity::binary;
use arrow::datatypes::{
    DataType, Date32Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    Time64NanosecondType, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow::error::ArrowError;

use super::Side;
use crate::tree::Binary;

/// A number with the operators of Polars.
pub(super) trait Number: Copy {
    /// What a division gives.
    type Quotient: Copy;

    fn plus(self, other: Self) -> Self;
    fn minus(self, other: Self) -> Self;
    fn times(self, other: Self) -> Self;
    fn over(self, other: Self) -> Self::Quotient;
    /// The remainder with the sign of the divisor; none for a whole zero.
    fn modulo(self, divisor: Self) -> Option<Self>;

    /// Adding it changes nothing, not even the sign of a zero.
    fn is_nothing_to_add(self) -> bool;
    fn negated(self) -> Self;
    /// A constant divisor is a factor: one rounding more than [`Number::over`].
    fn over_constant(self, divisor: Self) -> Self::Quotient;
    fn modulo_constant(self, divisor: Self) -> Option<Self>;

    /// NaN is equal to itself.
    fn same(self, other: Self) -> bool;
    /// NaN is above all others.
    fn below(self, other: Self) -> bool;
}

/// `$float` rounds to a float as Polars does; `$negative` tells whether a value is below zero.
macro_rules! whole {
    ($($native:ty, $float:expr, $negative:expr;)*) => {$(
        impl Number for $native {
            type Quotient = f64;

            fn plus(self, other: Self) -> Self {
                self.wrapping_add(other)
            }
            fn minus(self, other: Self) -> Self {
                self.wrapping_sub(other)
            }
            fn times(self, other: Self) -> Self {
                self.wrapping_mul(other)
            }
            fn over(self, other: Self) -> f64 {
                $float(self) / $float(other)
            }
            fn modulo(self, divisor: Self) -> Option<Self> {
                let negative: fn(Self) -> bool = $negative;
                if divisor == 0 {
                    return None;
                }
                let rest = self.wrapping_rem(divisor);
                let other_sign = rest != 0 && negative(rest) != negative(divisor);
                Some(if other_sign { rest.wrapping_add(divisor) } else { rest })
            }
            fn is_nothing_to_add(self) -> bool {
                false
            }
            fn negated(self) -> Self {
                self.wrapping_neg()
            }
            fn over_constant(self, divisor: Self) -> f64 {
                $float(self) * (1.0 / $float(divisor))
            }
            fn modulo_constant(self, divisor: Self) -> Option<Self> {
                self.modulo(divisor)
            }
            fn same(self, other: Self) -> bool {
                self == other
            }
            fn below(self, other: Self) -> bool {
                self < other
            }
        }
    )*};
}

#[expect(clippy::cast_precision_loss, reason = "Polars rounds likewise")]
fn round_signed(value: i64) -> f64 {
    value as f64
}

#[expect(clippy::cast_precision_loss, reason = "Polars rounds likewise")]
fn round_unsigned(value: u64) -> f64 {
    value as f64
}

macro_rules! float {
    ($($native:ty),*) => {$(
        impl Number for $native {
            type Quotient = $native;

            fn plus(self, other: Self) -> Self {
                self + other
            }
            fn minus(self, other: Self) -> Self {
                self - other
            }
            fn times(self, other: Self) -> Self {
                self * other
            }
            fn over(self, other: Self) -> Self {
                self / other
            }
            fn modulo(self, divisor: Self) -> Option<Self> {
                Some(self - divisor * (self / divisor).floor())
            }
            fn is_nothing_to_add(self) -> bool {
                self == 0.0
            }
            fn negated(self) -> Self {
                -self
            }
            fn over_constant(self, divisor: Self) -> Self {
                self * (1.0 / divisor)
            }
            fn modulo_constant(self, divisor: Self) -> Option<Self> {
                Some(self - divisor * (self * (1.0 / divisor)).floor())
            }
            #[expect(clippy::float_cmp, reason = "equal values are meant")]
            fn same(self, other: Self) -> bool {
                self == other || (self.is_nan() && other.is_nan())
            }
            fn below(self, other: Self) -> bool {
                self < other || (other.is_nan() && !self.is_nan())
            }
        }
    )*};
}

whole! {
    i8, f64::from, |value| value < 0;
    i16, f64::from, |value| value < 0;
    i32, f64::from, |value| value < 0;
    i64, round_signed, |value| value < 0;
    u8, f64::from, |_| false;
    u16, f64::from, |_| false;
    u32, f64::from, |_| false;
    u64, round_unsigned, |_| false;
}
float!(f32, f64);

/// Runs the body with `$arrow` as the Arrow type and `$quotient` as that of its quotients.
macro_rules! with_number {
    ($data_type:expr, $arrow:ident, $quotient:ident => $body:expr, else $other:expr) => {
        with_number!(@arms $data_type, $arrow, $quotient, $body, $other,
            [Int8 Int8Type Float64Type] [Int16 Int16Type Float64Type] [Int32 Int32Type Float64Type]
            [Int64 Int64Type Float64Type] [UInt8 UInt8Type Float64Type] [UInt16 UInt16Type Float64Type]
            [UInt32 UInt32Type Float64Type] [UInt64 UInt64Type Float64Type]
            [Float32 Float32Type Float32Type] [Float64 Float64Type Float64Type])
    };
    (@arms $data_type:expr, $arrow:ident, $quotient:ident, $body:expr, $other:expr,
        $([$variant:ident $a:ident $q:ident])*) => {
        match $data_type {
            $(DataType::$variant => {
                #[allow(dead_code, clippy::allow_attributes, reason = "not every body divides")]
                type $quotient = $q;
                type $arrow = $a;
                $body
            })*
            _ => $other,
        }
    };
}

pub(super) fn unexpected(operator: Binary) -> ArrowError {
    ArrowError::NotYetImplemented(format!("no kernel for {}", operator.symbol()))
}

/// `left operator right` for operands of one type.
pub(super) fn arithmetic(
    operator: Binary,
    data_type: &DataType,
    left: &Side,
    right: &Side,
) -> Result<ArrayRef, ArrowError> {
    with_number!(data_type, A, Q => {
        if operator == Binary::Divide {
            Ok(Arc::new(divide::<A, Q>(left, right)?) as ArrayRef)
        } else {
            Ok(Arc::new(calculate::<A>(operator, left, right)?) as ArrayRef)
        }
    }, else Err(unexpected(operator)))
}

fn values<A: ArrowPrimitiveType>(side: &Side) -> &PrimitiveArray<A> {
    side.get().0.as_primitive::<A>()
}

/// The value of a constant; constants are never null.
fn constant<A: ArrowPrimitiveType>(side: &Side) -> Option<A::Native> {
    match side {
        Side::Rows(_) => None,
        Side::Constant(_) => values::<A>(side).values().first().copied(),
    }
}

fn divide<A, Q>(left: &Side, right: &Side) -> Result<PrimitiveArray<Q>, ArrowError>
where
    A: ArrowPrimitiveType<Native: Number<Quotient = Q::Native>>,
    Q: ArrowPrimitiveType,
{
    match (constant::<A>(left), constant::<A>(right)) {
        (_, Some(divisor)) => Ok(values::<A>(left).unary(|value| value.over_constant(divisor))),
        (Some(value), None) => Ok(values::<A>(right).unary(|divisor| value.over(divisor))),
        (None, None) => binary(values::<A>(left), values::<A>(right), Number::over),
    }
}

fn calculate<A>(operator: Binary, left: &Side, right: &Side) -> Result<PrimitiveArray<A>, ArrowError>
where
    A: ArrowPrimitiveType<Native: Number>,
{
    let (l, r) = (values::<A>(left), values::<A>(right));
    Ok(match (operator, constant::<A>(left), constant::<A>(right)) {
        (Binary::Add | Binary::Subtract, None, Some(c)) if c.is_nothing_to_add() => l.clone(),
        (Binary::Add, Some(c), None) if c.is_nothing_to_add() => r.clone(),
        (Binary::Subtract, Some(c), None) if c.is_nothing_to_add() => r.unary(Number::negated),
        (Binary::Add, None, Some(c)) => l.unary(|value| value.plus(c)),
        (Binary::Add, Some(c), None) => r.unary(|value| c.plus(value)),
        (Binary::Subtract, None, Some(c)) => l.unary(|value| value.minus(c)),
        (Binary::Subtract, Some(c), None) => r.unary(|value| c.minus(value)),
        (Binary::Multiply, None, Some(c)) => l.unary(|value| value.times(c)),
        (Binary::Multiply, Some(c), None) => r.unary(|value| c.times(value)),
        (Binary::Modulo, None, Some(c)) => l.unary_opt(|value| value.modulo_constant(c)),
        (Binary::Modulo, Some(c), None) => r.unary_opt(|value| c.modulo(value)),
        (Binary::Add, None, None) => binary(l, r, Number::plus)?,
        (Binary::Subtract, None, None) => binary(l, r, Number::minus)?,
        (Binary::Multiply, None, None) => binary(l, r, Number::times)?,
        (Binary::Modulo, None, None) => l.iter().zip(r).map(|(l, r)| l?.modulo(r?)).collect(),
        (other, ..) => return Err(unexpected(other)),
    })
}

/// `left operator right` for numbers and counts of time; `None` for other types and operators.
pub(super) fn compare(
    operator: Binary,
    data_type: &DataType,
    left: &Side,
    right: &Side,
) -> Option<BooleanArray> {
    match data_type {
        DataType::Date32 => relate::<Date32Type>(operator, left, right),
        DataType::Time64(TimeUnit::Nanosecond) => relate::<Time64NanosecondType>(operator, left, right),
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            relate::<TimestampMillisecondType>(operator, left, right)
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            relate::<TimestampMicrosecondType>(operator, left, right)
        }
        DataType::Timestamp(TimeUnit::Nanosecond, _) => {
            relate::<TimestampNanosecondType>(operator, left, right)
        }
        _ => with_number!(data_type, A, Q => relate::<A>(operator, left, right), else None),
    }
}

fn relate<A>(operator: Binary, left: &Side, right: &Side) -> Option<BooleanArray>
where
    A: ArrowPrimitiveType<Native: Number>,
{
    match operator {
        Binary::Equal => Some(apply::<A>(left, right, Number::same)),
        Binary::NotEqual => Some(apply::<A>(left, right, |l, r| !l.same(r))),
        Binary::Less => Some(apply::<A>(left, right, Number::below)),
        Binary::LessOrEqual => Some(apply::<A>(left, right, |l, r| !r.below(l))),
        Binary::Greater => Some(apply::<A>(left, right, |l, r| r.below(l))),
        Binary::GreaterOrEqual => Some(apply::<A>(left, right, |l, r| !l.below(r))),
        _ => None,
    }
}

fn apply<A>(left: &Side, right: &Side, holds: impl Fn(A::Native, A::Native) -> bool) -> BooleanArray
where
    A: ArrowPrimitiveType,
{
    match (constant::<A>(left), constant::<A>(right)) {
        (_, Some(r)) => BooleanArray::from_unary(values::<A>(left), |l| holds(l, r)),
        (Some(l), None) => BooleanArray::from_unary(values::<A>(right), |r| holds(l, r)),
        (None, None) => BooleanArray::from_binary(values::<A>(left), values::<A>(right), holds),
    }
}

/// Which values are among the sorted elements.
pub(super) fn find(elements: &[i64], values: &ArrayRef) -> Result<BooleanArray, ArrowError> {
    fn search<A: ArrowPrimitiveType<Native: Into<i64>>>(elements: &[i64], values: &ArrayRef) -> BooleanArray {
        const FEW: usize = 8;
        let values = values.as_primitive::<A>();
        if elements.len() <= FEW {
            BooleanArray::from_unary(values, |value| elements.contains(&value.into()))
        } else {
            BooleanArray::from_unary(values, |value| elements.binary_search(&value.into()).is_ok())
        }
    }
    Ok(match values.data_type() {
        DataType::Int8 => search::<Int8Type>(elements, values),
        DataType::Int16 => search::<Int16Type>(elements, values),
        DataType::Int32 => search::<Int32Type>(elements, values),
        DataType::Int64 => search::<Int64Type>(elements, values),
        DataType::UInt8 => search::<UInt8Type>(elements, values),
        DataType::UInt16 => search::<UInt16Type>(elements, values),
        DataType::UInt32 => search::<UInt32Type>(elements, values),
        other => return Err(ArrowError::NotYetImplemented(format!("no kernel for IN on {other}"))),
    })
}
