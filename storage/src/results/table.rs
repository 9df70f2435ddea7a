//! Open tables from the first eight bytes of a packet hash to the versions that they lead to.

use std::collections::HashMap;

use anabranch_engine::index::{At as _, holds, row_number};
use anabranch_engine::prefetch::{AHEAD, prefetch};

use super::result_ref::ResultRef;

/// Leads from the first bytes of hashes to versions. Others may begin alike, or nearly so: what is found
/// has to be compared.
///
/// A table that is full stays as it is and a larger one is begun, so that nothing is moved, and a first run
/// touches half the memory that one table would take that grows. A hash is looked for in each of them.
///
/// Memory: 9 bytes a slot, 4/3 to 4 slots for each hash, up to 12 as long as they are few; 40 bytes for each
/// older version in a table; 16 bytes a block.
#[derive(Debug, Default)]
pub(crate) struct PrefixTable {
    tables: Vec<OpenTable>,
    blocks: Vec<TableBlock>,
    /// Rows of all blocks, which are numbered in their order.
    rows: usize,
}

/// A block, and the number of its first row.
#[derive(Debug)]
struct TableBlock {
    id: u64,
    first: usize,
}

/// Rows that may have a number.
const MOST_ROWS: usize = u32::MAX as usize;

/// The part of a packet hash, or of a prefix as blocks have them, that the tables use.
#[inline]
pub(crate) fn first_of<const N: usize>(prefix: &[u8; N]) -> u64 {
    u64::from_le_bytes(*holds(prefix.first_chunk(), "hashes and prefixes have eight bytes at least"))
}

impl PrefixTable {
    /// Adds the rows of a block, which is later than all blocks before it.
    pub(crate) fn add_block(&mut self, id: u64, prefixes: &[[u8; 16]]) {
        assert!(prefixes.len() <= MOST_ROWS - self.rows, "room is made before rows are added");
        if prefixes.is_empty() {
            return;
        }
        self.blocks.push(TableBlock { id, first: self.rows });
        let mut rest = prefixes;
        while !rest.is_empty() {
            let (first, open) = (self.rows, self.open_table(rest.len()));
            let (now, later) = rest.split_at(open.room().min(rest.len()));
            open.add(first, now);
            self.rows += now.len();
            rest = later;
        }
    }

    /// The last table; where it is full, a new one, when so many rows wait.
    fn open_table(&mut self, rows: usize) -> &mut OpenTable {
        if self.tables.last().is_none_or(|last| last.room() == 0) {
            let slots = slots_after(self.tables.last().map_or(0, OpenTable::slots), rows);
            self.tables.push(OpenTable::new(slots));
        }
        holds(self.tables.last_mut(), "a table was added where there was none")
    }

    /// Hands out all versions of what begins so, each with its number among what is looked for.
    pub(crate) fn look_up(
        &self,
        hashes: impl Iterator<Item = (usize, u64)> + Clone,
        mut each: impl FnMut(usize, ResultRef),
    ) {
        let prefetch = |hash| self.tables.iter().for_each(|table| table.prefetch(hash));
        hashes.clone().take(AHEAD).for_each(|(_, hash)| prefetch(hash));
        let mut ahead = hashes.clone().skip(AHEAD);
        for (number, hash) in hashes {
            if let Some((_, hash)) = ahead.next() {
                prefetch(hash);
            }
            for table in &self.tables {
                let Some(latest) = table.latest(hash) else { continue };
                let older = table.older(hash).iter().copied();
                std::iter::once(latest)
                    .chain(older)
                    .map(|row| self.reference(row))
                    .for_each(|found| each(number, found));
            }
        }
    }

    /// The row of this number.
    fn reference(&self, number: u32) -> ResultRef {
        let number = number as usize;
        let behind = self.blocks.partition_point(|block| block.first <= number);
        let block = self.blocks.at(behind.wrapping_sub(1), "a row has a block that begins no later");
        ResultRef { block: block.id, row: row_number(number - block.first) }
    }

    /// Bytes of memory.
    pub(crate) fn bytes(&self) -> usize {
        let tables: usize = self.tables.iter().map(OpenTable::bytes).sum();
        tables + self.blocks.len() * size_of::<TableBlock>()
    }

    /// Bytes of memory, at most, once a block of that many new rows has been added; no
    /// number is enough where it cannot be.
    pub(crate) fn bytes_with(&self, rows: usize) -> usize {
        if rows > MOST_ROWS - self.rows {
            return usize::MAX;
        }
        let last = self.tables.last();
        let (mut bytes, mut slots) =
            (self.bytes() + size_of::<TableBlock>(), last.map_or(0, OpenTable::slots));
        let mut rest = rows.saturating_sub(last.map_or(0, OpenTable::room));
        while rest > 0 {
            slots = slots_after(slots, rest);
            bytes += slots * (1 + size_of::<Slot>());
            rest = rest.saturating_sub(most_used(slots));
        }
        bytes
    }
}

/// Slots of the first table at least.
const FIRST_SLOTS: usize = 1 << 10;
/// From that many slots on, a table is followed by one that is twice as large, a smaller one by one eight
/// times as large: each costs an access to memory for each hash.
const MANY_SLOTS: usize = 1 << 19;

/// Slots of the table behind one of so many, when so many rows wait.
fn slots_after(slots: usize, rows: usize) -> usize {
    match slots {
        // A function that begins with many rows gets more.
        0 => (rows.min(MANY_SLOTS / 8) * 8).next_power_of_two().max(FIRST_SLOTS),
        slots if slots < MANY_SLOTS => slots * 8,
        slots => slots * 2,
    }
}

/// Slots that may be taken of so many.
fn most_used(slots: usize) -> usize {
    slots / 4 * 3
}

/// One open table, of groups of slots.
///
/// The bytes are of a hash already: their low bits choose the group, their high half is compared, and of that
/// the highest byte is the tag. The tags lie apart, so that what is not there, as are all keys of a first run,
/// is found in little memory. A group fills from its front; what a full one has no room for is put into the
/// next.
#[derive(Debug)]
struct OpenTable {
    tags: Vec<Tags>,
    slots: Vec<[Slot; GROUP]>,
    used: usize,
    /// Rows before the latest, by the high half.
    older: HashMap<u32, Vec<u32>>,
    older_versions: usize,
}

/// Invariant of groups and their slots.
const GROUPS: &str = "a search ends in a group of the table";

/// Slots of a group.
const GROUP: usize = 16;

/// The high half of a hash, and the number of its latest row.
#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    half: u32,
    row: u32,
}

/// The tags of a group, a byte each; zero for a free slot.
#[derive(Debug, Clone, Copy)]
struct Tags(u128);

impl Tags {
    const ONES: u128 = u128::MAX / 0xff;

    /// The highest bit of each byte that is this tag.
    #[inline]
    fn places_of(self, tag: u8) -> u128 {
        const LOW: u128 = Tags::ONES * 0x7f;
        let others = self.0 ^ (Self::ONES * u128::from(tag));
        // A byte that is not zero has its highest bit set, or gets it set.
        !(((others & LOW) + LOW) | others | LOW)
    }

    #[inline]
    fn is_full(self) -> bool {
        self.0 >> (8 * (GROUP - 1)) != 0
    }

    /// Takes the first free slot, if there is one.
    fn take(&mut self, tag: u8) -> Option<usize> {
        let at = lane(self.places_of(0))?;
        self.0 |= u128::from(tag) << (8 * at);
        Some(at)
    }
}

/// The slot of the first place.
#[inline]
fn lane(places: u128) -> Option<usize> {
    (places != 0).then(|| places.trailing_zeros() as usize / 8)
}

#[inline]
fn parts(hash: u64) -> (u8, u32) {
    (((hash >> 56) as u8).max(1), (hash >> 32) as u32)
}

impl OpenTable {
    fn new(slots: usize) -> Self {
        let groups = slots / GROUP;
        let (tags, slots) = (vec![Tags(0); groups], vec![[Slot::default(); GROUP]; groups]);
        Self { tags, slots, used: 0, older: HashMap::new(), older_versions: 0 }
    }

    fn slots(&self) -> usize {
        self.slots.len() * GROUP
    }

    /// Rows that it certainly has room for.
    fn room(&self) -> usize {
        most_used(self.slots()) - self.used
    }

    /// Adds rows that follow each other, for which there is room.
    fn add(&mut self, first: usize, prefixes: &[[u8; 16]]) {
        let prefetch_both = |table: &Self, prefix: &[u8; 16]| {
            table.prefetch(first_of(prefix));
            if let Some([slot, ..]) = table.slots.get(table.first_group(first_of(prefix))) {
                prefetch(slot);
            }
        };
        prefixes.iter().take(AHEAD).for_each(|prefix| prefetch_both(self, prefix));
        let mut ahead = prefixes.iter().skip(AHEAD);
        for (row, prefix) in (first..).zip(prefixes) {
            if let Some(prefix) = ahead.next() {
                prefetch_both(self, prefix);
            }
            self.insert(first_of(prefix), row_number(row));
        }
    }

    fn insert(&mut self, hash: u64, row: u32) {
        let (tag, half) = parts(hash);
        let (group, found) = self.find(hash);
        let slots = self.slots.at_mut(group, GROUPS);
        if let Some(lane) = found {
            let before = std::mem::replace(&mut slots.at_mut(lane, GROUPS).row, row);
            self.older.entry(half).or_default().push(before);
            self.older_versions += 1;
        } else {
            let lane = self.tags.at_mut(group, GROUPS).take(tag);
            let lane = holds(lane, "a search for what is not there ends at a group with a free slot");
            *slots.at_mut(lane, GROUPS) = Slot { half, row };
            self.used += 1;
        }
    }

    /// Prefetches the tags of a hash, which are read soon.
    #[inline]
    fn prefetch(&self, hash: u64) {
        if let Some(tags) = self.tags.get(self.first_group(hash)) {
            prefetch(tags);
        }
    }

    /// The latest row of what begins so.
    #[inline]
    fn latest(&self, hash: u64) -> Option<u32> {
        let (group, lane) = self.find(hash);
        let slots: &[Slot; GROUP] = self.slots.at(group, GROUPS);
        lane.map(|lane| slots.at(lane, GROUPS).row)
    }

    /// The rows before the latest, the oldest first.
    fn older(&self, hash: u64) -> &[u32] {
        let (_, half) = parts(hash);
        if self.older.is_empty() { &[] } else { self.older.get(&half).map_or(&[], Vec::as_slice) }
    }

    #[inline]
    fn first_group(&self, hash: u64) -> usize {
        #[expect(clippy::cast_possible_truncation, reason = "the low bits are what is wanted")]
        let low = hash as usize;
        low & self.tags.len().wrapping_sub(1)
    }

    /// The group of a hash, and its slot if it is there.
    #[inline]
    fn find(&self, hash: u64) -> (usize, Option<usize>) {
        let (tag, half) = parts(hash);
        let mut at = self.first_group(hash);
        while let Some(tags) = self.tags.get(at) {
            let mut places = tags.places_of(tag);
            while let Some(lane) = lane(places) {
                if self.slots.get(at).and_then(|slots| slots.get(lane)).is_some_and(|slot| slot.half == half)
                {
                    return (at, Some(lane));
                }
                places &= places - 1;
            }
            if !tags.is_full() {
                return (at, None);
            }
            at = (at + 1) & (self.tags.len() - 1);
        }
        (at, None)
    }

    fn bytes(&self) -> usize {
        self.tags.len() * (size_of::<Tags>() + size_of::<[Slot; GROUP]>()) + self.older_versions * 40
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn versions_are_found_as_in_a_plain_map(
            blocks in proptest::collection::vec(proptest::collection::vec(0_u64..40, 0..30), 0..20),
        ) {
            // Hashes that fall into the same slot; zero among them, and some that differ in low bits alone.
            let spread = |n: u64| (n % 5) | (n / 5) << 40;
            let prefix = |n: &u64| {
                let mut bytes = [7; 16];
                bytes[..8].copy_from_slice(&spread(*n).to_le_bytes());
                bytes
            };
            let mut table = PrefixTable::default();
            let mut model: HashMap<u64, Vec<ResultRef>> = HashMap::new();
            for (id, rows) in (1_u64..).zip(&blocks) {
                let prefixes: Vec<[u8; 16]> = rows.iter().map(prefix).collect();
                let expected = table.bytes_with(prefixes.len());
                table.add_block(id, &prefixes);
                prop_assert!(table.bytes() <= expected + 40 * prefixes.len());
                for (row, n) in (0..).zip(rows) {
                    model.entry(spread(*n)).or_default().push(ResultRef { block: id, row });
                }
            }
            let mut found: HashMap<u64, Vec<ResultRef>> = HashMap::new();
            table.look_up((0..45).map(|n| (n, spread(n as u64))), |n, version| {
                found.entry(spread(n as u64)).or_default().push(version);
            });
            for (hash, versions) in model {
                let mut of_it = found.remove(&hash).unwrap_or_default();
                // Others may seem to begin alike.
                of_it.retain(|version| versions.contains(version));
                of_it.sort_unstable();
                prop_assert_eq!(of_it, versions);
            }
        }

        #[test]
        fn tables_of_many_blocks_find_what_plain_maps_do(blocks in proptest::collection::vec(1_u64..20_000, 1..12)) {
            let mut table = PrefixTable::default();
            let mut last: HashMap<u64, ResultRef> = HashMap::new();
            for (id, rows) in (1_u64..).zip(&blocks) {
                // Some come again; the others are spread over all slots.
                let hashes = (0..*rows).map(|n| (n * id).wrapping_mul(0x9e37_79b9_7f4a_7c15));
                let prefixes: Vec<[u8; 16]> = hashes.map(|hash| (u128::from(hash)).to_le_bytes()).collect();
                let expected = table.bytes_with(prefixes.len());
                table.add_block(id, &prefixes);
                prop_assert!(table.bytes() <= expected + 40 * prefixes.len());
                last.extend(prefixes.iter().map(first_of).zip((0..).map(|row| ResultRef { block: id, row })));
            }
            let mut found = HashMap::new();
            let strangers = (1_000..2_000_u64).map(|n| !n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
            let asked: Vec<u64> = last.keys().copied().chain(strangers).collect();
            table.look_up(asked.iter().copied().enumerate(), |n, version| {
                let latest = found.entry(asked[n]).or_insert(version);
                *latest = version.max(*latest);
            });
            prop_assert_eq!(found, last);
        }
    }
}
