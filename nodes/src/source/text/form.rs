//! Writes values in their text forms.

use std::fmt::Write as _;

use arrow::array::{Array, AsArray, Int64Array};
use arrow::datatypes::{self as types, ArrowPrimitiveType, DataType, TimeUnit};

use super::calendar::date_of;
use super::parse::per_second;

/// Writes the value at a row behind a text.
type WriteText<'a> = Box<dyn Fn(usize, &mut String) + 'a>;

/// The text forms of an array's values.
pub(crate) struct TextForm<'a> {
    array: &'a dyn Array,
    write: WriteText<'a>,
}

impl<'a> TextForm<'a> {
    /// The text forms of an array in canonical form; none if its type has no text form.
    pub(crate) fn of(array: &'a dyn Array) -> Option<Self> {
        Some(Self { array, write: writer(array)? })
    }

    /// True if values of a type have a text form.
    pub(crate) fn exists_for(data_type: &DataType) -> bool {
        let empty = arrow::array::new_empty_array(data_type);
        TextForm::of(empty.as_ref()).is_some()
    }

    /// Appends the value at `row`; false, and nothing appended, if it is null or there is none.
    pub(crate) fn write(&self, row: usize, text: &mut String) -> bool {
        let present = row < self.array.len() && self.array.is_valid(row);
        if present {
            (self.write)(row, text);
        }
        present
    }
}

/// Appends what `format_args!` makes; writing to a string cannot fail.
fn put(text: &mut String, form: std::fmt::Arguments<'_>) {
    let _ = text.write_fmt(form);
}

fn displayed<T: ArrowPrimitiveType>(array: &dyn Array) -> WriteText<'_>
where
    T::Native: std::fmt::Display,
{
    let values = array.as_primitive::<T>();
    Box::new(move |row, text| put(text, format_args!("{}", values.value(row))))
}

/// Debug output of a float has as few digits as read back as the same number.
fn float<T: ArrowPrimitiveType>(array: &dyn Array) -> WriteText<'_>
where
    T::Native: std::fmt::Debug,
{
    let values = array.as_primitive::<T>();
    Box::new(move |row, text| put(text, format_args!("{:?}", values.value(row))))
}

fn writer(array: &dyn Array) -> Option<WriteText<'_>> {
    Some(match array.data_type() {
        DataType::Boolean => {
            let values = array.as_boolean();
            Box::new(|row, text| text.push_str(if values.value(row) { "true" } else { "false" }))
        }
        DataType::Int8 => displayed::<types::Int8Type>(array),
        DataType::Int16 => displayed::<types::Int16Type>(array),
        DataType::Int32 => displayed::<types::Int32Type>(array),
        DataType::Int64 => displayed::<types::Int64Type>(array),
        DataType::UInt8 => displayed::<types::UInt8Type>(array),
        DataType::UInt16 => displayed::<types::UInt16Type>(array),
        DataType::UInt32 => displayed::<types::UInt32Type>(array),
        DataType::UInt64 => displayed::<types::UInt64Type>(array),
        DataType::Float16 => {
            let values = array.as_primitive::<types::Float16Type>();
            Box::new(|row, text| put(text, format_args!("{:?}", values.value(row).to_f32())))
        }
        DataType::Float32 => float::<types::Float32Type>(array),
        DataType::Float64 => float::<types::Float64Type>(array),
        DataType::Utf8View => {
            let values = array.as_string_view();
            Box::new(|row, text| text.push_str(values.value(row)))
        }
        DataType::Utf8 => {
            let values = array.as_string::<i32>();
            Box::new(|row, text| text.push_str(values.value(row)))
        }
        DataType::BinaryView => {
            let values = array.as_binary_view();
            Box::new(|row, text| hex(values.value(row), text))
        }
        DataType::Binary => {
            let values = array.as_binary::<i32>();
            Box::new(|row, text| hex(values.value(row), text))
        }
        DataType::Date32 => {
            let values = array.as_primitive::<types::Date32Type>();
            Box::new(|row, text| date(values.value(row).into(), text))
        }
        DataType::Time64(TimeUnit::Nanosecond) => {
            let values = array.as_primitive::<types::Time64NanosecondType>();
            Box::new(|row, text| {
                let (seconds, nanos) = split(values.value(row), 1_000_000_000);
                clock(seconds, nanos, text);
            })
        }
        DataType::Timestamp(unit, zone) => return Some(timestamp(array, *unit, zone.is_some())),
        DataType::Duration(unit) => return Some(duration(array, *unit)),
        DataType::Decimal128(_, scale) => {
            let values = array.as_primitive::<types::Decimal128Type>();
            let scale = *scale;
            Box::new(move |row, text| decimal(&values.value(row).to_string(), scale, text))
        }
        DataType::Decimal256(_, scale) => {
            let values = array.as_primitive::<types::Decimal256Type>();
            let scale = *scale;
            Box::new(move |row, text| decimal(&values.value(row).to_string(), scale, text))
        }
        _ => return None,
    })
}

/// The counts of a timestamp or duration.
fn counts(array: &dyn Array) -> Int64Array {
    let counts = array.to_data().into_builder().data_type(DataType::Int64).build();
    Int64Array::from(counts.unwrap_or_else(|_| panic!("times are counted in 64 bits")))
}

fn timestamp(array: &dyn Array, unit: TimeUnit, zoned: bool) -> WriteText<'_> {
    let (counts, per_second) = (counts(array), per_second(unit));
    Box::new(move |row, text| {
        let (seconds, nanos) = split(counts.value(row), per_second);
        date(seconds.div_euclid(86_400), text);
        text.push('T');
        clock(seconds.rem_euclid(86_400), nanos, text);
        if zoned {
            text.push('Z');
        }
    })
}

fn duration(array: &dyn Array, unit: TimeUnit) -> WriteText<'_> {
    let (counts, per_second) = (counts(array), per_second(unit).unsigned_abs());
    Box::new(move |row, text| {
        let value = counts.value(row);
        let (seconds, rest) = (value.unsigned_abs() / per_second, value.unsigned_abs() % per_second);
        put(text, format_args!("{}PT{seconds}", if value < 0 { "-" } else { "" }));
        fraction(rest * (1_000_000_000 / per_second), text);
        text.push('S');
    })
}

/// Seconds, rounded down, and nanoseconds.
fn split(value: i64, per_second: i64) -> (i64, u64) {
    let rest = value.rem_euclid(per_second) * (1_000_000_000 / per_second);
    (value.div_euclid(per_second), rest.unsigned_abs())
}

fn date(days: i64, text: &mut String) {
    let (year, month, day) = date_of(days);
    match year {
        0..=9_999 => put(text, format_args!("{year:04}-{month:02}-{day:02}")),
        _ => put(text, format_args!("{year:+05}-{month:02}-{day:02}")),
    }
}

fn clock(seconds: i64, nanos: u64, text: &mut String) {
    let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    put(text, format_args!("{hour:02}:{minute:02}:{second:02}"));
    fraction(nanos, text);
}

fn fraction(nanos: u64, text: &mut String) {
    if nanos > 0 {
        let digits = format!("{nanos:09}");
        put(text, format_args!(".{}", digits.trim_end_matches('0')));
    }
}

fn hex(bytes: &[u8], text: &mut String) {
    for byte in bytes {
        put(text, format_args!("{byte:02x}"));
    }
}

fn decimal(unscaled: &str, scale: i8, text: &mut String) {
    let (sign, digits) = match unscaled.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", unscaled),
    };
    text.push_str(sign);
    let places = usize::from(scale.unsigned_abs());
    if scale <= 0 {
        let zeros = if digits == "0" { 0 } else { places };
        put(text, format_args!("{digits}{}", "0".repeat(zeros)));
        return;
    }
    let padded = format!("{digits:0>width$}", width = places + 1);
    let (whole, rest) = padded.split_at_checked(padded.len() - places).unwrap_or((&padded, ""));
    put(text, format_args!("{whole}.{rest}"));
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{
        Date32Array, Decimal128Array, DurationMillisecondArray, Float64Array, TimestampMicrosecondArray,
        TimestampSecondArray,
    };

    fn texts(array: &dyn Array) -> Vec<String> {
        let form = TextForm::of(array).unwrap();
        (0..array.len())
            .map(|row| {
                let mut text = String::new();
                form.write(row, &mut text);
                text
            })
            .collect()
    }

    #[test]
    fn each_type_has_one_text_form() {
        assert_eq!(texts(&Float64Array::from(vec![1.0, 0.1, 1e300, -0.0])), ["1.0", "0.1", "1e300", "-0.0"]);
        assert_eq!(texts(&Date32Array::from(vec![15_706, -719_529])), ["2013-01-01", "-0001-12-31"]);
        let decimals = Decimal128Array::from(vec![150, -5, 0]).with_precision_and_scale(10, 2).unwrap();
        assert_eq!(texts(&decimals), ["1.50", "-0.05", "0.00"]);
        let durations = DurationMillisecondArray::from(vec![1_500, -500, 0]);
        assert_eq!(texts(&durations), ["PT1.5S", "-PT0.5S", "PT0S"]);
    }

    #[test]
    fn the_unit_of_a_timestamp_makes_no_difference() {
        let seconds = TimestampSecondArray::from(vec![-1]).with_timezone("UTC");
        let micros = TimestampMicrosecondArray::from(vec![-1_000_000]).with_timezone("UTC");
        assert_eq!(texts(&seconds), ["1969-12-31T23:59:59Z"]);
        assert_eq!(texts(&micros), texts(&seconds));
        assert_eq!(texts(&TimestampMicrosecondArray::from(vec![1_500])), ["1970-01-01T00:00:00.0015"]);
        let extremes = TimestampSecondArray::from(vec![i64::MAX, i64::MIN]);
        assert_eq!(texts(&extremes)[0], "+292277026596-12-04T15:30:07");
    }
}
