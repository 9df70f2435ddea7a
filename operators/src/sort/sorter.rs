//! Rows put in order with bounded memory: what sort and batch have in common.
//!
//! ```text
//!   rows -> a stretch is collected -> sorted -> stretches in memory -------> merged -> out
//!                                                | where memory ends          ^
//!                                                v                            |
//!                              merged into one on disk -> stretches, merged until few are left
//! ```

use std::collections::VecDeque;
use std::sync::Arc;

use anabranch_engine::chunk::Chunk;
use anabranch_engine::memory::{MemoryAccount, OverBudget};
use anabranch_engine::operator::{Context, Item, OperatorError, PartId, Step};
use anabranch_engine::provenance::Origins;

use super::merge::{Merge, Merged, Stretch};
use super::part::Part;
use super::{SortKeys, SortPlan, Ties};
use crate::arrivals::Arrivals;
use crate::coalescer::Coalescer;
use crate::rows::{chunk_bytes, compact};

/// Rows that are sorted in one step; fewer where ties are broken by provenance, which takes longer.
const STRETCH_ROWS: usize = 32_768;
const STRETCH_ROWS_UNORDERED: usize = 8_192;
/// Bytes of rows that are sorted in one step.
const STRETCH_BYTES: usize = 8 << 20;
/// Chunks of fewer rows are put together before they are kept.
const KEPT_ROWS: usize = 1_024;
/// Bytes of rows that leave at once.
const OUTPUT_BYTES: usize = 16 << 20;

/// The bounds of work beyond memory, all of them shares of the memory limit.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    /// Rows are not worth a stretch on disk below this.
    least_bytes: usize,
    part_bytes: usize,
    stretches: usize,
}

impl Bounds {
    fn of(limit: usize) -> Self {
        let part_bytes = (limit / 16).clamp(512, 1 << 20);
        Self {
            least_bytes: (limit / 4).min(256 << 10),
            part_bytes,
            stretches: (limit / (2 * part_bytes)).clamp(2, 256),
        }
    }
}

/// Takes rows, and gives them in order once all have come.
pub(crate) struct Sorter {
    plan: Arc<SortPlan>,
    origins: Arc<Origins>,
    output_rows: usize,
    memory: MemoryAccount,
    arrivals: Arrivals,
    waiting_bytes: usize,
    /// Rows that become the next stretch.
    open: Collected,
    /// Sorted stretches in memory, behind those on disk.
    stretches: Vec<Part>,
    /// Runs on disk that were merged in this pass, in order of arrival.
    merged: Vec<Stretch>,
    /// Runs on disk behind these.
    spilled: VecDeque<Stretch>,
    next_part: u64,
    bounds: Option<Bounds>,
    work: Work,
}

enum Work {
    Collect,
    /// Rows are merged into one stretch on disk.
    Spill(Merge, Writer),
    /// Rows are merged and leave.
    Emit(Merge),
    Done,
}

/// A stretch on its way to disk.
#[derive(Default)]
struct Writer {
    stretch: Stretch,
    pieces: VecDeque<Chunk>,
    destination: Destination,
}

/// Where a stretch belongs among those there are.
#[derive(Default, Clone, Copy)]
enum Destination {
    #[default]
    Last,
    Merged,
}

/// Rows that wait to be sorted.
struct Collected {
    rows: Coalescer,
    whole: Vec<Chunk>,
    count: usize,
    /// With those that their keys will take.
    bytes: usize,
}

impl Sorter {
    pub(crate) fn new(plan: Arc<SortPlan>, context: &Context) -> Self {
        Self {
            open: Collected::new(&plan),
            plan,
            origins: Arc::clone(&context.origins),
            output_rows: context.chunk_rows.max(1),
            memory: context.memory.account(),
            arrivals: Arrivals::default(),
            waiting_bytes: 0,
            stretches: Vec::new(),
            merged: Vec::new(),
            spilled: VecDeque::new(),
            next_part: 0,
            bounds: None,
            work: Work::Collect,
        }
    }

    pub(crate) fn accept(&mut self, port: usize, item: Item) -> Result<(), OperatorError> {
        let bytes = if let Item::Chunk(chunk) = &item { chunk_bytes(chunk) } else { 0 };
        self.arrivals.accept(port, item)?;
        self.waiting_bytes += bytes;
        Ok(())
    }

    /// Goes on; the rows that come out stand in order.
    pub(crate) fn step(&mut self) -> Result<Step, OperatorError> {
        loop {
            let step = match std::mem::replace(&mut self.work, Work::Done) {
                Work::Collect => self.collect()?,
                Work::Spill(merge, writer) => self.spill(merge, writer)?,
                Work::Emit(merge) => self.emit(merge)?,
                Work::Done => Some(Step::Done),
            };
            if let Some(step) = step {
                return Ok(step);
            }
        }
    }

    pub(crate) fn loaded(&mut self, part: PartId, chunks: &[Chunk]) -> Result<(), OperatorError> {
        match &mut self.work {
            Work::Spill(merge, _) | Work::Emit(merge) => {
                merge.loaded(part, chunks, &self.plan, &self.origins)
            }
            _ => Err(OperatorError::Protocol("rows came back that this operator did not ask for")),
        }
    }

    /// Takes what has come; once all has, begins to merge.
    fn collect(&mut self) -> Result<Option<Step>, OperatorError> {
        if let Some(chunk) = self.arrivals.next() {
            self.waiting_bytes = self.waiting_bytes.saturating_sub(chunk_bytes(&chunk));
            self.keep(&chunk)?;
            let must_spill = self.charge(0).is_some_and(|bounds| self.kept_bytes() >= bounds.least_bytes);
            self.work = if must_spill { self.spill_stretches()? } else { Work::Collect };
            return Ok(None);
        }
        let idle = self.arrivals.idle();
        if !matches!(idle, Step::Done) {
            self.work = Work::Collect;
            return Ok(Some(idle));
        }
        self.close_stretch()?;
        self.work = self.merge_further()?;
        Ok(None)
    }

    /// Keeps rows; sorts them where they make a stretch.
    fn keep(&mut self, chunk: &Chunk) -> Result<(), OperatorError> {
        let limit = match self.plan.ties {
            Ties::Arrival => STRETCH_ROWS,
            Ties::Provenance(_) => STRETCH_ROWS_UNORDERED,
        };
        let mut start = 0;
        while start < chunk.rows() {
            if self.open.count >= limit || self.open.bytes >= STRETCH_BYTES {
                self.close_stretch()?;
            }
            let piece = chunk.slice(start, limit - self.open.count);
            start += piece.rows();
            self.open.push(compact(&piece)?, &self.plan.keys)?;
        }
        Ok(())
    }

    /// Sorts the rows that were collected.
    fn close_stretch(&mut self) -> Result<(), OperatorError> {
        if self.open.count > 0 {
            let chunk = std::mem::replace(&mut self.open, Collected::new(&self.plan)).whole(&self.plan)?;
            self.stretches.push(Part::sorted(chunk, &self.plan, &self.origins)?);
        }
        Ok(())
    }

    fn kept_bytes(&self) -> usize {
        self.open.bytes + self.stretches.iter().map(Part::bytes).sum::<usize>()
    }

    /// Says what is in use; gives the bounds to work in if that is too much.
    fn charge(&mut self, at_work: usize) -> Option<Bounds> {
        let bytes = at_work + self.waiting_bytes + self.kept_bytes();
        let OverBudget { limit, .. } = self.memory.set(bytes).err()?;
        Some(*self.bounds.insert(Bounds::of(limit)))
    }

    /// Merges everything in memory into one stretch on disk.
    fn spill_stretches(&mut self) -> Result<Work, OperatorError> {
        self.close_stretch()?;
        let merge = Merge::of_parts(std::mem::take(&mut self.stretches), &self.plan, &self.origins)?;
        Ok(Work::Spill(merge, Writer::default()))
    }

    /// What is to do when all rows have come: fewer stretches, or the output.
    fn merge_further(&mut self) -> Result<Work, OperatorError> {
        let Some(bounds) = self.bounds.filter(|_| !(self.spilled.is_empty() && self.merged.is_empty()))
        else {
            let merge = Merge::of_parts(std::mem::take(&mut self.stretches), &self.plan, &self.origins)?;
            return Ok(Work::Emit(merge));
        };
        if !self.stretches.is_empty() {
            return self.spill_stretches();
        }
        if self.merged.len() + self.spilled.len() <= bounds.stretches {
            let stretches = self.merged.drain(..).chain(self.spilled.drain(..)).collect();
            return Ok(Work::Emit(Merge::of_stretches(stretches)));
        }
        if self.spilled.len() < 2 {
            // The pass is over; the next one begins with what it made.
            let last = self.spilled.pop_front();
            self.spilled = self.merged.drain(..).chain(last).collect();
        }
        let surplus = self.merged.len() + self.spilled.len() - bounds.stretches;
        let count = bounds.stretches.min(surplus + 1).min(self.spilled.len());
        let merge = Merge::of_stretches(self.spilled.drain(..count).collect());
        Ok(Work::Spill(merge, Writer { destination: Destination::Merged, ..Writer::default() }))
    }

    /// Moves the next part to disk, until the stretch is whole.
    fn spill(&mut self, merge: Merge, mut writer: Writer) -> Result<Option<Step>, OperatorError> {
        let Some(piece) = writer.pieces.pop_front() else { return self.fill(merge, writer) };
        let part = PartId(self.next_part);
        self.next_part += 1;
        writer.stretch.push_back(part);
        self.charge(merge.bytes() + chunk_bytes(&piece));
        self.work = Work::Spill(merge, writer);
        Ok(Some(Step::Spill(part, vec![compact(&piece)?])))
    }

    /// Merges the rows of the next part.
    fn fill(&mut self, mut merge: Merge, mut writer: Writer) -> Result<Option<Step>, OperatorError> {
        let part_bytes = self.bounds.map_or(1 << 20, |bounds| bounds.part_bytes);
        let rows = (part_bytes / merge.row_bytes().max(1)).clamp(1, STRETCH_ROWS / 2);
        let step = match merge.next(&self.plan, &self.origins, rows)? {
            Merged::Rows(chunk) => {
                writer.push(chunk, part_bytes);
                None
            }
            Merged::Load(part) => Some(Step::Load(part)),
            Merged::Forget(part) => Some(Step::Forget(part)),
            Merged::Done => {
                match writer.destination {
                    Destination::Last => self.spilled.push_back(writer.stretch),
                    Destination::Merged => self.merged.push(writer.stretch),
                }
                self.charge(0);
                self.work = Work::Collect;
                return Ok(None);
            }
        };
        self.charge(merge.bytes());
        self.work = Work::Spill(merge, writer);
        Ok(step)
    }

    /// Lets the next rows leave.
    fn emit(&mut self, mut merge: Merge) -> Result<Option<Step>, OperatorError> {
        let rows = (OUTPUT_BYTES / merge.row_bytes().max(1)).clamp(1, self.output_rows);
        let step = match merge.next(&self.plan, &self.origins, rows)? {
            Merged::Rows(chunk) => Step::Output(chunk),
            Merged::Load(part) => Step::Load(part),
            Merged::Forget(part) => Step::Forget(part),
            Merged::Done => {
                self.charge(0);
                return Ok(Some(Step::Done));
            }
        };
        self.charge(merge.bytes());
        self.work = Work::Emit(merge);
        Ok(Some(step))
    }
}

impl Writer {
    /// Takes rows, cut where they are much larger than a part should be.
    fn push(&mut self, chunk: Chunk, part_bytes: usize) {
        if chunk.rows() > 1 && chunk_bytes(&chunk) > 2 * part_bytes {
            // The recursion halves the rows.
            let half = chunk.rows() / 2;
            self.push(chunk.slice(0, half), part_bytes);
            self.push(chunk.slice(half, chunk.rows() - half), part_bytes);
        } else {
            self.pieces.push_back(chunk);
        }
    }
}

impl Collected {
    fn new(plan: &SortPlan) -> Self {
        let rows = Coalescer::new(Arc::clone(&plan.schema), KEPT_ROWS);
        Self { rows, whole: Vec::new(), count: 0, bytes: 0 }
    }

    fn push(&mut self, chunk: Chunk, keys: &SortKeys) -> Result<(), OperatorError> {
        self.count += chunk.rows();
        self.bytes += chunk_bytes(&chunk) + keys.bytes_of(chunk.tags(), chunk.rows());
        self.rows.push(chunk)?;
        self.whole.extend(std::iter::from_fn(|| self.rows.full()));
        Ok(())
    }

    fn whole(mut self, plan: &SortPlan) -> Result<Chunk, OperatorError> {
        self.whole.extend(self.rows.rest()?);
        Ok(Chunk::concat(&plan.schema, &self.whole)?)
    }
}
