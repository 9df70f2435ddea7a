//! From right's chunks to its keys in tables: gathered by partition first, on all cores.

use std::collections::VecDeque;
use std::sync::Arc;

use anabranch_engine::chunk::Chunk;
use anabranch_engine::operator::{Context, OperatorError};
use anabranch_engine::subtask::{Subtask, SubtaskOutput};

use super::keyset::{KeySet, PARTITIONS};
use super::parallel_probe::none;
use super::partition_buffer::PartitionBuffers;
use super::plan::SemijoinPlan;
use super::reader::{Keys, Readers, key_bytes};
use super::word::Form;
use crate::rows::chunk_bytes;

/// Rows of right that are worth a subtask.
const PIECE_ROWS: usize = 32_768;

/// Chunks that wait for a subtask at most.
const PIECE_CHUNKS: usize = 64;

/// Bytes of keys that may wait for tables; more only as many as the tables have.
const WAITING_BYTES: usize = 32 << 20;

/// Subtasks for each core that make tables, so that none is idle for long while others still work.
const SHARES_PER_CORE: usize = 4;

/// The building of right's keys, until right has ended.
///
/// Keys are gathered by partition, each subtask of work into buffers of its own, as many as there are cores.
/// Once right has ended, or when too many keys wait, since they may all be equal, tables are made of
/// them: of each partition all at once, some partitions a subtask.
///
/// Memory: chunks for a subtask on each core and one more; keys that wait, of at most [`WAITING_BYTES`], a
/// quarter of the memory that is left, or as many bytes as the tables have.
#[derive(Debug)]
pub(super) struct Building {
    form: Form,
    cores: usize,
    /// Rows for which a subtask is worth its way.
    least_rows: usize,
    /// Chunks that have come.
    queued: VecDeque<QueuedChunk>,
    /// Of all of them.
    sum: Size,
    /// Keys that wait for tables and are not away.
    buffers: Vec<PartitionBuffers>,
    /// Buffers that are away, and the bytes of them and of what goes into them.
    gathering: VecDeque<(SubtaskOutput<PartitionBuffers>, usize)>,
    /// Tables that are away.
    making: VecDeque<SubtaskOutput<KeySet>>,
    /// Tables that are done while others are still being made.
    home: Vec<KeySet>,
    /// Bytes of what is away.
    away: usize,
}

/// A chunk that waits.
#[derive(Debug)]
struct QueuedChunk {
    chunk: Chunk,
    size: Size,
}

/// The size of chunks.
#[derive(Debug, Clone, Copy, Default)]
struct Size {
    rows: usize,
    bytes: usize,
    /// By how many bytes they may let the tables grow.
    growth: usize,
}

impl Size {
    fn of(chunk: &Chunk, plan: &SemijoinPlan) -> Self {
        let keys = if plan.form == Form::Bytes { key_bytes(chunk, plan) } else { 0 };
        Self { rows: chunk.rows(), bytes: chunk_bytes(chunk), growth: keys + 64 * chunk.rows() }
    }

    fn add(&mut self, other: Self) {
        self.rows += other.rows;
        self.bytes += other.bytes;
        self.growth += other.growth;
    }

    fn subtract(&mut self, other: Self) {
        self.rows -= other.rows;
        self.bytes -= other.bytes;
        self.growth -= other.growth;
    }
}

/// The next action of the building.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BuildAction {
    /// More of right should come.
    Input,
    /// A subtask has to end.
    Await,
    /// The machine gathers the keys of a chunk.
    Read,
    /// A subtask does so for some chunks.
    Gather,
    /// The machine makes tables of what waits.
    Absorb,
    /// Subtasks do so.
    Make,
    /// All of right is in tables.
    Done,
}

impl Building {
    pub(super) fn new(form: Form, context: &Context) -> Self {
        Self {
            form,
            cores: context.cores.max(1),
            least_rows: (context.chunk_rows / 8).max(1),
            queued: VecDeque::new(),
            sum: Size::default(),
            buffers: Vec::new(),
            gathering: VecDeque::new(),
            making: VecDeque::new(),
            home: Vec::new(),
            away: 0,
        }
    }

    /// Returns whether keys are away.
    pub(super) fn is_away(&self) -> bool {
        !self.gathering.is_empty() || !self.making.is_empty()
    }

    /// Returns whether something waits that is not in the tables.
    pub(super) fn waits(&self) -> bool {
        !self.queued.is_empty() || !self.buffers.is_empty()
    }

    /// Bytes of what waits and of what is away.
    pub(super) fn bytes(&self) -> usize {
        self.away + self.sum.bytes + self.buffers.iter().map(|buffers| buffers.bytes).sum::<usize>()
    }

    /// Adds a chunk.
    pub(super) fn push(&mut self, chunk: Chunk, plan: &SemijoinPlan) {
        let size = Size::of(&chunk, plan);
        self.sum.add(size);
        self.queued.push_back(QueuedChunk { chunk, size });
    }

    /// Takes the first chunk.
    pub(super) fn pop(&mut self) -> Option<Chunk> {
        let QueuedChunk { chunk, size } = self.queued.pop_front()?;
        self.sum.subtract(size);
        Some(chunk)
    }

    /// Returns the next action, given the bytes that memory has room for and those of the tables.
    pub(super) fn next(&self, room: usize, tables: usize, ended: bool) -> BuildAction {
        if !self.making.is_empty() {
            return if ended || self.is_enough() { BuildAction::Await } else { BuildAction::Input };
        }
        let all = ended && self.queued.is_empty();
        let waiting = self.bytes() - self.sum.bytes;
        if all || waiting > WAITING_BYTES.max(tables).min(room / 4) {
            let rows: usize = self.buffers.iter().map(|buffers| buffers.rows).sum();
            return match () {
                () if !self.gathering.is_empty() => BuildAction::Await,
                () if self.cores > 1 && rows >= self.least_rows => BuildAction::Make,
                () if !self.buffers.is_empty() => BuildAction::Absorb,
                () => BuildAction::Done,
            };
        }
        let has_buffers = self.gathering.len() < self.cores;
        match room / self.sum.growth.max(1) {
            _ if self.queued.is_empty() => BuildAction::Input,
            _ if !has_buffers => BuildAction::Await,
            _ if self.cores == 1 || self.sum.rows < self.least_rows => BuildAction::Read,
            0..=3 => BuildAction::Read,
            4..=7 => BuildAction::Gather,
            _ if ended || self.is_enough() => BuildAction::Gather,
            _ => BuildAction::Input,
        }
    }

    fn is_enough(&self) -> bool {
        self.sum.rows >= PIECE_ROWS || self.queued.len() >= PIECE_CHUNKS
    }

    fn take_buffers(&mut self) -> PartitionBuffers {
        self.buffers.pop().unwrap_or_else(|| PartitionBuffers::new(self.form))
    }

    /// Adds the keys of a chunk.
    pub(super) fn gather(&mut self, keys: &Keys) {
        let mut buffers = self.take_buffers();
        buffers.gather(keys);
        self.buffers.push(buffers);
    }

    /// The subtask that adds the keys of the chunks that came first.
    pub(super) fn gather_in_subtask(&mut self, readers: &Arc<Readers>) -> Subtask {
        let before = self.sum;
        let mut chunks = Vec::new();
        while before.rows - self.sum.rows < PIECE_ROWS
            && let Some(chunk) = self.pop()
        {
            chunks.push(chunk);
        }
        let (mut buffers, readers) = (self.take_buffers(), Arc::clone(readers));
        let bytes = buffers.bytes + before.bytes - self.sum.bytes;
        let (subtask, outcome) = Subtask::new(move || {
            for chunk in chunks {
                buffers.gather(&readers.right.read(&chunk)?);
            }
            Ok(buffers)
        });
        self.away += bytes;
        self.gathering.push_back((outcome, bytes));
        subtask
    }

    /// Puts all keys that wait into tables.
    pub(super) fn absorb(&mut self, keys: &mut KeySet) {
        keys.absorb(&mut self.buffers);
        self.buffers.clear();
    }

    /// The subtasks that put all keys that wait into tables.
    pub(super) fn make(&mut self, keys: KeySet) -> Vec<Subtask> {
        self.away = keys.bytes() + self.buffers.iter().map(|buffers| buffers.bytes).sum::<usize>();
        let each = PARTITIONS.div_ceil(SHARES_PER_CORE * self.cores);
        let mut buffers: Vec<_> =
            self.buffers.drain(..).map(|buffers| buffers.into_shares(each).into_iter()).collect();
        let mut subtasks = Vec::new();
        for mut share in keys.into_shares(each) {
            let mut its: Vec<PartitionBuffers> = buffers.iter_mut().filter_map(Iterator::next).collect();
            let (subtask, outcome) = Subtask::new(move || {
                share.absorb(&mut its);
                Ok(share)
            });
            self.making.push_back(outcome);
            subtasks.push(subtask);
        }
        subtasks
    }

    /// Takes the output of the subtask that was spawned first; returns all tables once it was the last of theirs.
    pub(super) fn done(&mut self) -> Result<Option<KeySet>, OperatorError> {
        if let Some((outcome, bytes)) = self.gathering.pop_front() {
            self.buffers.push(outcome.take()?);
            self.away -= bytes;
            return Ok(None);
        }
        let share = self.making.pop_front().ok_or_else(none)?.take()?;
        self.home.push(share);
        if !self.making.is_empty() {
            return Ok(None);
        }
        self.away = 0;
        Ok(Some(KeySet::of_shares(std::mem::take(&mut self.home))))
    }
}
