//! Small chunks put together, so that few rows never travel alone for long.

use std::collections::VecDeque;
use std::sync::Arc;

use anabranch_engine::chunk::{Chunk, ChunkError};
use anabranch_engine::schema::StreamSchema;

/// Gathers small chunks until they make one that is worth sending: an eighth of `target` rows.
///
/// Guarantees: order is kept; no row is copied of a chunk that leaves alone, as one of an eighth of
/// `target` does if none wait before it; a chunk larger than `target` only comes out if it went in.
/// Memory: less than an eighth of `target` rows beside what was pushed last.
#[derive(Debug)]
pub(crate) struct Coalescer {
    schema: Arc<StreamSchema>,
    target: usize,
    ready: VecDeque<Chunk>,
    held: Vec<Chunk>,
    rows: usize,
}

impl Coalescer {
    pub(crate) fn new(schema: Arc<StreamSchema>, target: usize) -> Self {
        Self { schema, target: target.max(1), ready: VecDeque::new(), held: Vec::new(), rows: 0 }
    }

    pub(crate) fn push(&mut self, chunk: Chunk) -> Result<(), ChunkError> {
        if chunk.rows() == 0 {
            return Ok(());
        }
        if self.rows + chunk.rows() > self.target {
            self.seal()?;
        }
        self.rows += chunk.rows();
        self.held.push(chunk);
        if self.rows * 8 >= self.target { self.seal() } else { Ok(()) }
    }

    /// A chunk that need not wait for more rows.
    pub(crate) fn full(&mut self) -> Option<Chunk> {
        self.ready.pop_front()
    }

    /// What is left, for a machine that would only wait otherwise.
    pub(crate) fn rest(&mut self) -> Result<Option<Chunk>, ChunkError> {
        self.seal()?;
        Ok(self.ready.pop_front())
    }

    fn seal(&mut self) -> Result<(), ChunkError> {
        if !self.held.is_empty() {
            let held = std::mem::take(&mut self.held);
            self.rows = 0;
            self.ready.push_back(Chunk::concat(&self.schema, &held)?);
        }
        Ok(())
    }
}
