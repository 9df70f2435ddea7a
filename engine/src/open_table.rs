//! The open hash table for keys that come by the million, and the policy by which tables grow.
//!
//! # Growth
//! 1. A table is full once 3/4 of its places are taken ([`OpenTable::lines_to_insert`]).
//! 2. A full table grows by half. Any number of lines will do, so no table is twice as large as its keys need.
//! 3. A table all of whose keys are known when it is made gets 7/4 places for each
//!    ([`OpenTable::lines_to_absorb`]), and gives back what keys that were equal left over
//!    ([`OpenTable::lines_once_absorbed`]).
//!
//! Three uses differ, and say beside their tables what that gains: rows of joins, keys of results, and packets in flight.
//! The same 3/4 bound the fill of each.

use crate::index::At as _;
use crate::prefetch::prefetch;

/// A place of an [`OpenTable`]; one of its values marks it free.
pub trait Entry: Copy + 'static {
    /// A free place.
    const FREE: Self;

    /// Returns whether the place is free.
    fn is_free(&self) -> bool;
}

/// A number that is not zero.
impl Entry for u64 {
    const FREE: Self = 0;

    #[inline]
    fn is_free(&self) -> bool {
        *self == 0
    }
}

/// A number that is not zero.
impl Entry for u128 {
    const FREE: Self = 0;

    #[inline]
    fn is_free(&self) -> bool {
        *self == 0
    }
}

/// Entries by hash, in lines of memory of `LANES` entries each, so that one look at memory decides whether a key is
/// there, mostly.
///
/// A line fills from its front; what a full one has no room for goes to the next. All places of a line are compared
/// without a branch, and a line can be requested ahead ([`OpenView::prefetch`]).
///
/// Measured (`cargo run --release -p anabranch-engine --example tables`): in `hashbrown`, which requests no memory ahead, look-ups
/// of what is there take 2.1 to 2.5 times the time with 10,000,000 keys, and 0.5 to 0.8 times with 1,000 and 100,000; of what is not
/// there, 0.4 to 1.03 times with any number.
///
/// Memory: 64 bytes a line, 4/3 to 2 places for each key.
///
/// Example:
/// ```
/// use anabranch_engine::open_table::OpenTable;
///
/// let mut numbers = OpenTable::<u64, 8>::with_room(2);
/// assert_eq!(numbers.insert(7, |n| *n == 7, || 7), Some(0));
/// assert_eq!(numbers.insert(7, |n| *n == 7, || 7), None);
/// assert!(numbers.view().has(7, |n| *n == 7) && !numbers.view().has(8, |n| *n == 8));
/// ```
#[derive(Debug, Clone)]
pub struct OpenTable<E, const LANES: usize> {
    lines: Vec<Line<E, LANES>>,
    used: usize,
}

/// A line of memory.
#[derive(Debug, Clone, Copy)]
#[repr(align(64))]
struct Line<E, const LANES: usize>([E; LANES]);

impl<E: Entry, const LANES: usize> Line<E, LANES> {
    const FREE: Self = {
        assert!(size_of::<E>() * LANES == LINE_BYTES, "the entries of a line fill it");
        Self([E::FREE; LANES])
    };

    #[inline]
    fn is_full(&self) -> bool {
        self.0.last().is_some_and(|last| !last.is_free())
    }

    /// Returns whether an entry is here, without a branch that could go wrong.
    #[inline]
    fn has(&self, is_it: impl Fn(&E) -> bool) -> bool {
        self.0.iter().fold(0, |found, entry| found | u8::from(is_it(entry))) != 0
    }

    /// Adds an entry to a line that is not full; gives its lane.
    #[inline]
    fn add(&mut self, entry: E) -> usize {
        let lane = self.0.iter().map(|entry| usize::from(!entry.is_free())).sum();
        *self.0.at_mut(lane, "a line that is not full has a free lane") = entry;
        lane
    }
}

const LINE_BYTES: usize = 64;

impl<E, const LANES: usize> Default for OpenTable<E, LANES> {
    fn default() -> Self {
        Self { lines: Vec::new(), used: 0 }
    }
}

impl<E: Entry, const LANES: usize> OpenTable<E, LANES> {
    /// Makes a table with room for so many keys.
    #[must_use]
    pub fn with_room(keys: usize) -> Self {
        Self { lines: vec![Line::FREE; lines_for(keys, LANES)], used: 0 }
    }

    /// Adds an entry, unless one of its hash passes the test; gives the place of a new one.
    ///
    /// Panics: the table has no free place; [`OpenTable::lines_to_insert`] says when it has to grow.
    #[inline]
    pub fn insert(
        &mut self,
        hash: u64,
        is_it: impl Fn(&E) -> bool,
        entry: impl FnOnce() -> E,
    ) -> Option<usize> {
        let mut at = start(hash, self.lines.len());
        loop {
            let next = after(at, self.lines.len());
            let line = self.lines.at_mut(at, "a search stays within the lines");
            if line.has(&is_it) {
                return None;
            }
            if !line.is_full() {
                self.used += 1;
                return Some(at * LANES + line.add(entry()));
            }
            at = next;
        }
    }

    /// Moves all entries to so many lines, which have room for them: the hash of each by its place, and what to do with
    /// its old and its new place.
    pub fn resize(
        &mut self,
        lines: usize,
        hash: impl Fn(usize, &E) -> u64,
        mut moved: impl FnMut(usize, usize),
    ) {
        let old = std::mem::replace(&mut self.lines, vec![Line::FREE; lines]);
        for (place, entry) in entries(&old) {
            let mut at = start(hash(place, &entry), lines);
            while self.lines.get(at).is_some_and(Line::is_full) {
                at = after(at, lines);
            }
            let lane = self.lines.at_mut(at, "a search stays within the lines").add(entry);
            moved(place, at * LANES + lane);
        }
    }

    /// The number of lines to have before one more key comes, where that is another.
    #[inline]
    #[must_use]
    pub fn lines_to_insert(&self) -> Option<usize> {
        let is_full = self.used.saturating_mul(1024) >= self.places().saturating_mul(MOST);
        is_full.then(|| self.lines.len() + self.lines.len() / 2 + 1)
    }

    /// The number of lines to have before so many keys come at once, equal ones among them; none where they are few
    /// beside those that are there.
    #[must_use]
    pub fn lines_to_absorb(&self, keys: usize) -> Option<usize> {
        (keys >= self.used).then(|| lines_for(self.used + keys.min(ROOM), LANES))
    }

    /// The number of lines to have once many keys have come, if there are much fewer than room was made for.
    #[must_use]
    pub fn lines_once_absorbed(&self) -> Option<usize> {
        let needed = lines_for(self.used, LANES);
        (self.lines.len() > needed + needed / 8).then_some(needed)
    }

    /// The table to look into.
    #[inline]
    #[must_use]
    pub fn view(&self) -> OpenView<'_, E, LANES> {
        OpenView { lines: &self.lines }
    }

    /// The entries, each with its place.
    pub fn entries(&self) -> impl Iterator<Item = (usize, E)> {
        entries(&self.lines)
    }

    /// Takes all entries out.
    pub fn take(&mut self) -> impl Iterator<Item = E> + use<E, LANES> {
        let Self { lines, .. } = std::mem::take(self);
        lines.into_iter().flat_map(|line| line.0).filter(|entry| !entry.is_free())
    }

    /// Returns whether it has no entry.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.used == 0
    }

    /// Places, taken or free.
    #[inline]
    #[must_use]
    pub fn places(&self) -> usize {
        self.lines.len() * LANES
    }

    /// Bytes of memory.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.lines.len() * LINE_BYTES
    }
}

fn entries<E: Entry, const LANES: usize>(lines: &[Line<E, LANES>]) -> impl Iterator<Item = (usize, E)> {
    lines.iter().flat_map(|line| line.0).enumerate().filter(|(_, entry)| !entry.is_free())
}

/// A table that is looked into.
#[derive(Debug, Clone, Copy)]
pub struct OpenView<'a, E, const LANES: usize> {
    lines: &'a [Line<E, LANES>],
}

impl<E: Entry, const LANES: usize> OpenView<'_, E, LANES> {
    /// Returns whether an entry of this hash passes the test.
    #[inline]
    pub fn has(&self, hash: u64, is_it: impl Fn(&E) -> bool) -> bool {
        let mut at = start(hash, self.lines.len());
        while let Some(line) = self.lines.get(at) {
            let found = line.has(&is_it);
            if found | !line.is_full() {
                return found;
            }
            at = after(at, self.lines.len());
        }
        false
    }

    /// Requests the line where a hash belongs, which is read soon.
    #[inline]
    pub fn prefetch(&self, hash: u64) {
        if let Some(first) = self.lines.get(start(hash, self.lines.len())).and_then(|line| line.0.first()) {
            prefetch(first);
        }
    }
}

/// New keys that room is made for before they come, at most: more of them may be one key again and again.
const ROOM: usize = 1 << 16;

/// The fill of a table all of whose keys are known when it is made, in 1024ths.
const MADE: usize = 585;

/// The largest fill of a table, in 1024ths.
const MOST: usize = 768;

/// The lines that so many keys need.
fn lines_for(keys: usize, lanes: usize) -> usize {
    (keys.saturating_mul(1024) / (lanes * MADE)).saturating_add(1)
}

/// The line behind one of so many.
#[inline]
fn after(at: usize, lines: usize) -> usize {
    if at + 1 == lines { 0 } else { at + 1 }
}

/// Where a hash belongs: its high bits, spread over any number of lines.
#[expect(clippy::cast_possible_truncation, reason = "the product is below the number of lines")]
#[inline]
fn start(hash: u64, lines: usize) -> usize {
    ((u128::from(hash) * lines as u128) >> 64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    proptest! {
        #[test]
        fn entries_are_those_of_a_plain_map_wherever_they_move(
            steps in proptest::collection::vec((1_u64..300, 0_u8..20), 0..800),
        ) {
            let mut table = OpenTable::<u64, 8>::default();
            // The place of each.
            let mut model: HashMap<u64, usize> = HashMap::new();
            for (n, step) in steps {
                let before = match step {
                    0 => table.lines_to_absorb(usize::try_from(n).unwrap()),
                    1 => table.lines_once_absorbed(),
                    _ => None,
                };
                move_all(&mut table, &mut model, before);
                let grown = table.lines_to_insert();
                move_all(&mut table, &mut model, grown);
                prop_assert_eq!(table.lines_to_insert(), None);
                match table.insert(crowded(n), |other| *other == n, || n) {
                    Some(place) => prop_assert!(model.insert(n, place).is_none(), "{} was there", n),
                    None => prop_assert!(model.contains_key(&n), "{} was not there", n),
                }
                prop_assert_eq!(table.is_empty(), model.is_empty());
            }
            for n in 1..320 {
                prop_assert_eq!(table.view().has(crowded(n), |other| *other == n), model.contains_key(&n));
            }
            let entries: HashMap<u64, usize> = table.entries().map(|(place, n)| (n, place)).collect();
            prop_assert_eq!(&entries, &model);
            prop_assert!(table.take().all(|n| model.contains_key(&n)));
            prop_assert!(table.is_empty() && table.bytes() == 0);
        }
    }

    /// Few hashes, so that lines overflow, also from the last to the first.
    fn crowded(n: u64) -> u64 {
        match n % 3 {
            0 => u64::MAX,
            1 => 0,
            _ => n << 56,
        }
    }

    fn move_all(table: &mut OpenTable<u64, 8>, model: &mut HashMap<u64, usize>, lines: Option<usize>) {
        let Some(lines) = lines else { return };
        let mut places = HashMap::new();
        table.resize(
            lines,
            |_, n| crowded(*n),
            |from, to| {
                places.insert(from, to);
            },
        );
        assert_eq!(places.len(), model.len());
        for place in model.values_mut() {
            *place = places[&*place];
        }
    }

    #[test]
    fn a_table_that_grows_is_never_twice_as_large_as_its_keys_need() {
        let mut table = OpenTable::<u128, 4>::default();
        for n in 1..=100_000_u128 {
            if let Some(lines) = table.lines_to_insert() {
                assert!(lines > table.places() / 4);
                table.resize(lines, |_, n| hash(*n), |_, _| {});
            }
            assert!(table.insert(hash(n), |other| *other == n, || n).is_some());
            assert!(
                n < 100 || table.bytes() <= usize::try_from(n).unwrap() * 33,
                "{} bytes for {n}",
                table.bytes()
            );
        }
        assert_eq!(table.lines_to_absorb(99_999), None);
        let made = OpenTable::<u128, 4>::with_room(100_000);
        assert_eq!(made.lines_to_insert(), None);
        assert!(made.bytes() <= 100_000 * 29, "{} bytes", made.bytes());
    }

    fn hash(n: u128) -> u64 {
        u64::try_from(n).unwrap().wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }
}
