//! Columns of every type that expressions compute on, full of edges.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, DurationMicrosecondArray, Float32Array,
    Float64Array, Int8Array, Int16Array, Int32Array, Int64Array, ListArray, RecordBatch, StringViewArray,
    StructArray, Time64NanosecondArray, TimestampMicrosecondArray, TimestampMillisecondArray,
    TimestampNanosecondArray, TimestampSecondArray, UInt8Array, UInt16Array, UInt32Array, UInt64Array,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, Field, Fields, Schema};

use crate::numbers::Numbers;

const NULLS_PERCENT: usize = 12;

const TEXTS: &[&str] = &[
    "",
    " ",
    "a",
    "b",
    "abc",
    "ABC",
    "aBc",
    "äöü",
    "ÄÖÜ",
    "ß",
    "日本語",
    "🦀",
    "x🦀y",
    "e\u{301}",
    "a b",
    "  padded  ",
    "%",
    "_",
    "a%b",
    "a_b",
    "\\",
    "a\\b",
    "0",
    "1",
    "-1",
    "12",
    "007",
    " 7 ",
    "3.5",
    "-0.25",
    "1e3",
    "1e400",
    "NaN",
    "inf",
    "-Infinity",
    "9007199254740993",
    "9223372036854775807",
    "9223372036854775808",
    "-129",
    "0.125",
    "1.005",
    "true",
    "false",
    "t",
    "yes",
    "2024-02-29",
    "2023-02-29",
    "0001-01-01",
    "2024-02-29 12:34:56",
    "12:34:56.789",
    "2024-02-29T12:34:56.123456",
    "2024-02-29 12:34:56+02:00",
    "1999-12-31",
    "a,b,c",
    ",a,",
    "aaa",
    "abab",
    "tab\t",
    "línea\n",
];
const FLOATS: &[f64] = &[
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.5,
    -0.5,
    1.5,
    2.5,
    -2.5,
    0.1,
    0.2,
    0.3,
    1.005,
    2.675,
    1e-7,
    123.456,
    1e15,
    1e16,
    1e17,
    -1e17,
    1e300,
    -1e300,
    5e-324,
    2.225_073_858_507_201e-308,
    1.797_693_134_862_315_7e308,
    9_007_199_254_740_992.0,
    9_007_199_254_740_994.0,
    9_223_372_036_854_775_807.0,
    -9_223_372_036_854_775_808.0,
    18_446_744_073_709_551_615.0,
    2_147_483_647.0,
    2_147_483_648.0,
    127.0,
    128.0,
    127.5,
    255.5,
    f64::NAN,
    f64::INFINITY,
    f64::NEG_INFINITY,
];
/// Days since 1970: years 1, 1582, 1900, 1969 to 1972, leap days, 2038, 9999.
const DAYS: &[i32] =
    &[-719_162, -141_427, -25_567, -1, 0, 1, 59, 789, 11_016, 11_381, 19_782, 19_783, 24_855, 2_932_896];

/// A column's name with its type.
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) data_type: DataType,
}

/// Columns of all types, two of each, and random rows of them.
pub(crate) fn table(numbers: &mut Numbers, rows: usize) -> RecordBatch {
    let mut fields = Vec::new();
    let mut columns = Vec::new();
    for suffix in ["a", "b"] {
        for (name, make) in TYPES {
            let column = make(numbers, rows);
            fields.push(Field::new(format!("{name}_{suffix}"), column.data_type().clone(), true));
            columns.push(column);
        }
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
}

pub(crate) fn columns(table: &RecordBatch) -> Vec<Column> {
    let column =
        |field: &Arc<Field>| Column { name: field.name().clone(), data_type: field.data_type().clone() };
    table.schema().fields().iter().map(column).collect()
}

type Make = fn(&mut Numbers, usize) -> ArrayRef;

#[expect(clippy::from_iter_instead_of_collect, reason = "the array's type is what a line says")]
const TYPES: &[(&str, Make)] = &[
    ("i8", |n, rows| Arc::new(Int8Array::from_iter(integers(n, rows)))),
    ("i16", |n, rows| Arc::new(Int16Array::from_iter(integers(n, rows)))),
    ("i32", |n, rows| Arc::new(Int32Array::from_iter(integers(n, rows)))),
    ("i64", |n, rows| Arc::new(Int64Array::from_iter(integers(n, rows)))),
    ("u8", |n, rows| Arc::new(UInt8Array::from_iter(integers(n, rows)))),
    ("u16", |n, rows| Arc::new(UInt16Array::from_iter(integers(n, rows)))),
    ("u32", |n, rows| Arc::new(UInt32Array::from_iter(integers(n, rows)))),
    ("u64", |n, rows| Arc::new(UInt64Array::from_iter(integers(n, rows)))),
    ("f32", |n, rows| Arc::new(Float32Array::from_iter(floats(n, rows).map(|v| v.map(narrow))))),
    ("f64", |n, rows| Arc::new(Float64Array::from_iter(floats(n, rows)))),
    ("d4_2", |n, rows| decimals(n, rows, 4, 2)),
    ("d9_0", |n, rows| decimals(n, rows, 9, 0)),
    ("d18_6", |n, rows| decimals(n, rows, 18, 6)),
    ("d20_20", |n, rows| decimals(n, rows, 20, 20)),
    ("d38_10", |n, rows| decimals(n, rows, 38, 10)),
    ("bool", |n, rows| Arc::new(BooleanArray::from_iter(some(n, rows, |n| n.chance(50))))),
    ("text", |n, rows| Arc::new(StringViewArray::from_iter(some(n, rows, |n| *n.one(TEXTS))))),
    ("word", |n, rows| Arc::new(StringViewArray::from_iter(some(n, rows, |n| *n.one(&TEXTS[..20]))))),
    ("date", |n, rows| Arc::new(Date32Array::from_iter(some(n, rows, day)))),
    ("time", |n, rows| Arc::new(Time64NanosecondArray::from_iter(some(n, rows, time)))),
    ("ts_s", |n, rows| Arc::new(TimestampSecondArray::from_iter(some(n, rows, |n| instant(n, 1))))),
    ("ts_ms", |n, rows| Arc::new(TimestampMillisecondArray::from_iter(some(n, rows, |n| instant(n, 1_000))))),
    ("ts_us", |n, rows| {
        Arc::new(TimestampMicrosecondArray::from_iter(some(n, rows, |n| instant(n, 1_000_000))))
    }),
    ("ts_ns", |n, rows| Arc::new(TimestampNanosecondArray::from_iter(some(n, rows, nanoseconds)))),
    ("tz_us", |n, rows| {
        let values = some(n, rows, |n| instant(n, 1_000_000));
        Arc::new(TimestampMicrosecondArray::from_iter(values).with_timezone("UTC"))
    }),
    ("tz_ns", |n, rows| {
        Arc::new(TimestampNanosecondArray::from_iter(some(n, rows, nanoseconds)).with_timezone("UTC"))
    }),
    ("span", |n, rows| Arc::new(DurationMicrosecondArray::from_iter(some(n, rows, span)))),
    ("list", |n, rows| lists(n, rows, wide)),
    ("words", |n, rows| lists(n, rows, words)),
    ("lists", |n, rows| lists(n, rows, |n, rows| lists(n, rows, wide))),
    ("pairs", |n, rows| lists(n, rows, |n, rows| structs(n, rows, &[("x", wide), ("name", words)]))),
    ("pair", |n, rows| structs(n, rows, &[("x", wide), ("name", words)])),
    ("record", |n, rows| {
        let inner: Make =
            |n, rows| structs(n, rows, &[("name", words), ("l", |n, rows| lists(n, rows, wide))]);
        structs(n, rows, &[("i", wide), ("d", |n, rows| decimals(n, rows, 9, 2)), ("inner", inner)])
    }),
];

fn wide(numbers: &mut Numbers, rows: usize) -> ArrayRef {
    Arc::new(integers(numbers, rows).collect::<Int64Array>())
}

fn words(numbers: &mut Numbers, rows: usize) -> ArrayRef {
    Arc::new(some(numbers, rows, |numbers| *numbers.one(TEXTS)).collect::<StringViewArray>())
}

/// Lists of up to four elements; those that are null have some, too.
fn lists(numbers: &mut Numbers, rows: usize, elements: Make) -> ArrayRef {
    let offsets = OffsetBuffer::<i32>::from_lengths((0..rows).map(|_| numbers.below(5)).collect::<Vec<_>>());
    let values = elements(numbers, usize::try_from(offsets.last()).unwrap());
    let item = Arc::new(Field::new("item", values.data_type().clone(), true));
    Arc::new(ListArray::new(item, offsets, values, Some(nulls(numbers, rows))))
}

/// Structs of these fields; those that are null have values, too.
fn structs(numbers: &mut Numbers, rows: usize, fields: &[(&str, Make)]) -> ArrayRef {
    let columns: Vec<ArrayRef> = fields.iter().map(|(_, make)| make(numbers, rows)).collect();
    let field =
        |((name, _), column): (&(&str, Make), &ArrayRef)| Field::new(*name, column.data_type().clone(), true);
    let fields: Fields = fields.iter().zip(&columns).map(field).collect();
    Arc::new(StructArray::new(fields, columns, Some(nulls(numbers, rows))))
}

fn nulls(numbers: &mut Numbers, rows: usize) -> NullBuffer {
    (0..rows).map(|_| !numbers.chance(NULLS_PERCENT)).collect::<Vec<bool>>().into()
}

#[expect(clippy::cast_possible_truncation, reason = "the nearest float32 is meant")]
fn narrow(value: f64) -> f32 {
    value as f32
}

fn some<T>(
    numbers: &mut Numbers,
    rows: usize,
    mut make: impl FnMut(&mut Numbers) -> T,
) -> impl Iterator<Item = Option<T>> {
    let values: Vec<Option<T>> =
        (0..rows).map(|_| if numbers.chance(NULLS_PERCENT) { None } else { Some(make(numbers)) }).collect();
    values.into_iter()
}

/// Small ones that meet each other, edges of all widths, and any.
fn integers<T: TryFrom<i128>>(numbers: &mut Numbers, rows: usize) -> impl Iterator<Item = Option<T>> {
    some(numbers, rows, |numbers| {
        loop {
            let value = match numbers.below(4) {
                0 | 1 => i128::from(numbers.next() % 16) - 5,
                2 => {
                    let edge = 1i128 << numbers.one(&[7, 8, 15, 16, 31, 32, 53, 63, 64]);
                    let edge = if numbers.chance(50) { -edge } else { edge };
                    edge + i128::from(numbers.next() % 3) - 1
                }
                _ => {
                    i128::from(numbers.next() >> numbers.below(64)) * if numbers.chance(50) { -1 } else { 1 }
                }
            };
            if let Ok(value) = T::try_from(value) {
                return value;
            }
        }
    })
}

#[expect(clippy::cast_precision_loss, reason = "any float will do")]
fn floats(numbers: &mut Numbers, rows: usize) -> impl Iterator<Item = Option<f64>> {
    some(numbers, rows, |numbers| match numbers.below(4) {
        0 => *numbers.one(FLOATS),
        1 => (numbers.next() % 16) as f64 - 5.0,
        2 => ((numbers.next() % 200_000) as f64 - 100_000.0) / 1_000.0,
        _ => f64::from_bits(numbers.next()),
    })
}

fn decimals(numbers: &mut Numbers, rows: usize, precision: u8, scale: i8) -> ArrayRef {
    let limit = 10i128.pow(precision.into());
    let one = 10i128.pow(u32::try_from(scale).unwrap());
    let values = some(numbers, rows, |numbers| {
        let value = match numbers.below(5) {
            0 => limit - 1,
            1 => (i128::from(numbers.next() % 16) - 5) * one,
            2 => (i128::from(numbers.next() % 16) - 5) * one / 2,
            3 => i128::from(numbers.next() % 2_000) - 1_000,
            _ => (i128::from(numbers.next()) << numbers.below(62)) >> numbers.below(120),
        } % limit;
        if numbers.chance(30) { -value } else { value }
    });
    Arc::new(values.collect::<Decimal128Array>().with_precision_and_scale(precision, scale).unwrap())
}

fn day(numbers: &mut Numbers) -> i32 {
    match numbers.below(3) {
        0 => *numbers.one(DAYS),
        1 => i32::try_from(numbers.next() % 40_000).unwrap() - 10_000,
        _ => i32::try_from(numbers.next() % 3_652_059).unwrap() - 719_162,
    }
}

/// Nanoseconds since midnight.
fn time(numbers: &mut Numbers) -> i64 {
    let unit = *numbers.one(&[3_600_000_000_000u64, 1_000_000_000, 1_000_000, 1_000, 1]);
    i64::try_from(numbers.next() % (86_400_000_000_000 / unit) * unit).unwrap()
}

/// Units since 1970, within the years 1 to 9999.
fn instant(numbers: &mut Numbers, per_second: i64) -> i64 {
    let day = i64::from(day(numbers));
    (day * 86_400 + time(numbers) / 1_000_000_000) * per_second
        + i64::try_from(numbers.next() % 1_000_000_000).unwrap() % per_second
}

/// Nanoseconds since 1970, within the years that they reach.
fn nanoseconds(numbers: &mut Numbers) -> i64 {
    let day = i64::from(day(numbers)) % 100_000;
    day * 86_400_000_000_000 + time(numbers)
}

fn span(numbers: &mut Numbers) -> i64 {
    let unit = *numbers.one(&[86_400_000_000i64, 3_600_000_000, 1_000_000, 1]);
    (i64::try_from(numbers.next() % 1_000).unwrap() - 300) * unit
}
