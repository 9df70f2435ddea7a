//! Contents and size of a store.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use anabranch_engine::identity::Digest;
use anabranch_engine::store::{ReadError, StoreFault};

use super::Store;
use crate::catalog::query::Query;
use crate::catalog::reads::{Reads as _, Snapshot};
use crate::catalog::table::Table;
use crate::catalog::tables::{
    BLOCKS, FUNCTIONS, KEY_FILTERS, KEY_PAGES, RECORDING_BLOCKS, RECORDINGS, RESULT_BLOCKS, RESULT_PACKS,
};
use crate::catalog::value::Row;
use crate::catalog::{Reader, Rows};
use crate::recordings::stored::is_used;

/// A function that the store has results or recordings of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FunctionEntry {
    /// The name under which it was first seen.
    pub name: String,
    /// Its fingerprint in hex digits.
    pub fingerprint: String,
    /// Versions of results; a packet that was refreshed has several.
    pub versions: u64,
    /// Bytes of the blocks that hold them.
    pub bytes: u64,
    /// Complete recordings that refer to them.
    pub recordings: u64,
    /// Time of its first use, in milliseconds since 1970.
    pub created_ms: i64,
}

/// A complete recording.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordingEntry {
    /// The pipeline.
    pub pipeline: String,
    /// The node.
    pub node: String,
    /// The run.
    pub run: String,
    /// Number of rows.
    pub rows: u64,
    /// Bytes of its blocks, without results.
    pub bytes: u64,
    /// Bytes of those that other recordings have as well.
    pub shared_bytes: u64,
    /// Time of its completion, in milliseconds since 1970.
    pub completed_ms: i64,
}

/// Contents of a store.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inventory {
    /// Functions by name, the newest first.
    pub functions: Vec<FunctionEntry>,
    /// Recordings by pipeline and node, the newest first.
    pub recordings: Vec<RecordingEntry>,
}

/// Size of a store.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StoreSize {
    /// Bytes on the disk, logs included; 0 of a store in memory.
    pub disk_bytes: u64,
    /// Bytes of results.
    pub result_bytes: u64,
    /// Versions of results.
    pub versions: u64,
    /// Bytes of the sorted keys by which results are found, and of their filters.
    pub key_bytes: u64,
    /// Bytes of the blocks of recordings.
    pub record_bytes: u64,
    /// Bytes of these if nothing was shared.
    pub unshared_bytes: u64,
    /// Complete recordings.
    pub recordings: u64,
    /// Bytes of the database that hold nothing, likewise.
    pub free_bytes: u64,
}

impl Store {
    /// Lists what the store holds. Blocks for a read.
    ///
    /// Memory: some hundred bytes for each function and recording, and 8 for each block of one recording.
    pub fn inventory(&self) -> Result<Inventory, ReadError> {
        let reader = self.reader()?;
        let _snapshot = Snapshot::take(&*reader)?;
        Ok(Inventory { functions: functions(&*reader)?, recordings: recordings(&*reader)? })
    }

    /// Sums up what the store takes. Blocks for a read.
    pub fn size(&self) -> Result<StoreSize, ReadError> {
        let reader = self.reader()?;
        let _snapshot = Snapshot::take(&*reader)?;
        Ok(StoreSize { disk_bytes: self.catalog().disk_bytes(), ..size(&*reader)? })
    }
}

/// Results of a function, and recordings that refer to them.
#[derive(Debug, Default)]
struct Usage {
    versions: u64,
    bytes: u64,
    recordings: u64,
}

fn functions(rows: &dyn Rows) -> Result<Vec<FunctionEntry>, StoreFault> {
    let used = usage(rows)?;
    let mut entries: Vec<(i64, FunctionEntry)> = Vec::new();
    let query = Query::of(&FUNCTIONS, &["id", "name", "fingerprint", "created_ms"]);
    rows.each(&query, |row| {
        let id = row.number(0)?;
        if let Some(usage) = used.get(&id) {
            let entry = FunctionEntry {
                name: row.string(1)?,
                fingerprint: Digest(row.hash(2)?).to_string(),
                versions: usage.versions,
                bytes: usage.bytes,
                recordings: usage.recordings,
                created_ms: row.number(3)?,
            };
            entries.push((id, entry));
        }
        Ok::<_, StoreFault>(ControlFlow::Continue(()))
    })?;
    entries.sort_by(|(a_id, a), (b_id, b)| (&a.name, Reverse(a_id)).cmp(&(&b.name, Reverse(b_id))));
    Ok(entries.into_iter().map(|(_, entry)| entry).collect())
}

/// The usage of each function that has results or recordings.
fn usage(rows: &dyn Rows) -> Result<BTreeMap<i64, Usage>, StoreFault> {
    let mut used: BTreeMap<i64, Usage> = BTreeMap::new();
    for table in [&RESULT_BLOCKS, &RESULT_PACKS] {
        each_result_block(rows, table, |function, versions, bytes| {
            let usage = used.entry(function).or_default();
            usage.versions += versions;
            usage.bytes += bytes;
        })?;
    }
    let complete = Query::of(&RECORDINGS, &["function"]).equal("complete", true);
    rows.each(&complete, |row| {
        if let Some(function) = row.optional(0, Row::number)? {
            used.entry(function).or_default().recordings += 1;
        }
        Ok::<_, StoreFault>(ControlFlow::Continue(()))
    })?;
    Ok(used)
}

/// Hands out function, versions and bytes of each block or pack of results.
fn each_result_block(
    rows: &dyn Rows,
    table: &'static Table,
    mut each: impl FnMut(i64, u64, u64),
) -> Result<(), StoreFault> {
    let query = Query::of(table, &["function", "rows"]).lengths(&["prefixes", "data"]);
    rows.each(&query, |row| {
        each(row.number(0)?, row.unsigned(1)?, row.unsigned(2)? + row.unsigned(3)?);
        Ok(ControlFlow::Continue(()))
    })
}

fn recordings(rows: &dyn Rows) -> Result<Vec<RecordingEntry>, StoreFault> {
    let columns = ["id", "pipeline", "node", "run", "rows", "completed_ms"];
    let query = Query::of(&RECORDINGS, &columns).equal("complete", true);
    let mut entries = rows.all(&query, |row| {
        let entry = RecordingEntry {
            pipeline: row.string(1)?,
            node: row.string(2)?,
            run: row.string(3)?,
            rows: row.unsigned(4)?,
            bytes: 0,
            shared_bytes: 0,
            completed_ms: row.number(5)?,
        };
        Ok((row.number(0)?, entry))
    })?;
    entries.sort_by(|(a_id, a), (b_id, b)| {
        (&a.pipeline, &a.node, Reverse(a_id)).cmp(&(&b.pipeline, &b.node, Reverse(b_id)))
    });
    let sized = |(id, entry): (i64, RecordingEntry)| {
        let (bytes, shared_bytes) = recording_bytes(rows, id)?;
        Ok(RecordingEntry { bytes, shared_bytes, ..entry })
    };
    entries.into_iter().map(sized).collect()
}

/// The bytes of a recording's blocks, and of those that other recordings have as well. A block that it has twice is
/// counted once.
fn recording_bytes(rows: &dyn Rows, recording: i64) -> Result<(u64, u64), StoreFault> {
    let query = Query::of(&RECORDING_BLOCKS, &["block"]).equal("recording", recording);
    let mut blocks = BTreeSet::new();
    rows.each(&query, |row| {
        blocks.insert(row.number(0)?);
        Ok::<_, StoreFault>(ControlFlow::Continue(()))
    })?;
    let (mut bytes, mut shared) = (0, 0);
    for block in blocks {
        let query = Query::of(&BLOCKS, &["bytes"]).equal("id", block);
        let Some(size) = rows.one(&query, |row| row.unsigned(0))? else { continue };
        bytes += size;
        if is_used(rows, block, |other| other != recording)? {
            shared += size;
        }
    }
    Ok((bytes, shared))
}

/// All but the bytes on the disk.
fn size(reader: &dyn Reader) -> Result<StoreSize, StoreFault> {
    let complete = Query::of(&RECORDINGS, &[]).equal("complete", true);
    let mut size = StoreSize {
        key_bytes: data_bytes(reader, &KEY_PAGES)? + data_bytes(reader, &KEY_FILTERS)?,
        recordings: reader.count(&complete)?,
        free_bytes: reader.free()?.bytes,
        ..StoreSize::default()
    };
    for table in [&RESULT_BLOCKS, &RESULT_PACKS] {
        each_result_block(reader, table, |_, versions, bytes| {
            size.versions += versions;
            size.result_bytes += bytes;
        })?;
    }
    reader.each(&Query::of(&BLOCKS, &["id", "bytes"]), |row| {
        let bytes = row.unsigned(1)?;
        let uses = reader.count(&Query::of(&RECORDING_BLOCKS, &[]).equal("block", row.number(0)?))?;
        size.record_bytes += bytes;
        size.unshared_bytes += bytes * uses;
        Ok::<_, StoreFault>(ControlFlow::Continue(()))
    })?;
    Ok(size)
}

/// The sum of the lengths of a table's data.
fn data_bytes(rows: &dyn Rows, table: &'static Table) -> Result<u64, StoreFault> {
    let mut bytes = 0;
    rows.each(&Query::of(table, &[]).lengths(&["data"]), |row| {
        bytes += row.unsigned(0)?;
        Ok::<_, StoreFault>(ControlFlow::Continue(()))
    })?;
    Ok(bytes)
}
