//! Distinct keys in memory, in partitions by hash.

use super::buffer::KeyRows;

/// Number of partitions.
pub(super) const PARTITIONS: usize = 256;

/// The partition of a hash: its bits from 24 to 32. Lower ones choose the share of a machine, the
/// highest the place in a table.
pub(super) fn partition_of(hash: u64) -> usize {
    ((hash >> 24) & 0xff) as usize
}

/// A key that has no number any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Full;

/// Distinct keys of all partitions.
#[derive(Debug)]
pub(super) struct KeySet(Vec<KeyTable>);

impl KeySet {
    pub(super) fn new(exact: bool) -> Self {
        Self((0..PARTITIONS).map(|number| KeyTable::new(exact, number)).collect())
    }

    pub(super) fn insert(&mut self, hash: u64, key: &[u8]) -> Result<(), Full> {
        self.0.get_mut(partition_of(hash)).map_or(Err(Full), |table| table.insert(hash, key))
    }

    pub(super) fn has(&self, hash: u64, key: &[u8]) -> bool {
        self.0.get(partition_of(hash)).is_some_and(|table| table.has(hash, key))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.iter().all(KeyTable::is_empty)
    }

    pub(super) fn bytes(&self) -> usize {
        self.0.iter().map(KeyTable::bytes).sum()
    }

    /// Takes the keys of the largest partition, if any has some.
    pub(super) fn take_largest(&mut self) -> Option<(usize, KeyRows)> {
        let tables = self.0.iter_mut().enumerate().filter(|(_, table)| !table.is_empty());
        let (number, table) = tables.max_by_key(|(_, table)| table.bytes())?;
        Some((number, table.take()))
    }
}

/// Distinct keys of one partition: a flat open-addressing table.
///
/// It grows by half at a fill between 0.7 and 0.8, each partition's at one of its own, so that not
/// all of them grow at once. Memory: 10 to 15 bytes a key where hashes are exact; else 5 to 8 for
/// the place, 8 to 16 each for hash and end, and one to two times the key's bytes.
#[derive(Debug)]
pub(super) enum KeyTable {
    /// The hashes are the keys.
    Exact(ExactTable),
    /// Keys of one hash may differ.
    Bytes(BytesTable),
}

impl KeyTable {
    pub(super) fn new(exact: bool, number: usize) -> Self {
        let fill = Fill::of(number);
        if exact {
            Self::Exact(ExactTable { places: Vec::new(), taken: 0, has_zero: false, fill })
        } else {
            Self::Bytes(BytesTable { places: Vec::new(), keys: KeyRows::default(), fill })
        }
    }

    pub(super) fn insert(&mut self, hash: u64, key: &[u8]) -> Result<(), Full> {
        match self {
            Self::Exact(table) => {
                table.insert(hash);
                Ok(())
            }
            Self::Bytes(table) => table.insert(hash, key),
        }
    }

    pub(super) fn has(&self, hash: u64, key: &[u8]) -> bool {
        match self {
            Self::Exact(table) => table.has(hash),
            Self::Bytes(table) => matches!(table.find(hash, key), Found::Key),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::Exact(table) => table.taken == 0 && !table.has_zero,
            Self::Bytes(table) => table.keys.len() == 0,
        }
    }

    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Exact(table) => table.places.len() * size_of::<u64>(),
            Self::Bytes(table) => table.places.len() * size_of::<u32>() + table.keys.bytes(),
        }
    }

    /// Takes all keys out.
    fn take(&mut self) -> KeyRows {
        match self {
            Self::Exact(table) => {
                table.taken = 0;
                let zero = std::mem::take(&mut table.has_zero).then_some(0);
                let places = std::mem::take(&mut table.places);
                KeyRows::of_hashes(zero.into_iter().chain(places.into_iter().filter(|hash| *hash != 0)))
            }
            Self::Bytes(table) => {
                table.places = Vec::new();
                std::mem::take(&mut table.keys)
            }
        }
    }
}

/// How full a table may be, in 1024ths.
#[derive(Debug, Clone, Copy)]
struct Fill(usize);

impl Fill {
    fn of(number: usize) -> Self {
        Self(717 + (number % PARTITIONS) * 102 / PARTITIONS)
    }

    fn reached(self, taken: usize, places: usize) -> bool {
        taken.saturating_mul(1024) >= places.saturating_mul(self.0)
    }
}

fn grown(places: usize) -> usize {
    places + places / 2 + 8
}

/// Where a hash belongs: its high bits, spread over any number of places.
#[expect(clippy::cast_possible_truncation, reason = "the product is below the number of places")]
fn start(hash: u64, places: usize) -> usize {
    ((u128::from(hash) * places as u128) >> 64) as usize
}

/// Hashes; 0 marks a free place and is kept beside.
#[derive(Debug)]
pub(super) struct ExactTable {
    places: Vec<u64>,
    taken: usize,
    has_zero: bool,
    fill: Fill,
}

impl ExactTable {
    fn has(&self, hash: u64) -> bool {
        if hash == 0 { self.has_zero } else { self.places.get(self.find(hash)) == Some(&hash) }
    }

    /// The place that has the hash, or the free one where it belongs; a table is never full.
    fn find(&self, hash: u64) -> usize {
        let mut at = start(hash, self.places.len());
        loop {
            match self.places.get(at) {
                Some(place) if *place == hash || *place == 0 => return at,
                Some(_) => at += 1,
                None if at == 0 => return at,
                None => at = 0,
            }
        }
    }

    fn insert(&mut self, hash: u64) {
        if hash == 0 {
            self.has_zero = true;
            return;
        }
        if self.fill.reached(self.taken, self.places.len()) {
            self.grow();
        }
        let at = self.find(hash);
        if let Some(place) = self.places.get_mut(at) {
            self.taken += usize::from(*place == 0);
            *place = hash;
        }
    }

    fn grow(&mut self) {
        let size = grown(self.places.len());
        let old = std::mem::replace(&mut self.places, vec![0; size]);
        for hash in old.into_iter().filter(|hash| *hash != 0) {
            let at = self.find(hash);
            if let Some(place) = self.places.get_mut(at) {
                *place = hash;
            }
        }
    }
}

/// Keys with their bytes; a place holds the number of a key, counted from 1.
#[derive(Debug)]
pub(super) struct BytesTable {
    places: Vec<u32>,
    keys: KeyRows,
    fill: Fill,
}

enum Found {
    Key,
    Free(usize),
}

impl BytesTable {
    fn find(&self, hash: u64, key: &[u8]) -> Found {
        let mut at = start(hash, self.places.len());
        loop {
            match self.places.get(at) {
                Some(0) => return Found::Free(at),
                Some(number) if self.keys.get(*number as usize - 1) == (hash, key) => return Found::Key,
                Some(_) => at += 1,
                None if at == 0 => return Found::Free(at),
                None => at = 0,
            }
        }
    }

    fn insert(&mut self, hash: u64, key: &[u8]) -> Result<(), Full> {
        if self.fill.reached(self.keys.len(), self.places.len()) {
            self.grow();
        }
        if let Found::Free(at) = self.find(hash, key) {
            let number = u32::try_from(self.keys.len() + 1).map_err(|_| Full)?;
            if let Some(place) = self.places.get_mut(at) {
                *place = number;
                self.keys.push(hash, key);
            }
        }
        Ok(())
    }

    fn grow(&mut self) {
        let size = grown(self.places.len());
        let old = std::mem::replace(&mut self.places, vec![0; size]);
        for number in old.into_iter().filter(|number| *number != 0) {
            let (hash, _) = self.keys.get(number as usize - 1);
            let mut at = start(hash, size);
            while self.places.get(at).is_some_and(|place| *place != 0) {
                at = if at + 1 == size { 0 } else { at + 1 };
            }
            if let Some(place) = self.places.get_mut(at) {
                *place = number;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    /// Hashes of which many share their first place, and zero.
    fn hashes() -> Vec<u64> {
        (0..20_000_u64).map(|n| (n % 7_000) << (n % 41)).collect()
    }

    #[test]
    fn an_exact_set_has_what_was_put_in_and_nothing_else() {
        let mut set = KeySet::new(true);
        let mut model = HashSet::new();
        for hash in hashes() {
            assert_eq!(set.has(hash, &[]), model.contains(&hash));
            set.insert(hash, &[]).unwrap();
            model.insert(hash);
        }
        assert!(hashes().iter().all(|hash| set.has(*hash, &[])));
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
            assert!(!set.has(7, &number.to_le_bytes()));
            set.insert(7, &number.to_le_bytes()).unwrap();
            set.insert(7, &number.to_le_bytes()).unwrap();
        }
        assert!(set.has(7, &299_u32.to_le_bytes()) && !set.has(8, &299_u32.to_le_bytes()));
        assert_eq!(set.take_largest().map(|(_, keys)| keys.len()), Some(300));
    }

    #[test]
    fn a_key_of_eight_bytes_takes_fewer_than_sixteen() {
        let mut set = KeySet::new(true);
        for number in 1..=1_000_000_u64 {
            set.insert(number.wrapping_mul(0x9e37_79b9_7f4a_7c15), &[]).unwrap();
            if number >= 100_000 && number % 100_000 == 0 {
                let bytes = set.bytes();
                let keys = usize::try_from(number).unwrap();
                assert!(bytes < keys * 15, "{bytes} bytes for {keys} keys");
            }
        }
    }
}
