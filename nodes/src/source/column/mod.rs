//! Builds columns from strings and from JSON values.

mod formats;
mod nested;
mod reading;
mod scalars;

pub(super) use formats::{formatted_builder, formatted_type};
pub(super) use nested::{KeyedColumns, REPEATED_KEY};
pub(super) use reading::ColumnReading;

use anabranch_engine::types::logical_type;
use arrow::array::ArrayRef;
use arrow::datatypes::{self as types, DataType, TimeUnit, i256};

use super::document::{Json, View};
use super::text;
use nested::{Lists, Structs};
use scalars::{Binaries, Bools, JsonStrings, Strings, counts, floats, integers, primitive};

/// Why a JSON value does not go into a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TypeMismatch {
    /// Keys that lead from the column to the value, the nearest last.
    pub(crate) path: Vec<String>,
    /// Description of what was found, without the value.
    pub(crate) found: &'static str,
    /// The type there; none for a key that the type does not have.
    pub(crate) expected: Option<String>,
}

impl TypeMismatch {
    fn within(mut self, key: &str) -> Self {
        self.path.insert(0, key.to_owned());
        self
    }
}

/// A column being built, in canonical form.
pub(crate) trait ColumnBuilder: Send {
    /// Appends the value that a text stands for; false, and nothing appended, if it is not of
    /// the column's type.
    fn text(&mut self, text: &str) -> bool;

    /// Appends a JSON value; null is null.
    fn json(&mut self, value: Json<'_>) -> Result<(), TypeMismatch>;

    /// Appends a null.
    fn null(&mut self);

    /// The column; the builder is empty again.
    fn finish(&mut self) -> ArrayRef;
}

/// A builder for a canonical type that was declared; none for one that neither text nor JSON can say
/// (a map, say).
///
/// `any_json`: a string column takes JSON values that are no strings as their text.
pub(super) fn column_builder(data_type: &DataType, any_json: bool) -> Option<Box<dyn ColumnBuilder>> {
    builder(data_type, ReadOptions { declared: true, any_json, answer: false })
}

/// A builder for a type that was inferred: only what would be inferred so goes into it.
pub(super) fn inferred_builder(data_type: &DataType, any_json: bool) -> Option<Box<dyn ColumnBuilder>> {
    builder(data_type, ReadOptions { declared: false, any_json, answer: false })
}

/// A builder for what stands in a text.
pub(crate) fn string_builder(data_type: &DataType) -> Option<Box<dyn ColumnBuilder>> {
    column_builder(data_type, false)
}

/// A builder for what code answers in JSON: strings are strings at any depth, and `"NaN"`, `"inf"` and
/// `"-inf"` are floats, since JSON has no numbers for them.
pub(crate) fn answer_builder(data_type: &DataType) -> Option<Box<dyn ColumnBuilder>> {
    builder(data_type, ReadOptions { declared: true, any_json: false, answer: true })
}

/// Options of reading values into a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct ReadOptions {
    /// The author chose the type: numbers may stand in JSON strings, and floats are the nearest
    /// ones of any integer.
    declared: bool,
    /// Strings take any JSON value as its text.
    any_json: bool,
    /// The value is the answer of code.
    answer: bool,
}

impl ReadOptions {
    /// For the items and fields of a column: strings among them take any value, but not in an answer.
    fn within(self) -> Self {
        Self { any_json: !self.answer, ..self }
    }
}

fn builder(data_type: &DataType, reading: ReadOptions) -> Option<Box<dyn ColumnBuilder>> {
    use DataType as D;
    Some(match data_type {
        D::Boolean => Box::new(Bools::new()),
        D::Int8 => integers::<types::Int8Type>(data_type, reading),
        D::Int16 => integers::<types::Int16Type>(data_type, reading),
        D::Int32 => integers::<types::Int32Type>(data_type, reading),
        D::Int64 => integers::<types::Int64Type>(data_type, reading),
        D::UInt8 => integers::<types::UInt8Type>(data_type, reading),
        D::UInt16 => integers::<types::UInt16Type>(data_type, reading),
        D::UInt32 => integers::<types::UInt32Type>(data_type, reading),
        D::UInt64 => integers::<types::UInt64Type>(data_type, reading),
        D::Float32 => floats::<types::Float32Type>(data_type, reading),
        D::Float64 => floats::<types::Float64Type>(data_type, reading),
        D::Utf8View => Box::new(Strings::new(reading.any_json)),
        D::BinaryView => Box::new(Binaries::new()),
        D::Date32 => counts::<types::Int32Type>(data_type, text::date),
        D::Time64(TimeUnit::Nanosecond) => counts::<types::Int64Type>(data_type, text::time),
        D::Timestamp(unit, zone) => {
            let (per_second, zoned) = (text::per_second(*unit), zone.is_some());
            let read = move |t: &str| text::timestamp(t).filter(|m| m.zoned == zoned)?.count(per_second);
            counts::<types::Int64Type>(data_type, read)
        }
        D::Duration(unit) => {
            let per_second = text::per_second(*unit);
            let read = move |t: &str| text::duration(t).and_then(|(s, n)| text::count(s, n, per_second));
            counts::<types::Int64Type>(data_type, read)
        }
        D::Decimal128(precision, scale) => {
            let (precision, scale) = (*precision, *scale);
            let read = move |t: &str| text::decimal(t, precision, scale)?.parse().ok();
            primitive::<types::Decimal128Type>(data_type, read, read, JsonStrings::Read)
        }
        D::Decimal256(precision, scale) => {
            let (precision, scale) = (*precision, *scale);
            let read = move |t: &str| i256::from_string(&text::decimal(t, precision, scale)?);
            primitive::<types::Decimal256Type>(data_type, read, read, JsonStrings::Read)
        }
        D::List(item) => Box::new(Lists::new(item, reading)?),
        D::Struct(fields) => Box::new(Structs::new(fields, reading)?),
        _ => return None,
    })
}

fn misfit(value: Json<'_>, expected: &DataType) -> TypeMismatch {
    let found = match value.view() {
        View::Null => "null",
        View::Bool(_) => "true or false",
        View::Integer(_) if expected.is_numeric() => "an integer that it cannot hold",
        View::Integer(_) => "an integer",
        View::Number(_) if *expected == DataType::Float64 => "a value out of range",
        View::Number(_) => "a number with a fraction or exponent",
        View::NonFinite(_) => "NaN or an infinity",
        View::String(_) if *expected == DataType::Utf8View => "a value out of range",
        View::String(_) => "a string that does not read as that type",
        View::Array(_) => "a list",
        View::Object(_) => "an object",
    };
    TypeMismatch { path: Vec::new(), found, expected: Some(logical_type(expected)) }
}
