//! Machines that run in one task, without channels between them.

use std::sync::Arc;
use std::time::Instant;

use super::metrics::Tally;
use super::subtasks::FinishedSubtask;
use super::{RunError, SpillArea, beyond_the_end, guarded};
use crate::chunk::Chunk;
use crate::operator::{Item, Machine, PartId, Step};
use crate::subtask::Subtask;

/// One machine of a chain.
pub(super) struct FusedOp {
    pub(super) name: Arc<str>,
    pub(super) machine: Box<dyn Machine>,
    pub(super) tally: Tally,
    /// None while the disk has it.
    pub(super) spill: Option<Box<dyn SpillArea>>,
    pub(super) done: bool,
}

/// One machine, or several with one input of which each takes what the one before it gives.
///
/// What is downstream is done before more is asked for from upstream, so at most one chunk is
/// between two machines.
pub(super) struct Chain {
    ops: Vec<FusedOp>,
    /// The machine that steps next.
    at: usize,
    /// When the last step ended; one look at the clock tells the end of one and the start of the next.
    clock: Instant,
}

/// What a chain needs next.
pub(super) enum ChainAction {
    /// Nothing: it goes on.
    Again,
    /// Nothing: it goes on, once others have had their turn.
    Yield,
    /// Rows at one of these ports of its first machine.
    NeedInput(Vec<usize>),
    /// These rows go to the consumers.
    Output(Chunk),
    /// The disk, for the machine that stepped.
    Disk(SpillRequest),
    /// This work is done beside, for the machine at that place.
    Spawn(usize, Subtask),
    /// The end of the subtask that was begun first.
    Join,
    /// Its output is complete; machines before the last may not be.
    Ended,
    /// Nothing any more.
    Done,
}

/// What is to be done in the area of a machine's state.
pub(super) enum SpillRequest {
    Put(PartId, Vec<Chunk>),
    Read(PartId),
    Forget(PartId),
}

impl Chain {
    /// The machines in the order of the rows. Each says first what it needs, the last one first.
    pub(super) fn new(ops: Vec<FusedOp>) -> Self {
        Self { at: ops.len().saturating_sub(1), ops, clock: Instant::now() }
    }

    /// Says that the time since the last step was a wait.
    pub(super) fn waited(&mut self) {
        self.clock = Instant::now();
    }

    /// Gives what has come at a port of the first machine.
    pub(super) fn accept(&mut self, port: usize, item: Item, queued: usize) -> Result<(), RunError> {
        self.give(0, port, item, queued)
    }

    /// One step of one machine.
    pub(super) fn turn(&mut self) -> Result<ChainAction, RunError> {
        let Some(op) = self.ops.get_mut(self.at) else { return Ok(ChainAction::Done) };
        let step = guarded(&op.name, || Ok(op.machine.step()?))?;
        let now = Instant::now();
        op.tally.worked(now - self.clock);
        self.clock = now;
        match step {
            Step::NeedInput(ports) => self.ask(ports),
            Step::Output(chunk) => {
                op.tally.gave(chunk.rows());
                self.pass_on(Item::Chunk(chunk))
            }
            Step::Spill(part, chunks) => Ok(ChainAction::Disk(SpillRequest::Put(part, chunks))),
            Step::Load(part) => Ok(ChainAction::Disk(SpillRequest::Read(part))),
            Step::Forget(part) => Ok(ChainAction::Disk(SpillRequest::Forget(part))),
            Step::Spawn(subtask) => Ok(ChainAction::Spawn(self.at, subtask)),
            Step::Join => Ok(ChainAction::Join),
            Step::More => Ok(ChainAction::Yield),
            Step::Done => {
                op.done = true;
                op.tally.matched(&op.machine.unmatched());
                self.pass_on(Item::End)
            }
        }
    }

    /// The name of the node of a machine.
    pub(super) fn name(&self, at: usize) -> Arc<str> {
        self.ops.get(at).map_or_else(|| Arc::from(""), |op| Arc::clone(&op.name))
    }

    /// The machine that stepped, whose area an errand is for.
    pub(super) fn stepped(&mut self) -> Option<&mut FusedOp> {
        self.ops.get_mut(self.at)
    }

    /// Tells a machine that a subtask of its work is done; it steps next.
    pub(super) fn finished(&mut self, subtask: &FinishedSubtask) -> Result<(), RunError> {
        let Some(op) = self.ops.get_mut(subtask.op).filter(|op| !op.done) else { return Ok(()) };
        self.at = subtask.op;
        op.tally.worked(subtask.time);
        guarded(&op.name, || Ok(op.machine.subtask_done()?))
    }

    fn give(&mut self, to: usize, port: usize, item: Item, queued: usize) -> Result<(), RunError> {
        let Some(op) = self.ops.get_mut(to) else { return Ok(()) };
        if let Item::Chunk(chunk) = &item {
            op.tally.took(port, chunk.rows(), queued);
        }
        self.at = to;
        guarded(&op.name, || Ok(op.machine.accept(port, item)?))
    }

    /// Asks the machine before the one that stepped, or the edges.
    fn ask(&mut self, ports: Vec<usize>) -> Result<ChainAction, RunError> {
        let Some(before) = self.at.checked_sub(1) else { return Ok(ChainAction::NeedInput(ports)) };
        match (self.ops.get(before), self.ops.get(self.at)) {
            (Some(upstream), Some(op)) if upstream.done => {
                Err(RunError::Node { node: op.name.to_string(), cause: beyond_the_end().into() })
            }
            _ => {
                self.at = before;
                Ok(ChainAction::Again)
            }
        }
    }

    /// Hands on what the machine that stepped gave.
    fn pass_on(&mut self, item: Item) -> Result<ChainAction, RunError> {
        let next = self.at + 1;
        let Some(op) = self.ops.get(next) else {
            return Ok(match item {
                Item::Chunk(chunk) => ChainAction::Output(chunk),
                Item::End => {
                    self.back();
                    ChainAction::Ended
                }
            });
        };
        if !op.done {
            self.give(next, 0, item, 0)?;
        } else if matches!(item, Item::End) {
            self.back();
        }
        // A machine that is done has all it wants; what the others still give goes nowhere.
        Ok(ChainAction::Again)
    }

    /// Goes back to the nearest machine that is not done, or to the end of all.
    fn back(&mut self) {
        let open = self.ops.iter().take(self.at).rposition(|op| !op.done);
        self.at = open.unwrap_or(self.ops.len());
    }
}

impl SpillRequest {
    /// Does it; gives the rows that were read.
    ///
    /// May wait for the disk.
    pub(super) fn run(
        self,
        area: &mut dyn SpillArea,
    ) -> Result<Option<(PartId, Vec<Chunk>)>, super::SpillError> {
        match self {
            Self::Put(part, chunks) => area.put(part, chunks).map(|()| None),
            Self::Read(part) => area.read(part).map(|chunks| Some((part, chunks))),
            Self::Forget(part) => area.forget(part).map(|()| None),
        }
    }
}
