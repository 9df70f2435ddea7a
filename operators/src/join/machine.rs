//! A join at work: the chain of stages, and what comes in and goes out.

use std::collections::VecDeque;
use std::sync::Arc;

use anabranch_engine::chunk::{CHUNK_ROWS, Chunk};
use anabranch_engine::index::At as _;
use anabranch_engine::memory::{MemoryAccount, MemoryBudget};
use anabranch_engine::operator::{Context, Item, Machine, OperatorError, PartId, Partition, Step};
use anabranch_engine::provenance::Origins;

use super::layout::{InputPlan, JoinLayout, SideOf};
use super::prepared_input::{PreparedInput, prepare};
use super::split_group::SplitGroup;
use super::stage::Stage;
use super::tuples::sort_tuples;
use crate::coalescer::Coalescer;
use crate::input_queue::OpenPorts;
use crate::rows::chunk_bytes;

/// The running join of two inputs or more.
///
/// A later stage's work goes first, so that between two stages there is never more than one
/// chunk. What comes in meanwhile waits here and counts as memory.
pub(super) struct JoinMachine {
    layout: Arc<JoinLayout>,
    origins: Arc<Origins>,
    budget: MemoryBudget,
    memory: MemoryAccount,
    /// True if state has to leave memory before more comes in.
    is_over: bool,
    partition: Partition,
    piece_rows: usize,
    ports: OpenPorts,
    /// Rows of each input left out because their key has a null.
    null_keys: Vec<u64>,
    /// Items that came at a port, with their bytes.
    waiting: VecDeque<(usize, Item, usize)>,
    waiting_bytes: usize,
    stages: Vec<Stage>,
    output: Coalescer,
    group: Arc<SplitGroup>,
}

/// The number of a part is that of its stage, then that of the part in its stage.
pub(super) const STAGE_BITS: u32 = 48;

/// Pieces of a stage's work in one step that gives nothing, as where a later stage drops what an earlier
/// one joins: each is a chunk of rows at most.
const MOST_BUSY: usize = 8;

/// The outcome of a look at the stages.
enum Advance {
    Step(Step),
    Busy,
    Idle,
}

impl JoinMachine {
    pub(super) fn new(layout: Arc<JoinLayout>, context: &Context, group: Arc<SplitGroup>) -> Self {
        let stage = |n| Stage::new(&layout, n, context);
        let stages = (0..layout.stages.len()).map(stage);
        Self {
            origins: Arc::clone(&context.origins),
            budget: context.memory.clone(),
            memory: context.memory.account(),
            is_over: false,
            partition: context.partition,
            piece_rows: context.chunk_rows.max(CHUNK_ROWS),
            ports: OpenPorts::new(layout.entries.len()),
            null_keys: vec![0; layout.entries.len()],
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            stages: stages.collect(),
            output: Coalescer::new(Arc::clone(&layout.schema), context.chunk_rows),
            group,
            layout,
        }
    }

    /// Lets the last busy stage go on. Returns what only the driver can do, or whether there was a
    /// busy stage.
    fn advance(&mut self) -> Result<Advance, OperatorError> {
        let Some(number) = self.stages.iter().rposition(Stage::is_busy) else { return Ok(Advance::Idle) };
        match self.stages.at_mut(number, "stage of the join").advance()? {
            Some(Step::Output(chunk)) => match self.stages.get_mut(number + 1) {
                Some(next) => next.push(SideOf::Left, PreparedInput::whole(chunk))?,
                None => self.output.push(chunk)?,
            },
            Some(step) => return Ok(Advance::Step(step)),
            None => {}
        }
        self.check_memory();
        Ok(Advance::Busy)
    }

    /// Lets what has waited longest enter. Returns whether there was something.
    fn enter_next(&mut self) -> Result<bool, OperatorError> {
        if std::mem::take(&mut self.is_over) {
            self.spill_largest();
        }
        self.spill_with_group();
        let Some((port, item, bytes)) = self.waiting.pop_front() else { return Ok(false) };
        self.waiting_bytes = self.waiting_bytes.saturating_sub(bytes);
        match item {
            Item::Chunk(chunk) => self.enter_chunk(port, chunk)?,
            Item::End => {
                let plan = self.layout.entries.at(port, "input of the join");
                self.stages.at_mut(plan.stage, "stage of the join").end(plan.side);
            }
        }
        Ok(true)
    }

    fn enter_chunk(&mut self, port: usize, chunk: Chunk) -> Result<(), OperatorError> {
        let chunk = self.first_piece(port, chunk);
        let layout = Arc::clone(&self.layout);
        let plan = layout.entries.at(port, "input of the join");
        let (prepared, null_keys) = prepare(plan, self.partition, chunk)?;
        *self.null_keys.at_mut(port, "input of the join") += null_keys;
        self.stages.at_mut(plan.stage, "stage of the join").push(plan.side, prepared)?;
        self.check_memory();
        Ok(())
    }

    /// Cuts off what one step should not take at once; the rest waits in front.
    fn first_piece(&mut self, port: usize, chunk: Chunk) -> Chunk {
        if chunk.rows() <= self.piece_rows {
            return chunk;
        }
        let rest = chunk.slice(self.piece_rows, chunk.rows() - self.piece_rows);
        let bytes = chunk_bytes(&rest);
        self.waiting_bytes += bytes;
        self.waiting.push_front((port, Item::Chunk(rest), bytes));
        chunk.slice(0, self.piece_rows)
    }

    /// Ends the left side of each stage whose predecessor has finished.
    fn pass_ends(&mut self) {
        for number in 1..self.stages.len() {
            let finished = self.stages.at(number - 1, "stage of the join").is_finished();
            let stage = self.stages.at_mut(number, "stage of the join");
            if finished && !stage.is_busy() && !stage.seen.left.ended {
                stage.end(SideOf::Left);
            }
        }
    }

    fn check_memory(&mut self) {
        let bytes = self.waiting_bytes + self.stages.iter().map(Stage::bytes).sum::<usize>();
        // Not an error: state that is too much leaves memory, as soon as no stage is busy. Until
        // then it stays too much, also where it has not grown since.
        let grew_over = self.memory.set(bytes).is_err();
        self.is_over = (self.is_over || grew_over) && self.budget.used() > self.budget.limit();
    }

    /// Spills the stage with the most state in memory; no stage is busy.
    fn spill_largest(&mut self) {
        let largest = self.stages.iter_mut().enumerate().max_by_key(|(_, stage)| stage.spillable());
        if let Some((number, stage)) = largest.filter(|(_, stage)| stage.spillable() > 0) {
            self.group.set_spilled(number);
            stage.spill(&self.budget);
        }
    }

    /// Moves out the stages that another machine of the join has moved out, if chunks are kept
    /// together: they stay in memory until all let go of them. No stage is busy.
    fn spill_with_group(&mut self) {
        for (number, stage) in self.stages.iter_mut().enumerate() {
            if stage.is_sharing() && self.group.has_spilled(number) {
                stage.spill(&self.budget);
            }
        }
    }

    fn emit(&self, chunk: Chunk) -> Result<Step, OperatorError> {
        Ok(Step::Output(sort_tuples(chunk, &self.layout.ties, &self.origins)?))
    }
}

impl Machine for JoinMachine {
    fn accept(&mut self, port: usize, item: Item) -> Result<(), OperatorError> {
        self.ports.admit(port, &item)?;
        let bytes = match &item {
            Item::Chunk(chunk) if chunk.rows() == 0 => return Ok(()),
            Item::Chunk(chunk) => chunk_bytes(chunk),
            Item::End => 0,
        };
        self.waiting_bytes += bytes;
        self.waiting.push_back((port, item, bytes));
        Ok(())
    }

    fn step(&mut self) -> Result<Step, OperatorError> {
        let mut busy = 0;
        loop {
            if let Some(chunk) = self.output.full() {
                return self.emit(chunk);
            }
            match self.advance()? {
                Advance::Step(step) => return Ok(step),
                Advance::Busy if busy == MOST_BUSY => return Ok(Step::More),
                Advance::Busy => {
                    busy += 1;
                    continue;
                }
                Advance::Idle => {}
            }
            self.pass_ends();
            if self.enter_next()? || self.stages.iter().any(Stage::is_busy) {
                continue;
            }
            if let Some(chunk) = self.output.rest()? {
                return self.emit(chunk);
            }
            return Ok(self.ports.idle(0));
        }
    }

    fn loaded(&mut self, part: PartId, chunks: Vec<Chunk>) -> Result<(), OperatorError> {
        let stage = usize::try_from(part.0 >> STAGE_BITS).ok().and_then(|number| self.stages.get_mut(number));
        match stage {
            Some(stage) => stage.loaded(part, &chunks),
            None => Err(OperatorError::Protocol("rows came back that this operator never sent out")),
        }
    }

    /// For each input, the rows that found no match where the input enters the chain: among the
    /// rows of the inputs joined before it, or, for the first, among those of the second. Rows
    /// with a null in their key count as unmatched. Final when the machine is done.
    fn unmatched(&self) -> Vec<u64> {
        let unmatched = |(plan, null_keys): (&InputPlan, &u64)| {
            let stage = self.stages.at(plan.stage, "stage of the join");
            null_keys + stage.seen[plan.side].unmatched()
        };
        self.layout.entries.iter().zip(&self.null_keys).map(unmatched).collect()
    }
}
