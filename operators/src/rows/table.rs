//! From the hash of a key to the rows that have it.

use super::pages::Pages;

/// No row: the end of a chain.
pub(crate) const NO_ROW: u32 = u32::MAX;

/// Rows by hash: flat open-addressing tables whose entries begin chains of row numbers.
///
/// There are 256 tables, one for each value of the hash's low byte. Each doubles by itself and at
/// a fill of its own between 1/2 and 3/4, so that no single call has to move all entries.
///
/// Memory: 16 bytes for each place, and 4 bytes a row. A chain holds all rows of one hash; where
/// the hash is not exact, the caller compares keys.
#[derive(Debug)]
pub(crate) struct RowTable {
    parts: Vec<Part>,
    next: Pages<u32>,
}

#[derive(Debug, Clone, Default)]
struct Part {
    places: Vec<Place>,
    taken: usize,
}

#[derive(Debug, Clone, Copy)]
struct Place {
    hash: u64,
    head: u32,
    /// Rows in the chain; spares a look at the end of it.
    rows: u32,
}

const PARTS: usize = 256;
const FREE: Place = Place { hash: 0, head: NO_ROW, rows: 0 };
const FIRST_PLACES: usize = 8;

impl Default for RowTable {
    fn default() -> Self {
        Self { parts: vec![Part::default(); PARTS], next: Pages::default() }
    }
}

impl RowTable {
    /// Adds rows, numbered on from those there are. Returns whether their numbers sufficed.
    #[must_use]
    pub(crate) fn insert(&mut self, hashes: &[u64]) -> bool {
        for hash in hashes {
            let Ok(row) = u32::try_from(self.next.len()) else { return false };
            let number = part_of(*hash);
            let Some(part) = self.parts.get_mut(number) else { return false };
            if row == NO_ROW {
                return false;
            }
            if part.taken * 4 * PARTS >= part.places.len() * (2 * PARTS + number) {
                part.grow();
            }
            self.next.push(part.put(*hash, row));
        }
        true
    }

    /// The newest row of a hash.
    #[cfg(test)]
    pub(crate) fn first(&self, hash: u64) -> u32 {
        self.look_up(hash).0
    }

    /// The newest row of a hash, and how many rows have it.
    #[inline]
    pub(crate) fn look_up(&self, hash: u64) -> (u32, u32) {
        let part = self.parts.get(part_of(hash));
        let place = part.and_then(|part| part.places.get(part.find(hash)));
        place.map_or((NO_ROW, 0), |place| (place.head, place.rows))
    }

    /// The row before this one with the same hash.
    pub(crate) fn next(&self, row: u32) -> u32 {
        self.next.get(row as usize).unwrap_or(NO_ROW)
    }

    pub(crate) fn rows(&self) -> usize {
        self.next.len()
    }

    pub(crate) fn bytes(&self) -> usize {
        let places: usize = self.parts.iter().map(|part| part.places.len()).sum();
        places * size_of::<Place>() + self.next.bytes()
    }
}

impl Part {
    /// Makes the row the newest of its hash; returns the one that was.
    fn put(&mut self, hash: u64, row: u32) -> u32 {
        let at = self.find(hash);
        let Some(place) = self.places.get_mut(at) else { return NO_ROW };
        self.taken += usize::from(place.head == NO_ROW);
        std::mem::replace(place, Place { hash, head: row, rows: place.rows.saturating_add(1) }).head
    }

    /// The place that has the hash, or the free one where it belongs.
    fn find(&self, hash: u64) -> usize {
        let mask = self.places.len().wrapping_sub(1);
        let mut at = start(hash, self.places.len());
        while let Some(place) = self.places.get(at) {
            if place.head == NO_ROW || place.hash == hash {
                break;
            }
            at = (at + 1) & mask;
        }
        at
    }

    fn grow(&mut self) {
        let size = (self.places.len() * 2).max(FIRST_PLACES);
        let old = std::mem::replace(&mut self.places, vec![FREE; size]);
        for place in old.into_iter().filter(|place| place.head != NO_ROW) {
            let at = self.find(place.hash);
            if let Some(free) = self.places.get_mut(at) {
                *free = place;
            }
        }
    }
}

/// The table of a hash: its low byte.
#[expect(clippy::cast_possible_truncation, reason = "the remainder is below the number of parts")]
fn part_of(hash: u64) -> usize {
    (hash % PARTS as u64) as usize
}

/// Where a hash belongs: its high bits, since the number of places is a power of two.
#[expect(clippy::cast_possible_truncation, reason = "the product is below the number of places")]
fn start(hash: u64, places: usize) -> usize {
    ((u128::from(hash) * places as u128) >> 64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain(table: &RowTable, hash: u64) -> Vec<u32> {
        let mut rows = Vec::new();
        let mut row = table.first(hash);
        while row != NO_ROW {
            rows.push(row);
            row = table.next(row);
        }
        rows
    }

    #[test]
    fn every_row_is_found_by_its_hash_and_no_other() {
        let mut table = RowTable::default();
        assert_eq!(chain(&table, 7), [0_u32; 0]);
        let hash = |n: u64| ((n % 3_000) << 40) | (n % 3);
        let hashes: Vec<u64> = (0..10_000).map(hash).collect();
        for part in hashes.chunks(37) {
            assert!(table.insert(part));
        }
        assert_eq!(table.rows(), 10_000);
        assert_eq!(chain(&table, hash(5)), [9_005, 6_005, 3_005, 5]);
        assert_eq!(chain(&table, hash(2_999)), [8_999, 5_999, 2_999]);
        assert_eq!(chain(&table, hash(5) + 1), [0_u32; 0]);
        assert_eq!(chain(&table, 3_000 << 40), [0_u32; 0]);
    }
}
