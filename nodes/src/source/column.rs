//! Builds columns from strings and from JSON values.

use std::sync::Arc;

use anabranch_engine::types::logical_type;
use arrow::array::{
    ArrayRef, ArrowPrimitiveType, BinaryViewBuilder, BooleanBuilder, ListArray, NullBufferBuilder,
    PrimitiveBuilder, StringViewBuilder, StructArray,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{self as types, DataType, FieldRef, Fields, TimeUnit, i256};
use hashbrown::HashMap;

use super::error::SourceError;
use super::json::{Entries, Json, View};
use super::text::{self, Float as _, TimeFormat};

/// Why a JSON value does not go into a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Misfit {
    /// Keys that lead from the column to the value, the nearest last.
    pub(crate) path: Vec<String>,
    /// What was found, without the value.
    pub(crate) found: &'static str,
    /// The type there; none for a key that the type does not have.
    pub(crate) expected: Option<String>,
}

impl Misfit {
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
    fn json(&mut self, value: Json<'_>) -> Result<(), Misfit>;

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
    builder(data_type, Reading { declared: true, any_json, answer: false })
}

/// A builder for a type that was inferred: only what would be inferred so goes into it.
pub(super) fn inferred_builder(data_type: &DataType, any_json: bool) -> Option<Box<dyn ColumnBuilder>> {
    builder(data_type, Reading { declared: false, any_json, answer: false })
}

/// A builder for what stands in a text.
pub(crate) fn text_builder(data_type: &DataType) -> Option<Box<dyn ColumnBuilder>> {
    column_builder(data_type, false)
}

/// A builder for what code answers in JSON: strings are strings at any depth, and `"NaN"`, `"inf"` and
/// `"-inf"` are floats, since JSON has no numbers for them.
pub(crate) fn answer_builder(data_type: &DataType) -> Option<Box<dyn ColumnBuilder>> {
    builder(data_type, Reading { declared: true, any_json: false, answer: true })
}

/// How values are read into a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Reading {
    /// The author chose the type: numbers may stand in JSON strings, and floats are the nearest
    /// ones of any integer.
    declared: bool,
    /// Strings take any JSON value as its text.
    any_json: bool,
    /// The value is the answer of code.
    answer: bool,
}

impl Reading {
    /// For the items and fields of a column: strings among them take any value, but not in an answer.
    fn within(self) -> Self {
        Self { any_json: !self.answer, ..self }
    }
}

fn builder(data_type: &DataType, reading: Reading) -> Option<Box<dyn ColumnBuilder>> {
    use DataType as D;
    Some(match data_type {
        D::Boolean => Box::new(Bools(BooleanBuilder::with_capacity(CAPACITY))),
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
        D::Utf8View => Box::new(Strings {
            values: StringViewBuilder::with_capacity(CAPACITY),
            any_json: reading.any_json,
        }),
        D::BinaryView => Box::new(Binaries(BinaryViewBuilder::with_capacity(CAPACITY))),
        D::Date32 => primitive::<types::Date32Type>(data_type, text::date, no_number, JsonStrings::Read),
        D::Time64(TimeUnit::Nanosecond) => {
            primitive::<types::Time64NanosecondType>(data_type, text::time, no_number, JsonStrings::Read)
        }
        D::Timestamp(..) | D::Duration(_) => times(data_type)?,
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

/// Reads a value from text, or from the text of a JSON number.
trait Read<T>: Fn(&str) -> Option<T> + Send + 'static {}

impl<T, F: Fn(&str) -> Option<T> + Send + 'static> Read<T> for F {}

fn primitive<T: ArrowPrimitiveType>(
    data_type: &DataType,
    of_text: impl Read<T::Native>,
    of_number: impl Read<T::Native>,
    strings: JsonStrings,
) -> Box<dyn ColumnBuilder> {
    let values = PrimitiveBuilder::<T>::with_capacity(CAPACITY).with_data_type(data_type.clone());
    Box::new(Primitives { values, of_text, of_number, strings, data_type: data_type.clone() })
}

/// A builder for dates and times in a format of the file's own; none for another type.
pub(super) fn formatted_builder(data_type: &DataType, format: &TimeFormat) -> Option<Box<dyn ColumnBuilder>> {
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
pub(super) fn formatted_type(
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

fn integers<T: ArrowPrimitiveType>(data_type: &DataType, reading: Reading) -> Box<dyn ColumnBuilder>
where
    T::Native: std::str::FromStr,
{
    let read = if reading.declared { text::integer } else { text::plain_integer };
    let strings = if reading.declared && !reading.answer { JsonStrings::Read } else { JsonStrings::Refused };
    primitive::<T>(data_type, read, read, strings)
}

fn floats<T: ArrowPrimitiveType>(data_type: &DataType, reading: Reading) -> Box<dyn ColumnBuilder>
where
    T::Native: text::Float,
{
    // An inferred type does not change the integers of its column; a declared one was chosen.
    let inferred = |t: &str| text::float_of(t).filter(|f: &T::Native| !text::is_whole(t) || f.is_exactly(t));
    let strings = match reading {
        Reading { answer: true, .. } => JsonStrings::Special,
        Reading { declared: true, .. } => JsonStrings::Read,
        Reading { .. } => JsonStrings::Refused,
    };
    if reading.declared {
        primitive::<T>(data_type, text::float_of, text::float_of, strings)
    } else {
        primitive::<T>(data_type, inferred, inferred, strings)
    }
}

/// Timestamps and durations of any unit.
fn times(data_type: &DataType) -> Option<Box<dyn ColumnBuilder>> {
    let (unit, zoned) = match data_type {
        DataType::Timestamp(unit, zone) => (*unit, Some(zone.is_some())),
        DataType::Duration(unit) => (*unit, None),
        _ => return None,
    };
    macro_rules! of {
        ($timestamp:ty, $duration:ty, $per_second:expr) => {
            match zoned {
                Some(zoned) => primitive::<$timestamp>(
                    data_type,
                    move |t: &str| text::timestamp(t).filter(|m| m.zoned == zoned)?.count($per_second),
                    no_number,
                    JsonStrings::Read,
                ),
                None => primitive::<$duration>(
                    data_type,
                    |t: &str| text::duration(t).and_then(|(s, n)| text::count(s, n, $per_second)),
                    no_number,
                    JsonStrings::Read,
                ),
            }
        };
    }
    Some(match unit {
        TimeUnit::Second => of!(types::TimestampSecondType, types::DurationSecondType, 1),
        TimeUnit::Millisecond => of!(types::TimestampMillisecondType, types::DurationMillisecondType, 1_000),
        TimeUnit::Microsecond => {
            of!(types::TimestampMicrosecondType, types::DurationMicrosecondType, 1_000_000)
        }
        TimeUnit::Nanosecond => {
            of!(types::TimestampNanosecondType, types::DurationNanosecondType, 1_000_000_000)
        }
    })
}

/// Times are strings in JSON.
fn no_number<T>(_: &str) -> Option<T> {
    None
}

fn misfit(value: Json<'_>, expected: &DataType) -> Misfit {
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
    Misfit { path: Vec::new(), found, expected: Some(logical_type(expected)) }
}

/// Values that a builder has room for at first; a source may have many columns and few rows.
const CAPACITY: usize = 64;

/// How the JSON strings of a column of numbers or times are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum JsonStrings {
    Refused,
    /// As the text of a CSV field.
    Read,
    /// As `NaN` and infinities only.
    Special,
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

    fn json(&mut self, value: Json<'_>) -> Result<(), Misfit> {
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
        Arc::new(self.values.finish())
    }
}

struct Bools(BooleanBuilder);

impl ColumnBuilder for Bools {
    fn text(&mut self, text: &str) -> bool {
        let value = text::bool_of(text);
        if let Some(value) = value {
            self.0.append_value(value);
        }
        value.is_some()
    }

    fn json(&mut self, value: Json<'_>) -> Result<(), Misfit> {
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

struct Strings {
    values: StringViewBuilder,
    any_json: bool,
}

impl ColumnBuilder for Strings {
    fn text(&mut self, text: &str) -> bool {
        text.len() <= VALUE_BYTES && self.values.try_append_value(text).is_ok()
    }

    fn json(&mut self, value: Json<'_>) -> Result<(), Misfit> {
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

struct Binaries(BinaryViewBuilder);

impl ColumnBuilder for Binaries {
    fn text(&mut self, text: &str) -> bool {
        text::bytes_of(text)
            .is_some_and(|bytes| bytes.len() <= VALUE_BYTES && self.0.try_append_value(bytes).is_ok())
    }

    fn json(&mut self, value: Json<'_>) -> Result<(), Misfit> {
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

struct Lists {
    item: FieldRef,
    items: Box<dyn ColumnBuilder>,
    count: i32,
    lengths: Vec<usize>,
    present: NullBufferBuilder,
}

impl Lists {
    fn new(item: &FieldRef, reading: Reading) -> Option<Self> {
        let items = builder(item.data_type(), reading.within())?;
        let item = Arc::clone(item);
        Some(Self { item, items, count: 0, lengths: Vec::new(), present: NullBufferBuilder::new(0) })
    }
}

impl ColumnBuilder for Lists {
    fn text(&mut self, _: &str) -> bool {
        false
    }

    fn json(&mut self, value: Json<'_>) -> Result<(), Misfit> {
        let list = || DataType::List(Arc::clone(&self.item));
        let items = match value.view() {
            View::Null => {
                self.null();
                return Ok(());
            }
            View::Array(items) => items,
            _ => return Err(misfit(value, &list())),
        };
        let mut length = 0;
        for item in items {
            self.count = self.count.checked_add(1).ok_or_else(|| misfit(value, &list()))?;
            self.items.json(item).map_err(|m| m.within("[]"))?;
            length += 1;
        }
        self.lengths.push(length);
        self.present.append_non_null();
        Ok(())
    }

    fn null(&mut self) {
        self.lengths.push(0);
        self.present.append_null();
    }

    fn finish(&mut self) -> ArrayRef {
        let offsets = OffsetBuffer::from_lengths(std::mem::take(&mut self.lengths));
        self.count = 0;
        Arc::new(ListArray::new(Arc::clone(&self.item), offsets, self.items.finish(), self.present.finish()))
    }
}

/// Columns that objects are appended to, one per key; keys that are absent are null.
pub(super) struct KeyedColumns {
    names: Vec<String>,
    places: HashMap<String, usize>,
    columns: Vec<Box<dyn ColumnBuilder>>,
    /// For each column, the object that it has a value of, counted from 1.
    filled: Vec<u64>,
    objects: u64,
}

impl KeyedColumns {
    pub(super) fn new(names: impl IntoIterator<Item = String>, columns: Vec<Box<dyn ColumnBuilder>>) -> Self {
        let names: Vec<String> = names.into_iter().collect();
        let places = names.iter().cloned().zip(0..).collect();
        Self { filled: vec![0; names.len()], names, places, columns, objects: 0 }
    }

    /// Appends an object. After an error the columns are of no use.
    pub(super) fn append(&mut self, entries: Entries<'_>) -> Result<(), Misfit> {
        self.objects += 1;
        // Keys mostly come in the order of the columns.
        let mut next = 0;
        for (key, value) in entries {
            let expected = self.names.get(next).is_some_and(|name| *name == key);
            let at = if expected { Some(next) } else { self.places.get(key.as_ref()).copied() };
            let wrong = |found| Misfit { path: vec![key.clone().into_owned()], found, expected: None };
            let at = at.ok_or_else(|| wrong(UNKNOWN_KEY))?;
            let (Some(column), Some(filled)) = (self.columns.get_mut(at), self.filled.get_mut(at)) else {
                return Err(wrong(UNKNOWN_KEY));
            };
            if *filled == self.objects {
                return Err(wrong(REPEATED_KEY));
            }
            *filled = self.objects;
            column.json(value).map_err(|m| m.within(&key))?;
            next = at + 1;
        }
        for (column, filled) in self.columns.iter_mut().zip(&self.filled) {
            if *filled != self.objects {
                column.null();
            }
        }
        Ok(())
    }

    fn null(&mut self) {
        self.columns.iter_mut().for_each(|column| column.null());
    }

    pub(super) fn finish(&mut self) -> Vec<ArrayRef> {
        self.columns.iter_mut().map(|column| column.finish()).collect()
    }
}

/// A key that no column has.
pub(super) const UNKNOWN_KEY: &str = "a key not seen before";
/// A key that an object has twice.
pub(super) const REPEATED_KEY: &str = "a key that the object has twice";

struct Structs {
    fields: Fields,
    children: KeyedColumns,
    present: NullBufferBuilder,
}

impl Structs {
    fn new(fields: &Fields, reading: Reading) -> Option<Self> {
        let child = |f: &FieldRef| builder(f.data_type(), reading.within());
        let columns = fields.iter().map(child).collect::<Option<_>>()?;
        let children = KeyedColumns::new(fields.iter().map(|f| f.name().clone()), columns);
        Some(Self { fields: fields.clone(), children, present: NullBufferBuilder::new(0) })
    }
}

impl ColumnBuilder for Structs {
    fn text(&mut self, _: &str) -> bool {
        false
    }

    fn json(&mut self, value: Json<'_>) -> Result<(), Misfit> {
        match value.view() {
            View::Null => {
                self.null();
                return Ok(());
            }
            View::Object(entries) => self.children.append(entries)?,
            _ => return Err(misfit(value, &DataType::Struct(self.fields.clone()))),
        }
        self.present.append_non_null();
        Ok(())
    }

    fn null(&mut self) {
        self.children.null();
        self.present.append_null();
    }

    fn finish(&mut self) -> ArrayRef {
        let rows = self.present.len();
        let present = self.present.finish();
        if self.fields.is_empty() {
            return Arc::new(StructArray::new_empty_fields(rows, present));
        }
        Arc::new(StructArray::new(self.fields.clone(), self.children.finish(), present))
    }
}
