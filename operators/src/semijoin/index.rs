//! Distinct keys of bytes in memory.

use anabranch_engine::prefetch::prefetch;

use super::buffer::KeyRows;
use super::hashes::{ROOM, after, buckets_for, grown, is_full, is_wasteful, start};
use super::partition_buffer::PartitionBuffer;
use super::word::{Form, Word};

/// Distinct keys, in buckets of one line of memory each: keys of few bytes themselves, of others where
/// their bytes lie.
///
/// A bucket fills from its front; what a full one has no room for goes to the next. Memory: 21 to 32
/// bytes a key, half as much again for hashes, which growing and spilling need, and up to twice the
/// bytes of keys of more than 12 that are not packed.
#[derive(Debug)]
pub(super) struct KeyIndex {
    form: Form,
    buckets: Vec<KeyBucket>,
    /// Those of the keys, place by place.
    hashes: Vec<[u64; LANES]>,
    taken: usize,
    /// The hash of the key that is kept as zero, which would look like a free place.
    zero: Option<u64>,
    long: Vec<u8>,
}

const LANES: usize = 4;

/// A line of memory.
#[derive(Debug, Clone, Copy)]
#[repr(align(64))]
struct KeyBucket([u128; LANES]);

impl KeyBucket {
    const FREE: Self = Self([0; LANES]);

    #[inline]
    fn is_full(&self) -> bool {
        let [.., last] = self.0;
        last != 0
    }

    /// The number of its keys.
    #[inline]
    fn taken(&self) -> usize {
        self.0.iter().map(|key| usize::from(*key != 0)).sum()
    }
}

impl KeyIndex {
    pub(super) fn new(form: Form) -> Self {
        Self { form, buckets: Vec::new(), hashes: Vec::new(), taken: 0, zero: None, long: Vec::new() }
    }

    /// Adds a key.
    pub(super) fn insert(&mut self, hash: u64, word: Word<'_>) {
        if is_full(self.taken, self.buckets.len() * LANES) {
            self.resize(grown(self.buckets.len()));
        }
        self.enter(hash, word);
    }

    /// Adds many keys at once.
    pub(super) fn absorb(&mut self, buffers: &[PartitionBuffer]) {
        let count: usize = buffers.iter().map(|buffer| buffer.hashes.len()).sum();
        let is_made = count >= self.taken;
        if is_made {
            self.resize(buckets_for(self.taken + count.min(ROOM), LANES));
        }
        for buffer in buffers {
            for (hash, word) in buffer.keys(self.form) {
                self.insert(hash, word);
            }
        }
        if is_made && is_wasteful(self.buckets.len(), self.taken, LANES) {
            self.resize(buckets_for(self.taken, LANES));
        }
    }

    /// Adds a key where there is room.
    #[inline]
    fn enter(&mut self, hash: u64, word: Word<'_>) {
        if is_zero(word) {
            self.zero = Some(hash);
        } else if let Err(free) = self.view().find(hash, word) {
            let key = word.kept(hash, &mut self.long);
            self.place(free, hash, key);
            self.taken += 1;
        }
    }

    /// Puts a key into a bucket that is not full.
    #[inline]
    fn place(&mut self, at: usize, hash: u64, key: u128) {
        if let (Some(bucket), Some(hashes)) = (self.buckets.get_mut(at), self.hashes.get_mut(at)) {
            let lane = bucket.taken();
            if let (Some(place), Some(its)) = (bucket.0.get_mut(lane), hashes.get_mut(lane)) {
                (*place, *its) = (key, hash);
            }
        }
    }

    fn resize(&mut self, size: usize) {
        let buckets = std::mem::replace(&mut self.buckets, vec![KeyBucket::FREE; size]);
        let hashes = std::mem::replace(&mut self.hashes, vec![[0; LANES]; size]);
        for (hash, key) in keys_of(&buckets, &hashes) {
            let mut at = start(hash, size);
            while self.buckets.get(at).is_some_and(KeyBucket::is_full) {
                at = after(at, size);
            }
            self.place(at, hash, key);
        }
    }

    /// Forgets the hashes: from now on nothing is added and nothing taken out.
    pub(super) fn seal(&mut self) {
        self.hashes = Vec::new();
    }

    #[inline]
    pub(super) fn view(&self) -> KeyView<'_> {
        KeyView { buckets: &self.buckets, long: &self.long, has_zero: self.zero.is_some() }
    }

    #[inline]
    pub(super) fn has(&self, hash: u64, word: Word<'_>) -> bool {
        self.view().has(hash, word)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.taken == 0 && self.zero.is_none()
    }

    pub(super) fn bytes(&self) -> usize {
        self.buckets.len() * size_of::<KeyBucket>()
            + self.hashes.len() * size_of::<[u64; LANES]>()
            + self.long.capacity()
    }

    /// Takes all keys out.
    pub(super) fn take(&mut self) -> KeyRows {
        let Self { form, buckets, hashes, zero, long, .. } = std::mem::replace(self, Self::new(self.form));
        let mut rows = KeyRows::default();
        if let Some(hash) = zero {
            form.zero().with_bytes(|bytes| rows.push(hash, bytes));
        }
        for (hash, key) in keys_of(&buckets, &hashes) {
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

fn keys_of(buckets: &[KeyBucket], hashes: &[[u64; LANES]]) -> impl Iterator<Item = (u64, u128)> {
    let places = buckets.iter().zip(hashes).flat_map(|(keys, hashes)| hashes.iter().copied().zip(keys.0));
    places.filter(|(_, key)| *key != 0)
}

/// An index that is looked into.
#[derive(Debug, Clone, Copy)]
pub(super) struct KeyView<'a> {
    buckets: &'a [KeyBucket],
    long: &'a [u8],
    has_zero: bool,
}

impl KeyView<'_> {
    #[inline]
    pub(super) fn has(&self, hash: u64, word: Word<'_>) -> bool {
        if is_zero(word) { self.has_zero } else { self.find(hash, word).is_ok() }
    }

    /// Finds a key of some bytes; else the bucket that has room for it.
    #[inline]
    fn find(&self, hash: u64, word: Word<'_>) -> Result<(), usize> {
        match word {
            Word::Packed(key) | Word::Short(key) => self.search(hash, |bucket| {
                bucket.0.iter().fold(0, |found, its| found | u8::from(*its == key)) != 0
            }),
            Word::Long(_) => self.search(hash, |bucket| self.has_long(bucket, hash, word)),
        }
    }

    #[inline]
    fn search(&self, hash: u64, is_in: impl Fn(&KeyBucket) -> bool) -> Result<(), usize> {
        let mut at = start(hash, self.buckets.len());
        while let Some(bucket) = self.buckets.get(at) {
            let found = is_in(bucket);
            if found | !bucket.is_full() {
                return if found { Ok(()) } else { Err(at) };
            }
            at = after(at, self.buckets.len());
        }
        Err(at)
    }

    #[expect(clippy::cast_possible_truncation, reason = "heads are the lower halves")]
    fn has_long(&self, bucket: &KeyBucket, hash: u64, word: Word<'_>) -> bool {
        let head = word.head(hash);
        bucket.0.iter().any(|key| *key as u64 == head && Word::of_kept(*key, self.long) == word)
    }

    /// Asks for the line where a hash belongs.
    #[inline]
    pub(super) fn prefetch(&self, hash: u64) {
        if let Some(KeyBucket([first, ..])) = self.buckets.get(start(hash, self.buckets.len())) {
            prefetch(first);
        }
    }
}
