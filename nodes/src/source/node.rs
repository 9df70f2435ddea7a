//! A source in a pipeline: planned columns in their roles, then chunks with provenance.

use std::path::PathBuf;
use std::sync::Arc;

use anabranch_engine::chunk::{Chunk, ChunkError};
use anabranch_engine::identity::PipelineHash;
use anabranch_engine::index::At as _;
use anabranch_engine::provenance::{
    Origin, OriginId, Origins, Positions, Provenance, ProvenanceColumn, RecordIds, StringTable,
};
use anabranch_engine::schema::{StreamSchema, SystemTag};
use anabranch_engine::types::{convert, logical_type};
use arrow::array::{Array as _, ArrayRef, RecordBatch};
use arrow::datatypes::{Field, FieldRef};
use arrow::error::ArrowError;

use super::error::SourceError;
use super::options::places;
use super::record_ids::RecordIdColumns;
use super::text::TextForm;
use super::{PlannedSource, Reader, SourceOptions, Upstream};
use crate::metadata::{type_without_reserved, without_reserved};

/// A source's columns in their roles, known before its pipeline hash is.
#[derive(Debug, Clone)]
pub struct StreamColumns {
    /// The tag columns.
    pub tags: Vec<FieldRef>,
    /// The packet columns.
    pub packets: Vec<FieldRef>,
    tag_places: Vec<usize>,
    packet_places: Vec<usize>,
    record_places: Vec<usize>,
}

impl StreamColumns {
    /// Tags in the order in which the options list them; packets are the rest, in the source's
    /// order. Metadata that is the engine's own is left out, whatever its origin.
    ///
    /// Errors: an option that names no column, reserved or repeated names, a record id column
    /// that has no text form.
    pub fn new(options: &SourceOptions, columns: &[FieldRef]) -> Result<Self, SourceError> {
        let names: Vec<String> = columns.iter().map(|column| column.name().clone()).collect();
        places("types", options.types.keys(), &names)?;
        let tag_places = places("tags", &options.tags, &names)?;
        let record_places = places("record_id", &options.record_id, &names)?;
        check_record_ids(&record_places, columns)?;
        let packet_places: Vec<usize> = (0..columns.len()).filter(|at| !tag_places.contains(at)).collect();
        let fields = |places: &[usize]| {
            places.iter().map(|place| without_reserved(columns.at(*place, PLACE))).collect()
        };
        let (tags, packets): (Vec<FieldRef>, Vec<FieldRef>) = (fields(&tag_places), fields(&packet_places));
        // A record that vanished may have nulls where those that are left have none.
        let (tags, packets) =
            if options.cumulative { (nullable(tags), nullable(packets)) } else { (tags, packets) };
        StreamSchema::new(tags.clone(), packets.clone(), Vec::new())?;
        check_cumulative(options)?;
        Ok(Self { tags, packets, tag_places, packet_places, record_places })
    }
}

fn nullable(fields: Vec<FieldRef>) -> Vec<FieldRef> {
    let field = |field: FieldRef| {
        if field.is_nullable() { field } else { Arc::new(Field::clone(&field).with_nullable(true)) }
    };
    fields.into_iter().map(field).collect()
}

/// Later runs have to find again what is kept for them.
fn check_cumulative(options: &SourceOptions) -> Result<(), SourceError> {
    let missing = |option: &'static str, expected: &str, remedy: &str| {
        Err(SourceError::option(option, "none beside a cumulative source", expected, remedy))
    };
    if options.cumulative && options.record_id.is_empty() {
        let expected = "the columns that tell its records apart";
        return missing("record_id", expected, "name them, as in `record_id: [id]`");
    }
    if options.cumulative && options.source_id.is_none() {
        let expected = "the name under which its records are kept";
        return missing("source_id", expected, "give one that no other source of the store has");
    }
    Ok(())
}

/// Invariant of the places of tags, packets and record ids.
const PLACE: &str = "a place is that of a column of the source";

fn check_record_ids(places: &[usize], columns: &[FieldRef]) -> Result<(), SourceError> {
    for (number, place) in places.iter().enumerate() {
        let field = columns.at(*place, PLACE);
        let fault = |found: String, expected: &str| {
            SourceError::option("record_id", found, expected, "name other columns")
        };
        if places.iter().take(number).any(|earlier| earlier == place) {
            return Err(fault(format!("column \"{}\" twice", field.name()), "each column once"));
        }
        if !TextForm::exists_for(field.data_type()) {
            let found = format!("column \"{}\" of type {}", field.name(), logical_type(field.data_type()));
            return Err(fault(found, "columns of scalar types"));
        }
    }
    Ok(())
}

/// Directory of record ids that do not fit into memory.
#[derive(Debug, Clone)]
pub struct Scratch {
    /// Folder of files without names, which vanish with the process.
    pub directory: PathBuf,
    /// Bytes of memory for record ids before that.
    pub memory_bytes: usize,
}

/// A source that knows its place in a pipeline.
pub struct SourceNode {
    /// The source itself.
    pub planned: Box<dyn PlannedSource>,
    columns: StreamColumns,
    /// The columns that make the record id.
    pub record_id: Vec<String>,
    /// True if its stream is the newest version of every record ever read.
    pub cumulative: bool,
    /// The columns of the stream.
    pub schema: Arc<StreamSchema>,
    /// The source id.
    pub source_id: Arc<str>,
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
        let cumulative = options.cumulative;
        Ok(Self { planned, columns, record_id, cumulative, schema: Arc::new(schema), source_id })
    }

    /// Begins to read for one run, whose origin table is `origins`: what is there now, also of a
    /// cumulative source.
    pub fn start(
        &self,
        origins: &Origins,
        chunk_rows: usize,
        scratch: &Scratch,
    ) -> Result<ChunkReader, SourceError> {
        let places = &self.columns.record_places;
        let (record_ids, records) = if self.planned.has_record_ids() {
            let texts = Arc::new(StringTable::new(&scratch.directory, scratch.memory_bytes / 2));
            (RecordIdSource::Given(Arc::clone(&texts)), RecordIds::Strings(texts))
        } else if places.is_empty() {
            (RecordIdSource::None, RecordIds::Ordinal)
        } else {
            let columns = RecordIdColumns::new(&self.record_id, places, scratch);
            let texts = columns.texts();
            (RecordIdSource::Columns(Box::new(columns)), RecordIds::Strings(texts))
        };
        Ok(ChunkReader {
            reader: self.planned.open_in(chunk_rows, scratch)?,
            columns: self.columns.clone(),
            schema: Arc::clone(&self.schema),
            record_ids,
            stamp: self.stamp(origins, &records),
            rows: 0,
            directory: scratch.directory.clone(),
        })
    }

    /// The stamper that gives rows of this source their provenance, by their positions in `records`.
    pub fn stamp(&self, origins: &Origins, records: &RecordIds) -> ProvenanceStamper {
        let source = || Arc::clone(&self.source_id);
        let tag = origins.add(Origin::Source { source: source(), records: records.clone() });
        let column = |field: &FieldRef| {
            let column = field.name().as_str().into();
            origins.add(Origin::Column { source: source(), records: records.clone(), column })
        };
        ProvenanceStamper { tag, packets: self.schema.packets().iter().map(column).collect() }
    }
}

/// Returns rows of a source their provenance.
#[derive(Debug)]
pub struct ProvenanceStamper {
    tag: OriginId,
    packets: Vec<OriginId>,
}

impl ProvenanceStamper {
    /// The provenance of rows at the positions from `first` on.
    #[must_use]
    pub fn provenance(&self, first: u64, rows: usize) -> Provenance {
        let positions = Positions::range(first, rows);
        let column = |id: &OriginId| ProvenanceColumn::constant(*id, positions.clone());
        Provenance { tags: vec![column(&self.tag)], sources: self.packets.iter().map(column).collect() }
    }
}

/// Source of record ids that are more than positions.
enum RecordIdSource {
    None,
    Columns(Box<RecordIdColumns>),
    /// From the reader.
    Given(Arc<StringTable>),
}

/// A source being read, as chunks with provenance.
pub struct ChunkReader {
    reader: Box<dyn Reader>,
    columns: StreamColumns,
    schema: Arc<StreamSchema>,
    record_ids: RecordIdSource,
    stamp: ProvenanceStamper,
    /// Rows read so far.
    pub rows: u64,
    directory: PathBuf,
}

impl std::fmt::Debug for ChunkReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ChunkReader").field("rows", &self.rows).finish_non_exhaustive()
    }
}

impl ChunkReader {
    /// The next rows; none at the end, which is returned only once every record id is known to be
    /// unlike the others. A chunk without rows means that more is to be done. Blocks.
    #[expect(clippy::should_implement_trait, reason = "an error ends it, as it does not end an iterator")]
    pub fn next(&mut self) -> Result<Option<Chunk>, SourceError> {
        if let Some(batch) = self.reader.next()? {
            if batch.num_rows() == 0 {
                return Ok(Some(Chunk::empty(Arc::clone(&self.schema))));
            }
            return self.chunk(&batch).map(Some);
        }
        if let RecordIdSource::Columns(record_ids) = &mut self.record_ids {
            record_ids.finish()?;
        }
        Ok(None)
    }

    /// The recording that is read, where it is one.
    #[must_use]
    pub fn upstream(&self) -> Option<Upstream> {
        self.reader.upstream()
    }

    fn chunk(&mut self, batch: &RecordBatch) -> Result<Chunk, SourceError> {
        let rows = batch.num_rows();
        match &mut self.record_ids {
            RecordIdSource::None => {}
            RecordIdSource::Columns(record_ids) => record_ids.add(batch, self.rows)?,
            RecordIdSource::Given(texts) => {
                let failed =
                    |cause| SourceError::RecordIds { directory: self.directory.display().to_string(), cause };
                let given = self.reader.record_ids();
                if given.len() != rows {
                    return Err(failed(std::io::Error::other("the source gave no record id for each row")));
                }
                given.into_iter().try_for_each(|text| texts.push(text)).map_err(failed)?;
            }
        }
        let provenance = self.stamp.provenance(self.rows, rows);
        let pick = |places: &[usize], fields: &[FieldRef]| -> Result<Vec<ArrayRef>, ChunkError> {
            let columns = places.iter().map(|place| batch.columns().at(*place, PLACE));
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

/// The column in its field's type, where they differ only in metadata that was left out.
fn typed(column: &ArrayRef, field: &Field) -> Result<ArrayRef, ArrowError> {
    let (found, expected) = (column.data_type(), field.data_type());
    if found == expected || type_without_reserved(found) != *expected {
        return Ok(Arc::clone(column));
    }
    convert(column, expected)
}
