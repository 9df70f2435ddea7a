//! A symmetric hash join of two sides.
//!
//! Each chunk is first kept for the other side's later chunks, then looked up among the rows that
//! the other side has kept. So each pair is found once: when the later of its rows comes. Once a
//! side has ended, the other side's rows are only looked up, and those kept for it are let go.
//!
//! When memory ends, what is kept leaves it, and what comes later goes after it: see
//! [`Spilled`](super::spilled::Spilled).

use std::sync::Arc;

use anabranch_engine::chunk::Chunk;
use anabranch_engine::index::At as _;
use anabranch_engine::memory::MemoryBudget;
use anabranch_engine::operator::{Context, OperatorError, PartId, Step};
use anabranch_engine::provenance::Origins;
use arrow::array::ArrayRef;

use super::layout::{JoinLayout, SideOf, Sides, StagePlan};
use super::prepared_input::PreparedInput;
use super::probe::{Marks, Probe, StageOutput};
use super::side::{BuildSide, Seen, too_many_rows};
use super::spilled::Spilled;
use crate::keys::hash_rows;
use crate::rows::{Bits, RowTable};

/// One stage of the chain.
pub(super) struct Stage {
    layout: Arc<JoinLayout>,
    number: usize,
    origins: Arc<Origins>,
    pub(super) seen: Sides<Seen>,
    state: State,
    output_rows: usize,
    /// For either side, the machines that are given its chunks.
    sharers: Sides<usize>,
}

enum State {
    Memory(Box<Memory>),
    Spilled(Box<Spilled>),
}

/// The state while all of it is in memory.
struct Memory {
    table: RowTable,
    kept: Sides<BuildSide>,
    probe: Option<Probe>,
}

impl Stage {
    /// Returns the stage of that number.
    pub(super) fn new(layout: &Arc<JoinLayout>, number: usize, context: &Context) -> Self {
        let plan = plan_of(layout, number);
        let partitions = usize::try_from(context.partition.count()).unwrap_or(usize::MAX);
        // What comes from the stage before is this machine's alone.
        let sharers = Sides { left: if number == 0 { partitions } else { 1 }, right: partitions };
        let memory = Memory { table: RowTable::default(), kept: empty(plan, &sharers), probe: None };
        Self {
            layout: Arc::clone(layout),
            number,
            origins: Arc::clone(&context.origins),
            seen: Sides::default(),
            state: State::Memory(Box::new(memory)),
            output_rows: context.chunk_rows.max(1),
            sharers,
        }
    }

    fn have_ended(&self) -> bool {
        self.seen.left.ended && self.seen.right.ended
    }

    /// Returns whether [`Stage::advance`] has something to do.
    pub(super) fn is_busy(&self) -> bool {
        match &self.state {
            State::Memory(memory) => memory.probe.is_some(),
            State::Spilled(spilled) => spilled.is_busy(),
        }
    }

    /// Returns whether no more output can come.
    pub(super) fn is_finished(&self) -> bool {
        if self.is_busy() {
            return false;
        }
        match &self.state {
            State::Memory(memory) => {
                let is_over = |side| self.seen[side].ended && memory.kept[side].is_empty();
                is_over(SideOf::Left) || is_over(SideOf::Right)
            }
            State::Spilled(_) => self.have_ended(),
        }
    }

    pub(super) fn bytes(&self) -> usize {
        match &self.state {
            State::Memory(memory) => {
                memory.table.bytes() + memory.kept.left.bytes() + memory.kept.right.bytes()
            }
            State::Spilled(spilled) => spilled.bytes(),
        }
    }

    /// Bytes that would leave memory if the stage spilled.
    pub(super) fn spillable(&self) -> usize {
        match &self.state {
            State::Memory(memory)
                if memory.kept.left.holds_nothing() && memory.kept.right.holds_nothing() =>
            {
                0
            }
            State::Memory(_) => self.bytes(),
            State::Spilled(_) => 0,
        }
    }

    /// Returns whether it keeps chunks together with other machines.
    pub(super) fn is_sharing(&self) -> bool {
        match &self.state {
            State::Memory(memory) => {
                memory.kept.left.store.is_sharing() || memory.kept.right.store.is_sharing()
            }
            State::Spilled(_) => false,
        }
    }

    /// Begins to move its state out of memory; the stage is not busy.
    pub(super) fn spill(&mut self, budget: &MemoryBudget) {
        let plan = self.layout.stages.at(self.number, "stage of the join");
        if let State::Memory(memory) = &mut self.state {
            let kept = std::mem::replace(&mut memory.kept, empty(plan, &self.sharers));
            self.state = State::Spilled(Box::new(Spilled::new(self.number, kept, budget)));
        }
    }

    /// Takes rows at a side; the stage is not busy.
    pub(super) fn push(&mut self, side: SideOf, mut prepared: PreparedInput) -> Result<(), OperatorError> {
        let layout = Arc::clone(&self.layout);
        let plan = plan_of(&layout, self.number);
        let (keys, hashes) = hashes_of(plan, side, &mut prepared);
        let is_awaited = !self.seen[side.other()].ended;
        self.seen[side].rows += prepared.selection().len() as u64;
        match &mut self.state {
            State::Spilled(spilled) => spilled.push(side, &prepared, &hashes),
            State::Memory(memory) => {
                let chains;
                let marks = if is_awaited {
                    let numbers = memory.kept[side].append(&prepared.chunk, prepared.selection())?;
                    let found = memory.table.insert(side.in_table(), &hashes, numbers);
                    chains = found.ok_or_else(too_many_rows)?;
                    Marks::Stored { first: numbers.first, by_row: numbers.places.is_some() }
                } else {
                    chains = memory.table.look_up(side.other().in_table(), &hashes);
                    Marks::Once(Bits::default())
                };
                if !memory.kept[side.other()].is_empty() && !chains.is_empty() {
                    memory.probe = Some(Probe::new(side, prepared, keys, &chains, marks));
                }
                Ok(())
            }
        }
    }

    /// Ends a side; the stage is not busy.
    pub(super) fn end(&mut self, side: SideOf) {
        let layout = Arc::clone(&self.layout);
        let plan = plan_of(&layout, self.number);
        self.seen[side].ended = true;
        let both = self.have_ended();
        match &mut self.state {
            State::Memory(memory) => {
                let other = side.other();
                memory.kept[other] = BuildSide::new(&plan.sides[other].schema, self.sharers[other]);
                if both {
                    memory.table = RowTable::default();
                }
            }
            State::Spilled(spilled) if both => spilled.ended = true,
            State::Spilled(_) => {}
        }
    }

    /// Does a bounded piece of work: gives at most `output_rows` rows, returns what only the
    /// driver can do, or gives nothing.
    pub(super) fn advance(&mut self) -> Result<Option<Step>, OperatorError> {
        let layout = Arc::clone(&self.layout);
        let plan = plan_of(&layout, self.number);
        let mut output =
            StageOutput { plan, origins: &self.origins, rows: self.output_rows, seen: &mut self.seen };
        match &mut self.state {
            State::Spilled(spilled) => spilled.advance(&mut output),
            State::Memory(memory) => {
                let (probing, others) = match &memory.probe {
                    Some(Probe { side: SideOf::Right, .. }) => {
                        (&mut memory.kept.right, &mut memory.kept.left)
                    }
                    _ => (&mut memory.kept.left, &mut memory.kept.right),
                };
                output.next(&mut memory.probe, &memory.table, &mut probing.matched, others)
            }
        }
    }

    /// Takes rows that were loaded.
    pub(super) fn loaded(&mut self, part: PartId, chunks: &[Chunk]) -> Result<(), OperatorError> {
        let layout = Arc::clone(&self.layout);
        let plan = plan_of(&layout, self.number);
        match &mut self.state {
            State::Spilled(spilled) => spilled.loaded(part, chunks, plan),
            State::Memory(_) => Err(OperatorError::Protocol("rows came back that were never sent out")),
        }
    }
}

/// Both sides of a stage without rows.
fn empty(plan: &StagePlan, sharers: &Sides<usize>) -> Sides<BuildSide> {
    let side = |side| BuildSide::new(&plan.sides[side].schema, sharers[side]);
    Sides { left: side(SideOf::Left), right: side(SideOf::Right) }
}

fn plan_of(layout: &JoinLayout, number: usize) -> &StagePlan {
    layout.stages.at(number, "stage of the join")
}

/// The key columns of a chunk, and the hashes of its selected rows; those that it brought are taken out.
pub(super) fn hashes_of(
    plan: &StagePlan,
    side: SideOf,
    prepared: &mut PreparedInput,
) -> (Vec<ArrayRef>, Vec<u64>) {
    let places = &plan.sides[side].keys;
    let keys: Vec<ArrayRef> =
        places.iter().map(|at| prepared.chunk.tags().at(*at, "key column").clone()).collect();
    if let Some(known) = prepared.hashes.take() {
        return (keys, known);
    }
    let hashes = hash_rows(&keys, prepared.chunk.rows());
    let hashes = match &prepared.selected {
        None => hashes,
        Some(rows) => rows.iter().map(|row| *hashes.at(*row as usize, "selected row")).collect(),
    };
    (keys, hashes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use anabranch_engine::identity::{Digest, PipelineHash};
    use anabranch_engine::operator::{Input, Partition};
    use anabranch_engine::provenance::Provenance;
    use anabranch_engine::schema::StreamSchema;
    use arrow::array::{AsArray, Int64Array};
    use arrow::datatypes::{DataType, Field, Int64Type};

    fn stage_over(keys: &[&str]) -> (Stage, Arc<StreamSchema>) {
        let tags = keys.iter().map(|name| Arc::new(Field::new(*name, DataType::Int64, false))).collect();
        let schema = Arc::new(StreamSchema::new(tags, vec![], vec![]).unwrap());
        let input = |byte| Input {
            schema: Arc::clone(&schema),
            pipeline_hash: PipelineHash(Digest([byte; 32])),
            ordered: true,
            bounded: true,
        };
        let layout = Arc::new(JoinLayout::of(&[input(1), input(2)], false, false).unwrap());
        let context = Context {
            origins: Arc::default(),
            memory: MemoryBudget::new(usize::MAX),
            chunk_rows: 100,
            partition: Partition::WHOLE,
            cores: 1,
        };
        (Stage::new(&layout, 0, &context), Arc::clone(&schema))
    }

    fn chunk(schema: &Arc<StreamSchema>, columns: &[Vec<i64>]) -> PreparedInput {
        let arrays = columns.iter().map(|c| Arc::new(Int64Array::from(c.clone())) as ArrayRef).collect();
        let chunk = Chunk::new(Arc::clone(schema), columns[0].len(), arrays, vec![], Provenance::default());
        PreparedInput::whole(chunk.unwrap())
    }

    /// A second key that gives `(first, it)` the hash of `(1, 10)`. The hash of a second column is
    /// a bijection of its word laid over what the first one left, so the difference is a constant.
    fn second_key_of_the_same_hash(first: i64) -> i64 {
        let left_by = |key: i64| {
            let column: ArrayRef = Arc::new(Int64Array::from(vec![key]));
            hash_rows(&[column], 1)[0].wrapping_mul(crate::keys::ODD)
        };
        let second: i64 = 10;
        second ^ (left_by(1) ^ left_by(first)).cast_signed()
    }

    #[test]
    fn keys_of_one_hash_match_only_where_they_are_equal() {
        let (mut stage, schema) = stage_over(&["a", "b"]);
        let kept = chunk(&schema, &[vec![1, 2, 3], vec![10, second_key_of_the_same_hash(2), 10]]);
        let hashes = hash_rows(kept.chunk.tags(), 3);
        assert_eq!(hashes[0], hashes[1], "the keys were meant to collide");
        stage.push(SideOf::Left, kept).unwrap();
        stage.push(SideOf::Right, chunk(&schema, &[vec![1], vec![10]])).unwrap();
        let Some(Step::Output(found)) = stage.advance().unwrap() else { panic!("no rows") };
        assert_eq!(found.tags()[0].as_primitive::<Int64Type>().values(), &[1]);
        assert!(stage.advance().unwrap().is_none());
        let unmatched = [SideOf::Left, SideOf::Right].map(|side| stage.seen[side].unmatched());
        assert_eq!(unmatched, [2, 0]);
    }

    #[test]
    fn rows_kept_for_a_side_are_let_go_when_it_ends() {
        let (mut stage, schema) = stage_over(&["a"]);
        let empty = stage.bytes();
        stage.push(SideOf::Right, chunk(&schema, &[(0..1000).collect()])).unwrap();
        assert!(stage.bytes() > empty + 1000 * size_of::<i64>());
        stage.end(SideOf::Left);
        stage.end(SideOf::Right);
        assert_eq!(stage.bytes(), empty);
        assert_eq!(stage.seen.right.unmatched(), 1000);
        assert!(stage.is_finished());
    }
}
