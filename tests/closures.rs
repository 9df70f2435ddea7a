//! Functions written as Rust closures: what is computed, reused, dropped, refused.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::format_push_string,
    reason = "a test that cannot go on panics, and its numbers are small"
)]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anabranch::{
    CacheMode, ChunkOutput, Executor, Function, FunctionSummary, Outcome, PacketError, Pipeline, Rows,
};
use arrow::array::{ArrayRef, AsArray, Int64Array, StringArray};
use arrow::datatypes::Int64Type;
use support::{replay_node, run_node, store, told};

fn numbers(p: &mut Pipeline, count: i64, distinct: i64) -> anabranch::NodeHandle {
    let rows = (0..count).map(|n| [("id", n.into()), ("n", (n % distinct).into())]);
    p.source("numbers", Rows::new(rows).tags(["id"])).unwrap()
}

fn counts(summary: &anabranch::Summary, node: &str) -> FunctionSummary {
    summary.node(node).unwrap().function.unwrap()
}

#[test]
fn equal_packets_are_computed_once_and_dropped_ones_are_remembered() {
    for executor in [Executor::Async, Executor::Sync] {
        let calls = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&calls);
        let mut p = Pipeline::new("once");
        p.settings_mut().executor = executor;
        let source = numbers(&mut p, 1_000, 100);
        let f = Function::new("even").version("1").takes(["n"]).gives::<i64>("half").call(move |n: i64| {
            counted.fetch_add(1, Ordering::Relaxed);
            Ok(if n % 2 == 0 { Outcome::Give(n / 2) } else { Outcome::Drop })
        });
        p.function("even", source, f).unwrap();
        let (_folder, store) = store();
        let (first, rows) = run_node(&p, &store, "even");
        assert_eq!(calls.load(Ordering::Relaxed), 100);
        let expected =
            FunctionSummary { computed: 100, reused: 900, dropped: 500, ..FunctionSummary::default() };
        assert_eq!(counts(&first, "even"), expected);
        assert_eq!(rows.len(), 500);
        let (second, again) = run_node(&p, &store, "even");
        let expected =
            FunctionSummary { computed: 0, reused: 1_000, dropped: 500, ..FunctionSummary::default() };
        assert_eq!(counts(&second, "even"), expected);
        assert_eq!(calls.load(Ordering::Relaxed), 100);
        assert_eq!(rows, again);
        assert_eq!(replay_node(&p, &store, "even"), rows);
    }
}

#[test]
fn refresh_makes_new_versions_current_and_older_recordings_keep_theirs() {
    let epoch = Arc::new(AtomicU64::new(1));
    let now = Arc::clone(&epoch);
    let mut p = Pipeline::new("refresh");
    let source = numbers(&mut p, 300, 30);
    let f = Function::new("stamp").version("1").takes(["n"]).gives::<u64>("epoch");
    let node = p.function("stamp", source, f.call(move |_: i64| Ok(now.load(Ordering::Relaxed)))).unwrap();
    let (_folder, store) = store();
    let (first, old) = run_node(&p, &store, "stamp");
    epoch.store(2, Ordering::Relaxed);
    p.set_cache(node, CacheMode::Refresh).unwrap();
    let (second, new) = run_node(&p, &store, "stamp");
    assert_eq!((counts(&second, "stamp").computed, counts(&second, "stamp").reused), (30, 270));
    assert!(old.iter().all(|r| r.contains("epoch=1")) && new.iter().all(|r| r.contains("epoch=2")));
    epoch.store(3, Ordering::Relaxed);
    p.set_cache(node, CacheMode::Reuse).unwrap();
    let (third, reused) = run_node(&p, &store, "stamp");
    assert_eq!(counts(&third, "stamp").computed, 0);
    assert_eq!(reused, new);
    let mut replay =
        store.replay_named("refresh", "stamp", &anabranch::Which::Run(first.run_id.clone())).unwrap();
    let chunk = replay.next().unwrap().unwrap();
    let epochs = chunk.column("epoch").unwrap().as_primitive::<arrow::datatypes::UInt64Type>().clone();
    assert!(epochs.values().iter().all(|e| *e == 1), "the first run's recording changed");
}

#[test]
fn without_a_cache_nothing_is_stored_and_without_a_version_there_is_none() {
    let mut p = Pipeline::new("off");
    let source = numbers(&mut p, 100, 10);
    let versioned = Function::new("a").version("1").takes(["n"]).gives::<i64>("a").call(|n: i64| Ok(n));
    let versioned = p.function("a", source, versioned).unwrap();
    p.set_cache(versioned, CacheMode::Off).unwrap();
    let bare = Function::new("b").takes(["n"]).gives::<i64>("b").call(|n: i64| Ok(n));
    let bare = p.function("b", source, bare).unwrap();
    assert_eq!(p.warnings().len(), 1, "{:?}", p.warnings());
    let (_folder, store) = store();
    for _ in 0..2 {
        let summary = p.run(&store).unwrap();
        for node in ["a", "b"] {
            assert!(counts(&summary, node).computed >= 10, "{summary:?}");
            assert_eq!(summary.node(node).unwrap().rows_out, 100);
        }
    }
    assert!(store.replay(&p, versioned).is_err());
    assert!(store.replay(&p, bare).is_err());
}

/// The error of a run of a function over ten numbers, one of them null.
fn failure(f: Function) -> String {
    let mut p = Pipeline::new("fails");
    let rows = (0..10)
        .map(|n: i64| [("id", n.into()), ("n", if n == 7 { serde_json::Value::Null } else { n.into() })]);
    let source = p.source("numbers", Rows::new(rows).tags(["id"])).unwrap();
    p.function("f", source, f).unwrap();
    let (_folder, store) = store();
    told(&p.run(&store).unwrap_err())
}

#[test]
fn a_packet_that_fails_panics_or_has_a_null_fails_the_run_and_says_why() {
    let f = || Function::new("f").version("1").takes(["n"]).gives::<i64>("out");
    let error = failure(
        f().call(|n: Option<i64>| if n == Some(3) { Err(PacketError::new("no threes")) } else { Ok(1_i64) }),
    );
    assert!(
        error.contains("node \"f\" failed")
            && error.ends_with("the function failed; what was computed before is kept: no threes"),
        "{error}"
    );
    let error =
        failure(f().call(|n: Option<i64>| if n == Some(3) { panic!("on purpose") } else { Ok(1_i64) }));
    assert!(error.contains("the function panicked") && error.ends_with("on purpose"), "{error}");
    let error = failure(f().call(|n: i64| Ok(n)));
    assert!(
        error.ends_with("column \"n\" is null, expected a value; take it as an Option to allow null"),
        "{error}"
    );
    let short = |_: &[ArrayRef], _: usize| {
        Ok(ChunkOutput { columns: vec![Arc::new(Int64Array::from(Vec::<i64>::new()))], keep: None })
    };
    let error = failure(f().call_chunk(short));
    assert!(error.contains("the function answered badly"), "{error}");
    let error = failure(f().call_async(|n: Option<i64>| async move {
        if n.is_none() { panic!("while waiting") } else { Ok(1_i64) }
    }));
    assert!(error.ends_with("while waiting"), "{error}");
}

#[test]
fn what_was_computed_before_a_failure_is_kept() {
    let broken = Arc::new(AtomicU64::new(1));
    let state = Arc::clone(&broken);
    let mut p = Pipeline::new("kept");
    let source = numbers(&mut p, 5_000, 5_000);
    let f = Function::new("f").version("1").takes(["n"]).gives::<i64>("out").call(move |n: i64| {
        if n == 4_999 && state.load(Ordering::Relaxed) == 1 {
            Err(PacketError::new("not yet"))
        } else {
            Ok(n)
        }
    });
    let node = p.function("f", source, f).unwrap();
    p.set_concurrency(node, std::num::NonZeroUsize::MIN).unwrap();
    let (_folder, store) = store();
    assert!(p.run(&store).is_err());
    assert!(store.replay(&p, node).is_err(), "a failed run looks whole");
    broken.store(0, Ordering::Relaxed);
    let summary = p.run(&store).unwrap();
    assert_eq!((counts(&summary, "f").computed, counts(&summary, "f").reused), (1, 4_999));
}

#[test]
fn async_and_chunk_closures_give_the_same_as_a_plain_one() {
    let mut results = Vec::new();
    for kind in 0..3 {
        let f = Function::new("f").version(format!("{kind}")).takes(["n"]).gives::<i64>("square").keep(true);
        let f = match kind {
            0 => f.call(|n: i64| Ok(n * n)),
            1 => f.call_async(|n: i64| async move {
                tokio_free_yield().await;
                Ok(n * n)
            }),
            _ => f.call_chunk(|columns, rows| {
                let n = columns[0].as_primitive::<Int64Type>();
                assert_eq!(n.len(), rows);
                let square: Int64Array = n.iter().map(|n| n.map(|n| n * n)).collect();
                Ok(ChunkOutput { columns: vec![Arc::new(square)], keep: None })
            }),
        };
        let mut p = Pipeline::new("kinds");
        let source = numbers(&mut p, 2_000, 700);
        p.function("f", source, f).unwrap();
        let (_folder, store) = store();
        let (summary, rows) = run_node(&p, &store, "f");
        assert_eq!(counts(&summary, "f").computed, 700);
        // The token of a computed value names the fingerprint, which the version changes.
        let data: Vec<String> =
            rows.iter().map(|r| r.split("|_source_square").next().unwrap().to_owned()).collect();
        results.push(data);
    }
    assert!(results[0] == results[1] && results[0] == results[2]);
}

/// Lets other tasks run once.
async fn tokio_free_yield() {
    let mut first = true;
    std::future::poll_fn(|context| {
        if std::mem::take(&mut first) {
            context.waker().wake_by_ref();
            std::task::Poll::Pending
        } else {
            std::task::Poll::Ready(())
        }
    })
    .await;
}

#[test]
fn a_dropped_handle_cancels_the_run_and_a_detached_one_goes_on() {
    let mut p = Pipeline::new("handles");
    let source = numbers(&mut p, 50_000, 50_000);
    let (first_call, called) = std::sync::mpsc::sync_channel(1);
    let f = Function::new("f").version("1").takes(["n"]).gives::<i64>("out").call(move |n: i64| {
        // Only the first call is waited for.
        let _ = first_call.try_send(());
        Ok((0..2_000).fold(n, |a, b| a.wrapping_mul(31).wrapping_add(b)))
    });
    let node = p.function("f", source, f).unwrap();
    let (_folder, store) = store();
    let handle = p.start(&store).unwrap();
    called.recv().unwrap();
    let cancelled = handle.canceller();
    drop(handle);
    assert!(cancelled.is_cancelled());
    // The next run waits for nothing of the cancelled one, and completes.
    let summary = p.run(&store).unwrap();
    assert_eq!(summary.node("f").unwrap().rows_out, 50_000);
    assert!(store.replay(&p, node).is_ok());
}

#[test]
fn a_chunk_closure_may_answer_in_any_physical_form_of_its_types() {
    let f = Function::new("f").version("1").takes(["n"]).gives::<String>("text");
    let f = f.call_chunk(|columns, _| {
        let texts = columns[0].as_primitive::<Int64Type>().values().iter().map(|n| Some(format!("n{n}")));
        Ok(ChunkOutput { columns: vec![Arc::new(texts.collect::<StringArray>())], keep: None })
    });
    let mut p = Pipeline::new("forms");
    let source = numbers(&mut p, 3, 3);
    p.function("f", source, f).unwrap();
    let (_folder, store) = store();
    let (_, rows) = run_node(&p, &store, "f");
    assert!(rows[2].contains("text=n2"), "{rows:?}");
}

#[test]
fn an_async_closure_that_blocks_does_not_hold_up_a_cancel() {
    for executor in [Executor::Async, Executor::Sync] {
        let mut p = Pipeline::new("blocks");
        p.settings_mut().executor = executor;
        let source = numbers(&mut p, 100, 100);
        let (first_call, called) = std::sync::mpsc::sync_channel(1);
        let (open, gate) = std::sync::mpsc::sync_channel::<()>(1);
        let gate = Arc::new(std::sync::Mutex::new(gate));
        let f = Function::new("f").version("1").takes(["n"]).gives::<i64>("out").call_async(move |n: i64| {
            let (first_call, gate) = (first_call.clone(), Arc::clone(&gate));
            async move {
                // Only the first call is waited for.
                let _ = first_call.try_send(());
                let _ = gate.lock().map(|gate| gate.recv());
                Ok(n)
            }
        });
        let node = p.function("f", source, f).unwrap();
        let (_folder, store) = store();
        let handle = p.start(&store).unwrap();
        called.recv().unwrap();
        handle.cancel();
        assert!(handle.wait().unwrap_err().is_cancelled());
        assert!(store.replay(&p, node).is_err(), "a cancelled run looks whole");
        // The calls could not end before the run did.
        drop(open);
    }
}
