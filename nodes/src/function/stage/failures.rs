//! Packets that failed for good: the run stops, or their rows are left out.

use std::collections::hash_map::Entry;
use std::sync::Arc;

use anabranch_engine::bytes::array_bytes;
use anabranch_engine::chunk::Chunk;
use anabranch_engine::identity::PacketHash;
use anabranch_engine::store::{FailingNode, Outcomes, SetAside};
use arrow::array::{ArrayRef, UInt32Array};
use arrow::compute::take;

use super::super::compute::Failure;
use super::super::knobs::OnError;
use super::FunctionStage;
use super::admit::{ByPacket, Packets};
use super::counters::add;
use super::error::FunctionStageError;
use super::flights::FlightId;
use super::window::Place;
use super::work::Event;
use crate::worker::ANSWERED;

/// What a packet is told of whose stored outcome is refused.
pub(super) const STORED_NONE: &str = "found None in place of outputs in the store, expected outputs; write `none: drop` to drop the packet, or `none: null` to give null for each output";
/// The failure of a packet that has no result where nothing is computed, and what it is told.
pub(super) const NOT_STORED: &str = "there is no result";
pub(super) const NOTHING_COMPUTED: &str =
    "found no result, expected one, since cache is replay and nothing is computed; run with cache: reuse";
/// Failed packets that are remembered, so that their later rows are left out without a call.
/// Beyond these, a packet is tried again where it comes again.
const REMEMBERED: usize = 1 << 20;
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

/// Packets that failed for good in this run.
#[derive(Debug, Default)]
pub(super) struct Failures {
    failed: Packets,
    node: Option<Arc<FailingNode>>,
    /// What has to be written down.
    packets: Vec<SetAside>,
    bytes: usize,
    /// Further rows of packets that were written down.
    more: ByPacket<u64>,
    writing: bool,
}

impl Failures {
    pub(super) fn is_empty(&self) -> bool {
        self.failed.is_empty()
    }

    /// Bytes of what has to be written down.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether nothing has to be written down any more.
    pub(super) fn is_written(&self) -> bool {
        !self.writing && self.packets.is_empty() && self.more.is_empty()
    }

    /// What was being written down is.
    pub(super) fn written(&mut self) {
        self.writing = false;
    }

    /// Forgets what cannot be written down.
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
    /// Deals with a packet that will not be tried again, after so many attempts.
    pub(super) fn give_up(&mut self, id: FlightId, attempts: u32, failure: Failure) {
        let Some(flight) = self.flights.rows.get(id) else { return };
        let (packet, first, rows) = (*flight.packet(), flight.first(), flight.rows());
        let on_error = self.parts.calls.on_error;
        if on_error == OnError::Stop && self.failure.is_some() {
            return;
        }
        // Of a run that stops too, whoever looks for the reason finds it in the store, with what the code wrote.
        if on_error != OnError::Skip {
            let aside = self.written_form(attempts, packet, &failure, (first, rows));
            self.failures.bytes += bytes_of(&aside);
            self.failures.packets.push(aside);
        }
        if on_error == OnError::Stop {
            self.failure = Some(FunctionStageError::Packet {
                function: self.name(),
                packet: self.describe(&packet, Some(first)),
                failure: failure.kind,
                cause: failure.cause,
            });
            return;
        }
        let Some(flight) = self.flights.rows.remove(id) else { return };
        self.flights.stored.remove(&packet);
        if self.failures.failed.len() < REMEMBERED {
            self.failures.failed.insert(packet);
        }
        self.count_left_out(rows);
        self.window.leave_out(flight.places());
    }

    /// Whether a stored outcome is one that the function does not stand for: it gave `None` when that still
    /// dropped the packet.
    pub(super) fn is_refused(&self, outcomes: &Outcomes, at: usize) -> bool {
        self.parts.function.refuses_drops && outcomes.emitted.get(at) == Some(&false)
    }

    /// Gives packets up whose stored outcome is refused, without a call.
    pub(super) fn refuse_stored(&mut self, flights: impl IntoIterator<Item = FlightId>) {
        for id in flights {
            self.give_up(id, 0, Failure::new(ANSWERED, STORED_NONE));
        }
    }

    /// Leaves a row out if its packet has failed before; whether it has.
    pub(super) fn leave_out_again(&mut self, packet: &PacketHash, place: Place) -> bool {
        if !self.failures.failed.contains(packet) {
            return false;
        }
        if self.parts.calls.on_error == OnError::SetAside {
            match self.failures.more.entry(*packet) {
                Entry::Occupied(mut rows) => *rows.get_mut() += 1,
                Entry::Vacant(none) => {
                    none.insert(1);
                }
            }
        }
        self.count_left_out(1);
        self.window.leave_out([place]);
        true
    }

    fn count_left_out(&self, rows: usize) {
        let counters = &self.parts.counters;
        match self.parts.calls.on_error {
            OnError::SetAside => add(&counters.set_aside, rows),
            OnError::Skip | OnError::Stop => add(&counters.skipped, rows),
        }
    }

    /// Writes failures down, when there are enough of them or when there will be no more.
    pub(super) fn write_failures(&mut self, all: bool) {
        let failures = &mut self.failures;
        let nothing = failures.packets.is_empty() && failures.more.is_empty();
        if failures.writing || nothing || !(all || failures.is_due()) {
            return;
        }
        failures.writing = true;
        failures.bytes = 0;
        let packets = std::mem::take(&mut failures.packets);
        let more = std::mem::take(&mut failures.more).into_iter().collect();
        let (store, node) = (Arc::clone(&self.parts.failures.store), self.failing_node());
        self.events
            .push(Box::pin(async move { Event::WrittenDown(store.set_aside(node, packets, more).await) }));
    }

    fn failing_node(&mut self) -> Arc<FailingNode> {
        let function = &self.parts.function;
        let sink = &self.parts.failures;
        let node = self.failures.node.get_or_insert_with(|| {
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
        rows: (Place, usize),
    ) -> SetAside {
        let first = self.window.row(rows.0);
        let tags = first.as_ref().map(|row| single(row.tags())).unwrap_or_default();
        let records =
            first.as_ref().map(|row| self.parts.origins.records(row.provenance(), 0, MOST_RECORDS).0);
        let packets = first.as_ref().map(Chunk::packets).unwrap_or_default();
        let taken = self.parts.function.taken.iter().filter_map(|at| packets.get(*at)).cloned();
        SetAside {
            packet,
            kind: failure.kind.to_owned(),
            message: beginning(chain(failure.cause.as_ref()), MESSAGE_BYTES),
            log: end(&failure.log, LOG_BYTES),
            attempts,
            rows: rows.1 as u64,
            taken: single(&taken.collect::<Vec<_>>()),
            tags,
            records: records.unwrap_or_default(),
        }
    }

    /// A packet as messages name it: the beginning of its hash, and where its first row came from.
    pub(super) fn describe(&self, packet: &PacketHash, first: Option<Place>) -> String {
        let hash = packet.0.hex(12);
        let Some(row) = first.and_then(|place| self.window.row(place)) else { return hash };
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
    pub(super) fn record_at(&self, place: Place) -> Option<String> {
        let row = self.window.row(place)?;
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
