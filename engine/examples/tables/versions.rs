//! Versions by the first bytes of packet hashes, as a store adds them and looks them up.

use std::time::Duration;

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use crate::{CHUNK_ROWS, Contestant, Keys, Outcome, Use, timed};

// The table of the store itself, which is no part of its interface.
#[expect(dead_code, reason = "limits of memory are not measured")]
#[path = "../../../storage/src/results/table.rs"]
mod table;

#[expect(dead_code, reason = "ids of versions are not measured")]
#[path = "../../../storage/src/results/result_ref.rs"]
mod result_ref;

use table::PrefixTable;

/// Keys of results.
pub(crate) const VERSIONS: Use = Use {
    name: "keys of results",
    phases: &["first run", "hit", "miss"],
    sizes: &[1_000, 100_000, 10_000_000],
    contestants: &[
        Contestant { name: "tables of hashbrown that stay as they are", run: versions::<PrefixTable> },
        Contestant { name: "one of hashbrown that grows", run: versions::<Growing> },
    ],
};

/// Versions, which are numbered by their blocks and rows.
trait Versions: Default {
    fn add(&mut self, block: u64, hashes: &[u64]);
    /// The sum of the numbers of what is there.
    fn find(&self, hashes: &[u64]) -> u64;
    fn bytes(&self) -> usize;
}

impl Versions for PrefixTable {
    fn add(&mut self, block: u64, hashes: &[u64]) {
        let prefixes: Vec<[u8; 16]> = hashes.iter().map(|hash| u128::from(*hash).to_le_bytes()).collect();
        self.add_block(block, &prefixes);
    }

    fn find(&self, hashes: &[u64]) -> u64 {
        let mut sum = 0;
        self.look_up(hashes.iter().copied().enumerate(), |_, found| {
            sum += found.block << 13 | u64::from(found.row);
        });
        sum
    }

    fn bytes(&self) -> usize {
        Self::bytes(self)
    }
}

/// One table, of whole hashes, and the number of the first row of each block.
#[derive(Default)]
struct Growing {
    table: HashTable<(u64, u32)>,
    blocks: Vec<u32>,
    rows: u32,
}

impl Versions for Growing {
    fn add(&mut self, _: u64, hashes: &[u64]) {
        self.blocks.push(self.rows);
        for hash in hashes {
            match self.table.entry(*hash, |slot| slot.0 == *hash, |slot| slot.0) {
                Entry::Occupied(mut slot) => slot.get_mut().1 = self.rows,
                Entry::Vacant(free) => drop(free.insert((*hash, self.rows))),
            }
            self.rows += 1;
        }
    }

    fn find(&self, hashes: &[u64]) -> u64 {
        let found = |hash: &u64| self.table.find(*hash, |slot| slot.0 == *hash);
        let number = |slot: &(u64, u32)| {
            let block = self.blocks.partition_point(|first| *first <= slot.1);
            (block as u64) << 13 | u64::from(slot.1 - self.blocks[block - 1])
        };
        hashes.iter().filter_map(found).map(number).sum()
    }

    fn bytes(&self) -> usize {
        self.table.allocation_size()
    }
}

/// Looks each chunk up and adds it, as a first run does; then looks up what is there and what is not.
fn versions<V: Versions>(keys: &Keys) -> Outcome {
    let (versions, added) = timed(|| {
        let mut versions = V::default();
        for (block, hashes) in (1..).zip(keys.all.chunks(CHUNK_ROWS)) {
            assert_eq!(versions.find(hashes), 0, "no key comes twice");
            versions.add(block, hashes);
        }
        versions
    });
    let found = |hashes: &[u64]| -> (u64, Duration) {
        timed(|| hashes.chunks(CHUNK_ROWS).map(|hashes| versions.find(hashes)).sum())
    };
    let ((answer, hit), (misses, miss)) = (found(&keys.hits), found(&keys.misses));
    // The few that begin as another does are found as versions of it, too, where tables have halves of hashes.
    let answer = if keys.all.len() > 1_000_000 { 0 } else { answer + misses };
    std::hint::black_box(misses);
    Outcome { times: vec![added, hit, miss], bytes: versions.bytes(), answer }
}
