//! Casts: exact, rounded where SQL rounds, or an error of the row.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, Date32Array, StringViewBuilder,
};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int64Type, Time64NanosecondType,
    TimeUnit, UInt64Type,
};

use super::arithmetic::arity;
use super::numbers::{Wide, counted, is_count, is_decimal, is_float, scale_of, to_int64, with_float};
use super::rounding::{Rescale, round_half_away};
use super::{Answer, Answered, Function, Reason, RowErrors, Value, collect, decimal, each, try_unary};
use crate::exact::Exact;
use crate::temporal::calendar::NANOSECONDS_PER_DAY;
use crate::temporal::{nanoseconds_per, read_date, read_time, read_timestamp};

/// The cast of a type to another; `None` where SQL has none. A lenient one gives null where the
/// other has an error.
pub(crate) fn caster(from: &DataType, to: &DataType, lenient: bool) -> Option<Function> {
    let strict = strict(from, to)?;
    if !lenient {
        return Some(strict);
    }
    Some(Function::new(move |arguments, rows| {
        let answer = strict.call(arguments, rows)?;
        Ok(Answer::new(answer.array, RowErrors::default()))
    }))
}

fn strict(from: &DataType, to: &DataType) -> Option<Function> {
    use DataType as D;
    if from == to {
        return Some(Function::new(|arguments, rows| {
            let [value] = arguments else { return Err(arity()) };
            Ok(Answer::new(value.clone().into_rows(rows)?, RowErrors::default()))
        }));
    }
    match (from, to) {
        (D::Utf8View, D::BinaryView) => Some(by_arrow(to.clone())),
        (D::BinaryView, D::Utf8View) => Some(bytes_to_text()),
        (D::Utf8View, _) => from_text(to),
        (_, D::Utf8View) => to_text(from),
        (D::Boolean, to) if to.is_integer() || is_float(to) => Some(by_arrow(to.clone())),
        (D::Boolean, to) if is_decimal(to) => {
            let inner = strict(&D::Int8, to)?;
            Some(Function::new(move |arguments, rows| {
                let [value] = arguments else { return Err(arity()) };
                inner.call(&[Value::Rows(cast(&value.clone().into_rows(rows)?, &D::Int8)?)], rows)
            }))
        }
        (from, D::Boolean) if from.is_integer() || is_decimal(from) => {
            Some(Function::new(|arguments, rows| {
                let [value] = arguments else { return Err(arity()) };
                let wide = Wide::of(value).ok_or_else(arity)?;
                Ok((0..rows).map(|row| wide.get(row).map(|v| v != 0)).collect::<BooleanArray>().into())
            }))
        }
        (from, D::Boolean) if is_float(from) => Some(Function::new(|arguments, rows| {
            let [value] = arguments else { return Err(arity()) };
            let values = cast(&value.clone().into_rows(rows)?, &D::Float64)?;
            Ok(BooleanArray::from_unary(values.as_primitive::<Float64Type>(), |v| v != 0.0).into())
        })),
        (from, to) if is_count_number(from) || is_float(from) => number(from, to),
        (D::Decimal256(..), D::Decimal128(..) | D::Float64) => Some(by_arrow(to.clone())),
        (from, to) => temporal(from, to),
    }
}

fn is_count_number(data_type: &DataType) -> bool {
    data_type.is_integer() || is_decimal(data_type)
}

/// A cast that Arrow makes without loss; what it cannot is an error of the row.
fn by_arrow(to: DataType) -> Function {
    Function::new(move |arguments, rows| {
        let [value] = arguments else { return Err(arity()) };
        let array = value.clone().into_rows(rows)?;
        let result = cast(&array, &to)?;
        let mut errors = RowErrors::default();
        if result.null_count() != array.null_count() {
            for row in (0..rows).filter(|row| array.is_valid(*row) && result.is_null(*row)) {
                errors.push(row, Reason::Cast);
            }
        }
        Ok(Answer::new(result, errors))
    })
}

fn bytes_to_text() -> Function {
    Function::new(|arguments, rows| {
        let [value] = arguments else { return Err(arity()) };
        let values = value.clone().into_rows(rows)?;
        let mut errors = RowErrors::default();
        let mut texts = StringViewBuilder::with_capacity(rows);
        for (row, bytes) in values.as_binary_view().iter().enumerate() {
            let text = bytes.map(std::str::from_utf8);
            if let Some(Err(_)) = text {
                errors.push(row, Reason::Cast);
            }
            texts.append_option(text.and_then(Result::ok));
        }
        Ok(Answer::new(Arc::new(texts.finish()), errors))
    })
}

/// Numbers to numbers.
fn number(from: &DataType, to: &DataType) -> Option<Function> {
    let scale = scale_of(from);
    match to {
        DataType::Float64 => Some(Function::new(|arguments, rows| {
            let [value] = arguments else { return Err(arity()) };
            let array = super::arithmetic::to_float64(&value.clone().into_rows(rows)?)?;
            Ok(Answer::new(array, RowErrors::default()))
        })),
        DataType::Float32 => Some(Function::new(|arguments, rows| {
            let [value] = arguments else { return Err(arity()) };
            let wide = super::arithmetic::to_float64(&value.clone().into_rows(rows)?)?;
            let values = Value::Rows(wide);
            #[expect(clippy::cast_possible_truncation, reason = "what leaves the range is found below")]
            Ok(try_unary::<Float64Type, Float32Type>(&values, rows, |v| {
                let narrow = v as f32;
                if narrow.is_infinite() && v.is_finite() { Err(Reason::Cast) } else { Ok(narrow) }
            }))
        })),
        DataType::Decimal128(precision, to_scale) => {
            let (precision, to_scale) = (*precision, u8::try_from(*to_scale).ok()?);
            if is_float(from) {
                return Some(float_to_decimal(precision, to_scale));
            }
            let rescale = Rescale::new(scale, to_scale, precision);
            Some(Function::new(move |arguments, rows| {
                let [value] = arguments else { return Err(arity()) };
                if let Some(small) = rescale.small::<Decimal128Type>(value) {
                    return decimal::typed(small, precision, to_scale);
                }
                let scaled = move |v: i128| rescale.apply(v).ok_or(Reason::Cast);
                let answer = if is_count(value.array().data_type())
                    && *value.array().data_type() != DataType::UInt64
                {
                    let counts = value.with_array(to_int64(value.array())?);
                    try_unary::<Int64Type, Decimal128Type>(&counts, rows, |v| scaled(i128::from(v)))
                } else {
                    let wide = Wide::of(value).ok_or_else(arity)?;
                    each::<i128, Decimal128Type>(wide.side(), value, rows, scaled)
                };
                decimal::typed(answer, precision, to_scale)
            }))
        }
        to if to.is_integer() && is_float(from) => {
            let to = to.clone();
            Some(Function::new(move |arguments, rows| {
                let [value] = arguments else { return Err(arity()) };
                let floats = Value::Rows(cast(&value.clone().into_rows(rows)?, &DataType::Float64)?);
                let whole = |v: f64| whole(v.round_ties_even()).ok_or(Reason::Cast);
                if to == DataType::UInt64 {
                    let unsigned = |v| whole(v)?.try_into().map_err(|_| Reason::Cast);
                    return Ok(try_unary::<Float64Type, UInt64Type>(&floats, rows, unsigned));
                }
                let signed = |v| whole(v)?.try_into().map_err(|_| Reason::Cast);
                counted(try_unary::<Float64Type, Int64Type>(&floats, rows, signed), &to, Reason::Cast)
            }))
        }
        to if to.is_integer() => Some(integer(from, to, scale)),
        _ => None,
    }
}

/// Integers and decimals to integers; nothing is checked where the type holds all.
fn integer(from: &DataType, to: &DataType, scale: u8) -> Function {
    let (from, to) = (from.clone(), to.clone());
    let rescale = Rescale::new(scale, 0, decimal::PRECISION);
    Function::new(move |arguments, rows| {
        let [value] = arguments else { return Err(arity()) };
        if from.is_integer() {
            let array = value.clone().into_rows(rows)?;
            let result = cast(&array, &to)?;
            if result.null_count() == array.null_count() {
                return Ok(Answer::new(result, RowErrors::default()));
            }
        }
        let whole = move |v| rescale.apply(v).ok_or(Reason::Cast);
        if to != DataType::UInt64
            && let Some(small) = rescale.small::<Int64Type>(value)
        {
            return counted(small, &to, Reason::Cast);
        }
        let wide = Wide::of(value).ok_or_else(arity)?;
        if to == DataType::UInt64 {
            let unsigned = move |v| whole(v)?.try_into().map_err(|_| Reason::Cast);
            return Ok(each::<i128, UInt64Type>(wide.side(), value, rows, unsigned));
        }
        let signed = move |v| whole(v)?.try_into().map_err(|_| Reason::Cast);
        counted(each::<i128, Int64Type>(wide.side(), value, rows, signed), &to, Reason::Cast)
    })
}

/// A float without a fraction as an integer.
fn whole(value: f64) -> Option<i128> {
    const LIMIT: f64 = 1e38;
    #[expect(clippy::cast_possible_truncation, reason = "the range was checked")]
    (value.abs() < LIMIT).then_some(value as i128)
}

/// A float without a fraction as it is, another as the shortest decimal number that reads as it, rounded to
/// the scale: 0.1 is 0.1, and an integer is that which a cast to an integer gives.
#[expect(clippy::useless_conversion, reason = "one body for both floats")]
fn float_to_decimal(precision: u8, scale: u8) -> Function {
    Function::new(move |arguments, rows| {
        let [value] = arguments else { return Err(arity()) };
        let limit = crate::exact::small_power_of_ten(precision).ok_or_else(arity)?;
        let answer = with_float!(value.array().data_type(), A => {
            try_unary::<A, Decimal128Type>(value, rows, move |v| {
                let quick = round_scaled(f64::from(v), scale, f64::from(<A as ArrowPrimitiveType>::Native::EPSILON));
                if let Some(rounded) = quick {
                    let rounded = i128::from(rounded);
                    return if rounded.abs() < limit { Ok(rounded) } else { Err(Reason::Cast) };
                }
                let text = if v.fract() == 0.0 { format!("{v:.0}") } else { format!("{v:e}") };
                text_to_decimal(&text, precision, scale).ok_or(Reason::Cast)
            })
        }, else return Err(arity()));
        decimal::typed(answer, precision, scale)
    })
}

/// `value * 10^scale`, rounded half away from zero, where that is sure to be so for the number that is meant: the
/// shortest that reads as the float, which is nearer than its last bit.
#[inline]
#[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "the range was checked")]
fn round_scaled(value: f64, scale: u8, last_bit: f64) -> Option<i64> {
    const WHOLE: f64 = 4_503_599_627_370_496.0;
    let scaled = value * decimal::float_power(scale)?;
    let magnitude = scaled.abs();
    if magnitude.is_nan() || magnitude >= WHOLE {
        return None;
    }
    // The standard library's steps from floats to whole floats are calls.
    let whole = magnitude as i64;
    let over_half = magnitude - whole as f64 - 0.5;
    let rounded = whole + i64::from(over_half > 0.0);
    (over_half.abs() > magnitude * last_bit * 2.0).then_some(if value < 0.0 { -rounded } else { rounded })
}

fn text_to_decimal(text: &str, precision: u8, scale: u8) -> Option<i128> {
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

/// Texts to other types.
fn from_text(to: &DataType) -> Option<Function> {
    match to {
        DataType::Boolean => Some(Function::new(|arguments, rows| {
            let [value] = arguments else { return Err(arity()) };
            let texts = value.clone().into_rows(rows)?;
            let mut errors = RowErrors::default();
            let read = |(row, text): (usize, Option<&str>)| {
                let truth = text.map(truth);
                if truth == Some(None) {
                    errors.push(row, Reason::Cast);
                }
                truth.flatten()
            };
            let values: BooleanArray = texts.as_string_view().iter().enumerate().map(read).collect();
            Ok(Answer::new(Arc::new(values), errors))
        })),
        DataType::Decimal128(precision, scale) => {
            let (precision, scale) = (*precision, u8::try_from(*scale).ok()?);
            Some(Function::new(move |arguments, rows| {
                let answer = read_texts::<Decimal128Type>(arguments, rows, |text| {
                    text_to_decimal(text, precision, scale)
                })?;
                decimal::typed(answer, precision, scale)
            }))
        }
        DataType::Float32 => Some(Function::new(|arguments, rows| {
            read_texts::<Float32Type>(arguments, rows, |text| text.parse().ok())
        })),
        DataType::Float64 => Some(Function::new(|arguments, rows| {
            read_texts::<Float64Type>(arguments, rows, |text| text.parse().ok())
        })),
        DataType::Date32 => {
            Some(Function::new(|arguments, rows| read_texts::<Date32Type>(arguments, rows, date_of_text)))
        }
        DataType::Time64(_) => Some(Function::new(|arguments, rows| {
            read_texts::<Time64NanosecondType>(arguments, rows, read_time)
        })),
        DataType::Timestamp(unit, zone) => {
            let (to, zoned) = (to.clone(), zone.is_some());
            let per_unit = i128::from(nanoseconds_per(*unit));
            Some(Function::new(move |arguments, rows| {
                let answer = read_texts::<arrow::datatypes::Int64Type>(arguments, rows, |text| {
                    let (nanoseconds, offset) = read_timestamp(text)?;
                    let fits = zoned || offset.is_none_or(|offset| offset == 0);
                    let count = to_unit(nanoseconds, per_unit).filter(|_| fits)?;
                    i64::try_from(count).ok()
                })?;
                Ok(Answer::new(cast(&answer.array, &to)?, answer.errors))
            }))
        }
        DataType::UInt64 => Some(Function::new(|arguments, rows| {
            read_texts::<UInt64Type>(arguments, rows, |text| {
                text_to_decimal(text, decimal::PRECISION, 0)?.try_into().ok()
            })
        })),
        to if to.is_integer() => {
            let to = to.clone();
            Some(Function::new(move |arguments, rows| {
                let answer = read_texts::<Int64Type>(arguments, rows, |text| {
                    text_to_decimal(text, decimal::PRECISION, 0)?.try_into().ok()
                })?;
                counted(answer, &to, Reason::Cast)
            }))
        }
        _ => None,
    }
}

/// A date, maybe with a time of day behind it, which is cut.
fn date_of_text(text: &str) -> Option<i32> {
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

/// Reads each text without the spaces around it.
fn read_texts<B: arrow::array::ArrowPrimitiveType>(
    arguments: &[Value],
    rows: usize,
    read: impl Fn(&str) -> Option<B::Native>,
) -> Answered {
    let [value] = arguments else { return Err(arity()) };
    let texts = value.clone().into_rows(rows)?;
    let texts = texts.as_string_view();
    Ok(collect::<B>(rows, |row| {
        let text = texts.is_valid(row).then(|| texts.value(row));
        text.map(|text| read(text.trim()).ok_or(Reason::Cast)).transpose()
    }))
}

/// Values as texts that a cast reads back.
pub(crate) fn to_text(from: &DataType) -> Option<Function> {
    let supported = matches!(from, DataType::Boolean | DataType::Date32 | DataType::Time64(_))
        || matches!(from, DataType::Timestamp(..) | DataType::Duration(_) | DataType::Decimal256(..))
        || super::numbers::is_number(from);
    let from = from.clone();
    supported.then(|| {
        Function::new(move |arguments, rows| {
            let [value] = arguments else { return Err(arity()) };
            let array = value.clone().into_rows(rows)?;
            match &from {
                DataType::Timestamp(unit, zone) => Ok(timestamps_to_text(&array, *unit, zone.is_some())),
                DataType::Time64(_) => Ok(times_to_text(&array)),
                DataType::Date32 => Ok(dates_to_text(&array)),
                _ => Ok(Answer::new(cast(&array, &DataType::Utf8View)?, RowErrors::default())),
            }
        })
    })
}

fn write_texts(rows: usize, text: impl Fn(usize) -> Option<String>) -> Answer {
    let mut texts = StringViewBuilder::with_capacity(rows);
    for row in 0..rows {
        texts.append_option(text(row));
    }
    texts.finish().into()
}

fn dates_to_text(array: &ArrayRef) -> Answer {
    let days: &Date32Array = array.as_primitive();
    write_texts(days.len(), |row| days.is_valid(row).then(|| date_text(i64::from(days.value(row)))))
}

fn date_text(days: i64) -> String {
    let date = crate::temporal::calendar::civil(days);
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

fn times_to_text(array: &ArrayRef) -> Answer {
    let times = array.as_primitive::<Time64NanosecondType>();
    write_texts(times.len(), |row| times.is_valid(row).then(|| clock_text(times.value(row))))
}

fn timestamps_to_text(array: &ArrayRef, unit: TimeUnit, zoned: bool) -> Answer {
    let value = Value::Rows(Arc::clone(array));
    let counts = Wide::of(&value).expect("timestamps are counts");
    write_texts(array.len(), |row| {
        let nanoseconds = counts.get(row)? * i128::from(nanoseconds_per(unit));
        let days = i64::try_from(nanoseconds.div_euclid(NANOSECONDS_PER_DAY)).ok()?;
        let clock = i64::try_from(nanoseconds.rem_euclid(NANOSECONDS_PER_DAY)).ok()?;
        Some(format!("{} {}{}", date_text(days), clock_text(clock), if zoned { "+00" } else { "" }))
    })
}

/// Dates, times and timestamps among each other.
fn temporal(from: &DataType, to: &DataType) -> Option<Function> {
    let (mine, other) = match (from, to) {
        (DataType::Date32, DataType::Timestamp(unit, _)) => {
            (NANOSECONDS_PER_DAY, i128::from(nanoseconds_per(*unit)))
        }
        (DataType::Timestamp(unit, _), DataType::Date32) => {
            (i128::from(nanoseconds_per(*unit)), NANOSECONDS_PER_DAY)
        }
        (DataType::Timestamp(unit, _), DataType::Timestamp(target, _))
        | (DataType::Duration(unit), DataType::Duration(target)) => {
            (i128::from(nanoseconds_per(*unit)), i128::from(nanoseconds_per(*target)))
        }
        (DataType::Timestamp(unit, _), DataType::Time64(_)) => {
            let per_unit = i128::from(nanoseconds_per(*unit));
            return Some(Function::new(move |arguments, rows| {
                let [value] = arguments else { return Err(arity()) };
                let wide = Wide::of(value).ok_or_else(arity)?;
                Ok(collect::<Time64NanosecondType>(rows, |row| {
                    let of_day = |count: i128| (count * per_unit).rem_euclid(NANOSECONDS_PER_DAY);
                    wide.get(row).map(|v| i64::try_from(of_day(v)).map_err(|_| Reason::Time)).transpose()
                }))
            }));
        }
        _ => return None,
    };
    let to = to.clone();
    Some(Function::new(move |arguments, rows| {
        let [value] = arguments else { return Err(arity()) };
        let wide = Wide::of(value).ok_or_else(arity)?;
        let convert = |count: i128| {
            let nanoseconds = count.checked_mul(mine)?;
            // The day that holds it, or the nearest unit.
            let day = || Some(nanoseconds.div_euclid(other));
            if other == NANOSECONDS_PER_DAY { day() } else { to_unit(nanoseconds, other) }
        };
        let answer = each::<i128, Int64Type>(wide.side(), value, rows, |count| {
            convert(count).and_then(|count| count.try_into().ok()).ok_or(Reason::Time)
        });
        counted(answer, &to, Reason::Time)
    }))
}

/// The nearest unit, half away from 1970, as `DuckDB` does where the standard leaves the choice.
fn to_unit(nanoseconds: i128, unit: i128) -> Option<i128> {
    nanoseconds.checked_add(nanoseconds.signum() * (unit / 2)).map(|n| n / unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_become_decimals_exactly_or_rounded_half_away() {
        assert_eq!(text_to_decimal("2.675", 10, 2), Some(268));
        assert_eq!(text_to_decimal("-0.5", 5, 0), Some(-1));
        assert_eq!(text_to_decimal("1e-300", 5, 2), Some(0));
        assert_eq!(text_to_decimal("1e300", 38, 2), None);
        assert_eq!(text_to_decimal("999.995", 5, 2), None);
        assert_eq!(round_exact(&Exact::read("1.5").unwrap(), 38, 0), Some(2));
    }

    #[test]
    fn points_in_time_round_to_the_nearest_unit_whatever_they_come_from() {
        let text = |text: &str| {
            let text = Value::Rows(Arc::new(arrow::array::StringViewArray::from(vec![text])));
            let to = DataType::Timestamp(TimeUnit::Millisecond, None);
            let answer = strict(&DataType::Utf8View, &to).unwrap().call(&[text], 1).unwrap();
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
