//! Decimals with fewer digits: rounded, cut, and brought to other scales.

use arrow::array::{ArrowPrimitiveType, AsArray, PrimitiveArray};
use arrow::datatypes::{Decimal128Type, i256};

use super::by_row::try_unary;
use super::decimal::{PRECISION, typed, within};
use super::value::{Value, nulls_of};
use super::{Answer, Function, Reason};
use crate::exact::decimal_power;

/// A division by a power of ten.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PowerDivision {
    unit: i128,
    /// The unit where 64 bits hold it, else 0.
    small: i64,
    inverse: f64,
}

impl PowerDivision {
    /// By `10^by`; `by` is at most 38.
    #[expect(clippy::cast_precision_loss, reason = "the inverse is an estimate")]
    pub(crate) fn new(by: u8) -> Self {
        let unit = decimal_power(by);
        Self { unit, small: i64::try_from(unit).unwrap_or(0), inverse: 1.0 / unit as f64 }
    }

    /// True where [`PowerDivision::floor_small`] can divide.
    fn has_small(self) -> bool {
        self.small != 0
    }

    /// The quotient rounded half away from zero.
    #[inline]
    pub(crate) fn round(self, value: i128) -> i128 {
        match i64::try_from(value) {
            Ok(value) if value.unsigned_abs() <= SMALL && self.has_small() => {
                i128::from(self.round_small(value))
            }
            _ => {
                let quotient = value / self.unit;
                let rest = (value - quotient * self.unit).abs();
                quotient + if rest >= self.unit - rest { value.signum() } else { 0 }
            }
        }
    }

    /// The next quotient of a number of at most [`SMALL`] and half a unit that is not larger: a multiplication by the
    /// inverse, and no branch, which would go the wrong way for every other number.
    #[inline]
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        reason = "the rest puts it right"
    )]
    fn floor_small(self, value: i64) -> i64 {
        // The quotient, or one beside it.
        let quotient = (value as f64 * self.inverse) as i64;
        let rest = value - quotient * self.small;
        quotient - i64::from(rest < 0) + i64::from(rest >= self.small)
    }

    /// The quotient towards zero.
    #[inline]
    fn cut_small(self, value: i64) -> i64 {
        with_sign(self.floor_small(value.abs()), value)
    }

    /// The quotient rounded half away from zero.
    #[inline]
    fn round_small(self, value: i64) -> i64 {
        with_sign(self.floor_small(value.abs() + self.small / 2), value)
    }
}

/// The number with the sign of another.
#[inline]
fn with_sign(number: i64, of: i64) -> i64 {
    let minus = of >> 63;
    (number ^ minus) - minus
}

/// The largest number of which floats have all that are not larger.
const SMALL: u64 = 1 << 53;

/// `apply` to each of decimals that are all below [`SMALL`], the usual case, without a branch for a row; `None` for a
/// constant, for what are no decimals, or where one is not. What stands under a null counts.
pub(crate) fn each_small<B: ArrowPrimitiveType>(
    value: &Value,
    apply: impl Fn(i64) -> B::Native,
) -> Option<Answer> {
    const BIAS: i128 = SMALL as i128;
    let (Value::Rows(array), nulls) = (value, nulls_of(value)) else { return None };
    let values = array.as_primitive_opt::<Decimal128Type>()?.values();
    // Zero for numbers from -2^53 to below 2^53.
    let beyond = |value: &i128| value.wrapping_add(BIAS) >> 54;
    if values.iter().fold(0, |any, value| any | beyond(value)) != 0 {
        return None;
    }
    #[expect(clippy::cast_possible_truncation, reason = "the range was looked at")]
    let values: Vec<B::Native> = values.iter().map(|value| apply(*value as i64)).collect();
    Some(PrimitiveArray::<B>::new(values.into(), nulls.cloned()).into())
}

/// Brings decimals to another scale, rounded half away from zero, of at most so many digits.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rescale {
    division: PowerDivision,
    raises: bool,
    /// One more than the largest number.
    limit: i128,
}

impl Rescale {
    /// Scales and precision are at most 38.
    pub(crate) fn new(from: u8, to: u8, precision: u8) -> Self {
        let limit = decimal_power(precision);
        Self { division: PowerDivision::new(from.abs_diff(to)), raises: to >= from, limit }
    }

    /// To a scale that is not higher, of decimals that [`each_small`] takes and no result of which has too many digits.
    pub(crate) fn small<B>(self, value: &Value) -> Option<Answer>
    where
        B: ArrowPrimitiveType<Native: From<i64>>,
    {
        let fits = !self.raises && self.division.has_small() && self.limit > i128::from(SMALL);
        if fits { each_small::<B>(value, move |v| self.division.round_small(v).into()) } else { None }
    }

    /// `None` for a number that has more digits.
    #[inline]
    pub(crate) fn apply(self, value: i128) -> Option<i128> {
        let PowerDivision { unit, small, .. } = self.division;
        let scaled = if self.raises {
            match i64::try_from(value) {
                Ok(value) if small != 0 => i128::from(value) * i128::from(small),
                _ => value.checked_mul(unit)?,
            }
        } else {
            self.division.round(value)
        };
        (scaled < self.limit && scaled > -self.limit).then_some(scaled)
    }
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

/// The way in which digits are left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rounding {
    /// Half away from zero.
    Nearest,
    /// Towards zero.
    Cut,
    Floor,
    Ceiling,
}

/// Leaves out the digits of decimals of a scale beyond so many behind the point (negative: before it), at the same scale.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rounded {
    /// None where the unit has more than 38 digits.
    division: Option<PowerDivision>,
    rounding: Rounding,
}

impl Rounded {
    pub(crate) fn new(scale: u8, digits: i64, rounding: Rounding) -> Self {
        let cut = u8::try_from((i64::from(scale) - digits).max(0)).ok();
        Self { division: cut.filter(|cut| *cut <= PRECISION).map(PowerDivision::new), rounding }
    }

    /// Rounds decimals of the scale.
    pub(crate) fn function(self, scale: u8) -> Function {
        Function::of_one(move |value, rows| {
            let each = || try_unary::<Decimal128Type, Decimal128Type>(value, rows, move |v| self.apply(v));
            typed(self.small(value).unwrap_or_else(each), PRECISION, scale)
        })
    }

    /// Of decimals that [`each_small`] takes; at most one unit more than they are, which 64 bits hold.
    pub(crate) fn small(self, value: &Value) -> Option<Answer> {
        let division = self.division.filter(|division| division.has_small())?;
        let units = move |quotient: i64| i128::from(quotient * division.small);
        match self.rounding {
            Rounding::Nearest => each_small::<Decimal128Type>(value, move |v| units(division.round_small(v))),
            Rounding::Cut => each_small::<Decimal128Type>(value, move |v| units(division.cut_small(v))),
            Rounding::Floor => each_small::<Decimal128Type>(value, move |v| units(division.floor_small(v))),
            Rounding::Ceiling => {
                each_small::<Decimal128Type>(value, move |v| units(-division.floor_small(-v)))
            }
        }
    }

    /// An error for a number of more than 38 digits.
    pub(crate) fn apply(self, value: i128) -> Result<i128, Reason> {
        let Some(division) = self.division else {
            let beyond = match self.rounding {
                Rounding::Nearest | Rounding::Cut => false,
                Rounding::Floor => value < 0,
                Rounding::Ceiling => value > 0,
            };
            return if beyond { Err(Reason::Overflow) } else { Ok(0) };
        };
        let unit = division.unit;
        let quotient = match self.rounding {
            Rounding::Nearest => division.round(value),
            Rounding::Cut => value / unit,
            Rounding::Floor => value.div_euclid(unit),
            Rounding::Ceiling => value.div_euclid(unit) + i128::from(value.rem_euclid(unit) != 0),
        };
        // At most a unit more than the value.
        quotient.checked_mul(unit).ok_or(Reason::Overflow).and_then(within)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::Decimal128Array;
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::super::decimal::narrow;
    use super::super::decimal::tests::numbers;
    use super::*;

    proptest! {
        #[test]
        fn a_number_is_rounded_as_with_256_bits(value in numbers(), from in 0_u8..=38, to in 0_u8..=38) {
            let wide = i256::from_i128(value);
            let power = |exponent: u8| i256::from_i128(10).checked_pow(u32::from(exponent)).unwrap();
            let expected = if to >= from {
                wide.checked_mul(power(to - from))
            } else {
                round_half_away(wide, power(from - to))
            };
            prop_assert_eq!(Rescale::new(from, to, PRECISION).apply(value), narrow(expected).ok());
        }

        #[test]
        fn columns_of_small_numbers_are_rounded_as_each_of_them_with_256_bits(
            values in vec(small_numbers(), 1..50), scale in 0_u8..=38, digits in -2_i64..=40, cut in any::<bool>()
        ) {
            let column = Value::Rows(Arc::new(Decimal128Array::from(values.clone())));
            let kinds = if cut { [Rounding::Cut, Rounding::Nearest] } else { [Rounding::Floor, Rounding::Ceiling] };
            for rounding in kinds {
                let rounded = Rounded::new(scale, digits, rounding);
                let expected: Vec<_> = values.iter().map(|value| by_256_bits(*value, scale, digits, rounding)).collect();
                let one_by_one: Vec<_> = values.iter().map(|value| rounded.apply(*value)).collect();
                prop_assert_eq!(&one_by_one, &expected);
                let Some(answer) = rounded.small(&column) else { continue };
                let answers = answer.array.as_primitive::<Decimal128Type>().values().iter().map(|value| Ok(*value));
                prop_assert_eq!(answers.collect::<Vec<_>>(), expected);
            }
        }

        #[test]
        fn columns_of_small_numbers_are_brought_to_a_scale_as_each_of_them(
            values in vec(small_numbers(), 1..50), from in 0_u8..=38, to in 0_u8..=38
        ) {
            let rescale = Rescale::new(from, to, PRECISION);
            let column = Value::Rows(Arc::new(Decimal128Array::from(values.clone())));
            if let Some(answer) = rescale.small::<Decimal128Type>(&column) {
                let expected: Vec<i128> = values.iter().map(|value| rescale.apply(*value).unwrap()).collect();
                prop_assert_eq!(answer.array.as_primitive::<Decimal128Type>().values().as_ref(), &expected[..]);
            }
        }
    }

    /// Numbers below 2^53 about halves and wholes of powers of ten.
    fn small_numbers() -> impl Strategy<Value = i128> {
        const LARGEST: i64 = (1 << 53) - 1;
        let near = (any::<i64>(), 0_u32..53, 0_u32..18, -2_i64..=2, any::<bool>());
        near.prop_map(|(number, shift, power, beside, half)| {
            let unit = 10_i64.pow(power);
            let number = (number >> (11 + shift)) / unit * unit + beside + if half { unit / 2 } else { 0 };
            i128::from(number.clamp(-LARGEST, LARGEST))
        })
    }

    fn by_256_bits(value: i128, scale: u8, digits: i64, rounding: Rounding) -> Result<i128, Reason> {
        let cut = (i64::from(scale) - digits).max(0);
        let unit = i256::from_i128(10).checked_pow(u32::try_from(cut).unwrap()).unwrap();
        let wide = i256::from_i128(value);
        let (quotient, rest) = (wide.checked_div(unit).unwrap(), wide.checked_rem(unit).unwrap());
        let step = match rounding {
            Rounding::Floor if rest < i256::ZERO => i256::MINUS_ONE,
            Rounding::Ceiling if rest > i256::ZERO => i256::ONE,
            Rounding::Nearest => round_half_away(wide, unit).unwrap().checked_sub(quotient).unwrap(),
            _ => i256::ZERO,
        };
        narrow(quotient.checked_add(step).and_then(|quotient| quotient.checked_mul(unit)))
    }

    #[test]
    fn a_column_with_a_larger_number_is_not_taken_for_small_ones() {
        let rounded = Rounded::new(2, 0, Rounding::Nearest);
        for large in [i128::from(SMALL), -i128::from(SMALL) - 1, i128::MIN, i128::MAX] {
            let column = Value::Rows(Arc::new(Decimal128Array::from(vec![150, large])));
            assert!(rounded.small(&column).is_none(), "{large}");
        }
    }
}
