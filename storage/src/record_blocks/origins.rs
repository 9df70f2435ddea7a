//! The origin table of a recording: numbers in the order in which its blocks first use them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::{io, path::Path};

use anabranch_engine::index::{At as _, holds, row_number};
use anabranch_engine::provenance::{Origin, OriginId, Origins, RecordIds, RecordStrings, StringTable};
use serde_json::{Value, json};

/// Numbers origins of a run as a recording meets them.
#[derive(Debug, Default)]
pub(crate) struct LocalOrigins {
    numbers: HashMap<OriginId, u32>,
    origins: Vec<Origin>,
    /// The tables of strings, in the order of first use.
    tables: Vec<Arc<dyn RecordStrings>>,
}

impl LocalOrigins {
    /// The recording's number of an origin of the run; none for [`OriginId::NULL`].
    pub(crate) fn number(&mut self, origins: &Origins, id: OriginId) -> Option<u32> {
        if let Some(known) = self.numbers.get(&id) {
            return Some(*known);
        }
        if id == OriginId::NULL {
            return None;
        }
        let origin = holds(origins.get(id), "the origin of a row is in the table of its run");
        let number = row_number(self.origins.len());
        if let Some(strings) = strings(&origin)
            && !self.tables.iter().any(|known| Arc::ptr_eq(known, strings))
        {
            self.tables.push(Arc::clone(strings));
        }
        self.origins.push(origin);
        self.numbers.insert(id, number);
        Some(number)
    }

    /// The strings of an origin by the recording's number.
    pub(crate) fn strings(&self, number: u32) -> Option<&Arc<dyn RecordStrings>> {
        strings(self.origins.at(number as usize, "numbers are given to origins of the recording"))
    }

    /// The table, as it is stored.
    pub(crate) fn to_json(&self) -> String {
        let table = |origin: &Origin| {
            let strings = strings(origin);
            self.tables.iter().position(|known| strings.is_some_and(|strings| Arc::ptr_eq(known, strings)))
        };
        let entry = |origin: &Origin| match origin {
            Origin::Source { source, .. } => {
                json!({"kind": "source", "source": &**source, "texts": table(origin)})
            }
            Origin::Column { source, column, .. } => {
                json!({"kind": "column", "source": &**source, "column": &**column, "texts": table(origin)})
            }
            Origin::Output { function, fingerprint, output, recording } => {
                let mut entry = json!({"kind": "output", "function": &**function, "fingerprint": &**fingerprint, "output": &**output});
                if let (Some(entry), Some(recording)) = (entry.as_object_mut(), recording) {
                    entry.insert("recording".to_owned(), (*recording).into());
                }
                entry
            }
        };
        Value::Array(self.origins.iter().map(entry).collect()).to_string()
    }
}

fn strings(origin: &Origin) -> Option<&Arc<dyn RecordStrings>> {
    match origin {
        Origin::Source { records: RecordIds::Strings(strings), .. }
        | Origin::Column { records: RecordIds::Strings(strings), .. } => Some(strings),
        _ => None,
    }
}

/// A stored origin table, added to the origin table of the reader.
#[derive(Debug)]
pub(crate) struct StoredOrigins {
    ids: Vec<OriginId>,
    strings: Vec<Option<Arc<RecordIdStrings>>>,
}

impl StoredOrigins {
    /// Adds the stored origins to `origins`; the error describes the damage.
    pub(crate) fn read(text: &str, origins: &Origins, directory: &Path) -> Result<Self, String> {
        let entries: Vec<Value> = serde_json::from_str(text).map_err(|e| e.to_string())?;
        let mut tables: HashMap<u64, Arc<RecordIdStrings>> = HashMap::new();
        let mut stored = Self { ids: Vec::new(), strings: Vec::new() };
        for entry in &entries {
            let word = |name: &str| -> Result<Arc<str>, String> {
                let word = entry.get(name).and_then(Value::as_str);
                word.map(Arc::from).ok_or(format!("an origin has no {name}"))
            };
            let table = entry.get("texts").and_then(Value::as_u64).map(|number| {
                Arc::clone(tables.entry(number).or_insert_with(|| Arc::new(RecordIdStrings::new(directory))))
            });
            let records = || match &table {
                Some(table) => RecordIds::Strings(Arc::clone(table) as Arc<dyn RecordStrings>),
                None => RecordIds::Ordinal,
            };
            let origin = match &*word("kind")? {
                "source" => Origin::Source { source: word("source")?, records: records() },
                "column" => {
                    Origin::Column { source: word("source")?, records: records(), column: word("column")? }
                }
                "output" => Origin::Output {
                    function: word("function")?,
                    fingerprint: word("fingerprint")?,
                    output: word("output")?,
                    recording: entry.get("recording").and_then(Value::as_u64),
                },
                other => return Err(format!("an origin has the unknown kind \"{other}\"")),
            };
            stored.ids.push(origins.add(origin));
            stored.strings.push(table);
        }
        Ok(stored)
    }

    /// The reader's number of a stored origin.
    pub(crate) fn id(&self, number: u32) -> Option<OriginId> {
        self.ids.get(number as usize).copied()
    }

    /// Table for the record ids of a stored origin.
    pub(crate) fn strings(&self, number: u32) -> Option<&Arc<RecordIdStrings>> {
        self.strings.get(number as usize)?.as_ref()
    }
}

/// Bytes of text that a reader keeps in memory, for each source with record ids of its own.
const STRING_BYTES: usize = 32 << 20;

/// The record ids of the rows read so far, by their places in the source.
///
/// Memory: 32 MiB of strings, beyond which they move to an unnamed file, and 16 bytes for each
/// run of places read in the source's order (for each place, where the order is another).
#[derive(Debug)]
pub(crate) struct RecordIdStrings {
    table: StringTable,
    // Filled by the reader and read by other threads; held for one look-up.
    runs: Mutex<std::collections::BTreeMap<u64, Run>>,
}

#[derive(Debug, Clone, Copy)]
struct Run {
    first: u64,
    length: u64,
}

impl RecordIdStrings {
    fn new(directory: &Path) -> Self {
        Self { table: StringTable::new(directory, STRING_BYTES), runs: Mutex::default() }
    }

    /// Keeps the text of a place, once.
    pub(crate) fn keep(&self, place: u64, text: &str) -> io::Result<()> {
        let mut runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
        let next = self.table.len();
        match runs.range_mut(..=place).next_back() {
            Some((start, run)) if place - start < run.length => return Ok(()),
            Some((start, run)) if place - start == run.length && run.first + run.length == next => {
                self.table.push(text.to_owned())?;
                run.length += 1;
            }
            _ => {
                self.table.push(text.to_owned())?;
                runs.insert(place, Run { first: next, length: 1 });
            }
        }
        Ok(())
    }
}

impl RecordStrings for RecordIdStrings {
    fn text(&self, position: u64) -> io::Result<String> {
        let runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
        let found =
            runs.range(..=position).next_back().filter(|(start, run)| position - **start < run.length);
        match found {
            Some((start, run)) => self.table.text(run.first + (position - start)),
            None => Err(io::Error::new(io::ErrorKind::NotFound, "no record id of this place was read")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_found_by_place_in_whatever_order_they_came() {
        let strings = RecordIdStrings::new(&std::env::temp_dir());
        let places = [5, 6, 7, 2, 3, 4, 5, 100, 1, 8, 6];
        for place in places {
            strings.keep(place, &format!("id={place}")).unwrap();
        }
        for place in places {
            assert_eq!(strings.text(place).unwrap(), format!("id={place}"));
        }
        assert_eq!(strings.table.len(), 9);
        for missing in [0, 9, 99, 101] {
            assert!(strings.text(missing).is_err());
        }
    }
}
