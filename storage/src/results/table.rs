//! An open table from the first eight bytes of a packet hash to the version that they lead to.

use std::collections::HashMap;

use anabranch_engine::fetch::{AHEAD, fetch};
use anabranch_engine::store::ResultRef;

/// Leads from the first bytes of hashes to versions, the latest first. Others may begin alike: what is
/// found has to be compared.
///
/// The bytes are of a hash already, so their low bits choose the slot.
///
/// Memory: 16 bytes a slot, at most 4/3 to 8/3 slots for each hash, and up to 16/3 as long as the slots
/// are few; 40 bytes for each older version; 8 bytes a block.
#[derive(Debug, Default)]
pub(crate) struct PrefixTable {
    // Zeros are free slots, so that a new table needs not be written.
    slots: Vec<Slot>,
    used: usize,
    blocks: Vec<u64>,
    older: HashMap<u64, Vec<ResultRef>>,
    older_versions: usize,
}

/// Below that many slots, a table grows fourfold: what is moved and thrown away is less.
const FEW_SLOTS: usize = 1 << 18;

/// The first bytes of a hash; then the position in `blocks`, counted from 1, in the upper half and the row in
/// the lower.
type Slot = [u64; 2];

fn to_place(block: u32, row: u32) -> u64 {
    (u64::from(block) + 1) << 32 | u64::from(row)
}

/// The part of a packet hash, or of a prefix as blocks have them, that the table goes by.
#[inline]
pub(crate) fn first_of(prefix: &[u8]) -> u64 {
    prefix.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

impl PrefixTable {
    /// Adds the rows of a block, which is later than all blocks before it.
    pub(crate) fn add_block(&mut self, id: u64, prefixes: &[[u8; 16]]) {
        let Some(block) = u32::try_from(self.blocks.len()).ok().filter(|block| *block < u32::MAX) else {
            return;
        };
        self.blocks.push(id);
        self.grow(prefixes.len());
        prefixes.iter().take(AHEAD).for_each(|prefix| self.fetch(first_of(prefix)));
        let mut ahead = prefixes.iter().skip(AHEAD);
        for (row, prefix) in (0_u32..).zip(prefixes) {
            if let Some(prefix) = ahead.next() {
                self.fetch(first_of(prefix));
            }
            self.insert(first_of(prefix), to_place(block, row));
        }
    }

    /// Hands out all versions of what begins so, each with its number among what is looked for.
    pub(crate) fn look_up(
        &self,
        hashes: impl Iterator<Item = (usize, u64)> + Clone,
        mut each: impl FnMut(usize, ResultRef),
    ) {
        hashes.clone().take(AHEAD).for_each(|(_, hash)| self.fetch(hash));
        let mut ahead = hashes.clone().skip(AHEAD);
        for (number, hash) in hashes {
            if let Some((_, hash)) = ahead.next() {
                self.fetch(hash);
            }
            if let Some(latest) = self.latest(hash) {
                each(number, latest);
                self.older(hash).iter().for_each(|found| each(number, *found));
            }
        }
    }

    /// Asks for the memory where a hash belongs, to be looked at soon.
    #[inline]
    fn fetch(&self, hash: u64) {
        if let Some(slot) = self.slots.get(self.first_slot(hash)) {
            fetch(slot);
        }
    }

    /// The latest version of what begins so.
    #[inline]
    fn latest(&self, hash: u64) -> Option<ResultRef> {
        let [_, place] = self.slots.get(self.slot(hash)?)?;
        self.reference(*place)
    }

    /// The versions before the latest, the oldest first.
    fn older(&self, hash: u64) -> &[ResultRef] {
        self.older.get(&hash).map_or(&[], Vec::as_slice)
    }

    /// Bytes of memory.
    pub(crate) fn bytes(&self) -> usize {
        self.slots.len() * size_of::<Slot>() + self.blocks.len() * 8 + self.older_versions * 40
    }

    /// Bytes of memory once that many rows have been added.
    pub(crate) fn bytes_with(&self, rows: usize) -> usize {
        self.bytes() - self.slots.len() * size_of::<Slot>() + self.slots_for(rows) * size_of::<Slot>()
    }

    fn reference(&self, place: u64) -> Option<ResultRef> {
        // A free slot has no block: there is none before the first.
        let block = self.blocks.get(usize::try_from(place >> 32).ok()?.checked_sub(1)?)?;
        #[expect(clippy::cast_possible_truncation, reason = "the lower half is what is wanted")]
        Some(ResultRef { block: *block, row: place as u32 })
    }

    #[inline]
    fn first_slot(&self, hash: u64) -> usize {
        #[expect(clippy::cast_possible_truncation, reason = "the low bits are what is wanted")]
        let low = hash as usize;
        low & self.slots.len().wrapping_sub(1)
    }

    /// Position of the slot that has the hash, or of the free one where it would go.
    #[inline]
    fn slot(&self, hash: u64) -> Option<usize> {
        let mut at = self.first_slot(hash);
        loop {
            let [its, place] = self.slots.get(at)?;
            if *place == 0 || *its == hash {
                return Some(at);
            }
            at = (at + 1) & (self.slots.len() - 1);
        }
    }

    fn insert(&mut self, hash: u64, place: u64) {
        let Some(slot) = self.slot(hash).and_then(|at| self.slots.get_mut(at)) else { return };
        let [_, before] = std::mem::replace(slot, [hash, place]);
        match self.reference(before) {
            Some(reference) => {
                self.older.entry(hash).or_default().push(reference);
                self.older_versions += 1;
            }
            None => self.used += 1,
        }
    }

    /// Slots that leave a quarter free once `rows` more are in.
    fn slots_for(&self, rows: usize) -> usize {
        let wanted = ((self.used + rows) * 4 / 3 + 1).next_power_of_two();
        if wanted <= self.slots.len() {
            return self.slots.len();
        }
        let ahead = if wanted < FEW_SLOTS && !self.slots.is_empty() { 2 } else { 1 };
        wanted * ahead
    }

    fn grow(&mut self, rows: usize) {
        let slots = self.slots_for(rows);
        if slots == self.slots.len() {
            return;
        }
        let before = std::mem::replace(&mut self.slots, vec![[0; 2]; slots]);
        for slot in before.into_iter().filter(|[_, place]| *place != 0) {
            let [hash, _] = slot;
            if let Some(place) = self.slot(hash).and_then(|at| self.slots.get_mut(at)) {
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
            blocks in proptest::collection::vec(proptest::collection::vec(0_u64..40, 0..30), 0..20),
        ) {
            // Hashes that fall into the same slot; zero among them.
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
                prop_assert!(table.slots.len() * 16 <= expected);
                for (row, n) in (0..).zip(rows) {
                    model.entry(spread(*n)).or_default().push(ResultRef { block: id, row });
                }
            }
            let mut found = Vec::new();
            table.look_up((0..45).map(|n| (n, spread(n as u64))), |n, version| found.push((n, version)));
            let mut expected = Vec::new();
            for n in 0..45 {
                let versions = model.get(&spread(n as u64)).map_or(&[][..], Vec::as_slice);
                let last_first = versions.last().into_iter().chain(versions.iter().take(versions.len().max(1) - 1));
                expected.extend(last_first.map(|version| (n, *version)));
            }
            prop_assert_eq!(found, expected);
        }

        #[test]
        fn tables_of_many_blocks_find_what_plain_maps_do(blocks in proptest::collection::vec(1_u64..3_000, 1..12)) {
            let mut table = PrefixTable::default();
            let mut last = HashMap::new();
            for (id, rows) in (1_u64..).zip(&blocks) {
                // Some come again; the others are spread over all slots.
                let hashes = (0..*rows).map(|n| (n * id).wrapping_mul(0x9e37_79b9_7f4a_7c15));
                let prefixes: Vec<[u8; 16]> = hashes.map(|hash| (u128::from(hash)).to_le_bytes()).collect();
                prop_assert!(table.bytes_with(prefixes.len()) >= table.bytes());
                table.add_block(id, &prefixes);
                last.extend(prefixes.iter().map(|prefix| first_of(prefix)).zip((0..).map(|row| ResultRef { block: id, row })));
            }
            let mut found = HashMap::new();
            let asked: Vec<u64> = last.keys().copied().chain(1_000..2_000).collect();
            table.look_up(asked.iter().copied().enumerate(), |n, version| {
                found.entry(asked[n]).or_insert(version);
            });
            prop_assert_eq!(found, last);
        }
    }
}
