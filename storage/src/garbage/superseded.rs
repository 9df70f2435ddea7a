//! Results that no look-up and no recording refers to.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ops::ControlFlow::Continue;
use std::sync::Arc;

use anabranch_engine::store::StoreFault;

use super::condemned::Condemned;
use super::sweep::{Progress, Sweeper};
use super::{Freed, Skipped};
use crate::catalog::query::{Filter, Query};
use crate::catalog::reads::{Reads as _, Snapshot};
use crate::catalog::table::Table;
use crate::catalog::tables::{
    BLOCKS, RECORDING_BLOCKS, RECORDINGS, RESULT_BLOCKS, RESULT_PACKS, SEVERAL_VERSIONS,
};
use crate::catalog::value::Row;
use crate::catalog::{Reader, Rows, Transaction};
use crate::leases::Leases;
use crate::record_blocks::RecordBlock;
use crate::results::key_runs;
use crate::results::packs;
use crate::results::removals;
use crate::results::result_ref::ResultRef;
use crate::results::withdrawn::Withdrawn;

/// Keys whose current version is looked for at once: about 100 MB. More of them take more passes.
const KEYS_AT_ONCE: u64 = 1 << 20;

/// Unit of removal: a block, or a pack of blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    Block(i64),
    Pack(i64),
}

/// Results by function that no look-up and no recording refers to.
///
/// Memory: 8 bytes for each block of theirs, and 100 MB.
#[derive(Debug)]
pub(super) struct Superseded {
    units: Vec<Unit>,
    /// The last recording that had begun when references were read.
    last_recording: i64,
}

impl Superseded {
    /// Finds them; condemned recordings are no longer counted as referring to any.
    ///
    /// Nothing, and why, while a run is at work: what it has looked up it may yet refer to.
    pub(super) fn find(
        reader: &dyn Reader,
        leases: &dyn Leases,
        condemned: &Condemned,
        left: &mut Vec<Skipped>,
    ) -> Result<Self, StoreFault> {
        let mut found = Self { units: Vec::new(), last_recording: last_recording(reader)? };
        if let Some(run) = leases.any_alive()? {
            left.push(Skipped::results_of_run(&run));
            return Ok(found);
        }
        // Of the other functions all versions are current.
        let functions = reader.all(&Query::of(&SEVERAL_VERSIONS, &["function"]), |row| row.number(0))?;
        for function in functions {
            let mut blocks = not_current(reader, function, KEYS_AT_ONCE)?;
            if blocks.is_empty() {
                continue;
            }
            if !unreferenced(reader, function, condemned, &mut blocks)? {
                left.push(Skipped::unreadable(function));
                continue;
            }
            found.units.extend(units(reader, function, &blocks)?);
        }
        Ok(found)
    }

    /// Returns the bytes and versions that removal would free.
    pub(super) fn sum(&self, rows: &dyn Rows) -> Result<(Freed, u64), StoreFault> {
        let (mut freed, mut versions) = (Freed::default(), 0);
        for unit in &self.units {
            let size = unit.size(rows)?.unwrap_or_default();
            freed.add(size.bytes);
            versions += size.rows;
        }
        Ok((freed, versions))
    }

    /// Removes them, as long as no run begins.
    pub(super) fn remove(
        mut self,
        sweeper: &mut Sweeper,
        left: &mut Vec<Skipped>,
    ) -> Result<(Freed, u64), StoreFault> {
        let (mut freed, mut versions) = (Freed::default(), 0);
        if self.units.is_empty() {
            return Ok((freed, versions));
        }
        let leases = Arc::clone(&sweeper.leases);
        sweeper.steps(|transaction, clock| {
            if let Some(reason) = disturbed(transaction, &*leases, self.last_recording)? {
                left.push(reason);
                return Ok(Progress::Done);
            }
            // Once for all: look-ups find the later version first, and skip this one once it is removed.
            if removals::count(transaction)? == 0 {
                removals::add(transaction)?;
            }
            while let Some(unit) = self.units.pop() {
                // A block that has moved into a pack meanwhile waits for the next time.
                if let Some(size) = unit.remove(transaction)? {
                    freed.add(size.bytes);
                    versions += size.rows;
                }
                if clock.is_over() {
                    return Ok(Progress::More);
                }
            }
            Ok(Progress::Done)
        })?;
        Ok((freed, versions))
    }
}

/// Returns the reason why results cannot be removed in this transaction: a run is at work, or one has recorded since.
pub(super) fn disturbed(
    transaction: &dyn Transaction,
    leases: &dyn Leases,
    last: i64,
) -> Result<Option<Skipped>, StoreFault> {
    if let Some(run) = leases.any_alive()? {
        return Ok(Some(Skipped::results_of_run(&run)));
    }
    Ok((last_recording(transaction)? != last).then(Skipped::begun))
}

/// The number of the last recording that there ever was.
pub(super) fn last_recording(rows: &dyn Rows) -> Result<i64, StoreFault> {
    rows.last_number(&RECORDINGS)
}

/// Size of results.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Size {
    pub(super) bytes: u64,
    pub(super) rows: u64,
}

impl Size {
    /// Reads the size of each row of a query of [`Size::of`].
    fn read(row: &Row<'_>) -> Result<Self, StoreFault> {
        Ok(Self { rows: row.unsigned(0)?, bytes: row.unsigned(1)? + row.unsigned(2)? })
    }

    /// The sizes of results in one of their tables.
    fn of(table: &'static Table) -> Query<'static> {
        Query::of(table, &["rows"]).lengths(&["prefixes", "data"])
    }

    /// The size of each block and each pack of a function.
    pub(super) fn each(rows: &dyn Rows, function: i64, mut each: impl FnMut(Self)) -> Result<(), StoreFault> {
        for table in [&RESULT_BLOCKS, &RESULT_PACKS] {
            rows.each(&Self::of(table).equal("function", function), |row| {
                each(Self::read(row)?);
                Ok::<_, StoreFault>(Continue(()))
            })?;
        }
        Ok(())
    }
}

impl Unit {
    /// Its table and its number there.
    fn place(self) -> (&'static Table, i64) {
        match self {
            Self::Block(id) => (&RESULT_BLOCKS, id),
            Self::Pack(id) => (&RESULT_PACKS, id),
        }
    }

    fn size(self, rows: &dyn Rows) -> Result<Option<Size>, StoreFault> {
        let (table, id) = self.place();
        rows.one(&Size::of(table).equal("id", id), Size::read)
    }

    /// Something that a function has.
    pub(super) fn any(rows: &dyn Rows, function: i64) -> Result<Option<Self>, StoreFault> {
        let first = |table| Query::of(table, &["id"]).equal("function", function).first(1);
        let block = rows.one(&first(&RESULT_BLOCKS), |row| row.number(0).map(Self::Block))?;
        match block {
            Some(_) => Ok(block),
            None => rows.one(&first(&RESULT_PACKS), |row| row.number(0).map(Self::Pack)),
        }
    }

    /// Removes it; returns none if it was removed before.
    pub(super) fn remove(self, transaction: &dyn Transaction) -> Result<Option<Size>, StoreFault> {
        let size = self.size(transaction)?;
        let (table, id) = self.place();
        transaction.delete(table, &Filter::of("id", id))?;
        Ok(size)
    }
}

/// Blocks of a function in which no key, by the first half of its hash, has its latest version that is not withdrawn.
///
/// Should two keys ever share 128 bits, the earlier one's result may be removed and is computed again.
fn not_current(reader: &dyn Reader, function: i64, at_once: u64) -> Result<HashSet<u64>, StoreFault> {
    // One snapshot: a block that moves into a pack in between would be seen in neither.
    let _snapshot = Snapshot::take(reader)?;
    let mut rows = 0_u64;
    for table in [&RESULT_BLOCKS, &RESULT_PACKS] {
        reader.each(&Query::of(table, &["rows"]).equal("function", function), |row| {
            rows = row.unsigned(0)?.saturating_add(rows);
            Ok::<_, StoreFault>(Continue(()))
        })?;
    }
    let passes = u128::from(rows.div_ceil(at_once).max(1));
    let mut blocks = pass_over(reader, function, passes, 0)?;
    for pass in 1..passes {
        let found = pass_over(reader, function, passes, pass)?;
        blocks.retain(|block| found.contains(block));
    }
    Ok(blocks)
}

/// One pass: the latest versions of a share of the keys.
fn pass_over(rows: &dyn Rows, function: i64, passes: u128, pass: u128) -> Result<HashSet<u64>, StoreFault> {
    let everything = (0, i64::MAX.unsigned_abs());
    let withdrawn = Withdrawn::of_function(rows, function)?;
    let stands = |block, row| !withdrawn.has(ResultRef { block, row });
    let mut latest: HashMap<u128, u64> = HashMap::new();
    let mine = |prefix: &[u8; 16]| {
        let prefix = u128::from_le_bytes(*prefix);
        (prefix % passes == pass).then_some(prefix)
    };
    key_runs::prefixes(rows, function, everything, |block, prefixes| {
        let rows = (0..).zip(prefixes).filter(|(row, _)| stands(block, *row));
        for prefix in rows.filter_map(|(_, prefix)| mine(prefix)) {
            let known = latest.entry(prefix).or_default();
            *known = block.max(*known);
        }
        true
    })?;
    let mut found = HashSet::new();
    key_runs::prefixes(rows, function, everything, |block, prefixes| {
        let mut rows = (0..).zip(prefixes).filter(|(row, _)| stands(block, *row));
        if rows.all(|(_, prefix)| mine(prefix).is_none_or(|prefix| latest.get(&prefix) != Some(&block))) {
            found.insert(block);
        }
        true
    })?;
    Ok(found)
}

/// Takes out the blocks that a record block refers to; false if one cannot be read.
fn unreferenced(
    reader: &dyn Reader,
    function: i64,
    condemned: &Condemned,
    blocks: &mut HashSet<u64>,
) -> Result<bool, StoreFault> {
    let _snapshot = Snapshot::take(reader)?;
    for id in record_blocks(reader, function, condemned)? {
        let by_id = Query::of(&BLOCKS, &["hash", "data"]).equal("id", id);
        let references = reader.one(&by_id, |row| {
            let (hash, data) = (row.bytes(0)?, row.bytes(1)?.to_vec());
            Ok(RecordBlock::read(data, hash).and_then(|block| block.references()))
        })?;
        match references {
            Some(Ok(references)) => {
                for reference in references {
                    blocks.remove(&reference.block);
                }
            }
            Some(Err(_)) => return Ok(false),
            None => {}
        }
    }
    Ok(true)
}

/// The blocks of records of the recordings of a function that are counted.
fn record_blocks(rows: &dyn Rows, function: i64, condemned: &Condemned) -> Result<BTreeSet<i64>, StoreFault> {
    let mut blocks = BTreeSet::new();
    let recordings = Query::of(&RECORDINGS, &["id"]).equal("function", function);
    rows.each(&recordings, |row| {
        let recording = row.number(0)?;
        if !condemned.contains(&recording) {
            let query = Query::of(&RECORDING_BLOCKS, &["block"]).equal("recording", recording);
            rows.each(&query, |row| {
                blocks.insert(row.number(0)?);
                Ok::<_, StoreFault>(Continue(()))
            })?;
        }
        Ok::<_, StoreFault>(Continue(()))
    })?;
    Ok(blocks)
}

/// Units that hold nothing but these blocks.
fn units(rows: &dyn Rows, function: i64, blocks: &HashSet<u64>) -> Result<Vec<Unit>, StoreFault> {
    let mut units = Vec::new();
    rows.each(&Query::of(&RESULT_BLOCKS, &["id"]).equal("function", function), |row| {
        let id = row.number(0)?;
        if blocks.contains(&id.unsigned_abs()) {
            units.push(Unit::Block(id));
        }
        Ok::<_, StoreFault>(Continue(()))
    })?;
    rows.each(&Query::of(&RESULT_PACKS, &["id", "pieces"]).equal("function", function), |row| {
        let entries = packs::entries(row.bytes(1)?).unwrap_or_default();
        if !entries.is_empty() && entries.iter().all(|entry| blocks.contains(&entry.block)) {
            units.push(Unit::Pack(row.number(0)?));
        }
        Ok::<_, StoreFault>(Continue(()))
    })?;
    Ok(units)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{Catalog as _, WriterOptions};
    use crate::memory::catalog::MemoryCatalog;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_number_of_passes_finds_the_blocks_without_a_latest_row(
            blocks in proptest::collection::vec(proptest::collection::btree_set(0_u128..30, 1..8), 1..20),
            at_once in 1_u64..40,
        ) {
            let catalog = MemoryCatalog::new();
            let mut writer = catalog.writer(&WriterOptions::default()).unwrap();
            let transaction = writer.begin().unwrap();
            for block in &blocks {
                let prefixes: Vec<u8> = block.iter().flat_map(|key| key.to_le_bytes()).collect();
                let row =
                    [("function", 1_i64.into()), ("rows", block.len().into()), ("prefixes", (&prefixes).into())];
                transaction.insert(&RESULT_BLOCKS, &row).unwrap();
            }
            transaction.commit().unwrap();
            let superseded = |(at, block): (usize, &std::collections::BTreeSet<u128>)| {
                let later: HashSet<u128> = blocks[at + 1..].iter().flatten().copied().collect();
                block.iter().all(|key| later.contains(key)).then_some(at as u64 + 1)
            };
            let expected: HashSet<u64> = blocks.iter().enumerate().filter_map(superseded).collect();
            prop_assert_eq!(not_current(writer.rows(), 1, at_once).unwrap(), expected);
        }
    }
}
