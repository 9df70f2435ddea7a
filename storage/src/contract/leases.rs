//! Leases: what is in use, and by whom.

use std::sync::{Barrier, mpsc::sync_channel};

use anabranch_engine::store::{Claimant, RunError};

use super::support::{function, keys};
use super::{TestPlace, both};

both! {
    a_run_is_alive_as_long_as_its_lease_is_held,
    a_run_does_not_begin_twice_at_once,
    the_id_of_a_run_is_a_plain_name,
    any_run_that_is_alive_is_found,
    of_many_threads_that_begin_a_run_one_does,
    readers_of_a_recording_keep_it_from_being_removed,
    a_recording_that_is_being_removed_is_not_read,
    recordings_are_read_and_removed_apart_from_each_other,
    claims_exclude_those_of_others_and_not_ones_own,
    of_keys_that_overlap_those_that_are_free_are_won,
    claims_of_another_function_are_apart,
    a_claim_is_given_back_when_it_is_dropped_on_any_thread,
    a_claim_outlives_its_claimant,
    of_many_threads_that_claim_a_packet_one_wins,
}

fn won(claimant: &dyn Claimant, ns: &[u64]) -> (Vec<bool>, anabranch_engine::store::Claim) {
    let claim = claimant.claim(&function("1"), &keys(ns.iter().copied())).unwrap();
    (claim.won.clone(), claim)
}

fn a_run_is_alive_as_long_as_its_lease_is_held(place: &TestPlace) {
    let (leases, other) = (place.leases(), place.leases());
    assert!(!other.is_alive("r").unwrap());
    let lease = leases.begin_run("r").unwrap();
    assert!(leases.is_alive("r").unwrap() && other.is_alive("r").unwrap() && !other.is_alive("s").unwrap());
    drop(lease);
    assert!(!leases.is_alive("r").unwrap() && !other.is_alive("r").unwrap());
    drop(other.begin_run("r").unwrap());
}

fn a_run_does_not_begin_twice_at_once(place: &TestPlace) {
    let (leases, other) = (place.leases(), place.leases());
    let lease = leases.begin_run("r").unwrap();
    for leases in [&leases, &other] {
        assert!(matches!(leases.begin_run("r"), Err(RunError::Alive { run }) if run == "r"));
    }
    assert!(leases.is_alive("r").unwrap(), "the refused ones changed nothing");
    drop(lease);
    assert!(other.begin_run("r").is_ok());
}

fn the_id_of_a_run_is_a_plain_name(place: &TestPlace) {
    let leases = place.leases();
    let long = "x".repeat(129);
    for name in ["", ".", "..", ".r", "a/b", "a b", "ä", "a\0", long.as_str()] {
        assert!(matches!(leases.begin_run(name), Err(RunError::Name { run }) if run == name), "{name:?}");
        assert!(!leases.is_alive(name).unwrap());
    }
    assert_eq!(leases.any_alive().unwrap(), None);
    for name in ["a", "A-1_b.c", &long[1..]] {
        assert!(leases.begin_run(name).is_ok(), "{name:?}");
    }
}

fn any_run_that_is_alive_is_found(place: &TestPlace) {
    let (leases, other) = (place.leases(), place.leases());
    assert_eq!(other.any_alive().unwrap(), None);
    let (one, two) = (leases.begin_run("one").unwrap(), leases.begin_run("two").unwrap());
    assert!(matches!(other.any_alive().unwrap().as_deref(), Some("one" | "two")));
    drop(one);
    assert_eq!(other.any_alive().unwrap().as_deref(), Some("two"));
    drop(two);
    assert_eq!(other.any_alive().unwrap(), None);
}

fn of_many_threads_that_begin_a_run_one_does(place: &TestPlace) {
    let together = Barrier::new(6);
    let attempt = || {
        let all = place.leases();
        together.wait();
        let taken = all.begin_run("r");
        // Held until all have tried.
        together.wait();
        taken.is_ok()
    };
    let begun = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..6).map(|_| scope.spawn(attempt)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).filter(|begun| *begun).count()
    });
    assert_eq!(begun, 1);
}

fn readers_of_a_recording_keep_it_from_being_removed(place: &TestPlace) {
    let (leases, other) = (place.leases(), place.leases());
    let one = leases.read(7).unwrap().unwrap();
    let two = other.read(7).unwrap().unwrap();
    assert!(leases.remove(7).unwrap().is_none());
    drop(one);
    assert!(leases.remove(7).unwrap().is_none(), "one of two is left");
    drop(two);
    assert!(leases.remove(7).unwrap().is_some());
}

fn a_recording_that_is_being_removed_is_not_read(place: &TestPlace) {
    let (leases, other) = (place.leases(), place.leases());
    let removed = leases.remove(7).unwrap().unwrap();
    assert!(other.read(7).unwrap().is_none());
    assert!(other.remove(7).unwrap().is_none());
    drop(removed);
    assert!(other.read(7).unwrap().is_some());
}

fn recordings_are_read_and_removed_apart_from_each_other(place: &TestPlace) {
    let (leases, other) = (place.leases(), place.leases());
    let _removed = leases.remove(1).unwrap().unwrap();
    let _read = other.read(2).unwrap().unwrap();
    assert!(other.read(0).unwrap().is_some() && other.remove(3).unwrap().is_some());
    assert!(leases.remove(2).unwrap().is_none());
}

fn claims_exclude_those_of_others_and_not_ones_own(place: &TestPlace) {
    let (one, two) = (place.leases().claimant().unwrap(), place.leases().claimant().unwrap());
    let (all, held) = won(&*one, &[1, 2]);
    assert_eq!(all, [true, true]);
    let (again, more) = won(&*one, &[2]);
    assert_eq!(again, [true], "its own");
    assert_eq!(won(&*two, &[1, 2]).0, [false, false]);
    drop(held);
    assert_eq!(won(&*two, &[1, 2]).0, [true, false], "claimed twice, given back once");
    drop(more);
    assert_eq!(won(&*two, &[2]).0, [true]);
}

fn of_keys_that_overlap_those_that_are_free_are_won(place: &TestPlace) {
    let leases = place.leases();
    let (one, two) = (leases.claimant().unwrap(), leases.claimant().unwrap());
    let (_, _held) = won(&*one, &[1, 2, 3]);
    let (rest, _rest) = won(&*two, &[3, 4, 1, 5]);
    assert_eq!(rest, [false, true, false, true]);
    assert_eq!(won(&*one, &[4, 3, 5]).0, [false, true, false]);
    assert!(won(&*one, &[]).0.is_empty());
}

fn claims_of_another_function_are_apart(place: &TestPlace) {
    let (one, two) = (place.leases().claimant().unwrap(), place.leases().claimant().unwrap());
    let (_, _held) = won(&*one, &[1]);
    assert_eq!(two.claim(&function("2"), &keys([1])).unwrap().won, [true]);
    assert_eq!(won(&*two, &[1]).0, [false]);
}

fn a_claim_is_given_back_when_it_is_dropped_on_any_thread(place: &TestPlace) {
    let leases = place.leases();
    let (one, two) = (leases.claimant().unwrap(), leases.claimant().unwrap());
    let (_, held) = won(&*one, &[1]);
    let (go, waits) = sync_channel::<()>(8);
    let thread = std::thread::spawn(move || {
        waits.recv().unwrap();
        drop(held);
    });
    assert_eq!(won(&*two, &[1]).0, [false]);
    go.send(()).unwrap();
    thread.join().unwrap();
    assert_eq!(won(&*two, &[1]).0, [true]);
}

fn a_claim_outlives_its_claimant(place: &TestPlace) {
    let leases = place.leases();
    let (one, two) = (leases.claimant().unwrap(), leases.claimant().unwrap());
    let (_, held) = won(&*one, &[1]);
    drop(one);
    assert_eq!(won(&*two, &[1]).0, [false]);
    drop(held);
    assert_eq!(won(&*two, &[1]).0, [true]);
}

fn of_many_threads_that_claim_a_packet_one_wins(place: &TestPlace) {
    let together = Barrier::new(6);
    let claim = || {
        let claimant = place.leases().claimant().unwrap();
        together.wait();
        let (won, _held) = won(&*claimant, &[9]);
        together.wait();
        won[0]
    };
    let winners = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..6).map(|_| scope.spawn(claim)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).filter(|won| *won).count()
    });
    assert_eq!(winners, 1);
}
