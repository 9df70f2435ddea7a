//! Reads values from their text forms, exactly or not at all.

use std::str::FromStr;

use super::calendar::days_of;

const NANOS: u32 = 1_000_000_000;

/// A point in time as text says it: seconds since 1970 and nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Moment {
    seconds: i64,
    nanos: u32,
    /// Whether the text has `Z` or an offset from UTC.
    pub(crate) zoned: bool,
}

impl Moment {
    /// The moment in units of which a second has `per_second`; none if it is not a whole number
    /// of them or too far away.
    pub(crate) fn count(self, per_second: i64) -> Option<i64> {
        count(self.seconds, self.nanos, per_second)
    }
}

/// Seconds and nanoseconds in units of which a second has `per_second`, if that is exact.
pub(crate) fn count(seconds: i64, nanos: u32, per_second: i64) -> Option<i64> {
    let nanos_per_unit = i64::from(NANOS) / per_second;
    let nanos = i64::from(nanos);
    if nanos % nanos_per_unit != 0 {
        return None;
    }
    let whole = i128::from(seconds) * i128::from(per_second) + i128::from(nanos / nanos_per_unit);
    i64::try_from(whole).ok()
}

/// A whole number. Spaces around it and a `+` are allowed.
pub(crate) fn integer<T: FromStr>(text: &str) -> Option<T> {
    text.trim_ascii().parse().ok()
}

/// `true` or `false`, in lower case, upper case or with a capital.
pub(crate) fn bool_of(text: &str) -> Option<bool> {
    match text.trim_ascii() {
        "true" | "True" | "TRUE" => Some(true),
        "false" | "False" | "FALSE" => Some(false),
        _ => None,
    }
}

/// A decimal number, `NaN`, `inf` or `-inf`. Spaces around it are allowed.
pub(crate) fn float_of<T: FromStr>(text: &str) -> Option<T> {
    let text = text.trim_ascii();
    let numeric = text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E'));
    if numeric || matches!(text, "NaN" | "nan" | "inf" | "-inf" | "+inf") { text.parse().ok() } else { None }
}

/// Pairs of hex digits.
pub(crate) fn bytes_of(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    let (pairs, rest) = digits.as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    let digit = |d: u8| char::from(d).to_digit(16).and_then(|d| u8::try_from(d).ok());
    pairs.iter().map(|[high, low]| Some((digit(*high)? << 4) | digit(*low)?)).collect()
}

/// Reads marks and digits from the front of a text.
struct Front<'a>(&'a [u8]);

impl Front<'_> {
    fn accept(&mut self, mark: u8) -> bool {
        match self.0.split_first() {
            Some((first, rest)) if *first == mark => {
                self.0 = rest;
                true
            }
            _ => false,
        }
    }

    fn expect(&mut self, mark: u8) -> Option<()> {
        self.accept(mark).then_some(())
    }

    /// Exactly that many digits.
    fn digits(&mut self, length: usize) -> Option<u32> {
        let (digits, rest) = self.0.split_at_checked(length)?;
        let mut number = 0;
        for digit in digits {
            if !digit.is_ascii_digit() {
                return None;
            }
            number = number * 10 + u32::from(digit - b'0');
        }
        self.0 = rest;
        Some(number)
    }

    /// All digits there are, at least one.
    fn number(&mut self) -> Option<i64> {
        let length = self.0.iter().take_while(|b| b.is_ascii_digit()).count();
        let (digits, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        std::str::from_utf8(digits).ok()?.parse().ok()
    }

    /// `.` and up to nine digits (more if they are zeros) as nanoseconds; 0 where there is no point.
    fn fraction(&mut self) -> Option<u32> {
        if !self.accept(b'.') {
            return Some(0);
        }
        let length = self.0.iter().take_while(|b| b.is_ascii_digit()).count();
        let (digits, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        let (mut nanos, mut unit) = (0, NANOS / 10);
        for digit in digits {
            let digit = u32::from(digit - b'0');
            if unit == 0 && digit != 0 {
                return None;
            }
            nanos += digit * unit;
            unit /= 10;
        }
        (length > 0).then_some(nanos)
    }

    /// `YYYY-MM-DD`, or a signed year of at least four digits, as days since 1970.
    fn date(&mut self) -> Option<i64> {
        let year = match self.0.first() {
            Some(b'-') => {
                self.expect(b'-')?;
                -self.number()?
            }
            Some(b'+') => {
                self.expect(b'+')?;
                self.number()?
            }
            _ => i64::from(self.digits(4)?),
        };
        self.expect(b'-')?;
        let month = self.digits(2)?;
        self.expect(b'-')?;
        days_of(year, month, self.digits(2)?)
    }

    /// `HH:MM`, `HH:MM:SS` or that with a fraction, as seconds of the day and nanoseconds.
    fn time(&mut self) -> Option<(i64, u32)> {
        let hour = self.digits(2)?;
        self.expect(b':')?;
        let minute = self.digits(2)?;
        let (second, nanos) = if self.accept(b':') { (self.digits(2)?, self.fraction()?) } else { (0, 0) };
        let valid = hour < 24 && minute < 60 && second < 60;
        valid.then(|| (i64::from(hour * 3_600 + minute * 60 + second), nanos))
    }

    /// `Z`, `+HH:MM`, `+HHMM` or `+HH` as seconds to subtract.
    fn zone(&mut self) -> Option<i64> {
        if self.accept(b'Z') || self.accept(b'z') {
            return Some(0);
        }
        let sign = if self.accept(b'-') { -1 } else { self.expect(b'+').map(|()| 1)? };
        let hours = self.digits(2)?;
        let minutes = if self.0.is_empty() {
            0
        } else {
            self.accept(b':');
            self.digits(2)?
        };
        (hours < 24 && minutes < 60).then(|| sign * i64::from(hours * 3_600 + minutes * 60))
    }

    fn end<T>(&self, value: T) -> Option<T> {
        self.0.is_empty().then_some(value)
    }
}

fn front(text: &str) -> Front<'_> {
    Front(text.trim_ascii().as_bytes())
}

/// `YYYY-MM-DD` as days since 1970.
pub(crate) fn date(text: &str) -> Option<i32> {
    let mut front = front(text);
    let days = front.date()?;
    front.end(i32::try_from(days).ok()?)
}

/// `HH:MM[:SS[.fraction]]` as nanoseconds since midnight.
pub(crate) fn time(text: &str) -> Option<i64> {
    let mut front = front(text);
    let (seconds, nanos) = front.time()?;
    front.end(seconds * i64::from(NANOS) + i64::from(nanos))
}

/// A date, `T` or a space, a time, and perhaps a zone.
pub(crate) fn timestamp(text: &str) -> Option<Moment> {
    let mut front = front(text);
    let days = front.date()?;
    if !front.accept(b'T') {
        front.expect(b' ')?;
    }
    let (seconds, nanos) = front.time()?;
    let zoned = !front.0.is_empty();
    let offset = if zoned { front.zone()? } else { 0 };
    let seconds = days.checked_mul(86_400)?.checked_add(seconds)?.checked_sub(offset)?;
    front.end(Moment { seconds, nanos, zoned })
}

/// `PT1.5S` as seconds and nanoseconds, rounded down, so that nanoseconds are never negative.
pub(crate) fn duration(text: &str) -> Option<(i64, u32)> {
    let mut front = front(text);
    let negative = front.accept(b'-');
    front.expect(b'P')?;
    front.expect(b'T')?;
    let (seconds, nanos) = (front.number()?, front.fraction()?);
    front.expect(b'S')?;
    let value = match (negative, nanos) {
        (false, _) => (seconds, nanos),
        (true, 0) => (-seconds, 0),
        (true, _) => (-seconds - 1, NANOS - nanos),
    };
    front.end(value)
}

/// The digits of a decimal without its point, as many after it as the scale says: `1.5` at scale
/// 2 is `150`. None where digits would be lost.
pub(crate) fn decimal(text: &str, precision: u8, scale: i8) -> Option<String> {
    let text = text.trim_ascii();
    let (sign, unsigned) = match text.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", text.strip_prefix('+').unwrap_or(text)),
    };
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let digits_only = whole.bytes().chain(fraction.bytes()).all(|b| b.is_ascii_digit());
    if !digits_only || (whole.is_empty() && fraction.is_empty()) {
        return None;
    }
    let fraction = fraction.trim_end_matches('0');
    let wanted = usize::from(scale.max(0).unsigned_abs());
    let zeros = wanted.checked_sub(fraction.len())?;
    let mut digits = format!("{whole}{fraction}{}", "0".repeat(zeros));
    let dropped = usize::from(scale.min(0).unsigned_abs());
    if dropped > 0 {
        let kept = digits.len().saturating_sub(dropped);
        if digits.get(kept..)?.bytes().any(|b| b != b'0') {
            return None;
        }
        digits.truncate(kept);
    }
    let significant = digits.trim_start_matches('0');
    let significant = if significant.is_empty() { "0" } else { significant };
    (significant.len() <= usize::from(precision)).then(|| format!("{sign}{significant}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_are_read_with_and_without_a_zone() {
        let zoned = timestamp("2013-01-01T06:00:00Z").unwrap();
        assert_eq!((zoned.count(1), zoned.zoned), (Some(1_357_020_000), true));
        assert_eq!(timestamp("2013-01-01 01:00:00-05:00"), Some(zoned));
        assert_eq!(timestamp("2013-01-01 11:30+0530"), Some(zoned));
        let naive = timestamp("1969-12-31T23:59:59.25").unwrap();
        assert_eq!((naive.count(1_000), naive.zoned), (Some(-750), false));
        assert_eq!(naive.count(1), None);
        for wrong in [
            "2013-01-01",
            "2013-01-01T24:00",
            "2013-01-01T1:00",
            "2013-01-01T10:00:00.",
            "2013-01-01T10:00 Z",
        ] {
            assert_eq!(timestamp(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn digits_that_a_unit_cannot_hold_are_not_dropped() {
        assert_eq!(timestamp("2013-01-01T00:00:00.1234567").unwrap().count(1_000_000), None);
        assert!(timestamp("2013-01-01T00:00:00.1234560000000").unwrap().count(1_000_000).is_some());
        assert_eq!(timestamp("2013-01-01T00:00:00.0000000001"), None);
        assert_eq!(decimal("1.505", 10, 2), None);
        assert_eq!(decimal("1.500", 10, 2).as_deref(), Some("150"));
        assert_eq!(decimal("-0012", 4, 2).as_deref(), Some("-1200"));
        assert_eq!(decimal("123", 4, 2), None);
        assert_eq!(decimal("1200", 4, -2).as_deref(), Some("12"));
        assert_eq!(decimal("1201", 4, -2), None);
        assert_eq!(decimal("1e5", 10, 0), None);
        assert_eq!(decimal(".", 10, 0), None);
    }

    #[test]
    fn durations_below_zero_keep_their_fraction() {
        assert_eq!(duration("-PT0.5S"), Some((-1, 500_000_000)));
        assert_eq!(duration("PT90S"), Some((90, 0)));
        assert_eq!(duration("P1D"), None);
    }

    #[test]
    fn only_numbers_are_floats() {
        assert_eq!(float_of::<f64>(" 1e3"), Some(1000.0));
        for wrong in ["infinity", "e", "", "1,5", "0x10", "N/A"] {
            assert_eq!(float_of::<f64>(wrong), None, "{wrong}");
        }
    }
}
