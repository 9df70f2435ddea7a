//! Comparisons by value.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, Datum, Scalar};
use arrow::compute::kernels::cmp;
use arrow::datatypes::{DataType, Decimal128Type, Float64Type, Int64Type, UInt64Type, i256};
use arrow::error::ArrowError;

use super::arithmetic::arity;
use super::numbers::{Wide, with_count, with_float};
use super::{Answer, Answered, Function, Value};
use crate::exact::power_of_ten;
use crate::tree::Binary;

/// True where an ordering satisfies the operator.
pub(crate) fn holds(operator: Binary, ordering: Ordering) -> bool {
    match operator {
        Binary::Equal | Binary::NotDistinct => ordering.is_eq(),
        Binary::NotEqual | Binary::Distinct => ordering.is_ne(),
        Binary::Less => ordering.is_lt(),
        Binary::LessOrEqual => ordering.is_le(),
        Binary::Greater => ordering.is_gt(),
        _ => ordering.is_ge(),
    }
}

/// Comparison of operands of one type that Arrow counts: integers, dates, times and the like.
pub(crate) fn same_counts(operator: Binary, data_type: &DataType) -> Option<Function> {
    with_count!(data_type, A => Some(Function::new(move |arguments, _| {
        let [left, right] = arguments else { return Err(arity()) };
        Ok(relate::<A, A>(operator, left, right, |l, r| l.cmp(&r)))
    })), else None)
}

#[expect(clippy::float_cmp, reason = "equal values are meant")]
/// Comparison of floats of one type: NaN is equal to itself and above all others, zeros are equal.
pub(crate) fn floats(operator: Binary, data_type: &DataType) -> Option<Function> {
    with_float!(data_type, A => Some(Function::new(move |arguments, _| {
        let [left, right] = arguments else { return Err(arity()) };
        Ok(match operator {
            Binary::Equal => apply::<A, A>(left, right, |l, r| l == r || (l.is_nan() && r.is_nan())),
            Binary::NotEqual => apply::<A, A>(left, right, |l, r| !(l == r || (l.is_nan() && r.is_nan()))),
            Binary::Less => apply::<A, A>(left, right, |l, r| l < r || (r.is_nan() && !l.is_nan())),
            Binary::LessOrEqual => apply::<A, A>(left, right, |l, r| l <= r || r.is_nan()),
            Binary::Greater => apply::<A, A>(left, right, |l, r| l > r || (l.is_nan() && !r.is_nan())),
            _ => apply::<A, A>(left, right, |l, r| l >= r || l.is_nan()),
        }.into())
    })), else None)
}

/// The order of floats in SQL.
pub(crate) fn float_order(left: f64, right: f64) -> Ordering {
    left.partial_cmp(&right).unwrap_or_else(|| left.is_nan().cmp(&right.is_nan()))
}

/// Comparison of int64 with uint64; `flipped` where the unsigned operand is the left one.
pub(crate) fn signed_with_unsigned(operator: Binary, flipped: bool) -> Function {
    Function::new(move |arguments, _| {
        let [left, right] = arguments else { return Err(arity()) };
        Ok(if flipped {
            relate::<UInt64Type, Int64Type>(operator, left, right, |l, r| i128::from(l).cmp(&i128::from(r)))
        } else {
            relate::<Int64Type, UInt64Type>(operator, left, right, |l, r| i128::from(l).cmp(&i128::from(r)))
        })
    })
}

/// Comparison of counts at different scales: integers with decimals, decimals with decimals, points in
/// time of different units. Each side is multiplied by its factor, exactly.
pub(crate) fn scaled(operator: Binary, raise_left: i256, raise_right: i256) -> Function {
    let small = raise_left.to_i128().zip(raise_right.to_i128());
    Function::new(move |arguments, rows| {
        let [left, right] = arguments else { return Err(arity()) };
        let order = |l: i128, r: i128| {
            let fast = small.and_then(|(a, b)| Some(l.checked_mul(a)?.cmp(&r.checked_mul(b)?)));
            fast.unwrap_or_else(|| {
                let raise = |value: i128, by: i256| i256::from_i128(value).checked_mul(by);
                let both = raise(l, raise_left).zip(raise(r, raise_right));
                let (l, r) = both.expect("38 digits and a factor of 38 more fit 256 bits");
                l.cmp(&r)
            })
        };
        let types = (left.array().data_type(), right.array().data_type());
        if let (DataType::Decimal128(..), DataType::Decimal128(..)) = types {
            return Ok(relate::<Decimal128Type, Decimal128Type>(operator, left, right, order));
        }
        let (l, r) = Wide::of(left).zip(Wide::of(right)).ok_or_else(arity)?;
        let answer = |row| Some(holds(operator, order(l.get(row)?, r.get(row)?)));
        Ok((0..rows).map(answer).collect::<BooleanArray>().into())
    })
}

/// Exact comparison of integers or decimals of a scale with floats.
pub(crate) fn with_floats(operator: Binary, scale: u8, flipped: bool) -> Function {
    Function::new(move |arguments, rows| {
        let [left, right] = arguments else { return Err(arity()) };
        let (counts, floats) = if flipped { (right, left) } else { (left, right) };
        let counts = Wide::of(counts).ok_or_else(arity)?;
        let floats = floats.numbers::<Float64Type>();
        let answer = |row| {
            let order = exact_order(counts.get(row)?, scale, floats.get(row)?);
            Some(holds(operator, if flipped { order.reverse() } else { order }))
        };
        Ok((0..rows).map(answer).collect::<BooleanArray>().into())
    })
}

/// The order of `value / 10^scale` and a float.
///
/// Rounding to the nearest float keeps the order, so only where that is equal the digits decide; then
/// both have so few that 256 bits hold them.
fn exact_order(value: i128, scale: u8, float: f64) -> Ordering {
    let nearest = super::decimal::nearest(value, i8::try_from(scale).unwrap_or(i8::MAX));
    match float_order(nearest, float) {
        Ordering::Equal if float.is_finite() => digits_order(value, scale, float).unwrap_or(Ordering::Equal),
        order => order,
    }
}

fn digits_order(value: i128, scale: u8, float: f64) -> Option<Ordering> {
    let bits = float.to_bits();
    let exponent = i32::try_from((bits >> 52) & 0x7ff).ok()?;
    let fraction = i128::from(bits & ((1 << 52) - 1));
    let (mantissa, exponent) =
        if exponent == 0 { (fraction, -1_074) } else { (fraction | (1 << 52), exponent - 1_075) };
    let mantissa = if float < 0.0 { -mantissa } else { mantissa };
    let power_of_two = |by: i32| i256::from_i128(2).checked_pow(u32::try_from(by).ok()?);
    let left = i256::from_i128(value).checked_mul(power_of_two((-exponent).max(0))?)?;
    let right = i256::from_i128(mantissa).checked_mul(power_of_two(exponent.max(0))?)?;
    Some(left.cmp(&right.checked_mul(power_of_ten(scale)?)?))
}

/// Comparison of counts with a fixed bound between two of them or at one: `floor` is the bound rounded
/// down, `exact` tells whether nothing was cut.
pub(crate) fn with_bound(
    operator: Binary,
    data_type: &DataType,
    floor: i128,
    exact: bool,
) -> Option<Function> {
    let (operator, answer) = match (operator, exact) {
        (operator, true) => (operator, None),
        (Binary::Less | Binary::LessOrEqual, false) => (Binary::LessOrEqual, None),
        (Binary::Greater | Binary::GreaterOrEqual, false) => (Binary::Greater, None),
        (operator, false) => (operator, Some(holds(operator, Ordering::Less))),
    };
    with_count!(data_type, A => {
        type Native = <A as ArrowPrimitiveType>::Native;
        // A bound beyond the type lies above or below all of its values.
        let beyond = if floor < 0 { Ordering::Greater } else { Ordering::Less };
        let bound = match answer {
            Some(answer) => Err(answer),
            None => Native::try_from(floor).map_err(|_| holds(operator, beyond)),
        };
        Some(Function::new(move |arguments, _| {
            let [value] = arguments else { return Err(arity()) };
            let values = value.numbers::<A>().array;
            Ok(match (bound, operator) {
                (Err(answer), _) => BooleanArray::from_unary(values, |_| answer),
                (Ok(bound), Binary::Equal) => BooleanArray::from_unary(values, |v| v == bound),
                (Ok(bound), Binary::NotEqual) => BooleanArray::from_unary(values, |v| v != bound),
                (Ok(bound), Binary::Less) => BooleanArray::from_unary(values, |v| v < bound),
                (Ok(bound), Binary::LessOrEqual) => BooleanArray::from_unary(values, |v| v <= bound),
                (Ok(bound), Binary::Greater) => BooleanArray::from_unary(values, |v| v > bound),
                (Ok(bound), _) => BooleanArray::from_unary(values, |v| v >= bound),
            }.into())
        }))
    }, else None)
}

/// Comparison of strings, binaries or truth values of one type.
pub(crate) fn plain(operator: Binary) -> Function {
    Function::new(move |arguments, _| {
        let [left, right] = arguments else { return Err(arity()) };
        let (left, right) = (datum(left), datum(right));
        let (l, r): (&dyn Datum, &dyn Datum) = (left.as_ref(), right.as_ref());
        Ok(match operator {
            Binary::Equal => cmp::eq(l, r)?,
            Binary::NotEqual => cmp::neq(l, r)?,
            Binary::Less => cmp::lt(l, r)?,
            Binary::LessOrEqual => cmp::lt_eq(l, r)?,
            Binary::Greater => cmp::gt(l, r)?,
            _ => cmp::gt_eq(l, r)?,
        }
        .into())
    })
}

/// The operand as Arrow's kernels take it.
pub(crate) fn datum(value: &Value) -> Box<dyn Datum> {
    match value {
        Value::Rows(array) => Box::new(ArrayRef::clone(array)),
        Value::Constant(array) => Box::new(Scalar::new(ArrayRef::clone(array))),
    }
}

/// `IS [NOT] DISTINCT FROM` by the answer of the equality and the nulls of both sides, which are the
/// first and the other arguments.
pub(crate) fn distinct(negated: bool) -> Function {
    Function::new(move |arguments, rows| {
        let [equal, left, right] = arguments else { return Err(arity()) };
        let equal = equal.clone().into_rows(rows)?;
        let equal = equal.as_boolean();
        let same = |row| match (left.is_null(row), right.is_null(row)) {
            (false, false) => equal.is_valid(row) && equal.value(row),
            (left, right) => left && right,
        };
        Ok((0..rows).map(|row| Some(same(row) == negated)).collect::<BooleanArray>().into())
    })
}

fn relate<A, B>(
    operator: Binary,
    left: &Value,
    right: &Value,
    order: impl Fn(A::Native, B::Native) -> Ordering,
) -> Answer
where
    A: ArrowPrimitiveType,
    B: ArrowPrimitiveType,
{
    match operator {
        Binary::Equal => apply::<A, B>(left, right, |l, r| order(l, r).is_eq()),
        Binary::NotEqual => apply::<A, B>(left, right, |l, r| order(l, r).is_ne()),
        Binary::Less => apply::<A, B>(left, right, |l, r| order(l, r).is_lt()),
        Binary::LessOrEqual => apply::<A, B>(left, right, |l, r| order(l, r).is_le()),
        Binary::Greater => apply::<A, B>(left, right, |l, r| order(l, r).is_gt()),
        _ => apply::<A, B>(left, right, |l, r| order(l, r).is_ge()),
    }
    .into()
}

fn apply<A, B>(left: &Value, right: &Value, holds: impl Fn(A::Native, B::Native) -> bool) -> BooleanArray
where
    A: ArrowPrimitiveType,
    B: ArrowPrimitiveType,
{
    let (l, r) = (left.numbers::<A>(), right.numbers::<B>());
    match (left, right) {
        (Value::Rows(_), Value::Constant(_)) => match r.constant() {
            Some(c) => BooleanArray::from_unary(l.array, |v| holds(v, c)),
            None => BooleanArray::new_null(l.array.len()),
        },
        (Value::Constant(_), Value::Rows(_)) => match l.constant() {
            Some(c) => BooleanArray::from_unary(r.array, |v| holds(c, v)),
            None => BooleanArray::new_null(r.array.len()),
        },
        _ => BooleanArray::from_binary(l.array, r.array, holds),
    }
}

/// The negation of a truth value; null stays null.
pub(crate) fn not() -> Function {
    Function::new(|arguments, rows| {
        let [value] = arguments else { return Err(arity()) };
        let value = value.clone().into_rows(rows)?;
        Ok(arrow::compute::not(value.as_boolean())?.into())
    })
}

/// `IS [NOT] NULL`, for every type.
pub(crate) fn is_null(negated: bool) -> Function {
    Function::new(move |arguments, rows| {
        let [value] = arguments else { return Err(arity()) };
        let value = value.clone().into_rows(rows)?;
        let nulls = arrow::compute::is_null(&value)?;
        Ok(if negated { arrow::compute::not(&nulls)? } else { nulls }.into())
    })
}

/// `IS [NOT] TRUE` and `IS [NOT] FALSE`, which are never null.
pub(crate) fn is_truth(truth: bool, negated: bool) -> Function {
    Function::new(move |arguments, rows| -> Answered {
        let [value] = arguments else { return Err::<Answer, ArrowError>(arity()) };
        let value = value.clone().into_rows(rows)?;
        let value = value.as_boolean();
        let is = |row| value.is_valid(row) && value.value(row) == truth;
        let array: BooleanArray = (0..rows).map(|row| Some(is(row) != negated)).collect();
        Ok(Answer::new(Arc::new(array), super::RowErrors::default()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_floats_compare_exactly() {
        let big = 9_007_199_254_740_993_i128;
        assert_eq!(exact_order(big, 0, 9_007_199_254_740_992.0), Ordering::Greater);
        assert_eq!(exact_order(big - 1, 0, 9_007_199_254_740_992.0), Ordering::Equal);
        assert_eq!(exact_order(1, 1, 0.1), Ordering::Less, "the float 0.1 is a little more");
        assert_eq!(exact_order(5, 1, 0.5), Ordering::Equal);
        assert_eq!(exact_order(i128::MAX, 0, f64::INFINITY), Ordering::Less);
        assert_eq!(exact_order(i128::MAX, 38, f64::NAN), Ordering::Less);
        assert_eq!(exact_order(0, 5, -0.0), Ordering::Equal);
        assert_eq!(exact_order(1, 38, 1e-38), digits_order(1, 38, 1e-38).unwrap());
    }
}
