//! Packets in flight, as a function node begins and ends them.

use std::collections::VecDeque;

use anabranch_engine::identity::{Digest, PacketHash};
use anabranch_engine::prefetch::AHEAD;
use hashbrown::HashTable;

use super::machine::flights::{FlightId, FlightTable};
use super::machine::reorder_buffer::RowId;
use crate::{CHUNK_ROWS, Contestant, Keys, Outcome, Use, timed};

/// Packets in flight.
pub(crate) const FLIGHTS: Use = Use {
    name: "packets in flight",
    phases: &["begin and end"],
    sizes: &[100_000, 1_000_000],
    contestants: &[
        Contestant { name: "place after place, cleared when full", run: flights::<FlightTable> },
        Contestant { name: "hashbrown", run: flights::<BrownFlights> },
    ],
};

/// Chunks whose packets are in flight at a time.
const CHUNKS_AT_ONCE: usize = 4;

trait Flights: Default {
    fn begin(&mut self, packet: PacketHash, row: RowId) -> Option<FlightId>;
    fn end(&mut self, flight: FlightId) -> u64;
    fn prefetch(&self, _: &PacketHash) {}
}

impl Flights for FlightTable {
    #[inline]
    fn begin(&mut self, packet: PacketHash, row: RowId) -> Option<FlightId> {
        self.join_or_begin(packet, row)
    }

    #[inline]
    fn end(&mut self, flight: FlightId) -> u64 {
        self.remove(flight).map_or(0, |flight| u64::from(flight.first.row) + flight.rows() as u64)
    }

    #[inline]
    fn prefetch(&self, packet: &PacketHash) {
        Self::prefetch(self, packet);
    }
}

struct Flight {
    packet: PacketHash,
    first: RowId,
    others: Vec<RowId>,
}

/// The upper half of a hash and the place of the flight, which is taken out as soon as it ends.
#[derive(Default)]
struct BrownFlights {
    table: HashTable<(u32, u32)>,
    flights: Vec<Option<Flight>>,
    free: VecDeque<u32>,
}

fn hash_of(packet: &PacketHash) -> u64 {
    packet.0.0.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

impl Flights for BrownFlights {
    #[inline]
    fn begin(&mut self, packet: PacketHash, row: RowId) -> Option<FlightId> {
        let Self { table, flights, free } = self;
        let hash = hash_of(&packet);
        let upper = (hash >> 32) as u32;
        let is_it = |slot: &(u32, u32)| {
            slot.0 == upper && flights[slot.1 as usize].as_ref().is_some_and(|flight| flight.packet == packet)
        };
        if let Some(slot) = table.find(hash, is_it) {
            if let Some(flight) = &mut flights[slot.1 as usize] {
                flight.others.push(row);
            }
            return None;
        }
        let begun = Some(Flight { packet, first: row, others: Vec::new() });
        let place = if let Some(place) = free.pop_front() {
            flights[place as usize] = begun;
            place
        } else {
            flights.push(begun);
            u32::try_from(flights.len() - 1).unwrap_or(u32::MAX)
        };
        let hash_at =
            |slot: &(u32, u32)| flights[slot.1 as usize].as_ref().map_or(0, |flight| hash_of(&flight.packet));
        table.insert_unique(hash, (upper, place), hash_at);
        Some(FlightId(place))
    }

    #[inline]
    fn end(&mut self, id: FlightId) -> u64 {
        let Some(flight) = self.flights[id.0 as usize].take() else { return 0 };
        if let Ok(slot) = self.table.find_entry(hash_of(&flight.packet), |slot| slot.1 == id.0) {
            slot.remove();
        }
        self.free.push_back(id.0);
        u64::from(flight.first.row) + 1 + flight.others.len() as u64
    }
}

fn flights<F: Flights>(keys: &Keys) -> Outcome {
    let packet = |hash: &u64| {
        let mut bytes = [7; 32];
        bytes[..8].copy_from_slice(&hash.to_le_bytes());
        PacketHash(Digest(bytes))
    };
    let packets: Vec<PacketHash> = keys.all.iter().map(packet).collect();
    let (answer, time) = timed(|| {
        let mut table = F::default();
        let mut flying: VecDeque<Vec<FlightId>> = VecDeque::new();
        let mut answer = 0;
        for (chunk, packets) in (0..).zip(packets.chunks(CHUNK_ROWS)) {
            if flying.len() == CHUNKS_AT_ONCE {
                answer +=
                    flying.pop_front().unwrap_or_default().into_iter().map(|id| table.end(id)).sum::<u64>();
            }
            packets.iter().take(AHEAD).for_each(|packet| table.prefetch(packet));
            let begin = |(packet, (row, at)): (&PacketHash, (u32, usize))| {
                if let Some(packet) = packets.get(at + AHEAD) {
                    table.prefetch(packet);
                }
                table.begin(*packet, RowId { chunk, row })
            };
            flying.push_back(packets.iter().zip((0..).zip(0..)).filter_map(begin).collect());
        }
        answer
    });
    Outcome { times: vec![time], bytes: 0, answer }
}
