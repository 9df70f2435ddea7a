//! Left rows that cannot leave yet, because some of right's keys are on disk.

use std::sync::Arc;

use anabranch_engine::chunk::ChunkError;
use anabranch_engine::index::At as _;
use anabranch_engine::operator::PartId;
use anabranch_engine::schema::StreamSchema;
use arrow::array::BooleanBufferBuilder;
use arrow::buffer::BooleanBuffer;

use super::buffer::KeyRows;
use super::keyset::{PARTITIONS, partition_of};
use super::log::RowLog;
use super::reader::Keys;
use super::spill::{Outbox, SpilledPartitions};
use super::word::{Form, Word};

/// Rows in their order, whether each has found its match, and the keys that are still to be
/// compared with those on disk.
///
/// Memory: a bit a row; rows and keys until they are spilled.
#[derive(Debug)]
pub(super) struct Block {
    pub(super) log: RowLog,
    matched: BooleanBufferBuilder,
    /// By partition; the rows are numbered within the block.
    undecided: Vec<KeyRows>,
    spilled: SpilledPartitions,
    form: Form,
}

impl Block {
    pub(super) fn new(form: Form) -> Self {
        Self {
            log: RowLog::default(),
            matched: BooleanBufferBuilder::new(0),
            undecided: (0..PARTITIONS).map(|_| KeyRows::default()).collect(),
            spilled: SpilledPartitions::new(),
            form,
        }
    }

    pub(super) fn rows(&self) -> usize {
        self.matched.len()
    }

    /// Adds the marks of a chunk's rows, and the keys (by their places) that are undecided.
    pub(super) fn add(&mut self, matched: &BooleanBuffer, keys: &Keys, undecided: &[usize]) {
        let first = self.rows() as u64;
        self.matched.append_buffer(matched);
        for at in undecided {
            let hash = *keys.hashes.at(*at, "undecided key");
            let buffer = self.undecided.at_mut(partition_of(hash), "partition");
            let row = first + keys.row(*at) as u64;
            keys.word(*at).with_bytes(|key| buffer.push_numbered(hash, key, self.form, row));
        }
    }

    /// Returns whether keys of a partition are undecided.
    pub(super) fn waits_for(&self, partition: usize) -> bool {
        self.undecided.at(partition, "partition").len() > 0 || !self.parts(partition).is_empty()
    }

    /// The undecided keys of a partition that are on disk.
    pub(super) fn parts(&self, partition: usize) -> &[PartId] {
        self.spilled.parts(partition)
    }

    /// Marks a row.
    pub(super) fn mark(&mut self, row: u64) {
        set_bit(&mut self.matched, row);
    }

    /// Marks the rows of those keys in memory that are among others.
    pub(super) fn mark_in_memory(&mut self, partition: usize, has: impl Fn(u64, Word<'_>) -> bool) {
        let keys = self.undecided.at(partition, "partition");
        for at in 0..keys.len() {
            let (hash, key) = keys.get(at);
            if has(hash, self.form.word(key)) {
                set_bit(&mut self.matched, keys.row(at));
            }
        }
    }

    /// Drops the undecided keys of a partition: by now they are decided.
    pub(super) fn decide(&mut self, partition: usize, outbox: &mut Outbox) {
        *self.undecided.at_mut(partition, "partition") = KeyRows::default();
        outbox.forget(self.spilled.take(partition));
    }

    /// Sends the largest buffer of undecided keys out of memory. Returns whether there was one.
    pub(super) fn spill_keys(
        &mut self,
        schema: &Arc<StreamSchema>,
        part_bytes: usize,
        outbox: &mut Outbox,
    ) -> Result<bool, ChunkError> {
        let buffers = self.undecided.iter_mut().enumerate().filter(|(_, keys)| keys.len() > 0);
        let Some((partition, keys)) = buffers.max_by_key(|(_, keys)| keys.bytes()) else { return Ok(false) };
        let keys = std::mem::take(keys);
        self.spilled.put(partition, &keys, schema, part_bytes, outbox)?;
        Ok(true)
    }

    /// Takes the marks; every key is decided.
    pub(super) fn take_marks(&mut self) -> BooleanBuffer {
        self.matched.finish()
    }

    pub(super) fn bytes(&self) -> usize {
        let keys: usize = self.undecided.iter().map(KeyRows::bytes).sum();
        self.log.bytes + keys + self.matched.capacity() / 8
    }
}

/// Marks a row, which the block holds: the builder panics beyond its end.
fn set_bit(marks: &mut BooleanBufferBuilder, row: u64) {
    match usize::try_from(row) {
        Ok(row) if row < marks.len() => marks.set_bit(row, true),
        _ => unreachable!("row {row} of the block must exist, there are {}", marks.len()),
    }
}
