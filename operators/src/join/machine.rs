//! A join at work: the chain of stages, and what comes in and goes out.

use std::collections::VecDeque;
use std::sync::Arc;

use anabranch_engine::chunk::{CHUNK_ROWS, Chunk};
use anabranch_engine::memory::MemoryAccount;
use anabranch_engine::operator::{Context, Item, Machine, OperatorError, Step};
use anabranch_engine::provenance::Origins;

use super::entry::enter;
use super::layout::{EntryPlan, Layout, SideOf};
use super::stage::Stage;
use super::tuples::sort_tuples;
use crate::coalescer::Coalescer;
use crate::rows::chunk_bytes;

/// The running join of two inputs or more.
///
/// A later stage's work goes first, so that between two stages there is never more than one
/// chunk. What comes in meanwhile waits here and counts as memory.
pub(super) struct JoinMachine {
    layout: Arc<Layout>,
    origins: Arc<Origins>,
    memory: MemoryAccount,
    piece_rows: usize,
    ports: Vec<PortState>,
    waiting: VecDeque<(usize, Item)>,
    waiting_bytes: usize,
    stages: Vec<Stage>,
    output: Coalescer,
}

#[derive(Debug, Clone, Default)]
struct PortState {
    ended: bool,
    /// Rows left out because their key has a null.
    null_keys: u64,
}

impl JoinMachine {
    pub(super) fn new(layout: Arc<Layout>, context: &Context) -> Self {
        let stages = (0..layout.stages.len()).filter_map(|n| Stage::new(&layout, n, context.chunk_rows));
        Self {
            origins: Arc::clone(&context.origins),
            memory: context.memory.account(),
            piece_rows: context.chunk_rows.max(CHUNK_ROWS),
            ports: vec![PortState::default(); layout.entries.len()],
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            stages: stages.collect(),
            output: Coalescer::new(Arc::clone(&layout.schema), context.chunk_rows),
            layout,
        }
    }

    /// Lets the last busy stage go on. Returns whether there was one.
    fn advance(&mut self) -> Result<bool, OperatorError> {
        let Some(number) = self.stages.iter().rposition(Stage::is_busy) else { return Ok(false) };
        let found = match self.stages.get_mut(number) {
            Some(stage) => stage.advance()?,
            None => None,
        };
        if let Some(chunk) = found {
            match self.stages.get_mut(number + 1) {
                Some(next) => next.arrive(SideOf::Left, chunk)?,
                None => self.output.push(chunk)?,
            }
            self.check_memory()?;
        }
        Ok(true)
    }

    /// Lets what has waited longest enter. Returns whether there was something.
    fn enter_next(&mut self) -> Result<bool, OperatorError> {
        let Some((port, item)) = self.waiting.pop_front() else { return Ok(false) };
        match item {
            Item::Chunk(chunk) => self.enter_chunk(port, chunk)?,
            Item::End => {
                let layout = Arc::clone(&self.layout);
                let plan = plan_of(&layout, port)?;
                if let Some(stage) = self.stages.get_mut(plan.stage) {
                    stage.end(plan.side)?;
                }
            }
        }
        Ok(true)
    }

    fn enter_chunk(&mut self, port: usize, chunk: Chunk) -> Result<(), OperatorError> {
        self.waiting_bytes = self.waiting_bytes.saturating_sub(chunk_bytes(&chunk));
        let chunk = self.first_piece(port, chunk);
        let layout = Arc::clone(&self.layout);
        let plan = plan_of(&layout, port)?;
        let (chunk, null_keys) = enter(plan, chunk)?;
        if let Some(state) = self.ports.get_mut(port) {
            state.null_keys += null_keys;
        }
        if let Some(stage) = self.stages.get_mut(plan.stage) {
            stage.arrive(plan.side, chunk)?;
        }
        self.check_memory()
    }

    /// Cuts off what one step should not take at once; the rest waits in front.
    fn first_piece(&mut self, port: usize, chunk: Chunk) -> Chunk {
        if chunk.rows() <= self.piece_rows {
            return chunk;
        }
        let rest = chunk.slice(self.piece_rows, chunk.rows() - self.piece_rows);
        self.waiting_bytes += chunk_bytes(&rest);
        self.waiting.push_front((port, Item::Chunk(rest)));
        chunk.slice(0, self.piece_rows)
    }

    /// Tells each stage whose predecessor has finished.
    fn pass_ends(&mut self) -> Result<(), OperatorError> {
        for number in 1..self.stages.len() {
            let finished = self.stages.get(number - 1).is_some_and(Stage::is_finished);
            if let Some(stage) = self.stages.get_mut(number)
                && finished
                && !stage.is_busy()
                && !stage.side(SideOf::Left).ended
            {
                stage.end(SideOf::Left)?;
            }
        }
        Ok(())
    }

    fn check_memory(&mut self) -> Result<(), OperatorError> {
        let bytes = self.waiting_bytes + self.stages.iter().map(Stage::bytes).sum::<usize>();
        Ok(self.memory.set(bytes)?)
    }

    fn emit(&self, chunk: Chunk) -> Result<Step, OperatorError> {
        Ok(Step::Output(sort_tuples(chunk, &self.layout.ties, &self.origins)?))
    }
}

fn plan_of(layout: &Layout, port: usize) -> Result<&EntryPlan, OperatorError> {
    layout
        .entries
        .get(port)
        .ok_or(OperatorError::Protocol("rows came at a port that this operator does not have"))
}

impl Machine for JoinMachine {
    fn accept(&mut self, port: usize, item: Item) -> Result<(), OperatorError> {
        plan_of(&self.layout, port)?;
        if self.ports.get(port).is_some_and(|state| state.ended) {
            return Err(OperatorError::Protocol("something came at a port that had ended"));
        }
        match &item {
            Item::Chunk(chunk) if chunk.rows() == 0 => return Ok(()),
            Item::Chunk(chunk) => self.waiting_bytes += chunk_bytes(chunk),
            Item::End => {
                if let Some(state) = self.ports.get_mut(port) {
                    state.ended = true;
                }
            }
        }
        self.waiting.push_back((port, item));
        Ok(())
    }

    fn step(&mut self) -> Result<Step, OperatorError> {
        loop {
            if let Some(chunk) = self.output.full() {
                return self.emit(chunk);
            }
            if self.advance()? {
                continue;
            }
            self.pass_ends()?;
            if self.enter_next()? {
                continue;
            }
            if let Some(chunk) = self.output.rest()? {
                return self.emit(chunk);
            }
            let open: Vec<usize> =
                self.ports.iter().enumerate().filter(|(_, port)| !port.ended).map(|(at, _)| at).collect();
            return Ok(if open.is_empty() { Step::Done } else { Step::NeedInput(open) });
        }
    }

    /// For each input, the rows that found no match where the input enters the chain: among the
    /// rows of the inputs joined before it, or, for the first, among those of the second. Rows
    /// with a null in their key count as unmatched. Final when the machine is done.
    fn unmatched(&self) -> Vec<u64> {
        let entries = self.layout.entries.iter().zip(&self.ports);
        entries
            .map(|(plan, port)| {
                let stage = self.stages.get(plan.stage);
                port.null_keys + stage.map_or(0, |stage| stage.side(plan.side).unmatched())
            })
            .collect()
    }
}
