//! The machine of semijoin and antijoin.

use std::collections::VecDeque;
use std::sync::Arc;

use anabranch_engine::chunk::Chunk;
use anabranch_engine::memory::{MemoryAccount, MemoryBudget};
use anabranch_engine::operator::{Context, Item, Machine, OperatorError, PartId, Step};
use arrow::buffer::BooleanBuffer;

use super::block::Block;
use super::building::{BuildAction, Building};
use super::choice::{choose, kept, marks};
use super::keyset::{KeySet, partition_of};
use super::log::RowLog;
use super::matching::{Matching, Next};
use super::parallel_probe::ParallelProbe;
use super::plan::{Keeps, SemijoinPlan};
use super::reader::Readers;
use super::spill::{Outbox, SpilledPartitions};
use crate::coalescer::Coalescer;
use crate::input_queue::OpenPorts;

const LEFT: usize = 0;
const RIGHT: usize = 1;

/// Rows that a block may have at any budget.
const LEAST_BLOCK_ROWS: usize = 65_536;

pub(super) struct SemijoinMachine {
    pub(super) plan: Arc<SemijoinPlan>,
    readers: Option<Arc<Readers>>,
    pub(super) phase: SemijoinPhase,
    ports: OpenPorts,
    pub(super) keys: KeySet,
    /// Right's keys on disk.
    pub(super) spilled: SpilledPartitions,
    /// Left rows that nothing was done with.
    pub(super) waiting: RowLog,
    /// Left rows that came back from disk and are next.
    ready: VecDeque<Chunk>,
    pub(super) block: Block,
    pub(super) building: Building,
    parallel: ParallelProbe,
    pub(super) outbox: Outbox,
    /// Rows that came back from disk and that the phase has not taken.
    loaded: Option<(PartId, Vec<Chunk>)>,
    output: Coalescer,
    pub(super) memory: MemoryBudget,
    pub(super) account: MemoryAccount,
    /// The budget, once it was exceeded.
    pub(super) limit: Option<usize>,
    /// True if state has to leave memory.
    pub(super) pressed: bool,
}

pub(super) enum SemijoinPhase {
    /// Right has not ended.
    Build,
    /// All of right's keys are in memory; none of them leaves it any more.
    Probe(Arc<KeySet>),
    /// Every left row has the same fate: it leaves or it does not.
    Decided(bool),
    /// Some of right's keys are on disk; left rows gather in the block.
    Gather,
    Match(Matching),
    /// The block leaves; its marks, and how many of its rows have left.
    Emit(BooleanBuffer, usize),
}

impl SemijoinMachine {
    pub(super) fn new(plan: &Arc<SemijoinPlan>, context: &Context) -> Self {
        let decided = plan.keys.is_empty().then_some(plan.keeps == Keeps::Matching);
        Self {
            plan: Arc::clone(plan),
            readers: None,
            phase: decided.map_or(SemijoinPhase::Build, SemijoinPhase::Decided),
            ports: OpenPorts::new(2),
            keys: KeySet::new(plan.form),
            spilled: SpilledPartitions::new(),
            waiting: RowLog::default(),
            ready: VecDeque::new(),
            block: Block::new(plan.form),
            building: Building::new(plan.form, context),
            parallel: ParallelProbe::new(context),
            outbox: Outbox::default(),
            loaded: None,
            output: Coalescer::new(Arc::clone(&plan.contract.schema), context.chunk_rows),
            memory: context.memory.clone(),
            account: context.memory.account(),
            limit: None,
            pressed: false,
        }
    }

    fn readers(&mut self) -> Result<Arc<Readers>, OperatorError> {
        if let Some(readers) = &self.readers {
            return Ok(Arc::clone(readers));
        }
        let readers = Arc::new(Readers::of(&self.plan)?);
        self.readers = Some(Arc::clone(&readers));
        Ok(readers)
    }

    /// Does the next work; `None` where the driver has nothing to do.
    fn work(&mut self) -> Result<Option<Step>, OperatorError> {
        if let Some(chunk) = self.output.full() {
            return Ok(Some(Step::Output(chunk)));
        }
        match &self.phase {
            SemijoinPhase::Build => self.build(),
            SemijoinPhase::Probe(_) | SemijoinPhase::Decided(_) => self.probe(),
            SemijoinPhase::Gather => self.gather(),
            SemijoinPhase::Match(_) => Ok(self.match_block()?),
            SemijoinPhase::Emit(..) => self.emit(),
        }
    }

    fn build(&mut self) -> Result<Option<Step>, OperatorError> {
        let room = self.memory.limit().saturating_sub(self.memory.used());
        let room = if self.limit.is_none() { room } else { 0 };
        match self.building.next(room, self.keys.bytes(), self.ports.has_ended(RIGHT)) {
            BuildAction::Input => return self.idle(),
            BuildAction::Await => return Ok(Some(Step::Join)),
            BuildAction::Read => {
                if let Some(chunk) = self.building.pop() {
                    let keys = self.readers()?.right.read(&chunk)?;
                    self.building.gather(&keys);
                }
            }
            BuildAction::Gather => {
                let readers = self.readers()?;
                return Ok(Some(Step::Spawn(self.building.gather_in_subtask(&readers))));
            }
            BuildAction::Absorb => self.building.absorb(&mut self.keys),
            BuildAction::Make => {
                let subtasks = self.building.make(std::mem::take(&mut self.keys));
                for subtask in subtasks {
                    self.outbox.push(Step::Spawn(subtask));
                }
            }
            BuildAction::Done => self.turn_to_left(),
        }
        Ok(None)
    }

    /// All of right has come.
    fn turn_to_left(&mut self) {
        self.phase = if !self.spilled.is_empty() {
            SemijoinPhase::Gather
        } else if self.keys.is_empty() {
            SemijoinPhase::Decided(self.plan.keeps == Keeps::Others)
        } else {
            self.keys.seal();
            SemijoinPhase::Probe(Arc::new(std::mem::take(&mut self.keys)))
        };
        if matches!(self.phase, SemijoinPhase::Decided(false)) {
            self.outbox.forget(self.waiting.clear());
        }
    }

    /// Left rows leave one chunk after the other.
    fn probe(&mut self) -> Result<Option<Step>, OperatorError> {
        if let Some((part, chunks)) = self.loaded.take() {
            self.outbox.forget([part]);
            self.ready.extend(chunks);
            return Ok(None);
        }
        if self.parallel.is_full() {
            return Ok(Some(Step::Join));
        }
        if let Some(chunk) = self.ready.pop_front() {
            return self.choose(chunk);
        }
        if let Some(part) = self.waiting.pop_part() {
            return Ok(Some(Step::Load(part)));
        }
        match self.waiting.pop() {
            Some(chunk) => self.choose(chunk),
            None => self.idle(),
        }
    }

    fn choose(&mut self, chunk: Chunk) -> Result<Option<Step>, OperatorError> {
        let readers = self.readers()?;
        let keeps = self.plan.keeps;
        match &self.phase {
            SemijoinPhase::Decided(false) => {}
            SemijoinPhase::Probe(keys) if self.parallel.may_choose(&chunk) => {
                return Ok(Some(Step::Spawn(self.parallel.choose(chunk, keeps, keys, &readers))));
            }
            SemijoinPhase::Probe(keys) => self.output.push(choose(chunk, keeps, keys, &readers.left)?)?,
            _ => self.output.push(chunk)?,
        }
        Ok(None)
    }

    /// Left rows go into the block, until it is full or left has ended (or pauses, if it never ends).
    fn gather(&mut self) -> Result<Option<Step>, OperatorError> {
        if let Some((part, chunks)) = self.loaded.take() {
            for chunk in &chunks {
                self.examine(chunk)?;
            }
            if !self.block.log.push_part(part) {
                for chunk in chunks {
                    self.block.log.push(&chunk)?;
                }
                self.outbox.forget([part]);
            }
        } else if self.block.rows() >= self.limit.unwrap_or(usize::MAX).max(LEAST_BLOCK_ROWS) {
            self.phase = SemijoinPhase::Match(Matching::new(self.plan.form));
        } else if let Some(part) = self.waiting.pop_part() {
            return Ok(Some(Step::Load(part)));
        } else if let Some(chunk) = self.waiting.pop() {
            self.examine(&chunk)?;
            self.block.log.push(&chunk)?;
        } else if self.block.rows() > 0 && (self.ports.has_ended(LEFT) || !self.plan.contract.bounded) {
            self.phase = SemijoinPhase::Match(Matching::new(self.plan.form));
        } else {
            if self.ports.has_ended(LEFT) {
                let spilled = std::mem::replace(&mut self.spilled, SpilledPartitions::new());
                self.outbox.forget(spilled.into_parts());
                self.phase = SemijoinPhase::Decided(false);
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
            !matched.value(keys.row(at)) && !self.spilled.parts(partition_of(hash)).is_empty()
        };
        let hashes = keys.hashes.iter().enumerate();
        let undecided: Vec<usize> =
            hashes.filter(|(at, hash)| is_undecided(*at, **hash)).map(|(at, _)| at).collect();
        self.block.add(&matched, &keys, &undecided);
        Ok(())
    }

    fn match_block(&mut self) -> Result<Option<Step>, OperatorError> {
        let full = self.account_for_state();
        let SemijoinPhase::Match(matching) = &mut self.phase else {
            unreachable!("a block is matched in its phase only")
        };
        if let Some((_, chunks)) = self.loaded.take() {
            matching.loaded(&chunks, &mut self.block)?;
            return Ok(None);
        }
        match matching.advance(&self.spilled, &mut self.block, full, &mut self.outbox) {
            Next::Load(part) => return Ok(Some(Step::Load(part))),
            Next::Again => {}
            Next::Done => self.phase = SemijoinPhase::Emit(self.block.take_marks(), 0),
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
        let SemijoinPhase::Emit(marks, left) = &mut self.phase else {
            unreachable!("a block leaves in its phase only")
        };
        let Some(chunk) = next else {
            self.phase = SemijoinPhase::Gather;
            return Ok(None);
        };
        if *left + chunk.rows() > marks.len() {
            return Err(OperatorError::Protocol("more rows came back than had left memory"));
        }
        let matched = marks.slice(*left, chunk.rows());
        *left += chunk.rows();
        self.output.push(kept(chunk, self.plan.keeps, &matched)?)?;
        Ok(None)
    }

    /// Returns the step of a machine that has no work left.
    fn idle(&mut self) -> Result<Option<Step>, OperatorError> {
        let chooses = self.parallel.chooses();
        // The rows of subtasks under way may leave together with these.
        if !chooses && let Some(chunk) = self.output.rest()? {
            return Ok(Some(Step::Output(chunk)));
        }
        Ok(Some(match self.ports.idle(RIGHT) {
            Step::Done if chooses => Step::Join,
            step => step,
        }))
    }
}

impl Machine for SemijoinMachine {
    fn accept(&mut self, port: usize, item: Item) -> Result<(), OperatorError> {
        self.ports.admit(port, &item)?;
        match item {
            Item::End => {}
            // Where nothing can come of them, rows are not looked at.
            Item::Chunk(chunk)
                if chunk.rows() == 0 || matches!(self.phase, SemijoinPhase::Decided(false)) => {}
            Item::Chunk(chunk) if port == LEFT => match self.phase {
                SemijoinPhase::Probe(_) | SemijoinPhase::Decided(_) => self.waiting.push_passing(chunk),
                _ => self.waiting.push(&chunk)?,
            },
            Item::Chunk(_) if matches!(self.phase, SemijoinPhase::Decided(_)) => {}
            Item::Chunk(chunk) => self.building.push(chunk, &self.plan),
        }
        Ok(())
    }

    fn step(&mut self) -> Result<Step, OperatorError> {
        loop {
            if let Some(step) = self.outbox.pop() {
                return Ok(step);
            }
            if let Some(step) = self.relieve()? {
                return Ok(step);
            }
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

    fn subtask_done(&mut self) -> Result<(), OperatorError> {
        if self.building.is_away() {
            if let Some(keys) = self.building.done()? {
                self.keys = keys;
            }
            return Ok(());
        }
        let chunk = self.parallel.chosen()?;
        Ok(self.output.push(chunk)?)
    }
}
