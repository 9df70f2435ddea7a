//! Assignment of the rows of the source to the records of the history.

use std::collections::HashMap;

use anabranch_engine::spill::Records;

use super::{CumulativeError, Input, Parts, hash};
use crate::store::{History, RecordingReader};

/// Place of a row that is the first of its record.
pub(super) const NEW: u64 = u64::MAX;
/// Bytes of memory that an entry of the map takes, growth included.
const ENTRY_BYTES: usize = 64;
/// Minimum number of entries of the map, however small the memory.
const LEAST_ENTRIES: usize = 1_024;
/// Hashes that are read or looked up in one step.
const STEP_HASHES: usize = 65_536;

/// Reads the record ids of the history.
pub(super) struct Knowing {
    history: Option<History>,
    rows: Option<RecordingReader>,
    hashes: Records<16>,
}

impl Knowing {
    pub(super) fn new(parts: &Parts) -> Result<Self, CumulativeError> {
        let history = parts.history()?;
        let rows = parts.open(history.as_ref())?;
        Ok(Self { history, rows, hashes: Records::new(parts.directory())? })
    }

    /// Reads some more; returns false when all are read.
    pub(super) fn step(&mut self, parts: &Parts) -> Result<bool, CumulativeError> {
        let Some(rows) = &mut self.rows else { return Ok(false) };
        let Some(chunk) = rows.next().transpose()? else { return Ok(false) };
        for record_id in parts.record_ids(&chunk, rows.origins())?.iter().flatten() {
            self.hashes.push(&hash(record_id))?;
        }
        Ok(true)
    }
}

/// Finds for each row of the source the place of its record in the history.
///
/// As many hashes of the history as fit into memory are looked up in all of the source's hashes, then the next ones.
pub(super) struct Assigning {
    pub(super) history: Option<History>,
    /// Record's place of each row of the source, or [`NEW`].
    pub(super) places: Records<8>,
    known: Records<16>,
    entries: usize,
    /// Hashes of the history by place, those before `next_known` and after the last round's.
    map: HashMap<[u8; 16], u64>,
    next_known: u64,
    next_row: u64,
}

impl Assigning {
    pub(super) fn new(parts: &Parts, knowing: Knowing, input: &Input) -> Result<Self, CumulativeError> {
        let mut places = Records::new(parts.directory())?;
        for _ in 0..input.hashes.len() {
            places.push(&NEW.to_le_bytes())?;
        }
        let entries = (parts.memory_bytes / ENTRY_BYTES).max(LEAST_ENTRIES);
        let Knowing { history, hashes: known, .. } = knowing;
        let (next_known, next_row) = (0, input.hashes.len());
        Ok(Self { history, places, known, entries, map: HashMap::new(), next_known, next_row })
    }

    /// Looks up some more; returns false when all are found.
    pub(super) fn step(&mut self, input: &mut Input) -> Result<bool, CumulativeError> {
        if self.next_row < input.hashes.len() {
            return self.look_up(input).map(|()| true);
        }
        self.map.clear();
        while self.map.len() < self.entries {
            let count = STEP_HASHES.min(self.entries - self.map.len());
            let hashes = self.known.read(self.next_known, count)?;
            if hashes.is_empty() {
                break;
            }
            for hash in hashes {
                self.map.insert(hash, self.next_known);
                self.next_known += 1;
            }
        }
        self.next_row = 0;
        Ok(!self.map.is_empty())
    }

    fn look_up(&mut self, input: &mut Input) -> Result<(), CumulativeError> {
        let hashes = input.hashes.read(self.next_row, STEP_HASHES)?;
        let mut places = self.places.read(self.next_row, hashes.len())?;
        for (hash, place) in hashes.iter().zip(&mut places) {
            if let Some(found) = self.map.get(hash) {
                *place = found.to_le_bytes();
            }
        }
        self.places.replace(self.next_row, &places)?;
        self.next_row += hashes.len() as u64;
        Ok(())
    }
}
