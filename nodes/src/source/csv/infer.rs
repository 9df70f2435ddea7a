//! Finds the types of CSV columns from their first values.
//!
//! A quoted field counts like any other, but an empty one is a string. Leading zeros make a number,
//! as in Polars. No type is inferred that would change a number: what no 64-bit integer holds, and an
//! integer beyond 2^53 beside a fraction, make a column of strings. `NaN` and infinities are floats
//! among numbers and names otherwise. Nothing is recognized by its column's name.

use anabranch_engine::types::parse_type;
use arrow::datatypes::DataType;

use crate::source::text::{self, IntegerRange};

/// Type that the values of a column seen so far can all be read as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Guess {
    /// No value so far.
    #[default]
    Unknown,
    Bool,
    Integer(IntegerRange),
    Float,
    /// `NaN` and infinities only, which may be names.
    Special,
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
            Some(b'-' | b'+' | b'n' | b'N' | b'i' | b'I') if text::special_float::<f64>(text).is_some() => {
                Self::Special
            }
            Some(b'0'..=b'9' | b'.' | b'-' | b'+') => Self::of_number(text),
            Some(b't' | b'T' | b'f' | b'F') if text::bool_of(text).is_some() => Self::Bool,
            _ => Self::Text,
        }
    }

    fn of_number(text: &str) -> Self {
        if let Some(range) = IntegerRange::of(text) {
            Self::Integer(range)
        } else if text::date(text).is_some() {
            Self::Date
        } else if let Some(moment) = text::timestamp(text).filter(|m| m.count(1_000_000).is_some()) {
            if moment.zoned { Self::TimestampUtc } else { Self::Timestamp }
        } else if text::is_whole(text) {
            Self::Text
        } else if text::float_of::<f64>(text).is_some() {
            Self::Float
        } else {
            Self::Text
        }
    }

    /// Takes a further value into account.
    pub(super) fn add(&mut self, field: &str) {
        if *self == Self::Text {
            return;
        }
        *self = match (*self, Self::of(field)) {
            (Self::Unknown, value) => value,
            (Self::Integer(a), Self::Integer(b)) => Self::Integer(a.with(b)),
            (Self::Integer(range), Self::Float | Self::Special)
            | (Self::Float | Self::Special, Self::Integer(range))
                if range.fits_double() =>
            {
                Self::Float
            }
            (Self::Float | Self::Special, Self::Float) | (Self::Float, Self::Special) => Self::Float,
            (seen, value) if seen == value => seen,
            _ => Self::Text,
        };
    }

    /// The type; a string where no value was seen.
    pub(super) fn data_type(self) -> DataType {
        let name = match self {
            Self::Integer(range) => return range.data_type().unwrap_or(DataType::Utf8View),
            Self::Bool => "bool",
            Self::Float => "float64",
            Self::Date => "date",
            Self::Timestamp => "timestamp",
            Self::TimestampUtc => "timestamp_utc",
            Self::Unknown | Self::Special | Self::Text => "string",
        };
        parse_type(name).unwrap_or(DataType::Utf8View)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anabranch_engine::types::logical_type;

    fn guess(values: &[&str]) -> String {
        let mut guess = Guess::default();
        for value in values {
            guess.add(value);
        }
        logical_type(&guess.data_type())
    }

    #[test]
    fn values_of_one_kind_give_their_type_and_mixtures_a_string() {
        assert_eq!(guess(&["1", "007", "-3"]), "int64");
        assert_eq!(guess(&["1", "2.5"]), "float64");
        assert_eq!(guess(&["1.", ".5", "1e-3", "NaN", "-inf"]), "float64");
        assert_eq!(guess(&["true", "False"]), "bool");
        assert_eq!(guess(&["2013-01-01"]), "date");
        assert_eq!(guess(&["2013-01-01T06:00:00Z", "2013-01-01 06:00:00+01:00"]), "timestamp_utc");
        assert_eq!(guess(&["2013-01-01 06:00"]), "timestamp");
        for mixed in [
            ["2013-01-01", "2013-01-01 06:00"],
            ["1", "true"],
            ["1", "x"],
            ["1", ""],
            ["2013-01-01T06:00Z", "2013-01-01T06:00"],
        ] {
            assert_eq!(guess(&mixed), "string", "{mixed:?}");
        }
    }

    #[test]
    fn nothing_that_would_lose_digits_is_a_number() {
        // As in JSON, where the same column has the same type.
        assert_eq!(guess(&["1", "18446744073709551615"]), "uint64");
        assert_eq!(guess(&["-1", "18446744073709551615"]), "string");
        assert_eq!(guess(&["18446744073709551616"]), "string");
        assert_eq!(guess(&["9007199254740993", "0.5"]), "string");
        assert_eq!(guess(&["0.5", "9007199254740993"]), "string");
        assert_eq!(guess(&["9007199254740992", "0.5"]), "float64");
        assert_eq!(guess(&["1e400"]), "string");
        assert_eq!(guess(&["2013-01-01T00:00:00.1234567"]), "string");
        assert_eq!(guess(&["2013-02-30"]), "string");
        assert_eq!(guess(&["-", "+", ".", "--1"]), "string");
    }

    #[test]
    fn names_that_read_as_special_floats_stay_names_unless_numbers_stand_among_them() {
        assert_eq!(guess(&["Inf", "NaN", "nan"]), "string");
        assert_eq!(guess(&["nan", "bread"]), "string");
        assert_eq!(guess(&["nan", "1", "-Infinity"]), "float64");
        assert_eq!(guess(&["Inf", "2.5"]), "float64");
        assert_eq!(guess(&["Inf", "9007199254740993"]), "string");
        assert_eq!(guess(&["NaN", "true"]), "string");
    }
}
