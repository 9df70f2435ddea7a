//! Blocks of results: the packets' hashes, whether each gave a packet, and the outputs.

use std::ops::Range;
use std::sync::Arc;

use anabranch_engine::identity::{Digest, PacketHash};
use anabranch_engine::index::{At as _, holds};
use arrow::array::{Array as _, ArrayRef, AsArray, BooleanArray, FixedSizeBinaryArray};
use arrow::buffer::Buffer;
use arrow::datatypes::FieldRef;
use arrow::error::ArrowError;

use crate::block::exact::value_bytes;
use crate::block::{Columns, decode};

/// Bytes of a packet hash that stand in a block's key blob; the rest stands in its IPC data.
pub(crate) const PREFIX_BYTES: usize = 16;

/// A result block ready to be written.
#[derive(Debug)]
pub(crate) struct EncodedResults {
    /// The first 16 bytes of each packet hash, in row order.
    pub(crate) prefixes: Vec<u8>,
    /// The IPC stream.
    pub(crate) data: Vec<u8>,
}

impl EncodedResults {
    /// Shapes: as many keys, flags and values in each column.
    pub(crate) fn new(
        keys: &[PacketHash],
        emitted: &[bool],
        outputs: &[FieldRef],
        values: &[ArrayRef],
    ) -> Result<Self, ArrowError> {
        let mut prefixes = Vec::with_capacity(keys.len() * PREFIX_BYTES);
        let mut tails = Vec::with_capacity(keys.len() * PREFIX_BYTES);
        for key in keys {
            let (prefix, tail) = key.0.0.split_at(PREFIX_BYTES);
            prefixes.extend_from_slice(prefix);
            tails.extend_from_slice(tail);
        }
        let tails = FixedSizeBinaryArray::try_new(16, Buffer::from_vec(tails), None)?;
        let mut columns = Columns::default();
        columns.push("_tail", &(Arc::new(tails) as ArrayRef))?;
        columns.push("_emitted", &(Arc::new(BooleanArray::from(emitted.to_vec())) as ArrayRef))?;
        for (field, value) in outputs.iter().zip(values) {
            columns.push(field.name(), value)?;
        }
        let data = columns.encode(keys.len(), None)?;
        Ok(Self { prefixes, data })
    }

    /// Guards all parts against damage; a pack has its entries in front.
    pub(crate) fn checksum(&self, entries: &[u8]) -> [u8; 32] {
        checksum(entries, &self.prefixes, &self.data)
    }
}

fn checksum(entries: &[u8], prefixes: &[u8], data: &[u8]) -> [u8; 32] {
    *blake3::Hasher::new().update(entries).update(prefixes).update(data).finalize().as_bytes()
}

/// A result block read back.
#[derive(Debug)]
pub(crate) struct ResultBlock {
    prefixes: Vec<u8>,
    tails: FixedSizeBinaryArray,
    emitted: BooleanArray,
    values: Vec<ArrayRef>,
    outputs: Vec<FieldRef>,
    bytes: usize,
}

impl ResultBlock {
    /// Reads a block; the error describes the damage.
    pub(crate) fn read(
        entries: &[u8],
        prefixes: Vec<u8>,
        data: Vec<u8>,
        expected: &[u8],
    ) -> Result<Self, String> {
        if checksum(entries, &prefixes, &data) != expected {
            return Err("its checksum does not match".to_owned());
        }
        let encoded = data.len();
        let batch = decode(data).map_err(|e| e.to_string())?;
        let columns = batch.columns();
        let values = columns.iter().map(|column| value_bytes(column, 0, column.len())).sum();
        let bytes = prefixes.len() + encoded.max(values);
        let (Some(tails), Some(emitted)) = (
            columns.first().and_then(|c| c.as_fixed_size_binary_opt()).filter(|c| c.value_length() == 16),
            columns.get(1).and_then(|c| c.as_boolean_opt()),
        ) else {
            return Err("it has no keys".to_owned());
        };
        if prefixes.len() != batch.num_rows() * PREFIX_BYTES {
            return Err("it has another number of keys than of rows".to_owned());
        }
        let (tails, emitted) = (tails.clone(), emitted.clone());
        let values = columns.iter().skip(2).cloned().collect();
        let outputs = batch.schema_ref().fields().iter().skip(2).cloned().collect();
        Ok(Self { prefixes, tails, emitted, values, outputs, bytes })
    }

    /// Number of results.
    pub(crate) fn rows(&self) -> usize {
        self.emitted.len()
    }

    /// Bytes of memory.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Bytes of the outputs of a row.
    pub(crate) fn row_bytes(&self, row: usize) -> usize {
        self.values.iter().map(|column| value_bytes(column, row, 1)).sum()
    }

    /// The packet hash of a row.
    pub(crate) fn key(&self, row: usize) -> PacketHash {
        holds(self.keys(row..row + 1).next(), "a span of one row has a key")
    }

    /// The packet hashes of rows that follow each other.
    pub(crate) fn keys(&self, rows: Range<usize>) -> impl Iterator<Item = PacketHash> {
        const KEYS: &str = "a block has a key for each of its rows";
        let prefixes = self.prefixes.as_chunks::<PREFIX_BYTES>().0.at(rows.clone(), KEYS);
        let tails = self.tails.value_data().as_chunks::<PREFIX_BYTES>().0.at(rows, KEYS);
        prefixes.iter().zip(tails).map(|(prefix, tail)| {
            let mut digest = [0; 32];
            let (first, second) = digest.split_at_mut(PREFIX_BYTES);
            first.copy_from_slice(prefix);
            second.copy_from_slice(tail);
            PacketHash(Digest(digest))
        })
    }

    /// For each of some rows that follow each other, true if its packet gave a packet.
    pub(crate) fn all_emitted(&self, rows: Range<usize>) -> Vec<bool> {
        let part = self.emitted.slice(rows.start, rows.len());
        if part.true_count() == part.len() { vec![true; rows.len()] } else { part.values().iter().collect() }
    }

    /// Returns true if the packet of a row gave a packet.
    pub(crate) fn emitted(&self, row: usize) -> bool {
        self.emitted.value(row)
    }

    /// The fields of the outputs.
    pub(crate) fn outputs(&self) -> &[FieldRef] {
        &self.outputs
    }

    /// The outputs.
    pub(crate) fn values(&self) -> &[ArrayRef] {
        &self.values
    }
}
