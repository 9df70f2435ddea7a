//! The index from keys to their current versions: runs of keys on disk, and tables in memory over the
//! blocks that came since.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use anabranch_engine::identity::PacketHash;
use anabranch_engine::index::{At as _, holds};
use anabranch_engine::store::{StoreErrorKind, StoreFault};

use super::blocks::{BlockReader, BlockSlice};
use super::cache::Cache;
use super::key_filter::RunPart;
use super::key_runs::{self, KeyRun};
use super::page::{KeyPage, hash_of};
use super::removals;
use super::result_ref::ResultRef;
use super::run_summary::RunSummaries;
use super::table::{PrefixTable, first_of};
use super::withdrawn::Withdrawn;
use crate::results::result_block::PREFIX_BYTES;

/// Keys of one look-up that are looked for one by one, before the rest is sorted and looked for together.
const PROBES: usize = 8;
/// The same as long as none was found: all may be new.
const FIRST_PROBES: usize = 2;

/// Looks keys up, whichever process committed them.
///
/// A function's blocks up to some number are covered by its runs, of which pages are read as keys
/// need them and kept while there is room. The prefixes of later blocks, which the writer puts
/// into a run before they are many, are in a table. What does not fit into memory is read at each
/// look-up: slower, and as right.
///
/// Memory: `limit_bytes`, a quarter for filters and their summaries, a quarter for pages and half for tables; while a table grows, it and its
/// half.
#[derive(Debug)]
pub(crate) struct KeyIndex {
    limit_bytes: usize,
    filter_bytes: usize,
    filters: Cache<i64, RunPart>,
    summaries: RunSummaries,
    pages: Cache<i64, KeyPage>,
    // Shared by the thread that answers look-ups and the writer, which has to see what other
    // processes committed; held while tables are brought up to date and probed.
    tables: Mutex<Tables>,
}

#[derive(Debug, Default)]
struct Tables {
    by_function: HashMap<i64, RecentKeys>,
    uses: u64,
    /// Number of removals when the tables were begun.
    removals: i64,
}

#[derive(Debug, Default)]
struct RecentKeys {
    prefixes: PrefixTable,
    /// The last block whose rows are in, or in a run.
    last: u64,
    used: u64,
}

/// The current version of a key.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Current {
    pub(crate) version: ResultRef,
    /// Bytes of its outputs.
    pub(crate) bytes: usize,
}

impl Current {
    /// A version whose key was found in its block.
    fn of(version: ResultRef, block: &BlockSlice) -> Self {
        let bytes = holds(block.row_bytes(version.row as usize), "the key of the row was found in its block");
        Self { version, bytes }
    }
}

/// Invariant of places of keys in a look-up.
const ASKED: &str = "places are those of the keys of a look-up";

/// A key, by its place among those of a look-up, and a version that may be its own.
type Candidate = (usize, ResultRef);

impl KeyIndex {
    pub(crate) fn new(limit_bytes: usize) -> Self {
        let quarter = limit_bytes / 4;
        Self {
            limit_bytes: limit_bytes / 2,
            filter_bytes: quarter,
            filters: Cache::new(quarter),
            summaries: RunSummaries::default(),
            pages: Cache::new(quarter),
            tables: Mutex::default(),
        }
    }

    /// The current version of each key, as far as committed up to the reader's ceiling.
    ///
    /// If each key has one version (`several` is false), keys that follow each other as their
    /// rows do in a block are found there, without a look at the index.
    pub(crate) fn find(
        &self,
        reader: &BlockReader<'_>,
        several: bool,
        keys: &[PacketHash],
    ) -> Result<Vec<Option<Current>>, StoreFault> {
        let mut found = vec![None; keys.len()];
        let mut next: Option<(ResultRef, BlockSlice)> = None;
        let (mut probes, mut rest) = (0, Vec::new());
        for (at, (key, found)) in keys.iter().zip(&mut found).enumerate() {
            if let Some((version, slice)) = &mut next
                && slice.key(version.row as usize).as_ref() == Some(key)
            {
                *found = Some(Current::of(*version, slice));
                version.row += 1;
            } else if several || probes == PROBES || (next.is_none() && probes == FIRST_PROBES) {
                rest.push((hash_of(key), at));
            } else {
                probes += 1;
                *found = self.one(reader, key)?;
                if let Some(Current { version: ResultRef { block, row }, .. }) = *found {
                    next = Some((ResultRef { block, row: row + 1 }, reader.load(block)?));
                }
            }
        }
        let candidates = self.candidates(reader, keys, &mut rest)?;
        confirm(reader, several, keys, candidates, &mut found)?;
        Ok(found)
    }

    fn one(&self, reader: &BlockReader<'_>, key: &PacketHash) -> Result<Option<Current>, StoreFault> {
        let keys = std::slice::from_ref(key);
        let candidates = self.candidates(reader, keys, &mut [(hash_of(key), 0)])?;
        let mut found = [None];
        confirm(reader, false, keys, candidates, &mut found)?;
        let [found] = found;
        Ok(found)
    }

    /// Versions that may belong to keys, given as their hashes, each with its place.
    fn candidates(
        &self,
        reader: &BlockReader<'_>,
        keys: &[PacketHash],
        asked: &mut [(u64, usize)],
    ) -> Result<Vec<Candidate>, StoreFault> {
        if asked.is_empty() {
            return Ok(Vec::new());
        }
        let mut tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        // Only with the lock: the tables must not have blocks later than the reader's snapshot.
        reader.take_snapshot()?;
        let removals = removals::count(reader.rows)?;
        if tables.removals != removals {
            tables.by_function.clear();
            tables.removals = removals;
        }
        let runs = key_runs::list(reader.rows, reader.function)?;
        let mut candidates = self.recent(&mut tables, reader, &runs, (keys, &*asked))?;
        drop(tables);
        if !runs.is_empty() {
            // So that each page is read once.
            asked.sort_unstable_by_key(|(hash, _)| *hash);
        }
        self.in_runs(reader, &runs, asked, &mut candidates)?;
        Ok(candidates)
    }

    /// Looks up all keys in all runs.
    fn in_runs(
        &self,
        reader: &BlockReader<'_>,
        runs: &[KeyRun],
        asked: &[(u64, usize)],
        candidates: &mut Vec<Candidate>,
    ) -> Result<(), StoreFault> {
        let room = || self.filter_bytes.saturating_sub(self.filters.bytes());
        let sifted = self.summaries.sift(reader.function, runs, asked, room());
        for (runs, passed) in &sifted {
            for run in runs {
                self.in_run(reader, run, passed.as_deref().unwrap_or(asked), candidates)?;
            }
        }
        let (apart, _) = holds(sifted.last(), "the runs without a summary come last");
        let part = |run: &KeyRun, name| self.filters.get_or(name, || run.read_part(reader.rows, name));
        self.summaries.add(reader.function, apart, room, part)
    }

    fn recent(
        &self,
        tables: &mut Tables,
        reader: &BlockReader<'_>,
        runs: &[KeyRun],
        (keys, asked): (&[PacketHash], &[(u64, usize)]),
    ) -> Result<Vec<Candidate>, StoreFault> {
        tables.uses += 1;
        let used = tables.uses;
        let mut table = tables.by_function.remove(&reader.function).unwrap_or_default();
        table.used = used;
        let covered = runs.last().map_or(0, |run| run.last_block);
        if covered > 0 && covered >= table.last {
            table = RecentKeys { prefixes: PrefixTable::default(), last: covered, used };
        }
        let mut candidates = Vec::new();
        let mut beyond: Option<HashMap<u128, Vec<usize>>> = None;
        let span = (table.last, reader.ceiling());
        let mut last = table.last;
        let scanned = key_runs::prefixes(reader.rows, reader.function, span, |id, prefixes| {
            if beyond.is_none() && tables.make_room(&table, prefixes.len(), self.limit_bytes) {
                table.prefixes.add_block(id, prefixes);
                last = last.max(id);
                return true;
            }
            let wanted = beyond.get_or_insert_with(|| by_prefix(keys, asked));
            for (row, prefix) in (0..).zip(prefixes) {
                let asked = wanted.get(&u128::from_le_bytes(*prefix)).into_iter().flatten();
                candidates.extend(asked.map(|at| (*at, ResultRef { block: id, row })));
            }
            true
        });
        let hashes = asked.iter().map(|(_, place)| (*place, first_of(&keys.at(*place, ASKED).0.0)));
        table.prefixes.look_up(hashes, |at, found| candidates.push((at, found)));
        // A table may have blocks beyond the snapshot of a reader that took it for another key before.
        candidates.retain(|(_, found)| found.block <= reader.ceiling());
        if scanned.is_ok() && beyond.is_none() {
            table.last = last;
            tables.by_function.insert(reader.function, table);
        }
        // Else it would have gaps, since packs are handed out before blocks: the next look-up begins anew.
        scanned.map(|()| candidates)
    }

    /// Looks up all keys in a run, page by page.
    fn in_run(
        &self,
        reader: &BlockReader<'_>,
        run: &KeyRun,
        asked: &[(u64, usize)],
        candidates: &mut Vec<Candidate>,
    ) -> Result<(), StoreFault> {
        let mut passed = Vec::new();
        for group in asked.chunk_by(|(a, _), (b, _)| run.part(*a) == run.part(*b)) {
            let [(first, _), ..] = group else { unreachable!("a group has a member") };
            let name = run.part(*first);
            let part = self.filters.get_or(name, || run.read_part(reader.rows, name))?;
            passed.extend(group.iter().filter(|(hash, _)| part.may_have(*hash)));
        }
        for group in passed.chunk_by(|(a, _), (b, _)| run.page(*a) == run.page(*b)) {
            let [(first, _), ..] = group else { unreachable!("a group has a member") };
            let name = run.page(*first);
            let page = self.pages.get_or(name, || run.read(reader.rows, name))?;
            for (hash, at) in group {
                page.find(*hash, run.first_block, |found| candidates.push((*at, found)));
            }
        }
        Ok(())
    }

    /// Bytes of memory.
    pub(crate) fn bytes(&self) -> usize {
        let tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        self.filters.bytes()
            + self.summaries.bytes()
            + self.pages.bytes()
            + tables.by_function.values().map(|t| t.prefixes.bytes()).sum::<usize>()
    }
}

impl Tables {
    /// Returns true if `rows` more fit into the table, once others were evicted.
    fn make_room(&mut self, table: &RecentKeys, rows: usize, limit_bytes: usize) -> bool {
        let wanted = table.prefixes.bytes_with(rows);
        if wanted > limit_bytes {
            return false;
        }
        while wanted + self.by_function.values().map(|t| t.prefixes.bytes()).sum::<usize>() > limit_bytes {
            let oldest = self.by_function.iter().min_by_key(|(_, table)| table.used);
            let Some(oldest) = oldest.map(|(function, _)| *function) else { break };
            self.by_function.remove(&oldest);
        }
        true
    }
}

fn prefix(key: &PacketHash) -> u128 {
    let prefix = key.0.0.first_chunk::<PREFIX_BYTES>();
    u128::from_le_bytes(*holds(prefix, "a hash is longer than its prefix"))
}

fn by_prefix(keys: &[PacketHash], asked: &[(u64, usize)]) -> HashMap<u128, Vec<usize>> {
    let mut places: HashMap<u128, Vec<usize>> = HashMap::with_capacity(asked.len());
    for (_, place) in asked {
        places.entry(prefix(keys.at(*place, ASKED))).or_default().push(*place);
    }
    places
}

/// Compares whole hashes; of the versions that are a key's own, the latest that is not withdrawn is the current one.
fn confirm(
    reader: &BlockReader<'_>,
    several: bool,
    keys: &[PacketHash],
    mut candidates: Vec<Candidate>,
    found: &mut [Option<Current>],
) -> Result<(), StoreFault> {
    candidates.sort_unstable_by_key(|(_, reference)| std::cmp::Reverse(*reference));
    // A function of which something is withdrawn counts as one with several versions.
    let looks = several && !candidates.is_empty() && Withdrawn::any(reader.rows, reader.function)?;
    for group in candidates.chunk_by(|(_, a), (_, b)| a.block == b.block) {
        let mut block = None;
        let withdrawn = match group {
            [(_, reference), ..] if looks => Withdrawn::of_block(reader.rows, reference.block)?,
            _ => Withdrawn::default(),
        };
        for (asked, reference) in group.iter().filter(|(_, reference)| !withdrawn.has(*reference)) {
            let place = found.at_mut(*asked, ASKED);
            if place.is_some() {
                continue;
            }
            let block = match &block {
                Some(block) => block,
                None => match reader.load(reference.block) {
                    Ok(loaded) => block.insert(loaded),
                    // Runs keep the keys of versions that were removed since a later one is there.
                    Err(error)
                        if error.kind() == StoreErrorKind::Missing && removals::count(reader.rows)? > 0 =>
                    {
                        break;
                    }
                    Err(error) => return Err(error),
                },
            };
            let row = reference.row as usize;
            if block.key(row).as_ref() == Some(keys.at(*asked, ASKED)) {
                *place = Some(Current::of(*reference, block));
            }
        }
    }
    Ok(())
}
