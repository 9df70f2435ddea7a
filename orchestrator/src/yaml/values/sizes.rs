//! Numbers of bytes and spans of time as a pipeline file writes them.

use std::time::Duration;

use super::tree::Scalar;

/// Longest span that is accepted: ten years.
pub(crate) const LONGEST: Duration = Duration::from_hours(10 * 365 * 24);

/// Reads `2GiB`, `1.5 MB`, `4096`; `None` where the text is no number of bytes.
fn parse_bytes(text: &str) -> Option<u64> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(end)?;
    let unit = match unit.trim_start().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        "tib" => 1_u128 << 40,
        _ => return None,
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() || fraction.len() > 9 || (number.contains('.') && fraction.is_empty()) {
        return None;
    }
    let places = 10_u128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let digits: u128 = format!("{whole}{fraction}").parse().ok()?;
    u64::try_from(digits.checked_mul(unit)? / places).ok()
}

/// Reads `200ms`, `30s`, `1.5m`; `None` where the text is no span of time.
pub(crate) fn parse_duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, unit) = text.split_at_checked(end)?;
    let unit = match unit.trim_start() {
        "ns" => Duration::from_nanos(1),
        "us" => Duration::from_micros(1),
        "ms" => Duration::from_millis(1),
        "s" => Duration::from_secs(1),
        "m" | "min" => Duration::from_mins(1),
        "h" => Duration::from_hours(1),
        "d" => Duration::from_hours(24),
        _ => return None,
    };
    if number.starts_with('.') || number.ends_with('.') {
        return None;
    }
    times(unit, number.parse().ok()?)
}

/// Returns the number of bytes of a scalar: a string with a unit, or a whole number.
pub(crate) fn scalar_bytes(scalar: &Scalar) -> Option<u64> {
    match scalar {
        Scalar::Integer(value) => u64::try_from(*value).ok(),
        Scalar::Text(text) => parse_bytes(text),
        Scalar::Null | Scalar::Bool(_) | Scalar::Number(_) => None,
    }
}

/// Returns the span of a checked scalar: a string with a unit, or a number of seconds.
pub(crate) fn scalar_duration(scalar: &Scalar) -> Option<Duration> {
    match scalar {
        Scalar::Text(text) => parse_duration(text),
        number => times(Duration::from_secs(1), scalar_number(number)?),
    }
}

/// Reads a whole or a decimal number.
#[expect(clippy::cast_precision_loss, reason = "no number that is taken has so many digits")]
pub(crate) fn scalar_number(scalar: &Scalar) -> Option<f64> {
    match scalar {
        Scalar::Integer(value) => Some(*value as f64),
        Scalar::Number(number) => Some(number.value()),
        Scalar::Text(_) | Scalar::Null | Scalar::Bool(_) => None,
    }
}

fn times(unit: Duration, number: f64) -> Option<Duration> {
    let seconds = unit.as_secs_f64() * number;
    (0.0..=LONGEST.as_secs_f64()).contains(&seconds).then(|| Duration::from_secs_f64(seconds))
}

#[cfg(test)]
mod tests {
    use super::super::number::Number;
    use super::*;

    #[test]
    fn spans_of_time_have_units_or_are_seconds() {
        assert_eq!(parse_duration("200ms"), Some(Duration::from_millis(200)));
        assert_eq!(parse_duration(" 1.5 m "), Some(Duration::from_secs(90)));
        assert_eq!(parse_duration("2h"), Some(Duration::from_hours(2)));
        assert_eq!(scalar_duration(&Scalar::Integer(30)), Some(Duration::from_secs(30)));
        assert_eq!(
            scalar_duration(&Scalar::Number(Number::read("0.25").unwrap())),
            Some(Duration::from_millis(250))
        );
        for wrong in ["", "s", "30", "-1s", "1.s", ".5s", "1 fortnight", "1e3s", "99999999999d", "1.2.3s"] {
            assert_eq!(parse_duration(wrong), None, "{wrong}");
        }
        for wrong in [
            Scalar::Integer(-1),
            Scalar::Number(Number::read(".nan").unwrap()),
            Scalar::Bool(true),
            Scalar::Null,
        ] {
            assert_eq!(scalar_duration(&wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn units_of_both_kinds_are_read() {
        assert_eq!(parse_bytes("2GiB"), Some(2 << 30));
        assert_eq!(parse_bytes("100 MB"), Some(100_000_000));
        assert_eq!(parse_bytes("1.5kib"), Some(1536));
        assert_eq!(parse_bytes("4096"), Some(4096));
    }

    #[test]
    fn what_is_no_size_or_does_not_fit_is_refused() {
        for wrong in ["", "GiB", "-1", "2 gigabytes", "1.", ".5GB", "1.2.3", "1e3", "99999999999999TiB", "€"]
        {
            assert_eq!(parse_bytes(wrong), None, "{wrong}");
        }
    }
}
