//! Pages of key runs: sorted hashes and the versions that they lead to.

use anabranch_engine::identity::PacketHash;
use anabranch_engine::index::{At as _, holds};

use super::cache::Weigh;
use super::result_ref::ResultRef;

/// Keys of a page are at most that many on average, and at least half of it.
const PAGE_KEYS: u64 = 2_048;

/// Bytes of a key in a page: hash, block, row.
const KEY_BYTES: usize = 8 + 4 + 2;

/// Bytes of the checksum in front.
pub(super) const CHECKSUM_BYTES: usize = 16;

/// A key as runs have it. Sorted by hash, then by version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct KeyEntry {
    /// The first eight bytes of the packet hash, see [`hash_of`].
    pub(crate) hash: u64,
    /// The block, counted from the first of the run.
    pub(crate) block: u32,
    /// The row in the block.
    pub(crate) row: u16,
}

impl KeyEntry {
    /// A number that is ordered as entries are, and compared without a branch, which takes half the time in a sort.
    #[inline]
    pub(crate) fn rank(&self) -> u128 {
        u128::from(self.hash) << 64 | u128::from(self.block) << 32 | u128::from(self.row)
    }
}

/// The part of a packet hash by which runs are sorted.
pub(crate) fn hash_of(key: &PacketHash) -> u64 {
    leading(&key.0.0)
}

/// The same from a prefix, as blocks have them.
pub(crate) fn leading<const N: usize>(prefix: &[u8; N]) -> u64 {
    u64::from_be_bytes(*holds(prefix.first_chunk(), "hashes and prefixes have eight bytes at least"))
}

/// Leading bits of a hash that give its page in a run of so many keys.
pub(crate) fn page_bits(keys: u64) -> u32 {
    let pages = keys.div_ceil(PAGE_KEYS).max(1);
    pages.next_power_of_two().trailing_zeros()
}

/// The page of a hash in a run of `2^bits` pages.
pub(crate) fn page_of(hash: u64, bits: u32) -> u64 {
    if bits == 0 { 0 } else { hash >> (64 - bits) }
}

/// The bytes of a page: a checksum, all hashes, all blocks, all rows. `name` is what the checksum binds it to.
pub(crate) fn encode(name: i64, entries: &[KeyEntry]) -> Vec<u8> {
    let mut bytes = vec![0; CHECKSUM_BYTES];
    bytes.reserve(entries.len() * KEY_BYTES);
    bytes.extend(entries.iter().flat_map(|entry| entry.hash.to_le_bytes()));
    bytes.extend(entries.iter().flat_map(|entry| entry.block.to_le_bytes()));
    bytes.extend(entries.iter().flat_map(|entry| entry.row.to_le_bytes()));
    let (front, data) = bytes.split_at_mut(CHECKSUM_BYTES);
    front.copy_from_slice(&checksum(name, data));
    bytes
}

pub(super) fn checksum(name: i64, data: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let digest = *blake3::Hasher::new().update(&name.to_le_bytes()).update(data).finalize().as_bytes();
    *holds(digest.first_chunk(), "a digest is longer than the checksum")
}

/// Invariant of the columns of a page.
const COLUMNS: &str = "the columns of a page have a value for each key";

/// Hashes, blocks and rows of a page.
type PageColumns<'a> = (&'a [[u8; 8]], &'a [[u8; 4]], &'a [[u8; 2]]);

/// A page read back.
#[derive(Debug)]
pub(crate) struct KeyPage {
    bytes: Vec<u8>,
    keys: usize,
    bits: u32,
}

impl Weigh for KeyPage {
    fn bytes(&self) -> usize {
        self.bytes.len() + size_of::<Self>()
    }
}

impl KeyPage {
    /// Reads a page of a run of `2^bits` pages; the error describes the damage.
    pub(crate) fn read(name: i64, bits: u32, bytes: Vec<u8>) -> Result<Self, &'static str> {
        let (front, data) = bytes.split_at_checked(CHECKSUM_BYTES).ok_or("it is too short")?;
        if checksum(name, data) != front {
            return Err("its checksum does not match");
        }
        if data.len() % KEY_BYTES != 0 {
            return Err("its last key is torn");
        }
        let keys = data.len() / KEY_BYTES;
        Ok(Self { bytes, keys, bits })
    }

    fn columns(&self) -> PageColumns<'_> {
        // A page was read with as many bytes as its keys have.
        let (_, data) = self.bytes.split_at(CHECKSUM_BYTES);
        let (hashes, rest) = data.split_at(self.keys * 8);
        let (blocks, rows) = rest.split_at(self.keys * 4);
        (hashes.as_chunks().0, blocks.as_chunks().0, rows.as_chunks().0)
    }

    /// The entries of a hash and all after it.
    pub(crate) fn starting_at(&self, hash: u64) -> impl Iterator<Item = KeyEntry> {
        let (hashes, blocks, rows) = self.columns();
        let first = lower_bound(hashes, hash, hash << self.bits);
        let from = first..self.keys;
        let (hashes, blocks) = (hashes.at(from.clone(), COLUMNS), blocks.at(from.clone(), COLUMNS));
        let entries = hashes.iter().zip(blocks).zip(rows.at(from, COLUMNS));
        entries.map(|((hash, block), row)| KeyEntry {
            hash: u64::from_le_bytes(*hash),
            block: u32::from_le_bytes(*block),
            row: u16::from_le_bytes(*row),
        })
    }

    /// Hands out the versions of a hash.
    pub(crate) fn find(&self, hash: u64, first_block: u64, mut each: impl FnMut(ResultRef)) {
        for entry in self.starting_at(hash).take_while(|entry| entry.hash == hash) {
            each(ResultRef { block: first_block + u64::from(entry.block), row: u32::from(entry.row) });
        }
    }
}

/// Index of the first hash that is not below `hash`.
///
/// Hashes are spread evenly, so that `share`, the place within the page as a fraction of 2^64, is
/// off by some ten keys only; from there the search widens, so that hashes that are not spread cost time alone.
fn lower_bound(hashes: &[[u8; 8]], hash: u64, share: u64) -> usize {
    let below = |at: usize| hashes.get(at).is_some_and(|bytes| u64::from_le_bytes(*bytes) < hash);
    let keys = hashes.len();
    #[expect(clippy::cast_possible_truncation, reason = "less than the number of keys")]
    let guess = ((u128::from(share) * keys as u128) >> 64) as usize;
    let (mut low, mut high, mut width) = (0, keys, 8);
    if below(guess) {
        low = guess + 1;
        while low + width < keys {
            if !below(low + width) {
                high = low + width;
                break;
            }
            low += width + 1;
            width *= 2;
        }
    } else {
        high = guess;
        while high > width {
            if below(high - width) {
                low = high - width + 1;
                break;
            }
            high -= width;
            width *= 2;
        }
    }
    let between = hashes.at(low..high, "the search widens within the page");
    low + between.partition_point(|bytes| u64::from_le_bytes(*bytes) < hash)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn entries(hashes: &[u64]) -> Vec<KeyEntry> {
        let mut entries: Vec<_> =
            (0..).zip(hashes).map(|(row, hash)| KeyEntry { hash: *hash, block: 3, row }).collect();
        entries.sort_unstable();
        entries
    }

    proptest! {
        #[test]
        fn versions_are_found_as_in_a_plain_list(
            // Even ones and ones that all lie together.
            even in proptest::collection::vec(any::<u64>(), 0..600),
            near in proptest::collection::vec(0_u64..50, 0..200),
            asked in proptest::collection::vec(any::<u64>(), 0..30),
        ) {
            let all: Vec<u64> = even.iter().chain(&near).copied().collect();
            let page = KeyPage::read(7, 0, encode(7, &entries(&all))).unwrap();
            for hash in asked.iter().chain(&all).chain(&[0, 20, u64::MAX]) {
                let mut found = Vec::new();
                page.find(*hash, 100, |reference| found.push(reference));
                let expected: Vec<ResultRef> = (0..)
                    .zip(&all)
                    .filter(|(_, has)| *has == hash)
                    .map(|(row, _)| ResultRef { block: 103, row })
                    .collect();
                prop_assert_eq!(found, expected);
            }
        }
    }

    #[test]
    fn pages_have_between_half_and_all_of_their_keys_on_average() {
        for keys in [0, 1, 2_048, 2_049, 100_000, 1 << 22] {
            let pages = 1_u64 << page_bits(keys);
            assert!(keys.div_ceil(pages) <= PAGE_KEYS, "{keys}");
            assert!(pages == 1 || keys.div_ceil(pages) > PAGE_KEYS / 2, "{keys}");
        }
        assert_eq!(page_of(u64::MAX, 0), 0);
        assert_eq!(page_of(u64::MAX, 11), 2_047);
    }

    #[test]
    fn a_damaged_or_misplaced_page_is_refused() {
        let bytes = encode(7, &entries(&[1, 2, 3]));
        assert!(KeyPage::read(8, 0, bytes.clone()).is_err());
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            assert!(KeyPage::read(7, 0, damaged).is_err());
            assert!(KeyPage::read(7, 0, bytes[..at].to_vec()).is_err());
        }
    }
}
