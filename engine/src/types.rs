//! Logical types, their one physical form inside the engine, and their names in a pipeline file.
//!
//! A logical type says what a value is; Arrow has several physical forms for most of them (plain,
//! large, view, dictionary, run-end). Sources bring every column into the one form that
//! [`canonical`] names, so that nothing behind a source meets another.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray as _, ListArray, MapArray, StructArray};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{
    DECIMAL128_MAX_PRECISION, DECIMAL256_MAX_PRECISION, DataType, Field, FieldRef, Fields, TimeUnit,
};
use arrow::error::ArrowError;

/// Metadata key of Arrow's extension names.
pub const EXTENSION_NAME: &str = "ARROW:extension:name";

/// A type that no stream can carry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("found type {found}, expected a {expected}; {remedy}")]
pub struct TypeError {
    /// The type or text found.
    pub found: String,
    /// The right form.
    pub expected: &'static str,
    /// The remedy.
    pub remedy: &'static str,
}

/// The physical form in which the engine carries values of a type.
///
/// Strings and binaries are views, lists plain lists, dictionaries and runs are decoded, times
/// are nanoseconds, dates days; an all-null column is a string. Timestamps and durations keep
/// their unit; a zone becomes UTC (the instants stay the same).
pub fn canonical(data_type: &DataType) -> Result<DataType, TypeError> {
    use DataType as D;
    Ok(match data_type {
        D::Null | D::Utf8 | D::LargeUtf8 | D::Utf8View => D::Utf8View,
        D::Binary | D::LargeBinary | D::BinaryView | D::FixedSizeBinary(_) => D::BinaryView,
        D::Boolean | D::Duration(_) => data_type.clone(),
        number if number.is_integer() || number.is_floating() => number.clone(),
        D::Date32 | D::Date64 => D::Date32,
        D::Time32(_) | D::Time64(_) => D::Time64(TimeUnit::Nanosecond),
        D::Timestamp(unit, zone) => D::Timestamp(*unit, zone.as_ref().map(|_| "UTC".into())),
        D::Decimal32(p, s) | D::Decimal64(p, s) | D::Decimal128(p, s) => D::Decimal128(*p, *s),
        D::Decimal256(p, s) if *p <= DECIMAL128_MAX_PRECISION => D::Decimal128(*p, *s),
        D::Decimal256(p, s) => D::Decimal256(*p, *s),
        D::Dictionary(_, values) => canonical(values)?,
        D::RunEndEncoded(_, values) => canonical(values.data_type())?,
        D::List(item)
        | D::LargeList(item)
        | D::FixedSizeList(item, _)
        | D::ListView(item)
        | D::LargeListView(item) => D::List(canonical_field(item)?),
        D::Struct(fields) => D::Struct(fields.iter().map(canonical_field).collect::<Result<Fields, _>>()?),
        D::Map(entries, sorted) => D::Map(canonical_field(entries)?, *sorted),
        _ => {
            return Err(TypeError {
                found: data_type.to_string(),
                expected: "type with a logical form",
                remedy: "convert the column to a duration, a struct or a string before it is read",
            });
        }
    })
}

/// The field with its type in canonical form; name, nullability and metadata stay.
pub fn canonical_field(field: &FieldRef) -> Result<FieldRef, TypeError> {
    let data_type = canonical(field.data_type())?;
    Ok(Arc::new(Field::clone(field).with_data_type(data_type)))
}

/// The array in its canonical form; nothing is copied where it already has it.
///
/// Errors: a value that the canonical form cannot hold (a date with a time of day, say).
pub fn normalise(array: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    let target = canonical(array.data_type()).map_err(|e| ArrowError::InvalidArgumentError(e.to_string()))?;
    convert(array, &target)
}

/// Casts to a form that can say the same: a physical variant, another unit, a wider type. Fields of
/// structs are matched by name at any depth. A value that does not fit is an error, never a null;
/// fractions and digits beyond the target's are lost, so the caller requests only targets that keep them.
///
/// Errors: a type that has no such cast, a field that a struct lacks, a value out of range.
pub fn convert(array: &ArrayRef, target: &DataType) -> Result<ArrayRef, ArrowError> {
    if array.data_type() == target {
        return Ok(Arc::clone(array));
    }
    match (array.data_type(), target) {
        (DataType::Struct(_), DataType::Struct(fields)) => {
            Ok(Arc::new(convert_struct(array.as_struct(), fields)?))
        }
        (DataType::List(_), DataType::List(item)) => {
            let (_, offsets, values, nulls) = array.as_list::<i32>().clone().into_parts();
            let values = convert(&values, item.data_type())?;
            Ok(Arc::new(ListArray::try_new(Arc::clone(item), offsets, values, nulls)?))
        }
        (DataType::Map(..), DataType::Map(entries, sorted)) => {
            let (_, offsets, pairs, nulls, _) = array.as_map().clone().into_parts();
            let pairs = convert_entries(&pairs, entries)?;
            Ok(Arc::new(MapArray::try_new(Arc::clone(entries), offsets, pairs, nulls, *sorted)?))
        }
        _ => {
            let options = CastOptions { safe: false, ..CastOptions::default() };
            cast_with_options(array, target, &options)
        }
    }
}

/// The struct with these fields, each taken from the field of the same name.
fn convert_struct(array: &StructArray, fields: &Fields) -> Result<StructArray, ArrowError> {
    if fields.is_empty() {
        return Ok(StructArray::new_empty_fields(array.len(), array.nulls().cloned()));
    }
    let column = |field: &FieldRef| {
        let column = array
            .column_by_name(field.name())
            .ok_or_else(|| ArrowError::CastError(format!("the struct has no field \"{}\"", field.name())))?;
        convert(column, field.data_type())
    };
    let columns = fields.iter().map(column).collect::<Result<Vec<_>, _>>()?;
    StructArray::try_new(fields.clone(), columns, array.nulls().cloned())
}

/// The entries of a map: key and value by position, whatever their names.
fn convert_entries(pairs: &StructArray, entries: &FieldRef) -> Result<StructArray, ArrowError> {
    let DataType::Struct(fields) = entries.data_type() else {
        return Err(ArrowError::CastError("the entries of a map are no pairs".to_owned()));
    };
    let columns = pairs.columns().iter().zip(fields).map(|(c, field)| convert(c, field.data_type()));
    StructArray::try_new(fields.clone(), columns.collect::<Result<Vec<_>, _>>()?, pairs.nulls().cloned())
}

/// The logical type of a field as one string: two fields have the same logical type exactly if
/// their strings are equal. Part of the packet hash, so it never changes.
#[must_use]
pub fn logical_name(field: &Field) -> String {
    let storage = logical_type(field.data_type());
    match field.metadata().get(EXTENSION_NAME) {
        Some(name) => format!("extension<{},{storage}>", quoted(name)),
        None => storage,
    }
}

/// The logical type of a data type without regard to extensions; see [`logical_name`].
#[must_use]
pub fn logical_type(data_type: &DataType) -> String {
    use DataType as D;
    match data_type {
        D::Null | D::Utf8 | D::LargeUtf8 | D::Utf8View => "string".into(),
        D::Binary | D::LargeBinary | D::BinaryView | D::FixedSizeBinary(_) => "binary".into(),
        D::Boolean => "bool".into(),
        D::Int8 => "int8".into(),
        D::Int16 => "int16".into(),
        D::Int32 => "int32".into(),
        D::Int64 => "int64".into(),
        D::UInt8 => "uint8".into(),
        D::UInt16 => "uint16".into(),
        D::UInt32 => "uint32".into(),
        D::UInt64 => "uint64".into(),
        D::Float16 => "float16".into(),
        D::Float32 => "float32".into(),
        D::Float64 => "float64".into(),
        D::Date32 | D::Date64 => "date".into(),
        D::Time32(_) | D::Time64(_) => "time".into(),
        D::Timestamp(_, None) => "timestamp".into(),
        D::Timestamp(_, Some(_)) => "timestamp_utc".into(),
        D::Duration(_) => "duration".into(),
        D::Decimal32(_, s) | D::Decimal64(_, s) | D::Decimal128(_, s) | D::Decimal256(_, s) => {
            format!("decimal({s})")
        }
        D::Dictionary(_, values) => logical_type(values),
        D::RunEndEncoded(_, values) => logical_name(values),
        D::List(item)
        | D::LargeList(item)
        | D::FixedSizeList(item, _)
        | D::ListView(item)
        | D::LargeListView(item) => format!("list<{}>", logical_name(item)),
        D::Struct(fields) => {
            let mut parts: Vec<String> =
                fields.iter().map(|f| format!("{}:{}", quoted(f.name()), logical_name(f))).collect();
            parts.sort_unstable();
            format!("struct<{}>", parts.join(","))
        }
        D::Map(entries, _) => match entries.data_type() {
            D::Struct(pair) => {
                let parts: Vec<String> = pair.iter().map(|f| logical_name(f)).collect();
                format!("map<{}>", parts.join(","))
            }
            other => format!("map<{}>", logical_type(other)),
        },
        D::Interval(_) | D::Union(..) => format!("unsupported<{data_type}>"),
    }
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\""))
}

/// Reads a type as a pipeline file names it: `int64`, `decimal(10,2)`, `list<string>`,
/// `struct<a:int64,b:string>`.
///
/// `timestamp`, `timestamp_utc` and `duration` count microseconds.
pub fn parse_type(text: &str) -> Result<DataType, TypeError> {
    let mut reader = TypeReader { text, rest: text };
    let data_type = reader.read()?;
    if reader.rest.trim().is_empty() { Ok(data_type) } else { Err(reader.error()) }
}

struct TypeReader<'a> {
    text: &'a str,
    rest: &'a str,
}

impl<'a> TypeReader<'a> {
    fn error(&self) -> TypeError {
        TypeError {
            found: format!("\"{}\"", self.text),
            expected: "known type",
            remedy: "write one of bool, int8..int64, uint8..uint64, float32, float64, string, binary, date, time, timestamp, timestamp_utc, duration, decimal(p,s), list<T>, struct<a:T,..>",
        }
    }

    fn word(&mut self) -> &'a str {
        self.rest = self.rest.trim_start();
        let end = self.rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        word
    }

    fn accept(&mut self, mark: char) -> bool {
        self.rest = self.rest.trim_start();
        self.rest.strip_prefix(mark).map(|rest| self.rest = rest).is_some()
    }

    fn expect(&mut self, mark: char) -> Result<(), TypeError> {
        if self.accept(mark) { Ok(()) } else { Err(self.error()) }
    }

    fn read(&mut self) -> Result<DataType, TypeError> {
        use DataType as D;
        Ok(match self.word() {
            "bool" => D::Boolean,
            "int8" => D::Int8,
            "int16" => D::Int16,
            "int32" => D::Int32,
            "int64" => D::Int64,
            "uint8" => D::UInt8,
            "uint16" => D::UInt16,
            "uint32" => D::UInt32,
            "uint64" => D::UInt64,
            "float32" => D::Float32,
            "float64" => D::Float64,
            "string" => D::Utf8View,
            "binary" => D::BinaryView,
            "date" => D::Date32,
            "time" => D::Time64(TimeUnit::Nanosecond),
            "timestamp" => D::Timestamp(TimeUnit::Microsecond, None),
            "timestamp_utc" => D::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            "duration" => D::Duration(TimeUnit::Microsecond),
            "decimal" => self.decimal()?,
            "list" => {
                self.expect('<')?;
                let item = self.read()?;
                self.expect('>')?;
                D::List(Arc::new(Field::new("item", item, true)))
            }
            "struct" => self.fields()?,
            _ => return Err(self.error()),
        })
    }

    fn decimal(&mut self) -> Result<DataType, TypeError> {
        self.expect('(')?;
        let precision: u8 = self.word().parse().map_err(|_| self.error())?;
        self.expect(',')?;
        let negative = self.accept('-');
        let scale: i8 = self.word().parse().map_err(|_| self.error())?;
        self.expect(')')?;
        let scale = if negative { -scale } else { scale };
        match precision {
            1..=DECIMAL128_MAX_PRECISION => Ok(DataType::Decimal128(precision, scale)),
            ..=DECIMAL256_MAX_PRECISION if precision > 0 => Ok(DataType::Decimal256(precision, scale)),
            _ => Err(self.error()),
        }
    }

    fn fields(&mut self) -> Result<DataType, TypeError> {
        self.expect('<')?;
        let mut fields = Vec::new();
        loop {
            let name = self.word().to_owned();
            if name.is_empty() || fields.iter().any(|field: &Field| *field.name() == name) {
                return Err(self.error());
            }
            self.expect(':')?;
            fields.push(Field::new(name, self.read()?, true));
            if !self.accept(',') {
                self.expect('>')?;
                return Ok(DataType::Struct(fields.into()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{
        DictionaryArray, Int32Array, LargeStringArray, StringViewArray, TimestampSecondArray,
    };
    use arrow::datatypes::{Int32Type, Int64Type};

    #[test]
    fn every_string_form_is_one_logical_and_one_canonical_type() {
        let dictionary: DictionaryArray<Int32Type> = ["a", "b", "a"].into_iter().collect();
        let forms: Vec<ArrayRef> = vec![
            Arc::new(dictionary),
            Arc::new(LargeStringArray::from(vec!["a", "b", "a"])),
            Arc::new(StringViewArray::from(vec!["a", "b", "a"])),
        ];
        for form in forms {
            assert_eq!(logical_type(form.data_type()), "string");
            let plain = normalise(&form).unwrap();
            assert_eq!(plain.as_ref(), &StringViewArray::from(vec!["a", "b", "a"]) as &dyn Array);
        }
    }

    #[test]
    fn a_zone_changes_the_logical_type_but_its_name_and_the_unit_do_not() {
        let vienna = TimestampSecondArray::from(vec![1]).with_timezone("Europe/Vienna");
        assert_eq!(logical_type(vienna.data_type()), "timestamp_utc");
        let naive = DataType::Timestamp(TimeUnit::Nanosecond, None);
        assert_eq!(logical_type(&naive), "timestamp");
    }

    #[test]
    fn structs_are_converted_by_the_names_of_their_fields_at_any_depth() {
        let numbers = |n: i32| Arc::new(Int32Array::from(vec![n])) as ArrayRef;
        let field = |name: &str, data_type: DataType| Arc::new(Field::new(name, data_type, true));
        let pair = StructArray::from(vec![
            (field("lon", DataType::Int32), numbers(13)),
            (field("lat", DataType::Int32), numbers(52)),
        ]);
        let list: ArrayRef = Arc::new(ListArray::new(
            field("item", pair.data_type().clone()),
            arrow::buffer::OffsetBuffer::from_lengths([1]),
            Arc::new(pair),
            None,
        ));
        let wide = |names: [&str; 2]| {
            let fields = names.map(|name| field(name, DataType::Int64));
            DataType::List(field("element", DataType::Struct(fields.into_iter().collect())))
        };
        let converted = convert(&list, &wide(["lat", "lon"])).unwrap();
        let place = converted.as_list::<i32>().value(0);
        let value =
            |name: &str| place.as_struct().column_by_name(name).unwrap().as_primitive::<Int64Type>().value(0);
        assert_eq!((value("lat"), value("lon")), (52, 13));
        assert!(convert(&list, &wide(["lat", "lom"])).is_err());
    }

    #[test]
    fn types_are_read_as_the_pipeline_file_names_them() {
        assert_eq!(parse_type("decimal(10, 2)").unwrap(), DataType::Decimal128(10, 2));
        let nested = parse_type("struct<a:list<int64>,b:string>").unwrap();
        assert_eq!(logical_type(&nested), "struct<\"a\":list<int64>,\"b\":string>");
        for wrong in [
            "",
            "integer",
            "list<",
            "list<int64>>",
            "decimal(0,1)",
            "decimal(99,1)",
            "struct<>",
            "struct<a:bool,a:bool>",
            "file",
        ] {
            assert!(parse_type(wrong).is_err(), "{wrong} was accepted");
        }
    }
}
