//! A distinct at work.

use std::collections::HashSet;
use std::sync::Arc;

use anabranch_engine::chunk::{CHUNK_ROWS, Chunk};
use anabranch_engine::identity::PacketHash;
use anabranch_engine::index::At as _;
use anabranch_engine::memory::MemoryAccount;
use anabranch_engine::operator::{Context, Item, Machine, OperatorError, PartId, Step};
use anabranch_engine::schema::Role;
use arrow::array::ArrayRef;

use super::DistinctPlan;
use super::groups::{Labels, first_rows};
use crate::coalescer::Coalescer;
use crate::input_queue::InputQueue;
use crate::sort::Sorter;

/// Bytes of a value in the set, with the room that a table has beyond its entries.
const VALUE_BYTES: usize = 66;
/// Set in the numbers of the parts of the rows that are sorted by place.
const BY_PLACE: u64 = 1 << 63;

/// The running distinct.
///
/// ```text
///   rows in order --> first of their value leave ---- memory is full ----> later rows, and values that have left
///   rows without order --------------------------------------------------> | sorted by value
///                                 out <-- sorted by place (if ordered) <-- first of each value
/// ```
pub(super) struct DistinctMachine {
    plan: Arc<DistinctPlan>,
    context: Context,
    ordered: bool,
    queue: InputQueue,
    memory: MemoryAccount,
    output: Coalescer,
    /// Rows that have come.
    rows: u64,
    phase: DistinctPhase,
}

enum DistinctPhase {
    /// The values whose rows have left.
    Stream(HashSet<PacketHash>),
    /// Rows are sorted by value, and the first of each are put aside.
    Group(Box<Grouping>),
    /// Rows are sorted by place, and leave.
    Arrange(Box<Sorter>),
}

struct Grouping {
    /// The values whose rows have left and that are not in the sorter yet.
    left: Vec<PacketHash>,
    by_value: Sorter,
    by_place: Sorter,
    /// The value before the next row.
    last: Option<[u8; 32]>,
    /// True if rows wait to be taken in by `by_place`.
    is_placing: bool,
}

impl DistinctMachine {
    pub(super) fn new(plan: Arc<DistinctPlan>, ordered: bool, context: &Context) -> Self {
        let phase = if ordered {
            DistinctPhase::Stream(HashSet::new())
        } else {
            DistinctPhase::Group(Box::new(Grouping::new(&plan, Vec::new(), context)))
        };
        Self {
            output: Coalescer::new(Arc::clone(&plan.groups.schema), context.chunk_rows),
            plan,
            context: context.clone(),
            ordered,
            queue: InputQueue::default(),
            memory: context.memory.account(),
            rows: 0,
            phase,
        }
    }

    fn values(&self, chunk: &Chunk) -> Result<Vec<PacketHash>, OperatorError> {
        let column = |(role, at): &(Role, usize)| -> ArrayRef {
            let columns = if *role == Role::Tag { chunk.tags() } else { chunk.packets() };
            columns.at(*at, "compared column").clone()
        };
        let columns: Vec<ArrayRef> = self.plan.columns.iter().map(column).collect();
        self.plan.hasher.hash(&columns, chunk.rows()).map_err(|cause| {
            OperatorError::data(
                "distinct",
                cause.to_string(),
                "values that can be compared",
                "name other columns in by",
            )
        })
    }

    /// Takes the next rows in; returns false if there are none.
    fn take_rows(&mut self) -> Result<bool, OperatorError> {
        if let DistinctPhase::Group(grouping) = &mut self.phase
            && !grouping.left.is_empty()
        {
            let rest = grouping.left.len().saturating_sub(CHUNK_ROWS);
            let values = grouping.left.split_off(rest);
            self.memory.set(grouping.left.len() * size_of::<PacketHash>())?;
            grouping.by_value.accept(0, Item::Chunk(self.plan.groups.of_values(&values)?))?;
            return Ok(true);
        }
        let Some(chunk) = self.queue.next() else { return Ok(false) };
        let values = self.values(&chunk)?;
        let first = self.ordered.then_some(self.rows);
        self.rows += chunk.rows() as u64;
        match &mut self.phase {
            DistinctPhase::Stream(seen) => {
                let rows = (0_u32..).zip(&values).filter(|(_, value)| seen.insert(**value));
                let rows: Vec<u32> = rows.map(|(row, _)| row).collect();
                let bytes = seen.capacity() * VALUE_BYTES;
                self.output.push(if rows.len() == chunk.rows() { chunk } else { chunk.take(&rows)? })?;
                if self.memory.set(bytes).is_err() {
                    let left: Vec<PacketHash> = std::mem::take(seen).into_iter().collect();
                    self.memory.set(left.len() * size_of::<PacketHash>())?;
                    self.phase =
                        DistinctPhase::Group(Box::new(Grouping::new(&self.plan, left, &self.context)));
                }
            }
            DistinctPhase::Group(grouping) => {
                let labeled = self.plan.groups.label(chunk, &Labels { values: &values, first })?;
                grouping.by_value.accept(0, Item::Chunk(labeled))?;
            }
            DistinctPhase::Arrange(_) => unreachable!("rows are arranged once all have come"),
        }
        Ok(true)
    }

    /// Goes on without more rows; `more` is true if some were just taken in. None if there is nothing to do for the driver.
    fn advance(&mut self, more: bool) -> Result<Option<Step>, OperatorError> {
        let grouping = match &mut self.phase {
            DistinctPhase::Stream(_) => return Ok((!more).then(|| self.queue.idle())),
            DistinctPhase::Arrange(sorter) => return Ok(Some(by_place(sorter.step()?))),
            DistinctPhase::Group(grouping) => grouping,
        };
        if grouping.is_placing {
            match grouping.by_place.step()? {
                Step::NeedInput(_) => grouping.is_placing = false,
                step => return Ok(Some(by_place(step))),
            }
        }
        match grouping.by_value.step()? {
            Step::NeedInput(_) if more => Ok(None),
            Step::NeedInput(_) if matches!(self.queue.idle(), Step::Done) => {
                grouping.by_value.accept(0, Item::End)?;
                Ok(None)
            }
            Step::Output(chunk) => {
                let chosen = first_rows(&chunk, self.ordered, &mut grouping.last)?;
                if !self.ordered {
                    self.output.push(self.plan.groups.unlabel(chosen)?)?;
                } else if chosen.rows() > 0 {
                    grouping.by_place.accept(0, Item::Chunk(chosen))?;
                    grouping.is_placing = true;
                }
                Ok(self.output.full().map_or(Some(Step::More), |chunk| Some(Step::Output(chunk))))
            }
            Step::Done if self.ordered => {
                grouping.by_place.accept(0, Item::End)?;
                let empty = DistinctPhase::Stream(HashSet::new());
                if let DistinctPhase::Group(grouping) = std::mem::replace(&mut self.phase, empty) {
                    self.phase = DistinctPhase::Arrange(Box::new(grouping.by_place));
                }
                Ok(None)
            }
            step => Ok(Some(step)),
        }
    }
}

impl Grouping {
    fn new(plan: &DistinctPlan, left: Vec<PacketHash>, context: &Context) -> Self {
        Self {
            left,
            by_value: Sorter::new(Arc::clone(&plan.groups.by_value), context),
            by_place: Sorter::new(Arc::clone(&plan.groups.by_place), context),
            last: None,
            is_placing: false,
        }
    }
}

/// The step with the parts of the rows that are sorted by place.
fn by_place(step: Step) -> Step {
    let own = |part: PartId| PartId(part.0 | BY_PLACE);
    match step {
        Step::Spill(part, chunks) => Step::Spill(own(part), chunks),
        Step::Load(part) => Step::Load(own(part)),
        Step::Forget(part) => Step::Forget(own(part)),
        other => other,
    }
}

impl Machine for DistinctMachine {
    fn accept(&mut self, port: usize, item: Item) -> Result<(), OperatorError> {
        self.queue.push(port, item)
    }

    fn step(&mut self) -> Result<Step, OperatorError> {
        loop {
            if let Some(chunk) = self.output.full() {
                return Ok(Step::Output(chunk));
            }
            let more = self.take_rows()?;
            match self.advance(more)? {
                None => {}
                Some(Step::Output(chunk)) if matches!(self.phase, DistinctPhase::Arrange(_)) => {
                    self.output.push(self.plan.groups.unlabel(chunk)?)?;
                }
                Some(idle @ (Step::NeedInput(_) | Step::Done)) => {
                    return Ok(self.output.rest()?.map_or(idle, Step::Output));
                }
                Some(step) => return Ok(step),
            }
        }
    }

    fn loaded(&mut self, part: PartId, chunks: Vec<Chunk>) -> Result<(), OperatorError> {
        let is_placed = part.0 & BY_PLACE != 0;
        let own = PartId(part.0 & !BY_PLACE);
        match &mut self.phase {
            DistinctPhase::Group(grouping) if is_placed => grouping.by_place.loaded(own, &chunks),
            DistinctPhase::Group(grouping) => grouping.by_value.loaded(own, &chunks),
            DistinctPhase::Arrange(sorter) if is_placed => sorter.loaded(own, &chunks),
            _ => Err(OperatorError::Protocol("rows came back that this operator did not ask for")),
        }
    }
}
