//! Results of a trace: lineages, calls and rows.

use anabranch_engine::chunk::Chunk;
use anabranch_engine::identity::PacketHash;
use serde::Serialize;
use serde_json::{Value, json};

use crate::replay::RowValues;

/// Lineage of a value.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(untagged)]
pub enum Lineage {
    /// It has no origin.
    Nothing,
    /// A row of a source.
    Record {
        /// The source's id.
        source: String,
        /// The record's id.
        record: String,
    },
    /// A value of a row of a source.
    Value {
        /// The source's id.
        source: String,
        /// The record's id.
        record: String,
        /// The column's name in the source.
        column: String,
    },
    /// An output of a call.
    Output {
        /// The call, by its place in [`TracedRow::calls`].
        call: usize,
        /// The output.
        output: String,
    },
    /// A list, item by item.
    List(Vec<Self>),
    /// Further items of a list, which are not listed.
    More {
        /// Their number.
        more: u64,
    },
}

/// A call of a function.
#[derive(Debug, Clone)]
pub struct Call {
    /// The function's name.
    pub function: String,
    /// First 12 hex digits of its fingerprint.
    pub fingerprint: String,
    /// First 20 hex digits of the result's key.
    pub key: String,
    /// The node, if its recording is known and still exists.
    pub node: Option<String>,
    /// The run that recorded it.
    pub run: Option<String>,
    /// Time at which the recording was completed, in milliseconds since 1970.
    pub recorded_ms: Option<i64>,
    /// The row in the recording.
    pub row: Option<u64>,
    /// The hash of the packet that was taken.
    pub packet: Option<PacketHash>,
    /// Lineage of each taken column; none if the store does not have it.
    pub inputs: Option<Vec<(String, Lineage)>>,
    /// The outputs of the row, by name.
    pub outputs: RowValues,
    /// Values of the recorded row.
    pub(super) values: Option<Chunk>,
}

/// A recorded row and its lineage.
#[derive(Debug, Clone)]
pub struct TracedRow {
    /// Its number in the recording.
    pub number: u64,
    /// Its tags.
    pub tags: RowValues,
    /// Its packet.
    pub values: RowValues,
    /// The rows of sources that it stems from.
    pub records: Vec<Lineage>,
    /// Lineage of each packet column.
    pub columns: Vec<(String, Lineage)>,
    /// The calls between.
    pub calls: Vec<Call>,
    /// Recorded rows behind records of derived sources.
    pub upstream: Vec<Upstream>,
}

/// A record of a derived source, and the recorded row behind it.
#[derive(Debug, Clone)]
pub struct Upstream {
    /// The source's id.
    pub source: String,
    /// The record's id.
    pub record: String,
    /// The pipeline that recorded the row.
    pub pipeline: String,
    /// Its node.
    pub node: String,
    /// The run that recorded it.
    pub run: String,
    /// The row with its own lineage.
    pub row: TracedRow,
}

impl TracedRow {
    /// Returns the row as an element of the document of `trace --format json`.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let columns: Vec<Value> = self
            .columns
            .iter()
            .map(|(name, from)| json!({ "column": name, "value": self.values.get(name), "from": from }))
            .collect();
        json!({
            "row": self.number,
            "tags": self.tags,
            "records": self.records,
            "columns": columns,
            "calls": self.calls.iter().map(Call::to_json).collect::<Vec<_>>(),
            "upstream": self.upstream.iter().map(Upstream::to_json).collect::<Vec<_>>(),
        })
    }

    /// Returns every source value that the row is made from, each once.
    pub fn source_values(&self) -> impl Iterator<Item = (&str, &str, &str)> {
        let mut open: Vec<&Lineage> = self.columns.iter().map(|(_, from)| from).collect();
        open.extend(self.calls.iter().flat_map(|call| call.inputs.iter().flatten()).map(|(_, from)| from));
        let mut found = std::collections::BTreeSet::new();
        while let Some(next) = open.pop() {
            match next {
                Lineage::Value { source, record, column } => {
                    found.insert((source.as_str(), record.as_str(), column.as_str()));
                }
                Lineage::List(items) => open.extend(items),
                _ => {}
            }
        }
        found.into_iter()
    }
}

impl Upstream {
    fn to_json(&self) -> Value {
        json!({
            "source": self.source,
            "record": self.record,
            "pipeline": self.pipeline,
            "node": self.node,
            "run_id": self.run,
            "row": self.row.to_json(),
        })
    }
}

impl Call {
    fn to_json(&self) -> Value {
        let inputs = self.inputs.as_ref().map(|inputs| {
            let input = |(name, from): &(String, Lineage)| json!({ "column": name, "from": from });
            inputs.iter().map(input).collect::<Vec<_>>()
        });
        json!({
            "node": self.node,
            "function": self.function,
            "fingerprint": self.fingerprint,
            "key": self.key,
            "packet": self.packet.map(|packet| packet.0.to_string()),
            "run_id": self.run,
            "recorded": self.recorded_ms.map(|at| crate::format_time(at, "%Y-%m-%dT%H:%M:%SZ")),
            "row": self.row,
            "outputs": self.outputs,
            "inputs": inputs,
        })
    }
}
