//! Machines that run in one task, without channels between them.

use std::sync::Arc;
use std::time::Instant;

use super::metrics::Tally;
use super::pieces::Finished;
use super::{RunError, SpillArea, beyond_the_end, guarded};
use crate::chunk::Chunk;
use crate::operator::{Item, Machine, PartId, Step};
use crate::piece::Piece;

/// One machine of a chain.
pub(super) struct Link {
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
    links: Vec<Link>,
    /// The machine that steps next.
    at: usize,
    /// When the last step ended; one look at the clock tells the end of one and the start of the next.
    clock: Instant,
}

/// What a chain needs next.
pub(super) enum Turn {
    /// Nothing: it goes on.
    Again,
    /// Nothing: it goes on, once others have had their turn.
    Yield,
    /// Rows at one of these ports of its first machine.
    NeedInput(Vec<usize>),
    /// These rows go to the consumers.
    Output(Chunk),
    /// The disk, for the machine that stepped.
    Disk(Errand),
    /// This work is done beside, for the machine at that place.
    Begin(usize, Piece),
    /// The end of the piece that was begun first.
    Await,
    /// Its output is complete; machines before the last may not be.
    Ended,
    /// Nothing any more.
    Done,
}

/// What is to be done in the area of a machine's state.
pub(super) enum Errand {
    Put(PartId, Vec<Chunk>),
    Read(PartId),
    Forget(PartId),
}

impl Chain {
    /// The machines in the order of the rows. Each says first what it needs, the last one first.
    pub(super) fn new(links: Vec<Link>) -> Self {
        Self { at: links.len().saturating_sub(1), links, clock: Instant::now() }
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
    pub(super) fn turn(&mut self) -> Result<Turn, RunError> {
        let Some(link) = self.links.get_mut(self.at) else { return Ok(Turn::Done) };
        let step = guarded(&link.name, || Ok(link.machine.step()?))?;
        let now = Instant::now();
        link.tally.worked(now - self.clock);
        self.clock = now;
        match step {
            Step::NeedInput(ports) => self.ask(ports),
            Step::Output(chunk) => {
                link.tally.gave(chunk.rows());
                self.pass_on(Item::Chunk(chunk))
            }
            Step::Spill(part, chunks) => Ok(Turn::Disk(Errand::Put(part, chunks))),
            Step::Load(part) => Ok(Turn::Disk(Errand::Read(part))),
            Step::Forget(part) => Ok(Turn::Disk(Errand::Forget(part))),
            Step::Begin(piece) => Ok(Turn::Begin(self.at, piece)),
            Step::Await => Ok(Turn::Await),
            Step::More => Ok(Turn::Yield),
            Step::Done => {
                link.done = true;
                link.tally.matched(&link.machine.unmatched());
                self.pass_on(Item::End)
            }
        }
    }

    /// The name of the node of a machine.
    pub(super) fn name(&self, at: usize) -> Arc<str> {
        self.links.get(at).map_or_else(|| Arc::from(""), |link| Arc::clone(&link.name))
    }

    /// The machine that stepped, whose area an errand is for.
    pub(super) fn stepped(&mut self) -> Option<&mut Link> {
        self.links.get_mut(self.at)
    }

    /// Tells a machine that a piece of its work is done; it steps next.
    pub(super) fn finished(&mut self, piece: &Finished) -> Result<(), RunError> {
        let Some(link) = self.links.get_mut(piece.link).filter(|link| !link.done) else { return Ok(()) };
        self.at = piece.link;
        link.tally.worked(piece.time);
        guarded(&link.name, || Ok(link.machine.finished()?))
    }

    fn give(&mut self, to: usize, port: usize, item: Item, queued: usize) -> Result<(), RunError> {
        let Some(link) = self.links.get_mut(to) else { return Ok(()) };
        if let Item::Chunk(chunk) = &item {
            link.tally.took(port, chunk.rows(), queued);
        }
        self.at = to;
        guarded(&link.name, || Ok(link.machine.accept(port, item)?))
    }

    /// Asks the machine before the one that stepped, or the edges.
    fn ask(&mut self, ports: Vec<usize>) -> Result<Turn, RunError> {
        let Some(before) = self.at.checked_sub(1) else { return Ok(Turn::NeedInput(ports)) };
        match (self.links.get(before), self.links.get(self.at)) {
            (Some(upstream), Some(link)) if upstream.done => {
                Err(RunError::Node { node: link.name.to_string(), cause: beyond_the_end().into() })
            }
            _ => {
                self.at = before;
                Ok(Turn::Again)
            }
        }
    }

    /// Hands on what the machine that stepped gave.
    fn pass_on(&mut self, item: Item) -> Result<Turn, RunError> {
        let next = self.at + 1;
        let Some(link) = self.links.get(next) else {
            return Ok(match item {
                Item::Chunk(chunk) => Turn::Output(chunk),
                Item::End => {
                    self.back();
                    Turn::Ended
                }
            });
        };
        if !link.done {
            self.give(next, 0, item, 0)?;
        } else if matches!(item, Item::End) {
            self.back();
        }
        // A machine that is done has all it wants; what the others still give goes nowhere.
        Ok(Turn::Again)
    }

    /// Goes back to the nearest machine that is not done, or to the end of all.
    fn back(&mut self) {
        let open = self.links.iter().take(self.at).rposition(|link| !link.done);
        self.at = open.unwrap_or(self.links.len());
    }
}

impl Errand {
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
