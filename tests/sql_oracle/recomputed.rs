//! Our answers computed once more, each in another way than the engine's.

use arrow::datatypes::DataType;

use crate::decimal::Decimal;
use crate::expected::Operand;
use crate::found::Found;
use crate::value::Value;

impl Found<'_> {
    pub(crate) fn is_cast(&self) -> bool {
        self.case.form.name.contains("CAST")
    }

    /// The logarithm of a number close to one, by its series; or that of others, to the digits of a float.
    pub(crate) fn is_logarithm_near_one(&self) -> bool {
        let numbers = || Some((self.operand(0)?.float()?, self.ours.value()?.number()?));
        let Some((x, ours)) = numbers() else { return false };
        if x.abs() < 1e-3 {
            let expected = x * (1.0 - x * (1.0 / 2.0 - x * (1.0 / 3.0 - x * (1.0 / 4.0 - x / 5.0))));
            let digits = if matches!(self.ours.value(), Some(Value::Float32(_))) { 1e-7 } else { 1e-14 };
            return (ours - expected).abs() <= digits * expected.abs();
        }
        self.close(1e-12)
    }

    /// A text that reads as the float, with no more digits than DuckDB's.
    pub(crate) fn is_text_of_float(&self) -> bool {
        let Some((ours, theirs)) = self.ours.text().zip(self.theirs.text()) else { return false };
        let digits = |text: &str| {
            let mantissa = text.split('e').next().unwrap_or_default();
            let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
            digits.trim_matches('0').len()
        };
        let reads = match self.operand(0) {
            Some(Operand::Value(Value::Float32(float))) if float.is_nan() => ours == "NaN",
            Some(Operand::Value(Value::Float64(float))) if float.is_nan() => ours == "NaN",
            Some(Operand::Value(Value::Float32(float))) => ours.parse() == Ok(float),
            Some(Operand::Value(Value::Float64(float))) => ours.parse() == Ok(float),
            Some(Operand::Number(number)) => ours.parse() == Ok(number.nearest_f64()),
            _ => false,
        };
        reads && digits(ours) <= digits(theirs)
    }

    /// The characters at positions from a start below 1.
    pub(crate) fn is_substring_from_before(&self) -> bool {
        let number = |argument| self.exact(argument).and_then(Decimal::to_i128);
        let Some((text, start)) = self.text(0).zip(number(1)) else { return false };
        let end =
            if self.arguments.len() > 2 { number(2).map(|length| start + length) } else { Some(i128::MAX) };
        let Some(end) = end else { return false };
        let inside = |(position, character)| (start..end).contains(&position).then_some(character);
        let expected: String = (1..).zip(text.chars()).filter_map(inside).collect();
        start < 1 && self.gave_text(&expected)
    }

    /// An integer times, or over, a power of two, rounded down; none beyond the type of the answer.
    pub(crate) fn shifted(&self, left: bool) -> Option<Value> {
        let (number, by) = (self.exact(0)?.to_i128()?, self.exact(1)?.to_i128()?);
        let by = u32::try_from(by).ok()?;
        Some(Value::whole(if left { number.checked_mul(1 << by)? } else { number >> by }))
    }

    /// A span so many times, or an error beyond the range of its type.
    pub(crate) fn is_product_of_span(&self) -> bool {
        let factors = || match self.value(0)? {
            Value::Span(0, nanoseconds) => Some((*nanoseconds, self.exact(1)?.to_i128()?)),
            _ => None,
        };
        let Some(((nanoseconds, by), unit)) = factors().zip(self.unit()) else { return false };
        let product = nanoseconds * by;
        let fits = i64::try_from(product / unit).is_ok();
        if fits { self.gave(&Value::Span(0, product)) } else { self.ours.is_error() }
    }

    /// Bits of integers that are written.
    pub(crate) fn is_of_bits(&self) -> bool {
        let number =
            |argument| self.exact(argument).and_then(Decimal::to_i128).and_then(|n| u64::try_from(n).ok());
        let bits = match (self.case.form.name, number(0), number(1)) {
            ("~", Some(one), _) => !one,
            ("&", Some(one), Some(other)) => one & other,
            ("|", Some(one), Some(other)) => one | other,
            ("XOR", Some(one), Some(other)) => one ^ other,
            _ => return false,
        };
        self.gave(&Value::whole(bits.into()))
    }

    /// The exact power, or an error where it has a fraction or is beyond the type.
    pub(crate) fn is_integer_power(&self) -> bool {
        if !self.gives().is_integer() {
            return false;
        }
        let numbers = || Some((self.exact(0)?, self.exact(1)?.to_i128()?));
        let Some((base, exponent)) = numbers() else { return false };
        let power = u32::try_from(exponent).ok().and_then(|exponent| base.power(exponent));
        match power {
            Some(power) if self.holds(&power) => self.gave(&power.value()),
            _ => self.ours.is_error(),
        }
    }

    /// The rounded number has more digits than its type.
    pub(crate) fn rounds_beyond_its_type(&self) -> bool {
        let Some(number) = self.exact(0) else { return false };
        let rounded = match self.case.form.name {
            "CEIL" | "CEILING" => number.negated().floor().map(|floor| floor.negated()),
            "FLOOR" => number.floor(),
            "ROUND" => number.rounded(0),
            "ROUND to places" => self.written(1).parse().ok().and_then(|places| number.rounded(places)),
            _ => return false,
        };
        rounded.is_none_or(|rounded| !self.holds(&rounded))
    }

    /// The shortest decimal of a float, rounded to the scale; or an error, or null, beyond the precision.
    pub(crate) fn is_shortest_decimal(&self) -> bool {
        let DataType::Decimal128(_, scale) = self.gives() else { return false };
        let Some(float @ (Value::Float32(_) | Value::Float64(_))) = self.value(0) else { return false };
        match Decimal::shortest(float).and_then(|number| number.rounded(*scale)) {
            Some(number) if self.holds(&number) => self.gave(&number.value()),
            _ => self.refused(),
        }
    }
}
