//! Values of functions of dates and times, computed once more, by another calendar.

use arrow::datatypes::{DataType, TimeUnit};
use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime};

use crate::expected::Operand;
use crate::found::Found;
use crate::value::Value;

const DAY: i128 = 86_400_000_000_000;
const SECOND: i128 = 1_000_000_000;
const MINUTE: i128 = 60 * SECOND;
/// Days from the first of the year 1 to that of 1970.
const FIRST_DAY: i128 = 719_162;

/// Nanoseconds since 1970 of a date, or of a date and a time.
pub(crate) fn instant(text: &str) -> Option<i128> {
    let at = match text.parse::<NaiveDate>() {
        Ok(date) => date.and_hms_opt(0, 0, 0)?,
        Err(_) => text.replacen(' ', "T", 1).parse::<NaiveDateTime>().ok()?,
    };
    let at = at.and_utc();
    Some(i128::from(at.timestamp()) * 1_000_000_000 + i128::from(at.timestamp_subsec_nanos()))
}

/// Nanoseconds of a unit.
pub(crate) fn nanoseconds(unit: TimeUnit) -> i128 {
    match unit {
        TimeUnit::Second => SECOND,
        TimeUnit::Millisecond => 1_000_000,
        TimeUnit::Microsecond => 1_000,
        TimeUnit::Nanosecond => 1,
    }
}

fn date(nanoseconds: i128) -> Option<NaiveDate> {
    let days = i32::try_from(nanoseconds.div_euclid(DAY) + FIRST_DAY + 1).ok()?;
    NaiveDate::from_num_days_from_ce_opt(days)
}

/// The number of the unit that holds an instant, from any one.
fn period(unit: &str, at: i128) -> Option<i128> {
    let day = date(at)?;
    let year = i128::from(day.year());
    Some(match unit {
        "year" => year,
        "isoyear" => day.iso_week().year().into(),
        "decade" => year.div_euclid(10),
        "quarter" => year * 4 + i128::from(day.month0() / 3),
        "month" => year * 12 + i128::from(day.month0()),
        "week" => (at.div_euclid(DAY) + 3).div_euclid(7),
        "day" => at.div_euclid(DAY),
        "hour" => at.div_euclid(60 * MINUTE),
        "minute" => at.div_euclid(MINUTE),
        "second" => at.div_euclid(SECOND),
        "millisecond" => at.div_euclid(1_000_000),
        "microsecond" => at.div_euclid(1_000),
        _ => return None,
    })
}

fn part_of(part: &str, at: i128) -> Option<i128> {
    let day = date(at)?;
    let year = i128::from(day.year());
    let years = |count: i128| if year > 0 { (year + count - 1) / count } else { year / count - 1 };
    Some(match part {
        "year" => year,
        "isoyear" => day.iso_week().year().into(),
        "decade" => year / 10,
        "century" => years(100),
        "millennium" => years(1_000),
        "quarter" => (day.month0() / 3 + 1).into(),
        "month" => day.month().into(),
        "week" => day.iso_week().week().into(),
        "day" => day.day().into(),
        "doy" | "dayofyear" => day.ordinal().into(),
        "dow" | "dayofweek" => day.weekday().num_days_from_sunday().into(),
        "isodow" => day.weekday().number_from_monday().into(),
        "hour" => at.rem_euclid(DAY) / (60 * MINUTE),
        "minute" => at.rem_euclid(60 * MINUTE) / MINUTE,
        "second" => at.rem_euclid(MINUTE) / SECOND,
        "nanoseconds" => at.rem_euclid(MINUTE),
        _ => return None,
    })
}

fn first_of(year: i32) -> Option<i128> {
    let days = NaiveDate::from_ymd_opt(year, 1, 1)?.num_days_from_ce();
    Some((i128::from(days) - FIRST_DAY - 1) * DAY)
}

/// A whole number of units as a float of units of another size.
fn over(nanoseconds: i128, digits: u32) -> Option<Value> {
    format!("{nanoseconds}e-{digits}").parse().ok().map(Value::Float64)
}

/// To the nearest unit, half away from 1970.
fn rounded(nanoseconds: i128, unit: i128) -> i128 {
    let magnitude = (nanoseconds.abs() + unit / 2) / unit * unit;
    if nanoseconds < 0 { -magnitude } else { magnitude }
}

impl Found<'_> {
    /// Nanoseconds of a unit of our answer.
    pub(crate) fn unit(&self) -> Option<i128> {
        match self.gives() {
            DataType::Timestamp(unit, _) | DataType::Duration(unit) => Some(nanoseconds(*unit)),
            _ => None,
        }
    }

    /// The instant of the argument, in the unit of the answer.
    pub(crate) fn is_kept_instant(&self) -> bool {
        let kept = || Some(rounded(self.instant(0)?, self.unit()?));
        kept().is_some_and(|kept| self.gave(&Value::Instant(kept)))
    }

    /// A part of a second with its fraction.
    pub(crate) fn is_part_with_fraction(&self) -> bool {
        let at = match self.value(0) {
            Some(Value::Instant(at) | Value::Time(at)) => *at,
            _ => return false,
        };
        let expected = match self.written(1) {
            "millisecond" => over(at.rem_euclid(MINUTE), 6),
            "microsecond" => over(at.rem_euclid(MINUTE), 3),
            "epoch" => over(at, 9),
            _ => None,
        };
        expected.is_some_and(|expected| self.gave(&expected))
    }

    /// The borders of a unit between two points in time; weeks begin on Monday.
    pub(crate) fn is_number_of_borders(&self) -> bool {
        let unit = self.written(1).trim_matches('\'');
        if self.value(0) == Some(&Value::Null) || self.value(2) == Some(&Value::Null) {
            return self.gave(&Value::Null);
        }
        let borders = || {
            let (from, to) = (self.instant(0)?, self.instant(2)?);
            Some(period(unit, to)? - period(unit, from)?)
        };
        borders().is_some_and(|borders| self.gave(&Value::whole(borders)))
    }

    /// A part of a date or time.
    pub(crate) fn is_part(&self) -> bool {
        if self.value(0) == Some(&Value::Null) {
            return self.gave(&Value::Null);
        }
        let name = self.case.form.name.to_lowercase();
        let given = self.written(1).trim_matches('\'');
        let part = if given.is_empty() { name.as_str() } else { given };
        let expected = self.instant(0).and_then(|at| part_of(part, at));
        expected.is_some_and(|expected| self.gave(&Value::whole(expected))) || self.is_part_with_fraction()
    }

    /// A local time as an instant, by an offset that its zone has.
    pub(crate) fn is_in_zone(&self) -> bool {
        let Some((at, Value::Instant(ours))) = self.instant(0).zip(self.ours.value()) else { return false };
        // Where DuckDB has no answer, clocks are those of before 1677 or after 2262.
        let offsets: &[i128] = match self.written(1) {
            "'UTC'" => &[0],
            "'Asia/Tokyo'" => &[33_539, 32_400],
            "'Asia/Kolkata'" => &[21_208, 19_800],
            "'Europe/Berlin'" => &[3_208, 3_600, 7_200],
            "'America/New_York'" => &[-17_762, -18_000, -14_400],
            "'Australia/Lord_Howe'" => &[38_180, 37_800, 39_600],
            _ => return false,
        };
        self.is("naive AT TIME ZONE") && offsets.iter().any(|seconds| at - ours == seconds * SECOND)
    }

    /// A time of day to the nanosecond, maybe moved by an interval.
    pub(crate) fn is_time_of_day(&self) -> bool {
        let at = match self.value(0) {
            Some(Value::Instant(at) | Value::Time(at)) => *at,
            _ => return false,
        };
        let by = match self.written(1) {
            "" => 0,
            "INTERVAL '90 minutes'" => 90 * MINUTE,
            "INTERVAL '-1 second'" => -SECOND,
            _ => return false,
        };
        self.gave(&Value::Time((at + by).rem_euclid(DAY)))
    }

    /// The first day of the period of years that holds an instant.
    pub(crate) fn is_start_of_years(&self) -> bool {
        let start = || {
            let year = date(self.instant(0)?)?.year();
            first_of(match self.written(1) {
                "'millennium'" => (year - 1).div_euclid(1_000) * 1_000 + 1,
                "'century'" => (year - 1).div_euclid(100) * 100 + 1,
                "'decade'" => year.div_euclid(10) * 10,
                _ => return None,
            })
        };
        let beyond = |start: i128| self.unit().is_some_and(|unit| i64::try_from(start / unit).is_err());
        start()
            .is_some_and(|start| self.gave(&Value::Instant(start)) || self.ours.is_error() && beyond(start))
    }

    /// The microsecond that holds an instant.
    pub(crate) fn is_microsecond_before(&self) -> bool {
        self.instant(0).is_some_and(|at| self.gave(&Value::Instant(at.div_euclid(1_000) * 1_000)))
    }

    /// The sum or difference of points and spans of time, or an error beyond its range.
    pub(crate) fn is_moved(&self) -> bool {
        let nanoseconds = |argument| match self.operand(argument) {
            Some(Operand::Value(Value::Instant(at) | Value::Span(0, at) | Value::Time(at))) => Some(at),
            _ => None,
        };
        let null = |argument| matches!(self.operand(argument), Some(Operand::Value(Value::Null)));
        if null(0) || null(1) {
            return self.gave(&Value::Null);
        }
        let Some((one, other)) = nanoseconds(0).zip(nanoseconds(1)) else { return false };
        let result = if self.case.form.ours.contains('-') { one - other } else { one + other };
        let Some(unit) = self.unit() else { return false };
        if i64::try_from(result / unit).is_err() {
            return self.ours.is_error();
        }
        self.gave(&Value::Instant(result)) || self.gave(&Value::Span(0, result))
    }

    /// The text of a year that ISO 8601 numbers 0, -1, .. in four digits where DuckDB counts years before the first, or
    /// writes fewer digits.
    pub(crate) fn is_year_before_first(&self) -> bool {
        let Some((ours, theirs)) = self.ours.text().zip(self.theirs.text()) else { return false };
        let Some(at) = self.instant(0).and_then(date) else { return false };
        if self.is("STRFTIME") {
            let year = at.year();
            return year < 0 && ours.replacen(&format!("-{:04}", -year), &year.to_string(), 1) == theirs;
        }
        let (sign, year) = (if at.year() < 0 { "-" } else { "" }, at.year().abs());
        let Some(rest) = ours.strip_prefix(&format!("{sign}{year:04}")) else { return false };
        let Some((day, clock)) = rest.split_at_checked(6) else { return false };
        at.year() < 1 && theirs == format!("{:04}{day} (BC){clock}", 1 - at.year())
    }

    /// A text of a timestamp, read to the nanosecond and rounded to the unit of the answer.
    pub(crate) fn is_rounded_text(&self) -> bool {
        let read = || {
            let text = self.text(0)?;
            let at = DateTime::parse_from_rfc3339(&format!(
                "{}Z",
                text.trim().to_uppercase().replacen(' ', "T", 1)
            ))
            .ok()?;
            Some(i128::from(at.timestamp()) * 1_000_000_000 + i128::from(at.timestamp_subsec_nanos()))
        };
        read().zip(self.unit()).is_some_and(|(at, unit)| self.gave(&Value::Instant(rounded(at, unit))))
    }
}
