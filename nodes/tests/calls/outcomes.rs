//! Outcomes of packets: computed, dropped, failed, left out.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use anabranch_nodes::function::{CacheMode, CallOptions, OnError, Outcome, OutputOrder, PacketError};
use arrow::array::AsArray as _;
use arrow::datatypes::Int64Type;

use crate::fake::Fake;
use crate::node::{Node, f, forms, options, packet, retry};

#[test]
fn a_packet_that_succeeds_at_the_third_attempt_is_computed_once() {
    let attempts: Arc<Mutex<HashMap<i64, u32>>> = Arc::default();
    for function in forms(move |n| {
        let mut attempts = attempts.lock().unwrap();
        let attempt = attempts.entry(n).or_default();
        *attempt += 1;
        if n == 2 && *attempt < 3 {
            return Err(PacketError::new("not yet"));
        }
        if n == 2 {
            *attempt = 0;
        }
        Ok(Outcome::Give(n * 10))
    }) {
        let node = Node::new(function, CallOptions { retry: retry(3), ..options() });
        // A chunk that fails is called again in halves, which are attempts of nobody.
        let rows = node.run(&[vec![1], vec![2, 2], vec![3]]).unwrap();
        assert_eq!(rows, [(0, 10), (1, 20), (2, 20), (3, 30)]);
        assert_eq!(node.counts(4), [3, 1, 0, 0]);
    }
}

#[test]
fn only_the_packet_at_fault_is_left_out_and_its_equals_are_not_tried_again() {
    for on_error in [OnError::Skip, OnError::SetAside] {
        let calls = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&calls);
        for (form, function) in forms(move |n| match n {
            5 => {
                counted.fetch_add(1, SeqCst);
                Err(PacketError::new("no fives"))
            }
            7 => Ok(Outcome::Drop),
            _ => Ok(Outcome::Give(n)),
        })
        .into_iter()
        .enumerate()
        {
            calls.store(0, SeqCst);
            let node = Node::new(function, CallOptions { on_error, retry: retry(2), ..options() });
            let chunks = [vec![1, 5, 2, 5, 7], (0..10).collect(), vec![5], vec![9, 9]];
            let rows: Vec<i64> = node.run(&chunks).unwrap().into_iter().map(|(_, n)| n).collect();
            assert_eq!(rows, [1, 2, 0, 1, 2, 3, 4, 6, 8, 9, 9, 9]);
            let counts = node.counts(18);
            assert_eq!(counts[2] + counts[3], 4);
            assert_eq!(counts[usize::from(on_error == OnError::SetAside) + 2], 4);
            assert_eq!(node.counters.dropped.get(), 2);
            if form < 2 {
                assert_eq!(calls.load(SeqCst), 2, "two attempts, whatever the number of rows");
            }
            let kept = node.store.kept.lock().unwrap();
            assert!(!kept.contains_key(&packet(5)) && kept.contains_key(&packet(7)));
        }
    }
}

#[test]
fn a_packet_that_is_set_aside_is_written_down_with_its_input_and_its_error() {
    let function = f().call(|n: i64| if n == 5 { Err(PacketError::new("no fives")) } else { Ok(n) });
    let calls = CallOptions { on_error: OnError::SetAside, retry: retry(3), ..options() };
    let node = Node::new(function, calls);
    node.run(&[vec![1, 5, 2, 5], vec![3], vec![5, 5]]).unwrap();
    let aside = node.store.aside.lock().unwrap();
    let [one] = aside.as_slice() else { panic!("{aside:?}") };
    assert_eq!((one.packet, one.attempts), (packet(5), 3));
    assert_eq!((one.kind.as_str(), one.message.as_str()), ("the function failed", "no fives"));
    let more = node.store.more.lock().unwrap().get(&packet(5)).copied().unwrap_or_default();
    assert_eq!(one.rows + more, 4);
    assert_eq!(one.taken[0].as_primitive::<Int64Type>().values(), &[5]);
    assert_eq!(one.tags[0].as_primitive::<Int64Type>().values(), &[1]);
    assert_eq!(one.records, [("numbers".to_owned(), "row_1".to_owned())]);
}

#[test]
fn the_run_stops_at_a_failure_with_hash_and_record_and_keeps_what_was_computed() {
    for function in forms(|n| if n == 5 { Err(PacketError::new("no fives")) } else { Ok(Outcome::Give(n)) }) {
        let node = Node::new(function, CallOptions { concurrency: NonZeroUsize::MIN, ..options() });
        let error = node.run(&[vec![1, 2, 3], vec![4, 5]]).unwrap_err();
        let named = format!("packet {} (\"numbers::row_4\"): the function failed", packet(5).0.hex(12));
        assert!(error.contains(&named) && error.ends_with("no fives"), "{error}");
        assert!(node.store.kept.lock().unwrap().contains_key(&packet(4)));
    }
}

#[test]
fn a_commit_that_fails_fails_the_run() {
    let mut node = Node::new(f().call(|n: i64| Ok(n)), options());
    node.store = Arc::new(Fake { broken: true, ..Fake::default() });
    let error = node.run(&[vec![1, 2], vec![3]]).unwrap_err();
    assert!(error.contains("the disk is gone"), "{error}");
}

/// Many chunks of many sizes, with packets that fail, are dropped or come again.
#[test]
fn every_row_has_one_outcome_whatever_the_form_the_order_and_the_chunks() {
    let mut seed = 7_u64;
    let mut random = move |below: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        i64::try_from((seed >> 33) % below).unwrap()
    };
    for round in 0..24_u64 {
        let sizes: Vec<i64> = (0..8).map(|_| random(if round % 2 == 0 { 400 } else { 5 }) + 1).collect();
        let chunks: Vec<Vec<i64>> = sizes.iter().map(|n| (0..*n).map(|_| random(150)).collect()).collect();
        let total: usize = chunks.iter().map(Vec::len).sum();
        for (form, function) in forms(|n| match n % 11 {
            0 => Err(PacketError::new("eleven")),
            1 => Ok(Outcome::Drop),
            _ => Ok(Outcome::Give(n * 3)),
        })
        .into_iter()
        .enumerate()
        {
            let order = if round % 4 < 2 { OutputOrder::Input } else { OutputOrder::Arrival };
            let on_error = if round % 3 == 0 { OnError::SetAside } else { OnError::Skip };
            let calls = CallOptions { order, on_error, ..options() };
            let mut node = Node::new(function, calls);
            node.cache = if round % 5 == 4 { CacheMode::Off } else { CacheMode::Reuse };
            (0..40).filter(|n| n % 11 > 1).for_each(|n| node.store.keep(packet(n), Some(n * 3)));
            let mut rows = node.run(&chunks).unwrap();
            let numbers = chunks.iter().flatten().copied().zip(0_i64..);
            let expected: Vec<(i64, i64)> =
                numbers.filter(|(n, _)| n % 11 > 1).map(|(n, id)| (id, n * 3)).collect();
            if order == OutputOrder::Arrival {
                rows.sort_unstable();
            }
            assert_eq!(rows, expected, "round {round}, form {form}");
            let counts = node.counts(total);
            let failed = chunks.iter().flatten().filter(|n| **n % 11 == 0).count() as u64;
            assert_eq!(counts[2] + counts[3], failed);
            assert_eq!(
                node.counters.dropped.get() as usize,
                chunks.iter().flatten().filter(|n| **n % 11 == 1).count()
            );
        }
    }
}

#[test]
fn a_panic_is_the_failure_of_its_packet_alone() {
    let later = f().call_async(|n: i64| async move {
        assert!(n != 5, "no fives");
        Ok(if n == 7 { Outcome::Drop } else { Outcome::Give(n) })
    });
    let functions = forms(|n| match n {
        5 => panic!("no fives"),
        7 => Ok(Outcome::Drop),
        _ => Ok(Outcome::Give(n)),
    });
    for function in functions.into_iter().chain([later]) {
        for concurrency in [1, 4] {
            let concurrency = NonZeroUsize::new(concurrency).unwrap();
            let calls =
                CallOptions { on_error: OnError::SetAside, retry: retry(2), concurrency, ..options() };
            let node = Node::new(function.clone(), calls);
            let rows = node.run(&[vec![4, 5, 6], vec![7, 5], (0..10).collect()]).unwrap();
            let rows: Vec<i64> = rows.into_iter().map(|(_, n)| n).collect();
            assert_eq!(rows, [4, 6, 0, 1, 2, 3, 4, 6, 8, 9]);
            let counts = node.counts(15);
            assert_eq!((counts[0], counts[3]), (9, 3));
            let aside = node.store.aside.lock().unwrap();
            let [one] = aside.as_slice() else { panic!("{aside:?}") };
            assert_eq!((one.packet, one.attempts), (packet(5), 2));
            assert_eq!((one.kind.as_str(), one.message.as_str()), ("the function panicked", "no fives"));
        }
    }
}
