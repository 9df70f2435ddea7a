//! Marks on rows, by row number.

use anabranch_engine::index::At as _;

/// A bit a row; all are clear at first. Memory: an eighth of a byte for each row up to the last set.
#[derive(Debug, Default)]
pub(crate) struct Bits(Vec<u64>);

impl Bits {
    /// Sets a bit. Returns whether it was clear.
    #[inline]
    pub(crate) fn set(&mut self, row: usize) -> bool {
        if self.0.len() <= row / 64 {
            self.0.resize(row / 64 + 1, 0);
        }
        let word = self.0.at_mut(row / 64, "word of marks");
        let bit = 1 << (row % 64);
        let was_clear = *word & bit == 0;
        *word |= bit;
        was_clear
    }

    /// Sets 64 bits at a time, from a row on that is a multiple of 64; those already set stay so.
    pub(crate) fn set_words(&mut self, row: usize, words: &[u64]) {
        let first = row / 64;
        if self.0.len() < first + words.len() {
            self.0.resize(first + words.len(), 0);
        }
        for (own, word) in self.0.iter_mut().skip(first).zip(words) {
            *own |= word;
        }
    }

    pub(crate) fn get(&self, row: usize) -> bool {
        self.0.get(row / 64).is_some_and(|word| word >> (row % 64) & 1 == 1)
    }

    pub(crate) fn bytes(&self) -> usize {
        self.0.len() * size_of::<u64>()
    }
}
