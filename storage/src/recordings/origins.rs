//! The origin table of a recording: numbers in the order in which its blocks first use them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::{io, path::Path};

use anabranch_engine::provenance::{Origin, OriginId, Origins, RecordIds, RecordStrings, StringTable};
use serde_json::{Value, json};

/// Numbers origins of a run as a recording meets them.
#[derive(Debug, Default)]
pub(crate) struct LocalOrigins {
    numbers: HashMap<OriginId, u32>,
    origins: Vec<Origin>,
    /// The tables of texts, in the order of first use.
    tables: Vec<Arc<dyn RecordStrings>>,
}

impl LocalOrigins {
    /// The recording's number of an origin of the run; nothing for [`OriginId::NULL`] and for a
    /// number that the run's table lacks.
    pub(crate) fn number(&mut self, origins: &Origins, id: OriginId) -> Option<u32> {
        if let Some(known) = self.numbers.get(&id) {
            return Some(*known);
        }
        let origin = origins.get(id)?;
        let number = u32::try_from(self.origins.len()).ok()?;
        if let Some(texts) = texts(&origin)
            && !self.tables.iter().any(|known| Arc::ptr_eq(known, texts))
        {
            self.tables.push(Arc::clone(texts));
        }
        self.origins.push(origin);
        self.numbers.insert(id, number);
        Some(number)
    }

    /// The texts of an origin by the recording's number.
    pub(crate) fn texts(&self, number: u32) -> Option<&Arc<dyn RecordStrings>> {
        texts(self.origins.get(number as usize)?)
    }

    /// The table, as it is stored.
    pub(crate) fn to_json(&self) -> String {
        let table = |origin: &Origin| {
            let texts = texts(origin);
            self.tables.iter().position(|known| texts.is_some_and(|texts| Arc::ptr_eq(known, texts)))
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

fn texts(origin: &Origin) -> Option<&Arc<dyn RecordStrings>> {
    match origin {
        Origin::Source { records: RecordIds::Strings(texts), .. }
        | Origin::Column { records: RecordIds::Strings(texts), .. } => Some(texts),
        _ => None,
    }
}

/// A stored origin table, put into the origin table of whoever reads.
#[derive(Debug)]
pub(crate) struct StoredOrigins {
    ids: Vec<OriginId>,
    texts: Vec<Option<Arc<SeenTexts>>>,
}

impl StoredOrigins {
    /// Adds the stored origins to `origins`; the error says what is wrong with them.
    pub(crate) fn read(text: &str, origins: &Origins, directory: &Path) -> Result<Self, String> {
        let entries: Vec<Value> = serde_json::from_str(text).map_err(|e| e.to_string())?;
        let mut tables: HashMap<u64, Arc<SeenTexts>> = HashMap::new();
        let mut stored = Self { ids: Vec::new(), texts: Vec::new() };
        for entry in &entries {
            let word = |name: &str| -> Result<Arc<str>, String> {
                let word = entry.get(name).and_then(Value::as_str);
                word.map(Arc::from).ok_or(format!("an origin has no {name}"))
            };
            let table = entry.get("texts").and_then(Value::as_u64).map(|number| {
                Arc::clone(tables.entry(number).or_insert_with(|| Arc::new(SeenTexts::new(directory))))
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
            stored.texts.push(table);
        }
        Ok(stored)
    }

    /// The reader's number of a stored origin.
    pub(crate) fn id(&self, number: u32) -> Option<OriginId> {
        self.ids.get(number as usize).copied()
    }

    /// Where the texts of a stored origin go.
    pub(crate) fn texts(&self, number: u32) -> Option<&Arc<SeenTexts>> {
        self.texts.get(number as usize)?.as_ref()
    }
}

/// Bytes of text that a reader keeps in memory, for each source with record ids of its own.
const TEXT_BYTES: usize = 32 << 20;

/// The record ids of the rows read so far, by their places in the source.
///
/// Memory: 32 MiB of texts, beyond which they move to an unnamed file, and 16 bytes for each
/// run of places read in the source's order (for each place, where the order is another).
#[derive(Debug)]
pub(crate) struct SeenTexts {
    table: StringTable,
    // Filled by the reader, read by whoever wants text; held for one look-up.
    runs: Mutex<std::collections::BTreeMap<u64, Run>>,
}

#[derive(Debug, Clone, Copy)]
struct Run {
    first: u64,
    length: u64,
}

impl SeenTexts {
    fn new(directory: &Path) -> Self {
        Self { table: StringTable::new(directory, TEXT_BYTES), runs: Mutex::default() }
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

impl RecordStrings for SeenTexts {
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
    fn texts_are_found_by_place_in_whatever_order_they_came() {
        let texts = SeenTexts::new(&std::env::temp_dir());
        let places = [5, 6, 7, 2, 3, 4, 5, 100, 1, 8, 6];
        for place in places {
            texts.keep(place, &format!("id={place}")).unwrap();
        }
        for place in places {
            assert_eq!(texts.text(place).unwrap(), format!("id={place}"));
        }
        assert_eq!(texts.table.len(), 9);
        for missing in [0, 9, 99, 101] {
            assert!(texts.text(missing).is_err());
        }
    }
}
