//! Points in time that are written in an expression.

use arrow::datatypes::{DataType, Date32Type, TimeUnit};
use arrow::temporal_conversions::{MICROSECONDS, MILLISECONDS, NANOSECONDS};

use arrow::compute::kernels::cast_utils::Parser;

/// A date, a time of day or a point in time, with the text it was written as.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Temporal {
    text: String,
    value: Value,
}

/// What a temporal literal stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Value {
    /// Days since 1970.
    Date(i32),
    /// Nanoseconds since midnight.
    Time(i64),
    /// A count of units since 1970.
    Timestamp(i64, TimeUnit, Zone),
}

/// Whether a point in time is an instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Zone {
    Naive,
    Utc,
}

impl Temporal {
    /// Reads `2024-02-29`.
    pub(super) fn date(text: &str) -> Option<Self> {
        Some(Self { text: text.to_owned(), value: Value::Date(days(text)?) })
    }

    /// Reads `23:59`, `23:59:59` and `23:59:59.123456789`.
    pub(super) fn time(text: &str) -> Option<Self> {
        Some(Self { text: text.to_owned(), value: Value::Time(nanoseconds_of_day(text)?) })
    }

    /// Reads a date and a time with a space or a `T` between, in microseconds where they suffice.
    pub(super) fn timestamp(text: &str) -> Option<Self> {
        [TimeUnit::Microsecond, TimeUnit::Nanosecond]
            .into_iter()
            .find_map(|unit| Self::timestamp_in(text, unit, Zone::Naive))
    }

    /// Reads the text as a value of the column's type; `None` where it is none, or is finer than the type.
    pub(super) fn of_type(text: &str, data_type: &DataType) -> Option<Self> {
        match data_type {
            DataType::Date32 => Self::date(text),
            DataType::Time64(_) => Self::time(text),
            DataType::Timestamp(unit, zone) => {
                let zone = if zone.is_some() { Zone::Utc } else { Zone::Naive };
                Self::timestamp_in(text, *unit, zone)
            }
            _ => None,
        }
    }

    fn timestamp_in(text: &str, unit: TimeUnit, zone: Zone) -> Option<Self> {
        let (date, time) = match text.split_once([' ', 'T']) {
            Some((date, time)) => (days(date)?, nanoseconds_of_day(time)?),
            None => (days(text)?, 0),
        };
        let nanoseconds = i128::from(date) * 86_400 * i128::from(NANOSECONDS) + i128::from(time);
        let step = i128::from(NANOSECONDS / units_per_second(unit));
        let value = i64::try_from(nanoseconds / step).ok().filter(|_| nanoseconds % step == 0)?;
        Some(Self { text: text.to_owned(), value: Value::Timestamp(value, unit, zone) })
    }

    pub(super) fn value(&self) -> Value {
        self.value
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// The SQL word before it.
    pub(super) fn keyword(&self) -> &'static str {
        match self.value {
            Value::Date(_) => "DATE",
            Value::Time(_) => "TIME",
            Value::Timestamp(..) => "TIMESTAMP",
        }
    }
}

pub(super) fn units_per_second(unit: TimeUnit) -> i64 {
    match unit {
        TimeUnit::Second => 1,
        TimeUnit::Millisecond => MILLISECONDS,
        TimeUnit::Microsecond => MICROSECONDS,
        TimeUnit::Nanosecond => NANOSECONDS,
    }
}

fn days(text: &str) -> Option<i32> {
    let shape = text.len() == 10
        && text.bytes().enumerate().all(|(at, byte)| match at {
            4 | 7 => byte == b'-',
            _ => byte.is_ascii_digit(),
        });
    if shape { Date32Type::parse(text) } else { None }
}

/// Hours and minutes, with or without seconds and up to nine digits of a fraction.
fn nanoseconds_of_day(text: &str) -> Option<i64> {
    let (clock, fraction) = text.split_once('.').map_or((text, None), |(c, f)| (c, Some(f)));
    let mut fields = clock.split(':').map(|field| {
        let plain = field.len() == 2 && field.bytes().all(|byte| byte.is_ascii_digit());
        if plain { field.parse::<i64>().ok() } else { None }
    });
    let hours = fields.next()??;
    let minutes = fields.next()??;
    let seconds = match fields.next() {
        Some(seconds) => Some(seconds?),
        None => None,
    };
    let fraction = match (fraction, seconds) {
        (None, _) => 0,
        (Some(digits), Some(_)) if digits.bytes().all(|b| b.is_ascii_digit()) && digits.len() <= 9 => {
            format!("{digits:0<9}").parse().ok().filter(|_| !digits.is_empty())?
        }
        (Some(_), _) => return None,
    };
    let seconds = seconds.unwrap_or(0);
    let valid = fields.next().is_none() && hours < 24 && minutes < 60 && seconds < 60;
    valid.then(|| (hours * 3_600 + minutes * 60 + seconds) * NANOSECONDS + fraction)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_and_times_are_read_or_refused_whole() {
        assert_eq!(Temporal::date("1970-01-02").unwrap().value(), Value::Date(1));
        assert_eq!(Temporal::time("00:01:00.5").unwrap().value(), Value::Time(60_500_000_000));
        let fine = Temporal::timestamp("1970-01-01 00:00:00.000000001").unwrap();
        assert_eq!(fine.value(), Value::Timestamp(1, TimeUnit::Nanosecond, Zone::Naive));
        let old = Temporal::timestamp("0001-01-01T00:00").unwrap();
        assert_eq!(
            old.value(),
            Value::Timestamp(-62_135_596_800_000_000, TimeUnit::Microsecond, Zone::Naive)
        );
        for wrong in ["2023-02-29", "2024-1-1", "2024-13-01", "today", "", "2024-01-01 "] {
            assert!(Temporal::date(wrong).is_none(), "{wrong} was accepted");
        }
        for wrong in ["24:00", "1:00", "00:60", "00:00.5", "00:00:00.", "00:00:00.1234567890", "00"] {
            assert!(Temporal::time(wrong).is_none(), "{wrong} was accepted");
        }
    }

    #[test]
    fn a_literal_finer_than_its_column_is_refused() {
        let milliseconds = DataType::Timestamp(TimeUnit::Millisecond, None);
        assert!(Temporal::of_type("2024-01-01 00:00:00.001", &milliseconds).is_some());
        assert!(Temporal::of_type("2024-01-01 00:00:00.0001", &milliseconds).is_none());
    }
}
