//! Packets that fail, in whole pipelines: retried, left out, set aside and listed, tried again.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::format_push_string,
    reason = "a test that cannot go on panics, and its rows are there"
)]

mod support;

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anabranch::{
    Batch, CacheMode, Executor, Function, NodeHandle, OnError, Outcome, OutputOrder, PacketError, Pipeline,
    Retry, Rows, RunError, Store,
};
use arrow::array::AsArray as _;
use arrow::datatypes::Int64Type;

fn store() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().join("store")).unwrap();
    (folder, store)
}

/// A pipeline over 1,000 rows of 100 numbers, whose function fails for what `fails` says.
fn failing(fails: impl Fn(i64) -> bool + Send + Sync + 'static) -> (Pipeline, NodeHandle) {
    let mut p = Pipeline::new("failing");
    let rows = (0..1_000).map(|n| [("id", n.into()), ("n", (n % 100).into())]);
    let source = p.source("numbers", Rows::new(rows).tags(["id"])).unwrap();
    let f = Function::new("f").version("1").takes(["n"]).gives::<i64>("out").call(move |n: i64| {
        if fails(n) {
            return Err(PacketError::new("it does not like this one"));
        }
        Ok(if n == 50 { Outcome::Drop } else { Outcome::Give(-n) })
    });
    let node = p.function("f", source, f).unwrap();
    (p, node)
}

#[test]
fn what_is_set_aside_is_listed_and_tried_again_by_the_next_run() {
    for executor in [Executor::Async, Executor::Sync] {
        let broken = Arc::new(AtomicU64::new(1));
        let state = Arc::clone(&broken);
        let (mut p, node) = failing(move |n| state.load(Ordering::Relaxed) == 1 && n % 10 == 7 || n == 99);
        p.settings_mut().executor = executor;
        p.set_on_error(node, OnError::SetAside).unwrap();
        let attempts = NonZeroU32::new(2).unwrap();
        p.set_retry(node, Retry::attempts(attempts).backoff(Duration::from_millis(1))).unwrap();
        let (_folder, store) = store();
        let first = p.run(&store).unwrap();
        let f = first.node("f").unwrap().function.unwrap();
        assert_eq!((f.computed, f.reused, f.set_aside, f.dropped), (89, 801, 110, 10));
        assert_eq!((first.left_out(), first.node("f").unwrap().rows_out), (110, 880));
        let listed: Vec<_> =
            store.set_aside("failing", Some("f"), None).unwrap().map(Result::unwrap).collect();
        assert_eq!(listed.len(), 11);
        assert_eq!(listed.iter().map(|one| one.rows).sum::<u64>(), 110);
        for one in &listed {
            let n = one.taken.column_by_name("n").unwrap().as_primitive::<Int64Type>().value(0);
            let id = one.tags.column_by_name("id").unwrap().as_primitive::<Int64Type>().value(0);
            assert_eq!((n, one.attempts), (id, 2), "the first row's tags");
            assert_eq!(one.records, [("numbers".to_owned(), format!("row_{id}"))]);
            assert_eq!((one.kind.as_str(), one.run.as_str()), ("the function failed", first.run_id.as_str()));
            assert_eq!(one.message, "it does not like this one");
        }
        broken.store(0, Ordering::Relaxed);
        let second = p.run(&store).unwrap();
        let f = second.node("f").unwrap().function.unwrap();
        assert_eq!((f.computed, f.reused, f.set_aside), (10, 980, 10), "failures are never results");
        let listed: Vec<_> = store.set_aside("failing", None, None).unwrap().map(Result::unwrap).collect();
        assert_eq!(listed.len(), 1, "what succeeded is listed no more");
        let before = store.set_aside("failing", None, Some(&first.run_id)).unwrap();
        assert_eq!(before.count(), 11, "the first run keeps its list");
        let replayed = support::replay_node(&p, &store, "f");
        assert_eq!(replayed.len(), 980);
    }
}

#[test]
fn settings_say_what_nodes_do_not() {
    let (mut p, node) = failing(|n| n == 3);
    let (_folder, store) = store();
    assert!(p.run(&store).is_err());
    p.settings_mut().on_error = OnError::Skip;
    let summary = p.run(&store).unwrap();
    assert_eq!(summary.node("f").unwrap().function.unwrap().skipped, 10);
    assert_eq!(store.set_aside("failing", None, None).unwrap().count(), 0);
    p.set_on_error(node, OnError::Stop).unwrap();
    let RunError::Drive(error) = p.run(&store).unwrap_err() else { panic!("another error") };
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.contains("(\"numbers::row_3\"): the function failed"), "{cause}");
}

#[test]
fn arrival_leaves_the_order_undefined_for_what_is_behind() {
    let (mut p, node) = failing(|_| false);
    p.set_order(node, OutputOrder::Arrival).unwrap();
    assert!(!p.contract(node).unwrap().ordered);
    let refused = p.operator("batches", Batch::new().size(10), [node]).unwrap_err();
    assert!(refused.to_string().contains("sort"), "{refused}");
    let (_folder, store) = store();
    let (_, mut rows) = support::run_node(&p, &store, "f");
    let mut replayed = support::replay_node(&p, &store, "f");
    rows.sort_unstable();
    replayed.sort_unstable();
    assert_eq!((rows.len(), &rows), (990, &replayed));
    let (mut p, node) = failing(|_| false);
    p.operator("batches", Batch::new().size(10), [node]).unwrap();
    let late = p.set_order(node, OutputOrder::Arrival).unwrap_err();
    assert!(late.to_string().contains("\"batches\", which reads from it"), "{late}");
}

#[test]
fn replay_and_verify_hold_a_run_to_what_is_stored() {
    let other = Arc::new(AtomicU64::new(0));
    let state = Arc::clone(&other);
    let mut p = Pipeline::new("held");
    let rows = (0..100).map(|n: i64| [("id", n.into()), ("n", n.into())]);
    let source = p.source("numbers", Rows::new(rows).tags(["id"])).unwrap();
    let f = Function::new("f").version("1").takes(["n"]).gives::<i64>("out").call(move |n: i64| {
        Ok(if n == 7 { n + i64::try_from(state.load(Ordering::Relaxed)).unwrap() } else { n })
    });
    let node = p.function("f", source, f).unwrap();
    let (_folder, store) = store();
    p.set_cache(node, CacheMode::Replay).unwrap();
    let error = p.run(&store).unwrap_err();
    let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
    assert!(format!("{error}: {cause}").contains("found no result, expected one"), "{error}: {cause}");
    p.set_cache(node, CacheMode::Reuse).unwrap();
    let (_, first) = support::run_node(&p, &store, "f");
    p.set_cache(node, CacheMode::Replay).unwrap();
    assert_eq!(support::run_node(&p, &store, "f").1, first);
    p.set_cache(node, CacheMode::Verify).unwrap();
    let verified = p.run(&store).unwrap().node("f").unwrap().function.unwrap().verified.unwrap();
    assert_eq!((verified.same, verified.different, verified.unverified), (100, 0, 0));
    other.store(1, Ordering::Relaxed);
    let handle = p.start(&store).unwrap();
    let error = handle.wait().unwrap_err();
    let RunError::Differs { found } = &error else { panic!("{error}") };
    assert_eq!((found[0].node.as_str(), found[0].different, found[0].compared), ("f", 1, 100));
    assert_eq!(
        (found[0].found[0].row.as_str(), found[0].found[0].output.as_deref()),
        ("numbers::row_7", Some("out"))
    );
    assert!(error.to_string().contains("1 of 100 packets were computed otherwise"), "{error}");
    p.set_cache(node, CacheMode::Reuse).unwrap();
    assert_eq!(support::run_node(&p, &store, "f").1, first, "the store was changed");
}

#[test]
fn a_closure_without_a_version_can_be_neither_replayed_nor_verified() {
    let mut p = Pipeline::new("bare");
    let source = p.source("numbers", Rows::new([[("n", 1.into())]])).unwrap();
    let f = Function::new("f").takes(["n"]).gives::<i64>("out").call(|n: i64| Ok(n));
    let node = p.function("f", source, f).unwrap();
    let (_folder, store) = store();
    for cache in [CacheMode::Replay, CacheMode::Verify] {
        p.set_cache(node, cache).unwrap();
        let error = p.run(&store).unwrap_err();
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert!(cause.contains("a closure without a version has no results"), "{cause}");
    }
}

#[test]
fn a_panic_sets_its_packet_aside_and_the_run_goes_on() {
    for executor in [Executor::Async, Executor::Sync] {
        let (mut p, node) = failing(|n| {
            assert!(n != 7, "it was not expected");
            false
        });
        p.settings_mut().executor = executor;
        p.set_on_error(node, OnError::SetAside).unwrap();
        let (_folder, store) = store();
        let summary = p.run(&store).unwrap();
        let f = summary.node("f").unwrap().function.unwrap();
        assert_eq!((f.computed, f.reused, f.set_aside, f.dropped), (99, 891, 10, 10));
        let listed: Vec<_> = store.set_aside("failing", None, None).unwrap().map(Result::unwrap).collect();
        let [one] = listed.as_slice() else { panic!("{listed:?}") };
        assert_eq!(
            (one.kind.as_str(), one.message.as_str()),
            ("the function panicked", "it was not expected")
        );
        assert_eq!((one.rows, one.attempts), (10, 1));
    }
}
