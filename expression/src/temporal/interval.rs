//! Spans of time that are written in an expression.

use crate::error::ExpressionError;

/// Months, days and nanoseconds, each added by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Interval {
    pub(crate) months: i32,
    pub(crate) days: i32,
    pub(crate) nanoseconds: i64,
}

const NANOSECOND: i64 = 1;
const MICROSECOND: i64 = 1_000;
const MILLISECOND: i64 = 1_000_000;
const SECOND: i64 = 1_000_000_000;

enum Unit {
    Months(i64),
    Days(i64),
    Nanoseconds(i64),
}

fn unit(name: &str) -> Option<Unit> {
    let lower = name.to_ascii_lowercase();
    let singular = lower.strip_suffix('s').filter(|rest| rest.len() > 1).unwrap_or(&lower);
    Some(match singular {
        "millennium" => Unit::Months(12_000),
        "century" | "centurie" => Unit::Months(1_200),
        "decade" => Unit::Months(120),
        "year" | "yr" | "y" => Unit::Months(12),
        "quarter" => Unit::Months(3),
        "month" | "mon" => Unit::Months(1),
        "week" | "w" => Unit::Days(7),
        "day" | "d" => Unit::Days(1),
        "hour" | "hr" | "h" => Unit::Nanoseconds(3_600 * SECOND),
        "minute" | "min" | "m" => Unit::Nanoseconds(60 * SECOND),
        "second" | "sec" | "s" => Unit::Nanoseconds(SECOND),
        "millisecond" | "ms" => Unit::Nanoseconds(MILLISECOND),
        "microsecond" | "us" => Unit::Nanoseconds(MICROSECOND),
        "nanosecond" | "ns" => Unit::Nanoseconds(NANOSECOND),
        _ => return None,
    })
}

impl Interval {
    /// Reads `1 day 2 hours`, `-3 months`, `01:30:00`, or a number with the unit given beside it.
    pub(crate) fn read(text: &str, field: Option<&str>) -> Result<Self, ExpressionError> {
        Self::parts(text, field).ok_or_else(|| ExpressionError::Type {
            place: "INTERVAL".to_owned(),
            found: "a string of another form, or a span beyond its range".to_owned(),
            expected: "numbers with units, as in INTERVAL '1 day 2 hours'",
            remedy: "write it in that form",
        })
    }

    fn parts(text: &str, field: Option<&str>) -> Option<Self> {
        let mut sum = Self { months: 0, days: 0, nanoseconds: 0 };
        if let Some(field) = field {
            sum.add(text.trim(), field)?;
            return Some(sum);
        }
        let mut words = spaced(text).split_whitespace().map(str::to_owned).collect::<Vec<_>>().into_iter();
        let mut any = false;
        while let Some(word) = words.next() {
            any = true;
            if word.contains(':') {
                sum.nanoseconds = sum.nanoseconds.checked_add(clock(&word)?)?;
            } else {
                sum.add(&word, &words.next()?)?;
            }
        }
        any.then_some(sum)
    }

    fn add(&mut self, number: &str, name: &str) -> Option<()> {
        match unit(name)? {
            Unit::Months(each) => {
                let count = number.parse::<i64>().ok()?.checked_mul(each)?;
                self.months = self.months.checked_add(i32::try_from(count).ok()?)?;
            }
            Unit::Days(each) => {
                let count = number.parse::<i64>().ok()?.checked_mul(each)?;
                self.days = self.days.checked_add(i32::try_from(count).ok()?)?;
            }
            Unit::Nanoseconds(each) => {
                self.nanoseconds = self.nanoseconds.checked_add(scaled(number, each)?)?;
            }
        }
        Some(())
    }

    pub(crate) fn negated(self) -> Option<Self> {
        Some(Self {
            months: self.months.checked_neg()?,
            days: self.days.checked_neg()?,
            nanoseconds: self.nanoseconds.checked_neg()?,
        })
    }

    /// The form that [`Interval::read`] takes back.
    pub(crate) fn text(&self) -> String {
        format!("{} months {} days {} nanoseconds", self.months, self.days, self.nanoseconds)
    }
}

/// A space between each number and the letters behind it, so that `1day` is two words.
fn spaced(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    let mut digit = false;
    for character in text.chars() {
        if digit && character.is_ascii_alphabetic() {
            out.push(' ');
        }
        digit = character.is_ascii_digit();
        out.push(character);
    }
    out
}

/// A number, maybe with a fraction, times a unit; exact to the nanosecond.
fn scaled(number: &str, unit: i64) -> Option<i64> {
    let exact = crate::exact::Exact::read(number)?;
    exact.times(crate::exact::Exact::integer(i128::from(unit)))?.to_i128().and_then(|n| i64::try_from(n).ok())
}

fn clock(text: &str) -> Option<i64> {
    let (sign, text) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
    let mut fields = text.split(':');
    let hours: i64 = fields.next()?.parse().ok()?;
    let minutes: i64 = fields.next()?.parse().ok().filter(|m| (0..60).contains(m))?;
    let seconds = scaled(fields.next().unwrap_or("0"), SECOND).filter(|s| (0..60 * SECOND).contains(s))?;
    let whole = hours.checked_mul(3_600)?.checked_add(minutes * 60)?.checked_mul(SECOND)?;
    fields.next().is_none().then_some(sign * whole.checked_add(seconds)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_in_parts_and_written_back() {
        let read = |text: &str| Interval::read(text, None).unwrap();
        assert_eq!(read("1 year 2 months 3 days"), Interval { months: 14, days: 3, nanoseconds: 0 });
        assert_eq!(read("1.5 hours"), Interval { months: 0, days: 0, nanoseconds: 5_400 * SECOND });
        assert_eq!(read("-01:00:00.5").nanoseconds, -3_600_500_000_000);
        assert_eq!(Interval::read("3", Some("WEEK")).unwrap().days, 21);
        let span = read("7 days 1ms");
        assert_eq!(read(&span.text()), span);
        for wrong in ["", "day", "1", "1 fortnight", "1.5 months", "1:99", "99999999999 years"] {
            assert!(Interval::read(wrong, None).is_err(), "{wrong} was read");
        }
    }
}
