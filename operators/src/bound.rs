//! The binding of operators to their inputs.

use std::sync::Arc;

use anabranch_engine::chunk::Chunk;
use anabranch_engine::operator::{
    BindError, Bound, Context, Contract, Input, Item, Machine, OperatorError, Step, UnknownValues,
};

use crate::input_queue::InputQueue;

/// Returns an operator that has its inputs, given the function that makes a machine for a run.
pub(crate) fn bound<M: Machine + 'static>(
    contract: Contract,
    unknown_values: UnknownValues,
    start: impl Fn(&Context) -> M + Send + Sync + 'static,
) -> Box<dyn Bound> {
    let start = move |context: &Context| -> Box<dyn Machine> { Box::new(start(context)) };
    Box::new(BoundOperator { contract, unknown_values, start })
}

struct BoundOperator<S> {
    contract: Contract,
    unknown_values: UnknownValues,
    start: S,
}

impl<S: Fn(&Context) -> Box<dyn Machine> + Send + Sync> Bound for BoundOperator<S> {
    fn contract(&self) -> &Contract {
        &self.contract
    }

    fn with_unknown_values(&self) -> UnknownValues {
        self.unknown_values
    }

    fn start(&self, context: &Context) -> Box<dyn Machine> {
        (self.start)(context)
    }
}

/// Returns an operator that makes a chunk of each chunk as it comes, whatever its values are.
pub(crate) fn each_chunk(
    contract: Contract,
    ports: usize,
    make: impl Fn(usize, Chunk) -> Result<Chunk, OperatorError> + Send + Sync + 'static,
) -> Box<dyn Bound> {
    let make = Arc::new(make);
    bound(contract, UnknownValues::Run, move |_| {
        let (queue, make) = (InputQueue::new(ports), Arc::clone(&make));
        EachChunk { queue, last: 0, make }
    })
}

struct EachChunk<F> {
    queue: InputQueue,
    /// The port that was served last.
    last: usize,
    make: Arc<F>,
}

impl<F: Fn(usize, Chunk) -> Result<Chunk, OperatorError> + Send + Sync> Machine for EachChunk<F> {
    fn accept(&mut self, port: usize, item: Item) -> Result<(), OperatorError> {
        self.queue.push(port, item)
    }

    fn step(&mut self) -> Result<Step, OperatorError> {
        let Some((port, chunk)) = self.queue.next_of_all() else {
            // The next in turn is named first, so that an input that never pauses starves no other.
            return Ok(self.queue.idle_from(self.last + 1));
        };
        self.last = port;
        Ok(Step::Output((self.make)(port, chunk)?))
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
