//! Distinct keys of bytes in memory.

use anabranch_engine::index::At as _;
use anabranch_engine::open_table::{OpenTable, OpenView};

use super::buffer::KeyRows;
use super::partition_buffer::PartitionBuffer;
use super::word::{Form, Word};

/// Distinct keys: those of few bytes themselves, of others where their bytes lie.
///
/// Memory: 21 to 32 bytes a key, half as much again for hashes, which growing and spilling need, and up to
/// twice the bytes of keys of more than 12 that are not packed.
#[derive(Debug)]
pub(super) struct KeyIndex {
    form: Form,
    table: OpenTable<u128, LANES>,
    /// Those of the keys, place by place.
    hashes: Vec<u64>,
    /// The hash of the key that is kept as zero, which would look like a free place.
    zero: Option<u64>,
    long: Vec<u8>,
}

const LANES: usize = 4;

/// Invariant of the hashes.
const PLACES: &str = "a key that may move has its hash at its place";

impl KeyIndex {
    pub(super) fn new(form: Form) -> Self {
        Self { form, table: OpenTable::default(), hashes: Vec::new(), zero: None, long: Vec::new() }
    }

    /// Adds a key.
    pub(super) fn insert(&mut self, hash: u64, word: Word<'_>) {
        self.resize(self.table.lines_to_insert());
        if is_zero(word) {
            self.zero = Some(hash);
            return;
        }
        let (table, long) = (&mut self.table, &mut self.long);
        let key = word.kept_at(hash, long.len());
        let place = match word {
            Word::Packed(_) | Word::Short(_) => table.insert(hash, |other| *other == key, || key),
            Word::Long(_) => table.insert(hash, |other| is_long(*other, hash, word, long), || key),
        };
        if let Some(place) = place {
            *self.hashes.at_mut(place, PLACES) = hash;
            word.keep_bytes(long);
        }
    }

    /// Adds many keys at once.
    pub(super) fn absorb(&mut self, buffers: &[PartitionBuffer]) {
        let (count, form) = (buffers.iter().map(|buffer| buffer.hashes.len()).sum(), self.form);
        let lines = self.table.lines_to_absorb(count);
        self.resize(lines);
        for (hash, word) in buffers.iter().flat_map(|buffer| buffer.keys(form)) {
            self.insert(hash, word);
        }
        self.resize(lines.and_then(|_| self.table.lines_once_absorbed()));
    }

    #[inline]
    fn resize(&mut self, lines: Option<usize>) {
        let Some(lines) = lines else { return };
        let old = std::mem::replace(&mut self.hashes, vec![0; lines * LANES]);
        let (hash, hashes) = (|place| *old.at(place, PLACES), &mut self.hashes);
        self.table.resize(lines, |from, _| hash(from), |from, to| *hashes.at_mut(to, PLACES) = hash(from));
    }

    /// Forgets the hashes: from now on nothing is added and nothing taken out.
    pub(super) fn seal(&mut self) {
        self.hashes = Vec::new();
    }

    #[inline]
    pub(super) fn view(&self) -> KeyView<'_> {
        KeyView { table: self.table.view(), long: &self.long, has_zero: self.zero.is_some() }
    }

    #[inline]
    pub(super) fn has(&self, hash: u64, word: Word<'_>) -> bool {
        self.view().has(hash, word)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.table.is_empty() && self.zero.is_none()
    }

    pub(super) fn bytes(&self) -> usize {
        self.table.bytes() + size_of_val(self.hashes.as_slice()) + self.long.capacity()
    }

    /// Takes all keys out.
    pub(super) fn take(&mut self) -> KeyRows {
        let Self { form, table, hashes, zero, long } = std::mem::replace(self, Self::new(self.form));
        let mut rows = KeyRows::default();
        if let Some(hash) = zero {
            form.zero().with_bytes(|bytes| rows.push(hash, bytes));
        }
        for (place, key) in table.entries() {
            let hash = *hashes.at(place, PLACES);
            form.kept(key, &long).with_bytes(|bytes| rows.push(hash, bytes));
        }
        rows
    }
}

/// Returns whether the key is kept as zero.
#[inline]
fn is_zero(word: Word<'_>) -> bool {
    matches!(word, Word::Packed(0) | Word::Short(0))
}

/// Returns whether a key of many bytes is the one that is kept so.
#[expect(clippy::cast_possible_truncation, reason = "heads are the lower halves")]
#[inline]
fn is_long(kept: u128, hash: u64, word: Word<'_>, long: &[u8]) -> bool {
    kept as u64 == word.head(hash) && Word::of_kept(kept, long) == word
}

/// An index that is looked into.
#[derive(Debug, Clone, Copy)]
pub(super) struct KeyView<'a> {
    table: OpenView<'a, u128, LANES>,
    long: &'a [u8],
    has_zero: bool,
}

impl KeyView<'_> {
    #[inline]
    pub(super) fn has(&self, hash: u64, word: Word<'_>) -> bool {
        match word {
            _ if is_zero(word) => self.has_zero,
            Word::Packed(key) | Word::Short(key) => self.table.has(hash, |other| *other == key),
            Word::Long(_) => self.table.has(hash, |other| is_long(*other, hash, word, self.long)),
        }
    }

    /// Asks for the line where a hash belongs.
    #[inline]
    pub(super) fn prefetch(&self, hash: u64) {
        self.table.prefetch(hash);
    }
}
