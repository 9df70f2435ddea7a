//! Distinct keys in memory, in partitions by hash.

use super::buffer::KeyRows;
use super::hashes::HashTable;
use super::index::{Full, KeyIndex};
use super::order::Ordered;
use super::word::Word;

/// Number of partitions.
pub(super) const PARTITIONS: usize = 256;

/// Hashes that are worked on together: their buckets fit into the first cache.
const BLOCK: usize = 256;

/// Hashes that it pays to put in the order of their partitions.
const ORDERED_ROWS: usize = 1_024;

/// Bytes of tables that are too many for the nearest memory.
const ORDERED_BYTES: usize = 1 << 20;

/// The partition of a hash: its bits from 24 to 32. Lower ones choose the share of a machine, the
/// highest the place in a table.
pub(super) fn partition_of(hash: u64) -> usize {
    ((hash >> 24) & 0xff) as usize
}

/// Distinct keys of all partitions, or of a share of them.
#[derive(Debug, Default)]
pub(super) struct KeySet {
    /// The number of the first of its partitions.
    first: usize,
    tables: Vec<KeyTable>,
}

impl KeySet {
    pub(super) fn new(exact: bool) -> Self {
        Self { first: 0, tables: (0..PARTITIONS).map(|number| KeyTable::new(exact, number)).collect() }
    }

    /// The keys in at most so many shares, each of neighbouring partitions.
    pub(super) fn into_shares(self, count: usize) -> Vec<Self> {
        let each = self.tables.len().div_ceil(count.max(1)).max(1);
        let mut tables = self.tables.into_iter();
        let firsts = (self.first..self.first + tables.len()).step_by(each);
        firsts.map(|first| Self { first, tables: tables.by_ref().take(each).collect() }).collect()
    }

    /// Shares in their order, put together.
    pub(super) fn of_shares(shares: Vec<Self>) -> Self {
        let first = shares.first().map_or(0, |share| share.first);
        Self { first, tables: shares.into_iter().flat_map(|share| share.tables).collect() }
    }

    /// Adds those keys that are of its partitions: their hashes, and the words that belong to them (not
    /// asked for where hashes are exact).
    pub(super) fn insert<'a>(
        &mut self,
        hashes: &[u64],
        word: impl Fn(usize) -> Word<'a>,
    ) -> Result<(), Full> {
        match self.ordered(hashes) {
            Some(ordered) => self.insert_in_turn(ordered.hashes(), |at| word(ordered.place(at))),
            None => self.insert_in_turn(hashes, word),
        }
    }

    /// The hashes that may be there in the order of their partitions, if that pays.
    fn ordered(&self, hashes: &[u64]) -> Option<Ordered> {
        let pays = hashes.len() >= ORDERED_ROWS && self.bytes() >= ORDERED_BYTES;
        pays.then(|| Ordered::of(hashes, self.first..self.first + self.tables.len())).flatten()
    }

    fn insert_in_turn<'a>(&mut self, hashes: &[u64], word: impl Fn(usize) -> Word<'a>) -> Result<(), Full> {
        for (number, block) in hashes.chunks(BLOCK).enumerate() {
            self.touch(block);
            for (at, hash) in block.iter().enumerate() {
                let Some(table) = self.table_mut(*hash) else { continue };
                table.insert(*hash, || word(number * BLOCK + at))?;
            }
        }
        Ok(())
    }

    /// Which of these keys are there.
    pub(super) fn marks<'a>(&self, hashes: &[u64], word: impl Fn(usize) -> Word<'a>) -> Vec<bool> {
        let Some(ordered) = self.ordered(hashes) else {
            return self.marks_in_turn(hashes, word);
        };
        let found = self.marks_in_turn(ordered.hashes(), |at| word(ordered.place(at)));
        let mut marks = vec![false; hashes.len()];
        for (at, found) in found.into_iter().enumerate() {
            if let Some(mark) = marks.get_mut(ordered.place(at)) {
                *mark = found;
            }
        }
        marks
    }

    fn marks_in_turn<'a>(&self, hashes: &[u64], word: impl Fn(usize) -> Word<'a>) -> Vec<bool> {
        let mut marks = Vec::with_capacity(hashes.len());
        let mut candidates = Vec::with_capacity(BLOCK);
        for block in hashes.chunks(BLOCK) {
            self.touch(block);
            let first = marks.len();
            // All candidates first, then all keys: no key has to wait for the place of the one before.
            candidates.clear();
            candidates.extend(block.iter().map(|hash| match self.table(*hash) {
                Some(KeyTable::Bytes(index)) => index.candidate(*hash),
                _ => None,
            }));
            marks.extend(block.iter().zip(&candidates).enumerate().map(|(at, (hash, candidate))| {
                match self.table(*hash) {
                    Some(KeyTable::Exact(table)) => table.has(*hash),
                    Some(KeyTable::Bytes(index)) => index.has_at(*candidate, *hash, word(first + at)),
                    None => false,
                }
            }));
        }
        marks
    }

    #[inline]
    fn table(&self, hash: u64) -> Option<&KeyTable> {
        self.tables.get(partition_of(hash).wrapping_sub(self.first))
    }

    #[inline]
    fn table_mut(&mut self, hash: u64) -> Option<&mut KeyTable> {
        self.tables.get_mut(partition_of(hash).wrapping_sub(self.first))
    }

    /// Reads the buckets where hashes belong, all of a block without waiting for any: so the
    /// processor fetches many of them at once, where one after the other would each cost a miss.
    fn touch(&self, block: &[u64]) {
        let read = |hash: &u64| self.table(*hash).map_or(0, |table| table.touch(*hash));
        // What is read matters to nobody; it must only not be left out.
        std::hint::black_box(block.iter().map(read).fold(0, u64::wrapping_add));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.tables.iter().all(KeyTable::is_empty)
    }

    pub(super) fn bytes(&self) -> usize {
        self.tables.iter().map(KeyTable::bytes).sum()
    }

    /// Takes the keys of the largest partition, if any has some.
    pub(super) fn take_largest(&mut self) -> Option<(usize, KeyRows)> {
        let tables = self.tables.iter_mut().enumerate().filter(|(_, table)| !table.is_empty());
        let (number, table) = tables.max_by_key(|(_, table)| table.bytes())?;
        Some((number, table.take()))
    }
}

/// Distinct keys of one partition.
#[derive(Debug)]
pub(super) enum KeyTable {
    /// The hashes are the keys.
    Exact(HashTable),
    /// Keys of one hash may differ.
    Bytes(KeyIndex),
}

impl KeyTable {
    pub(super) fn new(exact: bool, partition: usize) -> Self {
        if exact { Self::Exact(HashTable::new(partition)) } else { Self::Bytes(KeyIndex::new(partition)) }
    }

    #[inline]
    pub(super) fn insert<'a>(&mut self, hash: u64, word: impl FnOnce() -> Word<'a>) -> Result<(), Full> {
        match self {
            Self::Exact(table) => {
                table.insert(hash);
                Ok(())
            }
            Self::Bytes(index) => index.insert(hash, word()),
        }
    }

    pub(super) fn has(&self, hash: u64, word: Word<'_>) -> bool {
        match self {
            Self::Exact(table) => table.has(hash),
            Self::Bytes(index) => index.has(hash, word),
        }
    }

    #[inline]
    fn touch(&self, hash: u64) -> u64 {
        match self {
            Self::Exact(table) => table.touch(hash),
            Self::Bytes(index) => index.touch(hash),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::Exact(table) => table.is_empty(),
            Self::Bytes(index) => index.is_empty(),
        }
    }

    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Exact(table) => table.bytes(),
            Self::Bytes(index) => index.bytes(),
        }
    }

    /// Takes all keys out.
    fn take(&mut self) -> KeyRows {
        match self {
            Self::Exact(table) => KeyRows::of_hashes(table.take()),
            Self::Bytes(index) => index.take(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn has(set: &KeySet, hash: u64, key: &[u8]) -> bool {
        set.marks(&[hash], |_| Word::of(key)) == [true]
    }

    fn insert(set: &mut KeySet, hash: u64, key: &[u8]) {
        set.insert(&[hash], |_| Word::of(key)).unwrap();
    }

    /// Hashes of which many share their first place, and zero.
    fn hashes() -> Vec<u64> {
        (0..20_000_u64).map(|n| (n % 7_000) << (n % 41)).collect()
    }

    #[test]
    fn an_exact_set_has_what_was_put_in_and_nothing_else() {
        let mut set = KeySet::new(true);
        let mut model = HashSet::new();
        for hash in hashes() {
            assert_eq!(has(&set, hash, &[]), model.contains(&hash));
            insert(&mut set, hash, &[]);
            model.insert(hash);
        }
        let all: Vec<u64> = hashes().into_iter().chain(1 << 50..(1 << 50) + 999).collect();
        let marks = set.marks(&all, |_| Word::Short(0));
        assert_eq!(marks, all.iter().map(|hash| model.contains(hash)).collect::<Vec<_>>());
        let mut taken = HashSet::new();
        while let Some((number, keys)) = set.take_largest() {
            for at in 0..keys.len() {
                assert_eq!(partition_of(keys.get(at).0), number);
                assert!(taken.insert(keys.get(at).0), "a key came out twice");
            }
        }
        assert_eq!(taken, model);
        assert!(set.is_empty() && set.bytes() == 0);
    }

    #[test]
    fn keys_of_one_hash_are_told_apart_by_their_bytes() {
        let mut set = KeySet::new(false);
        for number in 0..300_u32 {
            let key = number.to_le_bytes().repeat(1 + number as usize % 5);
            assert!(!has(&set, 7, &key));
            insert(&mut set, 7, &key);
            insert(&mut set, 7, &key);
            assert!(has(&set, 7, &key));
        }
        assert!(!has(&set, 7, &300_u32.to_le_bytes()) && has(&set, 7, &295_u32.to_le_bytes()));
        assert!(!has(&set, 8, &295_u32.to_le_bytes()));
        assert_eq!(set.take_largest().map(|(_, keys)| keys.len()), Some(300));
    }

    #[test]
    fn a_key_of_eight_bytes_takes_fewer_than_sixteen() {
        let mut set = KeySet::new(true);
        for number in 1..=1_000_000_u64 {
            insert(&mut set, number.wrapping_mul(0x9e37_79b9_7f4a_7c15), &[]);
            if number >= 100_000 && number % 100_000 == 0 {
                let bytes = set.bytes();
                let keys = usize::try_from(number).unwrap();
                assert!(bytes < keys * 16, "{bytes} bytes for {keys} keys");
            }
        }
        // So many keys are looked up in the order of their partitions.
        let asked: Vec<u64> =
            (1..=8_000_u64).rev().map(|n| (n * 250).wrapping_mul(0x9e37_79b9_7f4a_7c15)).collect();
        let expected: Vec<bool> = (1..=8_000).rev().map(|n| n <= 4_000).collect();
        assert!(set.ordered(&asked).is_some());
        assert_eq!(set.marks(&asked, |_| Word::Short(0)), expected);
    }

    /// Keys of few and of many bytes, seven of each hash, two hashes of each tag.
    fn keys() -> Vec<(u64, Vec<u8>)> {
        let bytes = |n: u64| n.to_le_bytes().repeat(1 + usize::try_from(n % 3).unwrap());
        let hash = |n: u64| (n / 7 % 10_000).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (n / 70_000) << 50;
        (0..140_000_u64).map(|n| (hash(n), bytes(n))).collect()
    }

    #[test]
    fn byte_keys_that_are_looked_up_together_are_found_as_each_alone() {
        let keys = keys();
        let hashes: Vec<u64> = keys.iter().map(|(hash, _)| *hash).collect();
        let mut set = KeySet::new(false);
        for (hash, key) in keys.iter().step_by(2) {
            insert(&mut set, *hash, key);
        }
        assert!(set.ordered(&hashes).is_some() && set.ordered(&hashes[..9]).is_none());
        let marks = set.marks(&hashes, |at| Word::of(&keys[at].1));
        for (at, (hash, key)) in keys.iter().enumerate() {
            assert_eq!((marks[at], has(&set, *hash, key)), (at % 2 == 0, at % 2 == 0), "key {at}");
        }
    }

    #[test]
    fn a_share_takes_the_keys_of_its_partitions_and_together_they_have_all() {
        let keys = keys();
        let hashes: Vec<u64> = keys.iter().map(|(hash, _)| *hash).collect();
        let word = |at: usize| Word::of(&keys[at].1);
        for exact in [true, false] {
            let mut shares = KeySet::new(exact).into_shares(3);
            assert_eq!(shares.len(), 3);
            for (number, share) in shares.iter_mut().enumerate() {
                // The first keys as they come, the others in the order of their partitions.
                let (few, many) = hashes.split_at(70_000);
                share.insert(few, word).unwrap();
                assert!(exact || share.ordered(many).is_some());
                share.insert(many, |at| word(few.len() + at)).unwrap();
                let own: Vec<bool> = hashes.iter().map(|hash| partition_of(*hash) / 86 == number).collect();
                assert_eq!(share.marks(&hashes, word), own);
                assert!(own.contains(&true), "no key belongs to share {number}");
            }
            let set = KeySet::of_shares(shares);
            assert!(set.marks(&hashes, word).into_iter().all(|found| found));
            let strangers: Vec<u64> = hashes.iter().map(|hash| hash ^ 1 << 63).collect();
            let model: HashSet<u64> = hashes.iter().copied().collect();
            let expected: Vec<bool> = strangers.iter().map(|hash| exact && model.contains(hash)).collect();
            assert_eq!(set.marks(&strangers, |_| Word::of(b"none of them")), expected);
        }
    }
}
