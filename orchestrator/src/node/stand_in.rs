//! Stand-ins for nodes whose work depends on values that are not computed, and ends of branches that give nothing.

use anabranch_engine::chunk::Chunk;
use anabranch_engine::index::fitting;
use anabranch_engine::operator::{Item, Machine, OperatorError, Step};
use anabranch_engine::stage::{Stage, StageError, StageStep};
use anabranch_nodes::function::lacks_origin;
use futures::future::BoxFuture;

/// Forwards the rows of one port, or of none, and drops those of the others.
pub(super) struct OnePort {
    forwarded: Option<usize>,
    open: Vec<usize>,
    arrived: Option<Chunk>,
}

impl OnePort {
    pub(super) fn new(ports: usize, forwarded: Option<usize>) -> Self {
        Self { forwarded, open: (0..ports).collect(), arrived: None }
    }
}

impl Stage for OnePort {
    fn accept(&mut self, port: usize, item: Item) -> Result<(), StageError> {
        match item {
            Item::Chunk(chunk) if self.forwarded == Some(port) => self.arrived = Some(chunk),
            Item::Chunk(_) => {}
            Item::End => self.open.retain(|open| *open != port),
        }
        Ok(())
    }

    fn step(&mut self) -> BoxFuture<'_, Result<StageStep, StageError>> {
        let step = match self.arrived.take() {
            Some(chunk) => StageStep::Output(chunk),
            None if self.open.is_empty() => StageStep::Done,
            None => StageStep::NeedInput(self.open.clone()),
        };
        Box::pin(std::future::ready(Ok(step)))
    }
}

/// A machine that decides for each row; rows whose values are not all known pass beside it.
pub(super) struct PassUnknown {
    machine: Box<dyn Machine>,
    unknown: Option<Chunk>,
}

impl PassUnknown {
    pub(super) fn new(machine: Box<dyn Machine>) -> Self {
        Self { machine, unknown: None }
    }

    fn split(&mut self, chunk: &Chunk) -> Result<(), StageError> {
        let sources = &chunk.provenance().sources;
        let rows = 0..fitting(chunk.rows(), "number of rows");
        let (unknown, known): (Vec<u32>, Vec<u32>) =
            rows.partition(|row| sources.iter().any(|source| lacks_origin(source, *row as usize)));
        if !known.is_empty() {
            self.machine.accept(0, Item::Chunk(chunk.take(&known)?))?;
        }
        if !unknown.is_empty() {
            self.unknown = Some(chunk.take(&unknown)?);
        }
        Ok(())
    }
}

impl Stage for PassUnknown {
    fn accept(&mut self, port: usize, item: Item) -> Result<(), StageError> {
        match item {
            Item::Chunk(chunk) => self.split(&chunk),
            Item::End => Ok(self.machine.accept(port, Item::End)?),
        }
    }

    fn step(&mut self) -> BoxFuture<'_, Result<StageStep, StageError>> {
        let step = match self.unknown.take() {
            Some(chunk) => Ok(StageStep::Output(chunk)),
            None => match self.machine.step() {
                Ok(Step::Output(chunk)) => Ok(StageStep::Output(chunk)),
                Ok(Step::NeedInput(ports)) => Ok(StageStep::NeedInput(ports)),
                Ok(Step::Done) => Ok(StageStep::Done),
                Ok(_) => {
                    Err(OperatorError::Protocol("a machine that passes rows needs nothing but input").into())
                }
                Err(cause) => Err(cause.into()),
            },
        };
        Box::pin(std::future::ready(step))
    }
}
