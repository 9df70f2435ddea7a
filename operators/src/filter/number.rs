//! Decimal literals, read exactly.

use std::sync::Arc;

use anabranch_expression::Literal;
use arrow::array::{ArrayRef, Decimal128Array, Decimal256Array};
use arrow::datatypes::{DataType, i256};

/// A literal that is not written as a decimal number.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NotDecimal;

/// The literal as a decimal of the type; `None` where the type cannot hold it exactly.
pub(super) fn decimal(data_type: &DataType, value: &Literal) -> Result<Option<ArrayRef>, NotDecimal> {
    let text = match value {
        Literal::Integer(number) => number.to_string(),
        // The shortest string that is this number, never with an exponent.
        Literal::Float(number) if number.is_finite() => number.to_string(),
        Literal::String(text) | Literal::Number(text) => text.clone(),
        _ => return Err(NotDecimal),
    };
    let number = Number::read(&text)?;
    Ok(match data_type {
        DataType::Decimal128(precision, scale) => number
            .scaled(*scale)
            .and_then(i256::to_i128)
            .and_then(|n| Decimal128Array::from(vec![n]).with_precision_and_scale(*precision, *scale).ok())
            .filter(|array| array.validate_decimal_precision(*precision).is_ok())
            .map(|array| Arc::new(array) as ArrayRef),
        DataType::Decimal256(precision, scale) => number
            .scaled(*scale)
            .and_then(|n| Decimal256Array::from(vec![n]).with_precision_and_scale(*precision, *scale).ok())
            .filter(|array| array.validate_decimal_precision(*precision).is_ok())
            .map(|array| Arc::new(array) as ArrayRef),
        _ => None,
    })
}

/// A number as digits and how many of them stand behind the point; `None` if it has more digits
/// than any decimal.
struct Number(Option<(i256, i32)>);

impl Number {
    fn read(text: &str) -> Result<Self, NotDecimal> {
        let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
        let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
        let all_digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
        if (whole.is_empty() && fraction.is_empty()) || !all_digits(whole) || !all_digits(fraction) {
            return Err(NotDecimal);
        }
        let (whole, fraction) = (whole.trim_start_matches('0'), fraction.trim_end_matches('0'));
        let sign = if text.starts_with('-') { "-" } else { "" };
        let digits = i256::from_string(&format!("{sign}0{whole}{fraction}"));
        Ok(Self(digits.zip(i32::try_from(fraction.len()).ok())))
    }

    /// The digits with so many behind the point, if none is lost.
    fn scaled(&self, scale: i8) -> Option<i256> {
        let (digits, behind) = self.0?;
        let power = |by: i32| i256::from_i128(10).checked_pow(by.unsigned_abs());
        match i32::from(scale) - behind {
            up @ 0.. => digits.checked_mul(power(up)?),
            down => {
                let power = power(down)?;
                let exact = digits.checked_rem(power)? == i256::ZERO;
                if exact { digits.checked_div(power) } else { None }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, scale: i8) -> Result<Option<i128>, NotDecimal> {
        Ok(Number::read(text)?.scaled(scale).and_then(i256::to_i128))
    }

    #[test]
    fn decimals_are_read_exactly_or_not_at_all() {
        assert_eq!(read("12.50", 2), Ok(Some(1250)));
        assert_eq!(read("-0.5", 2), Ok(Some(-50)));
        assert_eq!(read(".5", 1), Ok(Some(5)));
        assert_eq!(read("1200", -2), Ok(Some(12)));
        assert_eq!(read("0", 5), Ok(Some(0)));
        assert_eq!(read("12.345", 2), Ok(None));
        assert_eq!(read("1250", -2), Ok(None));
        assert_eq!(read(&"9".repeat(100), 0), Ok(None));
        for wrong in ["", ".", "-", "1e3", "1,5", "--1", "a"] {
            assert_eq!(read(wrong, 2), Err(NotDecimal), "{wrong}");
        }
    }
}
