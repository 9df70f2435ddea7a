//! Merge of the records of a history with the rows of its source.

use std::collections::BTreeSet;
use std::sync::Arc;

use anabranch_engine::chunk::Chunk;
use anabranch_engine::index::{At as _, fitting};
use anabranch_engine::operator::PartId;
use anabranch_engine::provenance::{Origins, ProvenanceColumn, RecordIds, StringTable};
use anabranch_engine::spill::{FileArea, Records, SpillArea as _};
use anabranch_engine::store::RecordLayout;
use anabranch_nodes::source::ProvenanceStamper;
use arrow::array::{Array, ArrayRef, StringViewArray};
use arrow::compute::interleave;
use arrow::datatypes::FieldRef;

use super::assign::{Assigning, NEW};
use super::{CumulativeError, Input, Parts};
use crate::store::block_on::block_on;
use crate::store::{History, HistoryRecorder, HistoryStep, RecordingReader};

/// Maximum number of buckets that the places of a history are divided into.
const BUCKETS: u64 = 256;
/// Minimum number of places of a bucket.
const LEAST_PLACES: u64 = 8_192;

/// Partitions rows that are versions of known records by the places of these.
pub(super) struct Scattering {
    history: Option<History>,
    places: Records<8>,
    buckets: Buckets,
    next: u64,
    row: u64,
}

/// Rows on disk by the place of their record.
struct Buckets {
    area: FileArea,
    used: BTreeSet<u64>,
    /// Places of each.
    size: u64,
}

impl Scattering {
    pub(super) fn new(parts: &Parts, assigning: Assigning) -> Self {
        let Assigning { history, places, .. } = assigning;
        let known = history.as_ref().map_or(0, |history| history.recording.rows);
        let size = known.div_ceil(BUCKETS).max(LEAST_PLACES);
        let buckets = Buckets { area: parts.area(), used: BTreeSet::new(), size };
        Self { history, places, buckets, next: 0, row: 0 }
    }

    /// Partitions the next chunk's rows; returns false when none is left.
    pub(super) fn step(&mut self, input: &mut Input) -> Result<bool, CumulativeError> {
        if self.history.is_none() {
            return Ok(false);
        }
        let Some(chunk) = input.chunk(self.next)? else { return Ok(false) };
        let places = self.places.read(self.row, chunk.rows())?;
        let mut rows: Vec<(u64, u32)> = Vec::new();
        for (row, place) in (0..).zip(&places) {
            let place = u64::from_le_bytes(*place);
            if place != NEW {
                rows.push((place / self.buckets.size, row));
            }
        }
        rows.sort_unstable();
        for group in rows.chunk_by(|a, b| a.0 == b.0) {
            let [(bucket, _), ..] = group else { panic!("a group of rows must not be empty") };
            let rows: Vec<u32> = group.iter().map(|(_, row)| *row).collect();
            self.buckets.area.put(PartId(*bucket), vec![chunk.take(&rows)?])?;
            self.buckets.used.insert(*bucket);
        }
        self.row += chunk.rows() as u64;
        self.next += 1;
        Ok(true)
    }
}

/// New versions of the records at some places.
struct Versions {
    bucket: u64,
    chunks: Vec<Chunk>,
    record_ids: Vec<StringViewArray>,
    /// For each place of the bucket the chunk and the row of its new version.
    picks: Vec<Option<(u32, u32)>>,
}

/// Writes the next recording of the history.
pub(super) struct Merging {
    known: Option<RecordingReader>,
    places: Records<8>,
    buckets: Buckets,
    versions: Option<Versions>,
    recorder: HistoryRecorder,
    stamp: ProvenanceStamper,
    strings: Arc<StringTable>,
    /// Place of the next record.
    place: u64,
    next: u64,
    row: u64,
}

impl Merging {
    pub(super) fn new(parts: &Parts, scattering: Scattering) -> Result<Self, CumulativeError> {
        let Scattering { history, places, buckets, .. } = scattering;
        let known = parts.open(history.as_ref())?;
        let step = HistoryStep {
            source_id: parts.source.source_id.to_string(),
            record_id: parts.source.record_id.clone(),
            base: history.map(|history| history.recording.id),
        };
        let strings = Arc::new(StringTable::new(parts.directory(), parts.memory_bytes / 2));
        let origins = Arc::new(Origins::default());
        let stamp = parts.source.stamp(&origins, &RecordIds::Strings(Arc::<StringTable>::clone(&strings)));
        let layout = RecordLayout { schema: Arc::clone(&parts.source.schema), ordered: true, function: None };
        let recorder = block_on(parts.store.inner().begin_history(parts.key.clone(), layout, origins, step))?;
        let (versions, place, next, row) = (None, 0, 0, 0);
        Ok(Self { known, places, buckets, versions, recorder, stamp, strings, place, next, row })
    }

    /// Writes some more; returns false when all is written.
    pub(super) fn step(&mut self, parts: &Parts, input: &mut Input) -> Result<bool, CumulativeError> {
        if let Some(mut rows) = self.known.take()
            && let Some(chunk) = rows.next().transpose()?
        {
            self.known_records(parts, input, &chunk, rows.origins())?;
            self.known = Some(rows);
            return Ok(true);
        }
        let Some(chunk) = input.chunk(self.next)? else { return Ok(false) };
        self.next += 1;
        self.new_records(parts, input, &chunk)?;
        Ok(true)
    }

    /// Makes the recording the newest of its history; none if another one has become that meanwhile.
    pub(super) fn complete(self) -> Result<Option<i64>, CumulativeError> {
        Ok(block_on(self.recorder.complete())?)
    }

    fn known_records(
        &mut self,
        parts: &Parts,
        input: &mut Input,
        chunk: &Chunk,
        origins: &Origins,
    ) -> Result<(), CumulativeError> {
        let record_ids = parts.record_ids(chunk, origins)?;
        let mut offset = 0;
        while offset < chunk.rows() {
            let bucket = self.place / self.buckets.size;
            let room = (bucket + 1) * self.buckets.size - self.place;
            let rows = usize::try_from(room).unwrap_or(usize::MAX).min(chunk.rows() - offset);
            self.load(parts, input, bucket)?;
            let record_ids = record_ids.slice(offset, rows);
            let picks = self.picks(parts, &record_ids)?;
            let piece = chunk.slice(offset, rows);
            let columns = |fields: &[FieldRef]| self.columns(parts, fields, &piece, &picks);
            let schema = &parts.source.schema;
            let (tags, packets) = (columns(schema.tags())?, columns(schema.packets())?);
            self.write(parts, tags, packets, &record_ids)?;
            offset += rows;
        }
        Ok(())
    }

    /// Reads the versions of a bucket.
    fn load(&mut self, parts: &Parts, input: &Input, bucket: u64) -> Result<(), CumulativeError> {
        if self.versions.as_ref().is_some_and(|versions| versions.bucket == bucket) {
            return Ok(());
        }
        let mut chunks = Vec::new();
        if self.buckets.used.remove(&bucket) {
            chunks = self.buckets.area.read(PartId(bucket))?;
            self.buckets.area.forget(PartId(bucket))?;
        }
        let first = bucket * self.buckets.size;
        let mut picks = vec![None; fitting(self.buckets.size, "size of a bucket")];
        let mut record_ids = Vec::with_capacity(chunks.len());
        for (number, chunk) in (0_u32..).zip(&chunks) {
            record_ids.push(parts.record_ids(chunk, &input.origins)?);
            for row in 0..fitting(chunk.rows(), "number of rows") {
                let place = self.place_of(chunk, row)?;
                let at: usize = fitting(place - first, "place of a bucket");
                *picks.at_mut(at, "place of a bucket") = Some((number, row));
            }
        }
        self.versions = Some(Versions { bucket, chunks, record_ids, picks });
        Ok(())
    }

    /// Returns the place of the record of a row that is a version of a known one.
    fn place_of(&mut self, chunk: &Chunk, row: u32) -> Result<u64, CumulativeError> {
        let [ProvenanceColumn::Flat(flat)] = chunk.provenance().tags.as_slice() else {
            panic!("rows of a source must have one system tag, which is not in lists");
        };
        // The position in a row's provenance is its place in the source.
        let in_source = fitting(flat.positions.get(row as usize), "position of a row of a source");
        match self.places.read(in_source, 1)?.as_slice() {
            [place] => Ok(u64::from_le_bytes(*place)),
            _ => panic!("row {in_source} of the source must have a place"),
        }
    }

    /// Returns the newest version of each of the next places: 0 is the known record, n + 1 is chunk n.
    fn picks(
        &self,
        parts: &Parts,
        record_ids: &StringViewArray,
    ) -> Result<Vec<(usize, usize)>, CumulativeError> {
        let mut picks = Vec::with_capacity(record_ids.len());
        let versions = self.versions();
        let first: usize = fitting(self.place % self.buckets.size, "place of a bucket");
        for row in 0..record_ids.len() {
            let Some((chunk, at)) = *versions.picks.at(first + row, "place of a bucket") else {
                picks.push((0, row));
                continue;
            };
            let (chunk, at) = (chunk as usize, at as usize);
            if versions.record_ids.at(chunk, "chunk of versions").value(at) != record_ids.value(row) {
                return Err(CumulativeError::Hash { source_id: parts.source.source_id.to_string() });
            }
            picks.push((chunk + 1, at));
        }
        Ok(picks)
    }

    fn versions(&self) -> &Versions {
        self.versions.as_ref().unwrap_or_else(|| panic!("the versions of a bucket must be loaded"))
    }

    /// Returns columns of known records, each value of its newest version.
    fn columns(
        &self,
        parts: &Parts,
        fields: &[FieldRef],
        known: &Chunk,
        picks: &[(usize, usize)],
    ) -> Result<Vec<ArrayRef>, CumulativeError> {
        let missing = || CumulativeError::NoRecordIds { source_id: parts.source.source_id.to_string() };
        let unchanged = picks.iter().all(|(chunk, _)| *chunk == 0);
        let column = |field: &FieldRef| {
            let known = known.column(field.name()).ok_or_else(missing)?;
            if unchanged {
                return Ok(Arc::clone(known));
            }
            let mut arrays: Vec<&dyn Array> = vec![known.as_ref()];
            for version in &self.versions().chunks {
                arrays.push(version.column(field.name()).ok_or_else(missing)?.as_ref());
            }
            Ok(interleave(&arrays, picks)?)
        };
        fields.iter().map(column).collect()
    }

    /// Writes the rows of the source that are the first of their records.
    fn new_records(&mut self, parts: &Parts, input: &Input, chunk: &Chunk) -> Result<(), CumulativeError> {
        let places = self.places.read(self.row, chunk.rows())?;
        self.row += chunk.rows() as u64;
        let new = (0_u32..).zip(&places).filter(|(_, place)| u64::from_le_bytes(**place) == NEW);
        let rows: Vec<u32> = new.map(|(row, _)| row).collect();
        if rows.is_empty() {
            return Ok(());
        }
        let chunk = chunk.take(&rows)?;
        let record_ids = parts.record_ids(&chunk, &input.origins)?;
        let (tags, packets, _) = chunk.into_parts();
        self.write(parts, tags, packets, &record_ids)
    }

    fn write(
        &mut self,
        parts: &Parts,
        tags: Vec<ArrayRef>,
        packets: Vec<ArrayRef>,
        record_ids: &StringViewArray,
    ) -> Result<(), CumulativeError> {
        let rows = record_ids.len();
        for record_id in record_ids.iter().flatten() {
            self.strings.push(record_id.to_owned())?;
        }
        let provenance = self.stamp.provenance(self.place, rows);
        let chunk = Chunk::new(Arc::clone(&parts.source.schema), rows, tags, packets, provenance)?;
        self.place += rows as u64;
        Ok(block_on(self.recorder.append(chunk))?)
    }
}
