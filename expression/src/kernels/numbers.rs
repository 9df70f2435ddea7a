//! Dispatch over the numeric types of Arrow.

/// Runs the body with `$arrow` as the Arrow type of an integer.
macro_rules! with_integer {
    ($data_type:expr, $arrow:ident => $body:expr, else $other:expr) => {
        match $data_type {
            arrow::datatypes::DataType::Int8 => {
                type $arrow = arrow::datatypes::Int8Type;
                $body
            }
            arrow::datatypes::DataType::Int16 => {
                type $arrow = arrow::datatypes::Int16Type;
                $body
            }
            arrow::datatypes::DataType::Int32 => {
                type $arrow = arrow::datatypes::Int32Type;
                $body
            }
            arrow::datatypes::DataType::Int64 => {
                type $arrow = arrow::datatypes::Int64Type;
                $body
            }
            arrow::datatypes::DataType::UInt8 => {
                type $arrow = arrow::datatypes::UInt8Type;
                $body
            }
            arrow::datatypes::DataType::UInt16 => {
                type $arrow = arrow::datatypes::UInt16Type;
                $body
            }
            arrow::datatypes::DataType::UInt32 => {
                type $arrow = arrow::datatypes::UInt32Type;
                $body
            }
            arrow::datatypes::DataType::UInt64 => {
                type $arrow = arrow::datatypes::UInt64Type;
                $body
            }
            _ => $other,
        }
    };
}

/// Runs the body with `$arrow` as the Arrow type of a float.
macro_rules! with_float {
    ($data_type:expr, $arrow:ident => $body:expr, else $other:expr) => {
        match $data_type {
            arrow::datatypes::DataType::Float32 => {
                type $arrow = arrow::datatypes::Float32Type;
                $body
            }
            arrow::datatypes::DataType::Float64 => {
                type $arrow = arrow::datatypes::Float64Type;
                $body
            }
            _ => $other,
        }
    };
}

/// Runs the body with `$arrow` as the Arrow type of values that are counts: integers, dates, times,
/// timestamps, durations and decimals.
macro_rules! with_count {
    ($data_type:expr, $arrow:ident => $body:expr, else $other:expr) => {
        match $data_type {
            arrow::datatypes::DataType::Date32 => { type $arrow = arrow::datatypes::Date32Type; $body }
            arrow::datatypes::DataType::Time64(_) => { type $arrow = arrow::datatypes::Time64NanosecondType; $body }
            arrow::datatypes::DataType::Timestamp(arrow::datatypes::TimeUnit::Second, _) => { type $arrow = arrow::datatypes::TimestampSecondType; $body }
            arrow::datatypes::DataType::Timestamp(arrow::datatypes::TimeUnit::Millisecond, _) => { type $arrow = arrow::datatypes::TimestampMillisecondType; $body }
            arrow::datatypes::DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, _) => { type $arrow = arrow::datatypes::TimestampMicrosecondType; $body }
            arrow::datatypes::DataType::Timestamp(arrow::datatypes::TimeUnit::Nanosecond, _) => { type $arrow = arrow::datatypes::TimestampNanosecondType; $body }
            arrow::datatypes::DataType::Duration(arrow::datatypes::TimeUnit::Second) => { type $arrow = arrow::datatypes::DurationSecondType; $body }
            arrow::datatypes::DataType::Duration(arrow::datatypes::TimeUnit::Millisecond) => { type $arrow = arrow::datatypes::DurationMillisecondType; $body }
            arrow::datatypes::DataType::Duration(arrow::datatypes::TimeUnit::Microsecond) => { type $arrow = arrow::datatypes::DurationMicrosecondType; $body }
            arrow::datatypes::DataType::Duration(arrow::datatypes::TimeUnit::Nanosecond) => { type $arrow = arrow::datatypes::DurationNanosecondType; $body }
            arrow::datatypes::DataType::Decimal128(..) => { type $arrow = arrow::datatypes::Decimal128Type; $body }
            other => $crate::kernels::numbers::with_integer!(other, $arrow => $body, else $other),
        }
    };
}

pub(crate) use {with_count, with_float, with_integer};

use arrow::datatypes::DataType;

use super::Value;

/// True for decimals of 128 bits.
pub(crate) fn is_decimal(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Decimal128(..))
}

/// True for floats of 32 or 64 bits.
pub(crate) fn is_float(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Float32 | DataType::Float64)
}

/// True for numbers that expressions compute with.
pub(crate) fn is_number(data_type: &DataType) -> bool {
    data_type.is_integer() || is_float(data_type) || is_decimal(data_type)
}

/// The scale of an integer (0) or a decimal.
pub(crate) fn scale_of(data_type: &DataType) -> u8 {
    match data_type {
        DataType::Decimal128(_, scale) => u8::try_from(*scale).unwrap_or(0),
        _ => 0,
    }
}

/// Counts of 64 bits or fewer, or decimals, by row as wide integers.
pub(crate) struct Wide<'a> {
    get: Box<dyn Fn(usize) -> Option<i128> + 'a>,
}

impl<'a> Wide<'a> {
    /// `None` for types that are no counts.
    #[expect(clippy::useless_conversion, reason = "one body for several types")]
    pub(crate) fn of(value: &'a Value) -> Option<Self> {
        with_count!(value.array().data_type(), A => {
            let values = value.numbers::<A>();
            Some(Self { get: Box::new(move |row| values.get(row).map(i128::from)) })
        }, else None)
    }

    pub(crate) fn get(&self, row: usize) -> Option<i128> {
        (self.get)(row)
    }
}
