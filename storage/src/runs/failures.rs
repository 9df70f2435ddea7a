//! Packets that were set aside: written by a run, listed for people.
//!
//! Nothing in their tables refers to other blocks or results.

use std::collections::VecDeque;
use std::sync::Arc;

use anabranch_engine::clock::now_unix_millis;
use anabranch_engine::identity::{Digest, PacketHash};
use anabranch_engine::index::At as _;
use anabranch_engine::store::{FailingNode, ReadError, SetAside, StoreFault, StoreProblem};
use arrow::array::{
    Array, ArrayRef, AsArray, FixedSizeBinaryArray, RecordBatch, RecordBatchOptions, StringViewArray,
    UInt32Array,
};
use arrow::buffer::Buffer;
use arrow::compute::concat;
use arrow::datatypes::{FieldRef, Schema, UInt32Type};
use arrow::error::ArrowError;

use crate::block::{Columns, decode};
use crate::catalog::query::{Filter, Query};
use crate::catalog::reads::Reads as _;
use crate::catalog::tables::{RUNS, SET_ASIDE, SET_ASIDE_BLOCKS};
use crate::catalog::value::Row;
use crate::catalog::{Reader, Rows, Transaction};
use crate::error::arrow;

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
    transaction: &dyn Transaction,
    node: &FailingNode,
    packets: &[SetAside],
    more: &[(PacketHash, u64)],
) -> Result<(), StoreFault> {
    if !packets.is_empty() {
        let data = encode(node, packets).map_err(arrow)?;
        let block = insert_block(transaction, node, packets.len(), &data)?;
        for (position, packet) in (0_i64..).zip(packets) {
            let known = rows_of(transaction, node, &packet.packet)?;
            let row = [
                ("run", (&node.run).into()),
                ("node", (&node.node).into()),
                ("packet", (&packet.packet.0.0).into()),
                ("block", block.into()),
                ("position", position.into()),
                ("rows", (known.unwrap_or(0) + packet.rows).into()),
            ];
            transaction.put(&SET_ASIDE, &row)?;
        }
    }
    for (packet, rows) in more {
        if let Some(known) = rows_of(transaction, node, packet)? {
            transaction.update(&SET_ASIDE, &named(node, packet), &[("rows", (known + rows).into())])?;
        }
    }
    Ok(())
}

/// The row of a packet that a node set aside.
fn named<'a>(node: &'a FailingNode, packet: &'a PacketHash) -> Filter<'a> {
    Filter::of("run", &node.run).and("node", &node.node).and("packet", &packet.0.0)
}

/// Rows with a packet so far; none if it was not set aside.
fn rows_of(
    transaction: &dyn Transaction,
    node: &FailingNode,
    packet: &PacketHash,
) -> Result<Option<u64>, StoreFault> {
    let query = Query { filter: named(node, packet), ..Query::of(&SET_ASIDE, &["rows"]) };
    transaction.one(&query, |row| row.unsigned(0))
}

fn insert_block(
    transaction: &dyn Transaction,
    node: &FailingNode,
    packets: usize,
    data: &[u8],
) -> Result<i64, StoreFault> {
    let checksum = *blake3::hash(data).as_bytes();
    let row = [
        ("run", (&node.run).into()),
        ("pipeline", (&node.pipeline).into()),
        ("node", (&node.node).into()),
        ("function_name", (&node.function.name).into()),
        ("fingerprint", (&node.function.fingerprint.digest().0).into()),
        ("written_ms", now_unix_millis().into()),
        ("packets", packets.into()),
        ("checksum", (&checksum).into()),
        ("data", data.into()),
    ];
    transaction.insert(&SET_ASIDE_BLOCKS, &row)
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
    reader: Box<dyn Reader>,
    blocks: VecDeque<i64>,
    ready: VecDeque<SetAsideInfo>,
}

impl SetAsideReader {
    /// Packets of a run (the newest of the pipeline if none is given), of one node or of all.
    pub(crate) fn open(
        reader: Box<dyn Reader>,
        pipeline: &str,
        node: Option<&str>,
        run: Option<&str>,
    ) -> Result<Self, StoreFault> {
        let blocks = blocks(&*reader, pipeline, node, run)?;
        Ok(Self { reader, blocks, ready: VecDeque::new() })
    }

    fn read(&self, block: i64) -> Result<VecDeque<SetAsideInfo>, StoreFault> {
        let query = Query::of(&SET_ASIDE_BLOCKS, &BLOCK_COLUMNS).equal("id", block);
        let (node, checksum, data) = self.reader.one(&query, origin)?.ok_or_else(|| gone(block))?;
        let damaged = |found: &str| StoreFault::damaged(format!("block {block} of packets set aside"), found);
        if *blake3::hash(&data).as_bytes() != *checksum {
            return Err(damaged("its checksum does not match"));
        }
        let batch = decode(data).map_err(|e| damaged(&e.to_string()))?;
        let query = Query::of(&SET_ASIDE, &["position", "rows"]).equal("block", block).ascending("position");
        let rows = self.reader.all(&query, |row| Ok((row.number(0)?, row.unsigned(1)?)))?;
        let info = |(position, rows): (i64, u64)| {
            let position = usize::try_from(position).ok().filter(|at| *at < batch.num_rows());
            let info = position.and_then(|at| info(&node, &batch, at, rows));
            info.ok_or_else(|| damaged("a column is missing or has another type"))
        };
        rows.into_iter().map(info).collect()
    }
}

/// The fault of a block that was removed since it was listed.
fn gone(block: i64) -> StoreFault {
    let message = format!("block {block} of packets set aside is no longer in the store; list them again");
    StoreProblem::Missing(message).into()
}

impl Iterator for SetAsideReader {
    type Item = Result<SetAsideInfo, ReadError>;

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
                    return Some(Err(error.into()));
                }
            }
        }
    }
}

fn blocks(
    rows: &dyn Rows,
    pipeline: &str,
    node: Option<&str>,
    run: Option<&str>,
) -> Result<VecDeque<i64>, StoreFault> {
    let newest = Query::of(&RUNS, &["run"]).equal("pipeline", pipeline).descending("id").first(1);
    let run = match run {
        Some(run) => Some(run.to_owned()),
        None => rows.one(&newest, |row| row.string(0))?,
    };
    let Some(run) = run else { return Ok(VecDeque::new()) };
    let query = Query::of(&SET_ASIDE_BLOCKS, &["id"]).equal("run", &run).equal("pipeline", pipeline);
    let query = match node {
        Some(node) => query.equal("node", node),
        None => query,
    };
    Ok(rows.all(&query.ascending("id"), |row| row.number(0))?.into())
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

/// The columns that [`origin`] reads.
const BLOCK_COLUMNS: [&str; 8] =
    ["run", "pipeline", "node", "function_name", "fingerprint", "written_ms", "checksum", "data"];

/// Values that all packets of a block share, its checksum and its data.
fn origin(row: &Row<'_>) -> Result<(Origin, Vec<u8>, Vec<u8>), StoreFault> {
    let origin = Origin {
        run: row.string(0)?,
        pipeline: row.string(1)?,
        node: row.string(2)?,
        function: row.string(3)?,
        fingerprint: Digest(row.hash(4)?),
        written_ms: row.number(5)?,
    };
    Ok((origin, row.bytes(6)?.to_vec(), row.bytes(7)?.to_vec()))
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
