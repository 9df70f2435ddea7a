//! Hashes put in the order of their partitions.

use super::keyset::{PARTITIONS, partition_of};

/// Hashes of a chunk, those of a partition behind each other.
///
/// Tables of a million keys lie on more pages than the processor knows the places of; those of one
/// partition on few. So hashes in this order find their buckets several times as fast, which pays
/// for the ordering.
///
/// Memory: 12 bytes a hash.
#[derive(Debug)]
pub(super) struct Ordered {
    hashes: Vec<u64>,
    /// Where each of them stood.
    places: Vec<u32>,
    /// Where each partition begins, and the end of the last.
    begins: Vec<usize>,
}

impl Ordered {
    /// These hashes in order; not if there are more than can be numbered.
    pub(super) fn of(hashes: &[u64]) -> Option<Self> {
        let count = u32::try_from(hashes.len()).ok()?;
        let mut begins = vec![0; PARTITIONS + 1];
        for hash in hashes {
            if let Some(size) = begins.get_mut(partition_of(*hash) + 1) {
                *size += 1;
            }
        }
        let mut sum = 0;
        for begin in &mut begins {
            sum += *begin;
            *begin = sum;
        }
        let mut next = begins.clone();
        let mut ordered = Self { hashes: vec![0; hashes.len()], places: vec![0; hashes.len()], begins };
        for (hash, place) in hashes.iter().zip(0..count) {
            let Some(next) = next.get_mut(partition_of(*hash)) else { continue };
            if let (Some(its), Some(from)) = (ordered.hashes.get_mut(*next), ordered.places.get_mut(*next)) {
                (*its, *from) = (*hash, place);
            }
            *next += 1;
        }
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

    /// The hashes of a partition, and the place in the order of the first of them.
    pub(super) fn partition(&self, number: usize) -> (usize, &[u64]) {
        match self.begins.get(number..) {
            Some([begin, end, ..]) => (*begin, self.hashes.get(*begin..*end).unwrap_or_default()),
            _ => (0, &[]),
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.hashes.capacity() * size_of::<u64>() + self.places.capacity() * size_of::<u32>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_hash_stands_once_in_the_lot_of_its_partition_and_knows_where_it_stood() {
        let hashes: Vec<u64> =
            (0..5_000_u64).map(|n| (n % 1_900).wrapping_mul(0x9e37_79b9_7f4a_7c15)).collect();
        let ordered = Ordered::of(&hashes).unwrap();
        let mut seen = vec![false; hashes.len()];
        for number in 0..PARTITIONS {
            let (first, own) = ordered.partition(number);
            for (at, hash) in own.iter().enumerate() {
                let place = ordered.place(first + at);
                assert_eq!((partition_of(*hash), hashes[place]), (number, *hash));
                assert!(!std::mem::replace(&mut seen[place], true), "{place} came twice");
            }
        }
        assert!(seen.iter().all(|seen| *seen));
        assert_eq!(ordered.partition(PARTITIONS), (0, &[][..]));
        assert_eq!(Ordered::of(&[]).unwrap().partition(7), (0, &[][..]));
    }
}
