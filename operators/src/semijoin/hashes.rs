//! Distinct hashes in memory.

use anabranch_engine::index::At as _;
use anabranch_engine::prefetch::prefetch;

use super::partition_buffer::PartitionBuffer;

/// Distinct hashes, in buckets of one line of memory each, so that one look at memory decides whether
/// a hash is there, mostly.
///
/// A bucket fills from its front; what a full one has no room for goes to the next. Memory: 10 to 16
/// bytes a hash.
#[derive(Debug, Default)]
pub(super) struct HashTable {
    buckets: Vec<HashBucket>,
    taken: usize,
    /// Zero marks a free place and is kept beside.
    has_zero: bool,
}

const LANES: usize = 8;

/// A line of memory.
#[derive(Debug, Clone, Copy)]
#[repr(align(64))]
struct HashBucket([u64; LANES]);

impl HashBucket {
    const FREE: Self = Self([0; LANES]);

    /// Returns whether a hash is here, without a branch that could go wrong.
    #[inline]
    fn has(&self, hash: u64) -> bool {
        self.0.iter().fold(0, |found, place| found | u8::from(*place == hash)) != 0
    }

    /// Adds a hash to a bucket that is not full.
    #[inline]
    fn add(&mut self, hash: u64) {
        let free: usize = self.0.iter().map(|place| usize::from(*place != 0)).sum();
        if let Some(place) = self.0.get_mut(free) {
            *place = hash;
        }
    }

    #[inline]
    fn is_full(&self) -> bool {
        let [.., last] = self.0;
        last != 0
    }
}

impl HashTable {
    /// Returns whether a hash is there.
    #[inline]
    pub(super) fn has(&self, hash: u64) -> bool {
        self.view().has(hash)
    }

    #[inline]
    pub(super) fn view(&self) -> HashView<'_> {
        HashView { buckets: &self.buckets, has_zero: self.has_zero }
    }

    /// Adds a hash.
    pub(super) fn insert(&mut self, hash: u64) {
        if is_full(self.taken, self.buckets.len() * LANES) {
            self.resize(grown(self.buckets.len()));
        }
        self.enter(hash);
    }

    /// Adds many hashes at once.
    pub(super) fn absorb(&mut self, buffers: &[PartitionBuffer]) {
        let count: usize = buffers.iter().map(|buffer| buffer.hashes.len()).sum();
        let is_made = count >= self.taken;
        if is_made {
            self.resize(buckets_for(self.taken + count.min(ROOM), LANES));
        }
        for buffer in buffers {
            for hash in &buffer.hashes {
                self.insert(*hash);
            }
        }
        if is_made && is_wasteful(self.buckets.len(), self.taken, LANES) {
            self.resize(buckets_for(self.taken, LANES));
        }
    }

    /// Adds a hash where there is room.
    #[inline]
    fn enter(&mut self, hash: u64) {
        if hash == 0 {
            self.has_zero = true;
            return;
        }
        let mut at = start(hash, self.buckets.len());
        loop {
            let next = after(at, self.buckets.len());
            let bucket = self.buckets.at_mut(at, "a search stays within the buckets");
            if bucket.has(hash) {
                return;
            }
            if !bucket.is_full() {
                bucket.add(hash);
                self.taken += 1;
                return;
            }
            at = next;
        }
    }

    fn resize(&mut self, size: usize) {
        let old = std::mem::replace(&mut self.buckets, vec![HashBucket::FREE; size]);
        self.taken = 0;
        for hash in old.iter().flat_map(|bucket| bucket.0).filter(|hash| *hash != 0) {
            self.enter(hash);
        }
    }

    /// Takes all hashes out.
    pub(super) fn take(&mut self) -> impl Iterator<Item = u64> + use<> {
        let Self { buckets, has_zero, .. } = std::mem::take(self);
        let places = buckets.into_iter().flat_map(|bucket| bucket.0);
        has_zero.then_some(0).into_iter().chain(places.filter(|hash| *hash != 0))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.taken == 0 && !self.has_zero
    }

    pub(super) fn bytes(&self) -> usize {
        self.buckets.len() * size_of::<HashBucket>()
    }
}

/// A table that is looked into.
#[derive(Debug, Clone, Copy)]
pub(super) struct HashView<'a> {
    buckets: &'a [HashBucket],
    has_zero: bool,
}

impl HashView<'_> {
    /// Returns whether a hash is there.
    #[inline]
    pub(super) fn has(&self, hash: u64) -> bool {
        let mut at = start(hash, self.buckets.len());
        while let Some(bucket) = self.buckets.get(at) {
            let found = bucket.has(hash);
            if found | !bucket.is_full() {
                // A free place looks like zero.
                return if hash == 0 { self.has_zero } else { found };
            }
            at = after(at, self.buckets.len());
        }
        hash == 0 && self.has_zero
    }

    /// Asks for the line where a hash belongs.
    #[inline]
    pub(super) fn prefetch(&self, hash: u64) {
        if let Some(HashBucket([first, ..])) = self.buckets.get(start(hash, self.buckets.len())) {
            prefetch(first);
        }
    }
}

/// New keys that room is made for before they come, at most: more of them may be one key again and
/// again.
pub(super) const ROOM: usize = 1 << 16;

/// The fill of a table all of whose keys are known when it is made, in 1024ths.
const MADE: usize = 585;

/// The largest fill of a table, in 1024ths.
const MOST: usize = 768;

/// The buckets that so many keys need.
pub(super) fn buckets_for(keys: usize, lanes: usize) -> usize {
    (keys.saturating_mul(1024) / (lanes * MADE)).saturating_add(1)
}

/// Returns whether a table has to grow before more keys go in.
#[inline]
pub(super) fn is_full(taken: usize, places: usize) -> bool {
    taken.saturating_mul(1024) >= places.saturating_mul(MOST)
}

/// Returns whether a table is much larger than its keys need, as many that came were equal.
pub(super) fn is_wasteful(buckets: usize, keys: usize, lanes: usize) -> bool {
    let needed = buckets_for(keys, lanes);
    buckets > needed + needed / 8
}

/// The number of buckets after so many.
pub(super) fn grown(buckets: usize) -> usize {
    buckets + buckets / 2 + 1
}

/// The bucket behind one of so many.
#[inline]
pub(super) fn after(at: usize, buckets: usize) -> usize {
    if at + 1 == buckets { 0 } else { at + 1 }
}

/// Where a hash belongs: its high bits, spread over any number of buckets.
#[expect(clippy::cast_possible_truncation, reason = "the product is below the number of buckets")]
#[inline]
pub(super) fn start(hash: u64, buckets: usize) -> usize {
    ((u128::from(hash) * buckets as u128) >> 64) as usize
}
