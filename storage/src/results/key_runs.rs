//! Runs of keys: where the results of a function are, sorted by the packets' hashes, on disk.
//!
//! A run covers all blocks of its function between two numbers. Runs follow each other without
//! gaps from the function's first block on; blocks after the last run are looked up through tables
//! in memory. A run is made of pages, in one of which a hash has to be, whatever else there is: the
//! leading bits of the hash are the number of the page. Pages that follow each other share a filter, so a look-up reads
//! no page of a run that does not have its hash, but for one in 2,000.

use anabranch_engine::store::StoreError;
use rusqlite::{Connection, OptionalExtension as _};

use super::key_filter::{KeyFilter, RunPart, leading_bits, part_bits};
use super::packs;
use super::page::{self, KeyEntry, KeyPage, page_of};
use super::run_summary::SUMMARY_BITS;
use crate::error::{corrupt, sql};
use crate::results::result_block::PREFIX_BYTES;
use crate::sqlite::schema::has_table;
use crate::sqlite::sql_number;

const OPERATION: &str = "sort keys";

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
    pub(crate) fn read_part(&self, connection: &Connection, name: i64) -> Result<RunPart, StoreError> {
        let failed = |e| sql(OPERATION, e);
        // A store of an earlier program that cannot be written does not have the table.
        if !has_table(connection, "key_filters").map_err(failed)? {
            return Ok(RunPart(None));
        }
        let mut select =
            connection.prepare_cached("SELECT data FROM key_filters WHERE id = ?1").map_err(failed)?;
        let mut rows = select.query([name]).map_err(failed)?;
        let Some(row) = rows.next().map_err(failed)? else { return Ok(RunPart(None)) };
        let bytes = row.get_ref(0).and_then(|data| Ok(data.as_blob()?)).map_err(failed)?;
        let filter = KeyFilter::read(name, self.bits, bytes);
        filter
            .map(Some)
            .map(RunPart)
            .map_err(|found| corrupt(OPERATION, &format!("key filter {name}"), found))
    }

    /// A page of this run.
    pub(crate) fn read(&self, connection: &Connection, name: i64) -> Result<KeyPage, StoreError> {
        let bytes: Option<Vec<u8>> = connection
            .prepare_cached("SELECT data FROM key_pages WHERE id = ?1")
            .and_then(|mut statement| statement.query_row([name], |row| row.get(0)).optional())
            .map_err(|e| sql(OPERATION, e))?;
        let damaged = |found: &str| corrupt(OPERATION, &format!("key page {name}"), found);
        let bytes = bytes.ok_or_else(|| damaged("it is not in the store"))?;
        KeyPage::read(name, self.bits, bytes).map_err(damaged)
    }
}

/// The runs of a function, in the order of their blocks.
pub(crate) fn list(connection: &Connection, function: i64) -> Result<Vec<KeyRun>, StoreError> {
    let failed = |e| sql(OPERATION, e);
    let mut statement = connection
        .prepare_cached(
            "SELECT id, first_block, last_block, keys, page_bits FROM key_runs
             WHERE function = ?1 ORDER BY last_block",
        )
        .map_err(failed)?;
    let read = |row: &rusqlite::Row<'_>| {
        let number = |at| row.get::<_, i64>(at).map(i64::unsigned_abs);
        let bits = row.get::<_, u32>(4)?.min(PLACE_BITS);
        Ok(KeyRun {
            id: row.get(0)?,
            first_block: number(1)?,
            last_block: number(2)?,
            keys: number(3)?,
            bits,
        })
    };
    let runs = statement.query_map([function], read).map_err(failed)?;
    runs.collect::<rusqlite::Result<_>>().map_err(failed)
}

/// Hands out the prefixes of a function's blocks between two numbers, wherever they are kept; in
/// no order. Ends early once `each` returns false.
pub(crate) fn prefixes(
    connection: &Connection,
    function: i64,
    (after, ceiling): (u64, u64),
    mut each: impl FnMut(u64, &[[u8; 16]]) -> bool,
) -> Result<(), StoreError> {
    let failed = |e| sql(OPERATION, e);
    let torn = |kind: &str, id: i64| corrupt(OPERATION, &format!("{kind} {id}"), "its keys are torn");
    let span = (function, sql_number(after), sql_number(ceiling));
    let mut statement = connection
        .prepare_cached(
            "SELECT id, pieces, prefixes FROM result_packs
             WHERE function = ?1 AND last_block > ?2 AND first_block <= ?3 ORDER BY first_block",
        )
        .map_err(failed)?;
    let mut rows = statement.query(span).map_err(failed)?;
    while let Some(row) = rows.next().map_err(failed)? {
        let id: i64 = row.get(0).map_err(failed)?;
        let entries = row.get_ref(1).map_err(failed)?.as_blob().ok().and_then(packs::entries);
        let blob = row.get_ref(2).map_err(failed)?.as_blob().map(<[u8]>::as_chunks::<PREFIX_BYTES>);
        let (Some(entries), Ok((keys, []))) = (entries, blob) else { return Err(torn("result pack", id)) };
        for entry in entries.iter().filter(|entry| entry.block > after && entry.block <= ceiling) {
            let keys = keys.get(entry.offset..entry.offset + entry.rows as usize);
            if !each(entry.block, keys.ok_or_else(|| torn("result pack", id))?) {
                return Ok(());
            }
        }
    }
    let mut statement = connection
        .prepare_cached(
            "SELECT id, prefixes FROM result_blocks WHERE function = ?1 AND id > ?2 AND id <= ?3 ORDER BY id",
        )
        .map_err(failed)?;
    let mut rows = statement.query(span).map_err(failed)?;
    while let Some(row) = rows.next().map_err(failed)? {
        let id: i64 = row.get(0).map_err(failed)?;
        let blob = row.get_ref(1).map_err(failed)?.as_blob().map(<[u8]>::as_chunks::<PREFIX_BYTES>);
        let Ok((keys, [])) = blob else { return Err(torn("result block", id)) };
        if !each(id.unsigned_abs(), keys) {
            return Ok(());
        }
    }
    Ok(())
}

/// Blocks after the last run, in order, with their rows: those that make the next one.
fn uncovered(connection: &Connection, function: i64, after: u64) -> Result<Vec<(u64, u64)>, StoreError> {
    let failed = |e| sql(OPERATION, e);
    let mut blocks = Vec::new();
    let after = sql_number(after);
    let mut statement = connection
        .prepare_cached("SELECT id, pieces FROM result_packs WHERE function = ?1 AND last_block > ?2")
        .map_err(failed)?;
    let mut rows = statement.query((function, after)).map_err(failed)?;
    while let Some(row) = rows.next().map_err(failed)? {
        let id: i64 = row.get(0).map_err(failed)?;
        let entries = row.get_ref(1).map_err(failed)?.as_blob().ok().and_then(packs::entries);
        let torn = || corrupt(OPERATION, &format!("result pack {id}"), "its entries are torn");
        let entries = entries.ok_or_else(torn)?.into_iter();
        let later = entries.filter(|entry| entry.block > after.unsigned_abs());
        blocks.extend(later.map(|entry| (entry.block, u64::from(entry.rows))));
    }
    let mut statement = connection
        .prepare_cached(
            "SELECT id, rows FROM result_blocks WHERE function = ?1 AND id > ?2 ORDER BY id LIMIT ?3",
        )
        .map_err(failed)?;
    // More than a run takes; a block of one row is the smallest.
    let read = |row: &rusqlite::Row<'_>| Ok((row.get::<_, i64>(0)?.unsigned_abs(), row.get::<_, u32>(1)?));
    for block in statement.query_map((function, after, sql_number(RUN_KEYS)), read).map_err(failed)? {
        let (id, rows) = block.map_err(failed)?;
        blocks.push((id, u64::from(rows)));
    }
    blocks.sort_unstable();
    Ok(blocks)
}

/// Sorts the keys after the last run into a new one if there are `least` of them; returns true if it did.
/// Within a transaction of the writer.
///
/// Memory: 16 bytes for each of a million keys.
pub(crate) fn extend(connection: &Connection, function: i64, least: usize) -> Result<bool, StoreError> {
    let after = list(connection, function)?.last().map_or(0, |run| run.last_block);
    let blocks = uncovered(connection, function, after)?;
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
    prefixes(connection, function, (after, until), |block, prefixes| {
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
        return Err(corrupt(OPERATION, "a result block", "it has another number of rows than of keys"));
    }
    entries.sort_unstable();
    let run = insert(connection, function, (first, until), keys)?;
    let mut writer = RunWriter::new(connection, run);
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
    connection: &Connection,
    function: i64,
    (first_block, last_block): (u64, u64),
    keys: u64,
) -> Result<KeyRun, StoreError> {
    let bits = page::page_bits(keys);
    connection
        .prepare_cached(
            "INSERT INTO key_runs (function, first_block, last_block, keys, page_bits)
             VALUES (?1, ?2, ?3, ?4, ?5)",
        )
        .and_then(|mut insert| {
            insert.execute((
                function,
                sql_number(first_block),
                sql_number(last_block),
                sql_number(keys),
                bits,
            ))
        })
        .map_err(|e| sql(OPERATION, e))?;
    Ok(KeyRun { id: connection.last_insert_rowid(), first_block, last_block, keys, bits })
}

/// Writes the pages of a run one after the other, and the filter of each part behind its last page.
struct RunWriter<'a> {
    connection: &'a Connection,
    run: KeyRun,
    page: u64,
    /// Hashes of the part so far.
    hashes: Vec<u64>,
}

impl<'a> RunWriter<'a> {
    fn new(connection: &'a Connection, run: KeyRun) -> Self {
        Self { connection, run, page: 0, hashes: Vec::new() }
    }

    /// The number of the page that comes next; none behind the last.
    fn next_page(&self) -> Option<u64> {
        (self.page < 1 << self.run.bits).then_some(self.page)
    }

    fn write(&mut self, entries: &[KeyEntry]) -> Result<(), StoreError> {
        let name = self.run.name(self.page);
        self.insert("INSERT INTO key_pages (id, data) VALUES (?1, ?2)", name, page::encode(name, entries))?;
        self.hashes.extend(entries.iter().map(|entry| entry.hash));
        self.page += 1;
        let (bits, pages) = (part_bits(self.run.bits), 1 << (self.run.bits - part_bits(self.run.bits)));
        if self.page.is_multiple_of(pages) {
            let name = self.run.name((self.page - 1) >> (self.run.bits - bits));
            // A part without a filter is looked up page by page.
            if let Some(filter) = KeyFilter::build(self.run.bits, &self.hashes) {
                self.insert("INSERT INTO key_filters (id, data) VALUES (?1, ?2)", name, filter.encode(name))?;
            }
            self.hashes.clear();
        }
        Ok(())
    }

    fn insert(&self, statement: &str, name: i64, data: Vec<u8>) -> Result<(), StoreError> {
        let inserted =
            self.connection.prepare_cached(statement).and_then(|mut insert| insert.execute((name, data)));
        inserted.map(drop).map_err(|e| sql(OPERATION, e))
    }
}

/// Merges small runs that follow each other, once there are many; returns true if it did. Within a
/// transaction of the writer.
///
/// Memory: a page of each run, and 32 bytes for each key of a part.
pub(crate) fn merge(connection: &Connection, function: i64) -> Result<bool, StoreError> {
    let runs = list(connection, function)?;
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
    let merged = insert(connection, function, (first.first_block, last_block), keys)?;
    let mut pages: Vec<(i64, Option<KeyPage>)> = parts.iter().map(|_| (0, None)).collect();
    let mut writer = RunWriter::new(connection, merged);
    while let Some(page) = writer.next_page() {
        let entries = entries_of(connection, &merged, page, parts, &mut pages)?;
        writer.write(&entries)?;
    }
    for run in parts {
        remove(connection, run).map_err(|e| sql(OPERATION, e))?;
    }
    Ok(true)
}

/// The entries of one page of a merged run, from the runs that it is made of.
fn entries_of(
    connection: &Connection,
    merged: &KeyRun,
    page: u64,
    parts: &[KeyRun],
    pages: &mut [(i64, Option<KeyPage>)],
) -> Result<Vec<KeyEntry>, StoreError> {
    let from = if merged.bits == 0 { 0 } else { page << (64 - merged.bits) };
    let mut entries = Vec::new();
    for (run, (name, read)) in parts.iter().zip(pages) {
        let wanted = run.page(from);
        if *name != wanted {
            (*name, *read) = (wanted, Some(run.read(connection, wanted)?));
        }
        let behind =
            || corrupt(OPERATION, &format!("key run {}", run.id), "its blocks are not behind those before");
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
    entries.sort_unstable();
    Ok(entries)
}

/// The run of that number, and its function.
pub(crate) fn of_id(connection: &Connection, id: i64) -> rusqlite::Result<Option<(KeyRun, i64)>> {
    let read = |row: &rusqlite::Row<'_>| {
        let number = |at| row.get::<_, i64>(at).map(i64::unsigned_abs);
        let (first_block, last_block, keys) = (number(0)?, number(1)?, number(2)?);
        let bits = row.get::<_, u32>(3)?.min(PLACE_BITS);
        Ok((KeyRun { id, first_block, last_block, keys, bits }, row.get(4)?))
    };
    connection
        .prepare_cached(
            "SELECT first_block, last_block, keys, page_bits, function FROM key_runs WHERE id = ?1",
        )?
        .query_row([id], read)
        .optional()
}

/// Reads all pages and filters of a run; the error describes the damage.
pub(crate) fn check(connection: &Connection, run: &KeyRun) -> Result<(), String> {
    let mut keys = 0;
    let (mut part, mut filter) = (None, RunPart(None));
    for page in 0..1_u64 << run.bits {
        let page = run.read(connection, run.name(page)).map_err(|e| e.message)?;
        for entry in page.starting_at(0) {
            keys += 1;
            let of = run.part(entry.hash);
            if part.replace(of) != Some(of) {
                filter = run.read_part(connection, of).map_err(|e| e.message)?;
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
pub(crate) fn forget(connection: &Connection, function: i64) -> rusqlite::Result<()> {
    connection.prepare_cached("DELETE FROM key_runs WHERE function = ?1")?.execute([function]).map(drop)
}

/// Removes some of the pages and filters that belong to no run; gives how many.
pub(crate) fn remove_lost_pages(connection: &Connection) -> rusqlite::Result<usize> {
    let mut removed = 0;
    for table in ["key_pages", "key_filters"] {
        removed += connection
            .prepare_cached(&format!(
                "DELETE FROM {table} WHERE id IN (SELECT id FROM {table}
                   WHERE (id >> {PLACE_BITS}) NOT IN (SELECT id FROM key_runs) LIMIT 64)"
            ))?
            .execute([])?;
    }
    Ok(removed)
}

fn remove(connection: &Connection, run: &KeyRun) -> rusqlite::Result<()> {
    let (first, last) = (run.name(0), run.name((1 << run.bits) - 1));
    connection.execute("DELETE FROM key_pages WHERE id BETWEEN ?1 AND ?2", [first, last])?;
    connection.execute("DELETE FROM key_filters WHERE id BETWEEN ?1 AND ?2", [first, last])?;
    connection.execute("DELETE FROM key_runs WHERE id = ?1", [run.id])?;
    Ok(())
}
