//! Keys by partition that are in no table yet.

use super::keyset::{PARTITIONS, partition_of};
use super::reader::Keys;
use super::word::{Form, Word};

/// Keys of one partition as they came, equal ones among them.
#[derive(Debug, Default)]
pub(super) struct Lot {
    hashes: Vec<u64>,
    /// As in [`Word::kept`]; empty where hashes are exact.
    words: Vec<u128>,
    long: Vec<u8>,
}

impl Lot {
    #[inline]
    fn push(&mut self, hash: u64, word: Word<'_>) {
        self.hashes.push(hash);
        self.words.push(word.kept(hash, &mut self.long));
    }

    pub(super) fn hashes(&self) -> &[u64] {
        &self.hashes
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

/// A lot for each partition, or for a share of them.
///
/// Where tables are made only once all of their keys are there, each at its last size, a table and its
/// keys lie in the nearest memory while it is made.
///
/// Memory: 8 bytes a key where hashes are exact, 24 where keys are packed, else 24 and the bytes of keys
/// of more than 12; up to twice as much while it grows.
#[derive(Debug)]
pub(super) struct Lots {
    form: Form,
    by_partition: Vec<Lot>,
    rows: usize,
    bytes: usize,
}

impl Lots {
    pub(super) fn new(form: Form) -> Self {
        Self { form, by_partition: (0..PARTITIONS).map(|_| Lot::default()).collect(), rows: 0, bytes: 0 }
    }

    /// Adds keys, whose partitions are all here.
    pub(super) fn gather(&mut self, keys: &Keys) {
        if self.form == Form::Hash {
            for hash in keys.hashes() {
                if let Some(lot) = self.by_partition.get_mut(partition_of(*hash)) {
                    lot.hashes.push(*hash);
                }
            }
        } else {
            for (at, hash) in keys.hashes().iter().enumerate() {
                if let Some(lot) = self.by_partition.get_mut(partition_of(*hash)) {
                    lot.push(*hash, keys.word(at));
                }
            }
        }
        self.rows += keys.hashes().len();
        self.bytes = self.by_partition.iter().map(Lot::bytes).sum();
    }

    /// Takes the lot out that stands at this place.
    pub(super) fn take(&mut self, at: usize) -> Lot {
        self.by_partition.get_mut(at).map(std::mem::take).unwrap_or_default()
    }

    /// The lots in shares of so many neighbours.
    pub(super) fn into_shares(self, each: usize) -> Vec<Self> {
        let form = self.form;
        let mut lots = self.by_partition.into_iter();
        let mut shares = Vec::new();
        while lots.len() > 0 {
            shares.push(Self {
                form,
                by_partition: lots.by_ref().take(each.max(1)).collect(),
                rows: 0,
                bytes: 0,
            });
        }
        shares
    }

    /// Keys that were added.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}
