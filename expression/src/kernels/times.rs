//! Functions of dates, times and timestamps.

use arrow::array::{ArrayRef, Float64Array, Int8Array, Int16Array, Int32Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Date32Type, Int64Type, Time64NanosecondType, TimeUnit};

use super::by_row::{collect, each, read_each};
use super::numbers::{Wide, counted, is_count};
use super::strings::collect_strings;
use super::{Answer, Function, Reason, RowErrors};
use crate::temporal::calendar::{self, NANOSECONDS_PER_DAY, NANOSECONDS_PER_SECOND};
use crate::temporal::format::{Format, Point};
use crate::temporal::interval::Interval;
use crate::temporal::{nanoseconds_per, zone};

/// Nanoseconds of one count of the type.
pub(crate) fn nanoseconds_of(data_type: &DataType) -> Option<i128> {
    Some(match data_type {
        DataType::Date32 => NANOSECONDS_PER_DAY,
        DataType::Time64(_) => 1,
        DataType::Timestamp(unit, _) | DataType::Duration(unit) => i128::from(nanoseconds_per(*unit)),
        _ => return None,
    })
}

/// Days since 1970 and nanoseconds of the day.
fn split(nanoseconds: i128) -> Option<(i64, i64)> {
    let days = i64::try_from(nanoseconds.div_euclid(NANOSECONDS_PER_DAY)).ok()?;
    Some((days, i64::try_from(nanoseconds.rem_euclid(NANOSECONDS_PER_DAY)).ok()?))
}

/// The type of a part of a date or time; `None` where the value's type has no such part.
pub(crate) fn part_type(part: &str, value: &DataType) -> Option<DataType> {
    let (has_date, has_clock) = match value {
        DataType::Date32 => (true, false),
        DataType::Time64(_) => (false, true),
        DataType::Timestamp(..) => (true, true),
        _ => return None,
    };
    let (needs_date, data_type) = match part {
        "millennium" | "century" | "decade" | "isoyear" | "year" => (true, DataType::Int32),
        "quarter" | "month" | "dayofweek" | "isoweek" | "isodow" | "day" => (true, DataType::Int8),
        "dayofyear" => (true, DataType::Int16),
        "hour" | "minute" | "second" => (false, DataType::Int8),
        "millisecond" | "microsecond" | "nanosecond" => (false, DataType::Float64),
        "time" => (false, DataType::Time64(TimeUnit::Nanosecond)),
        "epoch" => (has_date, DataType::Float64),
        _ => return None,
    };
    (if needs_date { has_date } else { has_clock }).then_some(data_type)
}

/// A part of each date or time, of the type that [`part_type`] names.
pub(crate) fn part(part: &'static str, value: &DataType) -> Option<Function> {
    let target = part_type(part, value)?;
    let per_count = nanoseconds_of(value)?;
    Some(Function::of_one(move |value, rows| {
        let counts = Wide::of(value);
        let at = |row| split(counts.get(row)? * per_count);
        let number = |row| {
            let (days, clock) = at(row)?;
            calendar::date_part(part, days).or_else(|| clock_part(part, clock))
        };
        Ok(match &target {
            DataType::Int8 => (0..rows).map(|r| i8::try_from(number(r)?).ok()).collect::<Int8Array>().into(),
            DataType::Int16 => {
                (0..rows).map(|r| i16::try_from(number(r)?).ok()).collect::<Int16Array>().into()
            }
            DataType::Int32 => {
                (0..rows).map(|r| i32::try_from(number(r)?).ok()).collect::<Int32Array>().into()
            }
            DataType::Float64 if part == "epoch" => {
                let seconds = |row| Some(super::decimal::nearest(counts.get(row)? * per_count, 9));
                (0..rows).map(seconds).collect::<Float64Array>().into()
            }
            DataType::Float64 => {
                let digits = match part {
                    "millisecond" => 6,
                    "microsecond" => 3,
                    _ => 0,
                };
                let value = |row| {
                    let (_, clock) = at(row)?;
                    Some(super::decimal::nearest(i128::from(clock % (60 * NANOSECONDS_PER_SECOND)), digits))
                };
                (0..rows).map(value).collect::<Float64Array>().into()
            }
            _ => collect::<Time64NanosecondType>(rows, |row| Ok(at(row).map(|(_, clock)| clock))),
        })
    }))
}

fn clock_part(part: &str, clock: i64) -> Option<i64> {
    let seconds = clock / NANOSECONDS_PER_SECOND;
    Some(match part {
        "hour" => seconds / 3_600,
        "minute" => seconds / 60 % 60,
        "second" => seconds % 60,
        _ => return None,
    })
}

/// Nanoseconds of a part of the clock.
fn clock_unit(part: &str) -> Option<i128> {
    Some(match part {
        "hour" => 3_600_000_000_000,
        "minute" => 60_000_000_000,
        "second" => 1_000_000_000,
        "millisecond" => 1_000_000,
        "microsecond" => 1_000,
        "nanosecond" => 1,
        _ => return None,
    })
}

/// True where the part can be cut off, or counted between, values of the type.
pub(crate) fn has_unit(part: &str, data_type: &DataType) -> bool {
    let of_date = calendar::truncate_days(part, 0).is_some();
    let of_clock = clock_unit(part).is_some();
    match data_type {
        DataType::Date32 => of_date,
        DataType::Time64(_) => of_clock,
        DataType::Timestamp(..) => of_date || of_clock,
        _ => false,
    }
}

/// The start of the unit that holds each point in time.
pub(crate) fn truncate(part: &'static str, data_type: &DataType) -> Option<Function> {
    has_unit(part, data_type).then_some(())?;
    let per_count = nanoseconds_of(data_type)?;
    mapped(data_type, move |count| {
        let nanoseconds = count * per_count;
        let start = if let Some(unit) = clock_unit(part) {
            nanoseconds.div_euclid(unit) * unit
        } else {
            let (days, _) = split(nanoseconds).ok_or(Reason::Time)?;
            i128::from(calendar::truncate_days(part, days).ok_or(Reason::Time)?) * NANOSECONDS_PER_DAY
        };
        // A unit finer than the type's changes nothing.
        Ok(start.div_euclid(per_count))
    })
}

/// Adds a span to each point in time: months first, then days, then the rest.
pub(crate) fn add(span: Interval, data_type: &DataType) -> Option<Function> {
    let per_count = nanoseconds_of(data_type)?;
    let exact = i128::from(span.nanoseconds) % per_count == 0;
    let is_time = matches!(data_type, DataType::Time64(_));
    mapped(data_type, move |count| {
        let nanoseconds = count * per_count;
        let moved = if is_time {
            (nanoseconds + i128::from(span.nanoseconds)).rem_euclid(NANOSECONDS_PER_DAY)
        } else {
            let (days, clock) = split(nanoseconds).ok_or(Reason::Time)?;
            let days =
                if span.months == 0 { days } else { calendar::add_months(days, i64::from(span.months)) };
            let days = i128::from(days) + i128::from(span.days);
            days * NANOSECONDS_PER_DAY + i128::from(clock) + i128::from(span.nanoseconds)
        };
        if exact { Ok(moved.div_euclid(per_count)) } else { Err(Reason::Time) }
    })
}

/// Applies a function to the counts of a type.
pub(crate) fn mapped(
    data_type: &DataType,
    apply: impl Fn(i128) -> Result<i128, Reason> + Send + Sync + 'static,
) -> Option<Function> {
    let target = data_type.clone();
    is_count(data_type).then(|| {
        Function::of_one(move |value, rows| {
            let counts = Wide::of(value);
            let answer = each::<i128, Int64Type>(counts.side(), value, rows, |count| {
                apply(count)?.try_into().map_err(|_| Reason::Time)
            });
            counted(answer, &target, Reason::Time)
        })
    })
}

/// `left ± right` of counts with their nanoseconds, as counts of the target.
pub(crate) fn combine(left: &DataType, right: &DataType, target: &DataType, minus: bool) -> Option<Function> {
    let (of_left, of_right, unit) = (nanoseconds_of(left)?, nanoseconds_of(right)?, nanoseconds_of(target)?);
    binary(target, move |left, right| {
        let (left, right) = (left.checked_mul(of_left)?, right.checked_mul(of_right)?);
        let sum = if minus { left.checked_sub(right)? } else { left.checked_add(right)? };
        (sum % unit == 0).then_some(sum / unit)
    })
}

/// A date a number of days later or earlier.
pub(crate) fn add_days(minus: bool) -> Option<Function> {
    binary(&DataType::Date32, move |days, by| Some(if minus { days - by } else { days + by }))
}

/// A duration times a number, or over it (cut towards zero).
pub(crate) fn scale(target: &DataType, divides: bool) -> Option<Function> {
    binary(target, move |count, by| if divides { count.checked_div(by) } else { count.checked_mul(by) })
}

fn binary(
    target: &DataType,
    apply: impl Fn(i128, i128) -> Option<i128> + Send + Sync + 'static,
) -> Option<Function> {
    let wanted = target.clone();
    is_count(target).then(|| {
        Function::of_two(move |left, right, rows| {
            let (l, r) = (Wide::of(left), Wide::of(right));
            let answer = collect::<Int64Type>(rows, |row| match (l.get(row), r.get(row)) {
                (Some(l), Some(r)) => {
                    let value = apply(l, r).ok_or(Reason::Time)?;
                    value.try_into().map(Some).map_err(|_| Reason::Time)
                }
                _ => Ok(None),
            });
            counted(answer, &wanted, Reason::Time)
        })
    })
}

/// The quotient of two durations.
pub(crate) fn ratio(left: &DataType, right: &DataType) -> Option<Function> {
    let (l, r) = (nanoseconds_of(left)?, nanoseconds_of(right)?);
    Some(Function::of_two(move |left, right, rows| {
        let (a, b) = (Wide::of(left), Wide::of(right));
        let float = |value: i128| super::decimal::nearest(value, 0);
        let ratio = |row| Some(float(a.get(row)? * l) / float(b.get(row)? * r));
        Ok((0..rows).map(ratio).collect::<Float64Array>().into())
    }))
}

/// The number of borders of a unit between two points in time.
pub(crate) fn difference(part: &'static str, left: &DataType, right: &DataType) -> Option<Function> {
    (has_unit(part, left) && has_unit(part, right)).then_some(())?;
    let (l, r) = (nanoseconds_of(left)?, nanoseconds_of(right)?);
    let ordinal = move |nanoseconds: i128| match clock_unit(part) {
        Some(unit) => Some(nanoseconds.div_euclid(unit)),
        None => calendar::ordinal(part, split(nanoseconds)?.0).map(i128::from),
    };
    binary(&DataType::Int64, move |a, b| Some(ordinal(b * r)? - ordinal(a * l)?))
}

/// Local times of a zone as instants, or instants as local times of it.
pub(crate) fn shift_zone(name: &str, unit: TimeUnit, to_instant: bool) -> Option<Function> {
    let zone = zone::zone(name)?;
    let target = DataType::Timestamp(unit, to_instant.then(|| "UTC".into()));
    let per_unit = nanoseconds_per(unit);
    let per_second = i128::from(NANOSECONDS_PER_SECOND / per_unit);
    let cut = target.clone();
    let shifted = mapped(&DataType::Timestamp(unit, None), move |count| {
        let count64 = i64::try_from(count).map_err(|_| Reason::Time)?;
        let seconds = zone::whole_seconds(count64, per_unit);
        let offset =
            if to_instant { zone::offset_of_local(zone, seconds) } else { zone::offset_at(zone, seconds) };
        let shift = i128::from(offset.ok_or(Reason::Time)?) * per_second;
        Ok(if to_instant { count - shift } else { count + shift })
    })?;
    Some(Function::new(move |arguments, rows| {
        let answer = shifted.call(arguments, rows)?;
        Ok(Answer::new(with_zone(&answer.array, &cut)?, answer.errors))
    }))
}

/// The same counts under another zone.
fn with_zone(array: &ArrayRef, target: &DataType) -> Result<ArrayRef, arrow::error::ArrowError> {
    cast(&cast(array, &DataType::Int64)?, target)
}

/// Each date, time or timestamp in a format.
pub(crate) fn write(format: Format, data_type: &DataType) -> Option<Function> {
    let per_count = nanoseconds_of(data_type)?;
    let data_type = data_type.clone();
    Some(Function::of_one(move |value, rows| {
        let counts = Wide::of(value);
        let text = |count| {
            let point = point(&data_type, count, per_count);
            point.and_then(|point| format.write(point)).ok_or(Reason::Time)
        };
        Ok(collect_strings((0..rows).map(|row| counts.get(row).map(text).transpose())))
    }))
}

fn point(data_type: &DataType, count: i128, per_count: i128) -> Option<Point> {
    match data_type {
        DataType::Date32 => Point::date(i32::try_from(count).ok()?),
        DataType::Time64(_) => Point::time(i64::try_from(count).ok()?),
        DataType::Timestamp(_, zone) => Point::timestamp(count * per_count, zone.is_some()),
        _ => None,
    }
}

/// Reads texts of a format as dates, times or timestamps in microseconds; a lenient one gives null
/// for others.
pub(crate) fn read(format: Format, target: &DataType, lenient: bool) -> Function {
    let target = target.clone();
    Function::of_rows(move |strings| {
        let count = |text: &str| match &target {
            DataType::Date32 => format.read_date(text).map(i64::from),
            DataType::Time64(_) => format.read_time(text),
            _ => i64::try_from(format.read_timestamp(text)?.div_euclid(1_000)).ok(),
        };
        let mut answer = read_each::<Int64Type>(strings, count);
        if lenient {
            answer.errors = RowErrors::default();
        }
        counted(answer, &target, Reason::Time)
    })
}

/// A date of year, month and day.
pub(crate) fn make_date() -> Function {
    Function::of_three(|year, month, day, rows| {
        let (years, months, days) =
            (year.numbers::<Int64Type>(), month.numbers::<Int64Type>(), day.numbers::<Int64Type>());
        Ok(collect::<Date32Type>(rows, |row| {
            let (Some(year), Some(month), Some(day)) = (years.get(row), months.get(row), days.get(row))
            else {
                return Ok(None);
            };
            let inside = (-6_000_000..6_000_000).contains(&year);
            let date = if inside { calendar::days_of(year, month, day) } else { None };
            date.map(Some).ok_or(Reason::Time)
        }))
    })
}
