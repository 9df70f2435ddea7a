//! The hash of a packet: BLAKE3, keyed by the schema, over the values in an encoding of our own.

use arrow::array::{Array, ArrayRef, AsArray, OffsetSizeTrait};
use arrow::datatypes::{
    ArrowNativeType, DataType, Decimal128Type, Decimal256Type, FieldRef, Float16Type, Float32Type,
    Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, TimeUnit, UInt8Type, UInt16Type, UInt32Type,
    UInt64Type,
};

use super::{Digest, Fingerprint, Structure};
use crate::types::{canonical_field, convert};

/// Bytes to whose multiple every encoded packet is padded.
const BLOCK_BYTES: usize = 64;

/// Identity of a packet: names, logical types and values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PacketHash(pub Digest);

/// Key of a result: the function and the packet it was computed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ResultKey(pub Digest);

impl ResultKey {
    /// The key of a function's result for a packet.
    #[must_use]
    pub fn of(fingerprint: &Fingerprint, packet: &PacketHash) -> Self {
        Self(Digest(*blake3::keyed_hash(&fingerprint.digest().0, &packet.0.0).as_bytes()))
    }

    /// The first 80 bits, which source info shows as 20 hex digits.
    #[must_use]
    pub fn short(&self) -> u128 {
        self.0.0.iter().take(10).fold(0, |bits, byte| (bits << 8) | u128::from(*byte))
    }
}

/// Why packets have no hash.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// A type without a logical form.
    #[error("hashing packets: column \"{column}\" cannot be part of a key")]
    Type {
        /// The column.
        column: String,
        /// Why.
        #[source]
        cause: crate::types::TypeError,
    },
    /// A value that its canonical form cannot hold.
    #[error("hashing packets: column \"{column}\" cannot be brought into its canonical form")]
    Value {
        /// The column.
        column: String,
        /// Why.
        #[source]
        cause: arrow::error::ArrowError,
    },
    /// Columns that are not those the hasher was made for.
    #[error("hashing packets: found {found} columns, expected {expected}")]
    Columns {
        /// Columns given.
        found: usize,
        /// Columns of the schema.
        expected: usize,
    },
}

/// Hashes packets of one schema.
///
/// Example:
/// ```
/// use std::sync::Arc;
/// use anabranch_engine::identity::PacketHasher;
/// use arrow::array::{ArrayRef, Int64Array};
/// use arrow::datatypes::{DataType, Field};
///
/// let field = Arc::new(Field::new("x", DataType::Int64, true));
/// let column: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None, Some(1)]));
/// let hashes = PacketHasher::new(&[field])?.hash(&[column], 3)?;
/// assert_eq!(hashes[0], hashes[2]);
/// assert_ne!(hashes[0], hashes[1]);
/// # Ok::<(), anabranch_engine::identity::IdentityError>(())
/// ```
#[derive(Debug)]
pub struct PacketHasher {
    key: [u8; 32],
    /// Positions of the columns, sorted by name, with their canonical fields.
    columns: Vec<(usize, FieldRef)>,
}

impl PacketHasher {
    /// A hasher for packets of these columns; their order does not matter.
    pub fn new(fields: &[FieldRef]) -> Result<Self, IdentityError> {
        let mut columns = Vec::with_capacity(fields.len());
        for (at, field) in fields.iter().enumerate() {
            let canonical = canonical_field(field)
                .map_err(|cause| IdentityError::Type { column: field.name().clone(), cause })?;
            columns.push((at, canonical));
        }
        columns.sort_unstable_by(|a, b| a.1.name().cmp(b.1.name()));
        let mut schema = Structure::new("packet");
        schema.fields(fields);
        Ok(Self { key: schema.finish().0, columns })
    }

    /// The hash of each of `rows` rows; `columns` stand in the order of the fields given to
    /// [`PacketHasher::new`], in any physical form of their logical types.
    pub fn hash(&self, columns: &[ArrayRef], rows: usize) -> Result<Vec<PacketHash>, IdentityError> {
        if columns.len() != self.columns.len() {
            return Err(IdentityError::Columns { found: columns.len(), expected: self.columns.len() });
        }
        let mut sorted = Vec::with_capacity(columns.len());
        for (at, field) in &self.columns {
            let Some(column) = columns.get(*at) else { continue };
            let plain = convert(column, field.data_type())
                .map_err(|cause| IdentityError::Value { column: field.name().clone(), cause })?;
            sorted.push(plain);
        }
        let encoders: Vec<Encoder<'_>> = sorted.iter().map(|c| Encoder::new(c.as_ref())).collect();
        let mut bytes = Vec::new();
        let hashes = (0..rows).map(|row| {
            bytes.clear();
            for encoder in &encoders {
                encoder.write(row, &mut bytes);
            }
            bytes.resize(bytes.len().next_multiple_of(BLOCK_BYTES).max(BLOCK_BYTES), 0);
            PacketHash(Digest(*blake3::keyed_hash(&self.key, &bytes).as_bytes()))
        });
        Ok(hashes.collect())
    }
}

const NULL: u8 = 0;
const VALUE: u8 = 1;

type WriteValue<'a> = Box<dyn Fn(usize, &mut Vec<u8>) + 'a>;

/// Writes the values of one canonical array: a mark for null or value, then the value in a form
/// that tells its own length.
struct Encoder<'a> {
    nulls: Option<arrow::buffer::NullBuffer>,
    value: WriteValue<'a>,
}

impl<'a> Encoder<'a> {
    fn new(array: &'a dyn Array) -> Self {
        Self { nulls: array.logical_nulls(), value: value_writer(array) }
    }

    fn write(&self, row: usize, out: &mut Vec<u8>) {
        if self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
            out.push(NULL);
        } else {
            out.push(VALUE);
            (self.value)(row, out);
        }
    }
}

macro_rules! little_endian {
    ($array:expr, $type:ty) => {{
        let values = $array.as_primitive::<$type>().values().clone();
        Box::new(move |row, out: &mut Vec<u8>| out.extend_from_slice(&native(&values, row).to_le_bytes()))
    }};
}

macro_rules! float {
    ($array:expr, $type:ty) => {{
        let values = $array.as_primitive::<$type>().values().clone();
        Box::new(move |row, out: &mut Vec<u8>| {
            let value = native(&values, row);
            let value = if value.is_nan() {
                <$type as arrow::datatypes::ArrowPrimitiveType>::Native::NAN
            } else {
                value
            };
            out.extend_from_slice(&value.to_bits().to_le_bytes());
        })
    }};
}

fn native<T: ArrowNativeType>(values: &[T], row: usize) -> T {
    values.get(row).copied().unwrap_or_default()
}

fn value_writer(array: &dyn Array) -> WriteValue<'_> {
    use arrow::datatypes as t;
    match array.data_type() {
        DataType::Boolean => {
            let values = array.as_boolean();
            Box::new(|row, out| out.push(u8::from(values.value(row))))
        }
        DataType::Int8 => little_endian!(array, Int8Type),
        DataType::Int16 => little_endian!(array, Int16Type),
        DataType::Int32 => little_endian!(array, Int32Type),
        DataType::Int64 => little_endian!(array, Int64Type),
        DataType::UInt8 => little_endian!(array, UInt8Type),
        DataType::UInt16 => little_endian!(array, UInt16Type),
        DataType::UInt32 => little_endian!(array, UInt32Type),
        DataType::UInt64 => little_endian!(array, UInt64Type),
        DataType::Float16 => float!(array, Float16Type),
        DataType::Float32 => float!(array, Float32Type),
        DataType::Float64 => float!(array, Float64Type),
        DataType::Date32 => little_endian!(array, t::Date32Type),
        DataType::Time64(_) => little_endian!(array, t::Time64NanosecondType),
        DataType::Timestamp(unit, _) => match unit {
            TimeUnit::Second => instant(array.as_primitive::<t::TimestampSecondType>().values(), 1),
            TimeUnit::Millisecond => {
                instant(array.as_primitive::<t::TimestampMillisecondType>().values(), 1_000)
            }
            TimeUnit::Microsecond => {
                instant(array.as_primitive::<t::TimestampMicrosecondType>().values(), 1_000_000)
            }
            TimeUnit::Nanosecond => {
                instant(array.as_primitive::<t::TimestampNanosecondType>().values(), 1_000_000_000)
            }
        },
        DataType::Duration(unit) => match unit {
            TimeUnit::Second => instant(array.as_primitive::<t::DurationSecondType>().values(), 1),
            TimeUnit::Millisecond => {
                instant(array.as_primitive::<t::DurationMillisecondType>().values(), 1_000)
            }
            TimeUnit::Microsecond => {
                instant(array.as_primitive::<t::DurationMicrosecondType>().values(), 1_000_000)
            }
            TimeUnit::Nanosecond => {
                instant(array.as_primitive::<t::DurationNanosecondType>().values(), 1_000_000_000)
            }
        },
        DataType::Decimal128(..) => {
            let values = array.as_primitive::<Decimal128Type>().values();
            Box::new(|row, out| shortest(&native(values, row).to_le_bytes(), out))
        }
        DataType::Decimal256(..) => {
            let values = array.as_primitive::<Decimal256Type>().values();
            Box::new(|row, out| shortest(&native(values, row).to_le_bytes(), out))
        }
        DataType::Utf8View => {
            let values = array.as_string_view();
            Box::new(|row, out| sized(values.value(row).as_bytes(), out))
        }
        DataType::BinaryView => {
            let values = array.as_binary_view();
            Box::new(|row, out| sized(values.value(row), out))
        }
        DataType::List(_) => list(array.as_list::<i32>()),
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

/// Seconds, rounded down, and nanoseconds: the same whatever the unit.
fn instant(values: &[i64], per_second: i64) -> WriteValue<'_> {
    Box::new(move |row, out| {
        let value = native(values, row);
        let nanoseconds = value.rem_euclid(per_second) * (1_000_000_000 / per_second);
        out.extend_from_slice(&value.div_euclid(per_second).to_le_bytes());
        out.extend_from_slice(&nanoseconds.to_le_bytes()[..4]);
    })
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
fn count(mut number: usize, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn list<O: OffsetSizeTrait>(list: &arrow::array::GenericListArray<O>) -> WriteValue<'_> {
    let items = [Encoder::new(list.values().as_ref())];
    let offsets = list.value_offsets();
    Box::new(move |row, out| entries(offsets, row, out, &items))
}

fn entries<O: OffsetSizeTrait>(offsets: &[O], row: usize, out: &mut Vec<u8>, columns: &[Encoder<'_>]) {
    let place = |at: usize| offsets.get(at).map_or(0, |o| o.as_usize());
    let (start, end) = (place(row), place(row + 1));
    count(end - start, out);
    for at in start..end {
        for column in columns {
            column.write(at, out);
        }
    }
}

fn fields(array: &arrow::array::StructArray) -> WriteValue<'_> {
    let mut sorted: Vec<(&str, &ArrayRef)> =
        array.fields().iter().map(|f| f.name().as_str()).zip(array.columns()).collect();
    sorted.sort_unstable_by_key(|(name, _)| *name);
    let columns: Vec<Encoder<'_>> = sorted.into_iter().map(|(_, c)| Encoder::new(c.as_ref())).collect();
    Box::new(move |row, out| {
        for column in &columns {
            column.write(row, out);
        }
    })
}
