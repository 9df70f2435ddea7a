//! Keys one after the other, as they go to disk and come back.

use std::sync::Arc;

use anabranch_engine::chunk::{Chunk, ChunkError};
use anabranch_engine::index::At as _;
use anabranch_engine::provenance::Provenance;
use anabranch_engine::schema::StreamSchema;
use arrow::array::{ArrayRef, AsArray, BinaryViewArray, BinaryViewBuilder, UInt64Array};
use arrow::datatypes::UInt64Type;

use super::word::Form;

/// Keys with their hashes and, of left, the numbers of their rows.
///
/// Memory: 16 bytes a key, 8 more for a row number, and the key's bytes; up to twice as much while
/// it grows. Where hashes are exact, 8 bytes a key less.
#[derive(Debug, Default)]
pub(super) struct KeyRows {
    hashes: Vec<u64>,
    /// Where the bytes of each key end; empty where hashes are exact.
    ends: Vec<usize>,
    bytes: Vec<u8>,
    /// Empty for keys of right.
    rows: Vec<u64>,
}

impl KeyRows {
    /// Keys that are their hashes.
    pub(super) fn of_hashes(hashes: impl Iterator<Item = u64>) -> Self {
        Self { hashes: hashes.collect(), ..Self::default() }
    }

    pub(super) fn len(&self) -> usize {
        self.hashes.len()
    }

    pub(super) fn push(&mut self, hash: u64, key: &[u8]) {
        self.hashes.push(hash);
        self.bytes.extend_from_slice(key);
        self.ends.push(self.bytes.len());
    }

    /// Adds a key of left; no bytes of one that is its hash.
    pub(super) fn push_numbered(&mut self, hash: u64, key: &[u8], form: Form, row: u64) {
        match form {
            Form::Hash => self.hashes.push(hash),
            Form::Packed | Form::Bytes => self.push(hash, key),
        }
        self.rows.push(row);
    }

    pub(super) fn get(&self, at: usize) -> (u64, &[u8]) {
        let hash = *self.hashes.at(at, "key");
        if self.ends.is_empty() {
            return (hash, &[]);
        }
        let end = |at: usize| *self.ends.at(at, "end of a key");
        let Some(key) = self.bytes.get(at.checked_sub(1).map_or(0, end)..end(at)) else {
            unreachable!("the bytes of key {at} must lie among those of all keys")
        };
        (hash, key)
    }

    /// The number of the row that a key of left belongs to.
    pub(super) fn row(&self, at: usize) -> u64 {
        *self.rows.at(at, "numbered key")
    }

    pub(super) fn bytes(&self) -> usize {
        (self.hashes.capacity() + self.rows.capacity()) * size_of::<u64>()
            + self.ends.capacity() * size_of::<usize>()
            + self.bytes.capacity()
    }

    /// The keys as chunks of about so many bytes.
    pub(super) fn chunks(&self, schema: &Arc<StreamSchema>, bytes: usize) -> Result<Vec<Chunk>, ChunkError> {
        let mut chunks = Vec::new();
        let mut from = 0;
        while from < self.len() {
            let mut to = from;
            let mut size = 0;
            while to < self.len() && (to == from || size < bytes) {
                size += 3 * size_of::<u64>() + self.get(to).1.len();
                to += 1;
            }
            chunks.push(self.chunk(schema, from, to)?);
            from = to;
        }
        Ok(chunks)
    }

    fn chunk(&self, schema: &Arc<StreamSchema>, from: usize, to: usize) -> Result<Chunk, ChunkError> {
        let numbers = |values: &[u64]| -> ArrayRef {
            let Some(values) = values.get(from..to) else {
                unreachable!("keys {from} to {to} must exist, there are {}", values.len())
            };
            Arc::new(UInt64Array::from(values.to_vec()))
        };
        let mut columns = vec![numbers(&self.hashes)];
        if !self.ends.is_empty() {
            let mut keys = BinaryViewBuilder::with_capacity(to - from);
            for at in from..to {
                keys.try_append_value(self.get(at).1)?;
            }
            columns.push(Arc::new(keys.finish()));
        }
        if !self.rows.is_empty() {
            columns.push(numbers(&self.rows));
        }
        Chunk::new(Arc::clone(schema), to - from, columns, Vec::new(), Provenance::default())
    }
}

/// Keys that came back from disk.
pub(super) struct StoredKeys<'a> {
    hashes: &'a UInt64Array,
    keys: Option<&'a BinaryViewArray>,
    rows: Option<&'a UInt64Array>,
}

impl<'a> StoredKeys<'a> {
    pub(super) fn of(chunk: &'a Chunk) -> Option<Self> {
        let (first, rest) = chunk.tags().split_first()?;
        Some(Self {
            hashes: first.as_primitive_opt::<UInt64Type>()?,
            keys: rest.iter().find_map(|column| column.as_binary_view_opt()),
            rows: rest.iter().find_map(|column| column.as_primitive_opt::<UInt64Type>()),
        })
    }

    pub(super) fn len(&self) -> usize {
        self.hashes.len()
    }

    pub(super) fn get(&self, at: usize) -> (u64, &'a [u8]) {
        let key = self.keys.map_or(&[][..], |keys| keys.value(at));
        (*self.hashes.values().at(at, "stored key"), key)
    }

    pub(super) fn row(&self, at: usize) -> u64 {
        let Some(rows) = self.rows else { unreachable!("keys of left are stored with their rows") };
        *rows.values().at(at, "stored key")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::datatypes::{DataType, Field};

    #[test]
    fn keys_come_back_from_chunks_as_they_went() {
        let fields = [("hash", DataType::UInt64), ("key", DataType::BinaryView), ("row", DataType::UInt64)];
        let fields = fields.into_iter().map(|(name, t)| Arc::new(Field::new(name, t, false))).collect();
        let schema = Arc::new(StreamSchema::new(fields, vec![], vec![]).unwrap());
        let mut keys = KeyRows::default();
        let expected: Vec<(u64, Vec<u8>, u64)> =
            (0..50).map(|n| (n * 7, vec![3; usize::try_from(n).unwrap()], n + 1000)).collect();
        for (hash, key, row) in &expected {
            keys.push_numbered(*hash, key, Form::Bytes, *row);
        }
        let chunks = keys.chunks(&schema, 200).unwrap();
        assert!(chunks.len() > 5, "only {} chunks", chunks.len());
        let mut found = Vec::new();
        for chunk in &chunks {
            let stored = StoredKeys::of(chunk).unwrap();
            found.extend((0..stored.len()).map(|at| {
                let (hash, key) = stored.get(at);
                (hash, key.to_vec(), stored.row(at))
            }));
        }
        assert_eq!(found, expected);
    }
}
