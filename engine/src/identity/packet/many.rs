//! Keyed BLAKE3 of many short inputs side by side.
//!
//! BLAKE3 hashes a chunk of 1 KiB as a chain of blocks of 64 bytes. Chains of different inputs do not depend on each
//! other, so the vector code that the library has for the chunks of one large input serves as many
//! small inputs: up to sixteen at a time. It is reached through a part of the library that is
//! public but hidden, which is why its version is pinned; a test holds the values to its
//! ordinary interface.

use blake3::IncrementCounter;
use blake3::platform::{Platform, words_from_le_bytes_32};

use super::BLOCK_BYTES;
use crate::identity::Digest;

/// Bytes of a chunk: longer inputs are trees.
pub(super) const CHUNK_BYTES: usize = 1_024;

/// Inputs given to the library at once.
pub(super) const GROUP: usize = 16;

// Flags of BLAKE3's compression: BLAKE3 paper, section 2.2.
const CHUNK_START: u8 = 1 << 0;
const CHUNK_END: u8 = 1 << 1;
const ROOT: u8 = 1 << 3;
const KEYED_HASH: u8 = 1 << 4;

/// Keyed hashing with one key.
pub(super) struct Keyed {
    key: [u8; 32],
    words: [u32; 8],
    platform: Platform,
}

impl Keyed {
    pub(super) fn new(key: &[u8; 32]) -> Self {
        Self { key: *key, words: words_from_le_bytes_32(key), platform: Platform::detect() }
    }

    /// The hash of one input of any length.
    pub(super) fn hash(&self, bytes: &[u8]) -> Digest {
        Digest(*blake3::keyed_hash(&self.key, bytes).as_bytes())
    }

    /// Hashes inputs of whole blocks, a chunk at most, and hands out each with its number, in order.
    pub(super) fn hash_each<const N: usize>(&self, inputs: &[&[u8; N]], mut each: impl FnMut(usize, Digest)) {
        const { assert!(N > 0 && N <= CHUNK_BYTES && N.is_multiple_of(BLOCK_BYTES)) };
        let mut out = [0; GROUP * 32];
        for (group, inputs) in inputs.chunks(GROUP).enumerate() {
            let counter = IncrementCounter::No;
            self.platform.hash_many(
                inputs,
                &self.words,
                0,
                counter,
                KEYED_HASH,
                CHUNK_START,
                CHUNK_END | ROOT,
                &mut out,
            );
            let (digests, _) = out.as_chunks::<32>();
            for (at, digest) in digests.iter().take(inputs.len()).enumerate() {
                each(group * GROUP + at, Digest(*digest));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<const N: usize>() {
        let keyed = Keyed::new(blake3::hash(b"key").as_bytes());
        let inputs: Vec<[u8; N]> = (0..37_u8)
            .map(|n| {
                let mut input = [0; N];
                blake3::Hasher::new().update(&[n]).finalize_xof().fill(&mut input);
                input
            })
            .collect();
        for count in [0, 1, 2, 15, 16, 17, 37] {
            let some: Vec<&[u8; N]> = inputs.iter().take(count).collect();
            let mut seen = 0;
            keyed.hash_each(&some, |at, digest| {
                assert_eq!(at, seen, "of {count}");
                assert_eq!(digest, keyed.hash(some[at]), "{N} bytes, input {at} of {count}");
                seen += 1;
            });
            assert_eq!(seen, count);
        }
    }

    #[test]
    fn inputs_hashed_side_by_side_have_the_hashes_that_they_have_alone() {
        check::<64>();
        check::<128>();
        check::<192>();
        check::<512>();
        check::<960>();
        check::<1024>();
    }
}
