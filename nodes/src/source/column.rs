//! Builds columns from texts and from JSON values.

use std::sync::Arc;

use anabranch_engine::types::logical_type;
use arrow::array::{
    ArrayRef, ArrowPrimitiveType, BinaryViewBuilder, BooleanBuilder, ListArray, NullBufferBuilder,
    PrimitiveBuilder, StringViewBuilder, StructArray,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{self as types, DataType, FieldRef, Fields, TimeUnit, i256};
use serde_json::{Map, Number, Value};

use super::text;

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
    fn json(&mut self, value: &Value) -> Result<(), Misfit>;

    /// Appends a null.
    fn null(&mut self);

    /// The column; the builder is empty again.
    fn finish(&mut self) -> ArrayRef;
}

/// A builder for a canonical type; none for one that neither text nor JSON can say (a map, say).
///
/// `any_json`: a string column takes JSON values that are no strings as their JSON text.
pub(super) fn column_builder(data_type: &DataType, any_json: bool) -> Option<Box<dyn ColumnBuilder>> {
    builder(data_type, if any_json { Reading::Any } else { Reading::Column })
}

/// A builder for what stands in a text.
pub(crate) fn text_builder(data_type: &DataType) -> Option<Box<dyn ColumnBuilder>> {
    builder(data_type, Reading::Column)
}

/// A builder for what code answers in JSON: strings are strings at any depth, and `"NaN"`, `"inf"` and
/// `"-inf"` are floats, since JSON has no numbers for them.
pub(crate) fn answer_builder(data_type: &DataType) -> Option<Box<dyn ColumnBuilder>> {
    builder(data_type, Reading::Answer)
}

/// What JSON values are taken for more than they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reading {
    /// Strings within lists and structs take any value.
    Column,
    /// Strings take any value.
    Any,
    /// Floats take the texts of those that JSON cannot say.
    Answer,
}

impl Reading {
    fn within(self) -> Self {
        if self == Self::Answer { self } else { Self::Any }
    }
}

fn builder(data_type: &DataType, reading: Reading) -> Option<Box<dyn ColumnBuilder>> {
    use DataType as D;
    let any_json = reading == Reading::Any;
    if reading == Reading::Answer && data_type.is_floating() {
        return answered_float(data_type);
    }
    Some(match data_type {
        D::Boolean => Box::new(Bools(BooleanBuilder::new())),
        D::Int8 => integers::<types::Int8Type>(data_type),
        D::Int16 => integers::<types::Int16Type>(data_type),
        D::Int32 => integers::<types::Int32Type>(data_type),
        D::Int64 => integers::<types::Int64Type>(data_type),
        D::UInt8 => integers::<types::UInt8Type>(data_type),
        D::UInt16 => integers::<types::UInt16Type>(data_type),
        D::UInt32 => integers::<types::UInt32Type>(data_type),
        D::UInt64 => integers::<types::UInt64Type>(data_type),
        D::Float32 => primitive::<types::Float32Type>(data_type, text::float_of, exact_f32),
        D::Float64 => primitive::<types::Float64Type>(data_type, text::float_of, exact_f64),
        D::Utf8View => Box::new(Strings { values: StringViewBuilder::new(), any_json }),
        D::BinaryView => Box::new(Binaries(BinaryViewBuilder::new())),
        D::Date32 => primitive::<types::Date32Type>(data_type, text::date, no_number),
        D::Time64(TimeUnit::Nanosecond) => {
            primitive::<types::Time64NanosecondType>(data_type, text::time, no_number)
        }
        D::Timestamp(..) | D::Duration(_) => times(data_type)?,
        D::Decimal128(precision, scale) => {
            let (precision, scale) = (*precision, *scale);
            primitive::<types::Decimal128Type>(
                data_type,
                move |t| text::decimal(t, precision, scale)?.parse().ok(),
                move |n| text::decimal(&n.to_string(), precision, scale)?.parse().ok(),
            )
        }
        D::Decimal256(precision, scale) => {
            let (precision, scale) = (*precision, *scale);
            let read = move |t: &str| i256::from_string(&text::decimal(t, precision, scale)?);
            primitive::<types::Decimal256Type>(data_type, read, move |n| read(&n.to_string()))
        }
        D::List(item) => Box::new(Lists::new(item, reading)?),
        D::Struct(fields) => Box::new(Structs::new(fields, reading)?),
        _ => return None,
    })
}

fn primitive<T: ArrowPrimitiveType>(
    data_type: &DataType,
    of_text: impl Fn(&str) -> Option<T::Native> + Send + 'static,
    of_number: impl Fn(&Number) -> Option<T::Native> + Send + 'static,
) -> Box<dyn ColumnBuilder> {
    let values = PrimitiveBuilder::<T>::new().with_data_type(data_type.clone());
    let texts = !data_type.is_integer() && !data_type.is_floating();
    Box::new(Primitives { values, of_text, of_number, texts, data_type: data_type.clone() })
}

/// A float of an answer, which is the nearest one for a number of any size.
#[expect(clippy::cast_possible_truncation, reason = "the nearest narrow float is what is wanted")]
fn answered_float(data_type: &DataType) -> Option<Box<dyn ColumnBuilder>> {
    fn special(text: &str) -> Option<f64> {
        Some(match text {
            "NaN" => f64::NAN,
            "inf" => f64::INFINITY,
            "-inf" => f64::NEG_INFINITY,
            _ => return None,
        })
    }
    let (texts, data_type) = (true, data_type.clone());
    Some(match data_type {
        DataType::Float64 => Box::new(Primitives {
            values: PrimitiveBuilder::<types::Float64Type>::new(),
            of_text: special,
            of_number: exact_f64,
            texts,
            data_type,
        }),
        DataType::Float32 => Box::new(Primitives {
            values: PrimitiveBuilder::<types::Float32Type>::new(),
            of_text: |t: &str| special(t).map(|value| value as f32),
            of_number: |n: &Number| exact_f64(n).map(|value| value as f32),
            texts,
            data_type,
        }),
        _ => return None,
    })
}

fn integers<T: ArrowPrimitiveType>(data_type: &DataType) -> Box<dyn ColumnBuilder>
where
    T::Native: std::str::FromStr + TryFrom<i64> + TryFrom<u64>,
{
    primitive::<T>(data_type, text::integer, |number| match number.as_i64() {
        Some(value) => T::Native::try_from(value).ok(),
        None => T::Native::try_from(number.as_u64()?).ok(),
    })
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
                    move |t| text::timestamp(t).filter(|m| m.zoned == zoned)?.count($per_second),
                    no_number,
                ),
                None => primitive::<$duration>(
                    data_type,
                    |t| text::duration(t).and_then(|(s, n)| text::count(s, n, $per_second)),
                    no_number,
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

/// Times are texts in JSON.
fn no_number<T>(_: &Number) -> Option<T> {
    None
}

/// The number as a float, unless it is an integer that a float cannot hold.
#[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "checked by the way back")]
fn exact_f64(number: &Number) -> Option<f64> {
    match (number.as_i64(), number.as_u64()) {
        (Some(value), _) => Some(value as f64).filter(|f| *f as i128 == i128::from(value)),
        (None, Some(value)) => Some(value as f64).filter(|f| *f as i128 == i128::from(value)),
        (None, None) => number.as_f64(),
    }
}

/// The nearest narrow float, as for a text; integers exactly.
#[expect(clippy::cast_possible_truncation, reason = "a number out of range becomes infinite and is refused")]
fn exact_f32(number: &Number) -> Option<f32> {
    let wide = exact_f64(number)?;
    let narrow = wide as f32;
    let exact = !(number.is_i64() || number.is_u64()) || f64::from(narrow).to_bits() == wide.to_bits();
    (narrow.is_finite() && exact).then_some(narrow)
}

fn misfit(value: &Value, expected: &DataType) -> Misfit {
    let found = match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(number) if number.is_f64() => "a number with a fraction or exponent",
        Value::Number(_) => "an integer",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    };
    let found = match (value, expected) {
        (Value::String(_), DataType::Utf8View) | (Value::Number(_), DataType::Float64) => {
            "a value out of range"
        }
        (Value::String(_), _) => "a string that does not read as that type",
        _ => found,
    };
    Misfit { path: Vec::new(), found, expected: Some(logical_type(expected)) }
}

struct Primitives<T: ArrowPrimitiveType, P, N> {
    values: PrimitiveBuilder<T>,
    of_text: P,
    of_number: N,
    /// Whether a JSON string is read as a text.
    texts: bool,
    data_type: DataType,
}

impl<T, P, N> ColumnBuilder for Primitives<T, P, N>
where
    T: ArrowPrimitiveType,
    P: Fn(&str) -> Option<T::Native> + Send,
    N: Fn(&Number) -> Option<T::Native> + Send,
{
    fn text(&mut self, text: &str) -> bool {
        let value = (self.of_text)(text);
        if let Some(value) = value {
            self.values.append_value(value);
        }
        value.is_some()
    }

    fn json(&mut self, value: &Value) -> Result<(), Misfit> {
        let read = match value {
            Value::Null => {
                self.values.append_null();
                return Ok(());
            }
            Value::Number(number) => (self.of_number)(number),
            // What JSON has numbers for is no text.
            Value::String(text) if self.texts => (self.of_text)(text),
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

    fn json(&mut self, value: &Value) -> Result<(), Misfit> {
        match value {
            Value::Null => self.0.append_null(),
            Value::Bool(value) => self.0.append_value(*value),
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

    fn json(&mut self, value: &Value) -> Result<(), Misfit> {
        let fits = match value {
            Value::Null => {
                self.values.append_null();
                true
            }
            Value::String(text) => self.text(text),
            other => self.any_json && self.text(&other.to_string()),
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

    fn json(&mut self, value: &Value) -> Result<(), Misfit> {
        match value {
            Value::Null => self.0.append_null(),
            Value::String(text) if self.text(text) => {}
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

    fn json(&mut self, value: &Value) -> Result<(), Misfit> {
        let list = || DataType::List(Arc::clone(&self.item));
        let items = match value {
            Value::Null => {
                self.null();
                return Ok(());
            }
            Value::Array(items) => items,
            _ => return Err(misfit(value, &list())),
        };
        let count = i32::try_from(items.len()).ok().and_then(|added| self.count.checked_add(added));
        self.count = count.ok_or_else(|| misfit(value, &list()))?;
        for item in items {
            self.items.json(item).map_err(|m| m.within("[]"))?;
        }
        self.lengths.push(items.len());
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

struct Structs {
    fields: Fields,
    children: Vec<Box<dyn ColumnBuilder>>,
    present: NullBufferBuilder,
}

impl Structs {
    fn new(fields: &Fields, reading: Reading) -> Option<Self> {
        let child = |f: &FieldRef| builder(f.data_type(), reading.within());
        let children = fields.iter().map(child).collect::<Option<_>>()?;
        Some(Self { fields: fields.clone(), children, present: NullBufferBuilder::new(0) })
    }
}

/// Appends an object to columns, one per field; keys that are absent are null.
pub(super) fn append_object(
    fields: &Fields,
    columns: &mut [Box<dyn ColumnBuilder>],
    object: &Map<String, Value>,
) -> Result<(), Misfit> {
    let mut used = 0;
    for (field, column) in fields.iter().zip(columns) {
        match object.get(field.name()) {
            Some(value) => {
                used += 1;
                column.json(value).map_err(|m| m.within(field.name()))?;
            }
            None => column.null(),
        }
    }
    let known = |key: &String| fields.iter().any(|f| f.name() == key);
    match object.keys().find(|key| used < object.len() && !known(key)) {
        Some(key) => Err(Misfit { path: vec![key.clone()], found: "a key not seen before", expected: None }),
        None => Ok(()),
    }
}

impl ColumnBuilder for Structs {
    fn text(&mut self, _: &str) -> bool {
        false
    }

    fn json(&mut self, value: &Value) -> Result<(), Misfit> {
        match value {
            Value::Null => {
                self.null();
                return Ok(());
            }
            Value::Object(object) => append_object(&self.fields, &mut self.children, object)?,
            _ => return Err(misfit(value, &DataType::Struct(self.fields.clone()))),
        }
        self.present.append_non_null();
        Ok(())
    }

    fn null(&mut self) {
        for child in &mut self.children {
            child.null();
        }
        self.present.append_null();
    }

    fn finish(&mut self) -> ArrayRef {
        let rows = self.present.len();
        let present = self.present.finish();
        if self.fields.is_empty() {
            return Arc::new(StructArray::new_empty_fields(rows, present));
        }
        let columns = self.children.iter_mut().map(|c| c.finish()).collect();
        Arc::new(StructArray::new(self.fields.clone(), columns, present))
    }
}
