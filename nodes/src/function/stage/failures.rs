//! Packets that failed for good: the run stops, or their rows are left out.

use std::sync::Arc;

use anabranch_engine::bytes::array_bytes;
use anabranch_engine::identity::PacketHash;
use anabranch_engine::index::At as _;
use anabranch_engine::store::{FailingNode, Outcomes, SetAside};
use arrow::array::{ArrayRef, UInt32Array};
use arrow::compute::take;

use super::super::machine::flights::FlightId;
use super::super::machine::reorder_buffer::RowId;
use super::FunctionStage;
use super::error::FunctionStageError;
use super::look_up::ByPacket;
use super::tasks::StageEvent;
use crate::call::{Failure, FailureKind, OnError};

/// Cause of the failure of a packet whose stored outcome is refused.
pub(super) const STORED_NONE: &str = "found None in place of outputs in the store, expected outputs; write `none: drop` to drop the packet, or `none: null` to give null for each output";
/// Cause of the failure of a packet that has no result where nothing is computed.
pub(super) const NOTHING_COMPUTED: &str =
    "found no result, expected one, since cache is replay and nothing is computed; run with cache: reuse";
/// Packets, or bytes of them, that are written down together.
const WRITTEN_PACKETS: usize = 256;
const WRITTEN_BYTES: usize = 1 << 20;
/// Bytes of what a code wrote beside a failure: the end of it is kept.
const LOG_BYTES: usize = 64 << 10;
/// Source rows behind a packet that are written down, and those that a message names.
const MOST_RECORDS: usize = 64;
const MOST_NAMED: usize = 4;
/// Bytes of a message: its beginning is kept.
const MESSAGE_BYTES: usize = 16 << 10;

/// Packets that are set aside and not written yet.
#[derive(Debug, Default)]
pub(super) struct SetAsideQueue {
    node: Option<Arc<FailingNode>>,
    packets: Vec<SetAside>,
    /// Bytes of packets that are not written yet.
    pub(super) bytes: usize,
    /// Further rows of packets that were written.
    more: ByPacket<u64>,
    /// A write is under way.
    pub(super) writing: bool,
}

impl SetAsideQueue {
    /// True if nothing is left to be written.
    pub(super) fn is_written(&self) -> bool {
        !self.writing && self.packets.is_empty() && self.more.is_empty()
    }

    /// Drops packets that cannot be written.
    pub(super) fn clear(&mut self) {
        self.packets.clear();
        self.more.clear();
        self.bytes = 0;
    }

    fn is_due(&self) -> bool {
        self.packets.len() >= WRITTEN_PACKETS
            || self.bytes >= WRITTEN_BYTES
            || self.more.len() >= 16 * WRITTEN_PACKETS
    }
}

impl FunctionStage {
    /// Leaves out the rows of a packet that failed for good after so many attempts, or fails the run.
    pub(super) fn give_up(&mut self, id: FlightId, attempts: u32, failure: Failure) {
        let flight = self.lookup.flight(id);
        let (packet, first, rows) = (flight.packet, flight.first, flight.rows());
        let on_error = self.parts.calls.on_error;
        if on_error == OnError::Stop && self.failure.is_some() {
            return;
        }
        // The store has the reason of a run that stops too, with what the code wrote.
        if on_error != OnError::Skip {
            let aside = self.written_form(attempts, packet, &failure, (first, rows));
            self.set_aside.bytes += bytes_of(&aside);
            self.set_aside.packets.push(aside);
        }
        if on_error == OnError::Stop {
            self.failure = Some(FunctionStageError::Packet {
                function: self.name(),
                packet: self.describe(&packet, first),
                failure: failure.kind,
                cause: failure.cause,
            });
            return;
        }
        let flight = self.lookup.end(id);
        self.stored.remove(&packet);
        self.lookup.remember_failed(packet);
        self.count_left_out(rows);
        self.buffer.leave_out(flight.rows_waiting());
    }

    /// True if a stored outcome is refused: the function gave `None` when that still dropped the packet.
    pub(super) fn is_refused(&self, outcomes: &Outcomes, row: u32) -> bool {
        self.parts.function.refuses_drops
            && !outcomes.emitted.at(row as usize, "each outcome is emitted or dropped")
    }

    /// Returns packets up whose stored outcome is refused, without a call.
    pub(super) fn refuse_stored(&mut self, flights: impl IntoIterator<Item = FlightId>) {
        for id in flights {
            self.give_up(id, 0, Failure::new(FailureKind::BadAnswer, STORED_NONE));
        }
    }

    /// Leaves out a row whose packet has failed before.
    pub(super) fn leave_out_again(&mut self, packet: &PacketHash, row: RowId) {
        if self.parts.calls.on_error == OnError::SetAside {
            *self.set_aside.more.entry(*packet).or_insert(0) += 1;
        }
        self.count_left_out(1);
        self.buffer.leave_out([row]);
    }

    fn count_left_out(&self, rows: usize) {
        let counters = &self.parts.counters;
        match self.parts.calls.on_error {
            OnError::SetAside => counters.set_aside.add(rows),
            OnError::Skip | OnError::Stop => counters.skipped.add(rows),
        }
    }

    /// Begins to write packets that were set aside, when there are enough of them or when there will be no more.
    pub(super) fn write_failures(&mut self, all: bool) {
        let queue = &mut self.set_aside;
        let nothing = queue.packets.is_empty() && queue.more.is_empty();
        if queue.writing || nothing || !(all || queue.is_due()) {
            return;
        }
        queue.writing = true;
        queue.bytes = 0;
        let packets = std::mem::take(&mut queue.packets);
        let more = std::mem::take(&mut queue.more).into_iter().collect();
        let (store, node) = (Arc::clone(&self.parts.failures.store), self.failing_node());
        self.events.push(Box::pin(async move {
            StageEvent::FailuresWritten(store.set_aside(node, packets, more).await)
        }));
    }

    fn failing_node(&mut self) -> Arc<FailingNode> {
        let function = &self.parts.function;
        let sink = &self.parts.failures;
        let node = self.set_aside.node.get_or_insert_with(|| {
            Arc::new(FailingNode {
                run: sink.run.clone(),
                pipeline: sink.pipeline.clone(),
                node: sink.node.clone(),
                function: Arc::clone(&function.stored),
                takes: function.fields.clone(),
                tags: function.contract.schema.tags().to_vec(),
            })
        });
        Arc::clone(node)
    }

    fn written_form(
        &self,
        attempts: u32,
        packet: PacketHash,
        failure: &Failure,
        (first, rows): (RowId, usize),
    ) -> SetAside {
        let first = self.buffer.row(first);
        let records = self.parts.origins.records(first.provenance(), 0, MOST_RECORDS).0;
        SetAside {
            packet,
            kind: failure.kind.as_str().to_owned(),
            message: beginning(chain(failure.cause.as_ref()), MESSAGE_BYTES),
            log: end(&failure.log, LOG_BYTES),
            attempts,
            rows: rows as u64,
            taken: single(&self.parts.function.taken_columns(&first)),
            tags: single(first.tags()),
            records,
        }
    }

    /// A packet as messages name it: the beginning of its hash, and where its first row came from.
    pub(super) fn describe(&self, packet: &PacketHash, first: RowId) -> String {
        let hash = packet.0.hex(12);
        let row = self.buffer.row(first);
        let (records, more) = self.parts.origins.records(row.provenance(), 0, MOST_NAMED);
        let named: Vec<String> =
            records.iter().map(|(source, record)| format!("\"{source}::{record}\"")).collect();
        match (named.is_empty(), more) {
            (true, _) => hash,
            (false, 0) => format!("{hash} ({})", named.join(", ")),
            (false, more) => format!("{hash} ({} and {more} more)", named.join(", ")),
        }
    }

    /// `source::record` of a row, if it has exactly one source.
    pub(super) fn record_at(&self, id: RowId) -> Option<String> {
        let row = self.buffer.row(id);
        match self.parts.origins.records(row.provenance(), 0, 1) {
            (records, 0) => records.first().map(|(source, record)| format!("{source}::{record}")),
            _ => None,
        }
    }
}

/// Columns of one row, apart from what they were cut from.
fn single(columns: &[ArrayRef]) -> Vec<ArrayRef> {
    let first = UInt32Array::from(vec![0]);
    // A column that cannot be copied is kept as it is.
    columns.iter().map(|column| take(column, &first, None).unwrap_or_else(|_| Arc::clone(column))).collect()
}

fn bytes_of(aside: &SetAside) -> usize {
    let values: usize = aside.taken.iter().chain(&aside.tags).map(|column| array_bytes(column)).sum();
    values + aside.message.len() + aside.log.len()
}

/// An error and its causes.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    // A chain of causes that does not end is cut with the message.
    while let Some(cause) = next.filter(|_| text.len() < MESSAGE_BYTES) {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}

fn beginning(mut text: String, bytes: usize) -> String {
    let at = text.floor_char_boundary(bytes);
    text.truncate(at);
    text
}

fn end(text: &str, bytes: usize) -> String {
    match text.len().checked_sub(bytes) {
        None | Some(0) => text.to_owned(),
        Some(from) => text.get(text.ceil_char_boundary(from)..).unwrap_or_default().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_long_log_the_end_is_kept_and_of_a_long_message_the_beginning() {
        assert_eq!(end("a long text", 4), "text");
        assert_eq!(end("short", 5), "short");
        assert_eq!(end("a\u{20ac}", 2), "");
        assert_eq!(beginning("a long text".to_owned(), 6), "a long");
        assert_eq!(beginning("\u{20ac}uro".to_owned(), 2), "");
    }
}
