//! Keys of rows in a form that compares as the keys do.

use std::cmp::Ordering;

use anabranch_engine::index::At as _;
use anabranch_engine::operator::{BindError, unknown_column};
use anabranch_engine::schema::{Role, StreamSchema};
use anabranch_engine::types::logical_name;
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::SortOptions;
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use arrow::row::{RowConverter, Rows, SortField};

use crate::keys::one_zero_one_nan;
use crate::projection::distinct;

/// The tag columns that rows are sorted by.
#[derive(Debug)]
pub(crate) struct SortKeys {
    /// Places of the columns among the tags.
    pub(crate) places: Vec<usize>,
    converter: RowConverter,
}

/// The keys of some rows, in order of the rows.
///
/// A key is a string of bytes, none of which is the beginning of another (Arrow's row format). So
/// the first 12 of them distinguish most keys as one number, and all keys that are not longer.
#[derive(Debug)]
pub(crate) struct EncodedKeys {
    prefixes: Vec<u128>,
    /// All bytes, if some key is longer.
    rows: Option<Rows>,
}

const PREFIX_BYTES: usize = 12;
/// Bits of a row number, which stands behind the prefix while rows are sorted.
const ROW_BITS: u32 = u32::BITS;

impl SortKeys {
    /// Finds the tags that are named.
    pub(crate) fn bind(names: &[String], schema: &StreamSchema) -> Result<Self, BindError> {
        distinct("by", names)?;
        let places = names.iter().map(|name| key_place(name, schema)).collect::<Result<Vec<_>, _>>()?;
        let options = SortOptions { descending: false, nulls_first: false };
        let fields = places.iter().map(|at| schema.tags().at(*at, "sorted tag"));
        let fields = fields.map(|f| SortField::new_with_options(f.data_type().clone(), options)).collect();
        let converter = RowConverter::new(fields).map_err(|cause| {
            BindError::parameter(
                "by",
                format!("a tag that cannot be compared ({cause})"),
                "tags of types that can be keys",
                "name other tags",
            )
        })?;
        Ok(Self { places, converter })
    }

    /// About so many bytes will the keys of rows with these tags take.
    pub(crate) fn bytes_of(&self, tags: &[ArrayRef], rows: usize) -> usize {
        let columns = self.places.iter().map(|at| tags.at(*at, "sorted tag"));
        let bytes = columns.map(|column| match column.data_type() {
            // Bytes of strings are encoded in blocks, with a mark behind each.
            DataType::Utf8View => column.as_string_view().total_buffer_bytes_used() * 3 / 2 + rows * 12,
            DataType::BinaryView => column.as_binary_view().total_buffer_bytes_used() * 3 / 2 + rows * 12,
            other => rows * (1 + other.primitive_width().unwrap_or(1)),
        });
        let bytes: usize = bytes.sum();
        let long = if bytes > rows * PREFIX_BYTES { bytes + rows * size_of::<usize>() } else { 0 };
        rows * size_of::<u128>() + long
    }

    /// The keys of rows with these tags.
    pub(crate) fn encode(&self, tags: &[ArrayRef], rows: usize) -> Result<EncodedKeys, ArrowError> {
        if self.places.is_empty() {
            return Ok(EncodedKeys { prefixes: vec![0; rows], rows: None });
        }
        let columns: Vec<ArrayRef> =
            self.places.iter().map(|at| one_zero_one_nan(tags.at(*at, "sorted tag").clone())).collect();
        let rows = self.converter.convert_columns(&columns)?;
        let prefixes = rows.iter().map(|row| prefix(row.data())).collect();
        let is_short = rows.lengths().all(|bytes| bytes <= PREFIX_BYTES);
        Ok(EncodedKeys { prefixes, rows: (!is_short).then_some(rows) })
    }
}

fn key_place(name: &str, schema: &StreamSchema) -> Result<usize, BindError> {
    let Some((Role::Tag, at, field)) = schema.find(name) else {
        return Err(unknown_column(0, Some(Role::Tag), name, schema));
    };
    if field.data_type().is_nested() {
        return Err(BindError::conflict(
            name,
            logical_name(field),
            "a type that can be a key, which a list, struct or map is not",
            "name another tag in by",
        ));
    }
    Ok(at)
}

/// The first bytes as a number, zeros behind a short key.
fn prefix(bytes: &[u8]) -> u128 {
    let mut word = [0; 16];
    let count = bytes.len().min(PREFIX_BYTES);
    let start = word.len() - PREFIX_BYTES;
    if let (Some(to), Some(from)) = (word.get_mut(start..start + count), bytes.get(..count)) {
        to.copy_from_slice(from);
    }
    u128::from_be_bytes(word)
}

impl EncodedKeys {
    pub(crate) fn len(&self) -> usize {
        self.prefixes.len()
    }

    pub(crate) fn bytes(&self) -> usize {
        size_of_val(self.prefixes.as_slice()) + self.rows.as_ref().map_or(0, Rows::size)
    }

    /// The first bytes of a key; what has lesser ones stands before.
    pub(super) fn prefix(&self, row: usize) -> u128 {
        *self.prefixes.at(row, "sorted row")
    }

    /// Compares a key with one of the same columns, perhaps of other rows.
    pub(crate) fn compare(&self, row: usize, other: &Self, other_row: usize) -> Ordering {
        let first = self.prefix(row).cmp(&other.prefix(other_row));
        first.then_with(|| match (&self.rows, &other.rows) {
            (Some(mine), Some(theirs)) => mine.row(row).cmp(&theirs.row(other_row)),
            // A key of at most 12 bytes: nothing else has its prefix.
            _ => Ordering::Equal,
        })
    }

    /// The rows in the order of their keys, equal ones as they stand.
    pub(crate) fn sorted(&self) -> Vec<u32> {
        let numbered = self.prefixes.iter().zip(0_u32..);
        let mut packed: Vec<u128> = numbered.map(|(key, row)| (key << ROW_BITS) | u128::from(row)).collect();
        packed.sort_unstable();
        let Some(keys) = &self.rows else { return packed.iter().map(|word| low_bits(*word)).collect() };
        let mut rows = Vec::with_capacity(packed.len());
        let mut group: Vec<(&[u8], u32)> = Vec::new();
        for same in packed.chunk_by(|one, next| one >> ROW_BITS == next >> ROW_BITS) {
            let numbers = same.iter().map(|word| low_bits(*word));
            if same.len() == 1 {
                rows.extend(numbers);
                continue;
            }
            // Every row has a prefix and a key.
            group.extend(numbers.map(|row| (keys.row(row as usize).data(), row)));
            group.sort_unstable();
            rows.extend(group.drain(..).map(|(_, row)| row));
        }
        rows
    }

    /// The keys of the rows in this order.
    pub(crate) fn arranged(&self, order: &[u32], keys: &SortKeys) -> Self {
        let prefix = |row: &u32| self.prefix(*row as usize);
        let rows = self.rows.as_ref().map(|rows| {
            let mut arranged = keys.converter.empty_rows(order.len(), rows.lengths().sum());
            for row in order {
                arranged.push(rows.row(*row as usize));
            }
            arranged
        });
        Self { prefixes: order.iter().map(prefix).collect(), rows }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the row number is what lies in the low bits")]
fn low_bits(word: u128) -> u32 {
    word as u32
}
