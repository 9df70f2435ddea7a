//! Numbers of a pipeline file: the written digits, until their type is known.

/// A number that is no signed 64-bit integer, as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Number(String);

/// Maximum number of zeros that an exponent adds to an exact number.
const MOST_ZEROS: usize = 400;

impl Number {
    /// Returns the number of an unquoted scalar by the core schema of YAML 1.2; none for other texts.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
        let special =
            matches!(unsigned, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN");
        let number = |c: char| c.is_ascii_digit() || matches!(c, '.' | 'e' | 'E' | '+' | '-');
        let numeric = text.contains(|c: char| c.is_ascii_digit()) && text.chars().all(number);
        let valid = special || (numeric && text.parse::<f64>().is_ok());
        valid.then(|| Self(text.to_owned()))
    }

    /// Creates a whole number.
    pub(crate) fn whole(value: impl std::fmt::Display) -> Self {
        Self(value.to_string())
    }

    /// Creates a whole number as one of floating point.
    pub(crate) fn with_fraction(value: i64) -> Self {
        Self(format!("{value}.0"))
    }

    pub(crate) fn text(&self) -> &str {
        &self.0
    }

    /// Returns true if it has neither fraction nor exponent.
    pub(crate) fn is_whole(&self) -> bool {
        let digits = self.0.strip_prefix(['+', '-']).unwrap_or(&self.0);
        digits.bytes().all(|b| b.is_ascii_digit())
    }

    /// Returns the nearest float.
    pub(crate) fn value(&self) -> f64 {
        match self.0.to_ascii_lowercase().as_str() {
            ".inf" | "+.inf" => f64::INFINITY,
            "-.inf" => f64::NEG_INFINITY,
            ".nan" => f64::NAN,
            text => text.parse().unwrap_or_else(|_| panic!("{text} must be a number, as it was read as one")),
        }
    }

    /// Returns the number in digits alone, without needless zeros: `-0.5`; none for infinities and NaN, and for numbers of
    /// hundreds of digits.
    pub(crate) fn plain(&self) -> Option<String> {
        plain(&self.0)
    }

    /// Returns the number as JSON has it, or `NaN`, `Infinity` and `-Infinity`; digits are not changed.
    pub(crate) fn json(&self) -> String {
        let (sign, unsigned) = match self.0.strip_prefix('-') {
            Some(rest) => ("-", rest),
            None => ("", self.0.strip_prefix('+').unwrap_or(&self.0)),
        };
        match unsigned.to_ascii_lowercase().as_str() {
            ".inf" => return format!("{sign}Infinity"),
            ".nan" => return "NaN".to_owned(),
            _ => {}
        }
        let end = unsigned.find(['e', 'E']).unwrap_or(unsigned.len());
        let (mantissa, exponent) = unsigned.split_at(end);
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let whole = match whole.trim_start_matches('0') {
            "" => "0",
            whole => whole,
        };
        let point = if fraction.is_empty() { "" } else { "." };
        format!("{sign}{whole}{point}{fraction}{exponent}")
    }
}

/// Converts a decimal text to digits alone.
fn plain(text: &str) -> Option<String> {
    let (sign, unsigned) = match text.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", text.strip_prefix('+').unwrap_or(text)),
    };
    let (mantissa, exponent) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if !whole.bytes().chain(fraction.bytes()).all(|b| b.is_ascii_digit()) {
        return None;
    }
    let exponent: isize = exponent.parse().ok()?;
    if exponent.unsigned_abs() > MOST_ZEROS {
        return None;
    }
    // The point moves by the exponent.
    let point = isize::try_from(whole.len()).ok()?.checked_add(exponent)?;
    let before = "0".repeat(usize::try_from(-point.min(0)).ok()?);
    let mut digits = format!("{before}{whole}{fraction}");
    let point = usize::try_from(point.max(0)).ok()?;
    let behind = point.saturating_sub(digits.len());
    digits.push_str(&"0".repeat(behind));
    let (whole, fraction) = digits.split_at_checked(point)?;
    let (whole, fraction) = (whole.trim_start_matches('0'), fraction.trim_end_matches('0'));
    let whole = if whole.is_empty() { "0" } else { whole };
    Some(if fraction.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") })
}

/// Returns the shortest digits of a float.
pub(crate) fn plain_of(value: f64) -> Option<String> {
    plain(&format!("{value:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> Number {
        Number::read(text).unwrap()
    }

    #[test]
    fn digits_stay_as_they_are_in_the_form_of_json() {
        for (text, json) in [
            ("1.50", "1.50"),
            (".5", "0.5"),
            ("-.5e3", "-0.5e3"),
            ("1.", "1"),
            ("1.e3", "1e3"),
            ("+007.10", "7.10"),
            ("0.0", "0.0"),
            ("18446744073709551615", "18446744073709551615"),
            ("-.Inf", "-Infinity"),
            (".NAN", "NaN"),
        ] {
            assert_eq!(number(text).json(), json, "{text}");
        }
    }

    #[test]
    fn the_plain_form_is_the_same_number() {
        for (text, plain) in [
            ("1.50", Some("1.5")),
            ("1e3", Some("1000")),
            ("12.5e-4", Some("0.00125")),
            ("-0.0", Some("-0")),
            ("0.123456789012345678901", Some("0.123456789012345678901")),
            ("1e401", None),
            (".inf", None),
        ] {
            assert_eq!(number(text).plain().as_deref(), plain, "{text}");
        }
        assert_eq!(plain_of(1e300).unwrap().len(), 301);
        assert_eq!(plain_of(0.1).as_deref(), Some("0.1"));
    }
}
