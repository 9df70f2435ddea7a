//! An open table from the first half of a packet hash to the version it leads to.

use std::collections::HashMap;

use anabranch_engine::store::ResultRef;

/// Leads from hash prefixes to versions, the latest first.
///
/// The prefixes are hashes already, so their low bits choose the slot.
///
/// Memory: 24 bytes a slot, at most 4/3 to 8/3 slots for each prefix; 40 bytes for each older
/// version; 8 bytes a block.
#[derive(Debug, Default)]
pub(crate) struct PrefixTable {
    slots: Vec<Slot>,
    used: usize,
    blocks: Vec<u64>,
    older: HashMap<u128, Vec<ResultRef>>,
    older_versions: usize,
}

/// Prefixes whose slots are read at once before any is entered.
const TOUCHED: usize = 64;

#[derive(Debug, Clone, Copy)]
struct Slot {
    low: u64,
    high: u64,
    /// Position in `blocks`.
    block: u32,
    row: u32,
}

const EMPTY: Slot = Slot { low: 0, high: 0, block: u32::MAX, row: 0 };

#[expect(clippy::cast_possible_truncation, reason = "the halves of a prefix are what is wanted")]
fn halves(prefix: u128) -> (u64, u64) {
    (prefix as u64, (prefix >> 64) as u64)
}

impl PrefixTable {
    /// Adds the rows of a block, which is later than all blocks before it.
    pub(crate) fn add_block(&mut self, id: u64, prefixes: &[[u8; 16]]) {
        let Ok(block) = u32::try_from(self.blocks.len()) else { return };
        self.blocks.push(id);
        self.grow(prefixes.len());
        for (part, prefixes) in (0_u32..).zip(prefixes.chunks(TOUCHED)) {
            self.touch(prefixes.iter().map(|prefix| u128::from_le_bytes(*prefix)));
            for (row, prefix) in (part * TOUCHED as u32..).zip(prefixes) {
                self.insert(u128::from_le_bytes(*prefix), block, row);
            }
        }
    }

    /// Reads where prefixes belong, all of them without waiting for any: so the processor fetches many
    /// places at once, where one after the other would each be waited for.
    pub(crate) fn touch(&self, prefixes: impl Iterator<Item = u128>) {
        let Some(mask) = self.slots.len().checked_sub(1) else { return };
        #[expect(clippy::cast_possible_truncation, reason = "the low bits are what is wanted")]
        let read = |prefix| self.slots.get(halves(prefix).0 as usize & mask).map_or(0, |slot| slot.low);
        // What is read matters to nobody; it must only not be left out.
        std::hint::black_box(prefixes.map(read).fold(0, u64::wrapping_add));
    }

    /// The latest version with that prefix.
    pub(crate) fn latest(&self, prefix: u128) -> Option<ResultRef> {
        let slot = self.slots.get(self.slot(prefix)?)?;
        self.reference(slot)
    }

    /// The versions before the latest, the oldest first.
    pub(crate) fn older(&self, prefix: u128) -> &[ResultRef] {
        self.older.get(&prefix).map_or(&[], Vec::as_slice)
    }

    /// Bytes of memory.
    pub(crate) fn bytes(&self) -> usize {
        self.slots.len() * size_of::<Slot>() + self.blocks.len() * 8 + self.older_versions * 40
    }

    /// Bytes of memory once that many rows have been added.
    pub(crate) fn bytes_with(&self, rows: usize) -> usize {
        self.bytes() - self.slots.len() * size_of::<Slot>() + self.slots_for(rows) * size_of::<Slot>()
    }

    fn reference(&self, slot: &Slot) -> Option<ResultRef> {
        let block = self.blocks.get(slot.block as usize)?;
        Some(ResultRef { block: *block, row: slot.row })
    }

    /// Position of the slot that has the prefix, or of the free one where it would go.
    fn slot(&self, prefix: u128) -> Option<usize> {
        let (low, high) = halves(prefix);
        let mask = self.slots.len().checked_sub(1)?;
        #[expect(clippy::cast_possible_truncation, reason = "the low bits are what is wanted")]
        let mut at = (low as usize) & mask;
        loop {
            let slot = self.slots.get(at)?;
            if slot.block == u32::MAX || (slot.low == low && slot.high == high) {
                return Some(at);
            }
            at = (at + 1) & mask;
        }
    }

    fn insert(&mut self, prefix: u128, block: u32, row: u32) {
        let Some(at) = self.slot(prefix) else { return };
        let (low, high) = halves(prefix);
        let Some(slot) = self.slots.get_mut(at) else { return };
        let before = std::mem::replace(slot, Slot { low, high, block, row });
        match self.reference(&before) {
            Some(reference) => {
                self.older.entry(prefix).or_default().push(reference);
                self.older_versions += 1;
            }
            None => self.used += 1,
        }
    }

    /// Slots that leave a quarter free once `rows` more are in.
    fn slots_for(&self, rows: usize) -> usize {
        let wanted = (self.used + rows) * 4 / 3 + 1;
        wanted.next_power_of_two().max(self.slots.len())
    }

    fn grow(&mut self, rows: usize) {
        let slots = self.slots_for(rows);
        if slots == self.slots.len() {
            return;
        }
        let before = std::mem::replace(&mut self.slots, vec![EMPTY; slots]);
        for slot in before.into_iter().filter(|slot| slot.block != u32::MAX) {
            let prefix = u128::from(slot.low) | u128::from(slot.high) << 64;
            if let Some(place) = self.slot(prefix).and_then(|at| self.slots.get_mut(at)) {
                *place = slot;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn versions_are_found_as_in_a_plain_map(
            blocks in proptest::collection::vec(proptest::collection::vec(0_u128..40, 0..30), 0..20),
        ) {
            // Prefixes that fall into the same slot and ones that differ in the high half only.
            let spread = |n: u128| (n % 5) | (n / 5) << 100;
            let mut table = PrefixTable::default();
            let mut model: HashMap<u128, Vec<ResultRef>> = HashMap::new();
            for (id, rows) in (1_u64..).zip(&blocks) {
                let prefixes: Vec<[u8; 16]> = rows.iter().map(|n| spread(*n).to_le_bytes()).collect();
                let expected = table.bytes_with(prefixes.len());
                table.add_block(id, &prefixes);
                prop_assert!(table.slots.len() * 24 <= expected);
                for (row, n) in (0..).zip(rows) {
                    model.entry(spread(*n)).or_default().push(ResultRef { block: id, row });
                }
            }
            for n in 0..45 {
                let versions = model.get(&spread(n)).map_or(&[][..], Vec::as_slice);
                prop_assert_eq!(table.latest(spread(n)), versions.last().copied());
                let older = versions.split_last().map_or(&[][..], |(_, older)| older);
                prop_assert_eq!(table.older(spread(n)), older);
            }
        }
    }
}
