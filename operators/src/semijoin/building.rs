//! From right's chunks to its keys in tables: gathered by partition first, on all cores.

use std::collections::VecDeque;
use std::sync::Arc;

use anabranch_engine::chunk::Chunk;
use anabranch_engine::operator::{Context, OperatorError};
use anabranch_engine::subtask::{Subtask, SubtaskOutput};

use super::beside::none;
use super::keyset::{KeySet, PARTITIONS};
use super::lots::Lots;
use super::plan::Plan;
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

/// What becomes of right until it has ended.
///
/// Keys are gathered by partition, each subtask of work into lots of its own, as many as there are cores.
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
    arrived: VecDeque<Arrived>,
    /// Of all of them.
    sum: Size,
    /// Keys that wait for tables and are not away.
    lots: Vec<Lots>,
    /// Lots that are away, and the bytes of them and of what goes into them.
    gathering: VecDeque<(SubtaskOutput<Lots>, usize)>,
    /// Tables that are away.
    making: VecDeque<SubtaskOutput<KeySet>>,
    /// Tables that came home while others are still away.
    home: Vec<KeySet>,
    /// Bytes of what is away.
    away: usize,
}

/// A chunk that waits.
#[derive(Debug)]
struct Arrived {
    chunk: Chunk,
    size: Size,
}

/// How much chunks are.
#[derive(Debug, Clone, Copy, Default)]
struct Size {
    rows: usize,
    bytes: usize,
    /// By how many bytes they may let the tables grow.
    growth: usize,
}

impl Size {
    fn of(chunk: &Chunk, plan: &Plan) -> Self {
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

/// What comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// More of right should come.
    Input,
    /// Something has to come home.
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
            arrived: VecDeque::new(),
            sum: Size::default(),
            lots: Vec::new(),
            gathering: VecDeque::new(),
            making: VecDeque::new(),
            home: Vec::new(),
            away: 0,
        }
    }

    /// Whether keys are away.
    pub(super) fn is_away(&self) -> bool {
        !self.gathering.is_empty() || !self.making.is_empty()
    }

    /// Whether something waits that is not in the tables.
    pub(super) fn waits(&self) -> bool {
        !self.arrived.is_empty() || !self.lots.is_empty()
    }

    /// Bytes of what waits and of what is away.
    pub(super) fn bytes(&self) -> usize {
        self.away + self.sum.bytes + self.lots.iter().map(Lots::bytes).sum::<usize>()
    }

    /// Adds a chunk.
    pub(super) fn push(&mut self, chunk: Chunk, plan: &Plan) {
        let size = Size::of(&chunk, plan);
        self.sum.add(size);
        self.arrived.push_back(Arrived { chunk, size });
    }

    /// Takes the first chunk.
    pub(super) fn pop(&mut self) -> Option<Chunk> {
        let Arrived { chunk, size } = self.arrived.pop_front()?;
        self.sum.subtract(size);
        Some(chunk)
    }

    /// What comes next, given the bytes that memory has room for and those of the tables.
    pub(super) fn turn(&self, room: usize, tables: usize, ended: bool) -> Turn {
        if !self.making.is_empty() {
            return if ended || self.is_enough() { Turn::Await } else { Turn::Input };
        }
        let all = ended && self.arrived.is_empty();
        let waiting = self.bytes() - self.sum.bytes;
        if all || waiting > WAITING_BYTES.max(tables).min(room / 4) {
            let rows: usize = self.lots.iter().map(Lots::rows).sum();
            return match () {
                () if !self.gathering.is_empty() => Turn::Await,
                () if self.cores > 1 && rows >= self.least_rows => Turn::Make,
                () if !self.lots.is_empty() => Turn::Absorb,
                () => Turn::Done,
            };
        }
        let has_lots = self.gathering.len() < self.cores;
        match room / self.sum.growth.max(1) {
            _ if self.arrived.is_empty() => Turn::Input,
            _ if !has_lots => Turn::Await,
            _ if self.cores == 1 || self.sum.rows < self.least_rows => Turn::Read,
            0..=3 => Turn::Read,
            4..=7 => Turn::Gather,
            _ if ended || self.is_enough() => Turn::Gather,
            _ => Turn::Input,
        }
    }

    fn is_enough(&self) -> bool {
        self.sum.rows >= PIECE_ROWS || self.arrived.len() >= PIECE_CHUNKS
    }

    fn take_lots(&mut self) -> Lots {
        self.lots.pop().unwrap_or_else(|| Lots::new(self.form))
    }

    /// Adds the keys of a chunk.
    pub(super) fn gather(&mut self, keys: &Keys) {
        let mut lots = self.take_lots();
        lots.gather(keys);
        self.lots.push(lots);
    }

    /// The subtask that adds the keys of the chunks that came first.
    pub(super) fn gather_beside(&mut self, readers: &Arc<Readers>) -> Subtask {
        let before = self.sum;
        let mut chunks = Vec::new();
        while before.rows - self.sum.rows < PIECE_ROWS
            && let Some(chunk) = self.pop()
        {
            chunks.push(chunk);
        }
        let (mut lots, readers) = (self.take_lots(), Arc::clone(readers));
        let bytes = lots.bytes() + before.bytes - self.sum.bytes;
        let (subtask, outcome) = Subtask::new(move || {
            for chunk in chunks {
                lots.gather(&readers.right.read(&chunk)?);
            }
            Ok(lots)
        });
        self.away += bytes;
        self.gathering.push_back((outcome, bytes));
        subtask
    }

    /// Puts all keys that wait into tables.
    pub(super) fn absorb(&mut self, keys: &mut KeySet) {
        keys.absorb(&mut self.lots);
        self.lots.clear();
    }

    /// The subtasks that put all keys that wait into tables.
    pub(super) fn make(&mut self, keys: KeySet) -> Vec<Subtask> {
        self.away = keys.bytes() + self.lots.iter().map(Lots::bytes).sum::<usize>();
        let each = PARTITIONS.div_ceil(SHARES_PER_CORE * self.cores);
        let mut lots: Vec<_> = self.lots.drain(..).map(|lots| lots.into_shares(each).into_iter()).collect();
        let mut subtasks = Vec::new();
        for mut share in keys.into_shares(each) {
            let mut its: Vec<Lots> = lots.iter_mut().filter_map(Iterator::next).collect();
            let (subtask, outcome) = Subtask::new(move || {
                share.absorb(&mut its);
                Ok(share)
            });
            self.making.push_back(outcome);
            subtasks.push(subtask);
        }
        subtasks
    }

    /// Takes the subtask home that was the first to go; all tables once it was the last of theirs.
    pub(super) fn done(&mut self) -> Result<Option<KeySet>, OperatorError> {
        if let Some((outcome, bytes)) = self.gathering.pop_front() {
            self.lots.push(outcome.take()?);
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
