//! Columns of dates and times in a format of the file's own.

use std::sync::Arc;

use anabranch_engine::types::logical_type;
use arrow::datatypes::{self as types, DataType, TimeUnit};

use super::super::error::SourceError;
use super::super::text::TimeFormat;
use super::ColumnBuilder;
use super::scalars::{JsonStrings, primitive};

/// A builder for dates and times in a format of the file's own; none for another type.
pub(in super::super) fn formatted_builder(
    data_type: &DataType,
    format: &TimeFormat,
) -> Option<Box<dyn ColumnBuilder>> {
    /// Seconds of a day.
    const DAY: i64 = 86_400;
    let format = Arc::new(format.clone());
    macro_rules! builder {
        ($type:ty, $count:expr) => {{
            let (a, b) = (Arc::clone(&format), format);
            let of_text = move |text: &str| a.read(text).and_then($count);
            let of_number = move |text: &str| b.read(text).and_then($count);
            primitive::<$type>(data_type, of_text, of_number, JsonStrings::Read)
        }};
    }
    Some(match data_type {
        DataType::Date32 => builder!(types::Date32Type, |m| i32::try_from(m.count(1)? / DAY).ok()),
        DataType::Time64(TimeUnit::Nanosecond) => {
            builder!(types::Time64NanosecondType, |m| m.count(1_000_000_000))
        }
        DataType::Timestamp(TimeUnit::Second, _) => builder!(types::TimestampSecondType, |m| m.count(1)),
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            builder!(types::TimestampMillisecondType, |m| m.count(1_000))
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            builder!(types::TimestampMicrosecondType, |m| m.count(1_000_000))
        }
        DataType::Timestamp(TimeUnit::Nanosecond, _) => {
            builder!(types::TimestampNanosecondType, |m| m.count(1_000_000_000))
        }
        _ => return None,
    })
}

/// The type of a column that has a format: the one declared, if it is of the same kind.
pub(in super::super) fn formatted_type(
    column: &str,
    format: &TimeFormat,
    declared: Option<&DataType>,
) -> Result<DataType, SourceError> {
    let option = |found: String, expected: String, remedy: &str| {
        Err(SourceError::Option { option: "formats", found, expected, remedy: remedy.to_owned() })
    };
    let said = match format.data_type() {
        Ok(said) => said,
        Err(why) => return option(why, "a format such as %d.%m.%Y".into(), "correct the format"),
    };
    let zoned = |t: &DataType| matches!(t, DataType::Timestamp(_, Some(_)));
    match declared {
        None => Ok(said),
        Some(declared)
            if std::mem::discriminant(declared) == std::mem::discriminant(&said)
                && zoned(declared) == zoned(&said) =>
        {
            Ok(declared.clone())
        }
        Some(declared) => option(
            format!("a format of a {} for column \"{column}\"", logical_type(&said)),
            format!("one of a {}, as `types` says", logical_type(declared)),
            "leave the column out of `types`, or correct the format",
        ),
    }
}
