//! Packets that were set aside: written by a run, listed for people.
//!
//! Both tables are made with the first packet that is set aside, so that a store of an older version
//! gets them too. Nothing in them refers to other blocks or results.

use std::collections::VecDeque;
use std::sync::Arc;

use anabranch_engine::clock::now_unix_millis;
use anabranch_engine::identity::{Digest, PacketHash};
use anabranch_engine::index::At as _;
use anabranch_engine::store::{FailingNode, SetAside, StoreError};
use arrow::array::{
    Array, ArrayRef, AsArray, FixedSizeBinaryArray, RecordBatch, RecordBatchOptions, StringViewArray,
    UInt32Array,
};
use arrow::buffer::Buffer;
use arrow::compute::concat;
use arrow::datatypes::{FieldRef, Schema, UInt32Type};
use arrow::error::ArrowError;
use rusqlite::{Connection, OptionalExtension as _};

use crate::block::{Columns, decode};
use crate::error::{arrow, corrupt, sql};
use crate::sqlite::pool::PooledReader;
use crate::sqlite::sql_number;

const WRITE: &str = "set packets aside";
const READ: &str = "list packets set aside";

const TABLES: &str = "
CREATE TABLE IF NOT EXISTS set_aside_blocks (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  run TEXT NOT NULL,
  pipeline TEXT NOT NULL,
  node TEXT NOT NULL,
  function_name TEXT NOT NULL,
  fingerprint BLOB NOT NULL,
  written_ms INTEGER NOT NULL,
  packets INTEGER NOT NULL,
  checksum BLOB NOT NULL,
  data BLOB NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS set_aside_blocks_by_run ON set_aside_blocks(run, node, id);
CREATE TABLE IF NOT EXISTS set_aside (
  run TEXT NOT NULL,
  node TEXT NOT NULL,
  packet BLOB NOT NULL,
  block INTEGER NOT NULL REFERENCES set_aside_blocks(id),
  position INTEGER NOT NULL,
  rows INTEGER NOT NULL,
  PRIMARY KEY (run, node, packet)
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS set_aside_by_block ON set_aside(block, position);
";

/// A packet that a run set aside.
#[derive(Debug, Clone)]
pub struct SetAsideInfo {
    /// The run.
    pub run: String,
    /// Name of the pipeline.
    pub pipeline: String,
    /// Name of the node.
    pub node: String,
    /// Name of its function.
    pub function: String,
    /// The function's fingerprint.
    pub fingerprint: Digest,
    /// Time at which it was recorded, in milliseconds since 1970.
    pub written_ms: i64,
    /// The packet's hash.
    pub packet: PacketHash,
    /// Kind of failure, in the same words for every failure of the kind.
    pub kind: String,
    /// The causes.
    pub message: String,
    /// Output of the code beside it; empty if there is none.
    pub log: String,
    /// Attempts made.
    pub attempts: u32,
    /// Rows with this packet.
    pub rows: u64,
    /// The packet's columns that the function takes; one row.
    pub taken: RecordBatch,
    /// The tags of its first row; one row.
    pub tags: RecordBatch,
    /// Source id and record id of each source behind its first row.
    pub records: Vec<(String, String)>,
}

/// Writes packets down.
pub(crate) fn write(
    connection: &Connection,
    node: &FailingNode,
    packets: &[SetAside],
    more: &[(PacketHash, u64)],
) -> Result<(), StoreError> {
    let failed = |e| sql(WRITE, e);
    connection.execute_batch(TABLES).map_err(failed)?;
    if !packets.is_empty() {
        let data = encode(node, packets).map_err(|e| arrow(WRITE, e))?;
        let block = insert_block(connection, node, packets.len(), &data).map_err(failed)?;
        let mut insert = connection
            .prepare_cached(
                "INSERT INTO set_aside VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (run, node, packet)
                 DO UPDATE SET block = excluded.block, position = excluded.position, rows = rows + excluded.rows",
            )
            .map_err(failed)?;
        for (position, packet) in (0_i64..).zip(packets) {
            insert
                .execute((&node.run, &node.node, packet.packet.0.0, block, position, sql_number(packet.rows)))
                .map_err(failed)?;
        }
    }
    let mut update = connection
        .prepare_cached("UPDATE set_aside SET rows = rows + ?4 WHERE run = ?1 AND node = ?2 AND packet = ?3")
        .map_err(failed)?;
    for (packet, rows) in more {
        update.execute((&node.run, &node.node, packet.0.0, sql_number(*rows))).map_err(failed)?;
    }
    Ok(())
}

fn insert_block(
    connection: &Connection,
    node: &FailingNode,
    packets: usize,
    data: &[u8],
) -> rusqlite::Result<i64> {
    let mut insert = connection.prepare_cached(
        "INSERT INTO set_aside_blocks
         (run, pipeline, node, function_name, fingerprint, written_ms, packets, checksum, data)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    )?;
    insert.execute((
        &node.run,
        &node.pipeline,
        &node.node,
        &node.function.name,
        node.function.fingerprint.digest().0,
        now_unix_millis(),
        sql_number(packets),
        blake3::hash(data).as_bytes(),
        data,
    ))?;
    Ok(connection.last_insert_rowid())
}

/// The packets as one block: a row each.
fn encode(node: &FailingNode, packets: &[SetAside]) -> Result<Vec<u8>, ArrowError> {
    let strings = |text: &dyn Fn(&SetAside) -> String| -> ArrayRef {
        Arc::new(StringViewArray::from_iter_values(packets.iter().map(text)))
    };
    let keys: Vec<u8> = packets.iter().flat_map(|packet| packet.packet.0.0).collect();
    let keys: ArrayRef = Arc::new(FixedSizeBinaryArray::try_new(32, Buffer::from_vec(keys), None)?);
    let attempts: ArrayRef = Arc::new(UInt32Array::from_iter_values(packets.iter().map(|p| p.attempts)));
    let mut columns = Columns::default();
    columns.push("packet", &keys)?;
    columns.push("kind", &strings(&|p| p.kind.clone()))?;
    columns.push("message", &strings(&|p| p.message.clone()))?;
    columns.push("log", &strings(&|p| p.log.clone()))?;
    columns.push("attempts", &attempts)?;
    columns.push("records", &strings(&|p| serde_json::json!(p.records).to_string()))?;
    if let Some(taken) = structs(&node.takes, packets, |p| &p.taken)? {
        columns.push("taken", &taken)?;
    }
    if let Some(tags) = structs(&node.tags, packets, |p| &p.tags)? {
        columns.push("tags", &tags)?;
    }
    columns.encode(packets.len(), None)
}

/// Columns of all packets as one; none if there are no columns.
fn structs(
    fields: &[FieldRef],
    packets: &[SetAside],
    values: impl Fn(&SetAside) -> &[ArrayRef],
) -> Result<Option<ArrayRef>, ArrowError> {
    if fields.is_empty() {
        return Ok(None);
    }
    let mut columns = Columns::default();
    for (at, field) in fields.iter().enumerate() {
        let value = |packet| values(packet).at(at, "a packet has a value for each of its columns").as_ref();
        let rows: Vec<&dyn Array> = packets.iter().map(value).collect();
        columns.push(field.name(), &concat(&rows)?)?;
    }
    Ok(Some(Arc::new(columns.into_structs(packets.len())?)))
}

/// Packets that a run of a pipeline set aside, in the order in which they were written down.
///
/// Memory: one block, 256 packets as a rule.
#[derive(Debug)]
pub struct SetAsideReader {
    connection: PooledReader,
    blocks: VecDeque<i64>,
    ready: VecDeque<SetAsideInfo>,
}

impl SetAsideReader {
    /// Packets of a run (the newest of the pipeline if none is given), of one node or of all.
    pub(crate) fn open(
        connection: PooledReader,
        pipeline: &str,
        node: Option<&str>,
        run: Option<&str>,
    ) -> Result<Self, StoreError> {
        let blocks = blocks(&connection, pipeline, node, run).map_err(|e| sql(READ, e))?;
        Ok(Self { connection, blocks, ready: VecDeque::new() })
    }

    fn read(&self, block: i64) -> Result<VecDeque<SetAsideInfo>, StoreError> {
        let failed = |e| sql(READ, e);
        let (node, checksum, data) = self
            .connection
            .prepare_cached(
                "SELECT run, pipeline, node, function_name, fingerprint, written_ms, checksum, data
                 FROM set_aside_blocks WHERE id = ?1",
            )
            .map_err(failed)?
            .query_row([block], |row| {
                let origin = Origin {
                    run: row.get(0)?,
                    pipeline: row.get(1)?,
                    node: row.get(2)?,
                    function: row.get(3)?,
                    fingerprint: Digest(row.get(4)?),
                    written_ms: row.get(5)?,
                };
                Ok((origin, row.get::<_, Vec<u8>>(6)?, row.get::<_, Vec<u8>>(7)?))
            })
            .map_err(failed)?;
        let damaged = |found: &str| corrupt(READ, &format!("block {block} of packets set aside"), found);
        if *blake3::hash(&data).as_bytes() != *checksum {
            return Err(damaged("its checksum does not match"));
        }
        let batch = decode(data).map_err(|e| damaged(&e.to_string()))?;
        let mut statement = self
            .connection
            .prepare_cached("SELECT position, rows FROM set_aside WHERE block = ?1 ORDER BY position")
            .map_err(failed)?;
        let rows = statement.query_map([block], |row| Ok((row.get(0)?, row.get(1)?))).map_err(failed)?;
        let rows: Vec<(i64, i64)> = rows.collect::<rusqlite::Result<_>>().map_err(failed)?;
        let info = |(position, rows): (i64, i64)| {
            let position = usize::try_from(position).ok().filter(|at| *at < batch.num_rows());
            let info = position.and_then(|at| info(&node, &batch, at, rows.unsigned_abs()));
            info.ok_or_else(|| damaged("a column is missing or has another type"))
        };
        rows.into_iter().map(info).collect()
    }
}

impl Iterator for SetAsideReader {
    type Item = Result<SetAsideInfo, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(ready) = self.ready.pop_front() {
                return Some(Ok(ready));
            }
            let block = self.blocks.pop_front()?;
            match self.read(block) {
                Ok(ready) => self.ready = ready,
                Err(error) => {
                    self.blocks.clear();
                    return Some(Err(error));
                }
            }
        }
    }
}

fn blocks(
    connection: &Connection,
    pipeline: &str,
    node: Option<&str>,
    run: Option<&str>,
) -> rusqlite::Result<VecDeque<i64>> {
    let made = "SELECT count(*) FROM sqlite_schema WHERE name = 'set_aside'";
    if connection.query_row(made, [], |row| row.get::<_, i64>(0))? == 0 {
        return Ok(VecDeque::new());
    }
    let last = "SELECT run FROM runs WHERE pipeline = ?1 ORDER BY id DESC LIMIT 1";
    let run = match run {
        Some(run) => Some(run.to_owned()),
        None => connection.query_row(last, [pipeline], |row| row.get(0)).optional()?,
    };
    let mut statement = connection.prepare_cached(
        "SELECT id FROM set_aside_blocks
         WHERE run = ?1 AND pipeline = ?2 AND (?3 IS NULL OR node = ?3) ORDER BY id",
    )?;
    statement.query_map((run, pipeline, node), |row| row.get(0))?.collect()
}

/// Values that all packets of a block share.
struct Origin {
    run: String,
    pipeline: String,
    node: String,
    function: String,
    fingerprint: Digest,
    written_ms: i64,
}

fn info(origin: &Origin, batch: &RecordBatch, at: usize, rows: u64) -> Option<SetAsideInfo> {
    let text = |name: &str| Some(batch.column_by_name(name)?.as_string_view_opt()?.value(at).to_owned());
    let packet = batch.column_by_name("packet")?.as_fixed_size_binary_opt()?.value(at);
    Some(SetAsideInfo {
        run: origin.run.clone(),
        pipeline: origin.pipeline.clone(),
        node: origin.node.clone(),
        function: origin.function.clone(),
        fingerprint: origin.fingerprint,
        written_ms: origin.written_ms,
        packet: PacketHash(Digest(packet.try_into().ok()?)),
        kind: text("kind")?,
        message: text("message")?,
        log: text("log")?,
        attempts: batch.column_by_name("attempts")?.as_primitive_opt::<UInt32Type>()?.value(at),
        rows,
        taken: row_of(batch.column_by_name("taken"), at)?,
        tags: row_of(batch.column_by_name("tags"), at)?,
        records: serde_json::from_str(&text("records")?).ok()?,
    })
}

/// A row of a column of structs; a row without columns if there is none.
fn row_of(column: Option<&ArrayRef>, at: usize) -> Option<RecordBatch> {
    match column {
        // A struct that is null has no row.
        Some(column) if column.is_null(at) => None,
        Some(column) => Some(RecordBatch::from(column.as_struct_opt()?.slice(at, 1))),
        None => {
            let options = RecordBatchOptions::new().with_row_count(Some(1));
            RecordBatch::try_new_with_options(Arc::new(Schema::empty()), Vec::new(), &options).ok()
        }
    }
}
