//! Builders of columns that have one value for each row.

use std::sync::Arc;

use arrow::array::{
    Array as _, ArrayRef, ArrowPrimitiveType, BinaryViewBuilder, BooleanBuilder, PrimitiveBuilder,
    StringViewBuilder, make_array,
};
use arrow::datatypes::DataType;

use super::super::document::{Json, View};
use super::super::text::{self, Float as _};
use super::{ColumnBuilder, ReadOptions, TypeMismatch, misfit};

/// Values that a builder has room for at first; a source may have many columns and few rows.
const CAPACITY: usize = 64;

/// Way in which JSON strings are read into a column of numbers or times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum JsonStrings {
    Refused,
    /// As the text of a CSV field.
    Read,
    /// As `NaN` and infinities only.
    Special,
}

/// Reads a value from text, or from the text of a JSON number.
pub(super) trait Read<T>: Fn(&str) -> Option<T> + Send + 'static {}

impl<T, F: Fn(&str) -> Option<T> + Send + 'static> Read<T> for F {}

pub(super) fn primitive<T: ArrowPrimitiveType>(
    data_type: &DataType,
    of_text: impl Read<T::Native>,
    of_number: impl Read<T::Native>,
    strings: JsonStrings,
) -> Box<dyn ColumnBuilder> {
    let values = PrimitiveBuilder::<T>::with_capacity(CAPACITY);
    Box::new(Primitives { values, of_text, of_number, strings, data_type: data_type.clone() })
}

pub(super) fn integers<T: ArrowPrimitiveType>(
    data_type: &DataType,
    reading: ReadOptions,
) -> Box<dyn ColumnBuilder>
where
    T::Native: std::str::FromStr,
{
    let read = if reading.declared { text::integer } else { text::plain_integer };
    let strings = if reading.declared && !reading.answer { JsonStrings::Read } else { JsonStrings::Refused };
    primitive::<T>(data_type, read, read, strings)
}

pub(super) fn floats<T: ArrowPrimitiveType>(
    data_type: &DataType,
    reading: ReadOptions,
) -> Box<dyn ColumnBuilder>
where
    T::Native: text::Float,
{
    // An inferred type does not change the integers of its column; a declared one was chosen.
    let inferred = |t: &str| text::float_of(t).filter(|f: &T::Native| !text::is_whole(t) || f.is_exactly(t));
    let strings = match reading {
        ReadOptions { answer: true, .. } => JsonStrings::Special,
        ReadOptions { declared: true, .. } => JsonStrings::Read,
        ReadOptions { .. } => JsonStrings::Refused,
    };
    if reading.declared {
        primitive::<T>(data_type, text::float_of, text::float_of, strings)
    } else {
        primitive::<T>(data_type, inferred, inferred, strings)
    }
}

/// Dates, times and durations, which are counted in integers of one width whatever their unit.
pub(super) fn counts<T: ArrowPrimitiveType>(
    data_type: &DataType,
    of_text: impl Read<T::Native>,
) -> Box<dyn ColumnBuilder> {
    primitive::<T>(data_type, of_text, no_number, JsonStrings::Read)
}

/// Times are strings in JSON.
fn no_number<T>(_: &str) -> Option<T> {
    None
}

struct Primitives<T: ArrowPrimitiveType, P, N> {
    values: PrimitiveBuilder<T>,
    of_text: P,
    of_number: N,
    strings: JsonStrings,
    data_type: DataType,
}

impl<T, P, N> ColumnBuilder for Primitives<T, P, N>
where
    T: ArrowPrimitiveType,
    P: Read<T::Native>,
    N: Read<T::Native>,
{
    fn text(&mut self, text: &str) -> bool {
        let value = (self.of_text)(text);
        if let Some(value) = value {
            self.values.append_value(value);
        }
        value.is_some()
    }

    fn json(&mut self, value: Json<'_>) -> Result<(), TypeMismatch> {
        let read = match value.view() {
            View::Null => {
                self.values.append_null();
                return Ok(());
            }
            View::Integer(text) | View::Number(text) | View::NonFinite(text) => (self.of_number)(text),
            View::String(text) => match self.strings {
                JsonStrings::Refused => None,
                JsonStrings::Special if text::special_float::<f64>(&text).is_none() => None,
                JsonStrings::Special | JsonStrings::Read => (self.of_text)(&text),
            },
            _ => None,
        };
        self.values.append_value(read.ok_or_else(|| misfit(value, &self.data_type))?);
        Ok(())
    }

    fn null(&mut self) {
        self.values.append_null();
    }

    fn finish(&mut self) -> ArrayRef {
        let values =
            self.values.finish().into_data().into_builder().data_type(self.data_type.clone()).build();
        make_array(values.unwrap_or_else(|_| panic!("values of a column have the width of its type")))
    }
}

pub(super) struct Bools(BooleanBuilder);

impl Bools {
    pub(super) fn new() -> Self {
        Self(BooleanBuilder::with_capacity(CAPACITY))
    }
}

impl ColumnBuilder for Bools {
    fn text(&mut self, text: &str) -> bool {
        let value = text::bool_of(text);
        if let Some(value) = value {
            self.0.append_value(value);
        }
        value.is_some()
    }

    fn json(&mut self, value: Json<'_>) -> Result<(), TypeMismatch> {
        match value.view() {
            View::Null => self.0.append_null(),
            View::Bool(value) => self.0.append_value(value),
            _ => return Err(misfit(value, &DataType::Boolean)),
        }
        Ok(())
    }

    fn null(&mut self) {
        self.0.append_null();
    }

    fn finish(&mut self) -> ArrayRef {
        Arc::new(self.0.finish())
    }
}

/// Bytes that a string or binary column of one chunk may have: views count them in 32 bits.
const VALUE_BYTES: usize = u32::MAX as usize / 2;

pub(super) struct Strings {
    values: StringViewBuilder,
    any_json: bool,
}

impl Strings {
    pub(super) fn new(any_json: bool) -> Self {
        Self { values: StringViewBuilder::with_capacity(CAPACITY), any_json }
    }
}

impl ColumnBuilder for Strings {
    fn text(&mut self, text: &str) -> bool {
        text.len() <= VALUE_BYTES && self.values.try_append_value(text).is_ok()
    }

    fn json(&mut self, value: Json<'_>) -> Result<(), TypeMismatch> {
        let fits = match value.view() {
            View::Null => {
                self.values.append_null();
                true
            }
            View::String(text) => self.text(&text),
            _ => self.any_json && self.text(value.raw()),
        };
        if fits { Ok(()) } else { Err(misfit(value, &DataType::Utf8View)) }
    }

    fn null(&mut self) {
        self.values.append_null();
    }

    fn finish(&mut self) -> ArrayRef {
        Arc::new(self.values.finish())
    }
}

pub(super) struct Binaries(BinaryViewBuilder);

impl Binaries {
    pub(super) fn new() -> Self {
        Self(BinaryViewBuilder::with_capacity(CAPACITY))
    }
}

impl ColumnBuilder for Binaries {
    fn text(&mut self, text: &str) -> bool {
        text::bytes_of(text)
            .is_some_and(|bytes| bytes.len() <= VALUE_BYTES && self.0.try_append_value(bytes).is_ok())
    }

    fn json(&mut self, value: Json<'_>) -> Result<(), TypeMismatch> {
        match value.view() {
            View::Null => self.0.append_null(),
            View::String(text) if self.text(&text) => {}
            _ => return Err(misfit(value, &DataType::BinaryView)),
        }
        Ok(())
    }

    fn null(&mut self) {
        self.0.append_null();
    }

    fn finish(&mut self) -> ArrayRef {
        Arc::new(self.0.finish())
    }
}
