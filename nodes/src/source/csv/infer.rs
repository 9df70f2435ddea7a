//! Finds the types of CSV columns from their first values.
//!
//! As Polars infers them: `007` is an integer, a quoted field is always a string. Unlike it, an
//! integer beyond 64 bits makes its column a string, so that no digit is lost; dates and
//! timestamps are recognised; nothing is recognised by its column's name.

use anabranch_engine::types::parse_type;
use arrow::datatypes::DataType;

use crate::source::text;

/// What the values of a column seen so far can all be read as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Guess {
    /// No value so far.
    #[default]
    Unknown,
    Bool,
    Integer,
    Float,
    Date,
    Timestamp,
    TimestampUtc,
    Text,
}

impl Guess {
    /// The guess for one value.
    pub(crate) fn of(field: &str) -> Self {
        let text = field.trim_ascii();
        match text.as_bytes().first() {
            Some(b'0'..=b'9' | b'-' | b'+' | b'.') => Self::of_number(text),
            Some(b't' | b'T' | b'f' | b'F') if text::bool_of(text).is_some() => Self::Bool,
            Some(b'N' | b'i') if matches!(text, "NaN" | "inf") => Self::Float,
            _ => Self::Text,
        }
    }

    fn of_number(text: &str) -> Self {
        if text::integer::<i64>(text).is_some() {
            Self::Integer
        } else if text::date(text).is_some() {
            Self::Date
        } else if let Some(moment) = text::timestamp(text).filter(|m| m.count(1_000_000).is_some()) {
            if moment.zoned { Self::TimestampUtc } else { Self::Timestamp }
        } else if whole_number(text) {
            Self::Text
        } else if text::float_of::<f64>(text).is_some() {
            Self::Float
        } else {
            Self::Text
        }
    }

    /// Takes a further value into account.
    pub(super) fn add(&mut self, field: &str, quoted: bool) {
        if *self == Self::Text {
            return;
        }
        let value = if quoted { Self::Text } else { Self::of(field) };
        *self = match (*self, value) {
            (Self::Unknown, value) => value,
            (seen, value) if seen == value => seen,
            (Self::Integer | Self::Float, Self::Integer | Self::Float) => Self::Float,
            _ => Self::Text,
        };
    }

    /// The type; a string where no value was seen.
    pub(super) fn data_type(self) -> DataType {
        let name = match self {
            Self::Bool => "bool",
            Self::Integer => "int64",
            Self::Float => "float64",
            Self::Date => "date",
            Self::Timestamp => "timestamp",
            Self::TimestampUtc => "timestamp_utc",
            Self::Unknown | Self::Text => "string",
        };
        parse_type(name).unwrap_or(DataType::Utf8View)
    }
}

/// Digits alone, too many for 64 bits.
fn whole_number(text: &str) -> bool {
    text.strip_prefix(['-', '+']).unwrap_or(text).bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guess(values: &[&str]) -> Guess {
        let mut guess = Guess::default();
        for value in values {
            guess.add(value, false);
        }
        guess
    }

    #[test]
    fn values_of_one_kind_give_their_type_and_mixtures_a_string() {
        assert_eq!(guess(&["1", "007", "-3"]), Guess::Integer);
        assert_eq!(guess(&["1", "2.5"]), Guess::Float);
        assert_eq!(guess(&["1.", ".5", "1e-3", "NaN", "-inf"]), Guess::Float);
        assert_eq!(guess(&["true", "False"]), Guess::Bool);
        assert_eq!(guess(&["2013-01-01"]), Guess::Date);
        assert_eq!(guess(&["2013-01-01T06:00:00Z", "2013-01-01 06:00:00+01:00"]), Guess::TimestampUtc);
        assert_eq!(guess(&["2013-01-01 06:00"]), Guess::Timestamp);
        for mixed in [
            ["2013-01-01", "2013-01-01 06:00"],
            ["1", "true"],
            ["1", "x"],
            ["2013-01-01T06:00Z", "2013-01-01T06:00"],
        ] {
            assert_eq!(guess(&mixed), Guess::Text, "{mixed:?}");
        }
    }

    #[test]
    fn nothing_that_would_lose_digits_is_a_number() {
        assert_eq!(guess(&["9223372036854775808"]), Guess::Text);
        assert_eq!(guess(&["2013-01-01T00:00:00.1234567"]), Guess::Text);
        assert_eq!(guess(&["2013-02-30"]), Guess::Text);
        assert_eq!(guess(&["-", "+", ".", "--1"]), Guess::Text);
    }

    #[test]
    fn a_quoted_number_is_a_string() {
        let mut guess = Guess::default();
        guess.add("12", true);
        assert_eq!(guess, Guess::Text);
        assert_eq!(Guess::Unknown.data_type(), DataType::Utf8View);
    }
}
