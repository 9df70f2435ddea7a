//! Hashes put in the order of their partitions.

use std::ops::Range;

use super::keyset::partition_of;

/// Hashes of a chunk that belong to neighbouring partitions, those of a partition behind each other.
///
/// Tables of a million keys lie on more pages than the processor knows the places of; those of one
/// partition on few. So hashes in this order find their buckets faster, which pays for the ordering.
///
/// Memory: 12 bytes a hash.
#[derive(Debug)]
pub(super) struct Ordered {
    hashes: Vec<u64>,
    /// Where each of them stood.
    places: Vec<u32>,
}

impl Ordered {
    /// Those of the hashes in order that are of these partitions; not if there are more than can be
    /// numbered.
    pub(super) fn of(hashes: &[u64], partitions: Range<usize>) -> Option<Self> {
        let count = u32::try_from(hashes.len()).ok()?;
        // Strangers come behind all of them.
        let lot_of = |hash: u64| partition_of(hash).wrapping_sub(partitions.start).min(partitions.len());
        let mut next = vec![0; partitions.len() + 2];
        for hash in hashes {
            if let Some(size) = next.get_mut(lot_of(*hash) + 1) {
                *size += 1;
            }
        }
        let mut sum = 0;
        for begin in &mut next {
            sum += *begin;
            *begin = sum;
        }
        let own = next.get(partitions.len()).copied().unwrap_or(0);
        let mut ordered = Self { hashes: vec![0; hashes.len()], places: vec![0; hashes.len()] };
        for (hash, place) in hashes.iter().zip(0..count) {
            let Some(next) = next.get_mut(lot_of(*hash)) else { continue };
            if let (Some(its), Some(from)) = (ordered.hashes.get_mut(*next), ordered.places.get_mut(*next)) {
                (*its, *from) = (*hash, place);
            }
            *next += 1;
        }
        ordered.hashes.truncate(own);
        Some(ordered)
    }

    pub(super) fn hashes(&self) -> &[u64] {
        &self.hashes
    }

    /// Where the hash at this place of the order stood.
    #[inline]
    pub(super) fn place(&self, at: usize) -> usize {
        self.places.get(at).map_or(0, |place| *place as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::semijoin::keyset::PARTITIONS;

    #[test]
    fn every_hash_of_the_partitions_stands_once_in_their_order_and_knows_where_it_stood() {
        let hashes: Vec<u64> =
            (0..5_000_u64).map(|n| (n % 1_900).wrapping_mul(0x9e37_79b9_7f4a_7c15)).collect();
        for partitions in [0..PARTITIONS, 0..86, 172..PARTITIONS, 7..7] {
            let ordered = Ordered::of(&hashes, partitions.clone()).unwrap();
            let mut seen = vec![false; hashes.len()];
            for (at, hash) in ordered.hashes().iter().enumerate() {
                let place = ordered.place(at);
                assert_eq!(hashes[place], *hash);
                assert!(!std::mem::replace(&mut seen[place], true), "{place} came twice");
            }
            assert!(ordered.hashes().is_sorted_by_key(|hash| partition_of(*hash)));
            let own: Vec<bool> =
                hashes.iter().map(|hash| partitions.contains(&partition_of(*hash))).collect();
            assert_eq!(seen, own);
        }
        assert!(Ordered::of(&[], 0..PARTITIONS).unwrap().hashes().is_empty());
    }
}
