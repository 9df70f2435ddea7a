//! Sorted runs made into one.

use std::cmp::Ordering;
use std::collections::VecDeque;

use anabranch_engine::chunk::Chunk;
use anabranch_engine::index::At as _;
use anabranch_engine::operator::{OperatorError, PartId};
use anabranch_engine::provenance::Origins;

use super::SortPlan;
use super::part::SortedPart;
use super::ties::TieOrder;

/// The parts of a sorted run that has left memory, in order.
pub(super) type SortedRun = VecDeque<PartId>;

/// A merge of sorted runs; of equal rows that of the sorted run named first stands first.
///
/// Memory: of each sorted run the part at hand.
#[derive(Default)]
pub(super) struct Merge {
    cursors: Vec<RunCursor>,
    /// The cursors that stand at a row, that of the least row last.
    order: Vec<Standing>,
    /// The cursors whose next part has to come back first.
    waiting: Vec<usize>,
    /// The part that has come back last.
    spent: Option<PartId>,
    picks: Picks,
}

/// A place in a sorted run.
#[derive(Default)]
struct RunCursor {
    part: Option<SortedPart>,
    row: usize,
    rest: SortedRun,
    /// Its number among those whose rows are chosen.
    slot: Option<usize>,
}

/// A cursor with the first bytes of the key of its row.
#[derive(Clone, Copy)]
struct Standing {
    prefix: u128,
    cursor: usize,
}

/// The next action of a merge.
pub(super) enum Merged {
    /// The next rows.
    Rows(Chunk),
    /// A part has to come back.
    Load(PartId),
    /// A part is not needed any more.
    Forget(PartId),
    /// There are no more rows.
    Done,
}

/// Rows that are chosen to leave next: of which cursor, and which of its part.
#[derive(Default)]
struct Picks {
    cursors: Vec<usize>,
    rows: Vec<(usize, usize)>,
}

impl Merge {
    /// A merge of sorted rows in memory.
    pub(super) fn of_parts(
        parts: Vec<SortedPart>,
        plan: &SortPlan,
        origins: &Origins,
    ) -> Result<Self, OperatorError> {
        let mut merge = Self::default();
        for part in parts {
            merge.cursors.push(RunCursor { part: Some(part), ..RunCursor::default() });
            merge.enter(merge.cursors.len() - 1, &mut TieOrder::new(&plan.ties, origins))?;
        }
        Ok(merge)
    }

    /// A merge of sorted runs that have left memory.
    pub(super) fn of_runs(runs: Vec<SortedRun>) -> Self {
        let cursors: Vec<RunCursor> =
            runs.into_iter().map(|rest| RunCursor { rest, ..RunCursor::default() }).collect();
        Self { waiting: (0..cursors.len()).collect(), cursors, ..Self::default() }
    }

    pub(super) fn bytes(&self) -> usize {
        self.parts().map(SortedPart::bytes).sum()
    }

    /// Bytes of a row on the average.
    pub(super) fn row_bytes(&self) -> usize {
        self.bytes() / self.parts().map(SortedPart::rows).sum::<usize>().max(1)
    }

    fn parts(&self) -> impl Iterator<Item = &SortedPart> {
        self.cursors.iter().filter_map(|cursor| cursor.part.as_ref())
    }

    /// Goes on; gives at most so many rows.
    pub(super) fn next(
        &mut self,
        plan: &SortPlan,
        origins: &Origins,
        rows: usize,
    ) -> Result<Merged, OperatorError> {
        if let Some(part) = self.spent.take() {
            return Ok(Merged::Forget(part));
        }
        if self.waiting.is_empty() {
            self.choose(rows.max(1), &mut TieOrder::new(&plan.ties, origins))?;
        }
        if !self.picks.rows.is_empty() {
            return Ok(Merged::Rows(self.leave(plan)?));
        }
        let Some(at) = self.waiting.last() else { return Ok(Merged::Done) };
        // A sorted run of no part has no rows either.
        Ok(self.cursors.at(*at, "sorted run").rest.front().map_or(Merged::Done, |part| Merged::Load(*part)))
    }

    /// Takes a part that was loaded.
    pub(super) fn loaded(
        &mut self,
        part: PartId,
        chunks: &[Chunk],
        plan: &SortPlan,
        origins: &Origins,
    ) -> Result<(), OperatorError> {
        let at = self.waiting.pop().ok_or(UNASKED)?;
        let cursor = self.cursors.at_mut(at, "sorted run");
        if cursor.rest.pop_front() != Some(part) {
            return Err(UNASKED);
        }
        self.spent = Some(part);
        cursor.part = Some(SortedPart::new(Chunk::concat(&plan.schema, chunks)?, plan)?);
        cursor.row = 0;
        self.enter(at, &mut TieOrder::new(&plan.ties, origins))
    }

    /// Chooses the next rows until there are enough or a sorted run has to be read on.
    fn choose(&mut self, rows: usize, ties: &mut TieOrder<'_>) -> Result<(), OperatorError> {
        while self.picks.rows.len() < rows && self.waiting.is_empty() {
            let Some(Standing { cursor: at, .. }) = self.order.pop() else { break };
            let cursor = self.cursors.at_mut(at, "sorted run");
            let last = cursor.current().rows();
            let is_alone = self.order.is_empty();
            let count = if is_alone { (last - cursor.row).min(rows - self.picks.rows.len()) } else { 1 };
            self.picks.add(at, cursor, count);
            if cursor.row < last {
                self.enter(at, ties)?;
            } else if !cursor.rest.is_empty() {
                self.waiting.push(at);
            }
        }
        Ok(())
    }

    /// Puts a cursor where its row belongs.
    fn enter(&mut self, at: usize, ties: &mut TieOrder<'_>) -> Result<(), OperatorError> {
        let cursor = self.cursors.at(at, "sorted run");
        let prefix = cursor.current().prefix(cursor.row);
        let entering = Standing { prefix, cursor: at };
        let (mut low, mut high) = (0, self.order.len());
        // The next row of a sorted run is often the least again; that is looked at first.
        let mut probe = high.saturating_sub(1);
        while low < high {
            if self.is_after(*self.order.at(probe, "sorted run in order"), entering, ties)? {
                low = probe + 1;
            } else {
                high = probe;
            }
            probe = usize::midpoint(low, high);
        }
        self.order.insert(low, entering);
        Ok(())
    }

    /// Returns whether one cursor's row stands after another's.
    fn is_after(
        &self,
        one: Standing,
        other: Standing,
        ties: &mut TieOrder<'_>,
    ) -> Result<bool, OperatorError> {
        if one.prefix != other.prefix {
            return Ok(one.prefix > other.prefix);
        }
        let at = |standing: Standing| {
            let cursor = self.cursors.at(standing.cursor, "sorted run");
            (cursor.current(), cursor.row)
        };
        let (mine, theirs) = (at(one), at(other));
        let mut order = mine.0.compare_keys(mine.1, theirs);
        if order == Ordering::Equal {
            order = ties.compare(mine, theirs)?;
        }
        Ok(order.then(one.cursor.cmp(&other.cursor)) == Ordering::Greater)
    }

    /// The chosen rows; parts of which all rows have left are let go.
    fn leave(&mut self, plan: &SortPlan) -> Result<Chunk, OperatorError> {
        let Picks { cursors, rows } = std::mem::take(&mut self.picks);
        let chunk = |at: &usize| self.cursors.at(*at, "sorted run").current().chunk.clone();
        let chunks: Vec<Chunk> = cursors.iter().map(chunk).collect();
        let chunk = match (chunks.as_slice(), rows.first()) {
            // The rows of one sorted run follow each other.
            ([only], Some((_, first))) => only.slice(*first, rows.len()),
            _ => Chunk::interleave(&plan.schema, &chunks, &rows)?,
        };
        for at in cursors {
            let cursor = self.cursors.at_mut(at, "sorted run");
            cursor.slot = None;
            cursor.part = cursor.part.take().filter(|part| cursor.row < part.rows());
        }
        Ok(chunk)
    }
}

const UNASKED: OperatorError = OperatorError::Protocol("rows came back that this operator did not ask for");

impl RunCursor {
    /// Returns the part that the cursor stands in.
    fn current(&self) -> &SortedPart {
        match &self.part {
            Some(part) => part,
            None => unreachable!("a sorted run whose rows are compared has a part in memory"),
        }
    }
}

impl Picks {
    /// Chooses the next rows of a cursor.
    fn add(&mut self, at: usize, cursor: &mut RunCursor, count: usize) {
        let slot = *cursor.slot.get_or_insert_with(|| {
            self.cursors.push(at);
            self.cursors.len() - 1
        });
        self.rows.extend((cursor.row..cursor.row + count).map(|row| (slot, row)));
        cursor.row += count;
    }
}
