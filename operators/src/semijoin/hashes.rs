//! Distinct hashes in memory.

use super::keyset::PARTITIONS;

/// Distinct hashes, in buckets of one line of memory each, so that one look at memory tells whether
/// a hash is there, mostly.
///
/// A bucket fills from its front; what a full one has no room for goes to the next. The table grows
/// by half at a fill between 0.7 and 0.8, each partition's at one of its own, so that not all of them
/// grow at once. Memory: 10 to 16 bytes a hash.
#[derive(Debug)]
pub(super) struct HashTable {
    buckets: Vec<Bucket>,
    taken: usize,
    /// Zero marks a free place and is kept beside.
    has_zero: bool,
    fill: Fill,
}

const LANES: usize = 8;

/// A line of memory.
#[derive(Debug, Clone, Copy)]
#[repr(align(64))]
struct Bucket([u64; LANES]);

impl Bucket {
    const FREE: Self = Self([0; LANES]);

    /// Whether a hash is here, without a branch that could go wrong.
    #[inline]
    fn has(&self, hash: u64) -> bool {
        self.0.iter().fold(0, |found, place| found | u8::from(*place == hash)) != 0
    }

    /// The first free lane of a bucket that is not full.
    #[inline]
    fn free(&self) -> usize {
        self.0.iter().map(|place| usize::from(*place != 0)).sum()
    }

    /// Adds a hash to a bucket that is not full.
    #[inline]
    fn add(&mut self, hash: u64) {
        let free = self.free();
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
    pub(super) fn new(partition: usize) -> Self {
        Self { buckets: Vec::new(), taken: 0, has_zero: false, fill: Fill::of(partition) }
    }

    /// Whether a hash is there.
    #[inline]
    pub(super) fn has(&self, hash: u64) -> bool {
        let mut at = start(hash, self.buckets.len());
        while let Some(bucket) = self.buckets.get(at) {
            let found = bucket.has(hash);
            if found | !bucket.is_full() {
                // A free place looks like zero.
                return if hash == 0 { self.has_zero } else { found };
            }
            at = self.after(at);
        }
        hash == 0 && self.has_zero
    }

    #[inline]
    fn after(&self, at: usize) -> usize {
        if at + 1 == self.buckets.len() { 0 } else { at + 1 }
    }

    /// Adds a hash.
    #[inline]
    pub(super) fn insert(&mut self, hash: u64) {
        if hash == 0 {
            self.has_zero = true;
            return;
        }
        if self.fill.reached(self.taken, self.buckets.len() * LANES) {
            self.grow();
        }
        let mut at = start(hash, self.buckets.len());
        loop {
            let next = self.after(at);
            let Some(bucket) = self.buckets.get_mut(at) else { return };
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

    #[cold]
    fn grow(&mut self) {
        let size = grown(self.buckets.len());
        let old = std::mem::replace(&mut self.buckets, vec![Bucket::FREE; size]);
        // Counted beside, since reading a line that was just written to in part would wait.
        let mut counts = vec![0; size];
        for bucket in &old {
            for hash in bucket.0.iter().take(bucket.free()) {
                let (at, lane) = claim(&mut counts, start(*hash, size), LANES);
                if let Some(place) = self.buckets.get_mut(at).and_then(|bucket| bucket.0.get_mut(lane)) {
                    *place = *hash;
                }
            }
        }
    }

    /// Takes all hashes out.
    pub(super) fn take(&mut self) -> impl Iterator<Item = u64> + use<> {
        self.taken = 0;
        let zero = std::mem::take(&mut self.has_zero).then_some(0);
        let places = std::mem::take(&mut self.buckets).into_iter().flat_map(|bucket| bucket.0);
        zero.into_iter().chain(places.filter(|hash| *hash != 0))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.taken == 0 && !self.has_zero
    }

    pub(super) fn bytes(&self) -> usize {
        self.buckets.len() * size_of::<Bucket>()
    }

    /// Reads where a hash belongs.
    #[inline]
    pub(super) fn touch(&self, hash: u64) -> u64 {
        let bucket = self.buckets.get(start(hash, self.buckets.len()));
        bucket.map_or(0, |Bucket([first, ..])| *first)
    }
}

/// How full a table may be, in 1024ths.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fill(usize);

impl Fill {
    pub(super) fn of(partition: usize) -> Self {
        Self(717 + (partition % PARTITIONS) * 102 / PARTITIONS)
    }

    #[inline]
    pub(super) fn reached(self, taken: usize, places: usize) -> bool {
        taken.saturating_mul(1024) >= places.saturating_mul(self.0)
    }
}

/// Takes a free lane of the first bucket from a place on that has one, given how many each has taken;
/// there is one.
#[inline]
pub(super) fn claim(counts: &mut [u8], from: usize, lanes: usize) -> (usize, usize) {
    let mut at = from;
    while let Some(count) = counts.get_mut(at) {
        let lane = usize::from(*count);
        if lane < lanes {
            *count += 1;
            return (at, lane);
        }
        at = if at + 1 == counts.len() { 0 } else { at + 1 };
    }
    (at, lanes)
}

/// The number of buckets after so many.
pub(super) fn grown(buckets: usize) -> usize {
    buckets + buckets / 2 + 1
}

/// Where a hash belongs: its high bits, spread over any number of buckets.
#[expect(clippy::cast_possible_truncation, reason = "the product is below the number of buckets")]
#[inline]
pub(super) fn start(hash: u64, buckets: usize) -> usize {
    ((u128::from(hash) * buckets as u128) >> 64) as usize
}
