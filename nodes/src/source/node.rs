//! A source in a pipeline: planned columns in their roles, then chunks with provenance.

use std::path::PathBuf;
use std::sync::Arc;

use anabranch_engine::chunk::{Chunk, ChunkError};
use anabranch_engine::identity::PipelineHash;
use anabranch_engine::provenance::{
    Origin, OriginId, Origins, Positions, Provenance, ProvenanceColumn, RecordIds,
};
use anabranch_engine::schema::{StreamSchema, SystemTag};
use anabranch_engine::types::{convert, logical_type};
use arrow::array::{Array as _, ArrayRef, RecordBatch};
use arrow::datatypes::{Field, FieldRef};
use arrow::error::ArrowError;

use super::error::SourceError;
use super::record_ids::RecordIdColumns;
use super::text::TextForm;
use super::{PlannedSource, Reader, SourceOptions};
use crate::metadata::{type_without_reserved, without_reserved};

/// A source's columns in their roles, known before its pipeline hash is.
#[derive(Debug, Clone)]
pub struct StreamColumns {
    tags: Vec<FieldRef>,
    packets: Vec<FieldRef>,
    tag_places: Vec<usize>,
    packet_places: Vec<usize>,
    record_places: Vec<usize>,
}

impl StreamColumns {
    /// Tags in the order in which the options list them; packets are the rest, in the source's
    /// order. Metadata that is the engine's own is left out, whoever put it there.
    ///
    /// Errors: an option that names no column, reserved or repeated names, a record id column
    /// that has no text form.
    pub fn new(options: &SourceOptions, columns: &[FieldRef]) -> Result<Self, SourceError> {
        find("types", options.types.keys(), columns)?;
        let tag_places = find("tags", &options.tags, columns)?;
        let record_places = find("record_id", &options.record_id, columns)?;
        check_record_ids(&record_places, columns)?;
        let packet_places: Vec<usize> = (0..columns.len()).filter(|at| !tag_places.contains(at)).collect();
        let fields = |places: &[usize]| {
            places.iter().filter_map(|at| columns.get(*at).map(without_reserved)).collect()
        };
        let (tags, packets): (Vec<FieldRef>, Vec<FieldRef>) = (fields(&tag_places), fields(&packet_places));
        StreamSchema::new(tags.clone(), packets.clone(), Vec::new())?;
        Ok(Self { tags, packets, tag_places, packet_places, record_places })
    }

    /// The tag columns.
    #[must_use]
    pub fn tags(&self) -> &[FieldRef] {
        &self.tags
    }

    /// The packet columns.
    #[must_use]
    pub fn packets(&self) -> &[FieldRef] {
        &self.packets
    }
}

/// The places of named columns.
fn find<'a>(
    option: &'static str,
    names: impl IntoIterator<Item = &'a String>,
    columns: &[FieldRef],
) -> Result<Vec<usize>, SourceError> {
    let place = |name: &String| {
        columns.iter().position(|f| f.name() == name).ok_or_else(|| SourceError::UnknownColumn {
            option,
            column: name.clone(),
            available: columns.iter().map(|f| f.name().clone()).collect(),
        })
    };
    names.into_iter().map(place).collect()
}

fn check_record_ids(places: &[usize], columns: &[FieldRef]) -> Result<(), SourceError> {
    for (at, place) in places.iter().enumerate() {
        let Some(field) = columns.get(*place) else { continue };
        let fault = |found: String, expected: &str| SourceError::Option {
            option: "record_id",
            found,
            expected: expected.to_owned(),
            remedy: "name other columns".to_owned(),
        };
        if places.iter().take(at).any(|earlier| earlier == place) {
            return Err(fault(format!("column \"{}\" twice", field.name()), "each column once"));
        }
        if !TextForm::exists_for(field.data_type()) {
            let found = format!("column \"{}\" of type {}", field.name(), logical_type(field.data_type()));
            return Err(fault(found, "columns of scalar types"));
        }
    }
    Ok(())
}

/// Where record ids go that do not fit into memory.
#[derive(Debug, Clone)]
pub struct Scratch {
    /// Folder of files without names, which vanish with the process.
    pub directory: PathBuf,
    /// Bytes of memory for record ids before that.
    pub memory_bytes: usize,
}

/// A source that knows its place in a pipeline.
pub struct SourceNode {
    planned: Box<dyn PlannedSource>,
    columns: StreamColumns,
    record_id: Vec<String>,
    schema: Arc<StreamSchema>,
    source_id: Arc<str>,
}

impl std::fmt::Debug for SourceNode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SourceNode")
            .field("source_id", &self.source_id)
            .field("schema", &self.schema)
            .finish_non_exhaustive()
    }
}

impl SourceNode {
    /// Puts a planned source into a pipeline. `node` is the node's name, `hash` its pipeline hash.
    pub fn new(
        planned: Box<dyn PlannedSource>,
        options: &SourceOptions,
        node: &str,
        hash: &PipelineHash,
    ) -> Result<Self, SourceError> {
        let columns = StreamColumns::new(options, planned.columns())?;
        let tag = SystemTag::of_source(&hash.short());
        let schema = StreamSchema::new(columns.tags.clone(), columns.packets.clone(), vec![tag])?;
        let source_id = options.source_id.as_deref().unwrap_or(node).into();
        let record_id = options.record_id.clone();
        Ok(Self { planned, columns, record_id, schema: Arc::new(schema), source_id })
    }

    /// The columns of the stream.
    #[must_use]
    pub fn schema(&self) -> &Arc<StreamSchema> {
        &self.schema
    }

    /// The source id.
    #[must_use]
    pub fn source_id(&self) -> &str {
        &self.source_id
    }

    /// The files that are read.
    #[must_use]
    pub fn files(&self) -> Vec<PathBuf> {
        self.planned.files()
    }

    /// Begins to read for one run, whose origin table is `origins`.
    pub fn start(
        &self,
        origins: &Origins,
        chunk_rows: usize,
        scratch: &Scratch,
    ) -> Result<ChunkReader, SourceError> {
        let places = &self.columns.record_places;
        let record_ids = (!places.is_empty()).then(|| RecordIdColumns::new(&self.record_id, places, scratch));
        let records = match &record_ids {
            Some(record_ids) => RecordIds::Texts(record_ids.texts()),
            None => RecordIds::Ordinal,
        };
        let source = || Arc::clone(&self.source_id);
        let tag = origins.add(Origin::Source { source: source(), records: records.clone() });
        let column = |field: &FieldRef| {
            let column = field.name().as_str().into();
            origins.add(Origin::Column { source: source(), records: records.clone(), column })
        };
        let packets = self.schema.packets().iter().map(column).collect();
        Ok(ChunkReader {
            reader: self.planned.open(chunk_rows)?,
            columns: self.columns.clone(),
            schema: Arc::clone(&self.schema),
            record_ids,
            tag,
            packets,
            rows: 0,
        })
    }
}

/// A source being read, as chunks with provenance.
pub struct ChunkReader {
    reader: Box<dyn Reader>,
    columns: StreamColumns,
    schema: Arc<StreamSchema>,
    record_ids: Option<RecordIdColumns>,
    tag: OriginId,
    packets: Vec<OriginId>,
    rows: u64,
}

impl std::fmt::Debug for ChunkReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ChunkReader").field("rows", &self.rows).finish_non_exhaustive()
    }
}

impl ChunkReader {
    /// The next rows; none at the end, which is said only once every record id is known to be
    /// unlike the others. Blocks.
    #[expect(clippy::should_implement_trait, reason = "an error ends it, as it does not end an iterator")]
    pub fn next(&mut self) -> Result<Option<Chunk>, SourceError> {
        while let Some(batch) = self.reader.next()? {
            if batch.num_rows() > 0 {
                return self.chunk(&batch).map(Some);
            }
        }
        if let Some(record_ids) = &mut self.record_ids {
            record_ids.finish()?;
        }
        Ok(None)
    }

    /// Rows read so far.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.rows
    }

    fn chunk(&mut self, batch: &RecordBatch) -> Result<Chunk, SourceError> {
        let rows = batch.num_rows();
        if let Some(record_ids) = &mut self.record_ids {
            record_ids.add(batch, self.rows)?;
        }
        let positions = Positions::range(self.rows, rows);
        let column = |id: &OriginId| ProvenanceColumn::constant(*id, positions.clone());
        let provenance =
            Provenance { tags: vec![column(&self.tag)], sources: self.packets.iter().map(column).collect() };
        let pick = |places: &[usize], fields: &[FieldRef]| -> Result<Vec<ArrayRef>, ChunkError> {
            let columns = places.iter().filter_map(|at| batch.columns().get(*at));
            columns.zip(fields).map(|(column, field)| Ok(typed(column, field)?)).collect()
        };
        let tags = pick(&self.columns.tag_places, self.schema.tags())?;
        let packets = pick(&self.columns.packet_places, self.schema.packets())?;
        let chunk: Result<Chunk, ChunkError> =
            Chunk::new(Arc::clone(&self.schema), rows, tags, packets, provenance);
        self.rows += rows as u64;
        Ok(chunk?)
    }
}

/// The column in its field's type, where only metadata that was left out tells them apart.
fn typed(column: &ArrayRef, field: &Field) -> Result<ArrayRef, ArrowError> {
    let (found, expected) = (column.data_type(), field.data_type());
    if found == expected || type_without_reserved(found) != *expected {
        return Ok(Arc::clone(column));
    }
    convert(column, expected)
}
