//! Exact numbers of up to 76 digits, to check answers by another computation.

use std::cmp::Ordering;

use arrow::datatypes::i256;

use crate::value::Value;

/// A number over ten to the scale.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Decimal {
    number: i256,
    scale: i8,
}

impl Decimal {
    pub(crate) fn new(number: i256, scale: i8) -> Self {
        Self { number, scale }
    }

    pub(crate) fn integer(number: i128) -> Self {
        Self { number: i256::from_i128(number), scale: 0 }
    }

    pub(crate) fn of(value: &Value) -> Option<Self> {
        if let Value::Exact(number, scale) = value { Some(Self::new(*number, *scale)) } else { None }
    }

    /// A literal: digits, a point, a sign, parentheses.
    pub(crate) fn read(literal: &str) -> Option<Self> {
        let text = literal.trim_matches(['(', ')']);
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let number = i256::from_string(&format!("{whole}{fraction}"))?;
        Some(Self { number, scale: i8::try_from(fraction.len()).ok()? })
    }

    /// The shortest decimal that reads as the float, or all digits of one without a fraction; zero for one that every
    /// scale rounds to zero.
    pub(crate) fn shortest(float: &Value) -> Option<Self> {
        if float.number().is_some_and(|float| float.abs() < 1e-100) {
            return Some(Self::integer(0));
        }
        let (whole, text) = match float {
            Value::Float32(float) => (float.fract() == 0.0, format!("{float:.0} {float:e}")),
            Value::Float64(float) => (float.fract() == 0.0, format!("{float:.0} {float:e}")),
            _ => return None,
        };
        let (all, shortest) = text.split_once(' ')?;
        if whole {
            return Self::read(all);
        }
        let (mantissa, exponent) = shortest.split_once('e')?;
        let exponent: i8 = exponent.parse().ok()?;
        let read = Self::read(mantissa)?;
        Some(Self { number: read.number, scale: read.scale.checked_sub(exponent)? })
    }

    pub(crate) fn value(&self) -> Value {
        Value::Exact(self.number, self.scale)
    }

    pub(crate) fn is_zero(&self) -> bool {
        self.number == i256::ZERO
    }

    pub(crate) fn is_negative(&self) -> bool {
        self.number.is_negative()
    }

    pub(crate) fn to_i128(self) -> Option<i128> {
        self.at(0)?.to_i128()
    }

    pub(crate) fn nearest_f64(&self) -> f64 {
        self.value().digits().parse().unwrap()
    }

    pub(crate) fn nearest_f32(&self) -> f32 {
        self.value().digits().parse().unwrap()
    }

    pub(crate) fn plus(&self, other: &Self) -> Option<Self> {
        let (left, right, scale) = self.aligned(other)?;
        Some(Self { number: left.checked_add(right)?, scale })
    }

    pub(crate) fn negated(&self) -> Self {
        Self { number: self.number.wrapping_neg(), scale: self.scale }
    }

    pub(crate) fn minus(&self, other: &Self) -> Option<Self> {
        self.plus(&other.negated())
    }

    pub(crate) fn times(&self, other: &Self) -> Option<Self> {
        Some(Self {
            number: self.number.checked_mul(other.number)?,
            scale: self.scale.checked_add(other.scale)?,
        })
    }

    /// The quotient, cut towards zero.
    pub(crate) fn quotient(&self, divisor: &Self) -> Option<Self> {
        let (left, right, _) = self.aligned(divisor)?;
        Some(Self { number: left.checked_div(right)?, scale: 0 })
    }

    /// Remainder of the quotient.
    pub(crate) fn remainder(&self, divisor: &Self) -> Option<Self> {
        self.minus(&self.quotient(divisor)?.times(divisor)?)
    }

    /// The power; none beyond 76 digits.
    pub(crate) fn power(&self, exponent: u32) -> Option<Self> {
        let scale = i8::try_from(i64::from(self.scale) * i64::from(exponent)).ok()?;
        Some(Self { number: self.number.checked_pow(exponent)?, scale })
    }

    /// The next whole number below.
    pub(crate) fn floor(&self) -> Option<Self> {
        let one = power_of_ten(self.scale)?;
        let (whole, rest) = (self.number.checked_div(one)?, self.number.checked_rem(one)?);
        let number = if rest.is_negative() { whole.checked_sub(i256::ONE)? } else { whole };
        Some(Self { number, scale: 0 })
    }

    /// The nearest number of that scale (below zero: of tens), half away from zero.
    pub(crate) fn rounded(&self, scale: i8) -> Option<Self> {
        if scale >= self.scale {
            return Some(*self);
        }
        // What is cut is more than all digits.
        let Some(unit) = power_of_ten(self.scale - scale) else { return Some(Self::integer(0)) };
        let half = unit.checked_div(i256::from_i128(2))?;
        let raised = if self.is_negative() {
            self.number.checked_sub(half)?
        } else {
            self.number.checked_add(half)?
        };
        Some(Self { number: raised.checked_div(unit)?.checked_mul(unit)?, scale: self.scale })
    }

    pub(crate) fn order(&self, other: &Self) -> Option<Ordering> {
        let (left, right, _) = self.aligned(other)?;
        Some(left.cmp(&right))
    }

    /// The order of this number and a float that is no NaN.
    pub(crate) fn order_with(&self, float: f64) -> Option<Ordering> {
        let nearest = self.nearest_f64();
        match nearest.partial_cmp(&float)? {
            // All digits decide; those of a float that is the nearest of 38 digits end within 200 behind the point.
            Ordering::Equal if float.is_finite() => {
                let (mine, its) = (self.plain(), format!("{float:.200}"));
                let negative = self.is_negative();
                let sign = |text: &str| text.trim_start_matches('-').to_owned();
                let (mine, its) = (sign(&mine), sign(&its));
                let order = mine.len().cmp(&its.len()).then_with(|| mine.cmp(&its));
                Some(if negative { order.reverse() } else { order })
            }
            order => Some(order),
        }
    }

    /// True where a decimal of that precision and scale holds it with all digits.
    pub(crate) fn fits(&self, precision: u8, scale: i8) -> bool {
        let digits = || {
            let at = self.at(scale)?;
            Some(at.wrapping_abs() < i256::from_i128(10).checked_pow(precision.into())?)
        };
        digits() == Some(true)
    }

    /// All digits, with 200 behind the point.
    fn plain(&self) -> String {
        let digits = self.number.to_string();
        let (sign, digits) = digits.strip_prefix('-').map_or(("", digits.as_str()), |rest| ("-", rest));
        let scale = usize::try_from(self.scale.max(0)).unwrap();
        let padded = format!("{digits:0>width$}", width = scale + 1);
        let (whole, fraction) = padded.split_at(padded.len() - scale);
        format!("{sign}{whole}.{fraction:0<200}")
    }

    fn aligned(&self, other: &Self) -> Option<(i256, i256, i8)> {
        let scale = self.scale.max(other.scale);
        Some((self.at(scale)?, other.at(scale)?, scale))
    }

    /// The number over ten to another scale, if that holds all digits.
    fn at(&self, scale: i8) -> Option<i256> {
        if scale >= self.scale {
            return self.number.checked_mul(power_of_ten(scale - self.scale)?);
        }
        let unit = power_of_ten(self.scale - scale)?;
        (self.number.checked_rem(unit)? == i256::ZERO).then(|| self.number.checked_div(unit)).flatten()
    }
}

fn power_of_ten(exponent: i8) -> Option<i256> {
    i256::from_i128(10).checked_pow(u32::try_from(exponent).ok()?)
}
