//! Casts of strings to other types, and of those to strings.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, Date32Array};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int64Type, Time64NanosecondType,
    TimeUnit, UInt64Type,
};

use super::temporal::to_unit;
use crate::exact::Exact;
use crate::kernels::by_row::read_each;
use crate::kernels::numbers::{Wide, counted, is_number};
use crate::kernels::rounding::round_half_away;
use crate::kernels::strings::collect_strings;
use crate::kernels::value::Value;
use crate::kernels::{Answer, Function, Reason, RowErrors, decimal};
use crate::temporal::calendar::{NANOSECONDS_PER_DAY, civil};
use crate::temporal::{nanoseconds_per, read_date, read_time, read_timestamp};

/// Bytes as a string, where they are UTF-8.
pub(super) fn from_bytes() -> Function {
    Function::of_rows(|values| {
        let read = |bytes| std::str::from_utf8(bytes).map_err(|_| Reason::Cast);
        Ok(collect_strings(values.as_binary_view().iter().map(|bytes| bytes.map(read).transpose())))
    })
}

/// The cast of a string to another type; `None` where SQL has none.
pub(super) fn read(to: &DataType) -> Option<Function> {
    Some(match to {
        DataType::Boolean => Function::of_rows(|strings| Ok(read_truths(strings))),
        DataType::Decimal128(precision, scale) => {
            let (precision, scale) = (*precision, u8::try_from(*scale).ok()?);
            let read = move |text: &str| string_to_decimal(text, precision, scale);
            Function::of_rows(move |strings| {
                decimal::typed(read_strings::<Decimal128Type>(strings, read), precision, scale)
            })
        }
        DataType::Float32 => reading::<Float32Type>(|text| text.parse().ok()),
        DataType::Float64 => reading::<Float64Type>(|text| text.parse().ok()),
        DataType::Date32 => reading::<Date32Type>(date_of_string),
        DataType::Time64(_) => reading::<Time64NanosecondType>(read_time),
        DataType::Timestamp(unit, zone) => read_timestamps(to.clone(), *unit, zone.is_some()),
        DataType::UInt64 => reading::<UInt64Type>(|text| whole_number(text)?.try_into().ok()),
        to if to.is_integer() => {
            let to = to.clone();
            Function::of_rows(move |strings| {
                let read = |text: &str| whole_number(text)?.try_into().ok();
                counted(read_strings::<Int64Type>(strings, read), &to, Reason::Cast)
            })
        }
        _ => return None,
    })
}

fn reading<B: ArrowPrimitiveType>(read: fn(&str) -> Option<B::Native>) -> Function {
    Function::of_rows(move |strings| Ok(read_strings::<B>(strings, read)))
}

fn read_truths(strings: &ArrayRef) -> Answer {
    let mut errors = RowErrors::default();
    let read = |(row, text): (usize, Option<&str>)| {
        let truth = text.map(truth);
        if truth == Some(None) {
            errors.push(row, Reason::Cast);
        }
        truth.flatten()
    };
    let values: BooleanArray = strings.as_string_view().iter().enumerate().map(read).collect();
    Answer::new(Arc::new(values), errors)
}

fn read_timestamps(to: DataType, unit: TimeUnit, zoned: bool) -> Function {
    let per_unit = i128::from(nanoseconds_per(unit));
    let read = move |text: &str| {
        let (nanoseconds, offset) = read_timestamp(text)?;
        let fits = zoned || offset.is_none_or(|offset| offset == 0);
        let count = to_unit(nanoseconds, per_unit).filter(|_| fits)?;
        i64::try_from(count).ok()
    };
    Function::of_rows(move |strings| {
        let answer = read_strings::<Int64Type>(strings, read);
        Ok(Answer::new(cast(&answer.array, &to)?, answer.errors))
    })
}

fn whole_number(text: &str) -> Option<i128> {
    string_to_decimal(text, decimal::PRECISION, 0)
}

/// A date, maybe with a time of day behind it, which is cut.
fn date_of_string(text: &str) -> Option<i32> {
    read_date(text).or_else(|| {
        let (nanoseconds, _) = read_timestamp(text)?;
        i32::try_from(nanoseconds.div_euclid(NANOSECONDS_PER_DAY)).ok()
    })
}

fn truth(text: &str) -> Option<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "t" | "1" | "yes" | "y" => Some(true),
        "false" | "f" | "0" | "no" | "n" => Some(false),
        _ => None,
    }
}

/// Reads each string without the spaces around it.
fn read_strings<B: ArrowPrimitiveType>(
    strings: &ArrayRef,
    read: impl Fn(&str) -> Option<B::Native>,
) -> Answer {
    read_each::<B>(strings, |text| read(text.trim()))
}

pub(super) fn string_to_decimal(text: &str, precision: u8, scale: u8) -> Option<i128> {
    match Exact::read(text) {
        Some(number) => round_exact(&number, precision, scale),
        None => tiny(text).then_some(0),
    }
}

/// True for a number of too many digits that every scale rounds to zero.
fn tiny(text: &str) -> bool {
    text.parse::<f64>().is_ok_and(|value| value.abs() < 1e-39)
}

fn round_exact(number: &Exact, precision: u8, scale: u8) -> Option<i128> {
    let cut = number.scale().max(scale);
    let (digits, _) = number.floor_at(cut)?;
    let unit = crate::exact::power_of_ten(cut - scale)?;
    let rounded = round_half_away(digits, unit)?;
    let limit = crate::exact::power_of_ten(precision)?;
    if rounded < limit && rounded > limit.checked_neg()? { rounded.to_i128() } else { None }
}

/// The cast of a type to a string that a cast reads back; `None` where SQL has none.
pub(super) fn write(from: &DataType) -> Option<Function> {
    let supported = matches!(from, DataType::Boolean | DataType::Date32 | DataType::Time64(_))
        || matches!(from, DataType::Timestamp(..) | DataType::Duration(_) | DataType::Decimal256(..))
        || is_number(from);
    let from = from.clone();
    supported.then(|| {
        Function::of_rows(move |array| match &from {
            DataType::Timestamp(unit, zone) => Ok(timestamps_to_strings(array, *unit, zone.is_some())),
            DataType::Time64(_) => Ok(times_to_strings(array)),
            DataType::Date32 => Ok(dates_to_strings(array)),
            _ => Ok(Answer::new(cast(array, &DataType::Utf8View)?, RowErrors::default())),
        })
    })
}

fn write_strings(rows: usize, text: impl Fn(usize) -> Option<String>) -> Answer {
    collect_strings((0..rows).map(|row| Ok(text(row))))
}

fn dates_to_strings(array: &ArrayRef) -> Answer {
    let days: &Date32Array = array.as_primitive();
    write_strings(days.len(), |row| days.is_valid(row).then(|| date_text(i64::from(days.value(row)))))
}

fn date_text(days: i64) -> String {
    let date = civil(days);
    let sign = if date.year < 0 { "-" } else { "" };
    format!("{sign}{:04}-{:02}-{:02}", date.year.abs(), date.month, date.day)
}

/// A time of day with as many digits of a fraction as it needs.
fn clock_text(nanoseconds: i64) -> String {
    let (seconds, rest) = (nanoseconds / 1_000_000_000, nanoseconds % 1_000_000_000);
    let clock = format!("{:02}:{:02}:{:02}", seconds / 3_600, seconds / 60 % 60, seconds % 60);
    if rest == 0 {
        return clock;
    }
    format!("{clock}.{}", format!("{rest:09}").trim_end_matches('0'))
}

fn times_to_strings(array: &ArrayRef) -> Answer {
    let times = array.as_primitive::<Time64NanosecondType>();
    write_strings(times.len(), |row| times.is_valid(row).then(|| clock_text(times.value(row))))
}

fn timestamps_to_strings(array: &ArrayRef, unit: TimeUnit, zoned: bool) -> Answer {
    let value = Value::Rows(Arc::clone(array));
    let counts = Wide::of(&value);
    write_strings(array.len(), |row| {
        let nanoseconds = counts.get(row)? * i128::from(nanoseconds_per(unit));
        let days = i64::try_from(nanoseconds.div_euclid(NANOSECONDS_PER_DAY)).ok()?;
        let clock = i64::try_from(nanoseconds.rem_euclid(NANOSECONDS_PER_DAY)).ok()?;
        Some(format!("{} {}{}", date_text(days), clock_text(clock), if zoned { "+00" } else { "" }))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_become_decimals_exactly_or_rounded_half_away() {
        assert_eq!(string_to_decimal("2.675", 10, 2), Some(268));
        assert_eq!(string_to_decimal("-0.5", 5, 0), Some(-1));
        assert_eq!(string_to_decimal("1e-300", 5, 2), Some(0));
        assert_eq!(string_to_decimal("1e300", 38, 2), None);
        assert_eq!(string_to_decimal("999.995", 5, 2), None);
        assert_eq!(round_exact(&Exact::read("1.5").unwrap(), 38, 0), Some(2));
    }

    #[test]
    fn points_in_time_round_to_the_nearest_unit_whatever_they_come_from() {
        let text = |text: &str| {
            let text = Value::Rows(Arc::new(arrow::array::StringViewArray::from(vec![text])));
            let to = DataType::Timestamp(TimeUnit::Millisecond, None);
            let answer = read(&to).unwrap().call(&[text], 1).unwrap();
            answer.array.as_primitive::<arrow::datatypes::TimestampMillisecondType>().value(0)
        };
        assert_eq!(text("1970-01-01 00:00:00.0015"), 2);
        assert_eq!(text("1970-01-01 00:00:00.001499999"), 1);
        assert_eq!(text("1969-12-31 23:59:59.9985"), -2);
        assert_eq!((to_unit(-1_500, 1_000), to_unit(-1_499, 1_000)), (Some(-2), Some(-1)));
    }

    #[test]
    fn points_in_time_are_written_as_short_as_they_are() {
        assert_eq!(clock_text(3_661_500_000_000), "01:01:01.5");
        assert_eq!(date_text(-719_529), "-0001-12-31");
    }
}
