//! Record ids that are strings of their own: kept in memory up to a bound, then in an unnamed file.

use crate::index::At as _;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{Error, ErrorKind, Result, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// Strings by position.
pub trait RecordStrings: Send + Sync + std::fmt::Debug {
    /// The string at a position.
    ///
    /// Errors: no such position, or an error of the disk it was moved to.
    fn text(&self, position: u64) -> Result<String>;
}

/// Strings of a segment; the unit that moves to disk and back.
const SEGMENT_TEXTS: usize = 8_192;
/// Segments kept after they were read back.
const CACHED_SEGMENTS: usize = 16;

/// An append-only table of strings with bounded memory.
///
/// Memory: at most `memory_bytes` of text, plus 16 segments read back. Beyond that strings lie in a
/// file without a name in `directory`, which vanishes with the process.
#[derive(Debug)]
pub struct StringTable {
    directory: PathBuf,
    memory_bytes: usize,
    // Appended by the source's thread, read where strings are wanted; held for a copy, never across a wait.
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    segments: Vec<Segment>,
    open: Vec<String>,
    resident_bytes: usize,
    next_resident: usize,
    file: Option<File>,
    file_bytes: u64,
    cache: VecDeque<(usize, Arc<Vec<String>>)>,
}

#[derive(Debug, Clone)]
enum Segment {
    Memory(Arc<Vec<String>>),
    Disk { offset: u64, bytes: usize },
}

impl StringTable {
    /// An empty table that moves strings beyond `memory_bytes` to a file in `directory`.
    #[must_use]
    pub fn new(directory: &Path, memory_bytes: usize) -> Self {
        Self { directory: directory.to_owned(), memory_bytes, state: Mutex::default() }
    }

    /// Appends a string; its position is the number of strings before it.
    ///
    /// Errors: of the file, once strings move there.
    pub fn push(&self, text: String) -> Result<()> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.resident_bytes += text.len() + size_of::<String>();
        state.open.push(text);
        if state.open.len() == SEGMENT_TEXTS {
            let full = std::mem::take(&mut state.open);
            state.segments.push(Segment::Memory(Arc::new(full)));
        }
        while state.resident_bytes > self.memory_bytes && state.next_resident < state.segments.len() {
            state.move_oldest(&self.directory)?;
        }
        Ok(())
    }

    /// Number of strings.
    #[must_use]
    pub fn len(&self) -> u64 {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        (state.segments.len() * SEGMENT_TEXTS + state.open.len()) as u64
    }

    /// Returns whether there is no string.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl State {
    fn move_oldest(&mut self, directory: &Path) -> Result<()> {
        let Segment::Memory(texts) = self.segments.at(self.next_resident, "segment in memory").clone() else {
            unreachable!("segments leave memory in order, so the next one has not left it")
        };
        let mut bytes = Vec::new();
        for text in texts.iter() {
            bytes.write_all(&(text.len() as u64).to_le_bytes())?;
            bytes.write_all(text.as_bytes())?;
        }
        let file = match &self.file {
            Some(file) => file,
            None => self.file.insert(tempfile::tempfile_in(directory)?),
        };
        file.write_all_at(&bytes, self.file_bytes)?;
        let moved = Segment::Disk { offset: self.file_bytes, bytes: bytes.len() };
        self.file_bytes += bytes.len() as u64;
        self.resident_bytes -= texts.iter().map(|t| t.len() + size_of::<String>()).sum::<usize>();
        *self.segments.at_mut(self.next_resident, "segment in memory") = moved;
        self.next_resident += 1;
        Ok(())
    }

    fn segment(&mut self, number: usize) -> Result<Arc<Vec<String>>> {
        match self.segments.get(number) {
            Some(Segment::Memory(texts)) => Ok(Arc::clone(texts)),
            Some(Segment::Disk { offset, bytes }) => {
                if let Some((_, texts)) = self.cache.iter().find(|(cached, _)| *cached == number) {
                    return Ok(Arc::clone(texts));
                }
                let mut buffer = vec![0; *bytes];
                if let Some(file) = &self.file {
                    file.read_exact_at(&mut buffer, *offset)?;
                }
                let texts = Arc::new(decode(&buffer)?);
                self.cache.push_back((number, Arc::clone(&texts)));
                if self.cache.len() > CACHED_SEGMENTS {
                    self.cache.pop_front();
                }
                Ok(texts)
            }
            None => Err(Error::new(ErrorKind::NotFound, "no record id at this position")),
        }
    }
}

fn decode(mut bytes: &[u8]) -> Result<Vec<String>> {
    let torn = || Error::new(ErrorKind::InvalidData, "a record id read back from disk is torn");
    let mut texts = Vec::with_capacity(SEGMENT_TEXTS);
    while let Some((length, rest)) = bytes.split_first_chunk::<8>() {
        let length = usize::try_from(u64::from_le_bytes(*length)).map_err(|_| torn())?;
        let (text, rest) = rest.split_at_checked(length).ok_or_else(torn)?;
        texts.push(std::str::from_utf8(text).map_err(|_| torn())?.to_owned());
        bytes = rest;
    }
    Ok(texts)
}

impl RecordStrings for StringTable {
    fn text(&self, position: u64) -> Result<String> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let position = usize::try_from(position).map_err(Error::other)?;
        let (number, at) = (position / SEGMENT_TEXTS, position % SEGMENT_TEXTS);
        if number == state.segments.len() {
            let missing = || Error::new(ErrorKind::NotFound, "no record id at this position");
            return state.open.get(at).cloned().ok_or_else(missing);
        }
        let segment = state.segment(number)?;
        segment
            .get(at)
            .cloned()
            .ok_or_else(|| Error::new(ErrorKind::NotFound, "no record id at this position"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_come_back_from_memory_and_from_disk() {
        let table = StringTable::new(&std::env::temp_dir(), 100_000);
        for n in 0..50_000_u64 {
            table.push(format!("id={n}")).unwrap();
        }
        assert_eq!(table.len(), 50_000);
        {
            let state = table.state.lock().unwrap();
            assert!(state.file_bytes > 0, "nothing moved to disk");
            assert!(state.resident_bytes < 100_000 + SEGMENT_TEXTS * 40);
        }
        for n in [0, 1, 8_191, 8_192, 30_000, 49_999] {
            assert_eq!(table.text(n).unwrap(), format!("id={n}"));
        }
        assert_eq!(table.text(50_000).unwrap_err().kind(), ErrorKind::NotFound);
    }
}
