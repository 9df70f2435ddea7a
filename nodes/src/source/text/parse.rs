//! Reads values from their text forms, exactly or not at all.

use std::str::FromStr;

use arrow::datatypes::TimeUnit;

use super::calendar::days_of;

const NANOS: u32 = 1_000_000_000;
/// Digits of the longest integer that a column holds.
const INTEGER_DIGITS: u8 = 20;

/// A point in time as text says it: seconds since 1970 and nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Moment {
    pub(super) seconds: i64,
    pub(super) nanos: u32,
    /// True if the text has `Z` or an offset from UTC.
    pub(crate) zoned: bool,
}

impl Moment {
    /// The moment in units of which a second has `per_second`; none if it is not a whole number
    /// of them or too far away.
    pub(crate) fn count(self, per_second: i64) -> Option<i64> {
        count(self.seconds, self.nanos, per_second)
    }
}

/// The units of a second.
pub(crate) fn per_second(unit: TimeUnit) -> i64 {
    match unit {
        TimeUnit::Second => 1,
        TimeUnit::Millisecond => 1_000,
        TimeUnit::Microsecond => 1_000_000,
        TimeUnit::Nanosecond => 1_000_000_000,
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

/// A whole number. Spaces around it and a `+` are allowed, and a fraction or exponent that leaves
/// it whole: `1.0`, `12e2`.
pub(crate) fn integer<T: FromStr>(text: &str) -> Option<T> {
    let text = text.trim_ascii();
    text.parse().ok().or_else(|| {
        let marked = text.bytes().any(|b| matches!(b, b'.' | b'e' | b'E')) || text == "-0";
        if marked { decimal(text, INTEGER_DIGITS, 0)?.parse().ok() } else { None }
    })
}

/// A whole number that is written as one.
pub(crate) fn plain_integer<T: FromStr>(text: &str) -> Option<T> {
    text.trim_ascii().parse().ok()
}

/// True if a text is an integer, signed or not, of any length.
pub(crate) fn is_whole(text: &str) -> bool {
    let text = text.trim_ascii();
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())
}

/// `true` or `false`, in lower case, upper case or with a capital.
pub(crate) fn bool_of(text: &str) -> Option<bool> {
    match text.trim_ascii() {
        "true" | "True" | "TRUE" => Some(true),
        "false" | "False" | "FALSE" => Some(false),
        _ => None,
    }
}

/// A decimal number, `NaN`, `inf` or `infinity`, the words in any case and with a sign. Spaces
/// around it are allowed. None for a number beyond the type.
pub(crate) fn float_of<T: Float>(text: &str) -> Option<T> {
    let text = text.trim_ascii();
    let numeric = text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E'));
    if numeric { text.parse().ok().filter(|value: &T| value.is_finite()) } else { special_float(text) }
}

/// `NaN` or an infinity, in any case and with a sign.
pub(crate) fn special_float<T: Float>(text: &str) -> Option<T> {
    let text = text.trim_ascii();
    let (negative, word) = match text.strip_prefix('-') {
        Some(word) => (true, word),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if word.eq_ignore_ascii_case("nan") {
        // A sign of no number means nothing.
        return Some(T::NAN);
    }
    let infinite = word.eq_ignore_ascii_case("inf") || word.eq_ignore_ascii_case("infinity");
    infinite.then_some(if negative { T::NEG_INFINITY } else { T::INFINITY })
}

/// The floats that columns have.
pub(crate) trait Float: FromStr + Copy {
    const NAN: Self;
    const INFINITY: Self;
    const NEG_INFINITY: Self;

    fn is_finite(&self) -> bool;

    /// True if a text of digits alone is exactly this number.
    fn is_exactly(&self, whole: &str) -> bool;
}

macro_rules! float {
    ($float:ty) => {
        impl Float for $float {
            const NAN: Self = <$float>::NAN;
            const INFINITY: Self = <$float>::INFINITY;
            const NEG_INFINITY: Self = <$float>::NEG_INFINITY;

            fn is_finite(&self) -> bool {
                <$float>::is_finite(*self)
            }

            fn is_exactly(&self, whole: &str) -> bool {
                let whole = whole.trim_ascii();
                let digits = |text: &str| {
                    let unsigned = text.trim_start_matches(['-', '+']);
                    unsigned.trim_start_matches('0').len()
                };
                // Up to 15 digits (7 of a narrow float) are exact without a look.
                digits(whole) < <$float>::DIGITS as usize + 1 || {
                    decimal(whole, u8::MAX, 0).is_some_and(|wanted| wanted == format!("{self:.0}"))
                }
            }
        }
    };
}

float!(f32);
float!(f64);

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
pub(super) struct Front<'a>(pub(super) &'a [u8]);

impl Front<'_> {
    pub(super) fn accept(&mut self, mark: u8) -> bool {
        match self.0.split_first() {
            Some((first, rest)) if *first == mark => {
                self.0 = rest;
                true
            }
            _ => false,
        }
    }

    pub(super) fn expect(&mut self, mark: u8) -> Option<()> {
        self.accept(mark).then_some(())
    }

    /// Exactly that many digits.
    pub(super) fn digits(&mut self, length: usize) -> Option<u32> {
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
    pub(super) fn number(&mut self) -> Option<i64> {
        let length = self.0.iter().take_while(|b| b.is_ascii_digit()).count();
        let (digits, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        std::str::from_utf8(digits).ok()?.parse().ok()
    }

    /// `.` and a fraction as nanoseconds; 0 where there is no point.
    fn fraction(&mut self) -> Option<u32> {
        if self.accept(b'.') { self.fraction_digits() } else { Some(0) }
    }

    /// Up to nine digits (more if they are zeros) of a fraction as nanoseconds.
    pub(super) fn fraction_digits(&mut self) -> Option<u32> {
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

    /// Four digits, or any number of them behind a sign.
    pub(super) fn year(&mut self) -> Option<i64> {
        match self.0.first() {
            Some(b'-') => {
                self.expect(b'-')?;
                Some(-self.number()?)
            }
            Some(b'+') => {
                self.expect(b'+')?;
                self.number()
            }
            _ => Some(i64::from(self.digits(4)?)),
        }
    }

    /// `YYYY-MM-DD`, or a signed year of at least four digits, as days since 1970.
    fn date(&mut self) -> Option<i64> {
        let year = self.year()?;
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

    /// A zone with something behind it, perhaps.
    pub(super) fn zone_within(&mut self) -> Option<i64> {
        let digit = |at: usize| self.0.get(at).is_some_and(u8::is_ascii_digit);
        let length = match self.0.first()? {
            b'+' | b'-' if self.0.get(3) == Some(&b':') => 6,
            b'+' | b'-' if digit(3) && digit(4) => 5,
            b'+' | b'-' => 3,
            _ => 1,
        };
        let (zone, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        let mut zone = Front(zone);
        let offset = zone.zone()?;
        zone.end(offset)
    }

    pub(super) fn end<T>(&self, value: T) -> Option<T> {
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
/// 2 is `150`, and so is `15e-1`. None where digits would be lost.
pub(crate) fn decimal(text: &str, precision: u8, scale: i8) -> Option<String> {
    let text = text.trim_ascii();
    let (sign, unsigned) = match text.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", text.strip_prefix('+').unwrap_or(text)),
    };
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent_of(exponent)?),
        None => (unsigned, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits_only = whole.bytes().chain(fraction.bytes()).all(|b| b.is_ascii_digit());
    if !digits_only || (whole.is_empty() && fraction.is_empty()) {
        return None;
    }
    let fraction = fraction.trim_end_matches('0');
    let digits = format!("{whole}{fraction}");
    let significant = digits.trim_start_matches('0');
    let stripped = significant.trim_end_matches('0');
    if stripped.is_empty() {
        return Some("0".to_owned());
    }
    // The digits with this many zeros behind them are the value; with less than none some are lost.
    let dropped = i64::try_from(significant.len() - stripped.len()).ok()?;
    let behind = i64::try_from(fraction.len()).ok()?;
    let zeros = exponent.checked_sub(behind)?.checked_add(i64::from(scale))?.checked_add(dropped)?;
    let zeros = usize::try_from(zeros).ok()?;
    let fits = stripped.len().checked_add(zeros)? <= usize::from(precision);
    fits.then(|| format!("{sign}{stripped}{}", "0".repeat(zeros)))
}

/// An exponent; what is beyond any number is cut to where it makes no difference.
fn exponent_of(text: &str) -> Option<i64> {
    const FARTHEST: i64 = 1 << 40;
    if !is_whole(text) || text.trim_ascii().len() != text.len() {
        return None;
    }
    let beyond = if text.starts_with('-') { -FARTHEST } else { FARTHEST };
    Some(text.parse().unwrap_or(beyond).clamp(-FARTHEST, FARTHEST))
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
        assert_eq!(decimal("1e5", 10, 0).as_deref(), Some("100000"));
        assert_eq!(decimal("1.25E-2", 10, 4).as_deref(), Some("125"));
        assert_eq!(decimal("1.25e-2", 10, 3), None);
        assert_eq!(decimal("-120e-1", 10, 0).as_deref(), Some("-12"));
        assert_eq!(decimal("1e10", 10, 0), None);
        assert_eq!(decimal("0e999999999999999999999", 10, 0).as_deref(), Some("0"));
        for wrong in ["1e", "1e+", "1e5.0", "1e 5", "e5", "1ee5", "1e9223372036854775807"] {
            assert_eq!(decimal(wrong, 10, 0), None, "{wrong}");
        }
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
        for wrong in ["infinit", "e", "", "1,5", "0x10", "N/A", "1e400", "--inf", "+-1"] {
            assert_eq!(float_of::<f64>(wrong), None, "{wrong}");
        }
        assert_eq!(float_of::<f32>("1e39"), None);
    }

    #[test]
    fn infinities_and_no_number_are_read_in_any_case_and_with_a_sign() {
        for text in ["inf", "Inf", "INF", "+inf", "Infinity", "+INFINITY", " infinity "] {
            assert_eq!(float_of::<f64>(text), Some(f64::INFINITY), "{text}");
        }
        for text in ["-inf", "-Inf", "-Infinity"] {
            assert_eq!(float_of::<f32>(text), Some(f32::NEG_INFINITY), "{text}");
        }
        for text in ["nan", "NaN", "NAN", "-nan", "+NaN"] {
            assert!(float_of::<f64>(text).is_some_and(f64::is_nan), "{text}");
        }
    }

    #[test]
    fn integers_are_read_from_whole_numbers_of_any_form() {
        assert_eq!(integer::<i64>("1.0"), Some(1));
        assert_eq!(integer::<i64>("-12e2"), Some(-1_200));
        assert_eq!(integer::<u64>("1.8446744073709551615e19"), Some(u64::MAX));
        assert_eq!(integer::<u64>("-0"), Some(0));
        assert_eq!(integer::<i64>("-9223372036854775808"), Some(i64::MIN));
        for wrong in ["1.5", "1e-1", "9223372036854775808", "1e30", "", "."] {
            assert_eq!(integer::<i64>(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_float_knows_the_integers_that_it_is() {
        for (text, exact) in [
            ("9007199254740992", true),
            ("9007199254740993", false),
            ("-9007199254740993", false),
            ("9007199254740994", true),
            ("18446744073709551616", true),
            ("0000000000000000000000001", true),
            ("-0000000000000000", true),
        ] {
            let value: f64 = float_of(text).unwrap();
            assert_eq!(value.is_exactly(text), exact, "{text}");
        }
        let narrow: f32 = float_of("16777217").unwrap();
        assert!(!narrow.is_exactly("16777217"));
    }
}
