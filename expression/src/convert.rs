//! Columns between Arrow and Polars, by values and without unsafe code.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryViewArray, BooleanArray, Date32Array, Decimal128Array, NullArray,
    PrimitiveArray, StringViewArray,
};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Decimal128Type, DurationMicrosecondType,
    DurationMillisecondType, DurationNanosecondType, DurationSecondType, Float16Type, Float32Type,
    Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, Time64NanosecondType, TimeUnit,
    TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType,
    UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use polars::prelude as pl;
use polars::prelude::{IntoSeries, NewChunkedArray};

/// Why a column did not pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ConvertError {
    /// The type has no counterpart.
    Type,
    /// The value at this row does not fit the counterpart.
    Value(usize),
}

/// The Polars type of a canonical Arrow type; `None` where expressions cannot work on it.
pub(super) fn polars_type(data_type: &DataType) -> Option<pl::DataType> {
    Some(match data_type {
        DataType::Boolean => pl::DataType::Boolean,
        DataType::Int8 => pl::DataType::Int8,
        DataType::Int16 => pl::DataType::Int16,
        DataType::Int32 => pl::DataType::Int32,
        DataType::Int64 => pl::DataType::Int64,
        DataType::UInt8 => pl::DataType::UInt8,
        DataType::UInt16 => pl::DataType::UInt16,
        DataType::UInt32 => pl::DataType::UInt32,
        DataType::UInt64 => pl::DataType::UInt64,
        DataType::Float16 | DataType::Float32 => pl::DataType::Float32,
        DataType::Float64 => pl::DataType::Float64,
        DataType::Utf8View => pl::DataType::String,
        DataType::BinaryView => pl::DataType::Binary,
        DataType::Date32 => pl::DataType::Date,
        DataType::Time64(TimeUnit::Nanosecond) => pl::DataType::Time,
        DataType::Timestamp(unit, zone) => {
            pl::DataType::Datetime(polars_unit(*unit), zone.as_ref().map(|_| pl::TimeZone::UTC))
        }
        DataType::Duration(unit) => pl::DataType::Duration(polars_unit(*unit)),
        DataType::Decimal128(precision, scale) => {
            pl::DataType::Decimal(usize::from(*precision), usize::try_from(*scale).ok()?)
        }
        _ => return None,
    })
}

/// The canonical Arrow type of a Polars type; `None` where no stream carries it.
pub(super) fn arrow_type(data_type: &pl::DataType) -> Option<DataType> {
    Some(match data_type {
        pl::DataType::Boolean => DataType::Boolean,
        pl::DataType::Int8 => DataType::Int8,
        pl::DataType::Int16 => DataType::Int16,
        pl::DataType::Int32 => DataType::Int32,
        pl::DataType::Int64 => DataType::Int64,
        pl::DataType::UInt8 => DataType::UInt8,
        pl::DataType::UInt16 => DataType::UInt16,
        pl::DataType::UInt32 => DataType::UInt32,
        pl::DataType::UInt64 => DataType::UInt64,
        pl::DataType::Float32 => DataType::Float32,
        pl::DataType::Float64 => DataType::Float64,
        pl::DataType::Null | pl::DataType::String => DataType::Utf8View,
        pl::DataType::Binary => DataType::BinaryView,
        pl::DataType::Date => DataType::Date32,
        pl::DataType::Time => DataType::Time64(TimeUnit::Nanosecond),
        pl::DataType::Datetime(unit, zone) => {
            DataType::Timestamp(arrow_unit(*unit), zone.as_ref().map(|_| "UTC".into()))
        }
        pl::DataType::Duration(unit) => DataType::Duration(arrow_unit(*unit)),
        pl::DataType::Decimal(precision, scale) => {
            DataType::Decimal128(u8::try_from(*precision).ok()?, i8::try_from(*scale).ok()?)
        }
        _ => return None,
    })
}

pub(super) fn polars_unit(unit: TimeUnit) -> pl::TimeUnit {
    match unit {
        TimeUnit::Second | TimeUnit::Millisecond => pl::TimeUnit::Milliseconds,
        TimeUnit::Microsecond => pl::TimeUnit::Microseconds,
        TimeUnit::Nanosecond => pl::TimeUnit::Nanoseconds,
    }
}

fn arrow_unit(unit: pl::TimeUnit) -> TimeUnit {
    match unit {
        pl::TimeUnit::Milliseconds => TimeUnit::Millisecond,
        pl::TimeUnit::Microseconds => TimeUnit::Microsecond,
        pl::TimeUnit::Nanoseconds => TimeUnit::Nanosecond,
    }
}

/// The column as a series. Seconds become milliseconds, half floats single floats.
pub(super) fn to_series(name: &str, array: &ArrayRef) -> Result<pl::Series, ConvertError> {
    let name = pl::PlSmallStr::from_str(name);
    let series = match array.data_type() {
        DataType::Boolean => {
            pl::BooleanChunked::from_iter_options(name, array.as_boolean().iter()).into_series()
        }
        DataType::Int8 => numbers::<Int8Type, pl::Int8Type>(name, array),
        DataType::Int16 => numbers::<Int16Type, pl::Int16Type>(name, array),
        DataType::Int32 => numbers::<Int32Type, pl::Int32Type>(name, array),
        DataType::Int64 => numbers::<Int64Type, pl::Int64Type>(name, array),
        DataType::UInt8 => numbers::<UInt8Type, pl::UInt8Type>(name, array),
        DataType::UInt16 => numbers::<UInt16Type, pl::UInt16Type>(name, array),
        DataType::UInt32 => numbers::<UInt32Type, pl::UInt32Type>(name, array),
        DataType::UInt64 => numbers::<UInt64Type, pl::UInt64Type>(name, array),
        DataType::Float16 => {
            let values = array.as_primitive::<Float16Type>().iter().map(|value| value.map(f32::from));
            pl::Float32Chunked::from_iter_options(name, values).into_series()
        }
        DataType::Float32 => numbers::<Float32Type, pl::Float32Type>(name, array),
        DataType::Float64 => numbers::<Float64Type, pl::Float64Type>(name, array),
        DataType::Utf8View => {
            pl::StringChunked::from_iter_options(name, array.as_string_view().iter()).into_series()
        }
        DataType::BinaryView => {
            pl::BinaryChunked::from_iter_options(name, array.as_binary_view().iter()).into_series()
        }
        DataType::Date32 => numbers::<Date32Type, pl::Int32Type>(name, array).into_date(),
        DataType::Time64(TimeUnit::Nanosecond) => {
            numbers::<Time64NanosecondType, pl::Int64Type>(name, array).into_time()
        }
        DataType::Timestamp(unit, zone) => {
            let zone = zone.as_ref().map(|_| pl::TimeZone::UTC);
            counts(name, array)?.into_datetime(polars_unit(*unit), zone)
        }
        DataType::Duration(unit) => counts(name, array)?.into_duration(polars_unit(*unit)),
        DataType::Decimal128(precision, scale) => {
            let scale = usize::try_from(*scale).map_err(|_| ConvertError::Type)?;
            numbers::<Decimal128Type, pl::Int128Type>(name, array)
                .into_decimal(usize::from(*precision), scale)
                .map_err(|_| ConvertError::Type)?
        }
        _ => return Err(ConvertError::Type),
    };
    Ok(series)
}

fn numbers<A, P>(name: pl::PlSmallStr, array: &ArrayRef) -> pl::Series
where
    A: ArrowPrimitiveType,
    P: pl::PolarsNumericType<Native = A::Native>,
    pl::ChunkedArray<P>: IntoSeries + NewChunkedArray<P, P::Native>,
{
    let array = array.as_primitive::<A>();
    if array.null_count() == 0 {
        pl::ChunkedArray::<P>::from_slice(name, array.values()).into_series()
    } else {
        pl::ChunkedArray::<P>::from_iter_options(name, array.iter()).into_series()
    }
}

/// Timestamps and durations as integers; seconds as milliseconds.
fn counts(name: pl::PlSmallStr, array: &ArrayRef) -> Result<pl::Series, ConvertError> {
    use TimeUnit as U;
    Ok(match array.data_type() {
        DataType::Timestamp(U::Millisecond, _) => {
            numbers::<TimestampMillisecondType, pl::Int64Type>(name, array)
        }
        DataType::Timestamp(U::Microsecond, _) => {
            numbers::<TimestampMicrosecondType, pl::Int64Type>(name, array)
        }
        DataType::Timestamp(U::Nanosecond, _) => {
            numbers::<TimestampNanosecondType, pl::Int64Type>(name, array)
        }
        DataType::Duration(U::Millisecond) => numbers::<DurationMillisecondType, pl::Int64Type>(name, array),
        DataType::Duration(U::Microsecond) => numbers::<DurationMicrosecondType, pl::Int64Type>(name, array),
        DataType::Duration(U::Nanosecond) => numbers::<DurationNanosecondType, pl::Int64Type>(name, array),
        DataType::Timestamp(U::Second, _) => seconds::<TimestampSecondType>(name, array)?,
        DataType::Duration(U::Second) => seconds::<DurationSecondType>(name, array)?,
        _ => return Err(ConvertError::Type),
    })
}

fn seconds<A>(name: pl::PlSmallStr, array: &ArrayRef) -> Result<pl::Series, ConvertError>
where
    A: ArrowPrimitiveType<Native = i64>,
{
    let milliseconds = array
        .as_primitive::<A>()
        .iter()
        .enumerate()
        .map(|(row, value)| match value {
            Some(seconds) => seconds.checked_mul(1_000).map(Some).ok_or(ConvertError::Value(row)),
            None => Ok(None),
        })
        .collect::<Result<Vec<_>, _>>()?;
    Ok(pl::Int64Chunked::from_iter_options(name, milliseconds.into_iter()).into_series())
}

/// The series as a canonical column; `None` where its type is not the expected one.
pub(super) fn to_array(series: &pl::Series, expected: &DataType) -> Option<ArrayRef> {
    if arrow_type(series.dtype()).as_ref() != Some(expected) {
        return None;
    }
    let physical = series.to_physical_repr();
    Some(match series.dtype() {
        pl::DataType::Null => {
            let nulls = NullArray::new(series.len());
            arrow::compute::cast(&nulls, expected).ok()?
        }
        pl::DataType::Boolean => Arc::new(series.bool().ok()?.iter().collect::<BooleanArray>()),
        pl::DataType::Int8 => array::<Int8Type, _>(physical.i8().ok()?.iter()),
        pl::DataType::Int16 => array::<Int16Type, _>(physical.i16().ok()?.iter()),
        pl::DataType::Int32 => array::<Int32Type, _>(physical.i32().ok()?.iter()),
        pl::DataType::Int64 => array::<Int64Type, _>(physical.i64().ok()?.iter()),
        pl::DataType::UInt8 => array::<UInt8Type, _>(physical.u8().ok()?.iter()),
        pl::DataType::UInt16 => array::<UInt16Type, _>(physical.u16().ok()?.iter()),
        pl::DataType::UInt32 => array::<UInt32Type, _>(physical.u32().ok()?.iter()),
        pl::DataType::UInt64 => array::<UInt64Type, _>(physical.u64().ok()?.iter()),
        pl::DataType::Float32 => array::<Float32Type, _>(physical.f32().ok()?.iter()),
        pl::DataType::Float64 => array::<Float64Type, _>(physical.f64().ok()?.iter()),
        pl::DataType::String => Arc::new(series.str().ok()?.iter().collect::<StringViewArray>()),
        pl::DataType::Binary => Arc::new(series.binary().ok()?.iter().collect::<BinaryViewArray>()),
        pl::DataType::Date => Arc::new(physical.i32().ok()?.iter().collect::<Date32Array>()),
        pl::DataType::Time => array::<Time64NanosecondType, _>(physical.i64().ok()?.iter()),
        pl::DataType::Datetime(..) | pl::DataType::Duration(_) => {
            let counts = array::<Int64Type, _>(physical.i64().ok()?.iter());
            arrow::compute::cast(&counts, expected).ok()?
        }
        pl::DataType::Decimal(..) => {
            let DataType::Decimal128(precision, scale) = expected else { return None };
            let values = physical.i128().ok()?.iter().collect::<Decimal128Array>();
            Arc::new(values.with_precision_and_scale(*precision, *scale).ok()?)
        }
        _ => return None,
    })
}

fn array<A, I>(values: I) -> ArrayRef
where
    A: ArrowPrimitiveType,
    I: Iterator<Item = Option<A::Native>>,
{
    Arc::new(values.collect::<PrimitiveArray<A>>().with_data_type(A::DATA_TYPE))
}
