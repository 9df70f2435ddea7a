//! Chunks that wait at the ports of a machine.

use std::collections::VecDeque;

use anabranch_engine::chunk::Chunk;
use anabranch_engine::operator::{BindError, Input, Item, OperatorError, Step};

/// Chunks that have come at the only port and wait for their turn.
///
/// Memory: the chunks that the driver pushes before the next step, in practice one.
#[derive(Debug, Default)]
pub(crate) struct InputQueue {
    chunks: VecDeque<Chunk>,
    ended: bool,
}

impl InputQueue {
    pub(crate) fn push(&mut self, port: usize, item: Item) -> Result<(), OperatorError> {
        if port != 0 {
            return Err(OperatorError::Protocol("rows came at a port that this operator does not have"));
        }
        if self.ended {
            return Err(OperatorError::Protocol("something came at a port that had ended"));
        }
        match item {
            Item::Chunk(chunk) if chunk.rows() == 0 => {}
            Item::Chunk(chunk) => self.chunks.push_back(chunk),
            Item::End => self.ended = true,
        }
        Ok(())
    }

    pub(crate) fn next(&mut self) -> Option<Chunk> {
        self.chunks.pop_front()
    }

    /// Returns the step of a machine that has no work left.
    pub(crate) fn idle(&self) -> Step {
        if self.ended { Step::Done } else { Step::NeedInput(vec![0]) }
    }
}

/// The input of an operator that takes exactly one.
pub(crate) fn only_input(inputs: &[Input]) -> Result<&Input, BindError> {
    match inputs {
        [input] => Ok(input),
        _ => Err(BindError::parameter(
            "input",
            format!("{} inputs", inputs.len()),
            "exactly one",
            "name one node; put several together with join or union first",
        )),
    }
}

/// Chunks that have come at the ports of a machine with several, in the order in which they came.
///
/// Memory: the chunks that the driver pushes before the next step, in practice one.
#[derive(Debug)]
pub(crate) struct InputQueues {
    chunks: VecDeque<(usize, Chunk)>,
    /// By port.
    ended: Vec<bool>,
}

impl InputQueues {
    pub(crate) fn new(ports: usize) -> Self {
        Self { chunks: VecDeque::new(), ended: vec![false; ports] }
    }

    pub(crate) fn push(&mut self, port: usize, item: Item) -> Result<(), OperatorError> {
        let ended = self
            .ended
            .get_mut(port)
            .ok_or(OperatorError::Protocol("rows came at a port that this operator does not have"))?;
        if *ended {
            return Err(OperatorError::Protocol("something came at a port that had ended"));
        }
        match item {
            Item::Chunk(chunk) if chunk.rows() == 0 => {}
            Item::Chunk(chunk) => self.chunks.push_back((port, chunk)),
            Item::End => *ended = true,
        }
        Ok(())
    }

    pub(crate) fn next(&mut self) -> Option<(usize, Chunk)> {
        self.chunks.pop_front()
    }

    /// Returns the step of a machine that has no work left; its ports are named in turn from `first` on.
    pub(crate) fn idle(&self, first: usize) -> Step {
        let ports = self.ended.len().max(1);
        let turn = (0..ports).map(|n| (first + n) % ports);
        let open: Vec<usize> = turn.filter(|port| self.ended.get(*port) == Some(&false)).collect();
        if open.is_empty() { Step::Done } else { Step::NeedInput(open) }
    }
}
