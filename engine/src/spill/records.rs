//! Numbers of one width in a file without a name: what is too many for memory and needs no columns.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{Error, ErrorKind, Result};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

/// Bytes that are gathered before they are written.
const BUFFER_BYTES: usize = 256 << 10;
/// Entries that a run being merged is read by, at least and at most.
const READ_ENTRIES: (usize, usize) = (64, 8_192);

/// Records of `N` bytes each, by number.
///
/// Memory: 256 KiB; on disk `N` bytes a record, in a file that vanishes with the process.
#[derive(Debug)]
pub struct Records<const N: usize> {
    file: File,
    written: u64,
    buffer: Vec<u8>,
}

impl<const N: usize> Records<N> {
    /// No records, in a folder that is there.
    pub fn new(directory: &Path) -> Result<Self> {
        Ok(Self { file: tempfile::tempfile_in(directory)?, written: 0, buffer: Vec::new() })
    }

    /// Number of records.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.written + self.buffer.len().checked_div(N).unwrap_or(0) as u64
    }

    /// Returns whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Appends a record.
    pub fn push(&mut self, record: &[u8; N]) -> Result<()> {
        self.buffer.extend_from_slice(record);
        if self.buffer.len() >= BUFFER_BYTES { self.flush() } else { Ok(()) }
    }

    /// At most `count` records from number `from` on; fewer at the end.
    pub fn read(&mut self, from: u64, count: usize) -> Result<Vec<[u8; N]>> {
        self.flush()?;
        let count = count.min(usize::try_from(self.written.saturating_sub(from)).unwrap_or(usize::MAX));
        let mut bytes = vec![0; count * N];
        self.file.read_exact_at(&mut bytes, from * N as u64)?;
        Ok(bytes.as_chunks::<N>().0.to_vec())
    }

    /// Puts records in the place of those from number `from` on, which are there.
    pub fn replace(&mut self, from: u64, records: &[[u8; N]]) -> Result<()> {
        self.flush()?;
        if from + records.len() as u64 > self.written {
            return Err(Error::new(ErrorKind::InvalidInput, "records beyond the end are replaced"));
        }
        self.file.write_all_at(records.as_flattened(), from * N as u64)
    }

    fn flush(&mut self) -> Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        self.file.write_all_at(&self.buffer, self.written * N as u64)?;
        self.written += (self.buffer.len() / N) as u64;
        self.buffer.clear();
        Ok(())
    }
}

/// A key and a place.
pub type Pair = (u128, u64);

/// Pairs that are put in ascending order.
///
/// Memory: what it is given, 32 bytes a pair; beyond that 24 bytes a pair on disk.
#[derive(Debug)]
pub struct SortedPairs {
    most: usize,
    pairs: Vec<Pair>,
    runs: Vec<Run>,
    directory: std::path::PathBuf,
}

/// A sorted run, or what is left of it.
#[derive(Debug)]
struct Run {
    records: Records<24>,
    next: u64,
    buffer: std::vec::IntoIter<Pair>,
}

impl SortedPairs {
    /// No pairs; runs go to files without names in the folder.
    #[must_use]
    pub fn new(directory: &Path, memory_bytes: usize) -> Self {
        let most = (memory_bytes / size_of::<Pair>()).max(1_024);
        Self { most, pairs: Vec::new(), runs: Vec::new(), directory: directory.to_owned() }
    }

    /// Adds a pair.
    pub fn push(&mut self, pair: Pair) -> Result<()> {
        self.pairs.push(pair);
        if self.pairs.len() < self.most {
            return Ok(());
        }
        self.pairs.sort_unstable();
        let mut records = Records::new(&self.directory)?;
        for pair in self.pairs.drain(..) {
            records.push(&encode(pair))?;
        }
        self.runs.push(Run { records, next: 0, buffer: Vec::new().into_iter() });
        Ok(())
    }

    /// All pairs in ascending order.
    pub fn finish(mut self) -> Result<PairsInOrder> {
        self.pairs.sort_unstable();
        let shared = (self.most / (self.runs.len() + 1)).clamp(READ_ENTRIES.0, READ_ENTRIES.1);
        let mut order = PairsInOrder {
            memory: self.pairs.into_iter(),
            runs: self.runs,
            heap: BinaryHeap::new(),
            read_entries: shared,
        };
        for number in 0..=order.runs.len() {
            order.refill(number)?;
        }
        Ok(order)
    }
}

/// Pairs in ascending order.
#[derive(Debug)]
pub struct PairsInOrder {
    memory: std::vec::IntoIter<Pair>,
    runs: Vec<Run>,
    /// The first pair of each run; the number after all runs is that of the pairs in memory.
    heap: BinaryHeap<Reverse<(Pair, usize)>>,
    read_entries: usize,
}

impl PairsInOrder {
    /// The next pair; none at the end.
    #[expect(clippy::should_implement_trait, reason = "an error ends it, as it does not end an iterator")]
    pub fn next(&mut self) -> Result<Option<Pair>> {
        let Some(Reverse((pair, number))) = self.heap.pop() else { return Ok(None) };
        self.refill(number)?;
        Ok(Some(pair))
    }

    fn refill(&mut self, number: usize) -> Result<()> {
        let next = match self.runs.get_mut(number) {
            Some(run) => run.next(self.read_entries)?,
            None => self.memory.next(),
        };
        self.heap.extend(next.map(|pair| Reverse((pair, number))));
        Ok(())
    }
}

impl Run {
    fn next(&mut self, entries: usize) -> Result<Option<Pair>> {
        if let Some(pair) = self.buffer.next() {
            return Ok(Some(pair));
        }
        let read = self.records.read(self.next, entries)?;
        self.next += read.len() as u64;
        self.buffer = read.iter().map(decode).collect::<Vec<_>>().into_iter();
        Ok(self.buffer.next())
    }
}

fn encode((key, place): Pair) -> [u8; 24] {
    let mut bytes = [0; 24];
    let (first, second) = bytes.split_at_mut(16);
    first.copy_from_slice(&key.to_le_bytes());
    second.copy_from_slice(&place.to_le_bytes());
    bytes
}

fn decode(bytes: &[u8; 24]) -> Pair {
    let key = bytes.first_chunk::<16>().map_or(0, |key| u128::from_le_bytes(*key));
    let place = bytes.last_chunk::<8>().map_or(0, |place| u64::from_le_bytes(*place));
    (key, place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_read_and_replaced_by_number() {
        let mut records = Records::<8>::new(&std::env::temp_dir()).unwrap();
        assert!(records.is_empty() && records.read(0, 5).unwrap().is_empty());
        for n in 0..100_000_u64 {
            records.push(&n.to_le_bytes()).unwrap();
        }
        assert_eq!(records.len(), 100_000);
        let read = |records: &mut Records<8>, from, count| -> Vec<u64> {
            records.read(from, count).unwrap().into_iter().map(u64::from_le_bytes).collect()
        };
        assert_eq!(read(&mut records, 99_998, 10), [99_998, 99_999]);
        records.replace(40_000, &[7_u64.to_le_bytes(), 8_u64.to_le_bytes()]).unwrap();
        assert_eq!(read(&mut records, 39_999, 4), [39_999, 7, 8, 40_002]);
        assert!(records.replace(99_999, &[[0; 8], [0; 8]]).is_err());
        assert!(read(&mut records, 200_000, 4).is_empty());
    }

    #[test]
    fn pairs_come_in_order_from_memory_and_from_disk() {
        for memory in [0, 1 << 20] {
            let mut pairs = SortedPairs::new(&std::env::temp_dir(), memory);
            let mut expected = Vec::new();
            for n in 0..20_000_u64 {
                let pair = (u128::from(n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 52) << 90, n);
                pairs.push(pair).unwrap();
                expected.push(pair);
            }
            expected.sort_unstable();
            assert_eq!(pairs.runs.len(), if memory == 0 { 19 } else { 0 });
            let mut order = pairs.finish().unwrap();
            for pair in expected {
                assert_eq!(order.next().unwrap(), Some(pair));
            }
            assert_eq!(order.next().unwrap(), None);
        }
    }
}
