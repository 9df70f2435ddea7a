//! What has come at the port of a one-input machine.

use std::collections::VecDeque;

use anabranch_engine::chunk::Chunk;
use anabranch_engine::operator::{BindError, Input, Item, OperatorError, Step};

/// Chunks that have come at the only port and wait for their turn.
///
/// Memory: what the driver hands in before it asks for a step, in practice one chunk.
#[derive(Debug, Default)]
pub(crate) struct Arrivals {
    chunks: VecDeque<Chunk>,
    ended: bool,
}

impl Arrivals {
    pub(crate) fn accept(&mut self, port: usize, item: Item) -> Result<(), OperatorError> {
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

    /// What to say when nothing is left to do.
    pub(crate) fn idle(&self) -> Step {
        if self.ended { Step::Done } else { Step::NeedInput(vec![0]) }
    }
}

/// The input of an operator that takes exactly one.
pub(crate) fn only_input(inputs: &[Input]) -> Result<&Input, BindError> {
    match inputs {
        [input] => Ok(input),
        _ => Err(BindError::Parameter {
            parameter: "input",
            found: format!("{} inputs", inputs.len()),
            expected: "exactly one".to_owned(),
            remedy: "name one node; put several together with join or union first".to_owned(),
        }),
    }
}
