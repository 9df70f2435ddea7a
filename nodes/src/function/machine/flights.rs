//! Packets in flight, and the rows that wait for each of them.

use std::collections::VecDeque;

use anabranch_engine::identity::PacketHash;
use anabranch_engine::index::{At as _, row_number};
use anabranch_engine::prefetch::prefetch;

use super::reorder_buffer::RowId;

/// Rows that wait for one packet.
#[derive(Debug, Clone)]
pub(in crate::function) struct Flight {
    pub(in crate::function) packet: PacketHash,
    pub(in crate::function) first: RowId,
    others: Vec<RowId>,
}

impl Flight {
    pub(in crate::function) fn rows(&self) -> usize {
        1 + self.others.len()
    }

    pub(in crate::function) fn rows_waiting(self) -> impl Iterator<Item = RowId> {
        std::iter::once(self.first).chain(self.others)
    }
}

/// Identifies a flight from its beginning to its end; then it is reused for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::function) struct FlightId(pub(in crate::function) u32);

/// Flights by packet.
///
/// They lie apart from the table that finds them, where they stay as long as there is room once they have
/// ended: so ending one, mostly in the order in which they began, is a step along the flights. Measured (`tables`, an
/// example of the engine, 100,000 and 1,000,000 packets, 32,768 in flight): `hashbrown`, out of which each is taken as it
/// ends, takes 1.04 to 1.17 times the time.
///
/// Memory: 11 to 32 bytes a packet for the table, 72 and those of further rows for the flight.
#[derive(Debug, Default)]
pub(in crate::function) struct FlightTable {
    /// An open table with a quarter free at least; the low bits of a hash choose the slot.
    slots: Vec<HashSlot>,
    /// Slots that are not free, those included whose flights have ended.
    used: usize,
    flights: Vec<Option<Flight>>,
    /// Places of flights that have ended, the earliest first.
    free: VecDeque<u32>,
}

/// The upper half of a hash, and the place of its flight counted from 1; zero for a free one.
#[derive(Debug, Clone, Copy)]
struct HashSlot {
    upper: u32,
    place: u32,
}

const FREE: HashSlot = HashSlot { upper: 0, place: 0 };
const LEAST_SLOTS: usize = 64;

impl FlightTable {
    pub(in crate::function) fn is_empty(&self) -> bool {
        self.flights.len() == self.free.len()
    }

    /// The flight; none if it has ended.
    #[inline]
    pub(in crate::function) fn get(&self, id: FlightId) -> Option<&Flight> {
        self.flights.at(id.0 as usize, "the place of a flight is in the table").as_ref()
    }

    #[inline]
    fn get_mut(&mut self, id: FlightId) -> &mut Option<Flight> {
        self.flights.at_mut(id.0 as usize, "the place of a flight is in the table")
    }

    /// Prefetches the slot that shows if a packet is in flight.
    #[inline]
    pub(in crate::function) fn prefetch(&self, packet: &PacketHash) {
        if let Some(slot) = self.slots.get(self.first_slot(hash_of(packet))) {
            prefetch(slot);
        }
    }

    /// Lets a row wait for a packet, if that is in flight.
    pub(in crate::function) fn join(&mut self, packet: &PacketHash, row: RowId) -> bool {
        let flight = self.find(packet).ok().and_then(|id| self.get_mut(id).as_mut());
        flight.map(|flight| flight.others.push(row)).is_some()
    }

    /// Lets a row wait for a packet; the flight if it takes off with it.
    pub(in crate::function) fn join_or_begin(&mut self, packet: PacketHash, row: RowId) -> Option<FlightId> {
        if (self.used + 1) * 4 > self.slots.len() * 3 {
            self.rebuild();
        }
        let slot = match self.find(&packet) {
            Ok(id) => {
                if let Some(flight) = self.get_mut(id) {
                    flight.others.push(row);
                }
                return None;
            }
            Err(slot) => slot,
        };
        let begun = Some(Flight { packet, first: row, others: Vec::new() });
        let place = if let Some(place) = self.free.pop_front() {
            *self.get_mut(FlightId(place)) = begun;
            place
        } else {
            self.flights.push(begun);
            row_number(self.flights.len() - 1)
        };
        *self.slots.at_mut(slot, "a quarter of the slots is free") = HashSlot::new(hash_of(&packet), place);
        self.used += 1;
        Some(FlightId(place))
    }

    /// Ends a flight.
    #[inline]
    pub(in crate::function) fn remove(&mut self, id: FlightId) -> Option<Flight> {
        let flight = self.get_mut(id).take()?;
        self.free.push_back(id.0);
        Some(flight)
    }

    #[inline]
    fn first_slot(&self, hash: u64) -> usize {
        #[expect(clippy::cast_possible_truncation, reason = "the low bits are what is wanted")]
        let low = hash as usize;
        low & self.slots.len().wrapping_sub(1)
    }

    /// The flight of a packet, or the free slot where it would go.
    #[inline]
    fn find(&self, packet: &PacketHash) -> Result<FlightId, usize> {
        let hash = hash_of(packet);
        let mut at = self.first_slot(hash);
        while let Some(slot) = self.slots.get(at).filter(|slot| slot.place != 0) {
            if slot.upper == HashSlot::new(hash, 0).upper
                && let id = FlightId(slot.place - 1)
                && self.get(id).is_some_and(|flight| flight.packet == *packet)
            {
                return Ok(id);
            }
            at = (at + 1) & (self.slots.len() - 1);
        }
        Err(at)
    }

    /// Leaves out what has ended, in a table with as much room for others again.
    fn rebuild(&mut self) {
        let flying = self.flights.len() - self.free.len();
        let size = ((flying + 1) * 2).next_power_of_two().max(LEAST_SLOTS);
        self.slots.clear();
        self.slots.resize(size, FREE);
        self.used = flying;
        for (place, flight) in (0_u32..).zip(&self.flights) {
            let Some(flight) = flight else { continue };
            let hash = hash_of(&flight.packet);
            let mut slot = self.first_slot(hash);
            while self.slots.get(slot).is_some_and(|slot| slot.place != 0) {
                slot = (slot + 1) & (size - 1);
            }
            *self.slots.at_mut(slot, "the table has more slots than flights") = HashSlot::new(hash, place);
        }
    }
}

impl HashSlot {
    fn new(hash: u64, place: u32) -> Self {
        let upper = (hash >> 32) as u32;
        Self { upper, place: place.saturating_add(1) }
    }
}

/// A packet hash is as good a hash as any.
#[inline]
fn hash_of(packet: &PacketHash) -> u64 {
    packet.0.0.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use anabranch_engine::identity::Digest;
    use proptest::prelude::*;
    use std::collections::HashMap;

    /// Packets of which several have the same hash for the table.
    fn packet(n: u8) -> PacketHash {
        let mut bytes = [0; 32];
        bytes[0] = n % 7;
        bytes[31] = n;
        PacketHash(Digest(bytes))
    }

    fn place(row: usize) -> RowId {
        RowId { chunk: 3, row: u32::try_from(row).unwrap() }
    }

    proptest! {
        #[test]
        fn flights_are_those_of_a_plain_map(steps in proptest::collection::vec((0_u8..40, 0_u8..3), 0..600)) {
            let mut table = FlightTable::default();
            let mut model: HashMap<u8, (FlightId, Vec<RowId>)> = HashMap::new();
            for (row, (n, step)) in steps.into_iter().enumerate() {
                match step {
                    0 => match (table.join_or_begin(packet(n), place(row)), model.get_mut(&n)) {
                        (None, Some((_, rows))) => rows.push(place(row)),
                        (Some(id), None) => drop(model.insert(n, (id, vec![place(row)]))),
                        (begun, _) => prop_assert!(false, "{n} {begun:?}"),
                    },
                    1 => {
                        let waits = model.get_mut(&n).map(|(_, rows)| rows.push(place(row))).is_some();
                        prop_assert_eq!(table.join(&packet(n), place(row)), waits);
                    }
                    _ => if let Some((id, rows)) = model.remove(&n) {
                        let ended = table.remove(id).unwrap();
                        prop_assert_eq!(ended.packet, packet(n));
                        prop_assert_eq!(ended.rows_waiting().collect::<Vec<_>>(), rows);
                        prop_assert!(table.remove(id).is_none());
                    },
                }
                for (n, (id, rows)) in &model {
                    let flight = table.get(*id).unwrap();
                    let expected = (packet(*n), rows[0], rows.len());
                    prop_assert_eq!((flight.packet, flight.first, flight.rows()), expected);
                }
                prop_assert_eq!(table.is_empty(), model.is_empty());
            }
            prop_assert!(table.flights.len() <= 40);
            prop_assert!(table.slots.len() <= 128);
        }
    }
}
