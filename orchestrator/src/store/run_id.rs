//! Names of runs: the time of their beginning, and a few random digits.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};

use arrow::array::TimestampSecondArray;
use arrow::util::display::{ArrayFormatter, FormatOptions};

/// A new id: `20130101-120000-1a2b3c4d`, in UTC.
pub(crate) fn run_id(started_ms: i64) -> String {
    let random = RandomState::new().build_hasher().finish() >> 32;
    let time = format_time(started_ms, "%Y%m%d-%H%M%S");
    format!("{time}-{random:08x}")
}

/// Formats milliseconds since 1970 as a time in UTC.
#[must_use]
pub fn format_time(unix_ms: i64, format: &str) -> String {
    let array = TimestampSecondArray::from(vec![unix_ms.div_euclid(1000)]);
    let options = FormatOptions::new().with_timestamp_format(Some(format));
    let formatted = ArrayFormatter::try_new(&array, &options).map(|f| f.value(0).to_string());
    formatted.unwrap_or_else(|_| unix_ms.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_begins_with_the_time_and_is_never_the_same_twice() {
        let (first, second) = (run_id(1_357_041_600_000), run_id(1_357_041_600_000));
        assert!(first.starts_with("20130101-120000-"), "{first}");
        assert_eq!(first.len(), "20130101-120000-".len() + 8);
        assert_ne!(first, second);
    }
}
