//! Finds equal hashes among more than fit into memory.
//!
//! Hashes are gathered in a map, where most repeats are found at once. A full map becomes a sorted
//! run in a file without a name; at the end the runs are merged, which brings equal hashes together.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::fs::File;
use std::io::{Error, ErrorKind, Result};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

/// Bytes of a hash and a position in a run.
const ENTRY_BYTES: usize = 24;
/// Bytes of memory that an entry of the map takes, growth and the sorted copy included.
const MAP_ENTRY_BYTES: usize = 144;
/// Entries of the map at least, however small the memory.
const LEAST_ENTRIES: usize = 1_024;

/// Two positions whose hashes are equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Repeat {
    pub(super) first: u64,
    pub(super) second: u64,
}

/// Hashes by position.
///
/// Memory: `memory_bytes` (at least 144 KiB); on disk 24 bytes an entry.
#[derive(Debug)]
pub(super) struct Repeats {
    directory: PathBuf,
    entries: usize,
    memory_bytes: usize,
    seen: HashMap<u128, u64>,
    file: Option<File>,
    file_bytes: u64,
    runs: Vec<Run>,
}

/// A sorted run in the file, or what is left of it.
#[derive(Debug)]
struct Run {
    offset: u64,
    bytes: u64,
    buffer: std::vec::IntoIter<Entry>,
}

type Entry = (u128, u64);

impl Repeats {
    pub(super) fn new(directory: &Path, memory_bytes: usize) -> Self {
        Self {
            directory: directory.to_owned(),
            entries: (memory_bytes / MAP_ENTRY_BYTES).max(LEAST_ENTRIES),
            memory_bytes,
            seen: HashMap::new(),
            file: None,
            file_bytes: 0,
            runs: Vec::new(),
        }
    }

    /// Adds a hash; says at once if it is in memory already.
    pub(super) fn add(&mut self, hash: u128, position: u64) -> Result<Option<Repeat>> {
        if let Some(first) = self.seen.insert(hash, position) {
            return Ok(Some(Repeat { first, second: position }));
        }
        if self.seen.len() >= self.entries {
            self.spill()?;
        }
        Ok(None)
    }

    fn spill(&mut self) -> Result<()> {
        let mut entries: Vec<Entry> = self.seen.drain().collect();
        entries.sort_unstable();
        let mut bytes = Vec::with_capacity(entries.len() * ENTRY_BYTES);
        for (hash, position) in &entries {
            bytes.extend_from_slice(&hash.to_le_bytes());
            bytes.extend_from_slice(&position.to_le_bytes());
        }
        let file = match &self.file {
            Some(file) => file,
            None => self.file.insert(tempfile::tempfile_in(&self.directory)?),
        };
        file.write_all_at(&bytes, self.file_bytes)?;
        let (offset, bytes) = (self.file_bytes, bytes.len() as u64);
        self.file_bytes += bytes;
        self.runs.push(Run { offset, bytes, buffer: Vec::new().into_iter() });
        Ok(())
    }

    /// The earliest repeat that `same` confirms among hashes that were apart on disk.
    pub(super) fn finish(&mut self, same: impl Fn(&Repeat) -> Result<bool>) -> Result<Option<Repeat>> {
        if self.runs.is_empty() {
            return Ok(None);
        }
        self.spill()?;
        self.seen = HashMap::new();
        let Some(file) = &self.file else { return Ok(None) };
        let mut runs = std::mem::take(&mut self.runs);
        let read_entries = (self.memory_bytes / runs.len() / (4 * ENTRY_BYTES)).clamp(64, 4_096);
        let mut heap = BinaryHeap::new();
        for (number, run) in runs.iter_mut().enumerate() {
            heap.extend(run.next(file, read_entries)?.map(|entry| Reverse((entry, number))));
        }
        let (mut earliest, mut last): (Option<Repeat>, Option<Entry>) = (None, None);
        while let Some(Reverse((entry, number))) = heap.pop() {
            if let Some((hash, first)) = last.filter(|(hash, _)| *hash == entry.0) {
                let repeat = Repeat { first, second: entry.1 };
                if earliest.is_none_or(|e| repeat.second < e.second) && same(&repeat)? {
                    earliest = Some(repeat);
                }
                // The next one is compared with the first of its kind.
                last = Some((hash, first));
            } else {
                last = Some(entry);
            }
            if let Some(run) = runs.get_mut(number) {
                heap.extend(run.next(file, read_entries)?.map(|entry| Reverse((entry, number))));
            }
        }
        Ok(earliest)
    }
}

impl Run {
    fn next(&mut self, file: &File, read_entries: usize) -> Result<Option<Entry>> {
        if let Some(entry) = self.buffer.next() {
            return Ok(Some(entry));
        }
        let wanted = ((read_entries * ENTRY_BYTES) as u64).min(self.bytes);
        let mut bytes = vec![0; usize::try_from(wanted).map_err(Error::other)?];
        file.read_exact_at(&mut bytes, self.offset)?;
        self.offset += wanted;
        self.bytes -= wanted;
        self.buffer = decode(&bytes)?.into_iter();
        Ok(self.buffer.next())
    }
}

fn decode(bytes: &[u8]) -> Result<Vec<Entry>> {
    let torn = || Error::new(ErrorKind::InvalidData, "hashes of record ids read back from disk are torn");
    let (entries, []) = bytes.as_chunks::<ENTRY_BYTES>() else { return Err(torn()) };
    let entry = |bytes: &[u8; ENTRY_BYTES]| {
        let (hash, rest) = bytes.split_first_chunk::<16>().ok_or_else(torn)?;
        let position = rest.first_chunk::<8>().ok_or_else(torn)?;
        Ok((u128::from_le_bytes(*hash), u64::from_le_bytes(*position)))
    };
    entries.iter().map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers that are spread out and never repeat.
    fn spread(n: u64) -> u128 {
        u128::from(n.wrapping_mul(0x9e37_79b9_7f4a_7c15)) << 40
    }

    #[test]
    fn the_earliest_confirmed_repeat_is_found_across_runs() {
        let mut repeats = Repeats::new(&std::env::temp_dir(), 0);
        for position in 0..10_000 {
            let hash = match position {
                9_000 => spread(3),
                6_000 | 8_000 => spread(5_000 - 4_000),
                _ => spread(position),
            };
            assert_eq!(repeats.add(hash, position).unwrap(), None);
        }
        assert!(repeats.runs.len() >= 9);
        let found = repeats.finish(|r| Ok(r.second != 6_000)).unwrap();
        assert_eq!(found, Some(Repeat { first: 1_000, second: 8_000 }));
    }

    #[test]
    fn a_repeat_within_memory_is_found_at_once() {
        let mut repeats = Repeats::new(&std::env::temp_dir(), 1 << 20);
        for position in 0..100 {
            assert_eq!(repeats.add(spread(position), position).unwrap(), None);
        }
        assert_eq!(repeats.add(spread(40), 100).unwrap(), Some(Repeat { first: 40, second: 100 }));
        assert_eq!(repeats.finish(|_| Ok(true)).unwrap(), None);
    }
}
