//! A stage whose state has left memory.
//!
//! Rows of both sides are cut into partitions by the hash of their keys, so that rows that match
//! lie in one partition, and leave memory in parts of bounded size. What was kept when memory
//! ended has been joined among itself already: these rows are *old*. When both sides have ended,
//! each partition is joined by itself, but for pairs of old rows (see [`Finish`]).
//!
//! Parts are separate by side and by what has to be known of their rows later:
//!
//! ```text
//!   partition 0: left { old matched, old unmatched, new }, right { .. }
//!   partition 1: ..
//! ```

use anabranch_engine::chunk::{Chunk, ChunkError};
use anabranch_engine::index::At as _;
use anabranch_engine::memory::MemoryBudget;
use anabranch_engine::operator::{OperatorError, PartId, Step};

use super::finish::Finish;
use super::layout::{SideOf, Sides, StagePlan};
use super::machine::STAGE_BITS;
use super::prepared_input::PreparedInput;
use super::probe::StageOutput;
use super::side::BuildSide;
use super::stage::hashes_of;
use crate::rows::{PAGE, chunk_bytes, compact};

/// Partitions of a stage. A partition that does not fit by itself is joined block by block, so
/// this decides how large state can be before it is read more than once.
pub(super) const PARTITIONS: usize = 64;
/// Bytes of rows that wait to leave, at the least.
const LEAST_WAITING: usize = 256 << 10;
/// Bytes of them at the most; with so many places to wait in, parts have a few megabytes.
const MOST_WAITING: usize = 512 << 20;

/// The class of the rows of a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    OldMatched,
    OldUnmatched,
    New,
}

impl Class {
    pub(super) fn is_old(self) -> bool {
        self != Self::New
    }
}

/// Rows that lie outside memory.
#[derive(Debug, Clone, Copy)]
pub(super) struct SpilledPart {
    pub(super) id: PartId,
    pub(super) class: Class,
    pub(super) bytes: usize,
}

/// Both sides of a partition.
pub(super) type JoinPartition = Sides<Vec<SpilledPart>>;

#[derive(Debug, Default)]
struct Waiting {
    chunks: Vec<Chunk>,
    bytes: usize,
}

/// See the module.
pub(super) struct Spilled {
    stage: usize,
    /// The rows that are in memory still, and the next page of them to leave.
    old: Option<(Box<Sides<BuildSide>>, SideOf, usize)>,
    waiting: Vec<Waiting>,
    waiting_bytes: usize,
    most_waiting: usize,
    partitions: Vec<JoinPartition>,
    next_part: u64,
    /// Both sides have ended.
    pub(super) ended: bool,
    finish: Option<Finish>,
    budget: MemoryBudget,
}

const CLASSES: [Class; 3] = [Class::OldMatched, Class::OldUnmatched, Class::New];
const SIDES: [SideOf; 2] = [SideOf::Left, SideOf::Right];

impl Spilled {
    pub(super) fn new(stage: usize, kept: Sides<BuildSide>, budget: &MemoryBudget) -> Self {
        Self {
            stage,
            old: Some((Box::new(kept), SideOf::Left, 0)),
            waiting: (0..PARTITIONS * SIDES.len() * CLASSES.len()).map(|_| Waiting::default()).collect(),
            waiting_bytes: 0,
            most_waiting: (budget.limit() / 8).clamp(LEAST_WAITING, MOST_WAITING),
            partitions: (0..PARTITIONS).map(|_| JoinPartition::default()).collect(),
            next_part: 0,
            ended: false,
            finish: None,
            budget: budget.clone(),
        }
    }

    pub(super) fn is_busy(&self) -> bool {
        let finishing = self.ended && self.finish.as_ref().is_none_or(|finish| !finish.is_done());
        self.old.is_some() || self.waiting_bytes > self.most_waiting || finishing
    }

    pub(super) fn bytes(&self) -> usize {
        let old = self.old.as_ref().map_or(0, |(kept, ..)| kept.left.bytes() + kept.right.bytes());
        old + self.waiting_bytes + self.finish.as_ref().map_or(0, Finish::bytes)
    }

    /// Rows that came after memory had ended.
    pub(super) fn push(
        &mut self,
        side: SideOf,
        prepared: &PreparedInput,
        hashes: &[u64],
    ) -> Result<(), OperatorError> {
        let mut rows: Vec<Vec<u32>> = vec![Vec::new(); PARTITIONS];
        let selection = prepared.selection();
        for (at, hash) in hashes.iter().enumerate() {
            rows.at_mut(partition_of(*hash), "partition").push(selection.row(at));
        }
        for (partition, rows) in rows.iter().enumerate().filter(|(_, rows)| !rows.is_empty()) {
            self.wait(partition, side, Class::New, &prepared.chunk.take(rows)?)?;
        }
        Ok(())
    }

    pub(super) fn advance(&mut self, output: &mut StageOutput<'_>) -> Result<Option<Step>, OperatorError> {
        if self.waiting_bytes > self.most_waiting
            || (self.ended && self.old.is_none() && self.waiting_bytes > 0)
        {
            return self.put_largest().map(Some);
        }
        if self.old.is_some() {
            self.drain_page(output.plan)?;
            return Ok(None);
        }
        if !self.ended {
            return Ok(None);
        }
        let (partitions, budget) = (&mut self.partitions, &self.budget);
        let finish = self.finish.get_or_insert_with(|| Finish::new(std::mem::take(partitions), budget));
        finish.advance(output)
    }

    pub(super) fn loaded(
        &mut self,
        part: PartId,
        chunks: &[Chunk],
        plan: &StagePlan,
    ) -> Result<(), OperatorError> {
        match &mut self.finish {
            Some(finish) => finish.loaded(part, chunks, plan),
            None => Err(OperatorError::Protocol("rows came back that were not asked for")),
        }
    }

    fn wait(
        &mut self,
        partition: usize,
        side: SideOf,
        class: Class,
        chunk: &Chunk,
    ) -> Result<(), ChunkError> {
        let chunk = compact(chunk)?;
        // Rows without columns take room as well.
        let bytes = chunk_bytes(&chunk) + chunk.rows();
        let waiting = self.waiting.at_mut(place(partition, side, class), "place to wait");
        waiting.bytes += bytes;
        waiting.chunks.push(chunk);
        self.waiting_bytes += bytes;
        Ok(())
    }

    /// Lets a page of what is kept wait to leave.
    fn drain_page(&mut self, plan: &StagePlan) -> Result<(), OperatorError> {
        let Some((mut kept, side, page)) = self.old.take() else {
            unreachable!("pages are drained while there are some")
        };
        let rows = &mut kept[side];
        if page * PAGE >= rows.store.end {
            *rows = BuildSide::new(&plan.sides[side].schema, 1);
            self.old = (side == SideOf::Left).then_some((kept, SideOf::Right, 0));
            return Ok(());
        }
        let (numbers, chunk) = rows.store.drain(page)?;
        let matched: Vec<bool> = numbers.iter().map(|number| rows.matched.get(*number as usize)).collect();
        self.old = Some((kept, side, page + 1));
        let (_, hashes) = hashes_of(plan, side, &mut PreparedInput::whole(chunk.clone()));
        let mut lists: Vec<[Vec<u32>; 2]> = vec![Default::default(); PARTITIONS];
        for ((row, hash), matched) in (0..).zip(&hashes).zip(&matched) {
            let lists = lists.at_mut(partition_of(*hash), "partition");
            lists.at_mut(usize::from(!*matched), "class").push(row);
        }
        for (partition, lists) in lists.iter().enumerate() {
            for (class, rows) in CLASSES.iter().zip(lists).filter(|(_, rows)| !rows.is_empty()) {
                self.wait(partition, side, *class, &chunk.take(rows)?)?;
            }
        }
        Ok(())
    }

    /// Sends out the most that waits in one place.
    fn put_largest(&mut self) -> Result<Step, OperatorError> {
        let places = self.waiting.iter_mut().enumerate();
        let Some((at, waiting)) = places.max_by_key(|(_, waiting)| waiting.bytes) else {
            unreachable!("there are places to wait")
        };
        let waiting = std::mem::take(waiting);
        self.waiting_bytes -= waiting.bytes;
        let id = PartId(((self.stage as u64) << STAGE_BITS) | self.next_part);
        self.next_part += 1;
        let class = *CLASSES.at(at % CLASSES.len(), "class");
        let part = SpilledPart { id, class, bytes: waiting.bytes };
        let side = *SIDES.at((at / CLASSES.len()) % SIDES.len(), "side");
        let partition = at / (CLASSES.len() * SIDES.len());
        self.partitions.at_mut(partition, "partition")[side].push(part);
        let Some(schema) = waiting.chunks.first().map(|chunk| chunk.schema().clone()) else {
            unreachable!("rows leave only where some wait")
        };
        Ok(Step::Spill(id, vec![Chunk::concat(&schema, &waiting.chunks)?]))
    }
}

fn place(partition: usize, side: SideOf, class: Class) -> usize {
    (partition * SIDES.len() + side as usize) * CLASSES.len() + class as usize
}

/// The partition of a hash, by bits that neither the table nor a share look at first.
fn partition_of(hash: u64) -> usize {
    ((hash >> 24) % PARTITIONS as u64) as usize
}
