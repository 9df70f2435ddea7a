//! Packets in flight, and the rows that wait for each of them.

use std::collections::VecDeque;

use anabranch_engine::identity::PacketHash;
use hashbrown::HashTable;

use super::window::Place;

/// Rows that wait for one packet.
#[derive(Debug, Clone)]
pub(super) struct Flight {
    first: Place,
    others: Vec<Place>,
}

impl Flight {
    pub(super) fn first(&self) -> Place {
        self.first
    }

    pub(super) fn rows(&self) -> usize {
        1 + self.others.len()
    }

    pub(super) fn places(self) -> impl Iterator<Item = Place> {
        std::iter::once(self.first).chain(self.others)
    }
}

/// Flights by packet.
///
/// They lie apart from the table that finds them: packets end mostly in the order in which they began, so
/// that flights are walked along, and the table is small enough to stay in a near cache.
///
/// Memory: 5 to 10 bytes a packet for the table, 72 and those of further rows for the flight.
#[derive(Debug, Default)]
pub(super) struct FlightTable {
    places: HashTable<u32>,
    flights: Vec<Option<(PacketHash, Flight)>>,
    /// Places of flights that have ended, the earliest first.
    free: VecDeque<u32>,
}

impl FlightTable {
    pub(super) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    pub(super) fn get(&self, packet: &PacketHash) -> Option<&Flight> {
        let place = self.places.find(hash_of(packet), |place| is_at(&self.flights, *place, packet))?;
        self.flights.get(*place as usize)?.as_ref().map(|(_, flight)| flight)
    }

    /// Lets a row wait for a packet, if that is in flight.
    pub(super) fn join(&mut self, packet: &PacketHash, row: Place) -> bool {
        let found = self.places.find(hash_of(packet), |place| is_at(&self.flights, *place, packet));
        let flight = found.and_then(|place| self.flights.get_mut(*place as usize)?.as_mut());
        flight.map(|(_, flight)| flight.others.push(row)).is_some()
    }

    /// Lets a row wait for a packet; says whether that takes off with it.
    pub(super) fn join_or_begin(&mut self, packet: PacketHash, row: Place) -> bool {
        if self.join(&packet, row) {
            return false;
        }
        let begun = Some((packet, Flight { first: row, others: Vec::new() }));
        let place = if let Some(place) = self.free.pop_front() {
            if let Some(free) = self.flights.get_mut(place as usize) {
                *free = begun;
            }
            place
        } else {
            self.flights.push(begun);
            // The window has far fewer rows.
            u32::try_from(self.flights.len() - 1).unwrap_or(u32::MAX)
        };
        let flights = &self.flights;
        let rehash = |place: &u32| {
            let flight = flights.get(*place as usize).and_then(Option::as_ref);
            flight.map_or(0, |(packet, _)| hash_of(packet))
        };
        self.places.insert_unique(hash_of(&packet), place, rehash);
        true
    }

    /// Ends a packet's flight.
    pub(super) fn remove(&mut self, packet: &PacketHash) -> Option<Flight> {
        let found = self.places.find_entry(hash_of(packet), |place| is_at(&self.flights, *place, packet));
        let (place, _) = found.ok()?.remove();
        self.free.push_back(place);
        let (_, flight) = self.flights.get_mut(place as usize)?.take()?;
        Some(flight)
    }
}

/// A packet hash is as good a hash as any.
fn hash_of(packet: &PacketHash) -> u64 {
    packet.0.0.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

fn is_at(flights: &[Option<(PacketHash, Flight)>], place: u32, packet: &PacketHash) -> bool {
    let flight = flights.get(place as usize).and_then(Option::as_ref);
    flight.is_some_and(|(its, _)| its == packet)
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

    fn place(row: usize) -> Place {
        Place { chunk: 3, row: u32::try_from(row).unwrap() }
    }

    proptest! {
        #[test]
        fn flights_are_those_of_a_plain_map(steps in proptest::collection::vec((0_u8..40, 0_u8..3), 0..300)) {
            let mut table = FlightTable::default();
            let mut model: HashMap<u8, Vec<Place>> = HashMap::new();
            for (row, (n, step)) in steps.into_iter().enumerate() {
                match step {
                    0 => {
                        let begins = !model.contains_key(&n);
                        model.entry(n).or_default().push(place(row));
                        prop_assert_eq!(table.join_or_begin(packet(n), place(row)), begins);
                    }
                    1 => {
                        let waits = model.get_mut(&n).map(|rows| rows.push(place(row))).is_some();
                        prop_assert_eq!(table.join(&packet(n), place(row)), waits);
                    }
                    _ => {
                        let ended = table.remove(&packet(n)).map(|flight| flight.places().collect::<Vec<_>>());
                        prop_assert_eq!(ended, model.remove(&n));
                    }
                }
                for n in 0..40 {
                    let rows = table.get(&packet(n)).map(|flight| (flight.first(), flight.rows()));
                    prop_assert_eq!(rows, model.get(&n).map(|rows| (rows[0], rows.len())));
                }
                prop_assert_eq!(table.is_empty(), model.is_empty());
            }
            prop_assert!(table.flights.len() <= 40);
        }
    }
}
