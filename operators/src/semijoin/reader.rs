//! From chunks to keys: hashes, and bytes where hashes are not exact.

use anabranch_engine::chunk::{Chunk, ChunkError};
use anabranch_engine::schema::Role;
use arrow::array::{Array, ArrayRef, UInt32Array};
use arrow::buffer::NullBuffer;
use arrow::compute::take;
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use arrow::row::{RowConverter, Rows, SortField};

use super::plan::{Key, Place};
use crate::keys::{hash_rows, key_form};

/// Reads the keys of one side.
pub(super) struct KeyReader {
    columns: Vec<(Place, DataType)>,
    /// Writes keys as bytes, equal ones alike; none where hashes are exact.
    converter: Option<RowConverter>,
}

/// The keys of a chunk, without those that have a null.
pub(super) struct Keys {
    /// The row of each key; all rows in their order if not given.
    rows: Option<Vec<u32>>,
    hashes: Vec<u64>,
    bytes: Option<Rows>,
}

impl KeyReader {
    pub(super) fn new(keys: &[Key], side: impl Fn(&Key) -> Place, exact: bool) -> Result<Self, ArrowError> {
        let columns: Vec<_> = keys.iter().map(|key| (side(key), key.data_type.clone())).collect();
        let fields = || columns.iter().map(|(_, data_type)| SortField::new(data_type.clone())).collect();
        let converter = if exact { None } else { Some(RowConverter::new(fields())?) };
        Ok(Self { columns, converter })
    }

    pub(super) fn read(&self, chunk: &Chunk) -> Result<Keys, ChunkError> {
        let mut nulls: Option<NullBuffer> = None;
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(self.columns.len());
        for (place, data_type) in &self.columns {
            let group = match place.role {
                Role::Tag => chunk.tags(),
                Role::Packet => chunk.packets(),
            };
            let missing = || ArrowError::SchemaError("a key column is missing".to_owned());
            let column = key_form(group.get(place.at).ok_or_else(missing)?, data_type)?;
            nulls = NullBuffer::union(nulls.as_ref(), column.logical_nulls().as_ref());
            columns.push(column);
        }
        let rows = nulls.filter(|nulls| nulls.null_count() > 0).map(|nulls| {
            nulls.valid_indices().filter_map(|row| u32::try_from(row).ok()).collect::<Vec<u32>>()
        });
        if let Some(rows) = &rows {
            let chosen = UInt32Array::from(rows.clone());
            columns = columns.iter().map(|column| take(column, &chosen, None)).collect::<Result<_, _>>()?;
        }
        let count = rows.as_ref().map_or(chunk.rows(), Vec::len);
        let bytes =
            self.converter.as_ref().map(|converter| converter.convert_columns(&columns)).transpose()?;
        Ok(Keys { rows, hashes: hash_rows(&columns, count), bytes })
    }
}

impl Keys {
    pub(super) fn len(&self) -> usize {
        self.hashes.len()
    }

    /// Whether every row of the chunk has a key.
    pub(super) fn is_whole(&self) -> bool {
        self.rows.is_none()
    }

    /// Hash and bytes of a key; no bytes where hashes are exact.
    pub(super) fn get(&self, at: usize) -> (u64, &[u8]) {
        let bytes = self.bytes.as_ref().map_or(&[][..], |rows| rows.row(at).data());
        (self.hashes.get(at).copied().unwrap_or(0), bytes)
    }

    /// The row of the chunk that a key belongs to.
    pub(super) fn row(&self, at: usize) -> usize {
        match &self.rows {
            Some(rows) => rows.get(at).map_or(0, |row| *row as usize),
            None => at,
        }
    }
}
