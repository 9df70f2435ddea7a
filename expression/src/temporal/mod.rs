//! Points and spans of time: literals, calendar, formats and zones.

pub(crate) mod calendar;
pub(crate) mod format;
pub(crate) mod interval;
pub(crate) mod zone;

use arrow::datatypes::{DataType, TimeUnit};

use calendar::{MICROSECONDS, NANOSECONDS_PER_DAY, NANOSECONDS_PER_SECOND, days_of};

/// A date, a time of day or a point in time, with the text it was written as.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Temporal {
    text: String,
    value: TemporalValue,
}

/// The point in time that a temporal literal stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TemporalValue {
    /// Days since 1970.
    Date(i32),
    /// Nanoseconds since midnight.
    Time(i64),
    /// Nanoseconds since 1970.
    Timestamp(i128, Zone),
}

/// A point in time is local, or an instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Zone {
    Naive,
    Utc,
}

impl Temporal {
    /// Reads `2024-02-29`.
    pub(crate) fn date(text: &str) -> Option<Self> {
        Some(Self { text: text.to_owned(), value: TemporalValue::Date(read_date(text)?) })
    }

    /// Reads `23:59`, `23:59:59` and `23:59:59.123456789`.
    pub(crate) fn time(text: &str) -> Option<Self> {
        Some(Self { text: text.to_owned(), value: TemporalValue::Time(read_time(text)?) })
    }

    /// Reads a date and a time with a space or a `T` between, without a zone.
    pub(crate) fn timestamp(text: &str) -> Option<Self> {
        let (nanoseconds, zone) = read_timestamp(text)?;
        zone.is_none().then_some(())?;
        Some(Self { text: text.to_owned(), value: TemporalValue::Timestamp(nanoseconds, Zone::Naive) })
    }

    /// Reads the same with an offset such as `+02:00` or `Z`; without one it is in UTC.
    pub(crate) fn instant(text: &str) -> Option<Self> {
        let (nanoseconds, _) = read_timestamp(text)?;
        Some(Self { text: text.to_owned(), value: TemporalValue::Timestamp(nanoseconds, Zone::Utc) })
    }

    /// Reads the text as a value of the type.
    pub(crate) fn of_type(text: &str, data_type: &DataType) -> Option<Self> {
        match data_type {
            DataType::Date32 => Self::date(text),
            DataType::Time64(_) => Self::time(text),
            DataType::Timestamp(_, None) => Self::timestamp(text),
            DataType::Timestamp(_, Some(_)) => Self::instant(text),
            _ => None,
        }
    }

    pub(crate) fn value(&self) -> TemporalValue {
        self.value
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The SQL word before it.
    pub(crate) fn keyword(&self) -> &'static str {
        match self.value {
            TemporalValue::Date(_) => "DATE",
            TemporalValue::Time(_) => "TIME",
            TemporalValue::Timestamp(_, Zone::Naive) => "TIMESTAMP",
            TemporalValue::Timestamp(_, Zone::Utc) => "TIMESTAMPTZ",
        }
    }

    /// Its type: microseconds where they suffice, else nanoseconds.
    pub(crate) fn data_type(&self) -> DataType {
        match self.value {
            TemporalValue::Date(_) => DataType::Date32,
            TemporalValue::Time(_) => DataType::Time64(TimeUnit::Nanosecond),
            TemporalValue::Timestamp(nanoseconds, zone) => {
                let micro = nanoseconds % 1_000 == 0;
                let unit = if micro { TimeUnit::Microsecond } else { TimeUnit::Nanosecond };
                DataType::Timestamp(unit, (zone == Zone::Utc).then(|| "UTC".into()))
            }
        }
    }
}

/// Units of a second.
pub(crate) fn units_per_second(unit: TimeUnit) -> i64 {
    match unit {
        TimeUnit::Second => 1,
        TimeUnit::Millisecond => 1_000,
        TimeUnit::Microsecond => MICROSECONDS,
        TimeUnit::Nanosecond => NANOSECONDS_PER_SECOND,
    }
}

/// Nanoseconds of a unit.
pub(crate) fn nanoseconds_per(unit: TimeUnit) -> i64 {
    NANOSECONDS_PER_SECOND / units_per_second(unit)
}

/// Days since 1970 of `YYYY-MM-DD`; a year has at least four digits, and may have a sign before more.
pub(crate) fn read_date(text: &str) -> Option<i32> {
    let (negative, rest) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let mut fields = rest.split('-');
    let number = |field: &str, least: usize, most: usize| {
        let plain = (least..=most).contains(&field.len()) && field.bytes().all(|b| b.is_ascii_digit());
        if plain { field.parse::<i64>().ok() } else { None }
    };
    let year = number(fields.next()?, 4, 7)?;
    let month = number(fields.next()?, 2, 2)?;
    let day = number(fields.next()?, 2, 2)?;
    if fields.next().is_some() {
        return None;
    }
    days_of(if negative { -year } else { year }, month, day)
}

/// Nanoseconds since midnight: hours and minutes, maybe seconds and up to nine digits of a fraction.
pub(crate) fn read_time(text: &str) -> Option<i64> {
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
    valid.then(|| (hours * 3_600 + minutes * 60 + seconds) * NANOSECONDS_PER_SECOND + fraction)
}

/// Nanoseconds since 1970 in UTC, and the offset in seconds where the text has one.
pub(crate) fn read_timestamp(text: &str) -> Option<(i128, Option<i64>)> {
    let (date, rest) = match text.get(1..)?.find([' ', 'T', 't']) {
        Some(at) => (text.get(..=at)?, text.get(at + 2..)?),
        None => (text, ""),
    };
    let days = i128::from(read_date(date)?) * NANOSECONDS_PER_DAY;
    if rest.is_empty() && date.len() == text.len() {
        return Some((days, None));
    }
    let (clock, offset) = match rest.find(['Z', 'z', '+', '-']) {
        Some(at) => (rest.get(..at)?.trim_end(), Some(read_offset(rest.get(at..)?)?)),
        None => (rest, None),
    };
    let local = days + i128::from(read_time(clock)?);
    let shift = i128::from(offset.unwrap_or(0)) * i128::from(NANOSECONDS_PER_SECOND);
    Some((local - shift, offset))
}

/// Seconds east of Greenwich of `Z`, `+02`, `+0200`, `+02:00`.
fn read_offset(text: &str) -> Option<i64> {
    if matches!(text, "Z" | "z") {
        return Some(0);
    }
    let sign = if text.starts_with('-') { -1 } else { 1 };
    let digits: String = text.get(1..)?.chars().filter(|c| *c != ':').collect();
    let plain = matches!(digits.len(), 2 | 4) && digits.bytes().all(|b| b.is_ascii_digit());
    plain.then_some(())?;
    let hours: i64 = digits.get(..2)?.parse().ok()?;
    let minutes: i64 = digits.get(2..).filter(|m| !m.is_empty()).map_or(Some(0), |m| m.parse().ok())?;
    (hours <= 18 && minutes < 60).then_some(sign * (hours * 3_600 + minutes * 60))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_and_times_are_read_or_refused_whole() {
        assert_eq!(Temporal::date("1970-01-02").unwrap().value(), TemporalValue::Date(1));
        assert_eq!(Temporal::time("00:01:00.5").unwrap().value(), TemporalValue::Time(60_500_000_000));
        let fine = Temporal::timestamp("1970-01-01 00:00:00.000000001").unwrap();
        assert_eq!(fine.value(), TemporalValue::Timestamp(1, Zone::Naive));
        let old = Temporal::timestamp("0001-01-01T00:00").unwrap();
        assert_eq!(old.value(), TemporalValue::Timestamp(-62_135_596_800_000_000_000, Zone::Naive));
        let east = Temporal::instant("1970-01-01 02:00:00+02:00").unwrap();
        assert_eq!(east.value(), TemporalValue::Timestamp(0, Zone::Utc));
        for wrong in ["2023-02-29", "2024-1-1", "2024-13-01", "today", "", "2024-01-01 "] {
            assert!(Temporal::date(wrong).is_none(), "{wrong} was accepted");
        }
        for wrong in ["24:00", "1:00", "00:60", "00:00.5", "00:00:00.", "00:00:00.1234567890", "00"] {
            assert!(Temporal::time(wrong).is_none(), "{wrong} was accepted");
        }
        for wrong in ["2024-01-01 ", "2024-01-01T", "2024-01-01 00:00Z", "ä", "2024-01-01 00:00+99"] {
            assert!(Temporal::timestamp(wrong).is_none(), "{wrong} was accepted");
        }
    }
}
