//! Filters of key runs: the hashes that a part of a run may have.
//!
//! Motivation: a packet that is new is in no run, and without a filter a page of each run is read to learn that. A filter
//! takes 17 to 18 bits a key, a sixth of the pages, and lets one in 2,000 hashes pass that its part does not have.
//!
//! Guarantees:
//! 1. A hash that the part has passes.
//! 2. A damaged or misplaced filter is an error, never a hash that is missed.
//!
//! A filter has 16 bits of each hash, in buckets by the bits before them. Thus a look-up reads one or two lines of
//! memory, next to those of the hash before it where hashes ascend. Filters with fewer bits were slower (`bench/results.md`):
//! a binary fuse filter reads three lines anywhere in its part, and a Bloom filter of 10 bits lets one in 100 pass.

use anabranch_engine::index::{At as _, holds};

use super::cache::Weigh;
use super::page::{CHECKSUM_BYTES, checksum};

/// Pages of a run that share a filter, as a power of two: 16,384 to 32,768 keys, so that reading a filter for a single
/// key takes about as long as reading two pages.
const PAGES_BITS: u32 = 4;

/// Buckets of a page, as a power of two: 8 to 16 keys each.
const BUCKETS_BITS: u32 = 7;

/// Keys that are compared at once, from the first of a bucket on: nearly always all of it, and those of the next, so that no
/// branch depends on the number of its keys.
const WINDOW: usize = 32;

/// Leading bits of a hash that filters of a run of `2^page_bits` pages have.
pub(crate) fn leading_bits(page_bits: u32) -> u32 {
    page_bits + BUCKETS_BITS + u16::BITS
}

/// Leading bits of a hash that give its part of a run of `2^page_bits` pages.
pub(crate) fn part_bits(page_bits: u32) -> u32 {
    page_bits.saturating_sub(PAGES_BITS)
}

/// The bits of a hash that a filter of a run of `2^page_bits` pages looks at.
#[derive(Debug, Clone, Copy)]
struct Layout {
    part_bits: u32,
    bucket_bits: u32,
}

impl Layout {
    fn of(page_bits: u32) -> Self {
        let part_bits = part_bits(page_bits);
        Self { part_bits, bucket_bits: page_bits - part_bits + BUCKETS_BITS }
    }

    fn buckets(self) -> usize {
        1 << self.bucket_bits
    }

    /// The bucket of a hash, and the 16 bits that its bucket has of it.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "16 bits are what is wanted; buckets are few")]
    fn split(self, hash: u64) -> (usize, u16) {
        let rest = hash << self.part_bits;
        ((rest >> (64 - self.bucket_bits)) as usize, ((rest << self.bucket_bits) >> 48) as u16)
    }
}

/// A filter of one part of a run.
#[derive(Debug)]
pub(crate) struct KeyFilter {
    layout: Layout,
    /// The end of each bucket among `bits`.
    ends: Vec<u16>,
    /// 16 bits of each hash, bucket after bucket, and zeros up to the end of the last window.
    bits: Vec<u16>,
}

/// A part of a run as a cache has it. A run of an earlier program has no filters, so its pages are read.
#[derive(Debug)]
pub(crate) struct RunPart(pub(crate) Option<KeyFilter>);

impl RunPart {
    /// [`KeyFilter::may_have`]; true for every hash where there is no filter.
    #[inline]
    pub(crate) fn may_have(&self, hash: u64) -> bool {
        self.0.as_ref().is_none_or(|filter| filter.may_have(hash))
    }
}

impl Weigh for RunPart {
    fn bytes(&self) -> usize {
        let filter = self.0.as_ref();
        size_of::<Self>() + filter.map_or(0, |filter| 2 * (filter.ends.len() + filter.bits.len()))
    }
}

/// Invariant of buckets.
const BUCKETS: &str = "the buckets of a filter end within its bits";

impl KeyFilter {
    /// Builds the filter of the hashes of a part of a run of `2^page_bits` pages, which ascend; equal ones may follow each
    /// other. None if there are too many to be counted in 16 bits, which happens to hashes that are not spread.
    pub(crate) fn build(page_bits: u32, hashes: &[u64]) -> Option<Self> {
        let layout = Layout::of(page_bits);
        let (mut ends, mut bits) = (Vec::with_capacity(layout.buckets()), Vec::with_capacity(hashes.len()));
        let mut last = None;
        for hash in hashes {
            let split = layout.split(*hash);
            if last.replace(split) == Some(split) {
                continue;
            }
            let end = u16::try_from(bits.len()).ok()?;
            ends.resize(split.0, end);
            bits.push(split.1);
        }
        ends.resize(layout.buckets(), u16::try_from(bits.len()).ok()?);
        Some(Self::new(layout, ends, bits))
    }

    fn new(layout: Layout, ends: Vec<u16>, mut bits: Vec<u16>) -> Self {
        bits.resize(bits.len() + WINDOW, 0);
        Self { layout, ends, bits }
    }

    fn keys(&self) -> &[u16] {
        self.bits.at(..self.bits.len() - WINDOW, BUCKETS)
    }

    /// Returns false if the part does not have a hash; true if it has, and for one in 2,000 others.
    #[inline]
    pub(crate) fn may_have(&self, hash: u64) -> bool {
        let (bucket, bits) = self.layout.split(hash);
        let end = usize::from(*self.ends.at(bucket, BUCKETS));
        let first = bucket.checked_sub(1).map_or(0, |before| usize::from(*self.ends.at(before, BUCKETS)));
        let window: &[u16; WINDOW] = holds(self.bits.at(first.., BUCKETS).first_chunk(), BUCKETS);
        window.iter().fold(0, |found, has| found | u16::from(*has == bits)) != 0
            || (end - first > WINDOW && self.bits.at(first..end, BUCKETS).contains(&bits))
    }

    /// The hashes of its part, which is the `part`-th of its run: their first bits, and zeros; they ascend.
    pub(crate) fn hashes(&self, part: u64) -> impl Iterator<Item = u64> {
        let Layout { part_bits, bucket_bits } = self.layout;
        let part = if part_bits == 0 { 0 } else { part << (64 - part_bits) };
        let firsts = std::iter::once(0).chain(self.ends.iter().copied());
        let buckets = (0..).zip(firsts.zip(&self.ends));
        buckets.flat_map(move |(bucket, (first, end)): (u64, _)| {
            let leading = part | (bucket << (64 - bucket_bits)) >> part_bits;
            let bits = self.bits.at(usize::from(first)..usize::from(*end), BUCKETS);
            bits.iter().map(move |bits| leading | (u64::from(*bits) << 48) >> (part_bits + bucket_bits))
        })
    }

    /// Returns the bytes of a filter on disk: a checksum, which binds it to its name, the ends, the bits.
    pub(crate) fn encode(&self, name: i64) -> Vec<u8> {
        let mut bytes = vec![0; CHECKSUM_BYTES];
        bytes.extend(self.ends.iter().chain(self.keys()).flat_map(|number| number.to_le_bytes()));
        let (front, data) = bytes.split_at_mut(CHECKSUM_BYTES);
        front.copy_from_slice(&checksum(name, data));
        bytes
    }

    /// Reads a filter of a run of `2^page_bits` pages; the error describes the damage.
    pub(crate) fn read(name: i64, page_bits: u32, bytes: &[u8]) -> Result<Self, &'static str> {
        let layout = Layout::of(page_bits);
        let (front, data) = bytes.split_at_checked(CHECKSUM_BYTES).ok_or("it is too short")?;
        if checksum(name, data) != front {
            return Err("its checksum does not match");
        }
        let (numbers, []) = data.as_chunks() else { return Err("its last number is torn") };
        let (ends, bits) = numbers.split_at_checked(layout.buckets()).ok_or("it is too short")?;
        let read = |numbers: &[[u8; 2]]| {
            // With the room that zeros behind the last window take, so that nothing is moved.
            let mut read = Vec::with_capacity(numbers.len() + WINDOW);
            read.extend(numbers.iter().map(|number| u16::from_le_bytes(*number)));
            read
        };
        let (ends, bits) = (read(ends), read(bits));
        if !ends.is_sorted() || ends.last().copied().map(usize::from) != Some(bits.len()) {
            return Err("its buckets are not those of its keys");
        }
        Ok(Self::new(layout, ends, bits))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn spread(n: u64) -> u64 {
        u64::from_be_bytes(*blake3::hash(&n.to_le_bytes()).as_bytes().first_chunk().unwrap())
    }

    fn ascending(hashes: impl Iterator<Item = u64>) -> Vec<u64> {
        let mut hashes: Vec<u64> = hashes.collect();
        hashes.sort_unstable();
        hashes
    }

    proptest! {
        #[test]
        fn hashes_of_a_part_pass_however_many_and_however_spread(
            even in proptest::collection::vec(any::<u64>(), 0..3_000),
            near in proptest::collection::vec(0_u64..50, 0..200),
            (page_bits, part) in (0_u32..12).prop_flat_map(|bits| (Just(bits), 0..1_u64 << part_bits(bits))),
        ) {
            // All in one part of the run.
            let bits = part_bits(page_bits);
            let within = |hash: u64| if bits == 0 { hash } else { part << (64 - bits) | hash >> bits };
            let hashes = ascending(even.into_iter().chain(near).map(within));
            let filter = KeyFilter::build(page_bits, &hashes).expect("few hashes have a filter");
            let read = KeyFilter::read(9, page_bits, &filter.encode(9)).unwrap();
            for hash in &hashes {
                prop_assert!(filter.may_have(*hash) && read.may_have(*hash));
            }
            let mut leading: Vec<u64> = hashes.iter().map(|hash| hash & !(u64::MAX >> leading_bits(page_bits))).collect();
            leading.dedup();
            prop_assert_eq!(read.hashes(part).collect::<Vec<_>>(), leading);
        }
    }

    #[test]
    fn one_in_two_thousand_other_hashes_passes_at_eighteen_bits_a_key() {
        let keys = 32_768;
        let filter = KeyFilter::build(4, &ascending((0..keys).map(spread))).unwrap();
        let bits = filter.encode(0).len() as u64 * 8;
        assert!(bits < 18 * keys, "{bits} bits for {keys} keys");
        let passed = (keys..keys + 1_000_000).filter(|n| filter.may_have(spread(*n))).count();
        assert!((400..600).contains(&passed), "{passed} of a million passed");
    }

    #[test]
    fn more_hashes_than_a_filter_counts_have_none() {
        let most = u64::from(u16::MAX);
        let hashes: Vec<u64> = (0..most).map(|n| n << 16).collect();
        let filter = KeyFilter::build(0, &hashes).expect("as many as 16 bits count");
        assert!(hashes.iter().all(|hash| filter.may_have(*hash)));
        let apart: Vec<u64> = (0..=most).map(|n| n << 42).collect();
        assert!(KeyFilter::build(0, &apart).is_none());
    }

    #[test]
    fn a_damaged_or_misplaced_filter_is_refused() {
        let bytes = KeyFilter::build(0, &ascending((0..40).map(spread))).unwrap().encode(7);
        assert!(KeyFilter::read(7, 0, &bytes).is_ok() && KeyFilter::read(8, 0, &bytes).is_err());
        assert!(KeyFilter::read(7, 1, &bytes).is_err(), "a filter of another run");
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            assert!(KeyFilter::read(7, 0, &damaged).is_err());
            assert!(KeyFilter::read(7, 0, &bytes[..at]).is_err());
        }
        // Ends that are not those of buckets are refused, whatever the checksum says.
        let (_, data) = bytes.split_at(CHECKSUM_BYTES);
        for (at, to) in [(0, 41), (254, 39), (254, 41), (255, 1)] {
            let mut data = data.to_vec();
            data[at] = to;
            let bytes = [&checksum(7, &data)[..], &data].concat();
            assert!(KeyFilter::read(7, 0, &bytes).is_err(), "byte {at} of the ends is {to}");
        }
    }
}
