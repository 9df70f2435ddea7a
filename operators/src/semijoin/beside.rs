//! Work on other cores: right's keys by shares of the partitions, left's rows by chunks.

use std::collections::VecDeque;
use std::sync::Arc;

use anabranch_engine::chunk::Chunk;
use anabranch_engine::operator::{Context, OperatorError};
use anabranch_engine::piece::{Outcome, Piece};

use super::choice::choose;
use super::keyset::KeySet;
use super::matching::too_many_keys;
use super::plan::{Keeps, Plan};
use super::reader::{Keys, Readers, key_bytes};
use crate::rows::chunk_bytes;

/// Rows of right that are worth a round.
const ROUND_ROWS: usize = 65_536;

/// Chunks that wait for a round at most.
const ROUND_CHUNKS: usize = 64;

/// What is under way beside the machine.
///
/// Right's keys go in by rounds: as many pieces as there are cores, each of which adds the keys of
/// the last round's chunks to its share of the partitions and reads the keys of some of the new
/// chunks. So each key is read once and each table belongs to one piece. Left's chunks are a piece
/// each; they come home in their order, so left keeps its own.
///
/// Memory: the chunks of two rounds and the hashes of one; two chunks of left for each core.
#[derive(Debug)]
pub(super) struct Beside {
    cores: usize,
    /// Rows for which a piece is worth its way.
    least_rows: usize,
    /// Chunks of right that have come.
    arrived: VecDeque<Arrived>,
    /// Of all of them.
    sum: Size,
    building: VecDeque<Outcome<Built>>,
    /// Shares that came home while others are still away.
    home: Vec<KeySet>,
    /// Keys that were read and are not in the tables yet.
    read: Vec<Keys>,
    /// Bytes of what is away, as it was: the tables, and what was to go into them.
    away: usize,
    choosing: VecDeque<Outcome<Chunk>>,
}

/// A chunk of right that waits.
#[derive(Debug)]
struct Arrived {
    chunk: Chunk,
    size: Size,
}

/// How much chunks of right are.
#[derive(Debug, Clone, Copy, Default)]
struct Size {
    rows: usize,
    bytes: usize,
    /// By how many bytes they may let the tables grow.
    growth: usize,
}

impl Size {
    fn of(chunk: &Chunk, plan: &Plan) -> Self {
        let keys = if plan.exact { 0 } else { key_bytes(chunk, plan) };
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

/// What to do with chunks of right that have come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Round {
    /// The machine takes them one by one.
    None,
    /// More should come first.
    Wait,
    Begin,
}

/// What comes of a piece of a round.
#[derive(Debug)]
struct Built {
    share: KeySet,
    read: Vec<Keys>,
}

impl Beside {
    pub(super) fn new(context: &Context) -> Self {
        Self {
            cores: context.cores.max(1),
            least_rows: context.chunk_rows / 8,
            arrived: VecDeque::new(),
            sum: Size::default(),
            building: VecDeque::new(),
            home: Vec::new(),
            read: Vec::new(),
            away: 0,
            choosing: VecDeque::new(),
        }
    }

    /// Whether pieces can be handed out.
    pub(super) fn is_shared(&self) -> bool {
        self.cores > 1
    }

    /// Whether tables are away.
    pub(super) fn builds(&self) -> bool {
        !self.building.is_empty()
    }

    /// Whether something of right waits that is not in the tables.
    pub(super) fn waits(&self) -> bool {
        !self.arrived.is_empty() || !self.read.is_empty()
    }

    /// Bytes of what waits and of what is away.
    pub(super) fn bytes(&self) -> usize {
        self.away + self.sum.bytes + self.read_bytes()
    }

    fn read_bytes(&self) -> usize {
        self.read.iter().map(Keys::bytes).sum()
    }

    /// Adds a chunk of right, for a later round or the machine itself.
    pub(super) fn push(&mut self, chunk: Chunk, plan: &Plan) {
        let size = Size::of(&chunk, plan);
        self.sum.add(size);
        self.arrived.push_back(Arrived { chunk, size });
    }

    /// Takes the first chunk of right.
    pub(super) fn pop(&mut self) -> Option<Chunk> {
        let Arrived { chunk, size } = self.arrived.pop_front()?;
        self.sum.subtract(size);
        Some(chunk)
    }

    /// Whether the chunks that have come are enough for a round.
    pub(super) fn is_enough(&self) -> bool {
        self.sum.rows >= ROUND_ROWS || self.arrived.len() >= ROUND_CHUNKS
    }

    /// What to do with the chunks that have come, given the bytes that memory has room for.
    pub(super) fn round(&self, room: usize, ended: bool) -> Round {
        let few = self.sum.rows < self.least_rows.max(1) && self.read.is_empty();
        if few || !self.is_shared() {
            return Round::None;
        }
        // A table that grows is there twice.
        let growth = self.sum.growth + 2 * self.read_bytes();
        match room / growth.max(1) {
            0..=3 => Round::None,
            4..=7 => Round::Begin,
            _ if ended || self.is_enough() => Round::Begin,
            _ => Round::Wait,
        }
    }

    /// Adds keys that were read in the last round; false if there are none.
    pub(super) fn insert_read(&mut self, keys: &mut KeySet) -> Result<bool, OperatorError> {
        match self.read.pop() {
            Some(read) => insert(keys, &read).map(|()| true),
            None => Ok(false),
        }
    }

    fn take_round(&mut self) -> Vec<Chunk> {
        let mut rows = 0;
        let mut chunks = Vec::new();
        while rows < ROUND_ROWS
            && let Some(chunk) = self.pop()
        {
            rows += chunk.rows();
            chunks.push(chunk);
        }
        chunks
    }

    /// The pieces of a round.
    pub(super) fn build(&mut self, keys: KeySet, readers: &Arc<Readers>) -> Vec<Piece> {
        let before = self.sum.bytes;
        let chunks = self.take_round();
        self.away = keys.bytes() + self.read_bytes() + before - self.sum.bytes;
        let batch = Arc::new(std::mem::take(&mut self.read));
        let shares = keys.into_shares(self.cores);
        let each = chunks.len().div_ceil(shares.len().max(1));
        let mut chunks = chunks.into_iter();
        let mut pieces = Vec::new();
        for mut share in shares {
            let fresh: Vec<Chunk> = chunks.by_ref().take(each).collect();
            let (batch, readers) = (Arc::clone(&batch), Arc::clone(readers));
            let (piece, outcome) = Piece::new(move || {
                batch.iter().try_for_each(|read| insert(&mut share, read))?;
                let read = fresh.iter().map(|chunk| readers.right.read(chunk)).collect::<Result<_, _>>()?;
                Ok(Built { share, read })
            });
            self.building.push_back(outcome);
            pieces.push(piece);
        }
        pieces
    }

    /// Takes a piece of a round home; all keys once it was the last.
    pub(super) fn built(&mut self) -> Result<Option<KeySet>, OperatorError> {
        let Some(outcome) = self.building.pop_front() else { return Err(none()) };
        let Built { share, read } = outcome.take()?;
        self.home.push(share);
        self.read.extend(read);
        if self.builds() {
            return Ok(None);
        }
        self.away = 0;
        Ok(Some(KeySet::of_shares(std::mem::take(&mut self.home))))
    }

    /// Whether chunks of left are away.
    pub(super) fn chooses(&self) -> bool {
        !self.choosing.is_empty()
    }

    /// Whether no more chunks of left should go before one came home.
    pub(super) fn is_full(&self) -> bool {
        self.is_shared() && self.choosing.len() >= 2 * self.cores
    }

    /// Whether a chunk of left goes: it has to where others are before it.
    pub(super) fn may_choose(&self, chunk: &Chunk) -> bool {
        self.chooses() || (self.is_shared() && chunk.rows() >= self.least_rows)
    }

    /// The piece of a chunk of left.
    pub(super) fn choose(
        &mut self,
        chunk: Chunk,
        keeps: Keeps,
        keys: &Arc<KeySet>,
        readers: &Arc<Readers>,
    ) -> Piece {
        let (keys, readers) = (Arc::clone(keys), Arc::clone(readers));
        let (piece, outcome) = Piece::new(move || Ok(choose(chunk, keeps, &keys, &readers.left)?));
        self.choosing.push_back(outcome);
        piece
    }

    /// Takes the rows of the chunk home that was the first to go.
    pub(super) fn chosen(&mut self) -> Result<Chunk, OperatorError> {
        self.choosing.pop_front().ok_or_else(none)?.take()
    }
}

/// Adds those of a chunk's keys to a share that are of its partitions.
pub(super) fn insert(share: &mut KeySet, keys: &Keys) -> Result<(), OperatorError> {
    share.insert(keys.hashes(), |at| keys.word(at)).map_err(|_| too_many_keys())
}

fn none() -> OperatorError {
    OperatorError::Protocol("a piece of work was done that was not begun")
}
