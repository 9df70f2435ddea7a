//! Looking rows up among kept ones.

use arrow::array::{ArrayRef, UInt32Array};
use arrow::compute::take;
use arrow::error::ArrowError;

use super::entry::Entered;
use super::layout::SideOf;
use super::side::Kept;
use crate::keys::equal_rows;
use crate::rows::{Bits, NO_ROW};

/// Rows that are being looked up, and how far that has come.
#[derive(Debug)]
pub(super) struct Probe {
    pub(super) side: SideOf,
    pub(super) entered: Entered,
    keys: Vec<ArrayRef>,
    /// For each selected row, the newest kept row of its hash, and how many there are.
    heads: Vec<(u32, u32)>,
    /// Kept rows below this number do not count.
    from: u32,
    at: usize,
    candidate: u32,
    left: u32,
    marks: Marks,
}

/// How rows that are looked up are counted once they have a match.
#[derive(Debug, Clone, Copy)]
pub(super) enum Marks {
    /// They are kept as well, from this row number on.
    Kept(u32),
    /// They are seen only once.
    Once {
        /// The last one that was counted.
        last: Option<u32>,
    },
    /// They come again; their bits begin here.
    Bits(usize),
}

/// Rows of the chunk that is looked up, each with a kept row of the other side.
#[derive(Debug, Default)]
pub(super) struct Pairs {
    /// Places among the selected rows, for the count of matches.
    places: Vec<u32>,
    pub(super) probe: Vec<u32>,
    pub(super) kept: Vec<u32>,
}

impl Probe {
    /// Begins to look up the selected rows, whose keys and hashes these are.
    pub(super) fn new(
        side: SideOf,
        entered: Entered,
        keys: Vec<ArrayRef>,
        hashes: &[u64],
        kept: &Kept,
        marks: Marks,
    ) -> Self {
        let heads: Vec<(u32, u32)> = hashes.iter().map(|hash| kept.table.look_up(*hash)).collect();
        let (candidate, left) = heads.first().copied().unwrap_or((NO_ROW, 0));
        Self { side, entered, keys, heads, from: 0, at: 0, candidate, left, marks }
    }

    /// Leaves out kept rows below this number.
    pub(super) fn from_row(mut self, from: u32) -> Self {
        self.from = from;
        self
    }

    /// The next pairs of equal keys, at most `limit`; none when all have been given.
    pub(super) fn next(
        &mut self,
        kept: &Kept,
        key_places: &[usize],
        exact: bool,
        limit: usize,
    ) -> Result<Option<Pairs>, ArrowError> {
        loop {
            let candidates = self.candidates(kept, limit);
            if candidates.probe.is_empty() {
                return Ok(None);
            }
            let pairs = if exact { candidates } else { self.equal(candidates, kept, key_places)? };
            if !pairs.probe.is_empty() {
                return Ok(Some(pairs));
            }
        }
    }

    /// The next pairs of equal hash, at most `limit`.
    fn candidates(&mut self, kept: &Kept, limit: usize) -> Pairs {
        let mut pairs = Pairs::default();
        let selection = self.entered.selection();
        while pairs.probe.len() < limit {
            // Chains lead to ever older rows.
            if self.left == 0 || self.candidate < self.from {
                self.at += 1;
                let Some(head) = self.heads.get(self.at) else { break };
                (self.candidate, self.left) = *head;
                continue;
            }
            pairs.places.push(u32::try_from(self.at).unwrap_or(u32::MAX));
            pairs.probe.push(selection.row(self.at));
            pairs.kept.push(self.candidate);
            self.left -= 1;
            if self.left > 0 {
                self.candidate = kept.table.next(self.candidate);
            }
        }
        pairs
    }

    /// The pairs whose keys are equal.
    fn equal(&self, mut pairs: Pairs, kept: &Kept, key_places: &[usize]) -> Result<Pairs, ArrowError> {
        let count = pairs.kept.len();
        let before = pairs.probe.clone();
        for (column, at) in self.keys.iter().zip(key_places) {
            if !kept.store.retain_equal(*at, &mut pairs.kept, &mut pairs.probe, column) {
                pairs = self.equal_columns(pairs, kept, column, *at)?;
            }
        }
        if pairs.kept.len() < count {
            pairs.places = self.places_of(&before, &pairs.places, &pairs.probe);
        }
        Ok(pairs)
    }

    /// The places of the rows that are left; rows stand in ascending order.
    fn places_of(&self, before: &[u32], places: &[u32], after: &[u32]) -> Vec<u32> {
        let mut all = before.iter().zip(places);
        let mut last = None;
        after
            .iter()
            .filter_map(|row| {
                if last.is_none_or(|(known, _)| known != *row) {
                    last =
                        all.by_ref().find(|(known, _)| *known == row).map(|(known, place)| (*known, *place));
                }
                last.map(|(_, place)| place)
            })
            .collect()
    }

    fn equal_columns(
        &self,
        pairs: Pairs,
        kept: &Kept,
        column: &ArrayRef,
        at: usize,
    ) -> Result<Pairs, ArrowError> {
        let mine = take(column, &UInt32Array::from(pairs.probe.clone()), None)?;
        let theirs = kept.store.column(at, &pairs.kept)?;
        let equal = equal_rows(&[mine], &[theirs], pairs.kept.len())?;
        let chosen = |values: &[u32]| equal.set_indices().filter_map(|at| values.get(at).copied()).collect();
        Ok(Pairs { probe: chosen(&pairs.probe), kept: chosen(&pairs.kept), places: pairs.places })
    }

    /// Marks the rows of pairs as matched; `bits` are those of the rows that are looked up, and
    /// `kept` those of the others. Returns how many of either were not yet marked.
    pub(super) fn mark(&mut self, pairs: &Pairs, bits: &mut Bits, kept: &mut Bits) -> (u64, u64) {
        let mut probing = 0;
        for place in &pairs.places {
            probing += u64::from(match &mut self.marks {
                Marks::Kept(first) => bits.set(*first as usize + *place as usize),
                Marks::Once { last } => last.replace(*place) != Some(*place),
                Marks::Bits(first) => bits.set(*first + *place as usize),
            });
        }
        let others = pairs.kept.iter().map(|row| u64::from(kept.set(*row as usize))).sum();
        (probing, others)
    }
}
