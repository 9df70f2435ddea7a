//! Looking rows up on the build side.

use anabranch_engine::chunk::ChunkError;
use anabranch_engine::index::At as _;
use anabranch_engine::operator::{OperatorError, Step};
use anabranch_engine::provenance::Origins;
use arrow::array::{ArrayRef, UInt32Array};
use arrow::compute::take;
use arrow::error::ArrowError;

use super::layout::{SideOf, Sides, StagePlan};
use super::output::joined;
use super::prepared_input::PreparedInput;
use super::side::{BuildSide, Seen};
use crate::keys::equal_rows;
use crate::rows::{Bits, Chain, RowTable, row_weights};

/// Rows that are being looked up, and how far that has come.
///
/// The chains of all rows are followed together, a step each, so that the processor fetches many
/// rows at once instead of waiting for one after the other.
#[derive(Debug)]
pub(super) struct Probe {
    pub(super) side: SideOf,
    pub(super) prepared: PreparedInput,
    keys: Vec<ArrayRef>,
    /// Places among the selected rows, each with what is left of its chain; then those of the next
    /// step.
    open: Vec<(u32, Chain)>,
    at: usize,
    next: Vec<(u32, Chain)>,
    /// Stored rows below this number do not count.
    from: u32,
    marks: Marks,
    /// Bytes of the lists of each row of the chunk; empty without lists.
    weights: Vec<u32>,
    /// Pairs that were too heavy to leave with those before them.
    rest: Option<Pairs>,
}

/// Bytes of lists that may leave at once.
const OUTPUT_BYTES: usize = 4 << 20;

/// The counting of rows that are looked up, once they have a match.
#[derive(Debug)]
pub(super) enum Marks {
    /// They are on the build side as well, from this number on, by their rows in the chunk or one after the other.
    Stored { first: usize, by_row: bool },
    /// They are seen only once; these have been counted.
    Once(Bits),
    /// They come again; their bits begin here.
    Bits(usize),
}

/// Rows of the chunk that is looked up, each with a row of the build side.
#[derive(Debug, Default)]
pub(super) struct Pairs {
    /// Places among the selected rows, for the count of matches.
    places: Vec<u32>,
    pub(super) probe: Vec<u32>,
    pub(super) build_rows: Vec<u32>,
}

impl Pairs {
    fn with_capacity(pairs: usize) -> Self {
        let list = || Vec::with_capacity(pairs);
        Self { places: list(), probe: list(), build_rows: list() }
    }

    /// Takes the pairs from a place on away, if there are any.
    fn split_off(&mut self, at: usize) -> Option<Self> {
        (at < self.build_rows.len()).then(|| Self {
            places: self.places.split_off(at),
            probe: self.probe.split_off(at),
            build_rows: self.build_rows.split_off(at),
        })
    }
}

impl Probe {
    /// Begins to look up the selected rows, whose keys and chains of build rows these are.
    pub(super) fn new(
        side: SideOf,
        prepared: PreparedInput,
        keys: Vec<ArrayRef>,
        chains: &[Chain],
        marks: Marks,
    ) -> Self {
        let open = (0..).zip(chains).filter(|(_, chain)| !chain.is_none());
        let open = open.map(|(place, chain)| (place, *chain)).collect();
        let weights = row_weights(&prepared.chunk).unwrap_or_default();
        Self { side, prepared, keys, open, at: 0, next: Vec::new(), from: 0, marks, weights, rest: None }
    }

    /// Leaves out build rows below this number.
    pub(super) fn starting_at(mut self, from: u32) -> Self {
        self.from = from;
        self
    }

    /// The next pairs of equal keys, at most `limit`, fewer where their lists are long; none when all have
    /// been given.
    fn next(
        &mut self,
        table: &RowTable,
        build: &BuildSide,
        plan: &StagePlan,
        limit: usize,
    ) -> Result<Option<Pairs>, ArrowError> {
        let pairs = match self.rest.take() {
            Some(rest) => Some(rest),
            None => self.next_equal(table, build, plan, limit)?,
        };
        Ok(pairs.map(|mut pairs| {
            self.rest = pairs.split_off(self.fitting(&pairs, build));
            pairs
        }))
    }

    /// Returns the number of pairs that may leave at once.
    fn fitting(&self, pairs: &Pairs, build: &BuildSide) -> usize {
        if self.weights.is_empty() && !build.has_weights() {
            return pairs.build_rows.len();
        }
        let mut bytes = 0_usize;
        let fits = |(mine, theirs): &(&u32, &u32)| {
            let mine = self.weights.get(**mine as usize).map_or(0, |weight| *weight as usize);
            bytes = bytes.saturating_add(mine + build.weight(**theirs));
            bytes <= OUTPUT_BYTES
        };
        pairs.probe.iter().zip(&pairs.build_rows).take_while(fits).count().max(1)
    }

    /// The next pairs of equal keys, at most `limit`.
    fn next_equal(
        &mut self,
        table: &RowTable,
        build: &BuildSide,
        plan: &StagePlan,
        limit: usize,
    ) -> Result<Option<Pairs>, ArrowError> {
        let key_places = &plan.sides[self.side.other()].keys;
        loop {
            let candidates = self.candidates(table, limit);
            if candidates.probe.is_empty() && self.at >= self.open.len() && self.next.is_empty() {
                return Ok(None);
            }
            let pairs = if plan.exact { candidates } else { self.equal(candidates, build, key_places)? };
            if !pairs.probe.is_empty() {
                return Ok(Some(pairs));
            }
        }
    }

    /// The next pairs of equal hash, at most `limit`.
    fn candidates(&mut self, table: &RowTable, limit: usize) -> Pairs {
        let mut pairs = Pairs::with_capacity(limit.min(self.open.len() - self.at + self.next.len()));
        let theirs = self.side.other().in_table();
        let selection = self.prepared.selection();
        loop {
            let room = limit - pairs.build_rows.len();
            let left = self.open.at(self.at.., "chains that are left are open ones");
            let (step, _) = left.split_at(room.min(left.len()));
            self.at += step.len();
            for (place, chain) in step {
                let candidate = chain.newest();
                // Chains lead to ever older rows.
                if candidate < self.from {
                    continue;
                }
                pairs.places.push(*place);
                pairs.probe.push(selection.row(*place as usize));
                pairs.build_rows.push(candidate);
                let rest = table.rest(theirs, *chain);
                if !rest.is_none() {
                    self.next.push((*place, rest));
                }
            }
            if self.at < self.open.len() || pairs.build_rows.len() == limit {
                return pairs;
            }
            self.open.clear();
            std::mem::swap(&mut self.open, &mut self.next);
            self.at = 0;
            if self.open.is_empty() {
                return pairs;
            }
        }
    }

    /// The pairs whose keys are equal.
    fn equal(&self, pairs: Pairs, build: &BuildSide, key_places: &[usize]) -> Result<Pairs, ArrowError> {
        let mut marks = vec![true; pairs.build_rows.len()];
        for (column, at) in self.keys.iter().zip(key_places) {
            if !build.store.mark_equal(*at, (&pairs.build_rows, &pairs.probe), column, &mut marks) {
                let mine = take(column, &UInt32Array::from(pairs.probe.clone()), None)?;
                let theirs = build.store.column(*at, &pairs.build_rows)?;
                let equal = equal_rows(&[mine], &[theirs], pairs.build_rows.len())?;
                marks.iter_mut().zip(equal.iter()).for_each(|(mark, equal)| *mark &= equal);
            }
        }
        if marks.iter().all(|mark| *mark) {
            return Ok(pairs);
        }
        let chosen = |values: &[u32]| {
            let marked = values.iter().zip(&marks).filter(|(_, mark)| **mark);
            marked.map(|(value, _)| *value).collect()
        };
        Ok(Pairs {
            places: chosen(&pairs.places),
            probe: chosen(&pairs.probe),
            build_rows: chosen(&pairs.build_rows),
        })
    }

    /// Marks the rows of pairs as matched; `bits` are those of the rows that are looked up, and
    /// `build` those of the others. Returns how many of either were not yet marked.
    fn mark(&mut self, pairs: &Pairs, bits: &mut Bits, build: &mut Bits) -> (u64, u64) {
        let set = |bits: &mut Bits, first: usize, places: &[u32]| {
            places.iter().map(|place| u64::from(bits.set(first + *place as usize))).sum()
        };
        let probing = match &mut self.marks {
            Marks::Stored { first, by_row: true } => set(bits, *first, &pairs.probe),
            Marks::Stored { first, by_row: false } | Marks::Bits(first) => set(bits, *first, &pairs.places),
            Marks::Once(counted) => set(counted, 0, &pairs.places),
        };
        (probing, set(build, 0, &pairs.build_rows))
    }
}

/// Plan and origins of a stage's output, and the count of its rows.
pub(super) struct StageOutput<'a> {
    pub(super) plan: &'a StagePlan,
    pub(super) origins: &'a Origins,
    /// The most rows of a chunk.
    pub(super) rows: usize,
    pub(super) seen: &'a mut Sides<Seen>,
}

impl StageOutput<'_> {
    /// The next rows of a probe of the build side, noted as matched on both; the probe goes when it has no more.
    pub(super) fn next(
        &mut self,
        place: &mut Option<Probe>,
        table: &RowTable,
        matched: &mut Bits,
        build: &mut BuildSide,
    ) -> Result<Option<Step>, OperatorError> {
        let Some(mut probe) = place.take() else { return Ok(None) };
        let pairs = probe.next(table, build, self.plan, self.rows);
        let Some(pairs) = pairs.map_err(ChunkError::Arrow)? else { return Ok(None) };
        let output = joined(&probe, &pairs, build, self.plan, self.origins)?;
        let (mine, theirs) = probe.mark(&pairs, matched, &mut build.matched);
        self.seen[probe.side].matched += mine;
        self.seen[probe.side.other()].matched += theirs;
        *place = Some(probe);
        Ok(Some(Step::Output(output)))
    }
}
