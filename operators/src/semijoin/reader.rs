//! From chunks to keys: hashes, and bytes where hashes are not exact.

use anabranch_engine::chunk::{Chunk, ChunkError};
use anabranch_engine::index::{At as _, row_number};
use anabranch_engine::schema::Role;
use arrow::array::{Array, ArrayRef, AsArray, BinaryViewArray, UInt32Array};
use arrow::buffer::NullBuffer;
use arrow::compute::take;
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use arrow::row::{RowConverter, Rows, SortField};

use super::plan::{ColumnPlace, Key, SemijoinPlan};
use super::word::{Form, Word};
use crate::keys::{hash_rows, key_form, pack_rows};
use crate::rows::array_bytes;

/// Reads the keys of both sides.
pub(super) struct Readers {
    pub(super) left: KeyReader,
    pub(super) right: KeyReader,
}

impl Readers {
    pub(super) fn of(plan: &SemijoinPlan) -> Result<Self, ChunkError> {
        let left = KeyReader::new(&plan.keys, |key| key.left, plan.form)?;
        let right = KeyReader::new(&plan.keys, |key| key.right, plan.form)?;
        Ok(Self { left, right })
    }
}

/// Reads the keys of one side.
pub(super) struct KeyReader {
    columns: Vec<(ColumnPlace, DataType)>,
    form: Form,
    /// Writes keys as bytes, equal ones alike; none where they are in their form already.
    converter: Option<RowConverter>,
}

/// The bytes of keys.
#[derive(Debug)]
enum KeyBytes {
    /// Hashes are the keys.
    None,
    /// Of keys that are packed.
    Packed(Vec<u128>),
    /// Of a key of one column of text or bytes.
    Views(BinaryViewArray),
    /// Of any other key.
    Rows(Rows),
}

/// The keys of a chunk, without those that have a null.
#[derive(Debug)]
pub(super) struct Keys {
    /// The row of each key; all rows in their order if not given.
    rows: Option<Vec<u32>>,
    pub(super) hashes: Vec<u64>,
    bytes: KeyBytes,
}

impl KeyReader {
    fn new(keys: &[Key], side: impl Fn(&Key) -> ColumnPlace, form: Form) -> Result<Self, ArrowError> {
        let columns: Vec<_> = keys.iter().map(|key| (side(key), key.data_type.clone())).collect();
        let fields = || columns.iter().map(|(_, data_type)| SortField::new(data_type.clone())).collect();
        let is_bytes = matches!(columns.as_slice(), [(_, DataType::Utf8View | DataType::BinaryView)]);
        let converter =
            if form != Form::Bytes || is_bytes { None } else { Some(RowConverter::new(fields())?) };
        Ok(Self { columns, form, converter })
    }

    pub(super) fn read(&self, chunk: &Chunk) -> Result<Keys, ChunkError> {
        let mut nulls: Option<NullBuffer> = None;
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(self.columns.len());
        for (place, data_type) in &self.columns {
            let array = key_form(column(chunk, *place), data_type)?;
            nulls = NullBuffer::union(nulls.as_ref(), array.logical_nulls().as_ref());
            columns.push(array);
        }
        let rows = nulls
            .filter(|nulls| nulls.null_count() > 0)
            .map(|nulls| nulls.valid_indices().map(row_number).collect::<Vec<u32>>());
        if let Some(rows) = &rows {
            let chosen = UInt32Array::from(rows.clone());
            columns = columns.iter().map(|column| take(column, &chosen, None)).collect::<Result<_, _>>()?;
        }
        let count = rows.as_ref().map_or(chunk.rows(), Vec::len);
        Ok(Keys { rows, hashes: hash_rows(&columns, count), bytes: self.bytes(&columns, count)? })
    }

    fn bytes(&self, columns: &[ArrayRef], rows: usize) -> Result<KeyBytes, ArrowError> {
        if self.form == Form::Packed {
            return Ok(KeyBytes::Packed(pack_rows(columns, rows)));
        }
        if let Some(converter) = &self.converter {
            return Ok(KeyBytes::Rows(converter.convert_columns(columns)?));
        }
        let [column] = columns else { return Ok(KeyBytes::None) };
        Ok(match column.data_type() {
            DataType::Utf8View => KeyBytes::Views(column.as_string_view().clone().to_binary_view()),
            DataType::BinaryView => KeyBytes::Views(column.as_binary_view().clone()),
            _ => KeyBytes::None,
        })
    }
}

/// Bytes of the key columns of a chunk of right.
pub(super) fn key_bytes(chunk: &Chunk, plan: &SemijoinPlan) -> usize {
    let columns = plan.keys.iter().map(|key| column(chunk, key.right));
    columns.map(|column| array_bytes(column.as_ref())).sum()
}

fn column(chunk: &Chunk, place: ColumnPlace) -> &ArrayRef {
    match place.role {
        Role::Tag => chunk.tags().at(place.at, "key column"),
        Role::Packet => chunk.packets().at(place.at, "key column"),
    }
}

impl Keys {
    /// Returns whether every row of the chunk has a key.
    pub(super) fn is_whole(&self) -> bool {
        self.rows.is_none()
    }

    /// Keys with these hashes, as a reader gives them.
    #[cfg(test)]
    pub(super) fn of_pairs(form: Form, pairs: &[(u64, Vec<u8>)]) -> Self {
        let views = || BinaryViewArray::from_iter_values(pairs.iter().map(|(_, key)| key));
        let packed = |key: &[u8]| match form.word(key) {
            Word::Packed(key) => key,
            other => panic!("{other:?} is not packed"),
        };
        let bytes = match form {
            Form::Hash => KeyBytes::None,
            Form::Packed => KeyBytes::Packed(pairs.iter().map(|(_, key)| packed(key)).collect()),
            Form::Bytes => KeyBytes::Views(views()),
        };
        Self { rows: None, hashes: pairs.iter().map(|(hash, _)| *hash).collect(), bytes }
    }

    /// A key; nothing where hashes are exact.
    #[inline]
    pub(super) fn word(&self, at: usize) -> Word<'_> {
        match &self.bytes {
            KeyBytes::None => Word::Short(0),
            KeyBytes::Packed(keys) => Word::Packed(*keys.at(at, "key")),
            KeyBytes::Rows(rows) => Form::Bytes.word(rows.row(at).data()),
            KeyBytes::Views(views) => match *views.views().at(at, "key") {
                view if Word::length(view) <= Word::SHORT => Word::Short(view),
                _ => Word::Long(views.value(at)),
            },
        }
    }

    /// The row of the chunk that a key belongs to.
    pub(super) fn row(&self, at: usize) -> usize {
        match &self.rows {
            Some(rows) => *rows.at(at, "key") as usize,
            None => at,
        }
    }
}
