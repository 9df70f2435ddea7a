//! Distinct hashes in memory.

use anabranch_engine::open_table::{OpenTable, OpenView};

use super::partition_buffer::PartitionBuffer;

/// Distinct hashes. Memory: 10 to 16 bytes a hash.
#[derive(Debug, Default)]
pub(super) struct HashTable {
    table: OpenTable<u64, LANES>,
    /// Zero marks a free place and is kept beside.
    has_zero: bool,
}

const LANES: usize = 8;

impl HashTable {
    /// Returns whether a hash is there.
    #[inline]
    pub(super) fn has(&self, hash: u64) -> bool {
        self.view().has(hash)
    }

    #[inline]
    pub(super) fn view(&self) -> HashView<'_> {
        HashView { table: self.table.view(), has_zero: self.has_zero }
    }

    /// Adds a hash.
    pub(super) fn insert(&mut self, hash: u64) {
        self.resize(self.table.lines_to_insert());
        if hash == 0 {
            self.has_zero = true;
        } else {
            self.table.insert(hash, |other| *other == hash, || hash);
        }
    }

    /// Adds many hashes at once.
    pub(super) fn absorb(&mut self, buffers: &[PartitionBuffer]) {
        let count = buffers.iter().map(|buffer| buffer.hashes.len()).sum();
        let lines = self.table.lines_to_absorb(count);
        self.resize(lines);
        for hash in buffers.iter().flat_map(|buffer| &buffer.hashes) {
            self.insert(*hash);
        }
        self.resize(lines.and_then(|_| self.table.lines_once_absorbed()));
    }

    #[inline]
    fn resize(&mut self, lines: Option<usize>) {
        if let Some(lines) = lines {
            self.table.resize(lines, |_, hash| *hash, |_, _| {});
        }
    }

    /// Takes all hashes out.
    pub(super) fn take(&mut self) -> impl Iterator<Item = u64> + use<> {
        let has_zero = std::mem::take(&mut self.has_zero);
        has_zero.then_some(0).into_iter().chain(self.table.take())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.table.is_empty() && !self.has_zero
    }

    pub(super) fn bytes(&self) -> usize {
        self.table.bytes()
    }
}

/// A table that is looked into.
#[derive(Debug, Clone, Copy)]
pub(super) struct HashView<'a> {
    table: OpenView<'a, u64, LANES>,
    has_zero: bool,
}

impl HashView<'_> {
    /// Returns whether a hash is there.
    #[inline]
    pub(super) fn has(&self, hash: u64) -> bool {
        let found = self.table.has(hash, |other| *other == hash);
        // A free place looks like zero.
        if hash == 0 { self.has_zero } else { found }
    }

    /// Asks for the line where a hash belongs.
    #[inline]
    pub(super) fn prefetch(&self, hash: u64) {
        self.table.prefetch(hash);
    }
}
