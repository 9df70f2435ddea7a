//! Arithmetic of decimals: every digit is kept, or the row has an error.

use std::sync::Arc;

use arrow::array::{AsArray, Decimal128Array};
use arrow::datatypes::{DataType, Decimal128Type, i256};

use super::by_row::{try_binary, try_unary};
use super::value::Value;
use super::{Answer, Answered, Function, Reason};
use crate::exact::{POWERS_OF_TEN, decimal_power, small_power_of_ten};
use crate::syntax::tree::Binary;

/// Digits of every decimal that is computed.
pub(crate) const PRECISION: u8 = 38;

/// One more than the largest decimal of 38 digits.
const LIMIT: i128 = POWERS_OF_TEN[38];

#[inline]
pub(crate) fn within(value: i128) -> Result<i128, Reason> {
    if -LIMIT < value && value < LIMIT { Ok(value) } else { Err(Reason::Overflow) }
}

/// The number without its sign.
#[inline]
pub(crate) fn absolute(value: i128) -> Result<i128, Reason> {
    // No branch for the sign, which cannot be foretold.
    value.unsigned_abs().try_into().map_err(|_| Reason::Overflow).and_then(within)
}

/// The number with the other sign.
#[inline]
pub(crate) fn negative(value: i128) -> Result<i128, Reason> {
    value.checked_neg().ok_or(Reason::Overflow).and_then(within)
}

pub(crate) fn narrow(value: Option<i256>) -> Result<i128, Reason> {
    value.and_then(i256::to_i128).ok_or(Reason::Overflow).and_then(within)
}

/// The float nearest to `value / 10^scale`.
#[inline]
#[expect(clippy::cast_precision_loss, reason = "a float has the number exactly")]
pub(crate) fn nearest(value: i128, scale: i8) -> f64 {
    const EXACT: u64 = 1 << 53;
    let power = usize::try_from(scale).ok().and_then(|scale| POWERS.get(scale));
    match (power, i64::try_from(value)) {
        (Some(power), Ok(value)) if value.unsigned_abs() <= EXACT => value as f64 / power,
        _ => nearest_of_many_digits(value, scale),
    }
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "what is lost is added again, or the number read from text"
)]
#[expect(clippy::float_cmp, reason = "the same float is meant")]
fn nearest_of_many_digits(value: i128, scale: i8) -> f64 {
    /// Numbers below this and their distances from the nearest float need no more than two floats.
    const TWO_FLOATS: u128 = 1 << 100;
    match usize::try_from(scale).ok().and_then(|scale| POWERS.get(scale)) {
        Some(_) if scale == 0 => value as f64,
        Some(power) if value.unsigned_abs() < TWO_FLOATS => {
            let float = value as f64;
            let lost = (value - float as i128) as f64;
            let quotient = float / power;
            // The error of the quotient, up to its last bits.
            let rest = ((-quotient).mul_add(*power, float) + lost) / power;
            let (low, high) = (quotient + rest * (1.0 - 1e-9), quotient + rest * (1.0 + 1e-9));
            if low == high { low } else { read_nearest(value, scale) }
        }
        _ => read_nearest(value, scale),
    }
}

#[cold]
fn read_nearest(value: i128, scale: i8) -> f64 {
    format!("{value}e{}", -i32::from(scale)).parse().expect("digits with an exponent are read as a float")
}

/// The powers of ten that floats have exactly.
const POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18,
    1e19, 1e20, 1e21, 1e22,
];

/// A power of ten that a float has exactly.
pub(crate) fn float_power(exponent: u8) -> Option<f64> {
    POWERS.get(usize::from(exponent)).copied()
}

/// The scale of a result; `None` where no decimal has it.
pub(crate) fn result_scale(operator: Binary, left: u8, right: u8) -> Option<u8> {
    let scale = if operator == Binary::Multiply { left + right } else { left.max(right) };
    (scale <= PRECISION).then_some(scale)
}

/// `left operator right` for decimals of these scales, whose result has [`result_scale`].
pub(crate) fn decimals(operator: Binary, left: u8, right: u8) -> Option<Function> {
    let scale = result_scale(operator, left, right)?;
    let (raise_left, raise_right) = match operator {
        Binary::Multiply => (1, 1),
        _ => (small_power_of_ten(scale - left)?, small_power_of_ten(scale - right)?),
    };
    let wide = move |l: i128, r: i128| {
        let raise = |value: i128, by: i128| i256::from_i128(value).checked_mul(i256::from_i128(by));
        Some((raise(l, raise_left)?, raise(r, raise_right)?))
    };
    let small = i64::try_from(raise_left).ok().zip(i64::try_from(raise_right).ok());
    // Two numbers of 64 bits at their common scale, the usual case: neither product overflows.
    let raised = move |l: i128, r: i128| {
        let (by_left, by_right) = small?;
        let (l, r) = (i64::try_from(l).ok()?, i64::try_from(r).ok()?);
        Some((i128::from(l) * i128::from(by_left), i128::from(r) * i128::from(by_right)))
    };
    let same = raise_left == 1 && raise_right == 1;
    Some(Function::of_two(move |left, right, rows| match operator {
        Binary::Multiply => apply((left, right), rows, scale, |l, r| multiply(l, r).map(Some)),
        Binary::Add if same => apply((left, right), rows, scale, |l, r| {
            l.checked_add(r).ok_or(Reason::Overflow).and_then(within).map(Some)
        }),
        Binary::Subtract if same => apply((left, right), rows, scale, |l, r| {
            l.checked_sub(r).ok_or(Reason::Overflow).and_then(within).map(Some)
        }),
        Binary::Add => apply((left, right), rows, scale, |l, r| match raised(l, r) {
            Some((l, r)) => within(l + r).map(Some),
            None => narrow(wide(l, r).and_then(|(l, r)| l.checked_add(r))).map(Some),
        }),
        Binary::Subtract => apply((left, right), rows, scale, |l, r| match raised(l, r) {
            Some((l, r)) => within(l - r).map(Some),
            None => narrow(wide(l, r).and_then(|(l, r)| l.checked_sub(r))).map(Some),
        }),
        Binary::Modulo => apply((left, right), rows, scale, |l, r| match raised(l, r) {
            _ if r == 0 => Ok(None),
            Some((l, r)) => Ok(Some(remainder(l, r))),
            None => narrow(wide(l, r).and_then(|(l, r)| l.checked_rem(r))).map(Some),
        }),
        _ => {
            let unit = decimal_power(scale);
            apply((left, right), rows, scale, |l, r| match raised(l, r) {
                _ if r == 0 => Ok(None),
                Some((l, r)) => {
                    quotient(l, r).checked_mul(unit).ok_or(Reason::Overflow).and_then(within).map(Some)
                }
                None => {
                    let quotient = wide(l, r).and_then(|(l, r)| l.checked_div(r));
                    narrow(quotient.and_then(|q| q.checked_mul(i256::from_i128(unit)))).map(Some)
                }
            })
        }
    }))
}

/// A product; two factors of 64 bits, the usual case, never overflow.
#[inline]
fn multiply(left: i128, right: i128) -> Result<i128, Reason> {
    match (i64::try_from(left), i64::try_from(right)) {
        // At most 2^126, which is less than 10^38.
        (Ok(left), Ok(right)) => Ok(i128::from(left) * i128::from(right)),
        _ => left.checked_mul(right).ok_or(Reason::Overflow).and_then(within),
    }
}

/// The quotient towards zero, by 64 bits where they hold both. The divisor is neither 0 nor, beside the
/// smallest number, -1.
fn quotient(left: i128, right: i128) -> i128 {
    match (i64::try_from(left), i64::try_from(right)) {
        (Ok(l), Ok(r)) if r != -1 => i128::from(l / r),
        _ => left / right,
    }
}

/// The remainder of [`quotient`].
fn remainder(left: i128, right: i128) -> i128 {
    match (i64::try_from(left), i64::try_from(right)) {
        (Ok(l), Ok(r)) if r != -1 => i128::from(l % r),
        _ => left % right,
    }
}

fn apply(
    (left, right): (&Value, &Value),
    rows: usize,
    scale: u8,
    each: impl Fn(i128, i128) -> Result<Option<i128>, Reason>,
) -> Answered {
    let answer = try_binary::<Decimal128Type, Decimal128Type, Decimal128Type>(left, right, rows, each);
    typed(answer, PRECISION, scale)
}

/// A function of each decimal.
pub(crate) fn each(
    precision: u8,
    scale: u8,
    apply: impl Fn(i128) -> Result<i128, Reason> + Copy + Send + Sync + 'static,
) -> Function {
    Function::of_one(move |value, rows| {
        typed(try_unary::<Decimal128Type, Decimal128Type>(value, rows, apply), precision, scale)
    })
}

/// The type of decimals of 38 digits.
pub(crate) fn decimal_type(scale: u8) -> DataType {
    DataType::Decimal128(PRECISION, signed_scale(scale))
}

/// A scale as Arrow has it.
pub(crate) fn signed_scale(scale: u8) -> i8 {
    i8::try_from(scale).expect("the scale of a decimal is at most 38")
}

/// The answer with the precision and scale of its type.
pub(crate) fn typed(answer: Answer, precision: u8, scale: u8) -> Answered {
    let values = answer.array.as_primitive::<Decimal128Type>().clone();
    let values: Decimal128Array = values.with_precision_and_scale(precision, signed_scale(scale))?;
    Ok(Answer::new(Arc::new(values), answer.errors))
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Numbers of any size.
    pub(crate) fn numbers() -> impl Strategy<Value = i128> {
        (any::<i128>(), 0_u32..128).prop_map(|(number, shift)| number >> shift)
    }

    proptest! {
        #[test]
        fn the_nearest_float_is_that_which_the_text_is_read_as(value in numbers(), scale in 0_i8..=38) {
            prop_assert_eq!(nearest(value, scale).to_bits(), (read_nearest(value, scale) + 0.0).to_bits());
        }
    }
}
