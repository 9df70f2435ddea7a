//! Exact numbers: literals and constants before the other side of an operator gives them a type.

use arrow::datatypes::i256;

/// Decimal digits that an exact number may have.
pub(crate) const MAX_DIGITS: usize = 76;

/// A number `digits / 10^scale`, without trailing zeros behind the point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Exact {
    digits: i256,
    scale: u8,
    /// It was written with a point, or computed from a number that was.
    point: bool,
}

impl Exact {
    pub(crate) fn integer(value: i128) -> Self {
        Self { digits: i256::from_i128(value), scale: 0, point: false }
    }

    fn new(digits: i256, scale: usize, point: bool) -> Option<Self> {
        let (mut digits, mut scale) = (digits, scale);
        let ten = i256::from_i128(10);
        while scale > 0 && digits.checked_rem(ten)? == i256::ZERO {
            digits = digits.checked_div(ten)?;
            scale -= 1;
        }
        (scale <= MAX_DIGITS && fits(digits)).then_some(())?;
        Some(Self { digits, scale: u8::try_from(scale).ok()?, point })
    }

    /// Reads digits with at most one point, a sign and an exponent; `None` for anything else and for
    /// numbers of more than 76 digits.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let (mantissa, exponent) = match text.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
            None => (text, 0),
        };
        let unsigned = mantissa.strip_prefix(['-', '+']).unwrap_or(mantissa);
        let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
        let plain = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if (whole.is_empty() && fraction.is_empty()) || !plain(whole) || !plain(fraction) {
            return None;
        }
        let point = mantissa.contains('.');
        let digits = format!("{whole}{fraction}");
        let digits = digits.trim_start_matches('0');
        let kept = digits.trim_end_matches('0');
        let dropped = i64::try_from(digits.len() - kept.len()).ok()?;
        if kept.is_empty() {
            return Some(Self { digits: i256::ZERO, scale: 0, point });
        }
        let scale = i64::try_from(fraction.len()).ok()? - dropped - i64::from(exponent);
        let zeros = usize::try_from((-scale).max(0)).ok()?;
        if kept.len() + zeros > MAX_DIGITS {
            return None;
        }
        let sign = if mantissa.starts_with('-') { "-" } else { "" };
        let value = i256::from_string(&format!("{sign}{kept}{}", "0".repeat(zeros)))?;
        Self::new(value, usize::try_from(scale.max(0)).ok()?, point)
    }

    /// True where it was written without a point.
    pub(crate) fn is_plain_integer(&self) -> bool {
        !self.point
    }

    pub(crate) fn scale(&self) -> u8 {
        self.scale
    }

    /// Decimal digits before and behind the point, at least as many as the scale.
    pub(crate) fn precision(&self) -> u8 {
        let text = self.digits.to_string();
        let digits = text.trim_start_matches('-').len();
        u8::try_from(digits).expect("256 bits hold 77 digits").max(self.scale)
    }

    pub(crate) fn to_i128(self) -> Option<i128> {
        if self.scale == 0 { self.digits.to_i128() } else { None }
    }

    /// The digits at a scale, rounded down, and whether nothing was cut.
    pub(crate) fn floor_at(&self, scale: u8) -> Option<(i256, bool)> {
        if scale >= self.scale {
            let shifted = self.digits.checked_mul(power_of_ten(scale - self.scale)?)?;
            return Some((shifted, true));
        }
        let unit = power_of_ten(self.scale - scale)?;
        let (quotient, rest) = (self.digits.checked_div(unit)?, self.digits.checked_rem(unit)?);
        let below = rest.is_negative();
        Some((if below { quotient.checked_sub(i256::ONE)? } else { quotient }, rest == i256::ZERO))
    }

    pub(crate) fn negated(self) -> Option<Self> {
        Some(Self { digits: self.digits.checked_neg()?, ..self })
    }

    fn aligned(self, other: Self) -> Option<(i256, i256, u8)> {
        let scale = self.scale.max(other.scale);
        Some((self.floor_at(scale)?.0, other.floor_at(scale)?.0, scale))
    }

    pub(crate) fn plus(self, other: Self) -> Option<Self> {
        let (left, right, scale) = self.aligned(other)?;
        Self::new(left.checked_add(right)?, usize::from(scale), self.point || other.point)
    }

    pub(crate) fn minus(self, other: Self) -> Option<Self> {
        self.plus(other.negated()?)
    }

    pub(crate) fn times(self, other: Self) -> Option<Self> {
        let scale = usize::from(self.scale) + usize::from(other.scale);
        Self::new(self.digits.checked_mul(other.digits)?, scale, self.point || other.point)
    }

    pub(crate) fn is_zero(&self) -> bool {
        self.digits == i256::ZERO
    }

    /// The whole part of the quotient.
    pub(crate) fn quotient(self, divisor: Self) -> Option<Self> {
        let (left, right, _) = self.aligned(divisor)?;
        Self::new(left.checked_div(right)?, 0, self.point || divisor.point)
    }

    /// The remainder of [`Exact::quotient`].
    pub(crate) fn remainder(self, divisor: Self) -> Option<Self> {
        let (left, right, scale) = self.aligned(divisor)?;
        Self::new(left.checked_rem(right)?, usize::from(scale), self.point || divisor.point)
    }

    /// The nearest float.
    pub(crate) fn to_f64(self) -> f64 {
        self.text().parse().expect("an exact number is written as a float is read")
    }

    /// The nearest float of single precision.
    pub(crate) fn to_f32(self) -> f32 {
        self.text().parse().expect("an exact number is written as a float is read")
    }

    /// Its shortest decimal text; with a point where it was written with one.
    pub(crate) fn text(&self) -> String {
        let digits = self.digits.to_string();
        let (sign, digits) = digits.strip_prefix('-').map_or(("", digits.as_str()), |rest| ("-", rest));
        let scale = usize::from(self.scale);
        let padded = format!("{digits:0>width$}", width = scale + 1);
        let (whole, fraction) = padded.split_at(padded.len() - scale);
        match (fraction.is_empty(), self.point) {
            (true, false) => format!("{sign}{whole}"),
            (true, true) => format!("{sign}{whole}.0"),
            (false, _) => format!("{sign}{whole}.{fraction}"),
        }
    }
}

fn fits(digits: i256) -> bool {
    digits.to_string().trim_start_matches('-').len() <= MAX_DIGITS
}

/// `10^exponent`; `None` above 76.
pub(crate) fn power_of_ten(exponent: u8) -> Option<i256> {
    i256::from_i128(10).checked_pow(u32::from(exponent))
}

/// The powers of ten that decimals of 128 bits have.
#[expect(clippy::indexing_slicing, reason = "it is computed by the compiler, which would tell")]
pub(crate) const POWERS_OF_TEN: [i128; 39] = {
    let mut powers = [1; 39];
    let mut exponent = 1;
    while exponent < powers.len() {
        powers[exponent] = powers[exponent - 1] * 10;
        exponent += 1;
    }
    powers
};

/// `10^exponent` for scales and precisions, which are at most 38.
pub(crate) fn decimal_power(exponent: u8) -> i128 {
    small_power_of_ten(exponent).expect("scales and precisions of decimals are at most 38")
}

/// `10^exponent` for decimals of 128 bits; `None` above 38.
pub(crate) fn small_power_of_ten(exponent: u8) -> Option<i128> {
    POWERS_OF_TEN.get(usize::from(exponent)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Exact {
        Exact::read(text).unwrap_or_else(|| panic!("{text} is not read"))
    }

    #[test]
    fn numbers_keep_every_digit() {
        for (text, shown) in [
            ("0.06", "0.06"),
            ("1.50", "1.5"),
            ("-0.0", "0.0"),
            ("1e3", "1000"),
            ("1.5e-3", "0.0015"),
            ("18446744073709551616", "18446744073709551616"),
            (".5", "0.5"),
            ("5.", "5.0"),
        ] {
            assert_eq!(read(text).text(), shown, "{text}");
        }
        for wrong in ["", ".", "-", "1e", "1,0", "e5", "1e99999999999", &"9".repeat(77)] {
            assert!(Exact::read(wrong).is_none(), "{wrong} was read");
        }
    }

    #[test]
    fn arithmetic_is_exact() {
        assert_eq!(read("0.06").plus(read("0.01")).unwrap().text(), "0.07");
        assert_eq!(read("0.5").times(read("0.25")).unwrap().text(), "0.125");
        assert_eq!(read("-7").quotient(read("2")).unwrap().text(), "-3");
        assert_eq!(read("-7.5").remainder(read("2")).unwrap().text(), "-1.5");
        assert_eq!(read("-1.5").floor_at(0), Some((i256::from_i128(-2), false)));
    }
}
