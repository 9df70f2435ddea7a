//! Hash tables from the first eight bytes of a packet hash to the versions that they lead to.

use std::collections::HashMap;

use anabranch_engine::index::{At as _, holds, row_number};
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use super::result_ref::ResultRef;

/// Leads from the first bytes of hashes to versions. Others may begin alike, or nearly so: what is found
/// has to be compared.
///
/// A table that is full stays as it is and a larger one is begun, so that nothing is moved, and a first run
/// touches half the memory that one table would take that grows. A hash is looked for in each of them. One table
/// that grows has to keep whole hashes: twice the bytes a key (28 at 10,000,000 of them), and up to 1.7 times the time
/// of a first run; look-ups afterwards would take a half or less.
///
/// Memory: 9 bytes a slot, 4/3 to 4 slots for each hash, up to 12 as long as they are few; 40 bytes for each
/// older version in a table; 16 bytes a table and a block.
#[derive(Debug, Default)]
pub(crate) struct PrefixTable {
    tables: Vec<FixedTable>,
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
            let (first, open) = (self.rows, self.table_with_room(rest.len()));
            let (now, later) = rest.split_at(open.room().min(rest.len()));
            open.add(first, now);
            self.rows += now.len();
            rest = later;
        }
    }

    /// The last table; where it is full, a new one, when so many rows wait.
    fn table_with_room(&mut self, rows: usize) -> &mut FixedTable {
        if self.tables.last().is_none_or(|last| last.room() == 0) {
            let slots = slots_after(self.tables.last().map_or(0, FixedTable::slots), rows);
            self.tables.push(FixedTable::new(slots));
        }
        holds(self.tables.last_mut(), "a table was added where there was none")
    }

    /// Hands out all versions of what begins so, each with its number among what is looked for.
    pub(crate) fn look_up(
        &self,
        hashes: impl Iterator<Item = (usize, u64)>,
        mut each: impl FnMut(usize, ResultRef),
    ) {
        for (number, hash) in hashes {
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
        let tables: usize = self.tables.iter().map(FixedTable::bytes).sum();
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
            (self.bytes() + size_of::<TableBlock>(), last.map_or(0, FixedTable::slots));
        let mut rest = rows.saturating_sub(last.map_or(0, FixedTable::room));
        while rest > 0 {
            slots = slots_after(slots, rest);
            bytes += slots * (1 + size_of::<Slot>()) + TABLE_BYTES;
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

/// Bytes of a table beside its slots.
const TABLE_BYTES: usize = 16;

/// One table, which is made at its size and never grows: its entries have only a half of their hash.
#[derive(Debug)]
struct FixedTable {
    table: HashTable<Slot>,
    slots: usize,
    /// Rows before the latest, by the high half.
    older: HashMap<u32, Vec<u32>>,
    older_versions: usize,
}

/// The high half of a hash, and the number of its latest row. The low half chooses where the slot is.
#[derive(Debug, Clone, Copy)]
struct Slot {
    half: u32,
    row: u32,
}

#[inline]
fn half_of(hash: u64) -> u32 {
    (hash >> 32) as u32
}

impl FixedTable {
    fn new(slots: usize) -> Self {
        let table = HashTable::with_capacity(most_used(slots));
        Self { table, slots, older: HashMap::new(), older_versions: 0 }
    }

    fn slots(&self) -> usize {
        self.slots
    }

    /// Rows that it certainly has room for.
    fn room(&self) -> usize {
        most_used(self.slots) - self.table.len()
    }

    /// Adds rows that follow each other, for which there is room.
    fn add(&mut self, first: usize, prefixes: &[[u8; 16]]) {
        for (row, prefix) in (first..).zip(prefixes) {
            self.insert(first_of(prefix), row_number(row));
        }
    }

    fn insert(&mut self, hash: u64, row: u32) {
        let half = half_of(hash);
        let grows = |_: &Slot| unreachable!("a table has room for the rows that are added to it");
        match self.table.entry(hash, |slot| slot.half == half, grows) {
            Entry::Occupied(mut slot) => {
                let before = std::mem::replace(&mut slot.get_mut().row, row);
                self.older.entry(half).or_default().push(before);
                self.older_versions += 1;
            }
            Entry::Vacant(free) => drop(free.insert(Slot { half, row })),
        }
    }

    /// The latest row of what begins so.
    #[inline]
    fn latest(&self, hash: u64) -> Option<u32> {
        let half = half_of(hash);
        self.table.find(hash, |slot| slot.half == half).map(|slot| slot.row)
    }

    /// The rows before the latest, the oldest first.
    fn older(&self, hash: u64) -> &[u32] {
        if self.older.is_empty() { &[] } else { self.older.get(&half_of(hash)).map_or(&[], Vec::as_slice) }
    }

    fn bytes(&self) -> usize {
        self.table.allocation_size() + self.older_versions * 40
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
