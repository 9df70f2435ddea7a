//! Left rows in their order, the older ones on disk.

use std::collections::VecDeque;

use anabranch_engine::chunk::{Chunk, ChunkError};
use anabranch_engine::operator::PartId;

use crate::rows::{chunk_bytes, compact};

/// Chunks first in, first out; the front may have left memory.
///
/// Memory: the rows of the chunks that have not left it.
#[derive(Debug, Default)]
pub(super) struct RowLog {
    /// Before all chunks.
    parts: VecDeque<PartId>,
    pub(super) chunks: VecDeque<(Chunk, usize)>,
    /// Bytes in memory.
    pub(super) bytes: usize,
}

impl RowLog {
    pub(super) fn push(&mut self, chunk: &Chunk) -> Result<(), ChunkError> {
        let chunk = compact(chunk)?;
        let bytes = chunk_bytes(&chunk);
        self.bytes += bytes;
        self.chunks.push_back((chunk, bytes));
        Ok(())
    }

    /// Adds rows that will leave at once, so that their bytes are not worth counting.
    pub(super) fn push_passing(&mut self, chunk: Chunk) {
        self.chunks.push_back((chunk, 0));
    }

    /// Adds rows that have left memory already, behind all others; not if others are in memory.
    #[must_use]
    pub(super) fn push_part(&mut self, part: PartId) -> bool {
        let fits = self.chunks.is_empty();
        if fits {
            self.parts.push_back(part);
        }
        fits
    }

    /// The part at the front; it is not in the log any more.
    pub(super) fn pop_part(&mut self) -> Option<PartId> {
        self.parts.pop_front()
    }

    /// The chunk at the front, if no part is before it.
    pub(super) fn pop(&mut self) -> Option<Chunk> {
        if !self.parts.is_empty() {
            return None;
        }
        let (chunk, bytes) = self.chunks.pop_front()?;
        self.bytes -= bytes;
        Some(chunk)
    }

    /// Chunks of about so many bytes that leave memory under this number.
    pub(super) fn spill(&mut self, part: PartId, bytes: usize) -> Option<Vec<Chunk>> {
        self.cut_first(bytes);
        let mut leaving = Vec::new();
        let mut size = 0;
        while size < bytes
            && let Some((chunk, its)) = self.chunks.pop_front()
        {
            size += its;
            leaving.push(chunk);
        }
        if leaving.is_empty() {
            return None;
        }
        self.bytes -= size;
        self.parts.push_back(part);
        Some(leaving)
    }

    /// Cuts the first chunk up if it is much larger than that.
    fn cut_first(&mut self, bytes: usize) {
        let Some((chunk, size)) = self.chunks.pop_front_if(|(_, size)| *size > 2 * bytes) else { return };
        let rows = (chunk.rows().saturating_mul(bytes) / size.max(1)).max(1);
        self.bytes -= size;
        for from in (0..chunk.rows()).step_by(rows).rev() {
            let slice = chunk.slice(from, rows);
            let size = chunk_bytes(&slice);
            self.bytes += size;
            self.chunks.push_front((slice, size));
        }
    }

    /// Drops all rows; returns the parts that are not needed any more.
    pub(super) fn clear(&mut self) -> VecDeque<PartId> {
        self.chunks.clear();
        self.bytes = 0;
        std::mem::take(&mut self.parts)
    }
}
