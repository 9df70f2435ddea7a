//! Distinct keys of bytes in memory.

use super::buffer::KeyRows;
use super::hashes::{Fill, claim, grown, start};
use super::word::Word;

/// A key that has no number any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Full;

/// Distinct keys, numbered in the order they came in, and buckets of one line of memory each that
/// find them by their hashes.
///
/// A bucket has a tag of each hash, so that one look at memory tells whether a key may be there.
/// What a full one has no room for goes to the next. The table grows as [`super::hashes::HashTable`].
/// Memory: 10 to 16 bytes a key for the places, 24 to 48 for the key and its hash, and up to twice the
/// bytes of keys of more than 12.
#[derive(Debug)]
pub(super) struct KeyIndex {
    buckets: Vec<Bucket>,
    hashes: Vec<u64>,
    /// The keys, short ones as they are, long ones as their length and the place of their bytes.
    keys: Vec<u128>,
    long: Vec<u8>,
    fill: Fill,
}

const LANES: usize = 8;

/// A line of memory.
#[derive(Debug, Clone, Copy)]
#[repr(align(64))]
struct Bucket {
    /// Zero marks a free place; lanes fill from the front.
    tags: [u32; LANES],
    numbers: [u32; LANES],
}

impl Bucket {
    const FREE: Self = Self { tags: [0; LANES], numbers: [0; LANES] };

    /// A bit for each lane that has the tag.
    #[inline]
    fn lanes(&self, tag: u32) -> u32 {
        let lanes = self.tags.iter().enumerate();
        lanes.fold(0, |found, (lane, its)| found | u32::from(*its == tag) << lane)
    }

    #[inline]
    fn number(&self, lane: u32) -> u32 {
        self.numbers.get(lane as usize).copied().unwrap_or(0)
    }

    #[inline]
    fn is_full(&self) -> bool {
        let [.., last] = self.tags;
        last != 0
    }

    #[inline]
    fn add(&mut self, tag: u32, number: u32) {
        self.set(self.tags.iter().map(|tag| usize::from(*tag != 0)).sum(), tag, number);
    }

    #[inline]
    fn set(&mut self, lane: usize, tag: u32, number: u32) {
        if let (Some(its), Some(place)) = (self.tags.get_mut(lane), self.numbers.get_mut(lane)) {
            (*its, *place) = (tag, number);
        }
    }
}

impl KeyIndex {
    pub(super) fn new(partition: usize) -> Self {
        let (buckets, hashes, keys, long) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Self { buckets, hashes, keys, long, fill: Fill::of(partition) }
    }

    #[inline]
    pub(super) fn insert(&mut self, hash: u64, word: Word<'_>) -> Result<(), Full> {
        if self.fill.reached(self.keys.len(), self.buckets.len() * LANES) {
            self.grow();
        }
        if self.has(hash, word) {
            return Ok(());
        }
        let number = u32::try_from(self.keys.len()).map_err(|_| Full)?;
        let key = self.own(word);
        self.keys.push(key);
        self.hashes.push(hash);
        self.place(hash, number);
        Ok(())
    }

    fn own(&mut self, word: Word<'_>) -> u128 {
        match word {
            Word::Short(key) => key,
            Word::Long(bytes) => {
                let begin = self.long.len();
                self.long.extend_from_slice(bytes);
                (begin as u128) << 64 | bytes.len() as u128
            }
        }
    }

    /// Enters a number where there is room.
    #[inline]
    fn place(&mut self, hash: u64, number: u32) {
        let mut at = start(hash, self.buckets.len());
        loop {
            let next = self.after(at);
            match self.buckets.get_mut(at) {
                Some(bucket) if bucket.is_full() => at = next,
                Some(bucket) => return bucket.add(tag_of(hash), number),
                None => return,
            }
        }
    }

    #[cold]
    fn grow(&mut self) {
        let size = grown(self.buckets.len());
        self.buckets = vec![Bucket::FREE; size];
        // Counted beside, as reading a line that was just written to in part would wait.
        let mut counts = vec![0; size];
        for (number, hash) in (0_u32..).zip(&self.hashes) {
            let (at, lane) = claim(&mut counts, start(*hash, size), LANES);
            if let Some(bucket) = self.buckets.get_mut(at) {
                bucket.set(lane, tag_of(*hash), number);
            }
        }
    }

    #[inline]
    fn after(&self, at: usize) -> usize {
        if at + 1 == self.buckets.len() { 0 } else { at + 1 }
    }

    /// The first key that may have this hash.
    #[inline]
    pub(super) fn candidate(&self, hash: u64) -> Option<u32> {
        let tag = tag_of(hash);
        let mut at = start(hash, self.buckets.len());
        while let Some(bucket) = self.buckets.get(at) {
            let lanes = bucket.lanes(tag);
            if (lanes != 0) | !bucket.is_full() {
                return (lanes != 0).then(|| bucket.number(lanes.trailing_zeros()));
            }
            at = self.after(at);
        }
        None
    }

    /// Whether a key is there, given its candidate.
    #[inline]
    pub(super) fn has_at(&self, candidate: Option<u32>, hash: u64, word: Word<'_>) -> bool {
        // A number is looked at in any case: whether there is a candidate is not to be foretold.
        let same = self.is_at(candidate.unwrap_or(0), word);
        match (candidate.is_some(), same) {
            (true, false) => self.search(hash, word),
            (found, _) => found,
        }
    }

    #[inline]
    pub(super) fn has(&self, hash: u64, word: Word<'_>) -> bool {
        self.candidate(hash).is_some_and(|number| self.is_at(number, word) || self.search(hash, word))
    }

    /// Looks at all keys of the hash's tag.
    #[cold]
    fn search(&self, hash: u64, word: Word<'_>) -> bool {
        let mut at = start(hash, self.buckets.len());
        while let Some(bucket) = self.buckets.get(at) {
            let lanes = bucket.lanes(tag_of(hash));
            if (0..8).any(|lane| lanes >> lane & 1 == 1 && self.is_at(bucket.number(lane), word)) {
                return true;
            }
            if !bucket.is_full() {
                break;
            }
            at = self.after(at);
        }
        false
    }

    #[inline]
    fn is_at(&self, number: u32, word: Word<'_>) -> bool {
        let Some(key) = self.keys.get(number as usize) else { return false };
        match word {
            Word::Short(word) => word == *key,
            Word::Long(bytes) => self.key(*key) == Word::Long(bytes),
        }
    }

    fn key(&self, key: u128) -> Word<'_> {
        let length = Word::length(key);
        if length <= Word::SHORT {
            return Word::Short(key);
        }
        let begin = usize::try_from(key >> 64).unwrap_or(usize::MAX);
        Word::Long(self.long.get(begin..begin.saturating_add(length)).unwrap_or_default())
    }

    /// Reads where a hash belongs.
    #[inline]
    pub(super) fn touch(&self, hash: u64) -> u64 {
        let bucket = self.buckets.get(start(hash, self.buckets.len()));
        bucket.map_or(0, |Bucket { tags: [first, ..], .. }| u64::from(*first))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    pub(super) fn bytes(&self) -> usize {
        self.buckets.len() * size_of::<Bucket>()
            + self.hashes.capacity() * size_of::<u64>()
            + self.keys.capacity() * size_of::<u128>()
            + self.long.capacity()
    }

    /// Takes all keys out.
    pub(super) fn take(&mut self) -> KeyRows {
        let mut rows = KeyRows::default();
        for (hash, key) in self.hashes.iter().zip(&self.keys) {
            self.key(*key).with_bytes(|bytes| rows.push(*hash, bytes));
        }
        let fill = self.fill;
        *self = Self { fill, ..Self::new(0) };
        rows
    }
}

/// The low bits of a hash, of which the partition is part; the high ones choose the bucket.
#[expect(clippy::cast_possible_truncation, reason = "the low bits are what is wanted")]
#[inline]
fn tag_of(hash: u64) -> u32 {
    (hash as u32).max(1)
}
