//! The extents of a file that are in use.

use std::collections::BTreeMap;

/// Bytes that are handed out together.
pub(super) const BLOCK: u64 = 4_096;

/// An extent of the file, of whole blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Extent {
    pub(super) start: u64,
    pub(super) bytes: u64,
}

/// The free extents of a file that is never longer than what was in use at once.
///
/// Memory: an entry for each free extent; neighbors are one.
#[derive(Debug, Default)]
pub(super) struct Space {
    /// Bytes by start; none touches another or the end.
    free: BTreeMap<u64, u64>,
    end: u64,
}

impl Space {
    /// Where the file ends.
    pub(super) fn end(&self) -> u64 {
        self.end
    }

    /// So many bytes as whole blocks: free extents first, then room behind the end.
    pub(super) fn take(&mut self, bytes: u64) -> Vec<Extent> {
        let mut missing = bytes.div_ceil(BLOCK) * BLOCK;
        let mut taken = Vec::new();
        while missing > 0 {
            let Some((start, free)) = self.free.pop_first() else {
                taken.push(Extent { start: self.end, bytes: missing });
                self.end += missing;
                break;
            };
            let used = free.min(missing);
            if used < free {
                self.free.insert(start + used, free - used);
            }
            taken.push(Extent { start, bytes: used });
            missing -= used;
        }
        taken
    }

    /// Makes an extent free again; the file ends earlier if it was the last one.
    pub(super) fn give_back(&mut self, Extent { mut start, mut bytes }: Extent) {
        if let Some((before, length)) = self.free.range(..start).next_back().map(|(s, b)| (*s, *b))
            && before + length == start
        {
            self.free.remove(&before);
            start = before;
            bytes += length;
        }
        if let Some(length) = self.free.remove(&(start + bytes)) {
            bytes += length;
        }
        if start + bytes == self.end {
            self.end = start;
        } else {
            self.free.insert(start, bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extent(block: u64, blocks: u64) -> Extent {
        Extent { start: block * BLOCK, bytes: blocks * BLOCK }
    }

    #[test]
    fn free_extents_are_used_again_before_the_file_grows() {
        let mut space = Space::default();
        assert_eq!(space.take(1), [extent(0, 1)]);
        assert_eq!(space.take(2 * BLOCK), [extent(1, 2)]);
        assert_eq!(space.take(BLOCK + 1), [extent(3, 2)]);
        space.give_back(extent(1, 2));
        space.give_back(extent(0, 1));
        assert_eq!(space.take(4 * BLOCK), [extent(0, 3), extent(5, 1)]);
        assert_eq!(space.take(0), []);
    }

    #[test]
    fn the_file_shrinks_when_its_last_extents_are_free() {
        let mut space = Space::default();
        space.take(4 * BLOCK);
        space.give_back(extent(1, 1));
        space.give_back(extent(3, 1));
        assert_eq!(space.end(), 3 * BLOCK);
        space.give_back(extent(2, 1));
        assert_eq!(space.end(), BLOCK);
        space.give_back(extent(0, 1));
        assert_eq!((space.end(), space.free.len()), (0, 0));
    }
}
