//! Answers of both sides in one form, compared by value.

use std::fmt;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Decimal256Type, DurationMicrosecondType, DurationMillisecondType,
    DurationNanosecondType, DurationSecondType, Float16Type, Float32Type, Float64Type, Int8Type, Int16Type,
    Int32Type, Int64Type, IntervalMonthDayNanoType, IntervalUnit, Time64MicrosecondType,
    Time64NanosecondType, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type, i256,
};

const DAY: i128 = 86_400_000_000_000;

/// A value without its type's width.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    /// An integer or a decimal: the number over ten to the scale.
    Exact(i256, i8),
    Float32(f32),
    Float64(f64),
    Text(String),
    /// Nanoseconds since midnight.
    Time(i128),
    /// Nanoseconds since 1970, of dates too.
    Instant(i128),
    /// Nanoseconds, where a month is not a length.
    Span(i32, i128),
    List(Vec<Value>),
    /// Fields in their order, by name.
    Struct(Vec<(String, Value)>),
    Other(String),
}

/// The result of an expression for one row.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Answer {
    Value(Value),
    /// The row has no answer.
    Error(String),
    /// The expression is refused as a whole.
    Refused(String),
    /// A defect, whatever the other side answers.
    Panic,
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value(Value::Exact(number, 0)) => write!(f, "{number}"),
            Self::Value(Value::Exact(..)) => write!(f, "{}", self.value().unwrap().digits()),
            Self::Value(value) => write!(f, "{value:?}"),
            Self::Panic => write!(f, "a panic"),
            Self::Error(error) | Self::Refused(error) => {
                write!(f, "error: {}", error.lines().next().unwrap_or_default())
            }
        }
    }
}

impl Answer {
    pub(crate) fn value(&self) -> Option<&Value> {
        if let Self::Value(value) = self { Some(value) } else { None }
    }

    pub(crate) fn text(&self) -> Option<&str> {
        if let Self::Value(Value::Text(text)) = self { Some(text) } else { None }
    }

    pub(crate) fn is_float(&self) -> bool {
        matches!(self, Self::Value(Value::Float32(_) | Value::Float64(_)))
    }

    /// Zero of any type and sign.
    pub(crate) fn is_zero(&self) -> bool {
        self.value().and_then(Value::number).is_some_and(|number| number == 0.0)
    }

    pub(crate) fn is_error(&self) -> bool {
        !matches!(self, Self::Value(_))
    }

    /// Equality to the last digit: what is computed from the two may not differ for their sake.
    pub(crate) fn identical(&self, other: &Self) -> bool {
        // A double that is read as a decimal keeps 15 digits.
        let digits = |float: f64, scale: i8| float.abs() * 10f64.powi(scale.into());
        let inexact = |a: &Value, b: &Value| match (a, b) {
            (Value::Exact(_, scale), Value::Float64(float)) => {
                float.is_sign_negative() && *float == 0.0
                    || float.fract() != 0.0
                    || digits(*float, *scale) >= 1e15
            }
            (Value::Exact(..), Value::Float32(_)) | (Value::Float32(_), Value::Float64(_)) => true,
            _ => false,
        };
        let mixed = self.value().zip(other.value()).is_some_and(|(a, b)| inexact(a, b) || inexact(b, a));
        !mixed && self.agrees(other)
    }

    /// Equality of values; all errors are equal.
    pub(crate) fn agrees(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Value(one), Self::Value(other)) => one.equals(other),
            (Self::Panic, _) | (_, Self::Panic) => false,
            (one, other) => one.is_error() && other.is_error(),
        }
    }
}

impl Value {
    pub(crate) fn whole(number: i128) -> Self {
        Self::Exact(i256::from_i128(number), 0)
    }

    pub(crate) fn equals(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Exact(a, s), Self::Exact(b, t)) => strip(*a, *s) == strip(*b, *t),
            (Self::Float64(a), Self::Float64(b)) => same(*a, *b),
            (Self::Float32(a), Self::Float32(b)) => same(f64::from(*a), f64::from(*b)),
            (Self::Float32(a), Self::Float64(b)) | (Self::Float64(b), Self::Float32(a)) => {
                same(f64::from(*a), f64::from(narrow(*b)))
            }
            (exact @ Self::Exact(..), Self::Float64(b)) | (Self::Float64(b), exact @ Self::Exact(..)) => {
                exact.digits().parse::<f64>().is_ok_and(|a| same(a, *b) || a == *b)
            }
            (exact @ Self::Exact(..), Self::Float32(b)) | (Self::Float32(b), exact @ Self::Exact(..)) => {
                exact.digits().parse::<f32>().is_ok_and(|a| a == *b)
            }
            (Self::List(a), Self::List(b)) => {
                a.len() == b.len() && a.iter().zip(b).all(|(one, other)| one.equals(other))
            }
            (Self::Struct(a), Self::Struct(b)) => {
                let same = |((name, one), (known, other)): (&(String, Self), &(String, Self))| {
                    name == known && one.equals(other)
                };
                a.len() == b.len() && a.iter().zip(b).all(same)
            }
            _ => self == other,
        }
    }

    /// A number, for differences that allow for rounding.
    pub(crate) fn number(&self) -> Option<f64> {
        match self {
            Self::Exact(..) => self.digits().parse().ok(),
            Self::Float32(value) => Some(f64::from(*value)),
            Self::Float64(value) => Some(*value),
            _ => None,
        }
    }

    pub(crate) fn digits(&self) -> String {
        match self {
            Self::Exact(number, scale) => format!("{number}e{}", -i32::from(*scale)),
            other => format!("{other:?}"),
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the nearest float32 is meant")]
fn narrow(value: f64) -> f32 {
    value as f32
}

/// Equal to the bit; one NaN.
fn same(one: f64, other: f64) -> bool {
    one.to_bits() == other.to_bits() || (one.is_nan() && other.is_nan())
}

/// Without zeros behind the point.
fn strip(mut number: i256, mut scale: i8) -> (i256, i8) {
    let ten = i256::from_i128(10);
    if number == i256::ZERO {
        return (number, 0);
    }
    while number % ten == i256::ZERO && scale > -100 {
        number /= ten;
        scale -= 1;
    }
    (number, scale)
}

/// The value at a row.
pub(crate) fn value(array: &dyn Array, row: usize) -> Value {
    use DataType as D;
    if array.is_null(row) || array.data_type() == &D::Null {
        return Value::Null;
    }
    macro_rules! at {
        ($type:ty) => {
            array.as_primitive::<$type>().value(row)
        };
    }
    let integer = Value::whole;
    let times = |value: i64, unit: i128| i128::from(value) * unit;
    match array.data_type() {
        D::Boolean => Value::Bool(array.as_boolean().value(row)),
        D::Int8 => integer(at!(Int8Type).into()),
        D::Int16 => integer(at!(Int16Type).into()),
        D::Int32 => integer(at!(Int32Type).into()),
        D::Int64 => integer(at!(Int64Type).into()),
        D::UInt8 => integer(at!(UInt8Type).into()),
        D::UInt16 => integer(at!(UInt16Type).into()),
        D::UInt32 => integer(at!(UInt32Type).into()),
        D::UInt64 => integer(at!(UInt64Type).into()),
        D::Float16 => Value::Float32(at!(Float16Type).to_f32()),
        D::Float32 => Value::Float32(at!(Float32Type)),
        D::Float64 => Value::Float64(at!(Float64Type)),
        D::Decimal128(_, scale) => Value::Exact(i256::from_i128(at!(Decimal128Type)), *scale),
        D::Decimal256(_, scale) => Value::Exact(at!(Decimal256Type), *scale),
        D::Utf8 => Value::Text(array.as_string::<i32>().value(row).to_owned()),
        D::LargeUtf8 => Value::Text(array.as_string::<i64>().value(row).to_owned()),
        D::Utf8View => Value::Text(array.as_string_view().value(row).to_owned()),
        D::Date32 => Value::Instant(i128::from(at!(Date32Type)) * DAY),
        D::Time64(TimeUnit::Microsecond) => Value::Time(times(at!(Time64MicrosecondType), 1_000)),
        D::Time64(_) => Value::Time(times(at!(Time64NanosecondType), 1)),
        D::Timestamp(unit, _) => Value::Instant(match unit {
            TimeUnit::Second => times(at!(TimestampSecondType), 1_000_000_000),
            TimeUnit::Millisecond => times(at!(TimestampMillisecondType), 1_000_000),
            TimeUnit::Microsecond => times(at!(TimestampMicrosecondType), 1_000),
            TimeUnit::Nanosecond => times(at!(TimestampNanosecondType), 1),
        }),
        D::Duration(unit) => Value::Span(
            0,
            match unit {
                TimeUnit::Second => times(at!(DurationSecondType), 1_000_000_000),
                TimeUnit::Millisecond => times(at!(DurationMillisecondType), 1_000_000),
                TimeUnit::Microsecond => times(at!(DurationMicrosecondType), 1_000),
                TimeUnit::Nanosecond => times(at!(DurationNanosecondType), 1),
            },
        ),
        D::Interval(IntervalUnit::MonthDayNano) => {
            let interval = at!(IntervalMonthDayNanoType);
            let nanoseconds = i128::from(interval.days) * DAY + i128::from(interval.nanoseconds);
            Value::Span(interval.months, nanoseconds)
        }
        D::List(_) => {
            let elements = array.as_list::<i32>().value(row);
            Value::List((0..elements.len()).map(|at| value(&elements, at)).collect())
        }
        D::Struct(fields) => {
            let fields = fields.iter().zip(array.as_struct().columns());
            Value::Struct(fields.map(|(field, column)| (field.name().clone(), value(column, row))).collect())
        }
        other => Value::Other(format!("{other}: {:?}", array.slice(row, 1))),
    }
}
