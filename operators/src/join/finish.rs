//! The join of what has left memory, partition by partition.
//!
//! Of a partition, the smaller side comes back in blocks that fit into memory; for each block the
//! other side comes back part by part and is looked up in it. Usually a partition is one block,
//! and every row is read once.

use anabranch_engine::chunk::Chunk;
use anabranch_engine::index::fitting;
use anabranch_engine::memory::MemoryBudget;
use anabranch_engine::operator::{OperatorError, PartId, Step};

use super::layout::{SideOf, Sides, StagePlan};
use super::prepared_input::PreparedInput;
use super::probe::{Marks, Probe, StageOutput};
use super::side::{BuildSide, too_many_rows};
use super::spilled::{Class, JoinPartition, SpilledPart};
use super::stage::hashes_of;
use crate::rows::{Bits, RowTable, Selection};

/// Bytes of a block at the least.
const LEAST_BLOCK: usize = 1 << 20;

pub(super) struct Finish {
    partitions: Vec<JoinPartition>,
    current: Option<Current>,
    forget: Vec<PartId>,
    most_block: usize,
}

/// A partition that is being joined.
struct Current {
    /// The side whose rows are kept, block by block.
    build: SideOf,
    building: Vec<SpilledPart>,
    probing: Vec<SpilledPart>,
    next_build: usize,
    next_probe: usize,
    block: BuildSide,
    table: RowTable,
    /// Rows of the block from its beginning that are old.
    old_rows: u32,
    block_is_full: bool,
    awaited: Option<SpilledPart>,
    /// Rows of the parts looked up before this one.
    probed_rows: usize,
    probe: Option<Probe>,
    matched: Bits,
}

impl Finish {
    pub(super) fn new(partitions: Vec<JoinPartition>, budget: &MemoryBudget) -> Self {
        Self {
            partitions,
            current: None,
            forget: Vec::new(),
            most_block: (budget.limit() / 4).max(LEAST_BLOCK),
        }
    }

    pub(super) fn is_done(&self) -> bool {
        self.partitions.is_empty() && self.current.is_none() && self.forget.is_empty()
    }

    pub(super) fn bytes(&self) -> usize {
        self.current.as_ref().map_or(0, |current| {
            let probe =
                current.probe.as_ref().map_or(0, |probe| crate::rows::chunk_bytes(&probe.prepared.chunk));
            current.block.bytes() + current.table.bytes() + current.matched.bytes() + probe
        })
    }

    pub(super) fn advance(&mut self, output: &mut StageOutput<'_>) -> Result<Option<Step>, OperatorError> {
        if let Some(part) = self.forget.pop() {
            return Ok(Some(Step::Forget(part)));
        }
        let Some(current) = &mut self.current else {
            self.begin_next(output.plan);
            return Ok(None);
        };
        if current.probe.is_some() {
            return output.next(&mut current.probe, &current.table, &mut current.matched, &mut current.block);
        }
        if let Some(part) = current.next_part() {
            current.awaited = Some(part);
            return Ok(Some(Step::Load(part.id)));
        }
        if current.begin_next_block(output.plan) {
            return Ok(None);
        }
        let done = self.current.take();
        self.forget.extend(done.iter().flat_map(|c| c.building.iter().chain(&c.probing)).map(|part| part.id));
        Ok(None)
    }

    /// Takes up the next partition. One with rows on one side only is left at once.
    fn begin_next(&mut self, plan: &StagePlan) {
        let Some(Sides { left, right }) = self.partitions.pop() else { return };
        if left.is_empty() || right.is_empty() {
            self.forget.extend(left.iter().chain(&right).map(|part| part.id));
            return;
        }
        let bytes = |parts: &[SpilledPart]| parts.iter().map(|part| part.bytes).sum::<usize>();
        let (build, mut building, probing) = if bytes(&left) <= bytes(&right) {
            (SideOf::Left, left, right)
        } else {
            (SideOf::Right, right, left)
        };
        building.sort_by_key(|part| part.class as u8);
        self.current = Some(Current {
            build,
            building,
            probing,
            next_build: 0,
            next_probe: 0,
            block: BuildSide::new(&plan.sides[build].schema, 1),
            table: RowTable::default(),
            old_rows: 0,
            block_is_full: false,
            awaited: None,
            probed_rows: 0,
            probe: None,
            matched: Bits::default(),
        });
    }

    pub(super) fn loaded(
        &mut self,
        part: PartId,
        chunks: &[Chunk],
        plan: &StagePlan,
    ) -> Result<(), OperatorError> {
        let most = self.most_block;
        let current = self.current.as_mut().filter(|c| c.awaited.is_some_and(|awaited| awaited.id == part));
        let Some(current) = current else {
            return Err(OperatorError::Protocol("rows came back that were not asked for"));
        };
        let Some(awaited) = current.awaited.take() else { unreachable!("a part is awaited") };
        let Some(schema) = chunks.first().map(|chunk| chunk.schema().clone()) else {
            unreachable!("a part that left memory has rows")
        };
        let mut prepared = PreparedInput::whole(Chunk::concat(&schema, chunks)?);
        if current.is_building_done() {
            current.look_up(awaited, prepared, plan);
            Ok(())
        } else {
            current.keep(awaited, &mut prepared, plan, most)
        }
    }
}

impl Current {
    /// Returns the part to read next of this block; nothing when all has been looked up in it.
    fn next_part(&mut self) -> Option<SpilledPart> {
        if !self.is_building_done() {
            return self.building.get(self.next_build).copied();
        }
        let part = self.probing.get(self.next_probe).copied();
        self.next_probe += usize::from(part.is_some());
        part
    }

    fn is_building_done(&self) -> bool {
        self.block_is_full || self.next_build == self.building.len()
    }

    /// Drops a block that is done. Returns whether there is another.
    fn begin_next_block(&mut self, plan: &StagePlan) -> bool {
        if self.next_build == self.building.len() {
            return false;
        }
        self.block = BuildSide::new(&plan.sides[self.build].schema, 1);
        self.table = RowTable::default();
        (self.old_rows, self.block_is_full, self.next_probe, self.probed_rows) = (0, false, 0, 0);
        true
    }

    fn keep(
        &mut self,
        part: SpilledPart,
        prepared: &mut PreparedInput,
        plan: &StagePlan,
        most: usize,
    ) -> Result<(), OperatorError> {
        let (_, hashes) = hashes_of(plan, self.build, prepared);
        let rows = prepared.chunk.rows();
        let numbers = self.block.append(&prepared.chunk, Selection::All(rows))?;
        let first = numbers.first;
        self.table.insert(self.build.in_table(), &hashes, numbers).ok_or_else(too_many_rows)?;
        if part.class == Class::OldMatched {
            (first..first + rows).for_each(|row| {
                self.block.matched.set(row);
            });
        }
        if part.class.is_old() {
            self.old_rows = fitting(first + rows, "number of old rows");
        }
        self.next_build += 1;
        self.block_is_full = self.block.bytes() + self.table.bytes() >= most;
        Ok(())
    }

    fn look_up(&mut self, part: SpilledPart, mut prepared: PreparedInput, plan: &StagePlan) {
        let side = self.build.other();
        let (keys, hashes) = hashes_of(plan, side, &mut prepared);
        let (first, rows) = (self.probed_rows, prepared.chunk.rows());
        self.probed_rows += rows;
        if part.class == Class::OldMatched {
            (first..first + rows).for_each(|row| {
                self.matched.set(row);
            });
        }
        let from = if part.class.is_old() { self.old_rows } else { 0 };
        let chains = self.table.look_up(self.build.in_table(), &hashes);
        self.probe = Some(Probe::new(side, prepared, keys, &chains, Marks::Bits(first)).starting_at(from));
    }
}
