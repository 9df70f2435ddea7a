//! Left's chunks, looked up on other cores.

use std::collections::VecDeque;
use std::sync::Arc;

use anabranch_engine::chunk::Chunk;
use anabranch_engine::operator::{Context, OperatorError};
use anabranch_engine::subtask::{Subtask, SubtaskOutput};

use super::choice::choose;
use super::keyset::KeySet;
use super::plan::Keeps;
use super::reader::Readers;

/// Chunks of left that are under way beside the machine, a subtask of work each; they come home in their
/// order, so left keeps its own.
///
/// Memory: two chunks for each core.
#[derive(Debug)]
pub(super) struct Beside {
    cores: usize,
    /// Rows for which a subtask is worth its way.
    least_rows: usize,
    choosing: VecDeque<SubtaskOutput<Chunk>>,
}

impl Beside {
    pub(super) fn new(context: &Context) -> Self {
        Self { cores: context.cores, least_rows: context.chunk_rows / 8, choosing: VecDeque::new() }
    }

    /// Whether subtasks can be handed out.
    fn is_shared(&self) -> bool {
        self.cores > 1
    }

    /// Whether chunks are away.
    pub(super) fn chooses(&self) -> bool {
        !self.choosing.is_empty()
    }

    /// Whether no more chunks should go before one came home.
    pub(super) fn is_full(&self) -> bool {
        self.is_shared() && self.choosing.len() >= 2 * self.cores
    }

    /// Whether a chunk goes: it has to where others are before it.
    pub(super) fn may_choose(&self, chunk: &Chunk) -> bool {
        self.chooses() || (self.is_shared() && chunk.rows() >= self.least_rows)
    }

    /// The subtask of a chunk.
    pub(super) fn choose(
        &mut self,
        chunk: Chunk,
        keeps: Keeps,
        keys: &Arc<KeySet>,
        readers: &Arc<Readers>,
    ) -> Subtask {
        let (keys, readers) = (Arc::clone(keys), Arc::clone(readers));
        let (subtask, outcome) = Subtask::new(move || Ok(choose(chunk, keeps, &keys, &readers.left)?));
        self.choosing.push_back(outcome);
        subtask
    }

    /// Takes the rows of the chunk home that was the first to go.
    pub(super) fn chosen(&mut self) -> Result<Chunk, OperatorError> {
        self.choosing.pop_front().ok_or_else(none)?.take()
    }
}

/// The error of a subtask that nobody knows of.
pub(super) fn none() -> OperatorError {
    OperatorError::Protocol("a subtask of work was done that was not begun")
}
