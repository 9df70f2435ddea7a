//! Runs of keys: where the results of a function are, sorted by the packets' hashes, on disk.
//!
//! A run covers all blocks of its function between two numbers. Runs follow each other without
//! gaps from the function's first block on; blocks after the last run are looked up through tables
//! in memory. A run is made of pages, in one of which a hash has to be, whatever else there is: the
//! leading bits of the hash are the number of the page. Pages that follow each other share a filter, so a look-up reads
//! no page of a run that does not have its hash, but for one in 2,000.

use std::ops::ControlFlow::{Break, Continue};

use anabranch_engine::index::fitting;
use anabranch_engine::store::StoreFault;

use super::key_filter::{KeyFilter, RunPart, leading_bits, part_bits};
use super::packs;
use super::page::{self, KeyEntry, KeyPage, page_of};
use super::run_summary::SUMMARY_BITS;
use crate::catalog::query::{Filter, Query};
use crate::catalog::reads::Reads as _;
use crate::catalog::table::Table;
use crate::catalog::tables::{KEY_FILTERS, KEY_PAGES, KEY_RUNS, RESULT_BLOCKS, RESULT_PACKS};
use crate::catalog::value::Row;
use crate::catalog::{Rows, Transaction};
use crate::results::result_block::PREFIX_BYTES;

/// Keys that go into a new run at most, which is what one transaction sorts.
pub(crate) const RUN_KEYS: usize = 1 << 20;

/// Runs with more keys are not merged any more: a merge is one transaction, which others wait for.
const LARGE_RUN: u64 = 1 << 20;

/// Small runs that follow each other are merged once there are so many.
const MANY_RUNS: usize = 8;

/// Keys of a merged run at most.
const MERGED_KEYS: u64 = 1 << 22;

/// Bits of a page's number that give its place in its run.
const PLACE_BITS: u32 = 20;

/// A run as the store has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct KeyRun {
    pub(crate) id: i64,
    pub(crate) first_block: u64,
    pub(crate) last_block: u64,
    keys: u64,
    bits: u32,
}

impl KeyRun {
    /// Name of the page that has a hash.
    pub(crate) fn page(&self, hash: u64) -> i64 {
        self.name(page_of(hash, self.bits))
    }

    fn name(&self, page: u64) -> i64 {
        (self.id << PLACE_BITS) | page.cast_signed()
    }

    /// Name of the part that has a hash.
    pub(crate) fn part(&self, hash: u64) -> i64 {
        self.name(page_of(hash, part_bits(self.bits)))
    }

    /// A run that is in no store.
    #[cfg(test)]
    pub(crate) fn of_keys(id: i64, keys: u64) -> Self {
        Self { id, first_block: 0, last_block: 0, keys, bits: page::page_bits(keys) }
    }

    /// Names of its parts, in order.
    pub(crate) fn parts(&self) -> impl Iterator<Item = i64> {
        (0..1 << part_bits(self.bits)).map(|part| self.name(part))
    }

    /// Number of its keys.
    pub(crate) fn keys(&self) -> u64 {
        self.keys
    }

    /// True if its filters have as many bits of a hash as a summary looks at.
    pub(crate) fn has_summary_bits(&self) -> bool {
        leading_bits(self.bits) >= SUMMARY_BITS
    }

    /// The filter of a part of this run.
    pub(crate) fn read_part(&self, rows: &dyn Rows, name: i64) -> Result<RunPart, StoreFault> {
        let by_name = Query::of(&KEY_FILTERS, &["data"]).equal("id", name);
        let filter = rows.one(&by_name, |row| {
            KeyFilter::read(name, self.bits, row.bytes(0)?)
                .map_err(|found| StoreFault::damaged(format!("key filter {name}"), found))
        });
        filter.map(RunPart)
    }

    /// A page of this run.
    pub(crate) fn read(&self, rows: &dyn Rows, name: i64) -> Result<KeyPage, StoreFault> {
        let damaged = |found: &str| StoreFault::damaged(format!("key page {name}"), found);
        let page = rows.one(&Query::of(&KEY_PAGES, &["data"]).equal("id", name), |row| {
            KeyPage::read(name, self.bits, row.bytes(0)?.to_vec()).map_err(damaged)
        });
        page?.ok_or_else(|| damaged("it is not in the store"))
    }

    /// Reads a run from its row.
    fn of(row: &Row<'_>) -> Result<Self, StoreFault> {
        Ok(Self {
            id: row.number(0)?,
            first_block: row.unsigned(1)?,
            last_block: row.unsigned(2)?,
            keys: row.unsigned(3)?,
            bits: row.small(4)?.min(PLACE_BITS),
        })
    }
}

/// The columns of a run, its function last.
const COLUMNS: [&str; 6] = ["id", "first_block", "last_block", "keys", "page_bits", "function"];

/// The runs of a function, in the order of their blocks.
pub(crate) fn list(rows: &dyn Rows, function: i64) -> Result<Vec<KeyRun>, StoreFault> {
    let runs = Query::of(&KEY_RUNS, &COLUMNS).equal("function", function).ascending("last_block");
    rows.all(&runs, KeyRun::of)
}

/// Hands out the prefixes of a function's blocks between two numbers, wherever they are kept; in
/// no order. Ends early once `each` returns false.
pub(crate) fn prefixes(
    rows: &dyn Rows,
    function: i64,
    (after, ceiling): (u64, u64),
    mut each: impl FnMut(u64, &[[u8; 16]]) -> bool,
) -> Result<(), StoreFault> {
    let torn = |kind: &str, id: i64| StoreFault::damaged(format!("{kind} {id}"), "its keys are torn");
    let (first, last) = (number(after) + 1, number(ceiling));
    let mut wanted = true;
    let packs = Query::of(&RESULT_PACKS, &["id", "last_block", "pieces", "prefixes"]);
    let packs = packs.equal("function", function).up_to("first_block", last).descending("first_block");
    rows.each(&packs, |row| {
        // Spans of packs do not overlap, so the first one that ends before ends the search.
        if row.number(1)? < first {
            return Ok(Break(()));
        }
        let id = row.number(0)?;
        let entries = packs::entries(row.bytes(2)?);
        let (Some(entries), (keys, [])) = (entries, row.bytes(3)?.as_chunks::<PREFIX_BYTES>()) else {
            return Err(torn("result pack", id));
        };
        for entry in entries.iter().filter(|entry| entry.block > after && entry.block <= ceiling) {
            let keys = keys.get(entry.offset..entry.offset + entry.rows as usize);
            wanted = each(entry.block, keys.ok_or_else(|| torn("result pack", id))?);
            if !wanted {
                return Ok(Break(()));
            }
        }
        Ok(Continue(()))
    })?;
    if !wanted {
        return Ok(());
    }
    let blocks = Query::of(&RESULT_BLOCKS, &["id", "prefixes"]).equal("function", function);
    rows.each(&blocks.between("id", first, last).ascending("id"), |row| {
        let (keys, []) = row.bytes(1)?.as_chunks::<PREFIX_BYTES>() else {
            return Err(torn("result block", row.number(0)?));
        };
        Ok(if each(row.unsigned(0)?, keys) { Continue(()) } else { Break(()) })
    })
}

/// The number of a block as the catalog has it.
fn number(block: u64) -> i64 {
    fitting(block, "number of the store")
}

/// Blocks after the last run, in order, with their rows: those that make the next one.
fn uncovered(rows: &dyn Rows, function: i64, after: u64) -> Result<Vec<(u64, u64)>, StoreFault> {
    let mut blocks = Vec::new();
    let packs = Query::of(&RESULT_PACKS, &["id", "last_block", "pieces"]);
    rows.each(&packs.equal("function", function).descending("first_block"), |row| {
        if row.unsigned(1)? <= after {
            return Ok(Break(()));
        }
        let id = row.number(0)?;
        let entries = packs::entries(row.bytes(2)?);
        let torn = || StoreFault::damaged(format!("result pack {id}"), "its entries are torn");
        let later = entries.ok_or_else(torn)?.into_iter().filter(|entry| entry.block > after);
        blocks.extend(later.map(|entry| (entry.block, u64::from(entry.rows))));
        Ok::<_, StoreFault>(Continue(()))
    })?;
    // More than a run takes; a block of one row is the smallest.
    let alone = Query::of(&RESULT_BLOCKS, &["id", "rows"]).equal("function", function);
    let alone = alone.after("id", number(after)).ascending("id").first(RUN_KEYS as u64);
    blocks.extend(rows.all(&alone, |row| Ok((row.unsigned(0)?, u64::from(row.small(1)?))))?);
    blocks.sort_unstable();
    Ok(blocks)
}

/// Sorts the keys after the last run into a new one if there are `least` of them; returns true if it did.
/// Within a transaction of the writer.
///
/// Memory: 16 bytes for each of a million keys.
pub(crate) fn extend(transaction: &dyn Transaction, function: i64, least: usize) -> Result<bool, StoreFault> {
    let after = list(transaction, function)?.last().map_or(0, |run| run.last_block);
    let blocks = uncovered(transaction, function, after)?;
    let Some((first, _)) = blocks.first().copied() else { return Ok(false) };
    let (mut keys, mut until) = (0, after);
    for (block, rows) in blocks {
        if keys > 0 && keys + rows > RUN_KEYS as u64 || block - first > u64::from(u32::MAX) {
            break;
        }
        keys += rows;
        until = block;
    }
    if keys < least as u64 {
        return Ok(false);
    }
    // A damaged number of rows is found below, and takes no memory before.
    let mut entries = Vec::with_capacity(usize::try_from(keys).map_or(RUN_KEYS, |keys| keys.min(RUN_KEYS)));
    let mut whole = true;
    prefixes(transaction, function, (after, until), |block, prefixes| {
        let Ok(block) = u32::try_from(block - first) else { return false };
        for (row, prefix) in prefixes.iter().enumerate() {
            let Ok(row) = u16::try_from(row) else {
                whole = false;
                return false;
            };
            entries.push(KeyEntry { hash: page::leading(prefix), block, row });
        }
        true
    })?;
    if !whole || entries.len() as u64 != keys {
        return Err(StoreFault::damaged("a result block", "it has another number of rows than of keys"));
    }
    entries.sort_unstable_by_key(KeyEntry::rank);
    let run = insert(transaction, function, (first, until), keys)?;
    let mut writer = RunWriter::new(transaction, run);
    let mut rest = entries.as_slice();
    while let Some(page) = writer.next_page() {
        let (entries, later) =
            rest.split_at(rest.partition_point(|entry| page_of(entry.hash, run.bits) <= page));
        writer.write(entries)?;
        rest = later;
    }
    Ok(true)
}

fn insert(
    transaction: &dyn Transaction,
    function: i64,
    (first_block, last_block): (u64, u64),
    keys: u64,
) -> Result<KeyRun, StoreFault> {
    let bits = page::page_bits(keys);
    let row = [
        ("function", function.into()),
        ("first_block", first_block.into()),
        ("last_block", last_block.into()),
        ("keys", keys.into()),
        ("page_bits", bits.into()),
    ];
    let id = transaction.insert(&KEY_RUNS, &row)?;
    Ok(KeyRun { id, first_block, last_block, keys, bits })
}

/// Writes the pages of a run one after the other, and the filter of each part behind its last page.
struct RunWriter<'a> {
    transaction: &'a dyn Transaction,
    run: KeyRun,
    page: u64,
    /// Hashes of the part so far.
    hashes: Vec<u64>,
}

impl<'a> RunWriter<'a> {
    fn new(transaction: &'a dyn Transaction, run: KeyRun) -> Self {
        Self { transaction, run, page: 0, hashes: Vec::new() }
    }

    /// The number of the page that comes next; none behind the last.
    fn next_page(&self) -> Option<u64> {
        (self.page < 1 << self.run.bits).then_some(self.page)
    }

    fn write(&mut self, entries: &[KeyEntry]) -> Result<(), StoreFault> {
        let name = self.run.name(self.page);
        self.insert(&KEY_PAGES, name, &page::encode(name, entries))?;
        self.hashes.extend(entries.iter().map(|entry| entry.hash));
        self.page += 1;
        let (bits, pages) = (part_bits(self.run.bits), 1 << (self.run.bits - part_bits(self.run.bits)));
        if self.page.is_multiple_of(pages) {
            let name = self.run.name((self.page - 1) >> (self.run.bits - bits));
            // A part without a filter is looked up page by page.
            if let Some(filter) = KeyFilter::build(self.run.bits, &self.hashes) {
                self.insert(&KEY_FILTERS, name, &filter.encode(name))?;
            }
            self.hashes.clear();
        }
        Ok(())
    }

    fn insert(&self, table: &'static Table, name: i64, data: &[u8]) -> Result<(), StoreFault> {
        self.transaction.insert(table, &[("id", name.into()), ("data", data.into())]).map(drop)
    }
}

/// Merges small runs that follow each other, once there are many; returns true if it did. Within a
/// transaction of the writer.
///
/// Memory: a page of each run, and 32 bytes for each key of a part.
pub(crate) fn merge(transaction: &dyn Transaction, function: i64) -> Result<bool, StoreFault> {
    let runs = list(transaction, function)?;
    let small = runs.iter().rev().take_while(|run| run.keys < LARGE_RUN).count();
    let (_, small) = runs.split_at(runs.len() - small);
    let (Some(first), true) = (small.first(), small.len() >= MANY_RUNS) else { return Ok(false) };
    let (mut keys, mut last_block, mut parts) = (0, 0, 0);
    for run in small {
        let span = run.last_block.checked_sub(first.first_block);
        let near = span.is_some_and(|span| u32::try_from(span).is_ok());
        if keys + run.keys > MERGED_KEYS || !near {
            break;
        }
        keys += run.keys;
        last_block = run.last_block;
        parts += 1;
    }
    let (parts, _) = small.split_at(parts);
    if parts.len() < 2 {
        return Ok(false);
    }
    let merged = insert(transaction, function, (first.first_block, last_block), keys)?;
    let mut pages: Vec<(i64, Option<KeyPage>)> = parts.iter().map(|_| (0, None)).collect();
    let mut writer = RunWriter::new(transaction, merged);
    while let Some(page) = writer.next_page() {
        let entries = entries_of(transaction, &merged, page, parts, &mut pages)?;
        writer.write(&entries)?;
    }
    for run in parts {
        remove(transaction, run)?;
    }
    Ok(true)
}

/// The entries of one page of a merged run, from the runs that it is made of.
fn entries_of(
    catalog: &dyn Rows,
    merged: &KeyRun,
    page: u64,
    parts: &[KeyRun],
    pages: &mut [(i64, Option<KeyPage>)],
) -> Result<Vec<KeyEntry>, StoreFault> {
    let from = if merged.bits == 0 { 0 } else { page << (64 - merged.bits) };
    let mut entries = Vec::new();
    for (run, (name, read)) in parts.iter().zip(pages) {
        let wanted = run.page(from);
        if *name != wanted {
            (*name, *read) = (wanted, Some(run.read(catalog, wanted)?));
        }
        let behind =
            || StoreFault::damaged(format!("key run {}", run.id), "its blocks are not behind those before");
        let shift =
            run.first_block.checked_sub(merged.first_block).and_then(|shift| u32::try_from(shift).ok());
        let shift = shift.ok_or_else(behind)?;
        let all = read.iter().flat_map(|read| read.starting_at(from));
        let mine = all.take_while(|entry| page_of(entry.hash, merged.bits) == page);
        for entry in mine {
            let block = entry.block.checked_add(shift).ok_or_else(behind)?;
            entries.push(KeyEntry { block, ..entry });
        }
    }
    entries.sort_unstable_by_key(KeyEntry::rank);
    Ok(entries)
}

/// The run of that number, and its function.
pub(crate) fn of_id(rows: &dyn Rows, id: i64) -> Result<Option<(KeyRun, i64)>, StoreFault> {
    let by_id = Query::of(&KEY_RUNS, &COLUMNS).equal("id", id);
    rows.one(&by_id, |row| Ok((KeyRun::of(row)?, row.number(5)?)))
}

/// Reads all pages and filters of a run; the error describes the damage.
pub(crate) fn check(rows: &dyn Rows, run: &KeyRun) -> Result<(), String> {
    let found = StoreFault::to_string;
    let mut keys = 0;
    let (mut part, mut filter) = (None, RunPart(None));
    for page in 0..1_u64 << run.bits {
        let page = run.read(rows, run.name(page)).map_err(|e| found(&e))?;
        for entry in page.starting_at(0) {
            keys += 1;
            let of = run.part(entry.hash);
            if part.replace(of) != Some(of) {
                filter = run.read_part(rows, of).map_err(|e| found(&e))?;
            }
            if !filter.may_have(entry.hash) {
                return Err(format!("the filter of part {of} does not have one of its keys"));
            }
            if run.first_block + u64::from(entry.block) > run.last_block {
                return Err("it leads to blocks that it does not cover".to_owned());
            }
        }
    }
    if keys == run.keys { Ok(()) } else { Err(format!("it has {keys} keys, expected {}", run.keys)) }
}

/// Removes the runs of a function whose results are to be removed; the rest is found through tables.
/// The pages wait for [`remove_lost_pages`].
pub(crate) fn forget(transaction: &dyn Transaction, function: i64) -> Result<(), StoreFault> {
    transaction.delete(&KEY_RUNS, &Filter::of("function", function)).map(drop)
}

/// Pages or filters that are removed at once.
const LOST_AT_ONCE: u64 = 64;

/// Removes some of the pages and filters that belong to no run; gives how many.
pub(crate) fn remove_lost_pages(transaction: &dyn Transaction) -> Result<u64, StoreFault> {
    let runs = transaction.all(&Query::of(&KEY_RUNS, &["id"]).ascending("id"), |row| row.number(0))?;
    let mut removed = 0;
    for table in [&KEY_PAGES, &KEY_FILTERS] {
        let mut lost: Vec<i64> = Vec::new();
        // The names between those of one run and those of the next.
        let runs_before = std::iter::once(-1).chain(runs.iter().copied());
        let runs_after = runs.iter().copied().chain(std::iter::once(i64::MAX >> PLACE_BITS));
        for (before, after) in runs_before.zip(runs_after) {
            let (from, to) = ((before + 1) << PLACE_BITS, (after << PLACE_BITS) - 1);
            let space = LOST_AT_ONCE.saturating_sub(lost.len() as u64);
            let names = Query::of(table, &["id"]).between("id", from, to).ascending("id").first(space);
            lost.extend(transaction.all(&names, |row| row.number(0))?);
        }
        for name in lost {
            removed += transaction.delete(table, &Filter::of("id", name))?;
        }
    }
    Ok(removed)
}

fn remove(transaction: &dyn Transaction, run: &KeyRun) -> Result<(), StoreFault> {
    let (first, last) = (run.name(0), run.name((1 << run.bits) - 1));
    for table in [&KEY_PAGES, &KEY_FILTERS] {
        transaction.delete(table, &Filter::all().between("id", first, last))?;
    }
    transaction.delete(&KEY_RUNS, &Filter::of("id", run.id)).map(drop)
}
