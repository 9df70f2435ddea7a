//! Claims on packets, in one process and in several.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by a panic")]

mod support;

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use anabranch_engine::identity::PacketHash;
use anabranch_engine::store::{Claim, Claimant, ResultStore};
use anabranch_storage::Store;
use proptest::prelude::*;
use support::{child_program, function, key};

fn keys(ns: &[u64]) -> Vec<PacketHash> {
    ns.iter().map(|n| key(*n)).collect()
}

#[test]
fn what_one_claimant_holds_another_of_the_same_process_does_not_get() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let (first, second) = (store.claimant().unwrap(), store.claimant().unwrap());
    let f = function("1");
    let held = first.claim(&f, &keys(&[1, 2, 3])).unwrap();
    assert_eq!(held.won, [true, true, true]);
    let rest = second.claim(&f, &keys(&[3, 4, 1])).unwrap();
    assert_eq!(rest.won, [false, true, false]);
    assert_eq!(second.claim(&function("2"), &keys(&[1])).unwrap().won, [true], "another function");
    drop(held);
    assert_eq!(second.claim(&f, &keys(&[1, 2, 3])).unwrap().won, [true, true, true]);
    assert_eq!(first.claim(&f, &keys(&[4])).unwrap().won, [false]);
    drop(rest);
    assert_eq!(first.claim(&f, &keys(&[4])).unwrap().won, [true]);
}

#[test]
fn a_claim_outlives_its_claimant() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let (first, second) = (store.claimant().unwrap(), store.claimant().unwrap());
    let held = first.claim(&function("1"), &keys(&[1])).unwrap();
    drop(first);
    assert_eq!(second.claim(&function("1"), &keys(&[1])).unwrap().won, [false]);
    drop(held);
    assert_eq!(second.claim(&function("1"), &keys(&[1])).unwrap().won, [true]);
}

#[test]
fn the_claims_of_a_killed_process_are_free() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let claimant = store.claimant().unwrap();
    let mut child = Command::new(child_program())
        .args(["claim".as_ref(), dir.path().as_os_str()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "claimed\n");
    assert_eq!(claimant.claim(&function("1"), &keys(&[1, 2, 3])).unwrap().won, [true, false, true]);
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(claimant.claim(&function("1"), &keys(&[1, 2, 3])).unwrap().won, [true, true, true]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn claims_agree_with_a_table_of_holders(
        steps in proptest::collection::vec(
            (0..3_usize, proptest::collection::btree_set(0_u64..12, 0..6), any::<prop::sample::Index>()),
            1..40,
        ),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let claimants: Vec<Box<dyn Claimant>> = (0..3).map(|_| store.claimant().unwrap()).collect();
        let mut claims = Vec::new();
        for (who, ns, dropped) in steps {
            let ns: Vec<u64> = ns.into_iter().collect();
            let free = |n: &u64| claims.iter().all(|(holder, held, _): &(usize, Vec<u64>, Claim)| {
                *holder == who || !held.contains(n)
            });
            let expected: Vec<bool> = ns.iter().map(free).collect();
            let claim = claimants[who].claim(&function("1"), &keys(&ns)).unwrap();
            prop_assert_eq!(&claim.won, &expected);
            let held = ns.iter().zip(&expected).filter(|(_, won)| **won).map(|(n, _)| *n).collect();
            claims.push((who, held, claim));
            if claims.len() > 3 {
                drop(claims.remove(dropped.index(claims.len())));
            }
        }
    }
}
