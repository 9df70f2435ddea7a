//! Work on other cores: right's keys by shares of the partitions, left's rows by chunks.

use std::collections::VecDeque;
use std::sync::Arc;

use anabranch_engine::chunk::Chunk;
use anabranch_engine::operator::{Context, OperatorError};
use anabranch_engine::piece::{Outcome, Piece};

use super::choice::choose;
use super::keyset::KeySet;
use super::matching::too_many_keys;
use super::order::Ordered;
use super::plan::{Keeps, Plan};
use super::reader::{Keys, Readers, key_bytes};

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
    /// Chunks of right that have come, and by how much each may let the tables grow.
    arrived: VecDeque<(Chunk, usize)>,
    rows: usize,
    growth: usize,
    building: VecDeque<Outcome<Built>>,
    /// Shares that came home while others are still away.
    home: Vec<KeySet>,
    /// Keys that were read and are not in the tables yet.
    read: Vec<Lot>,
    /// Bytes of the tables that are away, as they were.
    away: usize,
    choosing: VecDeque<Outcome<Chunk>>,
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

/// The keys of a chunk.
#[derive(Debug)]
struct Lot {
    keys: Keys,
    ordered: Option<Ordered>,
}

impl Lot {
    fn of(chunk: &Chunk, readers: &Readers) -> Result<Self, OperatorError> {
        let keys = readers.right.read(chunk)?;
        Ok(Self { ordered: Ordered::of(keys.hashes()), keys })
    }

    /// Adds them to a share.
    fn insert(&self, share: &mut KeySet) -> Result<(), OperatorError> {
        let word = |at| self.keys.word(at);
        let inserted = match &self.ordered {
            Some(ordered) => share.insert_ordered(ordered, word),
            None => share.insert(self.keys.hashes(), word),
        };
        inserted.map_err(|_| too_many_keys())
    }

    fn bytes(&self) -> usize {
        self.keys.bytes() + self.ordered.as_ref().map_or(0, Ordered::bytes)
    }
}

/// What comes of a piece of a round.
#[derive(Debug)]
struct Built {
    share: KeySet,
    read: Vec<Lot>,
}

impl Beside {
    pub(super) fn new(context: &Context) -> Self {
        Self {
            cores: context.cores.max(1),
            least_rows: context.chunk_rows / 8,
            arrived: VecDeque::new(),
            rows: 0,
            growth: 0,
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

    pub(super) fn bytes(&self) -> usize {
        self.away + self.read.iter().map(Lot::bytes).sum::<usize>()
    }

    /// Adds a chunk of right, for a later round or the machine itself.
    pub(super) fn push(&mut self, chunk: Chunk, plan: &Plan) {
        let bytes = if plan.exact { 0 } else { key_bytes(&chunk, plan) };
        let growth = bytes + 64 * chunk.rows();
        self.rows += chunk.rows();
        self.growth += growth;
        self.arrived.push_back((chunk, growth));
    }

    /// Takes the first chunk of right.
    pub(super) fn pop(&mut self) -> Option<Chunk> {
        let (chunk, growth) = self.arrived.pop_front()?;
        self.rows -= chunk.rows();
        self.growth -= growth;
        Some(chunk)
    }

    /// Whether the chunks that have come are enough for a round.
    pub(super) fn is_enough(&self) -> bool {
        self.rows >= ROUND_ROWS || self.arrived.len() >= ROUND_CHUNKS
    }

    /// What to do with the chunks that have come, given the bytes that memory has room for.
    pub(super) fn round(&self, room: usize, ended: bool) -> Round {
        let nothing = self.rows == 0 && self.read.is_empty();
        if nothing || (self.rows < self.least_rows && self.read.is_empty()) {
            return Round::None;
        }
        // A table that grows is there twice.
        let growth = self.growth + 2 * self.bytes();
        match room / growth.max(1) {
            0..=3 => Round::None,
            4..=7 => Round::Begin,
            _ if ended || self.is_enough() => Round::Begin,
            _ => Round::Wait,
        }
    }

    /// Does a round without pieces.
    pub(super) fn build_alone(&mut self, keys: &mut KeySet, readers: &Readers) -> Result<(), OperatorError> {
        let chunks = self.take_round();
        let lots = chunks.iter().map(|chunk| Lot::of(chunk, readers)).collect::<Result<Vec<_>, _>>()?;
        lots.iter().try_for_each(|lot| lot.insert(keys))
    }

    /// Adds keys that were read in the last round; false if there are none.
    pub(super) fn insert_read(&mut self, keys: &mut KeySet) -> Result<bool, OperatorError> {
        match self.read.pop() {
            Some(lot) => lot.insert(keys).map(|()| true),
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
        self.away = keys.bytes();
        let chunks = self.take_round();
        let batch = Arc::new(std::mem::take(&mut self.read));
        let shares = keys.into_shares(self.cores);
        let each = chunks.len().div_ceil(shares.len().max(1));
        let mut chunks = chunks.into_iter();
        let mut pieces = Vec::new();
        for mut share in shares {
            let fresh: Vec<Chunk> = chunks.by_ref().take(each).collect();
            let (batch, readers) = (Arc::clone(&batch), Arc::clone(readers));
            let (piece, outcome) = Piece::new(move || {
                batch.iter().try_for_each(|lot| lot.insert(&mut share))?;
                let read = fresh.iter().map(|chunk| Lot::of(chunk, &readers)).collect::<Result<_, _>>()?;
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

fn none() -> OperatorError {
    OperatorError::Protocol("a piece of work was done that was not begun")
}
