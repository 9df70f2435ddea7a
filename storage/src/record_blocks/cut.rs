//! Cuts a sequence of rows into blocks, at places that depend on the rows alone.

use std::sync::Arc;

use anabranch_engine::chunk::{Chunk, ChunkError};
use anabranch_engine::compact::compact;
use anabranch_engine::index::At as _;
use anabranch_engine::provenance::Provenance;
use anabranch_engine::schema::StreamSchema;
use anabranch_engine::store::InputLineage;
use arrow::array::{Array as _, ArrayRef, new_null_array};

use crate::block::exact::value_bytes;
use crate::block::{BLOCK_BYTES, BLOCK_ROWS};
use crate::record_blocks::list_bytes;
use crate::results::result_ref::ResultRef;

/// Rows that make a block.
#[derive(Debug)]
pub(crate) struct BlockRows {
    pub(crate) chunk: Chunk,
    pub(crate) references: Vec<ResultRef>,
    /// Source info of the columns that a function took; without columns for other nodes.
    pub(crate) taken: InputLineage,
}

/// Gathers rows until they fill a block: the longest run of at most 8,192 rows and 16 MiB, one
/// row at least.
///
/// Memory: the rows of one block, without columns that are not kept, and what theirs share with others as far
/// as that is not much more.
#[derive(Debug)]
pub(crate) struct Cutter {
    schema: Arc<StreamSchema>,
    /// For each packet column, whether it is kept with the rows and so counts.
    kept: Vec<bool>,
    parts: Vec<Chunk>,
    references: Vec<ResultRef>,
    names: Arc<[String]>,
    taken: Vec<Provenance>,
    rows: usize,
    bytes: usize,
}

impl Cutter {
    pub(crate) fn new(schema: Arc<StreamSchema>, kept: Vec<bool>) -> Self {
        let (parts, references, names, taken) = (Vec::new(), Vec::new(), Arc::default(), Vec::new());
        Self { schema, kept, parts, references, names, taken, rows: 0, bytes: 0 }
    }

    /// Adds rows and hands each block that is full to `each`.
    pub(crate) fn push<E: From<ChunkError>>(
        &mut self,
        chunk: &Chunk,
        references: &[ResultRef],
        taken: InputLineage,
        mut each: impl FnMut(BlockRows) -> Result<(), E>,
    ) -> Result<(), E> {
        let chunk = &self.lightened(chunk)?;
        self.names = taken.names;
        let taken_from = Provenance { tags: Vec::new(), sources: taken.sources };
        let mut from = 0;
        while from < chunk.rows() {
            let room = (chunk.rows() - from).min(BLOCK_ROWS - self.rows);
            let taken = self.fit(chunk, from, room);
            self.bytes += self.size(chunk, from, taken);
            self.rows += taken;
            if taken > 0 {
                self.parts.push(chunk.slice(from, taken));
                self.taken.push(taken_from.slice(from, taken));
            }
            if !references.is_empty() {
                let references =
                    references.at(from..from + taken, "there is a reference for each row, or none");
                self.references.extend_from_slice(references);
            }
            from += taken;
            if (taken < room || self.rows == BLOCK_ROWS)
                && let Some(rows) = self.finish()?
            {
                each(rows)?;
            }
        }
        Ok(())
    }

    /// The rows with nothing in columns that are not kept, so that what a function has given does not wait for
    /// the block to be full.
    fn lightened(&self, chunk: &Chunk) -> Result<Chunk, ChunkError> {
        let empty = |(column, kept): (&ArrayRef, &bool)| {
            if *kept { Arc::clone(column) } else { new_null_array(column.data_type(), chunk.rows()) }
        };
        let packets = chunk.packets().iter().zip(&self.kept).map(empty).collect();
        let (schema, tags) = (Arc::clone(chunk.schema()), chunk.tags().to_vec());
        compact(&Chunk::new(schema, chunk.rows(), tags, packets, chunk.provenance().clone())?)
    }

    /// The rows that are left.
    pub(crate) fn finish(&mut self) -> Result<Option<BlockRows>, ChunkError> {
        if self.rows == 0 {
            return Ok(None);
        }
        let chunk = Chunk::concat(&self.schema, &std::mem::take(&mut self.parts))?;
        let sources = Provenance::concat(&self.taken.iter().collect::<Vec<_>>()).sources;
        self.taken.clear();
        (self.rows, self.bytes) = (0, 0);
        let taken = InputLineage { names: Arc::clone(&self.names), sources };
        Ok(Some(BlockRows { chunk, references: std::mem::take(&mut self.references), taken }))
    }

    /// The most rows, of `room` from `from` on, that the block still takes.
    fn fit(&self, chunk: &Chunk, from: usize, room: usize) -> usize {
        let fits = |rows| self.bytes + self.size(chunk, from, rows) <= BLOCK_BYTES;
        if fits(room) {
            return room;
        }
        let (mut fitting, mut too_many) = (0, room);
        while too_many - fitting > 1 {
            let middle = fitting.midpoint(too_many);
            if fits(middle) { fitting = middle } else { too_many = middle }
        }
        if self.rows == 0 { fitting.max(1) } else { fitting }
    }

    fn size(&self, chunk: &Chunk, from: usize, rows: usize) -> usize {
        let packets = chunk.packets().iter().zip(&chunk.provenance().sources).zip(&self.kept);
        let kept = packets
            .filter(|(_, kept)| **kept)
            .map(|((values, source), _)| value_bytes(values, from, rows) + list_bytes(source, from, rows));
        let tags = chunk.tags().iter().map(|values| value_bytes(values, from, rows));
        let pairs = chunk.provenance().tags.iter().map(|pair| list_bytes(pair, from, rows));
        kept.chain(tags).chain(pairs).sum()
    }
}
