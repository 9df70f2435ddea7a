//! The interpreter of [`Step`]s, which drives a machine or a chain of machines under every executor.
//!
//! It is synchronous and does no I/O: what a machine needs from outside is an [`Effect`], which the executor carries
//! out before it resumes. `design/interpreter.md` describes the contract between the two.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::metrics::Tally;
use super::{RunError, SpillArea, SpillError, guarded};
use crate::chunk::Chunk;
use crate::index::{At as _, IndexVec, TypedIndex as _};
use crate::operator::{Item, Machine, OperatorError, PartId, Step};
use crate::subtask::Subtask;

crate::typed_index! {
    /// A machine of a chain, counted in the order of the rows.
    pub(super) struct OpId("machine of the chain");
}

/// An action of the executor before it resumes an interpreter.
#[derive(Debug)]
pub(super) enum Effect {
    /// Nothing.
    Continue,
    /// Lets others run; more work is at hand.
    Yield,
    /// Pushes a chunk or an end that comes at one of these ports, or reports the end of a subtask.
    NeedInput(Vec<usize>),
    /// Sends these rows to the consumers.
    Output(Chunk),
    /// Carries the request out in the machine's area, and answers by [`Interpreter::spilled`].
    Spill(OpId, SpillRequest),
    /// Runs the subtask beside the machine, and answers by [`Interpreter::subtask_done`] in the order of spawning.
    Spawn(OpId, Subtask),
    /// Waits for the end of the subtask that was spawned first; there is one.
    Join,
    /// Ends the edges to the consumers; machines before the last may still have work.
    End,
    /// Stops: every machine is done.
    Done,
}

/// A request to the area of a machine's state.
#[derive(Debug)]
pub(super) enum SpillRequest {
    Put(PartId, Vec<Chunk>),
    Read(PartId),
    Forget(PartId),
}

/// The rows of a part that a request has read.
pub(super) type LoadedPart = (PartId, Vec<Chunk>);

/// One machine, or several with one input of which each takes the output of the one before.
///
/// The machine furthest downstream that can work does so first, so at most one chunk is between two machines.
pub(super) struct Interpreter {
    ops: IndexVec<OpId, FusedOp>,
    /// The machine that steps next; none when all are done.
    current: Option<OpId>,
    /// The ports of the first machine that have not ended.
    open: Vec<bool>,
    /// The machines whose subtasks are under way, in the order of spawning.
    spawned: VecDeque<OpId>,
    /// The end of the last step; one look at the clock gives the end of one step and the start of the next.
    clock: Instant,
}

struct FusedOp {
    name: Arc<str>,
    machine: Box<dyn Machine>,
    tally: Tally,
    done: bool,
}

impl Interpreter {
    /// Returns an interpreter without machines; the first one has this number of ports.
    pub(super) fn new(ports: usize) -> Self {
        let (ops, spawned) = (IndexVec::new(), VecDeque::new());
        Self { ops, current: None, open: vec![true; ports], spawned, clock: Instant::now() }
    }

    /// Appends a machine behind the last one; it steps first.
    pub(super) fn fuse(&mut self, name: Arc<str>, machine: Box<dyn Machine>, tally: Tally) {
        self.current = Some(self.ops.push(FusedOp { name, machine, tally, done: false }));
    }

    /// Returns the name of a machine's node.
    pub(super) fn name(&self, op: OpId) -> &Arc<str> {
        &self.ops[op].name
    }

    /// Takes one step of one machine and returns what has to be done before the next.
    pub(super) fn resume(&mut self) -> Result<Effect, RunError> {
        let Some(current) = self.current else { return Ok(Effect::Done) };
        let op = &mut self.ops[current];
        let step = guarded(&op.name, || Ok(op.machine.step()?))?;
        let now = Instant::now();
        op.tally.worked(now - self.clock);
        self.clock = now;
        match step {
            Step::NeedInput(ports) => self.need_input(current, ports),
            Step::Output(chunk) => {
                op.tally.gave(chunk.rows());
                self.pass_on(current, Item::Chunk(chunk))
            }
            Step::Spill(part, chunks) => Ok(Effect::Spill(current, SpillRequest::Put(part, chunks))),
            Step::Load(part) => Ok(Effect::Spill(current, SpillRequest::Read(part))),
            Step::Forget(part) => Ok(Effect::Spill(current, SpillRequest::Forget(part))),
            Step::Spawn(subtask) => {
                self.spawned.push_back(current);
                Ok(Effect::Spawn(current, subtask))
            }
            Step::Join if self.spawned.is_empty() => Err(op.misused(NONE_UNDER_WAY)),
            Step::Join => Ok(Effect::Join),
            Step::More => Ok(Effect::Yield),
            Step::Done => {
                op.done = true;
                op.tally.matched(&op.machine.unmatched());
                self.pass_on(current, Item::End)
            }
        }
    }

    /// Excludes the time since the last step from the time of the machines.
    pub(super) fn waited(&mut self) {
        self.clock = Instant::now();
    }

    /// Pushes what has come at a port of the first machine; `queued` chunks wait behind it.
    pub(super) fn push(&mut self, port: usize, item: Item, queued: usize) -> Result<(), RunError> {
        if matches!(item, Item::End) {
            *self.open.at_mut(port, "port") = false;
        }
        self.accept(OpId::from_position(0), port, item, queued)
    }

    /// Reports the outcome of a [`SpillRequest`] and the time that it took.
    pub(super) fn spilled(
        &mut self,
        op: OpId,
        outcome: Result<Option<LoadedPart>, SpillError>,
        time: Duration,
    ) -> Result<(), RunError> {
        let op = &mut self.ops[op];
        op.tally.worked(time);
        guarded(&op.name, || match outcome? {
            Some((part, chunks)) => Ok(op.machine.loaded(part, chunks)?),
            None => Ok(()),
        })
    }

    /// Reports that the subtask that was spawned first is done, and the time that it took.
    ///
    /// The machine steps next, unless one further downstream waits: that one would be given rows which it did not request.
    pub(super) fn subtask_done(&mut self, time: Duration) -> Result<(), RunError> {
        let Some(id) = self.spawned.pop_front() else {
            unreachable!("a subtask ended that no machine of the chain spawned")
        };
        let op = &mut self.ops[id];
        op.tally.worked(time);
        if op.done {
            // Its output is complete without this subtask.
            return Ok(());
        }
        self.current = self.current.max(Some(id));
        guarded(&op.name, || Ok(op.machine.subtask_done()?))
    }

    fn accept(&mut self, to: OpId, port: usize, item: Item, queued: usize) -> Result<(), RunError> {
        let op = &mut self.ops[to];
        if op.done {
            // A machine that is done needs no more rows.
            return Ok(());
        }
        if let Item::Chunk(chunk) = &item {
            op.tally.took(port, chunk.rows(), queued);
        }
        self.current = Some(to);
        guarded(&op.name, || Ok(op.machine.accept(port, item)?))
    }

    /// Turns to the machine upstream, or to the edges.
    fn need_input(&mut self, of: OpId, ports: Vec<usize>) -> Result<Effect, RunError> {
        let op = &self.ops[of];
        if let Some(upstream) = of.upstream() {
            if self.ops[upstream].done {
                return Err(op.misused(BEYOND_THE_END));
            }
            self.current = Some(upstream);
            return Ok(Effect::Continue);
        }
        let is_open = |port: &&usize| *self.open.at(**port, "port");
        match guarded(&op.name, || Ok(ports.iter().filter(is_open).count()))? {
            0 => Err(op.misused(BEYOND_THE_END)),
            _ => Ok(Effect::NeedInput(ports)),
        }
    }

    /// Forwards the output of a machine to the next one, or to the consumers.
    fn pass_on(&mut self, from: OpId, item: Item) -> Result<Effect, RunError> {
        let ended = matches!(item, Item::End);
        if ended {
            self.current = self.ops.indices().take(from.position()).rfind(|op| !self.ops[*op].done);
        }
        let next = OpId::from_position(from.position() + 1);
        if next.position() < self.ops.len() {
            self.accept(next, 0, item, 0)?;
            return Ok(Effect::Continue);
        }
        Ok(match item {
            Item::Chunk(chunk) => Effect::Output(chunk),
            Item::End => Effect::End,
        })
    }
}

impl FusedOp {
    fn misused(&self, rule: &'static str) -> RunError {
        RunError::Node { node: self.name.to_string(), cause: OperatorError::Protocol(rule).into() }
    }
}

impl OpId {
    fn upstream(self) -> Option<Self> {
        self.position().checked_sub(1).map(Self::from_position)
    }
}

impl SpillRequest {
    /// Carries it out, and returns the rows that it has read. May wait for the disk.
    pub(super) fn run(self, area: &mut dyn SpillArea) -> Result<Option<LoadedPart>, SpillError> {
        match self {
            Self::Put(part, chunks) => area.put(part, chunks).map(|()| None),
            Self::Read(part) => area.read(part).map(|chunks| Some((part, chunks))),
            Self::Forget(part) => area.forget(part).map(|()| None),
        }
    }
}

/// Fault of a machine that joins a subtask it did not spawn.
const NONE_UNDER_WAY: &str = "it waited for a subtask although none was under way";

/// Fault of a machine that will never be done.
pub(super) const BEYOND_THE_END: &str = "it asked for rows of inputs that had ended";

#[cfg(test)]
mod tests;
