//! Distinct keys in memory, in partitions by hash.

use anabranch_engine::prefetch::AHEAD;

use super::buffer::KeyRows;
use super::hashes::{HashTable, HashView};
use super::index::{KeyIndex, KeyView};
use super::partition_buffer::{PartitionBuffer, PartitionBuffers};
use super::word::{Form, Word};

/// Number of partitions.
pub(super) const PARTITIONS: usize = 256;

const WORD: usize = u64::BITS as usize;

/// The partition of a hash: its bits from 24 to 32. Higher ones choose the place in a table.
#[inline]
pub(super) fn partition_of(hash: u64) -> usize {
    ((hash >> 24) & 0xff) as usize
}

/// Distinct keys of all partitions, or of a share of them.
#[derive(Debug, Default)]
pub(super) struct KeySet {
    tables: Vec<KeyTable>,
}

impl KeySet {
    pub(super) fn new(form: Form) -> Self {
        Self { tables: (0..PARTITIONS).map(|_| KeyTable::new(form)).collect() }
    }

    /// The keys in shares of so many neighbouring partitions.
    pub(super) fn into_shares(self, each: usize) -> Vec<Self> {
        let mut tables = self.tables.into_iter();
        let mut shares = Vec::new();
        while tables.len() > 0 {
            shares.push(Self { tables: tables.by_ref().take(each.max(1)).collect() });
        }
        shares
    }

    /// Shares in their order, put together.
    pub(super) fn of_shares(shares: Vec<Self>) -> Self {
        Self { tables: shares.into_iter().flat_map(|share| share.tables).collect() }
    }

    /// Takes all keys of buffers in, which are of the same partitions.
    pub(super) fn absorb(&mut self, buffers: &mut [PartitionBuffers]) {
        for (at, table) in self.tables.iter_mut().enumerate() {
            let buffers: Vec<PartitionBuffer> = buffers.iter_mut().map(|buffers| buffers.take(at)).collect();
            table.absorb(&buffers);
        }
    }

    /// Marks those of these keys that are there, a bit each: their hashes, and the words that belong to them (not
    /// needed where hashes are exact).
    pub(super) fn marks<'a>(&self, hashes: &[u64], word: impl Fn(usize) -> Word<'a>) -> Vec<u64> {
        match self.tables.first() {
            Some(KeyTable::Exact(_)) => {
                let views: Vec<HashView<'_>> = self.tables.iter().filter_map(KeyTable::hash_view).collect();
                let view = |hash: u64| views.get(partition_of(hash));
                let prefetch = |hash: u64| view(hash).map_or((), |view| view.prefetch(hash));
                marked(hashes, prefetch, |_, hash| view(hash).is_some_and(|view| view.has(hash)))
            }
            Some(KeyTable::Bytes(_)) => {
                let views: Vec<KeyView<'_>> = self.tables.iter().filter_map(KeyTable::key_view).collect();
                let view = |hash: u64| views.get(partition_of(hash));
                let prefetch = |hash: u64| view(hash).map_or((), |view| view.prefetch(hash));
                marked(hashes, prefetch, |at, hash| view(hash).is_some_and(|view| view.has(hash, word(at))))
            }
            None => vec![0; hashes.len().div_ceil(64)],
        }
    }

    /// Forgets what only adding and taking out need: neither is done any more.
    pub(super) fn seal(&mut self) {
        for table in &mut self.tables {
            if let KeyTable::Bytes(index) = table {
                index.seal();
            }
        }
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

/// A bit for each hash. The line of each is requested some hashes before it is read, so the
/// processor fetches many at once, where one after the other would each cost a miss.
fn marked(hashes: &[u64], prefetch: impl Fn(u64), has: impl Fn(usize, u64) -> bool) -> Vec<u64> {
    hashes.iter().take(AHEAD).for_each(|hash| prefetch(*hash));
    let mut ahead = hashes.iter().skip(AHEAD);
    let word = |(number, hashes): (usize, &[u64])| {
        let mut word = 0;
        for (at, hash) in hashes.iter().enumerate() {
            if let Some(hash) = ahead.next() {
                prefetch(*hash);
            }
            word |= u64::from(has(number * WORD + at, *hash)) << at;
        }
        word
    };
    hashes.chunks(WORD).enumerate().map(word).collect()
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
    pub(super) fn new(form: Form) -> Self {
        if form == Form::Hash { Self::Exact(HashTable::default()) } else { Self::Bytes(KeyIndex::new(form)) }
    }

    /// Adds a key.
    pub(super) fn insert(&mut self, hash: u64, word: Word<'_>) {
        match self {
            Self::Exact(table) => table.insert(hash),
            Self::Bytes(index) => index.insert(hash, word),
        }
    }

    fn absorb(&mut self, buffers: &[PartitionBuffer]) {
        if buffers.iter().any(|buffer| !buffer.hashes.is_empty()) {
            match self {
                Self::Exact(table) => table.absorb(buffers),
                Self::Bytes(index) => index.absorb(buffers),
            }
        }
    }

    pub(super) fn has(&self, hash: u64, word: Word<'_>) -> bool {
        match self {
            Self::Exact(table) => table.has(hash),
            Self::Bytes(index) => index.has(hash, word),
        }
    }

    fn hash_view(&self) -> Option<HashView<'_>> {
        if let Self::Exact(table) = self { Some(table.view()) } else { None }
    }

    fn key_view(&self) -> Option<KeyView<'_>> {
        if let Self::Bytes(index) = self { Some(index.view()) } else { None }
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

    use crate::semijoin::reader::Keys;

    const ODD: u64 = 0x9e37_79b9_7f4a_7c15;

    /// Keys with their hashes, no bytes where hashes are exact.
    type Pairs = [(u64, Vec<u8>)];

    fn absorb(set: &mut KeySet, form: Form, keys: &[&Pairs]) {
        let mut buffers: Vec<PartitionBuffers> = keys.iter().map(|keys| buffers(form, keys)).collect();
        set.absorb(&mut buffers);
    }

    fn buffers(form: Form, keys: &Pairs) -> PartitionBuffers {
        let mut buffers = PartitionBuffers::new(form);
        buffers.gather(&Keys::of_pairs(form, keys));
        buffers
    }

    fn marks(set: &KeySet, form: Form, keys: &Pairs) -> Vec<bool> {
        let hashes: Vec<u64> = keys.iter().map(|(hash, _)| *hash).collect();
        let bits = set.marks(&hashes, |at| form.word(&keys[at].1));
        (0..keys.len()).map(|at| bits[at / 64] >> (at % 64) & 1 == 1).collect()
    }

    fn alone(hashes: impl IntoIterator<Item = u64>) -> Vec<(u64, Vec<u8>)> {
        hashes.into_iter().map(|hash| (hash, Vec::new())).collect()
    }

    const FORMS: [Form; 3] = [Form::Hash, Form::Packed, Form::Bytes];

    /// Keys, of no, few and many bytes where these may be any number; seven of each hash, two hashes of
    /// each half. The last is kept as zero.
    fn keys(form: Form) -> Vec<(u64, Vec<u8>)> {
        let bytes = |n: u64| match form {
            Form::Packed => u128::from(n).to_le_bytes().to_vec(),
            _ => n.to_le_bytes().repeat(1 + usize::try_from(n % 3).unwrap()),
        };
        let hash = |n: u64| (n / 7 % 10_000).wrapping_mul(ODD) ^ (n / 70_000) << 50;
        let zero = if form == Form::Packed { bytes(0) } else { Vec::new() };
        (1..140_000_u64).map(|n| (hash(n), bytes(n))).chain([(hash(0), zero)]).collect()
    }

    #[test]
    fn an_exact_set_has_what_was_put_in_and_nothing_else() {
        // Many share their first place, many come again, and zero is among them.
        let hashes: Vec<u64> = (0..20_000_u64).map(|n| (n % 7_000) << (n % 41)).collect();
        let all = alone(hashes.iter().copied().chain(1 << 50..(1 << 50) + 999));
        let mut set = KeySet::new(Form::Hash);
        let mut model = HashSet::new();
        assert!(set.is_empty() && !marks(&set, Form::Hash, &all).contains(&true));
        for part in hashes.chunks(6_000) {
            absorb(&mut set, Form::Hash, &[&alone(part.iter().copied())]);
            model.extend(part);
            let expected: Vec<bool> = all.iter().map(|(hash, _)| model.contains(hash)).collect();
            assert_eq!(marks(&set, Form::Hash, &all), expected);
        }
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
        let key = |number: u32| (7, number.to_le_bytes().repeat(1 + number as usize % 5));
        let some: Vec<_> = (0..300).map(key).collect();
        let mut set = KeySet::new(Form::Bytes);
        absorb(&mut set, Form::Bytes, &[&some, &some[100..]]);
        absorb(&mut set, Form::Bytes, &[&some[..50]]);
        let asked: Vec<_> = (0..400).map(key).collect();
        assert_eq!(marks(&set, Form::Bytes, &asked), (0..400).map(|number| number < 300).collect::<Vec<_>>());
        assert_eq!(set.take_largest().map(|(_, keys)| keys.len()), Some(300));
        assert!(set.is_empty());
    }

    #[test]
    fn a_key_of_eight_bytes_takes_at_most_sixteen_however_many_came_again() {
        let keys = alone((1..=400_000_u64).map(|n| n.wrapping_mul(ODD)));
        for again in [1, 2, 7] {
            let mut set = KeySet::new(Form::Hash);
            absorb(&mut set, Form::Hash, &vec![&keys[..100_000]; again]);
            for part in keys.chunks(50_000) {
                absorb(&mut set, Form::Hash, &vec![part; again]);
            }
            let bytes = set.bytes();
            assert!(bytes <= keys.len() * 16, "{bytes} bytes for {} keys", keys.len());
            assert!(!marks(&set, Form::Hash, &keys).contains(&false));
        }
    }

    #[test]
    fn a_partition_has_as_much_room_as_its_distinct_keys_need_however_many_come_at_once() {
        let in_first = |n: u64| n.wrapping_mul(ODD) & !(0xff << 24);
        for (form, most) in FORMS.into_iter().zip([16, 48, 48]) {
            let bytes = |n: u64| match form {
                Form::Packed => [n.to_le_bytes(), [9; 8]].concat(),
                _ => n.to_le_bytes().to_vec(),
            };
            let many: Vec<_> = (1..=200_000).map(|n| (in_first(n), bytes(n))).collect();
            let one_again = vec![many[0].clone(); 200_000];
            let mut set = KeySet::new(form);
            absorb(&mut set, form, &[&one_again]);
            assert!(set.bytes() < 1_000, "{} bytes for one key", set.bytes());
            absorb(&mut set, form, &[&many, &one_again]);
            assert!(!marks(&set, form, &many).contains(&false));
            assert!(set.bytes() <= many.len() * most, "{} bytes for {} keys", set.bytes(), many.len());
            assert_eq!(set.take_largest().map(|(number, keys)| (number, keys.len())), Some((0, many.len())));
        }
    }

    #[test]
    fn keys_put_in_one_by_one_are_found_as_those_put_in_together() {
        for form in FORMS {
            let keys = keys(form);
            let mut table = KeyTable::new(form);
            for (hash, key) in keys.iter().step_by(2) {
                assert_eq!(table.is_empty(), !table.has(keys[0].0, form.word(&keys[0].1)));
                table.insert(*hash, form.word(key));
            }
            let hashes: HashSet<u64> = keys.iter().step_by(2).map(|(hash, _)| *hash).collect();
            for (at, (hash, key)) in keys.iter().enumerate() {
                let expected = at % 2 == 0 || (form == Form::Hash && hashes.contains(hash));
                assert_eq!(table.has(*hash, form.word(key)), expected, "key {at}");
            }
        }
    }

    #[test]
    fn keys_come_out_of_a_table_as_they_went_in_and_are_found_once_it_is_sealed() {
        for form in [Form::Packed, Form::Bytes] {
            let keys = keys(form);
            let mut set = KeySet::new(form);
            absorb(&mut set, form, &[&keys[..90_000], &keys[60_000..]]);
            let (bytes, found) = (set.bytes(), marks(&set, form, &keys));
            assert!(!found.contains(&false));
            let mut sealed = KeySet::new(form);
            absorb(&mut sealed, form, &[&keys]);
            sealed.seal();
            assert!(sealed.bytes() < bytes && !marks(&sealed, form, &keys).contains(&false));
            let mut taken = Vec::new();
            while let Some((_, rows)) = set.take_largest() {
                taken.extend((0..rows.len()).map(|at| (rows.get(at).0, rows.get(at).1.to_vec())));
            }
            taken.sort();
            let mut expected = keys;
            expected.sort();
            assert!(taken == expected, "{form:?}: {} keys came out", taken.len());
        }
    }

    #[test]
    fn a_share_takes_the_keys_of_its_partitions_and_together_they_have_all() {
        for form in FORMS {
            let keys = keys(form);
            let (few, many) = keys.split_at(70_000);
            let few = buffers(form, few).into_shares(86);
            let many = buffers(form, many).into_shares(86);
            let mut shares = KeySet::new(form).into_shares(86);
            assert_eq!((shares.len(), few.len(), many.len()), (3, 3, 3));
            for ((share, few), many) in shares.iter_mut().zip(few).zip(many) {
                share.absorb(&mut [few, many]);
                assert!(!share.is_empty());
            }
            let set = KeySet::of_shares(shares);
            assert!(!marks(&set, form, &keys).contains(&false));
            let stranger =
                |hash: u64, key: &[u8]| (hash ^ 1 << 63, [&key[..key.len().min(15)], &[7]].concat());
            let strangers: Vec<_> = keys.iter().map(|(hash, key)| stranger(*hash, key)).collect();
            let model: HashSet<u64> = keys.iter().map(|(hash, _)| *hash).collect();
            let expected: Vec<bool> =
                strangers.iter().map(|(hash, _)| form == Form::Hash && model.contains(hash)).collect();
            assert_eq!(marks(&set, form, &strangers), expected);
        }
    }
}
