//! Summaries of key runs: the hashes that some large runs may have, together.
//!
//! Motivation: a packet that is new is looked for in the filter of each run, which reads a line of memory for each million packets of
//! the function. A summary covers eight runs in one line, and lets one hash in 20 pass to their filters.
//!
//! Guarantees:
//! 1. A hash that one of its runs has passes.
//! 2. Summaries are made from the filters of runs, are nowhere stored, and take no memory that filters need.
//!
//! Source: a Bloom filter in blocks of one word (Putze, Sanders, Singler: Cache-, Hash- and Space-Efficient Bloom Filters).

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use anabranch_engine::index::At as _;
use anabranch_engine::prefetch::{prefetch, prefetched};
use anabranch_engine::store::StoreFault;

use super::key_filter::RunPart;
use super::key_runs::KeyRun;

/// Leading bits of a hash that a summary looks at, which filters of large runs have.
pub(crate) const SUMMARY_BITS: u32 = 32;

/// Leading bits of a hash that give its word.
const WORD_BITS: u32 = 20;

/// Bytes of a summary.
const SUMMARY_BYTES: usize = 8 << WORD_BITS;

/// Keys of a summary at most: eight bits a key.
const SUMMARY_KEYS: u64 = 8 << WORD_BITS;

/// Bytes that filters may still get once there is a new summary, so that it does not go soon.
const SPARE_BYTES: usize = SUMMARY_BYTES;

/// Keys that are looked for before runs are added to a summary, which costs as much as these look-ups or less.
const WORTH_KEYS: usize = 1 << 17;

/// Hashes in ascending order, each with the place of its key in a look-up.
pub(crate) type Asked<'a> = &'a [(u64, usize)];

/// Summaries of the runs of all functions.
#[derive(Debug, Default)]
pub(crate) struct RunSummaries {
    // Shared by the thread that answers look-ups and the writer; held while a look-up is sifted.
    state: Mutex<SummaryState>,
}

#[derive(Debug, Default)]
struct SummaryState {
    by_function: HashMap<i64, Vec<RunSummary>>,
    /// Keys that were looked for in runs that have no summary.
    asked: usize,
}

/// Runs, and the hashes that are to be looked for in them; none where these are all.
pub(crate) type Sifted<'a> = (Vec<&'a KeyRun>, Option<Vec<(u64, usize)>>);

impl RunSummaries {
    /// Divides the runs of a function, and returns the hashes that the runs of each division may have.
    ///
    /// `room` is how many bytes of memory the filters leave.
    pub(crate) fn sift<'a>(
        &self,
        function: i64,
        runs: &'a [KeyRun],
        asked: Asked<'_>,
        room: usize,
    ) -> Vec<Sifted<'a>> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.keep_within(room);
        let summaries = state.by_function.get_mut(&function).map(|summaries| {
            summaries.retain(|summary| runs.iter().any(|run| summary.has(run)));
            &*summaries
        });
        let summaries = summaries.map_or(&[][..], Vec::as_slice);
        let mut sifted: Vec<Sifted<'a>> = Vec::with_capacity(summaries.len() + 1);
        for summary in summaries {
            let of_it = runs.iter().filter(|run| summary.has(run)).collect();
            sifted.push((of_it, Some(summary.passing(asked))));
        }
        let apart: Vec<&KeyRun> =
            runs.iter().filter(|run| !summaries.iter().any(|summary| summary.has(run))).collect();
        if apart.iter().any(|run| run.has_summary_bits()) {
            state.asked += asked.len();
        }
        sifted.push((apart, None));
        sifted
    }

    /// Adds runs that have no summary yet to one if enough keys were looked for in them, as long as there is room.
    pub(crate) fn add(
        &self,
        function: i64,
        runs: &[&KeyRun],
        room: impl Fn() -> usize,
        mut part: impl FnMut(&KeyRun, i64) -> Result<std::sync::Arc<RunPart>, StoreFault>,
    ) -> Result<(), StoreFault> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.asked < WORTH_KEYS {
            return Ok(());
        }
        state.asked = 0;
        for run in runs.iter().filter(|run| run.has_summary_bits()) {
            let parts = run.parts().map(|name| part(run, name)).collect::<Result<Vec<_>, _>>()?;
            let filters: Option<Vec<_>> = parts.iter().map(|part| part.0.as_ref()).collect();
            // Its pages are read for each hash anyway.
            let Some(filters) = filters else { continue };
            let Some(summary) = state.with_room(function, run.keys(), &room) else { break };
            for (at, filter) in (0..).zip(filters) {
                filter.hashes(at).for_each(|hash| summary.add(hash));
            }
            summary.runs.push(run.id);
            summary.keys += run.keys();
        }
        Ok(())
    }

    /// Bytes of memory.
    pub(crate) fn bytes(&self) -> usize {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).bytes()
    }
}

impl SummaryState {
    fn bytes(&self) -> usize {
        self.by_function.values().map(|summaries| summaries.len() * SUMMARY_BYTES).sum()
    }

    /// Gives up summaries until they fit.
    fn keep_within(&mut self, room: usize) {
        while self.bytes() > room {
            let largest = self.by_function.values_mut().max_by_key(|summaries| summaries.len());
            if largest.and_then(Vec::pop).is_none() {
                break;
            }
        }
    }

    /// The last summary of a function, or a new one, that has room for so many keys.
    fn with_room(&mut self, function: i64, keys: u64, room: impl Fn() -> usize) -> Option<&mut RunSummary> {
        let fits = self.bytes() + SUMMARY_BYTES + SPARE_BYTES <= room();
        let summaries = self.by_function.entry(function).or_default();
        if summaries.last().is_none_or(|last| last.keys + keys > SUMMARY_KEYS) {
            if !fits || keys > SUMMARY_KEYS {
                return None;
            }
            summaries.push(RunSummary::new());
        }
        summaries.last_mut()
    }
}

/// A summary of some runs.
#[derive(Debug)]
struct RunSummary {
    /// Ids of the runs, which are never used again.
    runs: Vec<i64>,
    keys: u64,
    words: Vec<u64>,
}

/// Invariant of words.
const WORDS: &str = "a summary has a word for all leading bits of a hash";

impl RunSummary {
    fn new() -> Self {
        Self { runs: Vec::new(), keys: 0, words: vec![0; 1 << WORD_BITS] }
    }

    fn has(&self, run: &KeyRun) -> bool {
        self.runs.contains(&run.id)
    }

    fn add(&mut self, hash: u64) {
        let (word, bits) = place(hash);
        *self.words.at_mut(word, WORDS) |= bits;
    }

    /// The hashes that its runs may have.
    fn passing(&self, asked: Asked<'_>) -> Vec<(u64, usize)> {
        let ahead = |(hash, _): &(u64, usize)| prefetch(self.words.at(place(*hash).0, WORDS));
        let passes = |(hash, _): &&(u64, usize)| {
            let (word, bits) = place(*hash);
            *self.words.at(word, WORDS) & bits == bits
        };
        prefetched(asked.iter(), ahead).filter(passes).copied().collect()
    }
}

/// The word of a hash, and its three bits there.
#[inline]
fn place(hash: u64) -> (usize, u64) {
    let word = (hash >> (64 - WORD_BITS)) as usize;
    // What follows the bits of the word, spread over all bits by an odd number without a pattern.
    let rest = ((hash << WORD_BITS) >> (64 - (SUMMARY_BITS - WORD_BITS))).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let bit = |from: u32| 1_u64 << ((rest >> from) & 63);
    (word, bit(58) | bit(52) | bit(46))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::key_filter::KeyFilter;
    use super::*;

    fn spread(n: u64) -> u64 {
        u64::from_be_bytes(*blake3::hash(&n.to_le_bytes()).as_bytes().first_chunk().unwrap())
    }

    #[test]
    fn keys_pass_a_full_summary_and_one_in_twenty_others() {
        let mut summary = RunSummary::new();
        let leading = |n| spread(n) >> (64 - SUMMARY_BITS) << (64 - SUMMARY_BITS);
        (0..SUMMARY_KEYS).for_each(|n| summary.add(leading(n)));
        let ask =
            |numbers: std::ops::Range<u64>| -> Vec<(u64, usize)> { numbers.map(spread).zip(0..).collect() };
        let keys = ask(1_000_000..1_100_000);
        assert_eq!(summary.passing(&keys), keys);
        let others = summary.passing(&ask(SUMMARY_KEYS..SUMMARY_KEYS + 100_000));
        assert!((1_000..5_500).contains(&others.len()), "{} of 100,000 passed", others.len());
    }

    /// Runs of 2^19 + 1 keys each, and what is looked for: a key of each, and a hash of none.
    fn runs(ids: std::ops::Range<i64>) -> Vec<KeyRun> {
        ids.map(|id| KeyRun::of_keys(id, (1 << 19) + 1)).collect()
    }

    fn part_of(run: &KeyRun, name: i64) -> Arc<RunPart> {
        let key = key_of(run);
        let hashes = if run.part(key) == name { vec![key] } else { Vec::new() };
        Arc::new(RunPart(KeyFilter::build(9, &hashes)))
    }

    fn key_of(run: &KeyRun) -> u64 {
        spread(run.id.unsigned_abs())
    }

    #[test]
    fn runs_get_a_summary_once_enough_was_asked_and_lose_it_without_room() {
        let (all, summaries) = (runs(1..21), RunSummaries::default());
        let mut asked: Vec<(u64, usize)> = all.iter().map(key_of).chain([spread(1_000)]).zip(0..).collect();
        asked.sort_unstable();
        let sift = |runs: &[KeyRun], room| -> (Vec<Vec<i64>>, Vec<Option<usize>>) {
            let sifted = summaries.sift(3, runs, &asked, room);
            let ids = sifted.iter().map(|(runs, _)| runs.iter().map(|run| run.id).collect()).collect();
            (ids, sifted.iter().map(|(_, passed)| passed.as_ref().map(Vec::len)).collect())
        };
        let room = 4 * SUMMARY_BYTES;
        let add = |runs: &[KeyRun]| {
            let runs: Vec<&KeyRun> = runs.iter().collect();
            summaries.add(3, &runs, || room, |run, name| Ok(part_of(run, name))).unwrap();
        };
        let ids = |range: std::ops::Range<i64>| range.collect::<Vec<i64>>();
        add(&all);
        assert_eq!(sift(&all, room), (vec![ids(1..21)], vec![None]), "nothing was asked before");
        while summaries.state.lock().unwrap().asked < WORTH_KEYS {
            sift(&all, room);
        }
        add(&all);
        // Fifteen of these runs fill one.
        let both = (vec![ids(1..16), ids(16..21), Vec::new()], vec![Some(15), Some(5), None]);
        assert_eq!((sift(&all, room), summaries.bytes()), (both, 2 * SUMMARY_BYTES));
        assert_eq!(sift(&runs(16..22), room), (vec![ids(16..21), vec![21]], vec![Some(5), None]));
        assert_eq!((sift(&all, SUMMARY_BYTES - 1).0, summaries.bytes()), (vec![ids(1..21)], 0));
    }
}
