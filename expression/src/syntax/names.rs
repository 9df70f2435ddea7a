//! Names of types and of parts of dates, one canonical name for each.

use sqlparser::ast::{CharacterLength, DataType as AstType, ExactNumberInfo, TimezoneInfo};

use super::tree::SqlType;
use crate::error::ExpressionError;

/// The canonical name of a part of a date or time.
pub(crate) fn part(name: &str) -> Result<&'static str, ExpressionError> {
    Ok(match name {
        "millennium" | "millennia" => "millennium",
        "century" | "centuries" | "c" => "century",
        "decade" | "decades" => "decade",
        "isoyear" => "isoyear",
        "year" | "years" | "y" => "year",
        "quarter" | "quarters" => "quarter",
        "month" | "months" | "mon" | "mons" => "month",
        "dayofyear" | "doy" => "dayofyear",
        "dayofweek" | "dow" => "dayofweek",
        "isoweek" | "week" | "weeks" => "isoweek",
        "isodow" => "isodow",
        "day" | "days" | "dayofmonth" | "d" => "day",
        "hour" | "hours" | "h" => "hour",
        "minute" | "minutes" | "mins" | "min" | "m" => "minute",
        "second" | "seconds" | "sec" | "secs" | "s" => "second",
        "millisecond" | "milliseconds" | "ms" => "millisecond",
        "microsecond" | "microseconds" | "us" => "microsecond",
        "nanosecond" | "nanoseconds" | "ns" => "nanosecond",
        "time" => "time",
        "epoch" => "epoch",
        _ => {
            return Err(ExpressionError::not_allowed(
                format!("the part {name}"),
                "is not on the list; use year, quarter, month, isoweek, day, hour, minute, second or epoch",
            ));
        }
    })
}

/// The type of a cast, by one name per type.
pub(crate) fn sql_type(data_type: &AstType) -> Result<SqlType, ExpressionError> {
    use AstType as T;
    Ok(SqlType::Plain(match data_type {
        T::Boolean | T::Bool => "BOOLEAN",
        T::TinyInt(None) => "TINYINT",
        T::Int16 | T::Int2(None) | T::SmallInt(None) => "SMALLINT",
        T::Int32 | T::Int4(None) | T::MediumInt(None) | T::Integer(None) | T::Int(None) => "INTEGER",
        T::Int64 | T::Int8(None) | T::BigInt(None) => "BIGINT",
        T::UTinyInt | T::TinyIntUnsigned(None) => "UTINYINT",
        T::USmallInt | T::UInt16 | T::SmallIntUnsigned(None) | T::Int2Unsigned(None) => "USMALLINT",
        T::UInt32 | T::UnsignedInteger | T::IntUnsigned(None) | T::Int4Unsigned(None) => "INT4 UNSIGNED",
        T::UBigInt | T::UInt64 | T::BigIntUnsigned(None) | T::Int8Unsigned(None) | T::UInt8 => "UBIGINT",
        T::Float4 | T::Real => "REAL",
        T::Double(ExactNumberInfo::None)
        | T::DoublePrecision
        | T::Float8
        | T::Float(ExactNumberInfo::None) => "DOUBLE PRECISION",
        T::Date => "DATE",
        T::Varchar(None)
        | T::Nvarchar(None)
        | T::Text
        | T::String(None)
        | T::Char(None)
        | T::CharVarying(None)
        | T::CharacterVarying(None) => "VARCHAR",
        T::Bytea | T::Binary(None) | T::Varbinary(None) | T::Blob(None) => "BYTEA",
        T::Decimal(info) | T::Numeric(info) | T::Dec(info) => return decimal(data_type, *info),
        T::Time(None, TimezoneInfo::None | TimezoneInfo::WithoutTimeZone) => "TIME",
        T::Varchar(Some(CharacterLength::IntegerLength { length, .. }))
        | T::CharVarying(Some(CharacterLength::IntegerLength { length, .. }))
        | T::CharacterVarying(Some(CharacterLength::IntegerLength { length, .. })) => {
            return Ok(SqlType::Varchar(*length));
        }
        T::Timestamp(precision, TimezoneInfo::None | TimezoneInfo::WithoutTimeZone)
        | T::Datetime(precision) => {
            return fraction(data_type, *precision).map(SqlType::Timestamp);
        }
        T::Timestamp(precision, TimezoneInfo::Tz | TimezoneInfo::WithTimeZone) => {
            return fraction(data_type, *precision).map(SqlType::TimestampUtc);
        }
        _ => return Err(not_a_target(data_type)),
    }))
}

/// Digits of the fraction of a second.
fn fraction(data_type: &AstType, precision: Option<u64>) -> Result<u64, ExpressionError> {
    match precision.unwrap_or(6) {
        precision @ (0 | 3 | 6 | 9) => Ok(precision),
        _ => Err(not_a_target(data_type)),
    }
}

fn decimal(data_type: &AstType, info: ExactNumberInfo) -> Result<SqlType, ExpressionError> {
    let (precision, scale) = match info {
        ExactNumberInfo::PrecisionAndScale(precision, scale) => (precision, u64::try_from(scale).ok()),
        ExactNumberInfo::Precision(precision) => (precision, Some(0)),
        ExactNumberInfo::None => (38, Some(9)),
    };
    match scale {
        Some(scale) if (1..=38).contains(&precision) && scale <= precision => {
            Ok(SqlType::Decimal(precision, scale))
        }
        _ => Err(not_a_target(data_type)),
    }
}

fn not_a_target(data_type: &AstType) -> ExpressionError {
    ExpressionError::not_allowed(
        format!("a cast to {data_type}"),
        "is not on the list; use BOOLEAN, SMALLINT, INTEGER, BIGINT, REAL, DOUBLE, DECIMAL(p, s), DATE, \
         TIME, \
         TIMESTAMP(0, 3, 6 or 9), TIMESTAMP WITH TIME ZONE, VARCHAR or BYTEA",
    )
}
