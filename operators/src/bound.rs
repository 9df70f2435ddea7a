//! The binding of operators to their inputs.

use anabranch_engine::operator::{BindError, Bound, Context, Contract, Input, Machine, UnknownValues};

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
