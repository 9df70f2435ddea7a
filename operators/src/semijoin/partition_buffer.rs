//! Keys by partition that are in no table yet.

use super::keyset::{PARTITIONS, partition_of};
use super::reader::Keys;
use super::word::{Form, Word};
use anabranch_engine::index::At as _;

/// Keys of one partition as they came, equal ones among them.
#[derive(Debug, Default)]
pub(super) struct PartitionBuffer {
    pub(super) hashes: Vec<u64>,
    /// As in [`Word::kept`]; empty where hashes are exact.
    words: Vec<u128>,
    long: Vec<u8>,
}

impl PartitionBuffer {
    #[inline]
    fn push(&mut self, hash: u64, word: Word<'_>) {
        self.hashes.push(hash);
        self.words.push(word.kept(hash, &mut self.long));
    }

    /// The keys with their hashes; none where hashes are exact.
    pub(super) fn keys(&self, form: Form) -> impl Iterator<Item = (u64, Word<'_>)> {
        let hashes = self.hashes.iter().copied();
        hashes.zip(&self.words).map(move |(hash, word)| (hash, form.kept(*word, &self.long)))
    }

    fn bytes(&self) -> usize {
        self.hashes.capacity() * size_of::<u64>()
            + self.words.capacity() * size_of::<u128>()
            + self.long.capacity()
    }
}

/// A buffer for each partition, or for a share of them.
///
/// Where tables are made only once all of their keys are there, each at its last size, a table and its
/// keys lie in the nearest memory while it is made.
///
/// Memory: 8 bytes a key where hashes are exact, 24 where keys are packed, else 24 and the bytes of keys
/// of more than 12; up to twice as much while it grows.
#[derive(Debug)]
pub(super) struct PartitionBuffers {
    form: Form,
    by_partition: Vec<PartitionBuffer>,
    /// Keys that were added.
    pub(super) rows: usize,
    pub(super) bytes: usize,
}

impl PartitionBuffers {
    pub(super) fn new(form: Form) -> Self {
        Self {
            form,
            by_partition: (0..PARTITIONS).map(|_| PartitionBuffer::default()).collect(),
            rows: 0,
            bytes: 0,
        }
    }

    /// Adds keys, whose partitions are all here.
    pub(super) fn gather(&mut self, keys: &Keys) {
        if self.form == Form::Hash {
            for hash in &keys.hashes {
                self.by_partition.at_mut(partition_of(*hash), "partition").hashes.push(*hash);
            }
        } else {
            for (at, hash) in keys.hashes.iter().enumerate() {
                self.by_partition.at_mut(partition_of(*hash), "partition").push(*hash, keys.word(at));
            }
        }
        self.rows += keys.hashes.len();
        self.bytes = self.by_partition.iter().map(PartitionBuffer::bytes).sum();
    }

    /// Takes the buffer out that stands at this place.
    pub(super) fn take(&mut self, at: usize) -> PartitionBuffer {
        std::mem::take(self.by_partition.at_mut(at, "partition"))
    }

    /// The buffers in shares of so many neighbours.
    pub(super) fn into_shares(self, each: usize) -> Vec<Self> {
        let form = self.form;
        let mut buffers = self.by_partition.into_iter();
        let mut shares = Vec::new();
        while buffers.len() > 0 {
            shares.push(Self {
                form,
                by_partition: buffers.by_ref().take(each.max(1)).collect(),
                rows: 0,
                bytes: 0,
            });
        }
        shares
    }
}
