//! Names of types and of parts of dates, one canonical name for each.

use sqlparser::ast::{DataType as AstType, ExactNumberInfo, TimezoneInfo};

use super::error::ExpressionError;
use super::tree::SqlType;

/// The canonical name of a part of a date or time.
pub(super) fn part(name: &str) -> Result<&'static str, ExpressionError> {
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
pub(super) fn sql_type(data_type: &AstType) -> Result<SqlType, ExpressionError> {
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
        T::Varchar(None) | T::Text | T::String(None) | T::Char(None) | T::CharVarying(None) => "VARCHAR",
        T::Bytea | T::Binary(None) | T::Varbinary(None) | T::Blob(None) => "BYTEA",
        T::Decimal(info) | T::Numeric(info) | T::Dec(info) => return decimal(data_type, *info),
        T::Timestamp(precision, TimezoneInfo::None) | T::Datetime(precision) => {
            return match precision.unwrap_or(6) {
                precision @ (3 | 6 | 9) => Ok(SqlType::Timestamp(precision)),
                _ => Err(not_a_target(data_type)),
            };
        }
        _ => return Err(not_a_target(data_type)),
    }))
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
         TIMESTAMP(3, 6 or 9), VARCHAR or BYTEA",
    )
}
