//! Columns of dates and times in a format of the file's own.

use std::sync::Arc;

use anabranch_engine::types::logical_type;
use arrow::datatypes::{self as types, DataType, TimeUnit};

use super::super::error::SourceError;
use super::super::text::{TimeFormat, per_second};
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
    let per_second = match data_type {
        DataType::Date32 => {
            let days = move |text: &str| i32::try_from(format.read(text)?.count(1)? / DAY).ok();
            return Some(primitive::<types::Int32Type>(data_type, days.clone(), days, JsonStrings::Read));
        }
        DataType::Time64(unit @ TimeUnit::Nanosecond) | DataType::Timestamp(unit, _) => per_second(*unit),
        _ => return None,
    };
    let count = move |text: &str| format.read(text)?.count(per_second);
    Some(primitive::<types::Int64Type>(data_type, count.clone(), count, JsonStrings::Read))
}

/// The type of a column that has a format: the one declared, if it is of the same kind.
pub(in super::super) fn formatted_type(
    column: &str,
    format: &TimeFormat,
    declared: Option<&DataType>,
) -> Result<DataType, SourceError> {
    let said = format.data_type().map_err(|why| {
        SourceError::option("formats", why, "a format such as %d.%m.%Y", "correct the format")
    })?;
    let zoned = |t: &DataType| matches!(t, DataType::Timestamp(_, Some(_)));
    match declared {
        None => Ok(said),
        Some(declared)
            if std::mem::discriminant(declared) == std::mem::discriminant(&said)
                && zoned(declared) == zoned(&said) =>
        {
            Ok(declared.clone())
        }
        Some(declared) => Err(SourceError::option(
            "formats",
            format!("a format of a {} for column \"{column}\"", logical_type(&said)),
            format!("one of a {}, as `types` says", logical_type(declared)),
            "leave the column out of `types`, or correct the format",
        )),
    }
}
