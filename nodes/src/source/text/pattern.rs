//! Dates and times in the format that a file has.

use arrow::datatypes::{DataType, TimeUnit};

use super::calendar::days_of;
use super::parse::{Front, Moment};

/// A format in the directives of `strptime`: `%d.%m.%Y %H:%M`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TimeFormat(Vec<FormatItem>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum FormatItem {
    /// This text.
    Literal(String),
    /// Any number of spaces, at least one.
    Space,
    Directive(u8),
}

/// Directives that stand for others.
const SHORTHANDS: [(u8, &str); 4] =
    [(b'F', "%Y-%m-%d"), (b'T', "%H:%M:%S"), (b'R', "%H:%M"), (b'D', "%m/%d/%y")];
/// The directives that stand for a part of a date or time.
const DIRECTIVES: &[u8] = b"YymdebBhjaAHIpMSfzs";

impl TimeFormat {
    /// The format of a text.
    ///
    /// Errors: what is wrong with it.
    pub(crate) fn new(format: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        push(format, &mut parts)?;
        let format = Self(parts);
        format.data_type().map(|_| format)
    }

    fn has(&self, directives: &[u8]) -> bool {
        self.0.iter().any(|part| matches!(part, FormatItem::Directive(d) if directives.contains(d)))
    }

    /// The type that the format says: `date`, `time`, `timestamp` or `timestamp_utc`.
    pub(crate) fn data_type(&self) -> Result<DataType, String> {
        let year = self.has(b"Yy");
        let date = year && (self.has(b"j") || (self.has(b"mbBh") && self.has(b"de")));
        let any_date = year || self.has(b"jmbBhdeaA");
        let time = self.has(b"H") || (self.has(b"I") && self.has(b"p"));
        let any_time = time || self.has(b"IpMSf");
        let utc = Some("UTC".into());
        if self.has(b"s") {
            let others = any_date || self.has(b"HIpMSz");
            let alone = if others { Err("%s stands alone, with %f at most".to_owned()) } else { Ok(()) };
            return alone.map(|()| DataType::Timestamp(TimeUnit::Microsecond, utc));
        }
        match (date, any_date, time, any_time, self.has(b"z")) {
            (true, _, true, _, true) => Ok(DataType::Timestamp(TimeUnit::Microsecond, utc)),
            (true, _, true, _, false) => Ok(DataType::Timestamp(TimeUnit::Microsecond, None)),
            (true, _, false, false, false) => Ok(DataType::Date32),
            (_, false, true, _, false) => Ok(DataType::Time64(TimeUnit::Nanosecond)),
            _ => {
                Err("a date is a year, month and day (or %j), a time is %H or %I with %p, %z needs both"
                    .into())
            }
        }
    }

    /// The moment that a text stands for, in parts: days since 1970, and nanoseconds of the day.
    pub(crate) fn read(&self, text: &str) -> Option<Moment> {
        let mut front = Front(text.trim_ascii().as_bytes());
        let mut seen = Seen::default();
        for part in &self.0 {
            match part {
                FormatItem::Space => {
                    front.expect(b' ')?;
                    while front.accept(b' ') {}
                }
                FormatItem::Literal(literal) => front.0 = front.0.strip_prefix(literal.as_bytes())?,
                FormatItem::Directive(directive) => seen.read(*directive, &mut front)?,
            }
        }
        front.end(())?;
        seen.moment()
    }
}

fn push(format: &str, parts: &mut Vec<FormatItem>) -> Result<(), String> {
    let mut characters = format.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '%' => {
                let directive = characters.next().and_then(|c| u8::try_from(c).ok());
                let directive =
                    directive.ok_or("a % without a directive at its end; %% is a percent sign")?;
                if let Some((_, meaning)) = SHORTHANDS.iter().find(|(short, _)| *short == directive) {
                    push(meaning, parts)?;
                } else if directive == b'%' {
                    literal('%', parts);
                } else if DIRECTIVES.contains(&directive) {
                    parts.push(FormatItem::Directive(directive));
                } else {
                    let known: Vec<String> =
                        DIRECTIVES.iter().map(|d| format!("%{}", char::from(*d))).collect();
                    let found = char::from(directive);
                    return Err(format!("the directive %{found}, which is none of {}", known.join(" ")));
                }
            }
            c if c.is_ascii_whitespace() => {
                while characters.next_if(char::is_ascii_whitespace).is_some() {}
                parts.push(FormatItem::Space);
            }
            c => literal(c, parts),
        }
    }
    Ok(())
}

fn literal(character: char, parts: &mut Vec<FormatItem>) {
    match parts.last_mut() {
        Some(FormatItem::Literal(text)) => text.push(character),
        _ => parts.push(FormatItem::Literal(character.to_string())),
    }
}

const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];
const WEEKDAYS: [&str; 7] = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];

/// The parts of a moment that were read.
#[derive(Default)]
struct Seen {
    year: i64,
    month: Option<u32>,
    day: u32,
    day_of_year: Option<u32>,
    weekday: Option<u32>,
    hour: u32,
    afternoon: Option<bool>,
    minute: u32,
    second: u32,
    nanos: u32,
    offset: Option<i64>,
    /// Seconds since 1970.
    epoch: Option<i64>,
}

impl Seen {
    fn read(&mut self, directive: u8, front: &mut Front<'_>) -> Option<()> {
        match directive {
            b'Y' => self.year = front.year()?,
            b'y' => {
                // As POSIX has it: 69 to 99 are of the twentieth century.
                let year = i64::from(front.digits(2)?);
                self.year = year + if year < 69 { 2_000 } else { 1_900 };
            }
            b'm' => self.month = Some(front.short(2)?),
            b'b' | b'B' | b'h' => self.month = Some(front.name(&MONTHS)? + 1),
            b'd' | b'e' => {
                front.accept(b' ');
                self.day = front.short(2)?;
            }
            b'j' => self.day_of_year = Some(front.short(3)?),
            b'a' | b'A' => self.weekday = Some(front.name(&WEEKDAYS)?),
            b'H' => self.hour = front.short(2).filter(|h| *h < 24)?,
            b'I' => self.hour = front.short(2).filter(|h| (1..=12).contains(h))?,
            b'p' => self.afternoon = Some(front.name(&["am", "pm"])? == 1),
            b'M' => self.minute = front.short(2).filter(|m| *m < 60)?,
            b'S' => self.second = front.short(2).filter(|s| *s < 60)?,
            b'f' => self.nanos = front.fraction_digits()?,
            b'z' => self.offset = Some(front.zone_within()?),
            b's' => {
                let negative = front.accept(b'-');
                let seconds = front.number()?;
                self.epoch = Some(if negative { -seconds } else { seconds });
            }
            _ => return None,
        }
        Some(())
    }

    fn days(&self) -> Option<i64> {
        let days = match (self.day_of_year, self.month) {
            (Some(day), _) => {
                let first = days_of(self.year, 1, 1)?;
                let days = first + i64::from(day) - 1;
                (day > 0 && days < days_of(self.year + 1, 1, 1)?).then_some(days)?
            }
            (None, Some(month)) => days_of(self.year, month, self.day)?,
            (None, None) => 0,
        };
        // 1970-01-01 was a Thursday.
        let weekday = u32::try_from((days + 3).rem_euclid(7)).ok()?;
        self.weekday.is_none_or(|named| named == weekday).then_some(days)
    }

    fn moment(self) -> Option<Moment> {
        if let Some(seconds) = self.epoch {
            return Some(Moment { seconds, nanos: self.nanos, zoned: true });
        }
        let hour = match self.afternoon {
            Some(afternoon) => self.hour % 12 + if afternoon { 12 } else { 0 },
            None => self.hour,
        };
        let seconds = i64::from(hour * 3_600 + self.minute * 60 + self.second);
        let midnight = self.days()?.checked_mul(86_400)?;
        let seconds = midnight.checked_add(seconds)?.checked_sub(self.offset.unwrap_or(0))?;
        Some(Moment { seconds, nanos: self.nanos, zoned: self.offset.is_some() })
    }
}

impl Front<'_> {
    /// One digit, or up to so many.
    fn short(&mut self, most: usize) -> Option<u32> {
        let length = self.0.iter().take(most).take_while(|b| b.is_ascii_digit()).count();
        if length == 0 { None } else { self.digits(length) }
    }

    /// One of some names in any case, whole or its first three letters.
    fn name(&mut self, names: &[&str]) -> Option<u32> {
        let starts = |name: &str| {
            let front = self.0.get(..name.len());
            front.is_some_and(|front| front.eq_ignore_ascii_case(name.as_bytes())).then_some(name.len())
        };
        let found = |(at, name): (u32, &&str)| {
            let length = starts(name).or_else(|| starts(name.get(..3)?));
            length.map(|length| (at, length))
        };
        let (at, length) = (0..).zip(names).find_map(found)?;
        self.0 = self.0.get(length..)?;
        Some(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(format: &str, text: &str) -> Option<(i64, u32)> {
        let moment = TimeFormat::new(format).unwrap().read(text)?;
        let nanos = moment.count(1_000_000_000)?;
        Some((nanos.div_euclid(1_000_000_000), u32::try_from(nanos.rem_euclid(1_000_000_000)).unwrap()))
    }

    fn type_of(format: &str) -> String {
        TimeFormat::new(format)
            .map_or_else(|e| e, |f| anabranch_engine::types::logical_type(&f.data_type().unwrap()))
    }

    #[test]
    fn a_format_says_its_type() {
        assert_eq!(type_of("%d.%m.%Y"), "date");
        assert_eq!(type_of("%Y%j"), "date");
        assert_eq!(type_of("%I:%M %p"), "time");
        assert_eq!(type_of("%d/%m/%y %R"), "timestamp");
        assert_eq!(type_of("%FT%T.%f%z"), "timestamp_utc");
        assert_eq!(type_of("%s"), "timestamp_utc");
        for (format, expected) in [
            ("%d.%m", "a date is a year, month and day"),
            ("%H:%M%z", "a date is a year"),
            ("%q", "the directive %q, which is none of %Y"),
            ("%", "a % without a directive"),
            ("", "a date is a year"),
            ("%s %H", "%s stands alone"),
        ] {
            assert!(type_of(format).contains(expected), "{}", type_of(format));
        }
    }

    #[test]
    fn dates_and_times_of_many_lands_are_read() {
        assert_eq!(read("%d.%m.%Y", "31.12.2013"), Some((1_388_448_000, 0)));
        assert_eq!(read("%m/%d/%y", "1/2/13"), Some((1_357_084_800, 0)));
        assert_eq!(read("%d %b %Y", "1 Jan 2013"), Some((1_356_998_400, 0)));
        assert_eq!(read("%A, %B %e, %Y", "Tuesday, january  1, 2013"), Some((1_356_998_400, 0)));
        assert_eq!(read("%Y%m%d", "20130101"), Some((1_356_998_400, 0)));
        assert_eq!(read("%Y-%j", "2013-001"), Some((1_356_998_400, 0)));
        assert_eq!(read("%d/%b/%Y:%H:%M:%S %z", "01/Jan/2013:01:00:00 +0100"), Some((1_356_998_400, 0)));
        assert_eq!(read("%F %I:%M %p", "2013-01-01 12:05 am"), Some((1_356_998_700, 0)));
        assert_eq!(read("%F %I:%M %p", "2013-01-01 12:05 PM"), Some((1_357_041_900, 0)));
        assert_eq!(read("%H:%M:%S,%f", "00:00:01,5"), Some((1, 500_000_000)));
        assert_eq!(read("%s.%f", "1.25"), Some((1, 250_000_000)));
        assert_eq!(read("100%% %F", "100% 1970-01-02"), Some((86_400, 0)));
    }

    #[test]
    fn what_is_no_date_is_not_made_one() {
        for (format, text) in [
            ("%d.%m.%Y", "31.02.2013"),
            ("%d.%m.%Y", "12.31.2013"),
            ("%d.%m.%Y", "1.1.13"),
            ("%d.%m.%Y", "1.1.2013 "),
            ("%d.%m.%Y", "01.01.2013x"),
            ("%A %F", "Monday 2013-01-01"),
            ("%Y%j", "2013366"),
            ("%H:%M", "24:00"),
            ("%H:%M", "12:60"),
            ("%I %p", "13 pm"),
            ("%H.%f", "1.1234567891"),
        ] {
            let trimmed = text.ends_with(' ');
            assert_eq!(read(format, text).is_some(), trimmed, "{format} {text}");
        }
    }

    proptest! {
        #[test]
        fn a_date_is_read_in_any_order_of_its_parts(days in -700_000_i64..2_900_000, order in 0_usize..4) {
            let (year, month, day) = super::super::calendar::date_of(days);
            let (format, text) = match order {
                0 => ("%d.%m.%Y", format!("{day}.{month}.{year:04}")),
                1 => ("%m/%d/%Y", format!("{month:02}/{day:02}/{year:04}")),
                2 => ("%Y%m%d", format!("{year:04}{month:02}{day:02}")),
                _ => ("%b %d %Y", {
                    let name = &MONTHS[usize::try_from(month).unwrap() - 1][..3];
                    format!("{name} {day} {year:04}")
                }),
            };
            prop_assume!((0..=9_999).contains(&year));
            let moment = TimeFormat::new(format).unwrap().read(&text).unwrap();
            prop_assert_eq!(moment.count(1), Some(days * 86_400));
        }
    }
}
