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

/// Chunks of left that are under way beside the machine, a subtask each; they end in their
/// order, so left keeps its own.
///
/// Memory: two chunks for each core.
#[derive(Debug)]
pub(super) struct ParallelProbe {
    cores: usize,
    /// Rows for which a subtask is worth its way.
    least_rows: usize,
    choosing: VecDeque<SubtaskOutput<Chunk>>,
}

impl ParallelProbe {
    pub(super) fn new(context: &Context) -> Self {
        Self { cores: context.cores, least_rows: context.chunk_rows / 8, choosing: VecDeque::new() }
    }

    /// Returns whether subtasks can be handed out.
    fn is_shared(&self) -> bool {
        self.cores > 1
    }

    /// Returns whether chunks are away.
    pub(super) fn chooses(&self) -> bool {
        !self.choosing.is_empty()
    }

    /// Returns whether no more chunks should be spawned before one is done.
    pub(super) fn is_full(&self) -> bool {
        self.is_shared() && self.choosing.len() >= 2 * self.cores
    }

    /// Returns whether a chunk goes: it has to where others are before it.
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

    /// Takes the rows of the chunk that was spawned first.
    pub(super) fn chosen(&mut self) -> Result<Chunk, OperatorError> {
        self.choosing.pop_front().ok_or_else(none)?.take()
    }
}

/// The error of a subtask that was not spawned.
pub(super) fn none() -> OperatorError {
    OperatorError::Protocol("a subtask of work was done that was not begun")
}
