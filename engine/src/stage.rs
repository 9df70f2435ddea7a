//! The work of a node: a source's reader, an operator's machine, or a stage that waits.

use futures::future::BoxFuture;

use crate::chunk::Chunk;
use crate::operator::{Item, Machine};
use crate::spill::SpillArea;

/// An error of a running node, whatever its kind.
pub type StageError = Box<dyn std::error::Error + Send + Sync>;

/// Gives the rows of a source, one chunk at a call. May block; runs on a thread of its own.
pub trait ChunkReader: Send {
    /// The next rows, or none at the end.
    ///
    /// A chunk without rows goes nowhere: more is to be done before the next rows, and it
    /// lets a run that is cancelled stop in between.
    fn next(&mut self) -> Result<Option<Chunk>, StageError>;
}

/// The need of a stage after a step.
#[derive(Debug)]
pub enum StageStep {
    /// Rows at one of these ports, or their end; where several have some, at the one named first.
    ///
    /// All ports that have not ended are named, as by a machine.
    NeedInput(Vec<usize>),
    /// These rows go to the consumers; then it steps again.
    Output(Chunk),
    /// The output is complete.
    Done,
}

/// A node that has to wait for more than its inputs: a function, a recording, a sink.
///
/// It is driven like a [`Machine`], but its steps may wait. At most one chunk is pushed
/// between two steps that need input.
pub trait Stage: Send {
    /// Takes what has come at a port.
    fn accept(&mut self, port: usize, item: Item) -> Result<(), StageError>;

    /// Works until something is needed or ready.
    fn step(&mut self) -> BoxFuture<'_, Result<StageStep, StageError>>;

    /// Waits until [`Stage::step`] has work although no input came; for ever by default.
    ///
    /// Cancellation: nothing is lost by dropping the future.
    fn progress(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::pending())
    }
}

/// A node at work, as a driver sees it.
pub enum Running {
    /// Rows come from outside.
    Source(Box<dyn ChunkReader>),
    /// A synchronous operator.
    Machine(Box<dyn Machine>),
    /// A synchronous operator whose work several machines share, each with an area of its own for
    /// its state: every one is given all rows of every input, and their outputs are put together
    /// in any order.
    Split(Vec<(Box<dyn Machine>, Box<dyn SpillArea>)>),
    /// A node that waits.
    Stage(Box<dyn Stage>),
}

impl std::fmt::Debug for Running {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Source(_) => "Source",
            Self::Machine(_) => "Machine",
            Self::Split(_) => "Split",
            Self::Stage(_) => "Stage",
        })
    }
}

/// The string that code panicked with.
#[must_use]
pub fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".to_owned())
}
