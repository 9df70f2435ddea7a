//! Cache modes that are not the usual one.

use std::sync::atomic::Ordering::SeqCst;

use anabranch_nodes::function::{CacheMode, Outcome, PacketError};

use crate::node::{Node, f, forms, options, packet};

#[test]
fn replay_gives_what_is_stored_and_names_the_packet_that_is_not() {
    let mut node = Node::new(f().call(|_: i64| -> Result<i64, PacketError> { panic!("called") }), options());
    node.cache = CacheMode::Replay;
    for n in 0..5 {
        node.store.keep(packet(n), (n != 3).then_some(n * 2));
    }
    assert_eq!(node.run(&[vec![0, 1, 1], vec![3, 4]]).unwrap(), [(0, 0), (1, 2), (2, 2), (4, 8)]);
    assert_eq!(node.counts(5), [0, 5, 0, 0]);
    let error = node.run(&[vec![4, 9]]).unwrap_err();
    let named = format!("packet {} (\"numbers::row_1\"): found no result", packet(9).0.hex(12));
    assert!(error.contains("function \"f\"") && error.contains(&named), "{error}");
}

#[test]
fn verify_computes_again_tells_what_differs_and_leaves_the_store_alone() {
    for function in forms(|n| if n == 6 { Ok(Outcome::Drop) } else { Ok(Outcome::Give(n)) }) {
        let mut node = Node::new(function, options());
        node.cache = CacheMode::Verify;
        for n in 0..8 {
            node.store.keep(packet(n), Some(if n == 2 { 99 } else { n }));
        }
        let rows = node.run(&[vec![0, 1, 2, 2], vec![6, 7], vec![20]]).unwrap();
        // What the store has is given, and what is computed where it has nothing.
        assert_eq!(rows, [(0, 0), (1, 1), (2, 99), (3, 99), (4, 6), (5, 7), (6, 20)]);
        assert_eq!(node.counts(7), [6, 1, 0, 0]);
        let found = &node.differences;
        assert_eq!((found.same.get(), found.different.get(), found.unverified.get()), (3, 2, 1));
        let mut told: Vec<_> = found.found().into_iter().map(|d| (d.packet, d.output, d.row)).collect();
        told.sort_by(|a, b| a.2.cmp(&b.2));
        let expected = [
            (packet(2), Some("out".to_owned()), "numbers::row_2".to_owned()),
            (packet(6), None, "numbers::row_4".to_owned()),
        ];
        assert_eq!(told, expected);
        assert_eq!((node.store.commits.load(SeqCst), node.store.kept.lock().unwrap().len()), (0, 8));
    }
}

#[test]
fn refresh_computes_each_packet_once_although_the_store_has_it() {
    let mut node = Node::new(f().call(|n: i64| Ok(n + 100)), options());
    node.cache = CacheMode::Refresh;
    (0..3).for_each(|n| node.store.keep(packet(n), Some(n)));
    let rows = node.run(&[vec![0, 1], vec![1, 2], vec![0, 9]]).unwrap();
    assert_eq!(rows.iter().map(|(_, n)| *n).collect::<Vec<_>>(), [100, 101, 101, 102, 100, 109]);
    assert_eq!(node.counts(6), [4, 2, 0, 0]);
}
