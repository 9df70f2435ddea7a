//! Reads a recording as a source: once for the record ids, once for the rows.

use anabranch_engine::chunk::Columns;
use anabranch_engine::spill::{Pair, PairsInOrder, Records, SortedPairs};
use anabranch_nodes::source::{Reader, Scratch, SourceError, Upstream};
use arrow::array::RecordBatch;
use std::sync::Arc;

use super::failed;
use super::identity::{RowDigests, record_id};
use crate::store::{RecordingInfo, RecordingReader, Store};

/// Pairs that are read in one step.
const STEP_PAIRS: usize = 65_536;

/// A recording being read.
///
/// Memory: one block, the record ids of its sources as [`RecordingReader`] keeps them, and half of
/// the scratch memory for finding equal digests; on disk 40 bytes a row while that goes on, then 16.
pub(super) struct DerivedReader {
    store: Store,
    recording: RecordingInfo,
    chunk_rows: usize,
    scratch: Scratch,
    digests: Records<16>,
    phase: ReadPhase,
    record_ids: Vec<String>,
}

enum ReadPhase {
    /// Every row's digest is computed.
    Digest { rows: Box<RecordingReader>, names: RowDigests, pairs: SortedPairs },
    /// Rows of equal digests are numbered.
    Rank { order: PairsInOrder, last: Option<Pair>, earlier: u64, ranks: SortedPairs },
    /// Rows are emitted.
    Rows(Box<Rows>),
    /// An error was returned, or the end was reached.
    Over,
}

struct Rows {
    blocks: RecordingReader,
    batch: Option<(RecordBatch, usize)>,
    position: u64,
    /// Positions of rows whose digest occurred before, with the number of occurrences.
    ranks: PairsInOrder,
    next: Option<Pair>,
}

impl DerivedReader {
    pub(super) fn new(
        store: Store,
        recording: RecordingInfo,
        chunk_rows: usize,
        scratch: &Scratch,
    ) -> Result<Self, SourceError> {
        let rows = store.inner().open_recording(&recording).map_err(failed)?;
        let pairs = SortedPairs::new(&scratch.directory, scratch.memory_bytes / 4);
        let names = RowDigests::new(&recording.schema);
        Ok(Self {
            store,
            recording,
            chunk_rows: chunk_rows.max(1),
            digests: Records::new(&scratch.directory).map_err(failed)?,
            scratch: scratch.clone(),
            phase: ReadPhase::Digest { rows: Box::new(rows), names, pairs },
            record_ids: Vec::new(),
        })
    }

    fn nothing(&self) -> RecordBatch {
        RecordBatch::new_empty(Arc::new(anabranch_engine::chunk::arrow_schema(
            &self.recording.schema,
            Columns::Data,
        )))
    }

    fn rows(&self, ranks: SortedPairs) -> Result<ReadPhase, SourceError> {
        let mut ranks = ranks.finish().map_err(failed)?;
        let next = ranks.next().map_err(failed)?;
        let blocks = self.store.inner().open_recording(&self.recording).map_err(failed)?;
        Ok(ReadPhase::Rows(Box::new(Rows { blocks, batch: None, position: 0, ranks, next })))
    }
}

impl Reader for DerivedReader {
    fn next(&mut self) -> Result<Option<RecordBatch>, SourceError> {
        let phase = std::mem::replace(&mut self.phase, ReadPhase::Over);
        self.phase = match phase {
            ReadPhase::Over => return Ok(None),
            ReadPhase::Digest { mut rows, names, mut pairs } => match rows.next() {
                Some(chunk) => {
                    for digest in names.of(&chunk.map_err(failed)?, rows.origins()).map_err(failed)? {
                        pairs.push((digest, self.digests.len())).map_err(failed)?;
                        self.digests.push(&digest.to_be_bytes()).map_err(failed)?;
                    }
                    ReadPhase::Digest { rows, names, pairs }
                }
                None => ReadPhase::Rank {
                    order: pairs.finish().map_err(failed)?,
                    last: None,
                    earlier: 0,
                    ranks: SortedPairs::new(&self.scratch.directory, self.scratch.memory_bytes / 4),
                },
            },
            ReadPhase::Rank { mut order, mut last, mut earlier, mut ranks } => {
                let more = rank(&mut order, &mut last, &mut earlier, &mut ranks).map_err(failed)?;
                if more { ReadPhase::Rank { order, last, earlier, ranks } } else { self.rows(ranks)? }
            }
            ReadPhase::Rows(mut rows) => {
                let given = rows.next(self.chunk_rows, &mut self.digests)?;
                let Some((batch, record_ids)) = given else { return Ok(None) };
                self.phase = ReadPhase::Rows(rows);
                self.record_ids = record_ids;
                return Ok(Some(batch));
            }
        };
        Ok(Some(self.nothing()))
    }

    fn record_ids(&mut self) -> Vec<String> {
        std::mem::take(&mut self.record_ids)
    }

    fn upstream(&self) -> Option<Upstream> {
        let store = self.store.inner().address().as_str().to_owned();
        Some(Upstream { store, recording: self.recording.id })
    }
}

/// Reads some more pairs; returns false when there are none left.
fn rank(
    order: &mut PairsInOrder,
    last: &mut Option<Pair>,
    earlier: &mut u64,
    ranks: &mut SortedPairs,
) -> std::io::Result<bool> {
    for _ in 0..STEP_PAIRS {
        let Some((digest, position)) = order.next()? else { return Ok(false) };
        let repeats = last.is_some_and(|(known, _)| known == digest);
        *earlier = if repeats { *earlier + 1 } else { 0 };
        if repeats {
            ranks.push((u128::from(position), *earlier))?;
        }
        *last = Some((digest, position));
    }
    Ok(true)
}

impl Rows {
    fn next(
        &mut self,
        chunk_rows: usize,
        digests: &mut Records<16>,
    ) -> Result<Option<(RecordBatch, Vec<String>)>, SourceError> {
        let Some((batch, offset)) = self.batch()? else { return Ok(None) };
        let length = chunk_rows.min(batch.num_rows() - offset);
        let piece = batch.slice(offset, length);
        let ends = offset + length == batch.num_rows();
        self.batch = (!ends).then_some((batch, offset + length));
        let mut record_ids = Vec::with_capacity(length);
        for digest in digests.read(self.position, length).map_err(failed)? {
            let earlier = self.earlier().map_err(failed)?;
            record_ids.push(record_id(u128::from_be_bytes(digest), earlier));
            self.position += 1;
        }
        Ok(Some((piece, record_ids)))
    }

    fn batch(&mut self) -> Result<Option<(RecordBatch, usize)>, SourceError> {
        if let Some(batch) = self.batch.take() {
            return Ok(Some(batch));
        }
        let Some(chunk) = self.blocks.next().transpose().map_err(failed)? else { return Ok(None) };
        Ok(Some((chunk.to_batch(Columns::Data, self.blocks.origins())?, 0)))
    }

    /// Returns the number of rows before the one at `position` that have its digest.
    fn earlier(&mut self) -> std::io::Result<u64> {
        match self.next {
            Some((position, earlier)) if position == u128::from(self.position) => {
                self.next = self.ranks.next()?;
                Ok(earlier)
            }
            _ => Ok(0),
        }
    }
}
