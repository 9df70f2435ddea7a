//! The machine of semijoin and antijoin.

use std::collections::VecDeque;
use std::sync::Arc;

use anabranch_engine::chunk::{Chunk, ChunkError};
use anabranch_engine::memory::{MemoryAccount, MemoryBudget};
use anabranch_engine::operator::{Context, Item, Machine, OperatorError, PartId, Step};
use arrow::array::BooleanBufferBuilder;
use arrow::buffer::BooleanBuffer;

use super::block::{Block, chosen};
use super::keyset::{KeySet, partition_of};
use super::log::RowLog;
use super::matching::{Matching, Next, too_many_keys};
use super::plan::{Keeps, Plan};
use super::reader::{KeyReader, Keys};
use super::spill::{Outbox, Shelves};
use crate::coalescer::Coalescer;

const LEFT: usize = 0;
const RIGHT: usize = 1;

/// Rows that a block may have at any budget.
const LEAST_BLOCK_ROWS: usize = 65_536;

pub(super) struct SemijoinMachine {
    plan: Arc<Plan>,
    readers: Option<Readers>,
    phase: Phase,
    ended: [bool; 2],
    /// Chunks of right that have come.
    arrived: VecDeque<Chunk>,
    keys: KeySet,
    /// Right's keys on disk.
    shelves: Shelves,
    /// Left rows that nothing was done with.
    waiting: RowLog,
    /// Left rows that came back from disk and are next.
    ready: VecDeque<Chunk>,
    block: Block,
    outbox: Outbox,
    /// What came back from disk and the phase has not taken.
    loaded: Option<(PartId, Vec<Chunk>)>,
    output: Coalescer,
    memory: MemoryBudget,
    account: MemoryAccount,
    /// The budget, once it was exceeded.
    limit: Option<usize>,
    /// Whether state has to leave memory.
    pressed: bool,
}

struct Readers {
    left: KeyReader,
    right: KeyReader,
}

enum Phase {
    /// Right has not ended.
    Build,
    /// All of right's keys are in memory.
    Probe,
    /// Every left row has the same fate: it leaves or it does not.
    Decided(bool),
    /// Some of right's keys are on disk; left rows gather in the block.
    Gather,
    Match(Matching),
    /// The block leaves; its marks, and how many of its rows have left.
    Emit(BooleanBuffer, usize),
}

impl SemijoinMachine {
    pub(super) fn new(plan: &Arc<Plan>, context: &Context) -> Self {
        let decided = plan.keys.is_empty().then_some(plan.keeps == Keeps::Matching);
        Self {
            plan: Arc::clone(plan),
            readers: None,
            phase: decided.map_or(Phase::Build, Phase::Decided),
            ended: [false; 2],
            arrived: VecDeque::new(),
            keys: KeySet::new(plan.exact),
            shelves: Shelves::new(),
            waiting: RowLog::default(),
            ready: VecDeque::new(),
            block: Block::new(plan.exact),
            outbox: Outbox::default(),
            loaded: None,
            output: Coalescer::new(Arc::clone(&plan.contract.schema), context.chunk_rows),
            memory: context.memory.clone(),
            account: context.memory.account(),
            limit: None,
            pressed: false,
        }
    }

    fn readers(&mut self) -> Result<&Readers, ChunkError> {
        if self.readers.is_none() {
            let Plan { keys, exact, .. } = self.plan.as_ref();
            let left = KeyReader::new(keys, |key| key.left, *exact)?;
            let right = KeyReader::new(keys, |key| key.right, *exact)?;
            self.readers = Some(Readers { left, right });
        }
        self.readers.as_ref().ok_or_else(|| ChunkError::Arrow(lost()))
    }

    /// Does what comes next; `None` where that is not for the driver to hear of.
    fn work(&mut self) -> Result<Option<Step>, OperatorError> {
        if let Some(chunk) = self.output.full() {
            return Ok(Some(Step::Output(chunk)));
        }
        match &self.phase {
            Phase::Build => self.build(),
            Phase::Probe | Phase::Decided(_) => self.probe(),
            Phase::Gather => self.gather(),
            Phase::Match(_) => Ok(self.match_block()?),
            Phase::Emit(..) => self.emit(),
        }
    }

    fn build(&mut self) -> Result<Option<Step>, OperatorError> {
        if let Some(chunk) = self.arrived.pop_front() {
            let keys = self.readers()?.right.read(&chunk)?;
            self.keys.insert(keys.hashes(), |at| keys.word(at)).map_err(|_| too_many_keys())?;
            return Ok(None);
        }
        if !self.has_ended(RIGHT) {
            return self.idle();
        }
        self.phase = if !self.shelves.is_empty() {
            Phase::Gather
        } else if self.keys.is_empty() {
            Phase::Decided(self.plan.keeps == Keeps::Others)
        } else {
            Phase::Probe
        };
        if matches!(self.phase, Phase::Decided(false)) {
            self.outbox.forget(self.waiting.clear());
        }
        Ok(None)
    }

    /// Left rows leave one chunk after the other.
    fn probe(&mut self) -> Result<Option<Step>, OperatorError> {
        if let Some((part, chunks)) = self.loaded.take() {
            self.outbox.forget([part]);
            self.ready.extend(chunks);
            return Ok(None);
        }
        if let Some(chunk) = self.ready.pop_front() {
            self.choose(chunk)?;
        } else if let Some(part) = self.waiting.pop_part() {
            return Ok(Some(Step::Load(part)));
        } else if let Some(chunk) = self.waiting.pop() {
            self.choose(chunk)?;
        } else {
            return self.idle();
        }
        Ok(None)
    }

    fn choose(&mut self, chunk: Chunk) -> Result<(), OperatorError> {
        match self.phase {
            Phase::Decided(false) => {}
            Phase::Decided(true) => self.output.push(chunk)?,
            _ => {
                let keys = self.readers()?.left.read(&chunk)?;
                let matched = marks(&keys, chunk.rows(), &self.keys);
                self.release(chunk, &matched)?;
            }
        }
        Ok(())
    }

    /// Rows of which is known whether they match leave.
    fn release(&mut self, chunk: Chunk, matched: &BooleanBuffer) -> Result<(), OperatorError> {
        let chunk = match self.plan.keeps {
            Keeps::Matching => chosen(chunk, matched)?,
            Keeps::Others => chosen(chunk, &!matched)?,
        };
        Ok(self.output.push(chunk)?)
    }

    /// Left rows go into the block, until it is full or left has ended (or pauses, if it never ends).
    fn gather(&mut self) -> Result<Option<Step>, OperatorError> {
        if let Some((part, chunks)) = self.loaded.take() {
            for chunk in &chunks {
                self.examine(chunk)?;
            }
            if !self.block.log.push_part(part) {
                for chunk in chunks {
                    self.block.log.push(chunk);
                }
                self.outbox.forget([part]);
            }
        } else if self.block.rows() >= self.limit.unwrap_or(usize::MAX).max(LEAST_BLOCK_ROWS) {
            self.phase = Phase::Match(Matching::new(self.plan.exact));
        } else if let Some(part) = self.waiting.pop_part() {
            return Ok(Some(Step::Load(part)));
        } else if let Some(chunk) = self.waiting.pop() {
            self.examine(&chunk)?;
            self.block.log.push(chunk);
        } else if self.block.rows() > 0 && (self.has_ended(LEFT) || !self.plan.contract.bounded) {
            self.phase = Phase::Match(Matching::new(self.plan.exact));
        } else {
            if self.has_ended(LEFT) {
                let shelves = std::mem::replace(&mut self.shelves, Shelves::new());
                self.outbox.forget(shelves.into_parts());
                self.phase = Phase::Decided(false);
                return Ok(None);
            }
            return self.idle();
        }
        Ok(None)
    }

    /// Marks the rows whose key is in memory, and notes the keys that may be on disk.
    fn examine(&mut self, chunk: &Chunk) -> Result<(), OperatorError> {
        let keys = self.readers()?.left.read(chunk)?;
        let matched = marks(&keys, chunk.rows(), &self.keys);
        let is_undecided = |at: usize, hash: u64| {
            !matched.value(keys.row(at)) && !self.shelves.parts(partition_of(hash)).is_empty()
        };
        let hashes = keys.hashes().iter().enumerate();
        let undecided: Vec<usize> =
            hashes.filter(|(at, hash)| is_undecided(*at, **hash)).map(|(at, _)| at).collect();
        self.block.add(&matched, &keys, &undecided);
        Ok(())
    }

    fn match_block(&mut self) -> Result<Option<Step>, OperatorError> {
        let full = self.account_for_state();
        let Phase::Match(matching) = &mut self.phase else { return Ok(None) };
        if let Some((_, chunks)) = self.loaded.take() {
            matching.loaded(&chunks, &mut self.block)?;
            return Ok(None);
        }
        match matching.advance(&self.shelves, &mut self.block, full, &mut self.outbox) {
            Next::Load(part) => return Ok(Some(Step::Load(part))),
            Next::Again => {}
            Next::Done => self.phase = Phase::Emit(self.block.take_marks(), 0),
        }
        Ok(None)
    }

    fn emit(&mut self) -> Result<Option<Step>, OperatorError> {
        if let Some((part, chunks)) = self.loaded.take() {
            self.outbox.forget([part]);
            self.ready.extend(chunks);
        }
        let next = match self.ready.pop_front() {
            Some(chunk) => Some(chunk),
            None => match self.block.log.pop_part() {
                Some(part) => return Ok(Some(Step::Load(part))),
                None => self.block.log.pop(),
            },
        };
        let Phase::Emit(marks, left) = &mut self.phase else { return Ok(None) };
        let Some(chunk) = next else {
            self.phase = Phase::Gather;
            return Ok(None);
        };
        if *left + chunk.rows() > marks.len() {
            return Err(OperatorError::Protocol("more rows came back than had left memory"));
        }
        let matched = marks.slice(*left, chunk.rows());
        *left += chunk.rows();
        self.release(chunk, &matched)?;
        Ok(None)
    }

    /// What to say when nothing is left to do.
    fn idle(&mut self) -> Result<Option<Step>, OperatorError> {
        if let Some(chunk) = self.output.rest()? {
            return Ok(Some(Step::Output(chunk)));
        }
        let open: Vec<usize> = [RIGHT, LEFT].into_iter().filter(|port| !self.has_ended(*port)).collect();
        Ok(Some(if open.is_empty() { Step::Done } else { Step::NeedInput(open) }))
    }

    fn has_ended(&self, port: usize) -> bool {
        self.ended.get(port).copied().unwrap_or(true)
    }
}

/// Memory.
impl SemijoinMachine {
    /// Says what the state takes; returns whether that is too much.
    fn account_for_state(&mut self) -> bool {
        let matching = match &self.phase {
            Phase::Match(matching) => matching.bytes(),
            Phase::Emit(marks, _) => marks.len() / 8,
            _ => 0,
        };
        let bytes = self.waiting.bytes() + self.keys.bytes() + self.block.bytes() + matching;
        if let Err(over) = self.account.set(bytes) {
            self.limit = Some(over.limit);
            self.pressed = true;
        }
        self.limit.is_some_and(|limit| self.memory.used() > limit)
    }

    /// Sends some of the state out of memory, if there has to be less.
    fn relieve(&mut self) -> Result<(), OperatorError> {
        let over = self.account_for_state();
        if self.pressed {
            self.pressed = over && self.spill()?;
        }
        Ok(())
    }

    /// Returns whether there was something to spill.
    fn spill(&mut self) -> Result<bool, OperatorError> {
        // A part comes back whole, so it is a small piece of the budget.
        let part_bytes = (self.limit.unwrap_or(usize::MAX) / 32).clamp(1 << 12, 1 << 20);
        let log = match self.phase {
            Phase::Build => Some(&mut self.waiting),
            Phase::Gather | Phase::Match(_) => Some(&mut self.block.log),
            Phase::Probe | Phase::Decided(_) => return Ok(false),
            Phase::Emit(..) => None,
        };
        if let Some(log) = log.filter(|log| log.has_chunks()) {
            let part = self.outbox.number();
            if let Some(chunks) = log.spill(part, part_bytes) {
                self.outbox.push(Step::Spill(part, chunks));
            }
            return Ok(true);
        }
        if self.block.spill_keys(&self.plan.numbered, part_bytes, &mut self.outbox)? {
            return Ok(true);
        }
        let Some((partition, keys)) = self.keys.take_largest() else { return Ok(false) };
        self.shelves.put(partition, &keys, &self.plan.stored, part_bytes, &mut self.outbox)?;
        Ok(true)
    }
}

impl Machine for SemijoinMachine {
    fn accept(&mut self, port: usize, item: Item) -> Result<(), OperatorError> {
        let ended = self
            .ended
            .get_mut(port)
            .ok_or(OperatorError::Protocol("rows came at a port that this operator does not have"))?;
        if *ended {
            return Err(OperatorError::Protocol("something came at a port that had ended"));
        }
        match item {
            Item::End => *ended = true,
            // Where nothing can come of them, rows are not looked at.
            Item::Chunk(chunk) if chunk.rows() == 0 || matches!(self.phase, Phase::Decided(false)) => {}
            Item::Chunk(chunk) if port == LEFT => match self.phase {
                Phase::Probe | Phase::Decided(_) => self.waiting.push_passing(chunk),
                _ => self.waiting.push(chunk),
            },
            Item::Chunk(_) if matches!(self.phase, Phase::Decided(_)) => {}
            Item::Chunk(chunk) => self.arrived.push_back(chunk),
        }
        Ok(())
    }

    fn step(&mut self) -> Result<Step, OperatorError> {
        loop {
            if let Some(step) = self.outbox.pop() {
                return Ok(step);
            }
            self.relieve()?;
            if let Some(step) = self.outbox.pop() {
                return Ok(step);
            }
            if let Some(step) = self.work()? {
                return Ok(step);
            }
        }
    }

    fn loaded(&mut self, part: PartId, chunks: Vec<Chunk>) -> Result<(), OperatorError> {
        match self.loaded.replace((part, chunks)) {
            None => Ok(()),
            Some(_) => Err(OperatorError::Protocol("rows came back twice")),
        }
    }
}

/// The rows whose key is there.
fn marks(keys: &Keys, rows: usize, set: &KeySet) -> BooleanBuffer {
    let found = set.marks(keys.hashes(), |at| keys.word(at));
    if keys.is_whole() {
        return BooleanBuffer::collect_bool(rows, |row| found.get(row).copied().unwrap_or(false));
    }
    let mut marks = BooleanBufferBuilder::new(rows);
    marks.append_n(rows, false);
    for (at, _) in found.iter().enumerate().filter(|(_, found)| **found) {
        marks.set_bit(keys.row(at), true);
    }
    marks.finish()
}

fn lost() -> arrow::error::ArrowError {
    arrow::error::ArrowError::ComputeError("the readers of keys are missing".to_owned())
}
