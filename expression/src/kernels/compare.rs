//! Comparisons by value.

use std::cmp::Ordering;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, Datum, Scalar};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::compute::kernels::cmp;
use arrow::datatypes::{DataType, Float64Type, Int64Type, UInt64Type, i256};

use super::Function;
use super::decimal::float_power;
use super::numbers::{Wide, with_float};
use super::value::{Side, Value, nulls_of_both};
use crate::exact::{POWERS_OF_TEN, power_of_ten};
use crate::syntax::tree::Binary;

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

#[expect(clippy::float_cmp, reason = "equal values are meant")]
/// Comparison of floats of one type: NaN is equal to itself and above all others, zeros are equal.
pub(crate) fn floats(operator: Binary, data_type: &DataType) -> Option<Function> {
    with_float!(data_type, A => Some(Function::of_two(move |left, right, _| {
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
    Function::of_two(move |left, right, rows| {
        let (signed, unsigned) = if flipped { (right, left) } else { (left, right) };
        let operator = if flipped { operator.mirrored() } else { operator };
        let sides = (signed.numbers::<Int64Type>().side(), unsigned.numbers::<UInt64Type>().side());
        let order = |l: i64, r: u64| i128::from(l).cmp(&i128::from(r));
        Ok(by_order(operator, sides, nulls_of_both(left, right), rows, order).into())
    })
}

/// Comparison of counts at different scales: integers with decimals, decimals with decimals, points in
/// time of different units. Each side is multiplied by its factor, exactly.
pub(crate) fn scaled(operator: Binary, raise_left: i256, raise_right: i256) -> Function {
    let small = |factor: i256| factor.to_i128().and_then(|factor| i64::try_from(factor).ok());
    let small = small(raise_left).zip(small(raise_right));
    let wide_order = move |l: i128, r: i128| {
        let raise = |value: i128, by: i256| i256::from_i128(value).checked_mul(by);
        let both = raise(l, raise_left).zip(raise(r, raise_right));
        let (l, r) = both.expect("38 digits and a factor of 38 more fit 256 bits");
        l.cmp(&r)
    };
    Function::of_two(move |left, right, rows| {
        let (l, r) = (Wide::of(left), Wide::of(right));
        let nulls = nulls_of_both(left, right);
        Ok(match small {
            Some((1, 1)) => {
                by_order(operator, (l.side(), r.side()), nulls, rows, |l: i128, r: i128| l.cmp(&r))
            }
            Some((a, b)) => by_order(operator, (l.side(), r.side()), nulls, rows, |l: i128, r: i128| {
                match (i64::try_from(l), i64::try_from(r)) {
                    // The usual case: 64 bits at both sides.
                    (Ok(l), Ok(r)) => (i128::from(l) * i128::from(a)).cmp(&(i128::from(r) * i128::from(b))),
                    _ => wide_order(l, r),
                }
            }),
            None => by_order(operator, (l.side(), r.side()), nulls, rows, wide_order),
        }
        .into())
    })
}

/// Exact comparison of integers or decimals of a scale with floats.
pub(crate) fn with_floats(operator: Binary, scale: u8, flipped: bool) -> Function {
    Function::of_two(move |left, right, rows| {
        let (counts, floats) = if flipped { (right, left) } else { (left, right) };
        let operator = if flipped { operator.mirrored() } else { operator };
        let counts = Wide::of(counts);
        let sides = (counts.side(), floats.numbers::<Float64Type>().side());
        let order = |count: i128, float: f64| exact_order(count, scale, float);
        Ok(by_order(operator, sides, nulls_of_both(left, right), rows, order).into())
    })
}

/// The rows whose order satisfies the operator.
#[expect(clippy::indexing_slicing, reason = "each side has a value for each row")]
fn by_order<L: Copy, R: Copy>(
    operator: Binary,
    sides: (Option<Side<'_, L>>, Option<Side<'_, R>>),
    nulls: Option<NullBuffer>,
    rows: usize,
    order: impl Fn(L, R) -> Ordering,
) -> BooleanArray {
    let [less, equal, greater] =
        [Ordering::Less, Ordering::Equal, Ordering::Greater].map(|ordering| holds(operator, ordering));
    let fits = |l, r| match order(l, r) {
        Ordering::Less => less,
        Ordering::Equal => equal,
        Ordering::Greater => greater,
    };
    let bits = match sides {
        (Some(Side::Each(l)), Some(Side::Each(r))) => {
            BooleanBuffer::collect_bool(rows, |row| fits(l[row], r[row]))
        }
        (Some(Side::Each(l)), Some(Side::One(r))) => BooleanBuffer::collect_bool(rows, |row| fits(l[row], r)),
        (Some(Side::One(l)), Some(Side::Each(r))) => BooleanBuffer::collect_bool(rows, |row| fits(l, r[row])),
        (Some(Side::One(l)), Some(Side::One(r))) => BooleanBuffer::collect_bool(rows, |_| fits(l, r)),
        _ => return BooleanArray::new_null(rows),
    };
    BooleanArray::new(bits, nulls)
}

/// The order of `value / 10^scale` and a float.
///
/// A quotient of floats decides it but where both are nearly equal; then the digits decide, of which both
/// have so few that 256 bits hold them.
#[inline]
#[expect(clippy::cast_precision_loss, reason = "what is lost is less than what is called nearly equal")]
fn exact_order(value: i128, scale: u8, float: f64) -> Ordering {
    const NEARLY: f64 = 1e-14;
    let power = float_power(scale).unwrap_or_else(|| 10_f64.powi(i32::from(scale)));
    let nearest = |value: i128| i64::try_from(value).map_or_else(|_| wide_float(value), |value| value as f64);
    let near = nearest(value) / power;
    if (near - float).abs() > near.abs() * NEARLY {
        return float_order(near, float);
    }
    if !float.is_finite() {
        return float_order(0.0, float);
    }
    if value == 0 {
        return Ordering::Equal;
    }
    digits_order(value, scale, float)
        .expect("two numbers that are nearly equal have digits that 256 bits hold")
}

/// A number of more than 64 bits as the nearest float: a call, which the usual case should not pay for.
#[cold]
#[inline(never)]
#[expect(clippy::cast_precision_loss, reason = "the nearest float is meant")]
fn wide_float(value: i128) -> f64 {
    value as f64
}

/// The order of `value / 10^scale` and a finite float, by their digits; `None` where 256 bits do not hold them.
#[cold]
fn digits_order(value: i128, scale: u8, float: f64) -> Option<Ordering> {
    let bits = float.to_bits();
    let exponent = i32::try_from((bits >> 52) & 0x7ff).ok()?;
    let fraction = i128::from(bits & ((1 << 52) - 1));
    let (mantissa, exponent) =
        if exponent == 0 { (fraction, -1_074) } else { (fraction | (1 << 52), exponent - 1_075) };
    let mantissa = if float < 0.0 { -mantissa } else { mantissa };
    // Most floats beside a number of 64 bits and few digits behind the point.
    if let (Ok(small), -62..=0, Some(power)) =
        (i64::try_from(value), exponent, POWERS_OF_TEN.get(usize::from(scale)))
        && let Ok(power) = i64::try_from(*power)
    {
        return Some((i128::from(small) << -exponent).cmp(&(mantissa * i128::from(power))));
    }
    let power_of_two = |by: i32| i256::from_i128(2).checked_pow(u32::try_from(by).ok()?);
    let left = i256::from_i128(value).checked_mul(power_of_two((-exponent).max(0))?)?;
    let right = i256::from_i128(mantissa).checked_mul(power_of_two(exponent.max(0))?)?;
    Some(left.cmp(&right.checked_mul(power_of_ten(scale)?)?))
}

/// One truth value for all rows that are not null.
pub(crate) fn always(truth: bool) -> Function {
    Function::of_rows(move |value| {
        let rows = value.len();
        let bits = if truth { BooleanBuffer::new_set(rows) } else { BooleanBuffer::new_unset(rows) };
        Ok(BooleanArray::new(bits, value.nulls().cloned()).into())
    })
}

/// Comparison of values of one type that Arrow orders as SQL does: all but floats.
pub(crate) fn plain(operator: Binary) -> Function {
    Function::of_two(move |left, right, _| {
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
    Function::of_three(move |equal, left, right, rows| {
        let equal = equal.clone().into_rows(rows)?;
        let equal = equal.as_boolean();
        let same = |row| match (left.is_null(row), right.is_null(row)) {
            (false, false) => equal.is_valid(row) && equal.value(row),
            (left, right) => left && right,
        };
        Ok((0..rows).map(|row| Some(same(row) == negated)).collect::<BooleanArray>().into())
    })
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
    Function::of_rows(|value| Ok(arrow::compute::not(value.as_boolean())?.into()))
}

/// `IS [NOT] NULL`, for every type.
pub(crate) fn is_null(negated: bool) -> Function {
    Function::of_rows(move |value| {
        let nulls = arrow::compute::is_null(&value)?;
        Ok(if negated { arrow::compute::not(&nulls)? } else { nulls }.into())
    })
}

/// `IS [NOT] TRUE` and `IS [NOT] FALSE`, which are never null.
pub(crate) fn is_truth(truth: bool, negated: bool) -> Function {
    Function::of_rows(move |value| {
        let value = value.as_boolean();
        let is = |row| value.is_valid(row) && value.value(row) == truth;
        let array: BooleanArray = (0..value.len()).map(|row| Some(is(row) != negated)).collect();
        Ok(array.into())
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
