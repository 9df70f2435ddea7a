//! Reading a recording back, without a runtime.

use std::cell::Cell;
use std::collections::VecDeque;
use std::ops::{ControlFlow, Range};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anabranch_engine::chunk::Chunk;
use anabranch_engine::identity::{Fingerprint, PacketHash};
use anabranch_engine::index::At as _;
use anabranch_engine::provenance::{Origins, Provenance, ProvenanceColumn};
use anabranch_engine::schema::StreamSchema;
use anabranch_engine::store::{ReadError, StoreFault};
use arrow::array::{Array as _, ArrayRef};

use super::catalogue::RecordingInfo;
use super::outputs::{Computed, Outputs, outputs};
use super::stored::{blocks, gone, place, positions, row};
use crate::catalog::Reader;
use crate::catalog::query::Query;
use crate::catalog::reads::Reads as _;
use crate::catalog::tables::BLOCKS;
use crate::leases::{Lease, Leases};
use crate::record_blocks::origins::StoredOrigins;
use crate::record_blocks::{ReadFault, RecordBlock};
use crate::results::blocks::{BlockReader, ResultCache};
use crate::results::functions;
use crate::results::gather::{Gathered, gather_within};
use crate::results::result_ref::ResultRef;

/// Bytes of results that are read at once, unless that of one row has more.
const PORTION_BYTES: usize = 16 << 20;
/// Rows whose results are taken to fit into a portion as long as nothing is known of them.
const FIRST_ROWS: usize = 64;

/// The rows of a recording, block by block, in the order in which the run recorded them. Where a block's
/// results have more than `PORTION_BYTES`, it comes in portions of about as much.
///
/// As long as it lives the recording stays in the store, and no collection removes it.
///
/// Memory: one block, the results of a portion twice, the store's cache, and the record ids of sources that have
/// strings (32 MiB each, beyond which they move to an unnamed file).
///
/// Errors: a damaged block, named; after an error there are no more chunks.
#[derive(Debug)]
pub struct RecordingReader {
    info: RecordingInfo,
    reader: Box<dyn Reader>,
    cache: Arc<ResultCache>,
    directory: PathBuf,
    origins: Arc<Origins>,
    stored: StoredOrigins,
    outputs: Option<Outputs>,
    /// Number and rows of each.
    blocks: VecDeque<(i64, u64)>,
    rows_left: u64,
    /// The block that is being read, of which some rows were given.
    open: Option<OpenBlock>,
    /// Rows of the last portion that was smaller than its block.
    usual: Cell<usize>,
    /// Keeps the recording in the store.
    _lease: Lease,
}

/// A block without the results that it refers to.
#[derive(Debug)]
struct OpenBlock {
    id: i64,
    rows: usize,
    /// Tags and kept columns.
    data: Vec<ArrayRef>,
    provenance: Vec<ProvenanceColumn>,
    references: Vec<ResultRef>,
    /// Columns that a function took.
    taken: Vec<String>,
    /// The number of its first row in the recording.
    first: u64,
    /// Rows that were given.
    given: usize,
}

/// Rows of a recording beside what led to them.
#[derive(Debug, Clone)]
pub struct TracedRows {
    /// Number of the first row in the recording.
    pub first: u64,
    /// The rows.
    pub chunk: Chunk,
    /// For a function node, each column that the function took, and where its values came from.
    /// Empty if the recording has no such source info.
    pub taken: Vec<(String, ProvenanceColumn)>,
    /// For a function node, the hash of the packet that each row was computed from.
    pub packets: Vec<PacketHash>,
}

impl RecordingReader {
    /// `scratch` is the folder for files without names.
    pub(crate) fn open(
        reader: Box<dyn Reader>,
        cache: Arc<ResultCache>,
        leases: &dyn Leases,
        scratch: &Path,
        info: &RecordingInfo,
        origins: Arc<Origins>,
    ) -> Result<Self, StoreFault> {
        let damaged = |found: String| StoreFault::damaged(place(info), found);
        let lease = leases.read(info.id)?.ok_or_else(|| gone(info))?;
        let row = row(&*reader, info)?;
        let stored = StoredOrigins::read(&row.origins, &origins, scratch).map_err(damaged)?;
        let outputs = match row.function {
            Some(id) => {
                let names: Vec<String> =
                    serde_json::from_str(&row.outputs).map_err(|e| damaged(e.to_string()))?;
                let fingerprint = functions::fingerprint(&*reader, id)?;
                Some(outputs(
                    info,
                    (id, fingerprint),
                    row.name.ok_or_else(|| damaged("its function has no name".to_owned()))?,
                    &names,
                    &origins,
                )?)
            }
            None => None,
        };
        let blocks = blocks(&*reader, info.id)?;
        let (info, rows_left, directory) = (info.clone(), info.rows, scratch.to_owned());
        Ok(Self {
            info,
            reader,
            cache,
            directory,
            origins,
            stored,
            outputs,
            blocks,
            rows_left,
            open: None,
            usual: Cell::new(FIRST_ROWS),
            _lease: lease,
        })
    }

    /// The schema of the chunks.
    #[must_use]
    pub fn schema(&self) -> &Arc<StreamSchema> {
        &self.info.schema
    }

    /// The origin table that the chunks' provenance refers to. Strings of record ids are there for
    /// the rows read so far.
    #[must_use]
    pub fn origins(&self) -> &Arc<Origins> {
        &self.origins
    }

    /// Passes over whole blocks before a row, of those that were not begun; gives how many rows before it are
    /// still to come.
    pub fn skip_to(&mut self, row: u64) -> u64 {
        let mut before = row;
        while let Some((_, rows)) = self.blocks.front().filter(|(_, rows)| *rows <= before) {
            before -= rows;
            self.rows_left = self.rows_left.saturating_sub(*rows);
            self.blocks.pop_front();
        }
        before
    }

    /// Description of the recording.
    #[must_use]
    pub fn info(&self) -> &RecordingInfo {
        &self.info
    }

    /// For a function node, the function's name and fingerprint in that run.
    #[must_use]
    pub fn function(&self) -> Option<(&str, &Fingerprint)> {
        self.outputs.as_ref().map(|outputs| (outputs.name.as_str(), &outputs.fingerprint))
    }

    /// The rows of the block in which a row lies, those from that row on where results are large; none beyond
    /// the last row. Independent of what was read before.
    ///
    /// Memory: one block and the results of a portion.
    pub fn traced(&self, row: u64) -> Result<Option<TracedRows>, ReadError> {
        let Some((id, first)) = self.block_of(row)? else { return Ok(None) };
        let open = self.open_block(id, first)?;
        let within =
            usize::try_from(row - first).map_err(|_| self.damaged(id, "found more rows than a block has"))?;
        let portion = self.portion(&open, 0)?;
        if portion.chunk.rows() > within {
            return Ok(Some(portion));
        }
        Ok(Some(self.portion(&open, within)?))
    }

    /// The block in which a row lies, and the number of its first row.
    fn block_of(&self, row: u64) -> Result<Option<(i64, u64)>, StoreFault> {
        let (mut first, mut found) = (0, None);
        self.reader.each(&positions(self.info.id), |block| {
            let next = first + block.unsigned(1)?;
            if row < next {
                found = Some((block.number(0)?, first));
                return Ok(ControlFlow::Break(()));
            }
            first = next;
            Ok::<_, StoreFault>(ControlFlow::Continue(()))
        })?;
        Ok(found)
    }

    fn damaged(&self, block: i64, found: &str) -> StoreFault {
        StoreFault::damaged(format!("block {block} of {}", place(&self.info)), found)
    }

    /// Reads a block, whose first row has the number `first` in the recording.
    fn open_block(&self, id: i64, first: u64) -> Result<OpenBlock, StoreFault> {
        let damaged = |found: String| self.damaged(id, &found);
        let query = Query::of(&BLOCKS, &["data", "hash"]).equal("id", id);
        let found = self.reader.one(&query, |row| Ok((row.bytes(0)?.to_vec(), row.bytes(1)?.to_vec())))?;
        let (data, hash) = found.ok_or_else(|| damaged("it is not in the store".to_owned()))?;
        let block = RecordBlock::read(data, &hash).map_err(damaged)?;
        let references = match &self.outputs {
            Some(_) => block.references().map_err(damaged)?,
            None => Vec::new(),
        };
        let provenance = block.provenance(&self.stored).map_err(|fault| match fault {
            ReadFault::Damaged(found) => damaged(found),
            ReadFault::Disk(cause) => StoreFault::file(&self.directory, cause),
        })?;
        let (schema, given) = (&self.info.schema, self.outputs.as_ref().map_or(0, |o| o.fields.len()));
        let kept = (schema.packets().len() + schema.tags().len()).checked_sub(given);
        let data = kept.ok_or_else(|| "it has too many outputs".to_owned()).and_then(|kept| block.data(kept));
        let (data, rows) = (data.map_err(damaged)?.to_vec(), block.rows());
        let taken = block.taken().map_err(damaged)?;
        Ok(OpenBlock { id, rows, data, provenance, references, taken, first, given: 0 })
    }

    /// Rows of a block from one of them on: all, or as many as have results of a portion.
    fn portion(&self, block: &OpenBlock, from: usize) -> Result<TracedRows, StoreFault> {
        if from > block.rows {
            return Err(
                self.damaged(block.id, &format!("it has {} rows, expected more than {from}", block.rows))
            );
        }
        let Some(outputs) = &self.outputs else {
            return self.chunk(block, from..block.rows, None).map_err(|found| self.damaged(block.id, &found));
        };
        let reader = BlockReader::new(&*self.reader, &self.cache, outputs.function);
        reader.take_snapshot()?;
        let references =
            block.references.at(from..block.rows, "a block has a reference for each of its rows");
        let bounds = (PORTION_BYTES, self.usual.get());
        let results = gather_within(&reader, &outputs.fields, references, bounds)?;
        let rows = results.emitted.len();
        if rows < references.len() {
            self.usual.set(rows.max(1));
        }
        self.chunk(block, from..from + rows, Some((outputs, results)))
            .map_err(|found| self.damaged(block.id, &found))
    }

    fn chunk(
        &self,
        block: &OpenBlock,
        range: Range<usize>,
        results: Option<(&Outputs, Gathered)>,
    ) -> Result<TracedRows, String> {
        let schema = &self.info.schema;
        let (tags, pairs) = (schema.tags().len(), schema.system_tags().len());
        let (from, rows) = (range.start, range.len());
        if block.rows < range.end {
            return Err("it has fewer rows than references to results".to_owned());
        }
        let first = block.first + from as u64;
        let mut data = block.data.iter().map(|column| column.slice(from, rows));
        let mut provenance = block.provenance.iter().map(|column| column.slice(from, rows));
        let tag_columns: Vec<ArrayRef> = data.by_ref().take(tags).collect();
        let tag_provenance: Vec<ProvenanceColumn> = provenance.by_ref().take(pairs).collect();
        let packet_hashes = results.as_ref().map(|(_, gathered)| gathered.hashes.clone()).unwrap_or_default();
        let mut results = results.map(|(outputs, gathered)| Computed::new(outputs, gathered, first));
        let mut packets = Vec::with_capacity(schema.packets().len());
        let mut sources = Vec::with_capacity(schema.packets().len());
        for field in schema.packets() {
            let computed = results.as_mut().and_then(|results| results.take(field.name()));
            let (values, source) = match computed {
                Some(computed) => computed,
                None => {
                    (data.next().ok_or("it lacks columns")?, provenance.next().ok_or("it lacks provenance")?)
                }
            };
            packets.push(values);
            sources.push(source);
        }
        let taken = block.taken.iter().cloned().zip(provenance).collect();
        let provenance = Provenance { tags: tag_provenance, sources };
        let chunk = Chunk::new(Arc::clone(schema), rows, tag_columns, packets, provenance)
            .map_err(|e| e.to_string())?;
        Ok(TracedRows { first, chunk, taken, packets: packet_hashes })
    }

    /// The next rows of the block that is open, or of the next one; none behind the last.
    fn read(&mut self) -> Result<Option<Chunk>, StoreFault> {
        let mut open = match self.open.take() {
            Some(open) => open,
            None => match self.blocks.pop_front() {
                Some((block, _)) => self.open_block(block, self.info.rows.saturating_sub(self.rows_left))?,
                None => return Ok(None),
            },
        };
        let portion = self.portion(&open, open.given)?;
        open.given += portion.chunk.rows();
        if open.given < open.rows {
            if portion.chunk.rows() == 0 {
                return Err(self.damaged(open.id, "it has fewer references to results than rows"));
            }
            self.open = Some(open);
        }
        Ok(Some(portion.chunk))
    }
}

impl Iterator for RecordingReader {
    type Item = Result<Chunk, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.read() {
            Ok(Some(chunk)) => {
                self.rows_left = self.rows_left.saturating_sub(chunk.rows() as u64);
                Some(Ok(chunk))
            }
            Ok(None) => {
                let missing = std::mem::take(&mut self.rows_left);
                let found = format!("{missing} of its {} rows are missing", self.info.rows);
                (missing > 0).then(|| Err(StoreFault::damaged(place(&self.info), found).into()))
            }
            Err(error) => {
                self.blocks.clear();
                self.open = None;
                self.rows_left = 0;
                Some(Err(error.into()))
            }
        }
    }
}
