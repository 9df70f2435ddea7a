//! unbatch: lists in columns become rows.

mod cursor;
mod plan;

use std::sync::Arc;

use anabranch_engine::chunk::Chunk;
use anabranch_engine::identity::Structure;
use anabranch_engine::operator::{
    BindError, Bound, Contract, Input, Item, Machine, Operator, OperatorError, Step, UnknownValues,
};
use anabranch_engine::provenance::Origins;

use crate::bound::{bound, only_input};
use crate::input_queue::InputQueue;
use cursor::Cursor;
use plan::UnbatchPlan;

/// Explodes every tag and packet column that is a list, all at once: a row whose lists have `n`
/// items becomes `n` rows.
///
/// Columns without lists repeat. Every list column explodes by one level, also one that no batch
/// made; a map or a list with an extension type is no list. System tags and source info explode
/// where they lie in the lists of one batch with an exploded column; else they stay whole on each
/// of the rows. A null list counts as an empty one: if all lists of a row are empty, nothing comes
/// of it. Undoes a batch, provenance included.
///
/// Order: as the input. Memory: the chunk at hand; output leaves in chunks of at most `chunk_rows`
/// rows, also where one row has a million items, and of fewer where what repeats is large.
///
/// Errors: no list column; while running, a row whose lists have different lengths.
///
/// Example:
/// ```
/// use anabranch_engine::operator::Operator;
/// use anabranch_operators::Unbatch;
///
/// assert_eq!(Unbatch.kind(), "unbatch");
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Unbatch;

impl Operator for Unbatch {
    fn kind(&self) -> &'static str {
        "unbatch"
    }

    fn identify(&self, _structure: &mut Structure) {}

    fn bind(&self, inputs: &[Input]) -> Result<Box<dyn Bound>, BindError> {
        let input = only_input(inputs)?;
        let plan = UnbatchPlan::of(&input.schema)?;
        let contract = Contract::of(input, Arc::clone(&plan.schema));
        let plan = Arc::new(plan);
        Ok(bound(contract, UnknownValues::Nothing, move |context| UnbatchMachine {
            plan: Arc::clone(&plan),
            origins: Arc::clone(&context.origins),
            chunk_rows: context.chunk_rows.max(1),
            queue: InputQueue::default(),
            seen: 0,
            cursor: None,
        }))
    }
}

struct UnbatchMachine {
    plan: Arc<UnbatchPlan>,
    origins: Arc<Origins>,
    chunk_rows: usize,
    queue: InputQueue,
    /// Rows of the input before the chunk that comes next.
    seen: u64,
    cursor: Option<Cursor>,
}

impl UnbatchMachine {
    /// The next rows of the chunk at hand.
    fn advance(&mut self) -> Result<Option<Chunk>, OperatorError> {
        match &mut self.cursor {
            Some(cursor) => Ok(cursor.next(&self.plan, self.chunk_rows)?),
            None => Ok(None),
        }
    }

    fn begin(&mut self, chunk: Chunk) -> Result<(), OperatorError> {
        let rows = chunk.rows() as u64;
        self.cursor = Some(Cursor::new(chunk, &self.plan, self.seen, &self.origins)?);
        self.seen += rows;
        Ok(())
    }
}

impl Machine for UnbatchMachine {
    fn accept(&mut self, port: usize, item: Item) -> Result<(), OperatorError> {
        self.queue.push(port, item)
    }

    fn step(&mut self) -> Result<Step, OperatorError> {
        loop {
            if let Some(chunk) = self.advance()? {
                return Ok(Step::Output(chunk));
            }
            self.cursor = None;
            match self.queue.next() {
                Some(chunk) => self.begin(chunk)?,
                None => return Ok(self.queue.idle()),
            }
        }
    }
}
