//! Lineage of recorded rows: back to source rows, through every function call between.
//!
//! A value's position leads to its source row, or to the row of a function node's recording that has the value as an
//! output. That row holds the provenance of the packet. So lineage is read from the store alone, one row after the
//! other, through any number of functions of functions:
//!
//! ```text
//! row 17 of "score"
//!   score  <- call 0: score, recording 9, row 17
//!               mph    <- call 1: speed, recording 8, row 40
//!                           distance  <- flights::row_52::distance
//!                           air_time  <- flights::row_52::air_time
//!               seats  <- planes::tailnum=N14228::seats
//! ```

mod derived;
mod report;
mod sources;

use std::collections::HashMap;
use std::sync::Arc;

use anabranch_engine::chunk::{Chunk, ChunkError};
use anabranch_engine::identity::ResultKey;
use anabranch_engine::index::{At as _, fitting};
use anabranch_engine::provenance::{
    FlatColumn, Origin, OriginId, Origins, ProvenanceColumn, output_key, output_row,
};
use anabranch_engine::schema::StreamSchema;
use anabranch_engine::store::{Cause, ReadError, StoreFault, StoreProblem};
use arrow::array::ArrayRef;
use arrow::datatypes::FieldRef;

use self::derived::{Derivations, SeenRecords};
use crate::replay::{ReplayError, Which};
use crate::replay::{RowValues, column_values};
use crate::store::{RecordingInfo, RecordingReader, Store, TracedRows};

pub use report::{Call, Lineage, TracedRow, Upstream};
pub use sources::{SourceState, SourceValue};

/// Number of blocks of recordings that are kept in memory.
const BLOCKS: usize = 16;
/// Maximum number of calls in the lineage of one row.
const MOST_CALLS: usize = 10_000;
/// Maximum number of items of lists in the lineage of one row.
const MOST_ITEMS: usize = 10_000;

impl Store {
    /// Opens a tracer, which follows the rows that a run recorded at a node back to their origins. It needs neither the
    /// pipeline nor its sources.
    pub fn trace(&self, pipeline: &str, node: &str, which: &Which) -> Result<Tracer, ReplayError> {
        let replay = self.replay_named(pipeline, node, which)?;
        Ok(Tracer::new(self.clone(), replay.newest().clone(), 0)?)
    }
}

/// Follows rows of a recording back.
///
/// Memory: 16 blocks of recordings, and the lineage of one row: at most 10,000 calls and as many
/// items of lists.
#[derive(Debug)]
pub struct Tracer {
    store: Store,
    origins: Arc<Origins>,
    recording: u64,
    info: RecordingInfo,
    /// Recordings that were opened; none where one no longer exists.
    readers: HashMap<u64, Option<RecordingReader>>,
    /// The blocks used last, the latest at the end.
    blocks: Vec<(u64, Arc<TracedRows>)>,
    derivations: Derivations,
}

/// The lineage of one row as far as it was followed.
#[derive(Default)]
struct Following {
    calls: Vec<Call>,
    known: HashMap<CallKey, usize>,
    /// Recording, row and key of each call.
    places: Vec<Option<(u64, u64, u128)>>,
    items: usize,
    records: SeenRecords,
}

/// Identity of a call, by which its outputs are grouped: its recorded row, else function and key.
#[derive(PartialEq, Eq, Hash)]
enum CallKey {
    Row(u64, u64),
    Result(String, String, u128),
}

impl Tracer {
    /// Creates a tracer of a recording that was reached through `depth` derived sources.
    fn new(store: Store, info: RecordingInfo, depth: usize) -> Result<Self, ReadError> {
        let mut tracer = Self {
            store,
            origins: Arc::default(),
            recording: info.id.unsigned_abs(),
            info,
            readers: HashMap::new(),
            blocks: Vec::new(),
            derivations: Derivations::new(depth),
        };
        tracer.open(tracer.recording)?;
        Ok(tracer)
    }

    /// Returns the recording that is traced.
    #[must_use]
    pub fn recording(&self) -> &RecordingInfo {
        &self.info
    }

    /// Returns the columns of its rows.
    #[must_use]
    pub fn schema(&self) -> &Arc<StreamSchema> {
        &self.info.schema
    }

    /// Returns the origin table that the rows' provenance refers to.
    #[must_use]
    pub fn origins(&self) -> &Arc<Origins> {
        &self.origins
    }

    /// Returns the rows from one on, as far as they lie in one block; none at the end.
    pub fn chunk(&mut self, from: u64) -> Result<Option<Chunk>, ReadError> {
        let Some(block) = self.block(self.recording, from)? else { return Ok(None) };
        Ok(Some(block.chunk.slice(fitting(from - block.first, "row of a block"), usize::MAX)))
    }

    /// Returns the lineage of a row; none beyond the last one.
    pub fn row(&mut self, number: u64) -> Result<Option<TracedRow>, ReadError> {
        let Some(block) = self.block(self.recording, number)? else { return Ok(None) };
        let row = fitting(number - block.first, "row of a block");
        let mut following = Following::default();
        let provenance = block.chunk.provenance();
        let mut records = Vec::with_capacity(provenance.tags.len());
        for column in &provenance.tags {
            records.push(self.lineage(column, row, &mut following)?);
        }
        let mut columns = Vec::with_capacity(provenance.sources.len());
        for (field, column) in block.chunk.schema().packets().iter().zip(&provenance.sources) {
            columns.push((field.name().clone(), self.lineage(column, row, &mut following)?));
        }
        let mut next = 0;
        while next < following.calls.len().min(MOST_CALLS) {
            self.follow(next, &mut following)?;
            next += 1;
        }
        let part = block.chunk.slice(row, 1);
        let tags = only_row(part.schema().tags(), part.tags())?;
        let values = only_row(part.schema().packets(), part.packets())?;
        let calls = following.calls;
        let runs =
            std::iter::once(self.info.run.as_str()).chain(calls.iter().filter_map(|c| c.run.as_deref()));
        let upstream = self.derivations.rows(&self.store, runs, &following.records)?;
        Ok(Some(TracedRow { number, tags, values, records, columns, calls, upstream }))
    }

    /// Follows a call to the origins of its packet.
    fn follow(&mut self, at: usize, following: &mut Following) -> Result<(), ReadError> {
        let Some((recording, number, key)) = *following.places.at(at, "call") else { return Ok(()) };
        let Some(block) = self.block(recording, number)? else { return Ok(()) };
        let row = fitting(number - block.first, "row of a block");
        let Some((info, function)) = self.opened(recording) else { return Ok(()) };
        let packet = *block.packets.at(row, "packet of a block");
        if ResultKey::of(&function, &packet).short() != key {
            return Ok(());
        }
        let mut inputs = Vec::with_capacity(block.taken.len());
        for (name, column) in &block.taken {
            inputs.push((name.clone(), self.lineage(column, row, following)?));
        }
        let part = block.chunk.slice(row, 1);
        let mut outputs = only_row(part.schema().packets(), part.packets())?;
        let given = part.schema().packets().iter().zip(&part.provenance().sources);
        for (field, _) in given.filter(|(_, source)| !self.is_output_of(source, recording)) {
            outputs.remove(field.name());
        }
        let call = following.calls.at_mut(at, "call");
        call.node = Some(info.node);
        call.run = Some(info.run);
        call.recorded_ms = Some(info.completed_ms);
        call.packet = Some(packet);
        call.inputs = (!inputs.is_empty()).then_some(inputs);
        call.outputs = outputs;
        call.values = Some(part);
        Ok(())
    }

    fn is_output_of(&self, source: &ProvenanceColumn, number: u64) -> bool {
        let origin = source.flat().and_then(|flat| self.origins.get(flat.origins.first()));
        matches!(origin, Some(Origin::Output { recording: Some(recording), .. }) if recording == number)
    }

    fn lineage(
        &self,
        column: &ProvenanceColumn,
        row: usize,
        following: &mut Following,
    ) -> Result<Lineage, ReadError> {
        let lists = match column {
            ProvenanceColumn::Flat(flat) => return self.cell(flat, row, following),
            ProvenanceColumn::Lists(lists) if lists.is_null(row) => return Ok(Lineage::Nothing),
            ProvenanceColumn::Lists(lists) => lists,
        };
        let range = lists.range(row);
        let room = range.len().min(MOST_ITEMS.saturating_sub(following.items));
        following.items += room;
        let more = range.len() - room;
        let mut items = Vec::with_capacity(room);
        for item in range.take(room) {
            items.push(self.lineage(&lists.items, item, following)?);
        }
        if more > 0 {
            items.push(Lineage::More { more: more as u64 });
        }
        Ok(Lineage::List(items))
    }

    fn cell(&self, flat: &FlatColumn, row: usize, following: &mut Following) -> Result<Lineage, ReadError> {
        let id = flat.origins.get(row);
        let origin = if id == OriginId::NULL { None } else { self.origins.get(id) };
        let position = flat.positions.get(row);
        Ok(match origin {
            None => Lineage::Nothing,
            Some(Origin::Source { source, records }) => {
                let record = records.text(position).map_err(unread)?;
                following.records.add(&source, position, &record);
                Lineage::Record { source: source.to_string(), record }
            }
            Some(Origin::Column { source, records, column }) => {
                let record = records.text(position).map_err(unread)?;
                following.records.add(&source, position, &record);
                Lineage::Value { source: source.to_string(), record, column: column.to_string() }
            }
            Some(Origin::Output { function, fingerprint, output, recording }) => {
                let place = recording.zip(output_row(position));
                let call = following.call(&function, &fingerprint, output_key(position), place);
                Lineage::Output { call, output: output.to_string() }
            }
        })
    }

    fn opened(&self, recording: u64) -> Option<(RecordingInfo, anabranch_engine::identity::Fingerprint)> {
        let reader = self.readers.get(&recording)?.as_ref()?;
        let (_, fingerprint) = reader.function()?;
        Some((reader.info().clone(), fingerprint.clone()))
    }

    fn open(&mut self, recording: u64) -> Result<(), ReadError> {
        if !self.readers.contains_key(&recording) {
            let store = self.store.inner();
            let reader = match store.recording(recording)? {
                Some(info) => Some(store.open_recording_into(&info, Arc::clone(&self.origins))?),
                None => None,
            };
            self.readers.insert(recording, reader);
        }
        Ok(())
    }

    /// Returns the block of a recording in which a row lies.
    fn block(&mut self, recording: u64, row: u64) -> Result<Option<Arc<TracedRows>>, ReadError> {
        let holds = |(number, block): &(u64, Arc<TracedRows>)| {
            *number == recording && row >= block.first && row - block.first < block.chunk.rows() as u64
        };
        if let Some(at) = self.blocks.iter().position(holds) {
            let found = self.blocks.remove(at);
            let block = Arc::clone(&found.1);
            self.blocks.push(found);
            return Ok(Some(block));
        }
        self.open(recording)?;
        let Some(reader) = self.readers.get(&recording).and_then(Option::as_ref) else { return Ok(None) };
        let Some(block) = reader.traced(row)?.map(Arc::new) else { return Ok(None) };
        if self.blocks.len() >= BLOCKS {
            self.blocks.remove(0);
        }
        self.blocks.push((recording, Arc::clone(&block)));
        Ok(Some(block))
    }
}

impl Following {
    /// Returns the number of a call, which is added if it is new.
    fn call(&mut self, function: &str, fingerprint: &str, key: u128, place: Option<(u64, u64)>) -> usize {
        let known = match place {
            Some((recording, row)) => CallKey::Row(recording, row),
            None => CallKey::Result(function.to_owned(), fingerprint.to_owned(), key),
        };
        let next = self.calls.len();
        let call = *self.known.entry(known).or_insert(next);
        if call == next {
            self.calls.push(Call {
                function: function.to_owned(),
                fingerprint: fingerprint.to_owned(),
                key: format!("{key:020x}"),
                node: None,
                run: None,
                recorded_ms: None,
                row: place.map(|(_, row)| row),
                packet: None,
                inputs: None,
                outputs: RowValues::new(),
                values: None,
            });
            self.places.push(place.map(|(recording, row)| (recording, row, key)));
        }
        call
    }
}

/// Returns the values of the only row of some columns.
fn only_row(fields: &[FieldRef], columns: &[ArrayRef]) -> Result<RowValues, ReadError> {
    let rows = column_values(fields, columns, 1).map_err(|e| unread(ChunkError::from(e)))?;
    Ok(rows.into_iter().next().unwrap_or_else(|| panic!("a traced row must have values")))
}

fn unread(cause: impl Into<Cause>) -> ReadError {
    StoreFault::because(StoreProblem::Refused("a recorded row cannot be shown".to_owned()), cause).into()
}
