//! A set for one commit, which only shows that no key comes twice.

use anabranch_engine::open_table::OpenTable;
use hashbrown::HashTable;

use crate::{Contestant, Keys, Outcome, Use, timed};

/// Keys of a commit.
pub(crate) const DIFFER: Use = Use {
    name: "keys of a commit",
    phases: &["add"],
    sizes: &[1_000, 8_192],
    contestants: &[
        Contestant { name: "OpenTable", run: |keys| once(keys, open) },
        Contestant { name: "hashbrown", run: |keys| once(keys, brown) },
        Contestant { name: "place after place, half of them free", run: |keys| once(keys, linear) },
    ],
};

fn open(hashes: &[u64]) -> bool {
    let mut table = OpenTable::<u64, 8>::with_room(hashes.len());
    hashes.iter().all(|hash| table.insert(*hash, |other| other == hash, || *hash).is_some())
}

fn brown(hashes: &[u64]) -> bool {
    let mut table = HashTable::with_capacity(hashes.len());
    hashes.iter().all(|hash| {
        let before = table.len();
        table.entry(*hash, |other| other == hash, |other| *other).or_insert(*hash);
        table.len() > before
    })
}

fn linear(hashes: &[u64]) -> bool {
    let mut table = vec![0; (hashes.len() * 2).next_power_of_two()];
    let low = |number: u64| usize::try_from(number & (table.len() as u64 - 1)).unwrap_or(0);
    let starts: Vec<usize> = hashes.iter().map(|hash| low(*hash)).collect();
    let last = table.len() - 1;
    hashes.iter().zip(starts).all(|(hash, mut at)| {
        while table[at] != 0 && table[at] != *hash {
            at = (at + 1) & last;
        }
        std::mem::replace(&mut table[at], *hash) == 0
    })
}

fn once(keys: &Keys, differ: fn(&[u64]) -> bool) -> Outcome {
    let (answer, time) = timed(|| differ(&keys.all));
    Outcome { times: vec![time], bytes: 0, answer: u64::from(answer) }
}
