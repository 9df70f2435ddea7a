//! Cumulative sources: the newest version of every record that was read in any run.
//!
//! ```text
//! read    the source as it is now            -> its rows and the hashes of their record ids, on disk
//! know    the newest recording of the history -> hashes of its record ids
//! assign  rows that are versions of records, to these
//! scatter rows that are versions of known records, by the place of these, on disk
//! merge   known records in their order, each by its newest version; then those that are new
//!         -> a recording, which becomes the newest of the history if nothing else has meanwhile
//! give    the recording's rows
//! ```
//!
//! A record keeps the place that it got when it appeared first, so that runs share all unchanged blocks. Each step
//! does a bounded amount of work and emits a chunk without rows, so that a run can be cancelled in between. Nothing is
//! stored before the source was read to its end.

mod assign;
mod error;
mod merge;

pub(crate) use error::CumulativeError;

use std::path::Path;
use std::sync::Arc;

use anabranch_engine::chunk::{CHUNK_ROWS, Chunk};
use anabranch_engine::index::fitting;
use anabranch_engine::operator::PartId;
use anabranch_engine::provenance::Origins;
use anabranch_engine::spill::{FileArea, Records, SpillArea as _, SpillBudget};
use anabranch_engine::stage::{ChunkReader, StageError};
use anabranch_engine::store::RecordingKey;
use anabranch_nodes::source::{ChunkReader as SourceReader, Scratch, SourceNode};
use arrow::array::{Array as _, AsArray as _, StringViewArray};

use crate::store::{History, RecordingReader, Store};

use assign::{Assigning, Knowing};
use merge::{Merging, Scattering};

/// Inputs of a cumulative source for a run.
pub(crate) struct Parts {
    pub(crate) store: Store,
    pub(crate) source: Arc<SourceNode>,
    pub(crate) key: RecordingKey,
    /// The run's origin table.
    pub(crate) origins: Arc<Origins>,
    pub(crate) chunk_rows: usize,
    /// Memory for record ids.
    pub(crate) memory_bytes: usize,
    pub(crate) spill: SpillBudget,
}

impl Parts {
    fn directory(&self) -> &Path {
        self.store.inner().scratch()
    }

    fn area(&self) -> FileArea {
        FileArea::new(self.directory(), &self.spill)
    }

    /// Returns the history so far, if the source fits it.
    fn history(&self) -> Result<Option<History>, CumulativeError> {
        let history = self.store.inner().history(&self.source.source_id)?;
        if let Some(history) = &history {
            let source = &self.source;
            error::check(&source.source_id, &source.schema, &source.record_id, history)?;
        }
        Ok(history)
    }

    /// Opens the newest recording of a history.
    fn open(&self, history: Option<&History>) -> Result<Option<RecordingReader>, CumulativeError> {
        Ok(history.map(|history| self.store.inner().open_recording(&history.recording)).transpose()?)
    }

    /// Returns the record ids of rows of a source.
    fn record_ids(&self, chunk: &Chunk, origins: &Origins) -> Result<StringViewArray, CumulativeError> {
        let missing = || CumulativeError::NoRecordIds { source_id: self.source.source_id.to_string() };
        let column = chunk.provenance().tags.first().ok_or_else(missing)?;
        let (_, records) = origins.pairs(column)?;
        let records = records.as_string_view_opt().filter(|r| r.null_count() == 0).cloned();
        records.ok_or_else(missing)
    }
}

/// A cumulative source being read.
///
/// Memory: a chunk of the source and of the history, a 256th of the rows of the history if these have new versions, and
/// the limit for record ids. On disk: the rows of the source, twice if they are versions of known records, and 40 bytes
/// for each record.
pub(crate) struct Cumulative {
    parts: Parts,
    phase: MergePhase,
}

/// Rows of the source in its present state.
struct Input {
    /// Part n has chunk n.
    area: FileArea,
    chunks: u64,
    origins: Arc<Origins>,
    hashes: Records<16>,
}

enum MergePhase {
    Read(Box<SourceReader>, Input),
    Know(Box<Knowing>, Input),
    Assign(Box<Assigning>, Input),
    Scatter(Box<Scattering>, Input),
    Merge(Box<Merging>, Input),
    Give {
        rows: Box<RecordingReader>,
        rest: Option<(Chunk, usize)>,
    },
    /// The end, or an error.
    Over,
}

impl Cumulative {
    /// Begins to read the source.
    ///
    /// Errors: a source whose columns are not those of its records so far.
    pub(crate) fn new(parts: Parts) -> Result<Self, CumulativeError> {
        parts.history()?;
        // The source has a table of its own, since emitted rows have the origins of the recording.
        let origins = Arc::new(Origins::default());
        let scratch = Scratch { directory: parts.directory().to_owned(), memory_bytes: parts.memory_bytes };
        let reader = parts.source.start(&origins, CHUNK_ROWS, &scratch)?;
        let hashes = Records::new(parts.directory())?;
        let input = Input { area: parts.area(), chunks: 0, origins, hashes };
        Ok(Self { phase: MergePhase::Read(Box::new(reader), input), parts })
    }

    fn step(&mut self) -> Result<Option<Chunk>, CumulativeError> {
        let parts = &self.parts;
        self.phase = match std::mem::replace(&mut self.phase, MergePhase::Over) {
            MergePhase::Over => return Ok(None),
            MergePhase::Read(mut reader, mut input) => match reader.next()? {
                Some(chunk) => {
                    input.add(parts, chunk)?;
                    MergePhase::Read(reader, input)
                }
                None => know(parts, input)?,
            },
            MergePhase::Know(mut knowing, input) => {
                if knowing.step(parts)? {
                    MergePhase::Know(knowing, input)
                } else {
                    MergePhase::Assign(Box::new(Assigning::new(parts, *knowing, &input)?), input)
                }
            }
            MergePhase::Assign(mut assigning, mut input) => {
                if assigning.step(&mut input)? {
                    MergePhase::Assign(assigning, input)
                } else {
                    MergePhase::Scatter(Box::new(Scattering::new(parts, *assigning)), input)
                }
            }
            MergePhase::Scatter(mut scattering, mut input) => {
                if scattering.step(&mut input)? {
                    MergePhase::Scatter(scattering, input)
                } else {
                    MergePhase::Merge(Box::new(Merging::new(parts, *scattering)?), input)
                }
            }
            MergePhase::Merge(mut merging, mut input) => {
                if merging.step(parts, &mut input)? {
                    MergePhase::Merge(merging, input)
                } else if let Some(recording) = merging.complete()? {
                    MergePhase::Give { rows: Box::new(parts.rows(recording)?), rest: None }
                } else {
                    // Another run was faster; its records come before these.
                    know(parts, input)?
                }
            }
            MergePhase::Give { mut rows, rest } => {
                let chunk = match rest {
                    Some(rest) => Some(rest),
                    None => rows.next().transpose()?.map(|chunk| (chunk, 0)),
                };
                let Some((chunk, offset)) = chunk else { return Ok(None) };
                let (piece, rest) = cut(chunk, offset, parts.chunk_rows)?;
                self.phase = MergePhase::Give { rows, rest };
                return Ok(Some(piece));
            }
        };
        Ok(Some(Chunk::empty(Arc::clone(&parts.source.schema))))
    }
}

/// Begins to read the history.
fn know(parts: &Parts, input: Input) -> Result<MergePhase, CumulativeError> {
    Ok(MergePhase::Know(Box::new(Knowing::new(parts)?), input))
}

impl ChunkReader for Cumulative {
    fn next(&mut self) -> Result<Option<Chunk>, StageError> {
        Ok(self.step()?)
    }
}

impl Parts {
    fn rows(&self, recording: i64) -> Result<RecordingReader, CumulativeError> {
        let missing = || CumulativeError::NoRecordIds { source_id: self.source.source_id.to_string() };
        let recording = self.store.inner().recording(recording.unsigned_abs())?.ok_or_else(missing)?;
        Ok(self.store.inner().open_recording_into(&recording, Arc::clone(&self.origins))?)
    }
}

impl Input {
    fn add(&mut self, parts: &Parts, chunk: Chunk) -> Result<(), CumulativeError> {
        if chunk.rows() == 0 {
            return Ok(());
        }
        for record_id in parts.record_ids(&chunk, &self.origins)?.iter().flatten() {
            self.hashes.push(&hash(record_id))?;
        }
        self.area.put(PartId(self.chunks), vec![chunk])?;
        self.chunks += 1;
        Ok(())
    }

    /// Returns the chunk of that number.
    fn chunk(&mut self, number: u64) -> Result<Option<Chunk>, CumulativeError> {
        if number >= self.chunks {
            return Ok(None);
        }
        Ok(self.area.read(PartId(number))?.into_iter().next())
    }
}

/// Returns the first 128 bits of BLAKE3.
fn hash(record_id: &str) -> [u8; 16] {
    let mut structure = anabranch_engine::identity::Structure::new("record id");
    structure.text(record_id);
    let mut first = [0; 16];
    first.iter_mut().zip(structure.finish().0).for_each(|(to, from)| *to = from);
    first
}

/// Returns at most `rows` rows of a chunk, as a copy, and the rest.
fn cut(chunk: Chunk, offset: usize, rows: usize) -> Result<(Chunk, Option<(Chunk, usize)>), CumulativeError> {
    if offset == 0 && chunk.rows() <= rows {
        return Ok((chunk, None));
    }
    let end = offset.saturating_add(rows.max(1)).min(chunk.rows());
    let rows: Vec<u32> = (fitting(offset, "row")..fitting(end, "row")).collect();
    let piece = chunk.take(&rows)?;
    let left = (end < chunk.rows()).then_some((chunk, end));
    Ok((piece, left))
}
