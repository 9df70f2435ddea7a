//! Arithmetic of decimals: every digit is kept, or the row has an error.

use std::sync::Arc;

use arrow::array::Decimal128Array;
use arrow::datatypes::{Decimal128Type, i256};

use super::arithmetic::arity;
use super::{Answer, Answered, Function, Reason, Value, collect};
use crate::exact::{power_of_ten, small_power_of_ten};
use crate::tree::Binary;

/// Digits of every decimal that is computed.
pub(crate) const PRECISION: u8 = 38;

/// One more than the largest decimal of 38 digits.
const LIMIT: i128 = 10_i128.pow(38);

fn within(value: i128) -> Result<i128, Reason> {
    if -LIMIT < value && value < LIMIT { Ok(value) } else { Err(Reason::Overflow) }
}

fn narrow(value: Option<i256>) -> Result<i128, Reason> {
    value.and_then(i256::to_i128).ok_or(Reason::Overflow).and_then(within)
}

/// The float nearest to `value / 10^scale`.
#[expect(clippy::cast_precision_loss, reason = "values below 2^53 are exact, others are read from text")]
pub(crate) fn nearest(value: i128, scale: i8) -> f64 {
    const EXACT: u128 = 1 << 53;
    match u8::try_from(scale) {
        Ok(scale @ 0..=22) if value.unsigned_abs() <= EXACT => value as f64 / 10_f64.powi(i32::from(scale)),
        _ => format!("{value}e{}", -i32::from(scale)).parse().unwrap_or(f64::NAN),
    }
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
    let raised = move |l: i128, r: i128| Some((l.checked_mul(raise_left)?, r.checked_mul(raise_right)?));
    let wide = move |l: i128, r: i128| {
        let raise = |value: i128, by: i128| i256::from_i128(value).checked_mul(i256::from_i128(by));
        Some((raise(l, raise_left)?, raise(r, raise_right)?))
    };
    Some(Function::new(move |arguments, rows| match operator {
        Binary::Multiply => apply(arguments, rows, scale, |l, r| multiply(l, r).map(Some)),
        Binary::Add => apply(arguments, rows, scale, |l, r| match raised(l, r) {
            Some((l, r)) => l.checked_add(r).ok_or(Reason::Overflow).and_then(within).map(Some),
            None => narrow(wide(l, r).and_then(|(l, r)| l.checked_add(r))).map(Some),
        }),
        Binary::Subtract => apply(arguments, rows, scale, |l, r| match raised(l, r) {
            Some((l, r)) => l.checked_sub(r).ok_or(Reason::Overflow).and_then(within).map(Some),
            None => narrow(wide(l, r).and_then(|(l, r)| l.checked_sub(r))).map(Some),
        }),
        Binary::Modulo => apply(arguments, rows, scale, |l, r| {
            if r == 0 {
                return Ok(None);
            }
            narrow(wide(l, r).and_then(|(l, r)| l.checked_rem(r))).map(Some)
        }),
        _ => apply(arguments, rows, scale, |l, r| {
            if r == 0 {
                return Ok(None);
            }
            let quotient = wide(l, r).and_then(|(l, r)| l.checked_div(r));
            narrow(quotient.and_then(|q| q.checked_mul(power_of_ten(scale)?))).map(Some)
        }),
    }))
}

/// A product; two factors of 64 bits, the common case, never overflow.
fn multiply(left: i128, right: i128) -> Result<i128, Reason> {
    match (i64::try_from(left), i64::try_from(right)) {
        (Ok(left), Ok(right)) => within(i128::from(left) * i128::from(right)),
        _ => left.checked_mul(right).ok_or(Reason::Overflow).and_then(within),
    }
}

fn apply(
    arguments: &[Value],
    rows: usize,
    scale: u8,
    each: impl Fn(i128, i128) -> Result<Option<i128>, Reason>,
) -> Answered {
    let [left, right] = arguments else { return Err(arity()) };
    let (l, r) = (left.numbers::<Decimal128Type>(), right.numbers::<Decimal128Type>());
    let answer = collect::<Decimal128Type>(rows, |row| match (l.get(row), r.get(row)) {
        (Some(l), Some(r)) => each(l, r),
        _ => Ok(None),
    });
    typed(answer, PRECISION, scale)
}

/// The answer with the precision and scale of its type.
pub(crate) fn typed(answer: Answer, precision: u8, scale: u8) -> Answered {
    let values = arrow::array::AsArray::as_primitive::<Decimal128Type>(&answer.array).clone();
    let scale = i8::try_from(scale).unwrap_or(i8::MAX);
    let values: Decimal128Array = values.with_precision_and_scale(precision, scale)?;
    Ok(Answer::new(Arc::new(values), answer.errors))
}

/// A decimal at another scale, rounded half away from zero, of at most so many digits.
pub(crate) fn rescale(value: i128, from: u8, to: u8, precision: u8) -> Option<i128> {
    let scaled = if to >= from {
        i256::from_i128(value).checked_mul(power_of_ten(to - from)?)?
    } else {
        round_half_away(i256::from_i128(value), power_of_ten(from - to)?)?
    };
    let limit = power_of_ten(precision)?;
    let inside = scaled < limit && scaled > limit.checked_neg()?;
    if inside { scaled.to_i128() } else { None }
}

/// `value / unit`, rounded half away from zero.
pub(crate) fn round_half_away(value: i256, unit: i256) -> Option<i256> {
    let quotient = value.checked_div(unit)?;
    let rest = value.checked_rem(unit)?;
    let twice = rest.checked_mul(i256::from_i128(2))?;
    let magnitude = if twice.is_negative() { twice.checked_neg()? } else { twice };
    if magnitude < unit {
        return Some(quotient);
    }
    let step = if value.is_negative() { i256::MINUS_ONE } else { i256::ONE };
    quotient.checked_add(step)
}

/// Rounds to so many digits behind the point (negative: before it), at the same scale.
pub(crate) fn round(value: i128, scale: u8, digits: i64) -> Option<i128> {
    let cut = i64::from(scale) - digits;
    if cut <= 0 {
        return Some(value);
    }
    let Some(unit) = u8::try_from(cut).ok().and_then(power_of_ten) else { return Some(0) };
    let rounded = round_half_away(i256::from_i128(value), unit)?.checked_mul(unit)?;
    narrow(Some(rounded)).ok()
}
