//! Small chunks put together, so that few rows never travel alone for long.

use std::collections::VecDeque;
use std::sync::Arc;

use anabranch_engine::chunk::{Chunk, ChunkError};
use anabranch_engine::schema::StreamSchema;

use crate::rows::chunk_bytes;

/// Gathers small chunks until they make one that is worth sending: an eighth of `target` rows.
///
/// Guarantees: order is kept; no row is copied of a chunk that leaves alone, as one of an eighth of
/// `target` does if none wait before it; a chunk larger than `target` only comes out if it went in.
/// Memory: less than an eighth of `target` rows and of [`MOST_BYTES`] beside what was pushed last.
#[derive(Debug)]
pub(crate) struct Coalescer {
    schema: Arc<StreamSchema>,
    target: usize,
    ready: VecDeque<Chunk>,
    held: Vec<Chunk>,
    rows: usize,
    bytes: usize,
}

/// Bytes that are not put together with more.
const MOST_BYTES: usize = 4 << 20;

impl Coalescer {
    pub(crate) fn new(schema: Arc<StreamSchema>, target: usize) -> Self {
        Self { schema, target: target.max(1), ready: VecDeque::new(), held: Vec::new(), rows: 0, bytes: 0 }
    }

    pub(crate) fn push(&mut self, chunk: Chunk) -> Result<(), ChunkError> {
        if chunk.rows() == 0 {
            return Ok(());
        }
        let leaves = chunk.rows() * 8 >= self.target;
        let bytes = if leaves && self.held.is_empty() { 0 } else { chunk_bytes(&chunk) };
        if self.rows + chunk.rows() > self.target || self.bytes + bytes > MOST_BYTES {
            self.seal()?;
        }
        self.rows += chunk.rows();
        self.bytes += bytes;
        self.held.push(chunk);
        if self.rows * 8 >= self.target || self.bytes > MOST_BYTES { self.seal() } else { Ok(()) }
    }

    /// A chunk that need not wait for more rows.
    pub(crate) fn full(&mut self) -> Option<Chunk> {
        self.ready.pop_front()
    }

    /// Returns the rest, for a machine that would only wait otherwise.
    pub(crate) fn rest(&mut self) -> Result<Option<Chunk>, ChunkError> {
        self.seal()?;
        Ok(self.ready.pop_front())
    }

    fn seal(&mut self) -> Result<(), ChunkError> {
        if !self.held.is_empty() {
            let held = std::mem::take(&mut self.held);
            (self.rows, self.bytes) = (0, 0);
            self.ready.push_back(Chunk::concat(&self.schema, &held)?);
        }
        Ok(())
    }
}
