//! The input of a stage that takes one chunk at a time.

use anabranch_engine::chunk::Chunk;
use anabranch_engine::operator::Item;

/// A chunk that has arrived and waits, and whether the input has ended.
#[derive(Debug, Default)]
pub(crate) struct Arrived {
    pub(crate) chunk: Option<Chunk>,
    pub(crate) ended: bool,
}

impl Arrived {
    pub(crate) fn accept(&mut self, item: Item) {
        match item {
            Item::Chunk(chunk) => self.chunk = Some(chunk),
            Item::End => self.ended = true,
        }
    }

    /// The chunk, unless it has no rows.
    pub(crate) fn take(&mut self) -> Option<Chunk> {
        self.chunk.take().filter(|chunk| chunk.rows() > 0)
    }
}
