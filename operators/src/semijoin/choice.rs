//! The rows of a chunk of left that leave.

use anabranch_engine::chunk::{Chunk, ChunkError};
use anabranch_engine::index::row_number;
use arrow::array::BooleanBufferBuilder;
use arrow::buffer::{BooleanBuffer, Buffer};

use super::keyset::KeySet;
use super::plan::Keeps;
use super::reader::{KeyReader, Keys};

/// The rows of a chunk of left that leave, where all of right's keys are in memory.
pub(super) fn choose(
    chunk: Chunk,
    keeps: Keeps,
    set: &KeySet,
    reader: &KeyReader,
) -> Result<Chunk, ChunkError> {
    let keys = reader.read(&chunk)?;
    let matched = marks(&keys, chunk.rows(), set);
    kept(chunk, keeps, &matched)
}

/// The rows that leave, of which is known whether they match.
pub(super) fn kept(chunk: Chunk, keeps: Keeps, matched: &BooleanBuffer) -> Result<Chunk, ChunkError> {
    match keeps {
        Keeps::Matching => chosen(chunk, matched),
        Keeps::Others => chosen(chunk, &!matched),
    }
}

/// The rows whose key is there.
pub(super) fn marks(keys: &Keys, rows: usize, set: &KeySet) -> BooleanBuffer {
    let found: Vec<u64> = set.marks(&keys.hashes, |at| keys.word(at)).into_iter().map(u64::to_le).collect();
    let found = BooleanBuffer::new(Buffer::from_vec(found), 0, keys.hashes.len());
    if keys.is_whole() {
        return found;
    }
    let mut marks = BooleanBufferBuilder::new(rows);
    marks.append_n(rows, false);
    for at in found.set_indices() {
        marks.set_bit(keys.row(at), true);
    }
    marks.finish()
}

/// The rows of a chunk that are marked; nothing is copied where they are all, none or in one run.
fn chosen(chunk: Chunk, marks: &BooleanBuffer) -> Result<Chunk, ChunkError> {
    let count = marks.count_set_bits();
    if count == chunk.rows() {
        return Ok(chunk);
    }
    let (from, to) = marks.set_slices().next().unwrap_or((0, 0));
    if to - from == count {
        return Ok(chunk.slice(from, count));
    }
    let rows: Vec<u32> = marks.set_indices().map(row_number).collect();
    chunk.take(&rows)
}
