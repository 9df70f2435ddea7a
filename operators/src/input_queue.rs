//! Chunks that wait at the ports of a machine.

use std::collections::VecDeque;

use anabranch_engine::chunk::Chunk;
use anabranch_engine::index::At as _;
use anabranch_engine::operator::{Item, OperatorError, Step};

/// The ports of a machine, and which of them have ended.
#[derive(Debug)]
pub(crate) struct OpenPorts {
    /// By port.
    ended: Vec<bool>,
}

impl OpenPorts {
    pub(crate) fn new(ports: usize) -> Self {
        Self { ended: vec![false; ports] }
    }

    /// Notes what comes at a port.
    ///
    /// Errors: the machine has no such port, or it has ended.
    pub(crate) fn admit(&mut self, port: usize, item: &Item) -> Result<(), OperatorError> {
        match self.ended.get_mut(port) {
            None => Err(OperatorError::Protocol("rows came at a port that this operator does not have")),
            Some(true) => Err(OperatorError::Protocol("something came at a port that had ended")),
            Some(ended) => {
                *ended = matches!(item, Item::End);
                Ok(())
            }
        }
    }

    pub(crate) fn has_ended(&self, port: usize) -> bool {
        *self.ended.at(port, "port")
    }

    /// Returns the step of a machine that has no work left; its ports are named in turn from `first` on.
    pub(crate) fn idle(&self, first: usize) -> Step {
        let ports = self.ended.len();
        let turn = (0..ports).map(|n| (first + n) % ports);
        let open: Vec<usize> = turn.filter(|port| !self.has_ended(*port)).collect();
        if open.is_empty() { Step::Done } else { Step::NeedInput(open) }
    }
}

/// Chunks that have come and wait for their turn, each with its port.
///
/// Memory: the chunks that the driver pushes before the next step, in practice one.
#[derive(Debug)]
pub(crate) struct InputQueue {
    chunks: VecDeque<(usize, Chunk)>,
    ports: OpenPorts,
}

impl Default for InputQueue {
    fn default() -> Self {
        Self::new(1)
    }
}

impl InputQueue {
    pub(crate) fn new(ports: usize) -> Self {
        Self { chunks: VecDeque::new(), ports: OpenPorts::new(ports) }
    }

    pub(crate) fn push(&mut self, port: usize, item: Item) -> Result<(), OperatorError> {
        self.ports.admit(port, &item)?;
        if let Item::Chunk(chunk) = item
            && chunk.rows() > 0
        {
            self.chunks.push_back((port, chunk));
        }
        Ok(())
    }

    /// The chunk that came first, of a machine with one port.
    pub(crate) fn next(&mut self) -> Option<Chunk> {
        self.next_of_all().map(|(_, chunk)| chunk)
    }

    /// The chunk that came first, with its port.
    pub(crate) fn next_of_all(&mut self) -> Option<(usize, Chunk)> {
        self.chunks.pop_front()
    }

    /// Returns the step of a machine with one port that has no work left.
    pub(crate) fn idle(&self) -> Step {
        self.idle_from(0)
    }

    /// Returns the step of a machine that has no work left; its ports are named in turn from `first` on.
    pub(crate) fn idle_from(&self, first: usize) -> Step {
        self.ports.idle(first)
    }
}
