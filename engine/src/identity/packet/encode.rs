//! The values of one column in a form that tells its own length.

use std::ops::Range;

use arrow::array::{Array, ArrayRef, AsArray, BinaryViewArray, StringViewArray};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::datatypes::{
    ArrowNativeType, ArrowPrimitiveType, DataType, Date32Type, Decimal128Type, Decimal256Type,
    DurationMicrosecondType, DurationMillisecondType, DurationNanosecondType, DurationSecondType,
    Float16Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, Time64NanosecondType,
    TimeUnit, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
    TimestampSecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};

use super::tile::{Tile, put};
use crate::index::At as _;

const NULL: u8 = 0;
pub(super) const VALUE: u8 = 1;

/// Writes the values of one canonical array: a mark for null or value, then the value.
pub(super) struct Encoder<'a> {
    pub(super) nulls: Option<NullBuffer>,
    pub(super) values: Values<'a>,
}

/// Appends the value of a row.
type AppendValue<'a> = Box<dyn Fn(usize, &mut Vec<u8>) + 'a>;

/// The form in which the values of a column are written.
pub(super) enum Values<'a> {
    /// As many bytes for each value.
    Fixed(Box<dyn Fixed + 'a>),
    Text(&'a StringViewArray),
    Binary(&'a BinaryViewArray),
    /// Any other type.
    Other(AppendValue<'a>),
}

/// Values of one width.
pub(super) trait Fixed {
    /// Bytes of a value.
    fn width(&self) -> usize;

    /// Appends the value of a row.
    fn append(&self, row: usize, out: &mut Vec<u8>);

    /// Writes the values of some rows, marks included.
    fn write(&self, rows: Range<usize>, nulls: Option<&NullBuffer>, tile: &mut Tile);
}

impl<'a> Encoder<'a> {
    pub(super) fn new(array: &'a dyn Array) -> Self {
        let nulls = array.logical_nulls().filter(|nulls| nulls.null_count() > 0);
        Self { nulls, values: values(array) }
    }

    /// Appends the mark and the value of a row.
    pub(super) fn append(&self, row: usize, out: &mut Vec<u8>) {
        if self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
            out.push(NULL);
            return;
        }
        out.push(VALUE);
        match &self.values {
            Values::Fixed(fixed) => fixed.append(row, out),
            Values::Text(array) => sized(array.value(row).as_bytes(), out),
            Values::Binary(array) => sized(array.value(row), out),
            Values::Other(write) => write(row, out),
        }
    }
}

/// Values of a primitive type, and what bytes each becomes.
struct Primitive<'a, T, F, const W: usize> {
    values: &'a [T],
    bytes: F,
}

impl<T: Copy, F: Fn(T) -> [u8; W], const W: usize> Fixed for Primitive<'_, T, F, W> {
    fn width(&self) -> usize {
        W
    }

    fn append(&self, row: usize, out: &mut Vec<u8>) {
        out.extend_from_slice(&(self.bytes)(*self.values.at(row, "row to hash")));
    }

    fn write(&self, rows: Range<usize>, nulls: Option<&NullBuffer>, tile: &mut Tile) {
        let values = self.values.at(rows.clone(), "rows to hash");
        match nulls {
            None => {
                for ((cell, end), value) in tile.cells().zip(values) {
                    put(cell, end, (self.bytes)(*value));
                }
            }
            Some(nulls) => {
                for (((cell, end), value), row) in tile.cells().zip(values).zip(rows) {
                    if nulls.is_valid(row) {
                        put(cell, end, (self.bytes)(*value));
                    } else {
                        // The mark of a null is zero, as is the tile.
                        *end += 1;
                    }
                }
            }
        }
    }
}

struct Truths<'a>(&'a BooleanBuffer);

impl Fixed for Truths<'_> {
    fn width(&self) -> usize {
        1
    }

    fn append(&self, row: usize, out: &mut Vec<u8>) {
        out.push(u8::from(self.0.value(row)));
    }

    fn write(&self, rows: Range<usize>, nulls: Option<&NullBuffer>, tile: &mut Tile) {
        for ((cell, end), row) in tile.cells().zip(rows) {
            if nulls.is_none_or(|nulls| nulls.is_valid(row)) {
                put(cell, end, [u8::from(self.0.value(row))]);
            } else {
                *end += 1;
            }
        }
    }
}

fn primitive<'a, P: ArrowPrimitiveType, const W: usize>(
    array: &'a dyn Array,
    bytes: impl Fn(P::Native) -> [u8; W] + 'a,
) -> Values<'a> {
    Values::Fixed(Box::new(Primitive { values: array.as_primitive::<P>().values(), bytes }))
}

/// Seconds, rounded down, and nanoseconds: the same whatever the unit.
fn instant<P: ArrowPrimitiveType<Native = i64>>(array: &dyn Array, per_second: i64) -> Values<'_> {
    primitive::<P, 12>(array, move |value| {
        let nanoseconds = value.rem_euclid(per_second) * (1_000_000_000 / per_second);
        let mut bytes = [0; 12];
        let (seconds, rest) = bytes.split_at_mut(8);
        seconds.copy_from_slice(&value.div_euclid(per_second).to_le_bytes());
        rest.copy_from_slice(&nanoseconds.to_le_bytes()[..4]);
        bytes
    })
}

fn values(array: &dyn Array) -> Values<'_> {
    use TimeUnit::{Microsecond, Millisecond, Nanosecond, Second};
    match array.data_type() {
        DataType::Boolean => Values::Fixed(Box::new(Truths(array.as_boolean().values()))),
        DataType::Int8 => primitive::<Int8Type, 1>(array, i8::to_le_bytes),
        DataType::Int16 => primitive::<Int16Type, 2>(array, i16::to_le_bytes),
        DataType::Int32 => primitive::<Int32Type, 4>(array, i32::to_le_bytes),
        DataType::Int64 => primitive::<Int64Type, 8>(array, i64::to_le_bytes),
        DataType::UInt8 => primitive::<UInt8Type, 1>(array, u8::to_le_bytes),
        DataType::UInt16 => primitive::<UInt16Type, 2>(array, u16::to_le_bytes),
        DataType::UInt32 => primitive::<UInt32Type, 4>(array, u32::to_le_bytes),
        DataType::UInt64 => primitive::<UInt64Type, 8>(array, u64::to_le_bytes),
        DataType::Float16 => {
            type Half = <Float16Type as ArrowPrimitiveType>::Native;
            primitive::<Float16Type, 2>(array, |v| if v.is_nan() { Half::NAN } else { v }.to_le_bytes())
        }
        DataType::Float32 => {
            primitive::<Float32Type, 4>(array, |v| if v.is_nan() { f32::NAN } else { v }.to_le_bytes())
        }
        DataType::Float64 => {
            primitive::<Float64Type, 8>(array, |v| if v.is_nan() { f64::NAN } else { v }.to_le_bytes())
        }
        DataType::Date32 => primitive::<Date32Type, 4>(array, i32::to_le_bytes),
        DataType::Time64(Nanosecond) => primitive::<Time64NanosecondType, 8>(array, i64::to_le_bytes),
        DataType::Timestamp(Second, _) => instant::<TimestampSecondType>(array, 1),
        DataType::Timestamp(Millisecond, _) => instant::<TimestampMillisecondType>(array, 1_000),
        DataType::Timestamp(Microsecond, _) => instant::<TimestampMicrosecondType>(array, 1_000_000),
        DataType::Timestamp(Nanosecond, _) => instant::<TimestampNanosecondType>(array, 1_000_000_000),
        DataType::Duration(Second) => instant::<DurationSecondType>(array, 1),
        DataType::Duration(Millisecond) => instant::<DurationMillisecondType>(array, 1_000),
        DataType::Duration(Microsecond) => instant::<DurationMicrosecondType>(array, 1_000_000),
        DataType::Duration(Nanosecond) => instant::<DurationNanosecondType>(array, 1_000_000_000),
        DataType::Utf8View => Values::Text(array.as_string_view()),
        DataType::BinaryView => Values::Binary(array.as_binary_view()),
        _ => Values::Other(by_row(array)),
    }
}

/// Types that are written value by value.
fn by_row(array: &dyn Array) -> AppendValue<'_> {
    match array.data_type() {
        DataType::Decimal128(..) => {
            let values = array.as_primitive::<Decimal128Type>().values();
            Box::new(|row, out| shortest(&native(values, row).to_le_bytes(), out))
        }
        DataType::Decimal256(..) => {
            let values = array.as_primitive::<Decimal256Type>().values();
            Box::new(|row, out| shortest(&native(values, row).to_le_bytes(), out))
        }
        DataType::List(_) => {
            let list = array.as_list::<i32>();
            let (offsets, items) = (list.value_offsets(), [Encoder::new(list.values().as_ref())]);
            Box::new(move |row, out| entries(offsets, row, out, &items))
        }
        DataType::Struct(_) => fields(array.as_struct()),
        DataType::Map(..) => {
            let map = array.as_map();
            let columns: Vec<Encoder<'_>> =
                map.entries().columns().iter().map(|c| Encoder::new(c.as_ref())).collect();
            let offsets = map.value_offsets();
            Box::new(move |row, out| entries(offsets, row, out, &columns))
        }
        // No other type is canonical.
        _ => Box::new(|_, _| {}),
    }
}

fn native<T: ArrowNativeType>(values: &[T], row: usize) -> T {
    *values.at(row, "row to hash")
}

/// A two's complement number in as few little-endian bytes as keep its sign, after their count.
fn shortest(bytes: &[u8], out: &mut Vec<u8>) {
    let negative = bytes.last().is_some_and(|b| *b >= 0x80);
    let filler = if negative { 0xff } else { 0 };
    let mut rest = bytes;
    while let [shorter @ .., last] = rest {
        let sign_kept = shorter.last().is_some_and(|b| (*b >= 0x80) == negative);
        if *last != filler || !sign_kept {
            break;
        }
        rest = shorter;
    }
    sized(rest, out);
}

fn sized(bytes: &[u8], out: &mut Vec<u8>) {
    count(bytes.len(), out);
    out.extend_from_slice(bytes);
}

/// A count in base 128, low digits first, the high bit set on all but the last byte.
#[expect(clippy::cast_possible_truncation, reason = "each digit is masked to seven bits")]
pub(super) fn count(mut number: usize, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn entries(offsets: &[i32], row: usize, out: &mut Vec<u8>, columns: &[Encoder<'_>]) {
    let place = |at: usize| offsets.at(at, "offset of a list").as_usize();
    let (start, end) = (place(row), place(row + 1));
    count(end - start, out);
    for at in start..end {
        for column in columns {
            column.append(at, out);
        }
    }
}

fn fields(array: &arrow::array::StructArray) -> AppendValue<'_> {
    let mut sorted: Vec<(&str, &ArrayRef)> =
        array.fields().iter().map(|f| f.name().as_str()).zip(array.columns()).collect();
    sorted.sort_unstable_by_key(|(name, _)| *name);
    let columns: Vec<Encoder<'_>> = sorted.into_iter().map(|(_, c)| Encoder::new(c.as_ref())).collect();
    Box::new(move |row, out| {
        for column in &columns {
            column.append(row, out);
        }
    })
}
