//! Comparison of source values in their present state with recorded ones.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use anabranch_engine::chunk::Chunk;
use anabranch_engine::identity::PacketHasher;
use anabranch_engine::index::At as _;
use anabranch_engine::provenance::Origins;
use anabranch_engine::stage::StageError;
use anabranch_nodes::source::{Scratch, SourceNode};
use arrow::array::{ArrayRef, AsArray as _};
use arrow::datatypes::{Field, FieldRef};
use serde::Serialize;
use serde_json::Value;

use super::{Call, Lineage, TracedRow};
use crate::graph::Pipeline;
use crate::replay::column_values;

/// Maximum number of bytes of record ids that a source keeps in memory.
const RECORD_ID_BYTES: usize = 64 << 20;

/// State of a source value compared with its recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SourceState {
    /// The value is unchanged.
    Same,
    /// The value has changed.
    Changed,
    /// The value belongs to a packet that has changed, through this or another of its values.
    MaybeChanged,
    /// The value can be read, but none was recorded to compare it with.
    Readable,
    /// The source has no such record or column any more.
    Gone,
    /// There is no such source, or it cannot be read.
    Unreadable,
}

/// A source value in its present state.
#[derive(Debug, Clone, Serialize)]
pub struct SourceValue {
    /// The source's id.
    pub source: String,
    /// The record's id.
    pub record: String,
    /// The column.
    pub column: String,
    /// The present value, if it can be read.
    pub value: Option<Value>,
    /// State compared with the recording.
    pub state: SourceState,
}

/// Rows of sources, each a chunk of one row.
#[derive(Default)]
struct FoundRows {
    rows: HashMap<(String, String), Chunk>,
    unreadable: BTreeSet<String>,
}

type Token<'a> = (&'a str, &'a str, &'a str);

impl Pipeline {
    /// Reads the present source values that traced rows are made from, and compares each with the recorded one. Reads each
    /// source once, up to the last wanted row.
    ///
    /// Memory: the source rows that are wanted.
    #[must_use]
    pub fn source_values(&self, rows: &[TracedRow]) -> Vec<SourceValue> {
        let wanted: BTreeSet<Token<'_>> = rows.iter().flat_map(TracedRow::source_values).collect();
        let found = self.read_wanted(&wanted);
        let states = states(rows, &found);
        wanted.into_iter().map(|token| now(token, &found, &states)).collect()
    }

    fn read_wanted(&self, wanted: &BTreeSet<Token<'_>>) -> FoundRows {
        let mut by_source: BTreeMap<&str, HashSet<String>> = BTreeMap::new();
        for (source, record, _) in wanted {
            by_source.entry(source).or_default().insert((*record).to_owned());
        }
        let mut found = FoundRows::default();
        for (id, records) in by_source {
            let sources = self.nodes().filter_map(|node| node.work.as_source());
            let mut sources = sources.filter(|source| *source.source_id == *id);
            let is_read = match (sources.next(), sources.next()) {
                (Some(source), None) => read(source, records, &mut found.rows).is_ok(),
                // An id that two sources share is ambiguous.
                _ => false,
            };
            if !is_read {
                found.unreadable.insert(id.to_owned());
            }
        }
        found
    }
}

/// Reads the named records of a source.
fn read(
    source: &SourceNode,
    mut records: HashSet<String>,
    rows: &mut HashMap<(String, String), Chunk>,
) -> Result<(), StageError> {
    let origins = Origins::default();
    let scratch = Scratch { directory: std::env::temp_dir(), memory_bytes: RECORD_ID_BYTES };
    let mut reader = source.start(&origins, anabranch_engine::chunk::CHUNK_ROWS, &scratch)?;
    while !records.is_empty() {
        let Some(chunk) = reader.next()? else { break };
        let (_, record_ids) = origins.pairs(chunk.provenance().tags.at(0, "system tag"))?;
        for (row, record_id) in (0..).zip(record_ids.as_string_view()) {
            if let Some(record_id) = record_id.filter(|record_id| records.remove(*record_id)) {
                rows.insert((source.source_id.to_string(), record_id.to_owned()), chunk.take(&[row])?);
            }
        }
    }
    Ok(())
}

impl FoundRows {
    /// Returns a value as an array of one row, with its field.
    fn cell(&self, (source, record, column): Token<'_>) -> Option<(FieldRef, ArrayRef)> {
        let chunk = self.rows.get(&(source.to_owned(), record.to_owned()))?;
        let (_, _, field) = chunk.schema().find(column)?;
        Some((Arc::clone(field), Arc::clone(chunk.column(column)?)))
    }

    fn value(&self, token: Token<'_>) -> Option<Value> {
        let (field, array) = self.cell(token)?;
        let name = field.name().clone();
        column_values(&[field], &[array], 1).ok()?.pop()?.remove(&name)
    }
}

fn now(token: Token<'_>, found: &FoundRows, states: &HashMap<Token<'_>, SourceState>) -> SourceValue {
    let value = found.value(token);
    let state = match (&value, states.get(&token)) {
        _ if found.unreadable.contains(token.0) => SourceState::Unreadable,
        (None, _) => SourceState::Gone,
        (Some(_), Some(state)) => *state,
        (Some(_), None) => SourceState::Readable,
    };
    let (source, record, column) = (token.0.to_owned(), token.1.to_owned(), token.2.to_owned());
    SourceValue { source, record, column, value, state }
}

/// Returns the state of each source value that can be compared: kept values are compared, packets are hashed again.
fn states<'a>(rows: &'a [TracedRow], found: &FoundRows) -> HashMap<Token<'a>, SourceState> {
    let mut states: HashMap<Token<'a>, SourceState> = HashMap::new();
    // Packets come first: a kept value is more exact and replaces their state.
    for (row, call) in rows.iter().flat_map(|row| row.calls.iter().map(move |call| (row, call))) {
        let Some(same) = packet_is_same(row, call, found) else { continue };
        for (_, from) in call.inputs.iter().flatten() {
            if let Some(token) = token(from) {
                let state = if same { SourceState::Same } else { SourceState::MaybeChanged };
                let known = states.entry(token).or_insert(state);
                // An unchanged packet proves that all its values are unchanged.
                if same {
                    *known = state;
                }
            }
        }
    }
    for row in rows {
        for (column, from) in &row.columns {
            let (Some(token), Some(recorded)) = (token(from), row.values.get(column)) else { continue };
            let Some(value) = found.value(token) else { continue };
            let state = if value == *recorded { SourceState::Same } else { SourceState::Changed };
            states.insert(token, state);
        }
    }
    states
}

fn token(from: &Lineage) -> Option<Token<'_>> {
    match from {
        Lineage::Value { source, record, column } => Some((source, record, column)),
        _ => None,
    }
}

/// Returns true if the packet that a call took is the same now; none if that is unknown.
fn packet_is_same(row: &TracedRow, call: &Call, found: &FoundRows) -> Option<bool> {
    let (mut fields, mut columns): (Vec<FieldRef>, Vec<ArrayRef>) = (Vec::new(), Vec::new());
    for (name, from) in call.inputs.as_ref()? {
        let (field, array) = match from {
            Lineage::Value { source, record, column } => found.cell((source, record, column))?,
            Lineage::Output { call, output } => {
                let chunk = row.calls.get(*call)?.values.as_ref()?;
                let (_, _, field) = chunk.schema().find(output)?;
                (Arc::clone(field), Arc::clone(chunk.column(output)?))
            }
            _ => return None,
        };
        fields.push(
            Field::new(name, field.data_type().clone(), true).with_metadata(field.metadata().clone()).into(),
        );
        columns.push(array);
    }
    let hashes = PacketHasher::new(&fields).ok()?.hash(&columns, 1).ok()?;
    Some(hashes.first().copied() == call.packet)
}
