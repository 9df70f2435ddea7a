//! Dates and times in formats of `strftime`.

use std::fmt::Write as _;

use chrono::format::{Item, Numeric, Pad, Parsed, StrftimeItems, parse};
use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, NaiveTime};

use super::calendar::NANOSECONDS_PER_SECOND;

/// A format that was checked.
#[derive(Debug, Clone)]
pub(crate) struct Format {
    items: Vec<Item<'static>>,
    /// True where it reads an offset from UTC.
    pub(crate) zoned: bool,
}

impl Format {
    /// Reads a format for writing; `%f` is microseconds in six digits, as in C and Python programs.
    pub(crate) fn for_writing(text: &str) -> Option<Self> {
        Self::new(&replaced(text, "%6f"))
    }

    /// Reads a format for reading; `.%f` takes a fraction of any length.
    pub(crate) fn for_reading(text: &str) -> Option<Self> {
        Self::new(&replaced(&text.replace(".%f", "%.f"), "%6f"))
    }

    fn new(text: &str) -> Option<Self> {
        let items: Vec<Item<'static>> = StrftimeItems::new(text).parse_to_owned().ok()?;
        let zoned = text.contains("%z") || text.contains("%:z") || text.contains("%#z");
        Some(Self { items, zoned })
    }

    /// The text of a point in time; `None` where the type lacks a field of the format.
    pub(crate) fn write(&self, point: Point) -> Option<String> {
        let mut text = String::new();
        let year = point.year().unwrap_or(0);
        // The last two digits of the year as it is written, as POSIX has it.
        let digits = |item: &Item<'static>| match item {
            Item::Numeric(Numeric::YearMod100, Pad::Zero) if year < 0 => {
                Item::OwnedLiteral(format!("{:02}", year.unsigned_abs() % 100).into())
            }
            other => other.clone(),
        };
        let before: Vec<Item<'static>>;
        let items = if year < 0 {
            before = self.items.iter().map(digits).collect();
            before.iter()
        } else {
            self.items.iter()
        };
        match point {
            Point::Date(date) => write!(text, "{}", date.format_with_items(items)).ok()?,
            Point::Time(time) => write!(text, "{}", time.format_with_items(items)).ok()?,
            Point::Timestamp(at) => write!(text, "{}", at.format_with_items(items)).ok()?,
            Point::Instant(at) => write!(text, "{}", at.and_utc().format_with_items(items)).ok()?,
        }
        Some(text)
    }

    fn parsed(&self, text: &str) -> Option<Parsed> {
        let mut parsed = Parsed::new();
        parse(&mut parsed, text, self.items.iter()).ok()?;
        Some(parsed)
    }

    /// Days since 1970.
    pub(crate) fn read_date(&self, text: &str) -> Option<i32> {
        let date = self.parsed(text)?.to_naive_date().ok()?;
        i32::try_from(date.signed_duration_since(NaiveDate::default()).num_days()).ok()
    }

    /// Nanoseconds since midnight.
    pub(crate) fn read_time(&self, text: &str) -> Option<i64> {
        let time = self.parsed(text)?.to_naive_time().ok()?;
        time.signed_duration_since(NaiveTime::MIN).num_nanoseconds()
    }

    /// Nanoseconds since 1970, in UTC where the text has an offset; midnight where it has no time.
    pub(crate) fn read_timestamp(&self, text: &str) -> Option<i128> {
        let parsed = self.parsed(text)?;
        let date = match parsed.timestamp() {
            Some(seconds) => return Some(i128::from(seconds) * i128::from(NANOSECONDS_PER_SECOND)),
            None => parsed.to_naive_date().ok()?,
        };
        let has_time = parsed.hour_mod_12().is_some() || parsed.minute().is_some();
        let time = if has_time { parsed.to_naive_time().ok()? } else { NaiveTime::MIN };
        let local = NaiveDateTime::new(date, time).and_utc();
        let offset = i128::from(parsed.offset().unwrap_or(0));
        let seconds = i128::from(local.timestamp()) - offset;
        Some(seconds * i128::from(NANOSECONDS_PER_SECOND) + i128::from(local.timestamp_subsec_nanos()))
    }
}

/// A value to be written in a format.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Point {
    Date(NaiveDate),
    Time(NaiveTime),
    Timestamp(NaiveDateTime),
    Instant(NaiveDateTime),
}

impl Point {
    fn year(&self) -> Option<i32> {
        match self {
            Self::Date(date) => Some(date.year()),
            Self::Timestamp(at) | Self::Instant(at) => Some(at.year()),
            Self::Time(_) => None,
        }
    }

    pub(crate) fn date(days: i32) -> Option<Self> {
        NaiveDate::from_num_days_from_ce_opt(days.checked_add(719_163)?).map(Self::Date)
    }

    pub(crate) fn time(nanoseconds: i64) -> Option<Self> {
        let seconds = u32::try_from(nanoseconds / NANOSECONDS_PER_SECOND).ok()?;
        let rest = u32::try_from(nanoseconds % NANOSECONDS_PER_SECOND).ok()?;
        NaiveTime::from_num_seconds_from_midnight_opt(seconds, rest).map(Self::Time)
    }

    pub(crate) fn timestamp(nanoseconds: i128, zoned: bool) -> Option<Self> {
        let second = i128::from(NANOSECONDS_PER_SECOND);
        let seconds = i64::try_from(nanoseconds.div_euclid(second)).ok()?;
        let rest = u32::try_from(nanoseconds.rem_euclid(second)).ok()?;
        let at = DateTime::from_timestamp(seconds, rest)?.naive_utc();
        Some(if zoned { Self::Instant(at) } else { Self::Timestamp(at) })
    }
}

/// The format with every bare `%f` replaced.
fn replaced(text: &str, microseconds: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(character) = rest.next() {
        if character != '%' {
            out.push(character);
            continue;
        }
        match rest.next() {
            Some('f') => out.push_str(microseconds),
            Some(other) => out.extend(['%', other]),
            None => out.push('%'),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_written_and_read_back() {
        let format = "%Y-%m-%d %H:%M:%S.%f";
        let point = Point::timestamp(1_709_211_661_000_005_000, false).unwrap();
        let text = Format::for_writing(format).unwrap().write(point).unwrap();
        assert_eq!(text, "2024-02-29 13:01:01.000005");
        let read = Format::for_reading(format).unwrap();
        assert_eq!(read.read_timestamp(&text), Some(1_709_211_661_000_005_000));
        assert_eq!(read.read_timestamp("2024-02-29 13:01:01.5"), Some(1_709_211_661_500_000_000));
        let zoned = Format::for_reading("%d.%m.%Y %H:%M %z").unwrap();
        assert_eq!(zoned.read_timestamp("01.01.1970 02:00 +0200"), Some(0));
        assert_eq!(
            Format::for_reading("%d.%m.%Y").unwrap().read_timestamp("02.01.1970"),
            Some(86_400_000_000_000)
        );
        let early = Point::Date(NaiveDate::from_ymd_opt(-45, 1, 2).unwrap());
        assert_eq!(Format::for_writing("%d/%m/%y %Y").unwrap().write(early).unwrap(), "02/01/45 -0045");
        assert!(Format::for_writing("%Q").is_none());
        assert!(Format::for_writing("%H").unwrap().write(Point::date(0).unwrap()).is_none());
    }
}
