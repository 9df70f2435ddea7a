//! Sets: hashes, and keys of 16 bytes, as semijoins look them up.

use anabranch_engine::open_table::OpenTable;
use hashbrown::HashTable;

use crate::{Contestant, Part, Use, partitioned, spread};

const PHASES: &[&str] = &["add", "hit", "miss"];
const SIZES: &[usize] = &[1_000, 100_000, 10_000_000];

/// Hashes alone.
pub(crate) const HASHES: Use = Use {
    name: "hashes of a semijoin",
    phases: PHASES,
    sizes: SIZES,
    contestants: &[
        Contestant { name: "OpenTable", run: partitioned::<OpenHashes> },
        Contestant { name: "hashbrown", run: partitioned::<BrownHashes> },
    ],
};

/// Keys of 16 bytes.
pub(crate) const KEYS: Use = Use {
    name: "keys of a semijoin",
    phases: PHASES,
    sizes: SIZES,
    contestants: &[
        Contestant { name: "OpenTable", run: partitioned::<OpenKeys> },
        Contestant { name: "hashbrown", run: partitioned::<BrownKeys> },
    ],
};

fn key_of(hash: u64) -> u128 {
    u128::from(hash) << 64 | u128::from(!hash)
}

#[derive(Default)]
struct OpenHashes(OpenTable<u64, 8>);

impl Part for OpenHashes {
    #[inline]
    fn add(&mut self, _: usize, hash: u64, _: u32) {
        if let Some(lines) = self.0.lines_to_insert() {
            self.0.resize(lines, |_, hash| *hash, |_, _| {});
        }
        self.0.insert(hash, |other| *other == hash, || hash);
    }

    #[inline]
    fn find(&self, hash: u64) -> u64 {
        u64::from(self.0.view().has(hash, |other| *other == hash))
    }

    #[inline]
    fn prefetch(&self, hash: u64) {
        self.0.view().prefetch(hash);
    }

    fn bytes(&self) -> usize {
        self.0.bytes()
    }
}

#[derive(Default)]
struct BrownHashes(HashTable<u64>);

impl Part for BrownHashes {
    #[inline]
    fn add(&mut self, _: usize, hash: u64, _: u32) {
        self.0.entry(spread(hash), |other| *other == hash, |other| spread(*other)).or_insert(hash);
    }

    #[inline]
    fn find(&self, hash: u64) -> u64 {
        u64::from(self.0.find(spread(hash), |other| *other == hash).is_some())
    }

    fn bytes(&self) -> usize {
        self.0.allocation_size()
    }
}

/// Keys, and beside them their hashes, which are not read by look-ups.
#[derive(Default)]
struct OpenKeys(OpenTable<u128, 4>, Vec<u64>);

impl Part for OpenKeys {
    #[inline]
    fn add(&mut self, _: usize, hash: u64, _: u32) {
        if let Some(lines) = self.0.lines_to_insert() {
            let old = std::mem::replace(&mut self.1, vec![0; lines * 4]);
            self.0.resize(lines, |place, _| old[place], |from, to| self.1[to] = old[from]);
        }
        let key = key_of(hash);
        if let Some(place) = self.0.insert(hash, |other| *other == key, || key) {
            self.1[place] = hash;
        }
    }

    #[inline]
    fn find(&self, hash: u64) -> u64 {
        let key = key_of(hash);
        u64::from(self.0.view().has(hash, |other| *other == key))
    }

    #[inline]
    fn prefetch(&self, hash: u64) {
        self.0.view().prefetch(hash);
    }

    fn bytes(&self) -> usize {
        self.0.bytes() + self.1.len() * 8
    }
}

/// Each key with its hash, in 24 bytes.
#[derive(Default)]
struct BrownKeys(HashTable<(u64, [u64; 2])>);

fn halves(key: u128) -> [u64; 2] {
    [(key >> 64) as u64, (key & u128::from(u64::MAX)) as u64]
}

impl Part for BrownKeys {
    #[inline]
    fn add(&mut self, _: usize, hash: u64, _: u32) {
        let key = halves(key_of(hash));
        self.0.entry(spread(hash), |other| other.1 == key, |other| spread(other.0)).or_insert((hash, key));
    }

    #[inline]
    fn find(&self, hash: u64) -> u64 {
        let key = halves(key_of(hash));
        u64::from(self.0.find(spread(hash), |other| other.1 == key).is_some())
    }

    fn bytes(&self) -> usize {
        self.0.allocation_size()
    }
}
