//! Tests of the state machines, which need no runtime.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on panics")]

mod calls;
mod commits;
mod lookups;
mod reordering;

use std::sync::Arc;

use anabranch_engine::chunk::Chunk;
use anabranch_engine::identity::{Digest, PacketHash};
use anabranch_engine::provenance::{OriginColumn, OriginId, Positions, Provenance, ProvenanceColumn};
use anabranch_engine::schema::StreamSchema;
use anabranch_engine::store::{Outcomes, ResultId, Snapshot};
use arrow::array::{ArrayRef, AsArray as _, Int64Array};
use arrow::datatypes::{DataType, Field, Int64Type};

use super::flights::FlightId;
use super::pending::{PacketKeys, PendingPackets};
use super::reorder_buffer::OutcomeBatch;
use crate::call::Packets;

/// The hash of a packet.
fn key(n: usize) -> PacketHash {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&n.to_be_bytes());
    PacketHash(Digest(bytes))
}

fn keys(range: std::ops::Range<usize>) -> PacketKeys {
    let flights = range.clone().map(|n| FlightId(u32::try_from(n).unwrap())).collect();
    PacketKeys::new(Arc::new(range.map(key).collect()), flights)
}

fn integers(values: impl IntoIterator<Item = usize>) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values(values.into_iter().map(|n| i64::try_from(n).unwrap())))
}

fn values(column: &ArrayRef) -> Vec<Option<i64>> {
    column.as_primitive::<Int64Type>().iter().collect()
}

/// Packets of one column, whose values are their numbers.
fn pending(range: std::ops::Range<usize>) -> PendingPackets {
    let packets = Packets { columns: vec![integers(range.clone())], rows: range.len() };
    PendingPackets::new(packets, keys(range), Snapshot::new(7))
}

/// The numbers of packets.
fn numbers(packets: &PendingPackets) -> Vec<i64> {
    values(&packets.packets().columns[0]).into_iter().flatten().collect()
}

/// Outcomes of one output; a packet without a value is dropped.
fn outcomes(commit: u64, values: &[Option<i64>]) -> Outcomes {
    Outcomes {
        references: (0..).take(values.len()).map(|row| ResultId::new(commit, row)).collect(),
        emitted: values.iter().map(Option::is_some).collect(),
        values: vec![Arc::new(Int64Array::from(values.to_vec()))],
    }
}

fn batch(values: &[Option<i64>]) -> Arc<OutcomeBatch> {
    OutcomeBatch::new(outcomes(1, values))
}

/// A chunk of one packet column.
fn chunk(range: std::ops::Range<usize>) -> Chunk {
    let field = Arc::new(Field::new("n", DataType::Int64, true));
    let schema = Arc::new(StreamSchema::new(Vec::new(), vec![field], Vec::new()).unwrap());
    let rows = range.len();
    let origins = OriginColumn::compact(vec![OriginId::NULL; rows]);
    let sources = vec![ProvenanceColumn::of(origins, Positions::keys(vec![0; rows]))];
    let provenance = Provenance { tags: Vec::new(), sources };
    Chunk::new(schema, rows, Vec::new(), vec![integers(range)], provenance).unwrap()
}
