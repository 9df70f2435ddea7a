//! From the hash of a key to the rows of two sides that have it.

use anabranch_engine::index::At as _;
use anabranch_engine::prefetch::{AHEAD, prefetch, prefetched};

use super::pages::{PAGE, Pages};
use super::store::Numbers;

/// No row: the end of a chain.
const NO_ROW: u32 = u32::MAX;

/// A chain of rows of one hash, newest first, as its number of the newest and whether there are more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Chain(u32);

/// Set in a chain's number where an older row follows.
const MORE: u32 = 1 << 31;

impl Chain {
    pub(crate) const NONE: Self = Self(NO_ROW);

    /// The newest row; [`NO_ROW`] where there is none.
    #[inline]
    pub(crate) fn newest(self) -> u32 {
        if self.0 == NO_ROW { NO_ROW } else { self.0 & !MORE }
    }

    #[inline]
    pub(crate) fn is_none(self) -> bool {
        self.0 == NO_ROW
    }
}

/// Rows of two sides by hash: flat open-addressing tables whose entries begin a chain of row numbers
/// for each side, so that a row is entered on its own side and finds its matches on the other with
/// one look at memory.
///
/// There are 256 tables, one for each value of the hash's low byte. Each grows fourfold, by itself and
/// at a fill of its own between 1/2 and 3/4, so that no single call has to move all entries. Doubling
/// would take half the memory at worst, and a tenth more time on one thread, for new memory.
///
/// Measured (`tables`, an example of the engine): in `hashbrown` hits take 3 times the time with 10,000,000 keys, 1.3 with
/// 100,000 and 0.8 with 1,000, misses 0.6 to 1.1 times, adding 0.7 to 2.4 times, in 0.3 to 0.7 of the memory; in the engine's
/// open table hits take 1.3 to 3 times the time. Growing twofold, hits take 1.0 to 1.5 times the time and misses 1.1 to 2.1,
/// for 0.5 to 0.8 of the memory.
///
/// Memory: 16 bytes for each place, and 4 bytes a row. A chain holds all rows of one hash; where
/// the hash is not exact, the caller compares keys.
#[derive(Debug)]
pub(crate) struct RowTable {
    parts: Vec<TablePart>,
    next: [Pages<u32>; 2],
}

#[derive(Debug, Clone, Default)]
struct TablePart {
    places: Vec<TablePlace>,
    taken: usize,
}

#[derive(Debug, Clone, Copy)]
struct TablePlace {
    hash: u64,
    chains: [Chain; 2],
}

impl TablePlace {
    const FREE: Self = Self { hash: 0, chains: [Chain::NONE; 2] };

    #[inline]
    fn is_free(&self) -> bool {
        let [one, other] = self.chains;
        // Both are all ones.
        one.0 & other.0 == NO_ROW
    }
}

const PARTS: usize = 256;
const FIRST_PLACES: usize = 8;

impl Default for RowTable {
    fn default() -> Self {
        Self { parts: vec![TablePart::default(); PARTS], next: <[Pages<u32>; 2]>::default() }
    }
}

/// One of the two sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TableSide {
    Left,
    Right,
}

impl RowTable {
    /// Adds rows of a side that have these numbers, above all there are; gives the other side's chain
    /// for each, or nothing if the numbers did not suffice.
    pub(crate) fn insert(
        &mut self,
        side: TableSide,
        hashes: &[u64],
        numbers: Numbers<'_>,
    ) -> Option<Vec<Chain>> {
        let span = numbers.places.map_or(hashes.len(), |_| PAGE);
        u32::try_from(numbers.first + span).ok().filter(|end| *end < MORE)?;
        let first = u32::try_from(numbers.first).ok()?;
        let mut found = Vec::with_capacity(hashes.len());
        let mut older = Vec::with_capacity(hashes.len());
        hashes.iter().take(AHEAD).for_each(|hash| self.prefetch(*hash));
        for (at, hash) in hashes.iter().enumerate() {
            if let Some(hash) = hashes.get(at + AHEAD) {
                self.prefetch(*hash);
            }
            let (other, before) = self.enter_one(side, first + numbers.place(at), *hash)?;
            found.push(other);
            older.push(before);
        }
        self.keep_older(side, numbers, &older);
        Some(found)
    }

    /// Keeps what rows follow those that have these numbers; a page where none does takes no room.
    fn keep_older(&mut self, side: TableSide, numbers: Numbers<'_>, older: &[u32]) {
        let [left, right] = &mut self.next;
        let next = if side == TableSide::Left { left } else { right };
        if next.len() < numbers.first {
            next.close();
        }
        let is_page = numbers.places.is_some() || (older.len() == PAGE && next.len().is_multiple_of(PAGE));
        match numbers.places {
            _ if is_page && older.iter().all(|row| *row == NO_ROW) => next.append_page(Vec::new().into()),
            None => next.extend(older),
            Some(places) => {
                let mut page = vec![NO_ROW; PAGE];
                for (place, row) in places.iter().zip(older) {
                    *page.at_mut(*place as usize, "place of a page") = *row;
                }
                next.append_page(page.into());
            }
        }
    }

    /// Puts a row in front of its chain; gives the other side's chain and the rest of its own.
    #[inline]
    fn enter_one(&mut self, side: TableSide, row: u32, hash: u64) -> Option<(Chain, u32)> {
        let number = part_of(hash);
        let part = self.parts.get_mut(number)?;
        if part.taken * 16 * PARTS >= part.places.len() * (8 * PARTS + 4 * number) {
            part.grow();
        }
        let at = part.find(hash);
        let place = part.places.get_mut(at)?;
        part.taken += usize::from(place.is_free());
        place.hash = hash;
        let [left, right] = &mut place.chains;
        let (mine, other) = if side == TableSide::Left { (left, right) } else { (right, left) };
        let more = if mine.is_none() { 0 } else { MORE };
        let older = std::mem::replace(mine, Chain(row | more)).0;
        Some((*other, older))
    }

    /// For each hash, a side's chain.
    pub(crate) fn look_up(&self, side: TableSide, hashes: &[u64]) -> Vec<Chain> {
        let ahead = prefetched(hashes.iter(), |hash| self.prefetch(*hash));
        ahead.map(|hash| self.chain(side, *hash)).collect()
    }

    #[inline]
    fn chain(&self, side: TableSide, hash: u64) -> Chain {
        let part = self.parts.get(part_of(hash));
        let place = part.and_then(|part| part.places.get(part.find(hash)));
        place.map_or(Chain::NONE, |place| {
            let [left, right] = place.chains;
            if side == TableSide::Left { left } else { right }
        })
    }

    /// Asks for the memory where a hash belongs.
    #[inline]
    fn prefetch(&self, hash: u64) {
        let Some(part) = self.parts.get(part_of(hash)) else { return };
        if let Some(place) = part.places.get(start(hash, part.places.len())) {
            prefetch(place);
        }
    }

    /// The chain without its newest row.
    #[inline]
    pub(crate) fn rest(&self, side: TableSide, chain: Chain) -> Chain {
        if chain.0 & MORE == 0 || chain.is_none() {
            return Chain::NONE;
        }
        let [left, right] = &self.next;
        let next = if side == TableSide::Left { left } else { right };
        Chain(next.get(chain.newest() as usize).unwrap_or(NO_ROW))
    }

    /// Rows of a side.
    #[cfg(test)]
    fn rows(&self, side: TableSide) -> usize {
        let [left, right] = &self.next;
        if side == TableSide::Left { left.len() } else { right.len() }
    }

    pub(crate) fn bytes(&self) -> usize {
        let places: usize = self.parts.iter().map(|part| part.places.len()).sum();
        places * size_of::<TablePlace>() + self.next.iter().map(Pages::bytes).sum::<usize>()
    }
}

impl TablePart {
    /// The place that has the hash, or the free one where it belongs.
    #[inline]
    fn find(&self, hash: u64) -> usize {
        let mask = self.places.len().wrapping_sub(1);
        let mut at = start(hash, self.places.len());
        while let Some(place) = self.places.get(at) {
            if place.hash == hash || place.is_free() {
                break;
            }
            at = (at + 1) & mask;
        }
        at
    }

    #[cold]
    fn grow(&mut self) {
        let size = (self.places.len() * 4).max(FIRST_PLACES);
        let old = std::mem::replace(&mut self.places, vec![TablePlace::FREE; size]);
        for place in old.into_iter().filter(|place| !place.is_free()) {
            let at = self.find(place.hash);
            *self.places.at_mut(at, "free place of the table") = place;
        }
    }
}

/// The table of a hash: its low byte.
#[expect(clippy::cast_possible_truncation, reason = "the remainder is below the number of parts")]
#[inline]
fn part_of(hash: u64) -> usize {
    (hash % PARTS as u64) as usize
}

/// Where a hash belongs: its high bits, since the number of places is a power of two.
#[expect(clippy::cast_possible_truncation, reason = "the product is below the number of places")]
#[inline]
fn start(hash: u64, places: usize) -> usize {
    ((u128::from(hash) * places as u128) >> 64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use TableSide::{Left, Right};

    fn rows(table: &RowTable, side: TableSide, mut chain: Chain) -> Vec<u32> {
        let mut rows = Vec::new();
        while !chain.is_none() {
            rows.push(chain.newest());
            chain = table.rest(side, chain);
        }
        rows
    }

    fn enter(table: &mut RowTable, side: TableSide, hashes: &[u64]) -> Vec<Chain> {
        let numbers = Numbers { first: table.rows(side), places: None };
        table.insert(side, hashes, numbers).unwrap()
    }

    fn of(table: &RowTable, side: TableSide, hash: u64) -> Vec<u32> {
        rows(table, side, table.look_up(side, &[hash])[0])
    }

    #[test]
    fn every_row_is_found_by_its_hash_and_no_other() {
        let mut table = RowTable::default();
        assert_eq!(of(&table, Left, 7), [0_u32; 0]);
        let hash = |n: u64| ((n % 3_000) << 40) | (n % 3);
        let hashes: Vec<u64> = (0..10_000).map(hash).collect();
        for part in hashes.chunks(37) {
            let found = enter(&mut table, Right, part);
            assert!(found.iter().all(|chain| chain.is_none()), "the left side has no row");
        }
        assert_eq!((table.rows(Left), table.rows(Right)), (0, 10_000));
        assert_eq!(of(&table, Right, hash(5)), [9_005, 6_005, 3_005, 5]);
        assert_eq!(of(&table, Right, hash(2_999)), [8_999, 5_999, 2_999]);
        assert_eq!(of(&table, Right, hash(5) + 1), [0_u32; 0]);
        assert_eq!(of(&table, Right, 3_000 << 40), [0_u32; 0]);
        assert_eq!(of(&table, Left, hash(5)), [0_u32; 0]);
        let found = enter(&mut table, Left, &[hash(5), 0, hash(5)]);
        assert_eq!(rows(&table, Right, found[2]), [9_005, 6_005, 3_005, 5]);
        assert_eq!(rows(&table, Right, found[1]), [9_000, 6_000, 3_000, 0]);
        assert_eq!(of(&table, Left, hash(5)), [2, 0]);
        assert_eq!(of(&table, Left, 0), [1]);
    }
    #[test]
    fn rows_with_numbers_of_a_page_are_found_under_these_numbers() {
        let mut table = RowTable::default();
        enter(&mut table, Left, &[1, 2, 1]);
        let enter = |table: &mut RowTable, page: usize, hashes: &[u64], places: &[u32]| {
            let numbers = Numbers { first: page * PAGE, places: Some(places) };
            assert_eq!(table.insert(Left, hashes, numbers).unwrap().len(), hashes.len());
        };
        enter(&mut table, 1, &[3, 4], &[5, 8_191]);
        enter(&mut table, 2, &[], &[]);
        enter(&mut table, 3, &[4, 1, 4], &[0, 7, 9]);
        let page = |page: u32, place: u32| page * 8_192 + place;
        assert_eq!(of(&table, Left, 1), [page(3, 7), 2, 0]);
        assert_eq!(of(&table, Left, 3), [page(1, 5)]);
        assert_eq!(of(&table, Left, 4), [page(3, 9), page(3, 0), page(1, 8_191)]);
        let too_far = Numbers { first: MORE as usize - PAGE, places: Some(&[]) };
        assert!(table.insert(Left, &[], too_far).is_none(), "numbers that are marks were given");
    }
}
