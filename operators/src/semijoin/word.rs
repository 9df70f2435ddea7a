//! Keys of few bytes as one number.

/// A key as it is looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Word<'a> {
    /// At most [`Word::SHORT`] bytes, laid out like a string's view: the length in the lowest four
    /// bytes, then the key's own, then zeros.
    Short(u128),
    /// More bytes.
    Long(&'a [u8]),
}

impl<'a> Word<'a> {
    pub(super) const SHORT: usize = 12;

    /// The key of these bytes.
    pub(super) fn of(bytes: &'a [u8]) -> Self {
        if bytes.len() > Self::SHORT {
            return Self::Long(bytes);
        }
        let mut word = [0; 16];
        for (to, from) in word.iter_mut().skip(4).zip(bytes) {
            *to = *from;
        }
        Self::Short(u128::from_le_bytes(word) | bytes.len() as u128)
    }

    /// The key as it is kept among others: short ones as they are; long ones as the place of their bytes,
    /// which are put behind the others', half of their hash and their length, so that most of those that
    /// differ do so without a look at their bytes.
    #[inline]
    pub(super) fn kept(self, hash: u64, long: &mut Vec<u8>) -> u128 {
        match self {
            Self::Short(key) => key,
            Self::Long(bytes) => {
                let begin = long.len();
                long.extend_from_slice(bytes);
                (begin as u128) << 64 | u128::from(self.head(hash))
            }
        }
    }

    /// The key that is kept so.
    #[inline]
    pub(super) fn of_kept(kept: u128, long: &'a [u8]) -> Self {
        let length = Self::length(kept);
        if length <= Self::SHORT {
            return Self::Short(kept);
        }
        let begin = usize::try_from(kept >> 64).unwrap_or(usize::MAX);
        Self::Long(long.get(begin..begin.saturating_add(length)).unwrap_or_default())
    }

    /// The lower half of the key as it is kept.
    #[expect(clippy::cast_possible_truncation, reason = "the lower half is what is wanted")]
    #[inline]
    pub(super) fn head(self, hash: u64) -> u64 {
        match self {
            Self::Short(key) => key as u64,
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
            Self::Short(key) => {
                let bytes = key.to_le_bytes();
                work(bytes.get(4..4 + Self::length(key)).unwrap_or_default())
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
        }
    }

    #[test]
    fn keys_that_end_with_zeros_are_told_apart() {
        assert_ne!(Word::of(b"a"), Word::of(b"a\0"));
        assert_ne!(Word::of(b""), Word::of(b"\0"));
    }
}
