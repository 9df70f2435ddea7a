//! Look-ups: rows with a stored outcome, and packets that are computed, each of them once.

use anabranch_engine::store::Found;

use super::super::lookup::{HashedChunk, LookedUp, LookupCommand, LookupMachine};
use super::super::reorder_buffer::RowId;
use super::*;

fn push(machine: &mut LookupMachine, number: u64, packets: &[usize]) {
    let hashes = Arc::new(packets.iter().map(|n| key(*n)).collect());
    machine.push(HashedChunk { number, hashes, taken: vec![integers(packets.to_vec())], rows: None });
}

fn find(machine: &mut LookupMachine) -> Vec<PacketHash> {
    match machine.advance(true).unwrap() {
        Some(LookupCommand::Find(keys)) => keys,
        Some(LookupCommand::Compute(_)) => panic!("packets to compute"),
        Some(LookupCommand::LeaveOut(_)) => panic!("rows of failed packets"),
        None => panic!("nothing"),
    }
}

fn compute(machine: &mut LookupMachine, room: bool) -> Option<PendingPackets> {
    match machine.advance(room).unwrap()? {
        LookupCommand::Compute(packets) => Some(packets),
        LookupCommand::Find(_) => panic!("a look-up"),
        LookupCommand::LeaveOut(_) => panic!("rows of failed packets"),
    }
}

/// The answer about packets: the value of each, or none where the store has no outcome.
fn answer(values: &[Option<i64>], commit: u64, snapshot: u64) -> Found {
    let hits = values.iter().map(Option::is_some).collect();
    let found: Vec<_> = values.iter().filter(|value| value.is_some()).copied().collect();
    Found { hits, outcomes: outcomes(commit, &found), snapshot: Snapshot::new(snapshot) }
}

fn rows(looked_up: &LookedUp) -> Vec<(u32, u32)> {
    looked_up.hits.iter().map(|(id, outcome)| (id.row, *outcome)).collect()
}

fn row(chunk: u64, row: u32) -> RowId {
    RowId { chunk, row }
}

#[test]
fn hits_have_outcomes_and_each_missed_packet_is_computed_once() {
    let mut machine = LookupMachine::new(true);
    push(&mut machine, 0, &[1, 2, 1, 3]);
    assert_eq!(find(&mut machine), [key(1), key(2), key(1), key(3)]);
    assert!(machine.advance(true).unwrap().is_none(), "one look-up at a time");
    let looked_up = machine.found(answer(&[None, Some(20), None, None], 1, 5)).unwrap();
    assert_eq!((rows(&looked_up), &looked_up.missed), (vec![(1, 0)], &vec![0, 2, 3]));
    machine.compute(&looked_up.missed);
    let packets = compute(&mut machine, true).unwrap();
    assert_eq!((numbers(&packets), packets.snapshot), (vec![1, 3], Snapshot::new(5)));
    let first = machine.end(packets.keys.flights()[0]);
    assert_eq!(first.packet, key(1));
    assert_eq!(first.rows_waiting().collect::<Vec<_>>(), [row(0, 0), row(0, 2)]);
    assert!(machine.accepts() && machine.advance(true).unwrap().is_none());
}

#[test]
fn rows_of_a_packet_in_flight_wait_with_it_and_are_not_looked_up() {
    let mut machine = LookupMachine::new(true);
    push(&mut machine, 0, &[1, 2]);
    find(&mut machine);
    // The next chunk comes while the first is looked up, and joins only after it.
    push(&mut machine, 1, &[2, 3, 2]);
    assert!(!machine.accepts());
    let looked_up = machine.found(answer(&[Some(10), None], 1, 5)).unwrap();
    machine.compute(&looked_up.missed);
    let packets = compute(&mut machine, true).unwrap();
    assert_eq!(numbers(&packets), [2]);
    assert_eq!(find(&mut machine), [key(3)]);
    let looked_up = machine.found(answer(&[Some(30)], 2, 6)).unwrap();
    assert_eq!((looked_up.chunk, rows(&looked_up)), (1, vec![(1, 0)]));
    let flight = machine.end(packets.keys.flights()[0]);
    assert_eq!(flight.rows_waiting().collect::<Vec<_>>(), [row(0, 1), row(1, 0), row(1, 2)]);
}

#[test]
fn without_a_store_all_packets_are_computed() {
    let mut machine = LookupMachine::new(false);
    push(&mut machine, 0, &[1, 2, 1]);
    assert_eq!(numbers(&compute(&mut machine, true).unwrap()), [1, 2]);
    push(&mut machine, 1, &[2, 4]);
    assert_eq!(numbers(&compute(&mut machine, true).unwrap()), [4]);
}

#[test]
fn rows_of_packets_that_failed_are_left_out_without_a_look_up() {
    let mut machine = LookupMachine::new(true);
    machine.remember_failed(key(2));
    push(&mut machine, 0, &[1, 2, 3]);
    let Some(LookupCommand::LeaveOut(left_out)) = machine.advance(true).unwrap() else {
        panic!("no rows of failed packets");
    };
    assert_eq!(left_out, [(key(2), row(0, 1))]);
    assert_eq!(find(&mut machine), [key(1), key(3)]);
    assert!(machine.failed.contains(&key(2)) && !machine.failed.contains(&key(1)));
}

#[test]
fn an_answer_about_the_first_packets_alone_is_followed_by_the_others() {
    let mut machine = LookupMachine::new(true);
    push(&mut machine, 0, &[1, 2, 3]);
    find(&mut machine);
    machine.found(answer(&[Some(10)], 1, 9)).unwrap();
    assert_eq!(find(&mut machine), [key(2), key(3)]);
    let looked_up = machine.found(answer(&[None, Some(30)], 1, 4)).unwrap();
    assert_eq!(rows(&looked_up), [(2, 0)]);
    machine.compute(&looked_up.missed);
    // The earliest of what the look-ups saw counts.
    assert_eq!(compute(&mut machine, true).unwrap().snapshot, Snapshot::new(4));
}

#[test]
fn without_room_the_missed_packets_are_computed_and_the_look_up_is_held() {
    let mut machine = LookupMachine::new(true);
    push(&mut machine, 0, &[1, 2, 3]);
    find(&mut machine);
    let looked_up = machine.found(answer(&[None, Some(20)], 1, 5)).unwrap();
    machine.compute(&looked_up.missed);
    assert_eq!(numbers(&compute(&mut machine, false).unwrap()), [1]);
    assert!(machine.is_held());
    assert!(machine.advance(false).unwrap().is_none());
    assert_eq!(find(&mut machine), [key(3)]);
    assert!(!machine.is_held());
}

#[test]
fn outcomes_from_before_a_refresh_are_missed() {
    let mut machine = LookupMachine::new(true);
    machine.baseline = Some(Snapshot::new(4));
    push(&mut machine, 0, &[1]);
    find(&mut machine);
    assert_eq!(machine.found(answer(&[Some(10)], 4, 5)).unwrap().missed, [0]);
    let mut machine = LookupMachine::new(true);
    machine.baseline = Some(Snapshot::new(4));
    push(&mut machine, 0, &[1]);
    find(&mut machine);
    assert_eq!(rows(&machine.found(answer(&[Some(10)], 5, 5)).unwrap()), [(0, 0)]);
}

#[test]
fn all_answered_rows_can_be_computed_although_they_have_outcomes() {
    let mut machine = LookupMachine::new(true);
    push(&mut machine, 0, &[1, 2]);
    find(&mut machine);
    machine.found(answer(&[Some(10), None], 1, 5)).unwrap();
    machine.compute_answered();
    assert_eq!(numbers(&compute(&mut machine, true).unwrap()), [1, 2]);
}

#[test]
fn an_answer_about_no_packet_is_an_error_and_ends_the_look_up() {
    let mut machine = LookupMachine::new(true);
    push(&mut machine, 0, &[1]);
    find(&mut machine);
    assert!(machine.found(answer(&[], 1, 5)).is_err());
    assert!(machine.advance(true).unwrap().is_none());
}

#[test]
fn the_first_look_up_is_small_and_later_ones_grow() {
    let mut machine = LookupMachine::new(true);
    let packets: Vec<usize> = (0..4_000).collect();
    push(&mut machine, 0, &packets);
    let mut sizes = Vec::new();
    for _ in 0..3 {
        let keys = find(&mut machine);
        sizes.push(keys.len());
        machine.found(answer(&vec![Some(1); keys.len()], 1, 5)).unwrap();
    }
    assert_eq!(sizes, [256, 2_048, 1_696]);
}

#[test]
#[should_panic(expected = "a packet in flight ends once")]
fn a_packet_that_ends_twice_breaks_an_invariant() {
    let mut machine = LookupMachine::new(false);
    push(&mut machine, 0, &[1]);
    let packets = compute(&mut machine, true).unwrap();
    machine.end(packets.flight());
    machine.end(packets.flight());
}

#[test]
#[should_panic(expected = "the store's answer belongs to a look-up under way")]
fn an_answer_without_a_look_up_breaks_an_invariant() {
    let _ = LookupMachine::new(true).found(answer(&[None], 1, 5));
}
