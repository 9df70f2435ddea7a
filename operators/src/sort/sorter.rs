//! Rows put in order with bounded memory: what sort and batch have in common.
//!
//! ```text
//!   rows -> a sorted run is collected -> sorted -> sorted runs in memory -------> merged -> out
//!                                                | where memory ends          ^
//!                                                v                            |
//!                              merged into one on disk -> sorted runs, merged until few are left
//! ```

use std::collections::VecDeque;
use std::sync::Arc;

use anabranch_engine::chunk::Chunk;
use anabranch_engine::memory::{MemoryAccount, OverBudget};
use anabranch_engine::operator::{Context, Item, OperatorError, PartId, Step};
use anabranch_engine::provenance::Origins;

use super::merge::{Merge, Merged, SortedRun};
use super::part::SortedPart;
use super::{SortKeys, SortPlan, Ties};
use crate::coalescer::Coalescer;
use crate::input_queue::InputQueue;
use crate::rows::{chunk_bytes, compact};

/// Rows that are sorted in one step; fewer where ties are broken by provenance, which takes longer.
const RUN_ROWS: usize = 32_768;
const RUN_ROWS_UNORDERED: usize = 8_192;
/// Bytes of rows that are sorted in one step.
const RUN_BYTES: usize = 8 << 20;
/// Chunks of fewer rows are put together before they are kept.
const KEPT_ROWS: usize = 1_024;
/// Bytes of rows that leave at once.
const OUTPUT_BYTES: usize = 16 << 20;

/// The bounds of work beyond memory, all of them shares of the memory limit.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    /// Rows are not worth a sorted run on disk below this.
    least_bytes: usize,
    part_bytes: usize,
    runs: usize,
}

impl Bounds {
    fn of(limit: usize) -> Self {
        let part_bytes = (limit / 16).clamp(512, 1 << 20);
        Self {
            least_bytes: (limit / 4).min(256 << 10),
            part_bytes,
            runs: (limit / (2 * part_bytes)).clamp(2, 256),
        }
    }
}

/// Takes rows, and gives them in order once all have come.
pub(crate) struct Sorter {
    plan: Arc<SortPlan>,
    origins: Arc<Origins>,
    output_rows: usize,
    memory: MemoryAccount,
    queue: InputQueue,
    waiting_bytes: usize,
    /// Rows that become the next sorted run.
    open: Collected,
    /// Sorted runs in memory, behind those on disk.
    runs: Vec<SortedPart>,
    /// Runs on disk that were merged in this pass, in order of arrival.
    merged: Vec<SortedRun>,
    /// Runs on disk behind these.
    spilled: VecDeque<SortedRun>,
    next_part: u64,
    bounds: Option<Bounds>,
    work: Work,
}

enum Work {
    Collect,
    /// Rows are merged into one sorted run on disk.
    Spill(Merge, Writer),
    /// Rows are merged and leave.
    Emit(Merge),
    Done,
}

/// A sorted run on its way to disk.
#[derive(Default)]
struct Writer {
    run: SortedRun,
    pieces: VecDeque<Chunk>,
    destination: Destination,
}

/// Where a sorted run belongs among those there are.
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
            queue: InputQueue::default(),
            waiting_bytes: 0,
            runs: Vec::new(),
            merged: Vec::new(),
            spilled: VecDeque::new(),
            next_part: 0,
            bounds: None,
            work: Work::Collect,
        }
    }

    pub(crate) fn accept(&mut self, port: usize, item: Item) -> Result<(), OperatorError> {
        let bytes = if let Item::Chunk(chunk) = &item { chunk_bytes(chunk) } else { 0 };
        self.queue.push(port, item)?;
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
        if let Some(chunk) = self.queue.next() {
            self.waiting_bytes = self.waiting_bytes.saturating_sub(chunk_bytes(&chunk));
            self.keep(&chunk)?;
            let must_spill = self.charge(0).is_some_and(|bounds| self.kept_bytes() >= bounds.least_bytes);
            self.work = if must_spill { self.spill_runs()? } else { Work::Collect };
            return Ok(None);
        }
        let idle = self.queue.idle();
        if !matches!(idle, Step::Done) {
            self.work = Work::Collect;
            return Ok(Some(idle));
        }
        self.close_run()?;
        self.work = self.merge_further()?;
        Ok(None)
    }

    /// Keeps rows; sorts them where they make a sorted run.
    fn keep(&mut self, chunk: &Chunk) -> Result<(), OperatorError> {
        let limit = match self.plan.ties {
            Ties::Arrival => RUN_ROWS,
            Ties::Provenance(_) => RUN_ROWS_UNORDERED,
        };
        let mut start = 0;
        while start < chunk.rows() {
            if self.open.count >= limit || self.open.bytes >= RUN_BYTES {
                self.close_run()?;
            }
            let piece = chunk.slice(start, limit - self.open.count);
            start += piece.rows();
            self.open.push(compact(&piece)?, &self.plan.keys)?;
        }
        Ok(())
    }

    /// Sorts the rows that were collected.
    fn close_run(&mut self) -> Result<(), OperatorError> {
        if self.open.count > 0 {
            let chunk = std::mem::replace(&mut self.open, Collected::new(&self.plan)).whole(&self.plan)?;
            self.runs.push(SortedPart::sorted(chunk, &self.plan, &self.origins)?);
        }
        Ok(())
    }

    fn kept_bytes(&self) -> usize {
        self.open.bytes + self.runs.iter().map(SortedPart::bytes).sum::<usize>()
    }

    /// Accounts for what is in use; returns the bounds to work in if it is too much.
    fn charge(&mut self, at_work: usize) -> Option<Bounds> {
        let bytes = at_work + self.waiting_bytes + self.kept_bytes();
        let OverBudget { limit, .. } = self.memory.set(bytes).err()?;
        Some(*self.bounds.insert(Bounds::of(limit)))
    }

    /// Merges everything in memory into one sorted run on disk.
    fn spill_runs(&mut self) -> Result<Work, OperatorError> {
        self.close_run()?;
        let merge = Merge::of_parts(std::mem::take(&mut self.runs), &self.plan, &self.origins)?;
        Ok(Work::Spill(merge, Writer::default()))
    }

    /// Returns the work when all rows have come: fewer sorted runs, or the output.
    fn merge_further(&mut self) -> Result<Work, OperatorError> {
        let Some(bounds) = self.bounds.filter(|_| !(self.spilled.is_empty() && self.merged.is_empty()))
        else {
            let merge = Merge::of_parts(std::mem::take(&mut self.runs), &self.plan, &self.origins)?;
            return Ok(Work::Emit(merge));
        };
        if !self.runs.is_empty() {
            return self.spill_runs();
        }
        if self.merged.len() + self.spilled.len() <= bounds.runs {
            let runs = self.merged.drain(..).chain(self.spilled.drain(..)).collect();
            return Ok(Work::Emit(Merge::of_runs(runs)));
        }
        if self.spilled.len() < 2 {
            // The pass is over; the next one begins with what it made.
            let last = self.spilled.pop_front();
            self.spilled = self.merged.drain(..).chain(last).collect();
        }
        let surplus = self.merged.len() + self.spilled.len() - bounds.runs;
        let count = bounds.runs.min(surplus + 1).min(self.spilled.len());
        let merge = Merge::of_runs(self.spilled.drain(..count).collect());
        Ok(Work::Spill(merge, Writer { destination: Destination::Merged, ..Writer::default() }))
    }

    /// Moves the next part to disk, until the sorted run is whole.
    fn spill(&mut self, merge: Merge, mut writer: Writer) -> Result<Option<Step>, OperatorError> {
        let Some(piece) = writer.pieces.pop_front() else { return self.fill(merge, writer) };
        let part = PartId(self.next_part);
        self.next_part += 1;
        writer.run.push_back(part);
        self.charge(merge.bytes() + chunk_bytes(&piece));
        self.work = Work::Spill(merge, writer);
        Ok(Some(Step::Spill(part, vec![compact(&piece)?])))
    }

    /// Merges the rows of the next part.
    fn fill(&mut self, mut merge: Merge, mut writer: Writer) -> Result<Option<Step>, OperatorError> {
        let part_bytes = self.bounds.map_or(1 << 20, |bounds| bounds.part_bytes);
        let rows = (part_bytes / merge.row_bytes().max(1)).clamp(1, RUN_ROWS / 2);
        let step = match merge.next(&self.plan, &self.origins, rows)? {
            Merged::Rows(chunk) => {
                writer.push(chunk, part_bytes);
                None
            }
            Merged::Load(part) => Some(Step::Load(part)),
            Merged::Forget(part) => Some(Step::Forget(part)),
            Merged::Done => {
                match writer.destination {
                    Destination::Last => self.spilled.push_back(writer.run),
                    Destination::Merged => self.merged.push(writer.run),
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
