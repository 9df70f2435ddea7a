//! Decimals of any size that is needed to check a quotient.

use arrow::datatypes::i256;

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

    /// A literal: digits, a point, a sign, parentheses.
    pub(crate) fn read(literal: &str) -> Option<Self> {
        let text = literal.trim_matches(['(', ')']);
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let number = i256::from_string(&format!("{whole}{fraction}"))?;
        Some(Self { number, scale: i8::try_from(fraction.len()).ok()? })
    }

    pub(crate) fn is_zero(&self) -> bool {
        self.number == i256::ZERO
    }

    pub(crate) fn is_whole(&self) -> bool {
        power(self.scale).is_some_and(|one| self.number % one == i256::ZERO)
    }

    /// This less a product, if 76 digits hold it.
    pub(crate) fn minus_product(&self, one: &Self, other: &Self) -> Option<Self> {
        let product = Self { number: one.number.checked_mul(other.number)?, scale: one.scale + other.scale };
        let scale = self.scale.max(product.scale);
        let (left, right) = (self.at(scale)?, product.at(scale)?);
        Some(Self { number: left.checked_sub(right)?, scale })
    }

    /// Comparison of sizes, without signs.
    pub(crate) fn is_smaller_than(&self, other: &Self) -> bool {
        let scale = self.scale.max(other.scale);
        self.at(scale).zip(other.at(scale)).is_some_and(|(a, b)| a.wrapping_abs() < b.wrapping_abs())
    }

    fn at(&self, scale: i8) -> Option<i256> {
        self.number.checked_mul(power(scale - self.scale)?)
    }
}

fn power(scale: i8) -> Option<i256> {
    i256::from_i128(10).checked_pow(u32::try_from(scale).ok()?)
}
