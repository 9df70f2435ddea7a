//! Packets on their way through a call.

use std::ops::Range;
use std::sync::Arc;

use anabranch_engine::identity::PacketHash;
use anabranch_engine::index::At as _;
use anabranch_engine::store::{Claim, Snapshot};

use super::flights::FlightId;
use crate::call::Packets;

/// Some packets in flight, by their hashes and by their flights.
#[derive(Debug, Clone)]
pub(in crate::function) struct PacketKeys {
    hashes: Arc<Vec<PacketHash>>,
    flights: Arc<Vec<FlightId>>,
    rows: Range<usize>,
}

impl PacketKeys {
    pub(in crate::function) fn new(hashes: Arc<Vec<PacketHash>>, flights: Vec<FlightId>) -> Self {
        assert_eq!(hashes.len(), flights.len(), "each packet has a flight");
        let rows = 0..flights.len();
        Self { hashes, flights: Arc::new(flights), rows }
    }

    pub(in crate::function) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(in crate::function) fn hashes(&self) -> &[PacketHash] {
        self.hashes.at(self.rows.clone(), "keys of packets are among those of their chunk")
    }

    pub(in crate::function) fn flights(&self) -> &[FlightId] {
        self.flights.at(self.rows.clone(), "flights of packets are among those of their chunk")
    }

    /// Some of them, by their places.
    pub(in crate::function) fn part(&self, places: Range<usize>) -> Self {
        assert!(places.end <= self.len(), "packets of a part are in the whole");
        let rows = self.rows.start + places.start..self.rows.start + places.end;
        Self { hashes: Arc::clone(&self.hashes), flights: Arc::clone(&self.flights), rows }
    }

    /// Those that are marked.
    pub(in crate::function) fn marked(&self, marks: &[bool]) -> Self {
        let all = self.hashes().iter().zip(self.flights()).zip(marks);
        let (hashes, flights) = all.filter(|(_, mark)| **mark).map(|(packet, _)| packet).unzip();
        Self::new(Arc::new(hashes), flights)
    }
}

/// Packets that wait for a call or are in one.
pub(in crate::function) struct PendingPackets {
    /// The packets of its rows, and those of others.
    packets: Arc<Packets>,
    pub(in crate::function) keys: PacketKeys,
    /// The snapshot of the look-up that missed them; see `Found::snapshot`.
    pub(in crate::function) snapshot: Snapshot,
    /// Number of the attempt that comes next or is under way; the first is 1.
    pub(in crate::function) attempt: u32,
    /// True if its packets are called one by one.
    pub(in crate::function) alone: bool,
    /// Keeps other nodes and processes from computing them.
    pub(in crate::function) claim: Option<Claim>,
}

impl PendingPackets {
    /// Packets, with as many keys.
    pub(in crate::function) fn new(packets: Packets, keys: PacketKeys, snapshot: Snapshot) -> Self {
        Self { packets: Arc::new(packets), keys, snapshot, attempt: 1, alone: false, claim: None }
    }

    pub(in crate::function) fn len(&self) -> usize {
        self.keys.len()
    }

    pub(in crate::function) fn hashes(&self) -> &[PacketHash] {
        self.keys.hashes()
    }

    /// The flight of its only packet, or of its first one.
    pub(in crate::function) fn flight(&self) -> FlightId {
        *self.keys.flights().at(0, "pending packets are never empty")
    }

    /// Removes its first packets, with their claim.
    pub(in crate::function) fn cut(&mut self, count: usize) -> Self {
        let first = Self { claim: self.claim.take(), ..self.part(0..count) };
        self.keys = self.keys.part(count..self.len());
        first
    }

    /// Some of its packets, by their places.
    pub(in crate::function) fn part(&self, places: Range<usize>) -> Self {
        Self {
            packets: Arc::clone(&self.packets),
            keys: self.keys.part(places),
            snapshot: self.snapshot,
            attempt: self.attempt,
            alone: self.alone,
            claim: None,
        }
    }

    /// The packets themselves.
    pub(in crate::function) fn packets(&self) -> Packets {
        let start = self.keys.rows.start;
        let columns = self.packets.columns.iter().map(|c| c.slice(start, self.len())).collect();
        Packets { columns, rows: self.len() }
    }
}
