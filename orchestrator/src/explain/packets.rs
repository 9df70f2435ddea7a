//! Comparison of rows whose packets would be computed with the same records in the last recording.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use anabranch_engine::chunk::{Chunk, ChunkError};
use anabranch_engine::identity::{Fingerprint, PacketHash};
use anabranch_engine::index::At as _;
use anabranch_engine::provenance::{Origins, ProvenanceColumn};
use anabranch_engine::stage::StageError;
use anabranch_engine::store::{ReadError, StoreFault, StoreProblem};
use anabranch_expression::Expression;
use anabranch_nodes::function::{BoundFunction, MissedRow, MissedRows};
use arrow::array::{Array as _, AsArray as _};
use arrow::datatypes::{DataType, FieldRef};
use serde::Serialize;
use serde_json::{Value, json};

use super::{ExplainError, ExplainOptions};
use crate::graph::Pipeline;
use crate::node::Node;
use crate::replay::{RowValues, array_values, column_values, record_values};
use crate::store::{RecordingReader, Store, TracedRows};

/// A taken column that has changed. It holds no values.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ColumnChange {
    /// The column.
    pub column: String,
    /// True if the change is certain; else the column may have changed.
    pub certain: bool,
}

/// Reason why a packet has no result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PacketCause {
    /// The node has no recording to compare with.
    NeverRecorded,
    /// It depends on values that would be computed above.
    Above,
    /// The last recording has no row of these records.
    NewRecord,
    /// The packet is unchanged: the function has changed, or its result is gone.
    SamePacket,
    /// These of its columns have changed.
    Columns(Vec<ColumnChange>),
}

/// A row whose packet would be computed.
#[derive(Debug, Clone)]
pub struct PacketChange {
    /// Its tags.
    pub tags: RowValues,
    /// Its records, as `source::record`.
    pub records: Vec<String>,
    /// The packet's hash; none if it is unknown yet.
    pub packet: Option<PacketHash>,
    /// Reason why it has no result.
    pub cause: PacketCause,
}

impl PacketChange {
    pub(super) fn to_json(&self) -> Value {
        let (cause, columns) = match &self.cause {
            PacketCause::NeverRecorded => ("never_recorded", &[][..]),
            PacketCause::Above => ("above", &[][..]),
            PacketCause::NewRecord => ("new_record", &[][..]),
            PacketCause::SamePacket => ("same_packet", &[][..]),
            PacketCause::Columns(columns) => ("columns_changed", columns.as_slice()),
        };
        json!({
            "tags": self.tags,
            "records": self.records,
            "packet": self.packet.map(|packet| packet.0.to_string()),
            "cause": cause,
            "columns": columns,
        })
    }
}

/// A row in its present state.
#[derive(Debug, Clone)]
struct Row {
    tags: RowValues,
    records: Vec<(Value, Value)>,
    packet: PacketHash,
    unknown: bool,
    values: RowValues,
    tokens: HashMap<String, Value>,
}

/// The same records at the last recording.
#[derive(Debug, Clone)]
struct Earlier {
    /// None if the node was an operator.
    packet: Option<PacketHash>,
    values: RowValues,
    tokens: HashMap<String, Value>,
}

/// The records of a row: its packet, and the same records at the last recording.
struct Known {
    packet: PacketHash,
    earlier: Option<Earlier>,
}

/// The first rows whose packets would be computed.
pub(super) struct Sample {
    condition: Option<Expression>,
    head: usize,
    tags: Vec<FieldRef>,
    taken: Vec<String>,
    rows: Arc<Mutex<Vec<Row>>>,
}

impl Sample {
    pub(super) fn new(
        pipeline: &Pipeline,
        node: &Node,
        function: &BoundFunction,
        options: &ExplainOptions,
    ) -> Result<Self, ExplainError> {
        let input = pipeline.at(*node.inputs.at(0, "input of a function"));
        let tags = input.contract.schema.tags().to_vec();
        let condition = options.condition.as_ref().map(|sql| condition(sql, &tags)).transpose()?;
        let (head, taken) = (options.head, function.takes().to_vec());
        Ok(Self { condition, head, tags, taken, rows: Arc::default() })
    }

    /// Returns the observer that collects the first rows.
    pub(super) fn watch(&self, origins: &Arc<Origins>) -> MissedRows {
        let (condition, head, tags) = (self.condition.clone(), self.head, self.tags.clone());
        let (taken, rows, origins) = (self.taken.clone(), Arc::clone(&self.rows), Arc::clone(origins));
        Box::new(move |chunk, missed| {
            let mut rows = rows.lock().unwrap_or_else(PoisonError::into_inner);
            let room = head.saturating_sub(rows.len());
            if room == 0 || missed.is_empty() {
                return Ok(());
            }
            let chosen = choose(condition.as_ref(), chunk, missed, room)?;
            let places: Vec<u32> = chosen.iter().map(|missed| missed.row).collect();
            let part = chunk.take(&places)?;
            rows.extend(read(&part, &chosen, &tags, &taken, &origins)?);
            Ok(())
        })
    }

    /// Compares the rows with the node's last recording.
    pub(super) fn compare(
        &self,
        pipeline: &Pipeline,
        store: Option<&Store>,
        node: &Node,
        now: &Fingerprint,
    ) -> Result<Vec<PacketChange>, ExplainError> {
        let rows = std::mem::take(&mut *self.rows.lock().unwrap_or_else(PoisonError::into_inner));
        let known = |row: &Row| (record_key(&row.records), Known { packet: row.packet, earlier: None });
        let mut known: HashMap<String, Known> = rows.iter().map(known).collect();
        let mut comparable = false;
        let mut recorded = false;
        if let Some(store) = store.map(Store::inner)
            && let Some(last) = store.recordings(pipeline.name(), &node.name)?.into_iter().next()
        {
            let reader = store.open_recording(&last)?;
            recorded = true;
            comparable = reader.function().is_some_and(|(_, old)| takes(old) == takes(now));
            if !known.is_empty() {
                find_earlier(&reader, &mut known)?;
            }
        }
        Ok(rows.into_iter().map(|row| self.change(row, &known, recorded, comparable)).collect())
    }

    fn change(
        &self,
        row: Row,
        known: &HashMap<String, Known>,
        recorded: bool,
        comparable: bool,
    ) -> PacketChange {
        let earlier = known[&record_key(&row.records)].earlier.as_ref();
        let cause = match earlier {
            _ if row.unknown => PacketCause::Above,
            _ if !recorded => PacketCause::NeverRecorded,
            None => PacketCause::NewRecord,
            Some(earlier) if comparable && earlier.packet == Some(row.packet) => PacketCause::SamePacket,
            Some(earlier) => PacketCause::Columns(column_changes(&self.taken, &row, earlier)),
        };
        PacketChange {
            records: row.records.iter().map(record_text).collect(),
            tags: row.tags,
            packet: (!row.unknown).then_some(row.packet),
            cause,
        }
    }
}

fn takes(fingerprint: &Fingerprint) -> Option<&str> {
    fingerprint.components().iter().find(|c| c.name == "takes").map(|c| c.value.as_str())
}

fn condition(sql: &str, tags: &[FieldRef]) -> Result<Expression, ExplainError> {
    let compiled = Expression::compile(sql, tags)
        .map_err(|e| ExplainError::Condition(format!("{e}; name tags only")))?;
    match compiled.data_type() {
        DataType::Boolean => Ok(compiled),
        other => Err(ExplainError::Condition(format!(
            "found an expression of {other}, expected one of bool; write a comparison"
        ))),
    }
}

/// Returns the first rows for which the condition is true.
fn choose(
    condition: Option<&Expression>,
    chunk: &Chunk,
    missed: &[MissedRow],
    room: usize,
) -> Result<Vec<MissedRow>, StageError> {
    let Some(condition) = condition else { return Ok(missed.iter().take(room).copied().collect()) };
    let mask = condition.evaluate(chunk.tags(), chunk.rows())?;
    let mask = mask.as_boolean();
    let holds = |row: &&MissedRow| mask.is_valid(row.row as usize) && mask.value(row.row as usize);
    Ok(missed.iter().filter(holds).take(room).copied().collect())
}

fn read(
    part: &Chunk,
    chosen: &[MissedRow],
    tags: &[FieldRef],
    taken: &[String],
    origins: &Origins,
) -> Result<Vec<Row>, ChunkError> {
    let tags = column_values(tags, part.tags(), part.rows())?;
    let records = record_values(part, origins)?;
    let values = column_values(part.schema().packets(), part.packets(), part.rows())?;
    let tokens = tokens(named_sources(part), taken, part.rows(), origins)?;
    let rows = tags.into_iter().zip(records).zip(values).zip(tokens).zip(chosen);
    Ok(rows
        .map(|((((tags, records), mut values), tokens), missed)| {
            values.retain(|column, _| taken.contains(column));
            Row { tags, records, packet: missed.packet, unknown: missed.unknown, values, tokens }
        })
        .collect())
}

/// Returns the provenance of each packet column with its name.
fn named_sources(part: &Chunk) -> impl Iterator<Item = (&str, &ProvenanceColumn)> {
    let names = part.schema().packets().iter().map(|field| field.name().as_str());
    names.zip(&part.provenance().sources)
}

/// Returns the tokens of the taken columns for each row.
fn tokens<'a>(
    sources: impl Iterator<Item = (&'a str, &'a ProvenanceColumn)>,
    taken: &[String],
    rows: usize,
    origins: &Origins,
) -> Result<Vec<HashMap<String, Value>>, ChunkError> {
    let mut found = vec![HashMap::new(); rows];
    for (name, source) in sources.filter(|(name, _)| taken.iter().any(|taken| taken == name)) {
        for (row, token) in found.iter_mut().zip(array_values(origins.tokens(source)?)?) {
            row.insert(name.to_owned(), token);
        }
    }
    Ok(found)
}

fn record_text((source, record): &(Value, Value)) -> String {
    let string = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    format!("{}::{}", string(source), string(record))
}

/// Returns a key of a row's records, which does not depend on the names that joins gave to its system tags.
fn record_key(records: &[(Value, Value)]) -> String {
    let mut strings: Vec<String> = records.iter().map(record_text).collect();
    strings.sort_unstable();
    Value::from(strings).to_string()
}

fn find_earlier(reader: &RecordingReader, known: &mut HashMap<String, Known>) -> Result<(), ReadError> {
    let unread = |e: ChunkError| {
        let message = format!("rows of node \"{}\" cannot be shown", reader.info().node);
        ReadError::from(StoreFault::because(StoreProblem::Refused(message), e))
    };
    let mut next = 0;
    while let Some(block) = reader.traced(next)? {
        next = block.first + block.chunk.rows().max(1) as u64;
        for (row, records) in
            record_values(&block.chunk, reader.origins()).map_err(unread)?.iter().enumerate()
        {
            let Some(Known { packet, earlier }) = known.get_mut(&record_key(records)) else { continue };
            // Of several rows of the same records, an unchanged one is the best explanation.
            if earlier.is_none() || block.packets.get(row) == Some(packet) {
                *earlier = Some(earlier_row(&block, row, reader.origins()).map_err(unread)?);
            }
        }
    }
    Ok(())
}

fn earlier_row(block: &TracedRows, row: usize, origins: &Origins) -> Result<Earlier, ChunkError> {
    let part = block.chunk.slice(row, 1);
    let mut values = only(column_values(part.schema().packets(), part.packets(), 1)?);
    let sources: Vec<(String, ProvenanceColumn)> =
        block.taken.iter().map(|(name, source)| (name.clone(), source.slice(row, 1))).collect();
    let names: Vec<String> = sources.iter().map(|(name, _)| name.clone()).collect();
    let sources = sources.iter().map(|(name, source)| (name.as_str(), source));
    let taken = only(tokens(sources, &names, 1, origins)?);
    let given = only(tokens(named_sources(&part), &names, 1, origins)?);
    // An output may have the name of a taken column that was not kept.
    values.retain(|column, _| taken.contains_key(column) && taken.get(column) == given.get(column));
    Ok(Earlier { packet: block.packets.get(row).copied(), values, tokens: taken })
}

fn only<T>(mut rows: Vec<T>) -> T {
    rows.pop().unwrap_or_else(|| panic!("a part of one row must have a row"))
}

/// Returns the columns that differ; if the old value is not recorded, a column with the same token may differ.
fn column_changes(taken: &[String], row: &Row, earlier: &Earlier) -> Vec<ColumnChange> {
    let mut found = Vec::new();
    for column in taken {
        let certain = match earlier.values.get(column) {
            Some(old) if row.values.get(column) == Some(old) => continue,
            Some(_) => true,
            None => earlier.tokens.get(column) != row.tokens.get(column),
        };
        found.push(ColumnChange { column: column.clone(), certain });
    }
    if let [only] = found.as_mut_slice() {
        only.certain = true;
    }
    found
}
