//! Keys of few bytes as one number.

use anabranch_engine::index::{At as _, fitting};
use arrow::datatypes::DataType;

use crate::keys::{are_packable, hash_is_exact};

/// The form of the keys of a semijoin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Their hashes: equal ones mean equal keys.
    Hash,
    /// Numbers side by side in one word.
    Packed,
    /// Bytes, few or many.
    Bytes,
}

impl Form {
    /// The form of keys of these columns.
    pub(super) fn of(types: &[DataType]) -> Self {
        match types {
            types if hash_is_exact(types) => Self::Hash,
            types if are_packable(types) => Self::Packed,
            _ => Self::Bytes,
        }
    }

    /// The key of these bytes, as [`Word::with_bytes`] gives them.
    #[inline]
    pub(super) fn word(self, bytes: &[u8]) -> Word<'_> {
        match (self, bytes.first_chunk()) {
            (Self::Packed, Some(bytes)) => Word::Packed(u128::from_le_bytes(*bytes)),
            _ => Word::of(bytes),
        }
    }

    /// The key that is kept so, its bytes among these.
    #[inline]
    pub(super) fn kept(self, kept: u128, long: &[u8]) -> Word<'_> {
        if self == Self::Packed { Word::Packed(kept) } else { Word::of_kept(kept, long) }
    }

    /// The key that is kept as zero.
    pub(super) fn zero(self) -> Word<'static> {
        self.kept(0, &[])
    }
}

/// A key as it is looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Word<'a> {
    /// Numbers side by side, as in [`crate::keys::pack_rows`].
    Packed(u128),
    /// At most [`Word::SHORT`] bytes, laid out like a string's view: the length in the lowest four
    /// bytes, then the key's own, then zeros.
    Short(u128),
    /// More bytes.
    Long(&'a [u8]),
}

impl<'a> Word<'a> {
    pub(super) const SHORT: usize = 12;

    /// The key of these bytes.
    fn of(bytes: &'a [u8]) -> Self {
        if bytes.len() > Self::SHORT {
            return Self::Long(bytes);
        }
        let mut word = [0; 16];
        for (to, from) in word.iter_mut().skip(4).zip(bytes) {
            *to = *from;
        }
        Self::Short(u128::from_le_bytes(word) | bytes.len() as u128)
    }

    /// The key as it is kept among others; the bytes of long ones are put behind the others'.
    #[inline]
    pub(super) fn kept(self, hash: u64, long: &mut Vec<u8>) -> u128 {
        let key = self.kept_at(hash, long.len());
        self.keep_bytes(long);
        key
    }

    /// The key as it is kept among others: short ones as they are; long ones as the place where their bytes begin,
    /// half of their hash and their length, so that most of those that differ do so without a look at their bytes.
    #[inline]
    pub(super) fn kept_at(self, hash: u64, begin: usize) -> u128 {
        match self {
            Self::Packed(key) | Self::Short(key) => key,
            Self::Long(_) => (begin as u128) << 64 | u128::from(self.head(hash)),
        }
    }

    /// Puts the bytes of a long key behind the others'.
    #[inline]
    pub(super) fn keep_bytes(self, long: &mut Vec<u8>) {
        if let Self::Long(bytes) = self {
            long.extend_from_slice(bytes);
        }
    }

    /// The key that is kept so.
    #[inline]
    pub(super) fn of_kept(kept: u128, long: &'a [u8]) -> Self {
        let length = Self::length(kept);
        if length <= Self::SHORT {
            return Self::Short(kept);
        }
        let begin: usize = fitting(kept >> 64, "place of a long key");
        match long.get(begin..begin + length) {
            Some(bytes) => Self::Long(bytes),
            None => unreachable!("a long key must lie among the bytes of its table"),
        }
    }

    /// The lower half of the key as it is kept.
    #[expect(clippy::cast_possible_truncation, reason = "the lower half is what is wanted")]
    #[inline]
    pub(super) fn head(self, hash: u64) -> u64 {
        match self {
            Self::Packed(key) | Self::Short(key) => key as u64,
            Self::Long(bytes) => (hash << 32) | u64::from(bytes.len() as u32),
        }
    }

    /// The number of bytes of a key laid out that way.
    #[expect(clippy::cast_possible_truncation, reason = "the length is what the lowest four bytes hold")]
    #[inline]
    pub(super) fn length(key: u128) -> usize {
        key as u32 as usize
    }

    /// Does something with the key's bytes.
    pub(super) fn with_bytes<R>(self, work: impl FnOnce(&[u8]) -> R) -> R {
        match self {
            Self::Long(bytes) => work(bytes),
            Self::Packed(key) => work(&key.to_le_bytes()),
            Self::Short(key) => {
                let bytes = key.to_le_bytes();
                work(bytes.at(4..4 + Self::length(key), "a short key has at most twelve bytes"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_gives_the_bytes_back_that_it_was_made_of() {
        for length in 0..40_u8 {
            let bytes: Vec<u8> = (0..length).map(|n| n.wrapping_mul(37)).collect();
            let word = Word::of(&bytes);
            assert_eq!(matches!(word, Word::Short(_)), length <= 12);
            assert_eq!(word.with_bytes(<[u8]>::to_vec), bytes);
            assert_eq!(Form::Bytes.word(&bytes), word);
        }
        for key in [0, 7, u128::MAX / 3] {
            let word = Form::Packed.kept(key, &[]);
            assert_eq!(word, Word::Packed(key));
            word.with_bytes(|bytes| assert_eq!(Form::Packed.word(bytes), word));
        }
    }

    #[test]
    fn keys_that_end_with_zeros_are_told_apart() {
        assert_ne!(Word::of(b"a"), Word::of(b"a\0"));
        assert_ne!(Word::of(b""), Word::of(b"\0"));
    }
}
