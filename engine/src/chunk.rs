//! The unit that travels on an edge: an Arrow record batch with column roles and provenance.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, UInt32Array, new_null_array};
use arrow::compute::{concat, interleave, take};
use arrow::datatypes::{DataType, Field, FieldRef, Schema};
use arrow::error::ArrowError;

use crate::bytes::chunk_bytes;
use crate::channel::Weigh;
use crate::index::At as _;
use crate::list_alignment::without_alignment;
use crate::provenance::{Origins, Provenance, ProvenanceColumn};
use crate::schema::{Role, StreamSchema, source_column};

/// Rows a chunk aims at.
pub const CHUNK_ROWS: usize = 8_192;

/// The columns that a reader gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Columns {
    /// Tags and packets.
    #[default]
    Data,
    /// The same, then `_tag_*` and `_source_*` columns.
    All,
}

/// Why a chunk could not be put together.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChunkError {
    /// Columns that do not agree with the schema or with each other.
    #[error("chunk of {rows} rows: column {column} has {found}, expected {expected}")]
    Shape {
        /// Rows of the chunk.
        rows: usize,
        /// The column at fault.
        column: String,
        /// The number found.
        found: String,
        /// The number expected.
        expected: String,
    },
    /// An Arrow kernel refused the data.
    #[error("chunk could not be made")]
    Arrow(#[from] ArrowError),
    /// A string of provenance could not be read.
    #[error("text of a record id could not be read back")]
    Strings(#[from] std::io::Error),
}

/// Some rows of a stream.
///
/// Shapes: every column has `rows` rows; tags, packets and provenance stand in the order of the
/// schema. Cloning copies no values.
#[derive(Debug, Clone)]
pub struct Chunk {
    schema: Arc<StreamSchema>,
    rows: usize,
    tags: Vec<ArrayRef>,
    packets: Vec<ArrayRef>,
    provenance: Provenance,
}

impl Weigh for Chunk {
    fn weight_bytes(&self) -> usize {
        chunk_bytes(self)
    }
}

impl Chunk {
    /// Puts columns together.
    ///
    /// Errors: a column whose type or length is not the schema's.
    pub fn new(
        schema: Arc<StreamSchema>,
        rows: usize,
        tags: Vec<ArrayRef>,
        packets: Vec<ArrayRef>,
        provenance: Provenance,
    ) -> Result<Self, ChunkError> {
        check(rows, schema.tags(), &tags, Role::Tag)?;
        check(rows, schema.packets(), &packets, Role::Packet)?;
        let depths = schema.system_tags().iter().map(|tag| tag.alignment().depth());
        check_provenance(rows, "system tags", depths, &provenance.tags)?;
        check_provenance(rows, "source info", schema.source_depths().iter().copied(), &provenance.sources)?;
        Ok(Self { schema, rows, tags, packets, provenance })
    }

    /// A chunk without rows.
    #[must_use]
    pub fn empty(schema: Arc<StreamSchema>) -> Self {
        Self::nulls(schema, 0)
    }

    /// Rows without values and without provenance.
    #[must_use]
    pub fn nulls(schema: Arc<StreamSchema>, rows: usize) -> Self {
        let columns =
            |fields: &[FieldRef]| fields.iter().map(|f| new_null_array(f.data_type(), rows)).collect();
        let lists = |depth: usize| ProvenanceColumn::null_lists(rows, depth);
        let provenance = Provenance {
            tags: schema.system_tags().iter().map(|tag| lists(tag.alignment().depth())).collect(),
            sources: schema.source_depths().iter().copied().map(lists).collect(),
        };
        let (tags, packets) = (columns(schema.tags()), columns(schema.packets()));
        Self { schema, rows, tags, packets, provenance }
    }

    /// The schema.
    #[must_use]
    pub fn schema(&self) -> &Arc<StreamSchema> {
        &self.schema
    }

    /// Number of rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The tag columns.
    #[must_use]
    pub fn tags(&self) -> &[ArrayRef] {
        &self.tags
    }

    /// The packet columns.
    #[must_use]
    pub fn packets(&self) -> &[ArrayRef] {
        &self.packets
    }

    /// The provenance columns.
    #[must_use]
    pub fn provenance(&self) -> &Provenance {
        &self.provenance
    }

    /// The visible column of that name.
    #[must_use]
    pub fn column(&self, name: &str) -> Option<&ArrayRef> {
        Some(match self.schema.find(name)? {
            (Role::Tag, at, _) => self.tags.at(at, "tag of the schema"),
            (Role::Packet, at, _) => self.packets.at(at, "packet column of the schema"),
        })
    }

    /// Takes the chunk apart: tags, packets, provenance.
    #[must_use]
    pub fn into_parts(self) -> (Vec<ArrayRef>, Vec<ArrayRef>, Provenance) {
        (self.tags, self.packets, self.provenance)
    }

    /// The named rows, in their order; a row may be named more than once.
    ///
    /// Errors: a row beyond the end.
    pub fn take(&self, rows: &[u32]) -> Result<Self, ChunkError> {
        let indices = UInt32Array::from(rows.to_vec());
        let pick = |columns: &[ArrayRef]| {
            columns.iter().map(|column| take(column, &indices, None)).collect::<Result<Vec<_>, _>>()
        };
        Ok(Self {
            schema: Arc::clone(&self.schema),
            rows: rows.len(),
            tags: pick(&self.tags)?,
            packets: pick(&self.packets)?,
            provenance: self.provenance.take(rows),
        })
    }

    /// At most `length` rows from `offset` on, without a copy.
    #[must_use]
    pub fn slice(&self, offset: usize, length: usize) -> Self {
        let offset = offset.min(self.rows);
        let length = length.min(self.rows - offset);
        let cut = |columns: &[ArrayRef]| columns.iter().map(|c| c.slice(offset, length)).collect();
        Self {
            schema: Arc::clone(&self.schema),
            rows: length,
            tags: cut(&self.tags),
            packets: cut(&self.packets),
            provenance: self.provenance.slice(offset, length),
        }
    }

    /// The rows of several chunks of one schema, one after the other.
    pub fn concat(schema: &Arc<StreamSchema>, chunks: &[Self]) -> Result<Self, ChunkError> {
        match chunks {
            [] => return Ok(Self::empty(Arc::clone(schema))),
            [only] => return Ok(only.clone()),
            _ => {}
        }
        let provenance: Vec<&Provenance> = chunks.iter().map(|c| &c.provenance).collect();
        Ok(Self {
            schema: Arc::clone(schema),
            rows: chunks.iter().map(|c| c.rows).sum(),
            tags: combine(chunks, |c| &c.tags, concat)?,
            packets: combine(chunks, |c| &c.packets, concat)?,
            provenance: Provenance::concat(&provenance),
        })
    }

    /// The rows named by pairs of a chunk and a row in it, in their order; all of one schema.
    ///
    /// Errors: a row or a chunk that is not there.
    pub fn interleave(
        schema: &Arc<StreamSchema>,
        chunks: &[Self],
        picks: &[(usize, usize)],
    ) -> Result<Self, ChunkError> {
        if chunks.is_empty() || picks.is_empty() {
            return Ok(Self::empty(Arc::clone(schema)));
        }
        let interleave = |parts: &[&dyn Array]| interleave(parts, picks);
        let provenance: Vec<&Provenance> = chunks.iter().map(|c| &c.provenance).collect();
        Ok(Self {
            schema: Arc::clone(schema),
            rows: picks.len(),
            tags: combine(chunks, |c| &c.tags, interleave)?,
            packets: combine(chunks, |c| &c.packets, interleave)?,
            provenance: Provenance::interleave(&provenance, picks),
        })
    }

    /// Bytes of memory behind the rows, buffers that columns share counted once per column.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let values: usize = self.tags.iter().chain(&self.packets).map(Array::get_array_memory_size).sum();
        values + self.provenance.bytes()
    }

    /// The rows as a plain record batch with the strings of provenance where they are wanted.
    ///
    /// Errors: a record id string that could not be read back from disk.
    pub fn to_batch(&self, columns: Columns, origins: &Origins) -> Result<RecordBatch, ChunkError> {
        let mut arrays: Vec<ArrayRef> = self.tags.iter().chain(&self.packets).cloned().collect();
        if columns == Columns::All {
            for column in &self.provenance.tags {
                let (sources, records) = origins.pairs(column)?;
                arrays.extend([sources, records]);
            }
            for column in &self.provenance.sources {
                arrays.push(origins.tokens(column)?);
            }
        }
        let options = RecordBatchOptions::new().with_row_count(Some(self.rows));
        let schema = Arc::new(arrow_schema(&self.schema, columns));
        Ok(RecordBatch::try_new_with_options(schema, arrays, &options)?)
    }
}

/// Makes one of the columns that stand in one place in all chunks, of which there is one at the least.
fn combine(
    chunks: &[Chunk],
    of: fn(&Chunk) -> &[ArrayRef],
    join: impl Fn(&[&dyn Array]) -> Result<ArrayRef, ArrowError>,
) -> Result<Vec<ArrayRef>, ArrowError> {
    let count = chunks.first().map_or(0, |chunk| of(chunk).len());
    let place = |at: usize| {
        let columns = chunks.iter().map(|chunk| of(chunk).at(at, "column of every chunk").as_ref());
        join(&columns.collect::<Vec<_>>())
    };
    (0..count).map(place).collect()
}

/// The schema of [`Chunk::to_batch`].
#[must_use]
pub fn arrow_schema(schema: &StreamSchema, columns: Columns) -> Schema {
    let mut fields: Vec<FieldRef> = schema.columns().map(without_alignment).collect();
    if columns == Columns::All {
        for tag in schema.system_tags() {
            let depth = tag.alignment().depth();
            fields.extend([texts(tag.source_column(), depth), texts(tag.record_column(), depth)]);
        }
        let packets = schema.packets().iter().zip(schema.source_depths());
        fields.extend(packets.map(|(field, depth)| texts(source_column(field.name()), *depth)));
    }
    Schema::new(fields)
}

/// A column of strings in lists of lists, so many deep.
fn texts(name: String, depth: usize) -> FieldRef {
    let item = |inner: DataType| DataType::List(Arc::new(Field::new("item", inner, true)));
    let data_type = (0..depth).fold(DataType::Utf8View, |inner, _| item(inner));
    Arc::new(Field::new(name, data_type, true))
}

fn check(rows: usize, fields: &[FieldRef], columns: &[ArrayRef], role: Role) -> Result<(), ChunkError> {
    let shape = |column: String, found: String, expected: String| {
        Err(ChunkError::Shape { rows, column, found, expected })
    };
    if fields.len() != columns.len() {
        let (found, expected) = (columns.len().to_string(), format!("{} columns", fields.len()));
        return shape(format!("group {role}"), found, expected);
    }
    for (field, column) in fields.iter().zip(columns) {
        let (found, expected) = (column.data_type(), field.data_type());
        if column.len() != rows {
            return shape(field.name().clone(), format!("{} rows", column.len()), format!("{rows} rows"));
        }
        if found != expected {
            return shape(field.name().clone(), found.to_string(), expected.to_string());
        }
    }
    Ok(())
}

fn check_provenance(
    rows: usize,
    group: &str,
    depths: impl ExactSizeIterator<Item = usize>,
    columns: &[ProvenanceColumn],
) -> Result<(), ChunkError> {
    let shape = |found: String, expected: String| {
        Err(ChunkError::Shape { rows, column: group.to_owned(), found, expected })
    };
    if columns.len() != depths.len() {
        return shape(format!("{} columns", columns.len()), format!("{} columns", depths.len()));
    }
    for (column, depth) in columns.iter().zip(depths) {
        if column.rows() != rows {
            return shape(format!("{} rows", column.rows()), format!("{rows} rows"));
        }
        if column.depth() != depth {
            return shape(format!("lists of depth {}", column.depth()), format!("lists of depth {depth}"));
        }
    }
    Ok(())
}
