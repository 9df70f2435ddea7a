//! A store after a crash at any write, and under a disk that fails at any write.

#![allow(
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    reason = "a test that cannot go on panics, and its numbers are small"
)]

mod disk;
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::{Arc, Mutex};

use anabranch::{
    ChunkRows, Columns, Function, Pipeline, ReplayError, Rows, RunError, RunOptions, RunState, Store, Which,
};
use disk::{Crash, Fault};
use support::{Numbers, read_arrow, texts};

/// Rows of the first runs; the last ones have twice as many.
const ROWS: i64 = 16;

/// A value that left the first function, and how many operations the disk had done by then.
#[derive(Debug, Clone, Copy)]
struct Event {
    number: i64,
    value: i64,
    operations: usize,
}

type Events = Arc<Mutex<Vec<Event>>>;

/// Numbers, each stamped with the epoch in which it was computed, and a function behind that sees what is emitted.
fn pipeline(rows: i64, epoch: i64, events: &Events) -> Pipeline {
    let mut p = Pipeline::new("crash");
    let one = NonZeroUsize::new(1).unwrap();
    p.settings_mut().concurrency = one;
    p.settings_mut().channel_capacity = one;
    p.settings_mut().chunk_rows = ChunkRows::Fixed(NonZeroUsize::new(5).unwrap());
    let rows = (0..rows).map(|n| [("id", n.into()), ("n", n.into())]);
    let source = p.source("numbers", Rows::new(rows).tags(["id"])).unwrap();
    let stamp = Function::new("stamp").version("1").takes(["n"]).gives::<i64>("value");
    let stamped = p.function("stamp", source, stamp.call(move |n: i64| Ok(n * 1_000 + epoch))).unwrap();
    let events = Arc::clone(events);
    let seen =
        Function::new("seen").version("1").takes(["value"]).gives::<i64>("twice").call(move |value: i64| {
            let event = Event { number: value / 1_000, value, operations: disk::count() };
            events.lock().unwrap().push(event);
            Ok(value * 2)
        });
    p.function("seen", stamped, seen).unwrap();
    p
}

/// A run that ended.
#[derive(Debug)]
struct Ran {
    run: String,
    rows: Vec<String>,
    computed: u64,
    /// Operations of the disk until its end.
    operations: usize,
}

fn run(store: &Store, p: &Pipeline, no_reuse: bool) -> Result<Ran, RunError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rows.arrow");
    let spec = anabranch::WriteSpec {
        columns: Columns::All,
        ..anabranch::WriteSpec::new(anabranch::Format::Arrow, &path)
    };
    let outputs = vec![(p.node("stamp").unwrap(), spec)];
    let summary = p.run_with(store, &RunOptions { outputs, no_reuse, ..RunOptions::default() })?;
    Ok(Ran {
        run: summary.run_id.clone(),
        rows: read_arrow(&path),
        computed: summary.node("stamp").unwrap().function.unwrap().computed,
        operations: disk::count(),
    })
}

fn replayed(store: &Store, which: &Which) -> Result<Vec<String>, ReplayError> {
    let replay = store.replay_named("crash", "stamp", which)?;
    let origins = Arc::clone(replay.origins());
    Ok(replay.flat_map(|chunk| texts(&chunk.unwrap().to_batch(Columns::All, &origins).unwrap())).collect())
}

/// The stamped values of rows, by number.
fn values(rows: &[String]) -> BTreeMap<i64, i64> {
    let value = |row: &String| {
        let text = row.rsplit("value=").next().unwrap();
        text.split(|c: char| !c.is_ascii_digit()).next().unwrap().parse::<i64>().unwrap()
    };
    rows.iter().map(|row| (value(row) / 1_000, value(row))).collect()
}

/// Stamps that a number may have, once everything up to an operation is there for sure.
fn allowed(events: &[Event], number: i64, at: usize, epoch: i64) -> BTreeSet<i64> {
    let of_number: Vec<&Event> = events.iter().filter(|e| e.number == number).collect();
    match of_number.iter().rposition(|e| e.operations <= at) {
        Some(kept) => of_number[kept..].iter().map(|e| e.value).collect(),
        None => of_number.iter().map(|e| e.value).chain([number * 1_000 + epoch]).collect(),
    }
}

/// Holds a store that something befell against what had been said before.
fn check(folder: &Path, ran: &[Ran], events: &[Event], at: usize, place: &str) {
    let store = Store::open(folder).unwrap_or_else(|e| panic!("{place}: {e}"));
    let runs = store.runs(None).unwrap();
    for run in ran {
        let listed = runs.iter().find(|listed| listed.start.run == run.run);
        let ended = listed.is_some_and(|r| matches!(&r.state, RunState::Ended(end) if end.status == "ok"));
        let promised = run.operations <= at;
        assert!(ended || !promised, "{place}: run {} is {listed:?}", run.run);
        match replayed(&store, &Which::Run(run.run.clone())) {
            Ok(rows) => assert_eq!(rows, run.rows, "{place}: run {}", run.run),
            Err(ReplayError::Missing { .. }) => assert!(!promised, "{place}: run {} is gone", run.run),
            Err(error) => panic!("{place}: run {}: {error}", run.run),
        }
    }
    let after = run(&store, &pipeline(2 * ROWS, 9, &Events::default()), false)
        .unwrap_or_else(|e| panic!("{place}: {e}"));
    let found = values(&after.rows);
    assert_eq!(found.keys().copied().collect::<Vec<_>>(), (0..2 * ROWS).collect::<Vec<_>>(), "{place}");
    for (number, value) in &found {
        let allowed = allowed(events, *number, at, 9);
        assert!(allowed.contains(value), "{place}: {number} has {value}, expected one of {allowed:?}");
    }
    let new = found.values().filter(|value| **value % 1_000 == 9).count();
    assert_eq!(after.computed, new as u64, "{place}");
    assert_eq!(replayed(&store, &Which::Last).unwrap(), after.rows, "{place}");
}

#[test]
fn after_a_crash_at_any_write_nothing_that_was_said_is_lost_or_wrong() {
    let _disk = disk::take();
    let folder = tempfile::tempdir().unwrap();
    let events = Events::default();
    disk::record();
    let mut ran = Vec::new();
    for (rows, epoch, no_reuse) in [(ROWS, 1, false), (ROWS, 2, true), (2 * ROWS, 3, false)] {
        // A store of its own, so that opening and closing are among what is interrupted.
        let store = Store::open(folder.path()).unwrap();
        ran.push(run(&store, &pipeline(rows, epoch, &events), no_reuse).unwrap());
    }
    let log = disk::recorded();
    let events = events.lock().unwrap().clone();
    assert!(log.0.len() > 100, "only {:?}", disk::kinds(&log));
    assert!(events.len() >= 48 && events.iter().any(|e| e.operations < log.0.len() / 2));
    for at in 0..=log.0.len() {
        for crash in [Crash::Clean, if at % 2 == 0 { Crash::Torn } else { Crash::Reordered }] {
            let image = tempfile::tempdir().unwrap();
            log.image(at, crash, &mut Numbers(at as u64), folder.path(), image.path());
            let place = format!("{crash:?} crash before operation {at} of {}", log.0.len());
            check(image.path(), &ran, &events, at, &place);
        }
    }
}

#[test]
fn a_disk_that_fails_at_any_write_fails_the_run_and_keeps_what_was_committed() {
    let _disk = disk::take();
    let mut failed = 0;
    let mut at = 0;
    loop {
        let mut reached = false;
        for (fault, failing) in
            [(Fault::Full, usize::MAX), (Fault::Io, usize::MAX), (Fault::Full, 1), (Fault::Io, 1)]
        {
            let folder = tempfile::tempdir().unwrap();
            let events = Events::default();
            let place = format!("{fault:?} at operation {at}, {failing} times");
            disk::fail(at, failing, fault);
            let outcome = Store::open(folder.path())
                .map_err(RunError::from)
                .and_then(|store| run(&store, &pipeline(ROWS, 1, &events), false));
            reached |= disk::count() > at;
            disk::heal();
            let mut events = events.lock().unwrap().clone();
            // What was committed before the fault, but not emitted, may be there as well.
            let computed = |number| Event { number, value: number * 1_000 + 1, operations: usize::MAX };
            events.extend((0..ROWS).map(computed));
            let ran = match outcome {
                Ok(ran) => vec![ran],
                Err(error) => {
                    failed += 1;
                    assert!(disk_is_named(&error), "{place}: {error:?}");
                    Vec::new()
                }
            };
            // What was said is there, whatever failed later.
            check(folder.path(), &ran, &events, usize::MAX - 1, &place);
        }
        if !reached {
            break;
        }
        at += 1;
    }
    assert!(at > 30 && failed > at, "{failed} of {at} operations");
}

/// True if an error or one of its causes is about the disk.
fn disk_is_named(error: &RunError) -> bool {
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    let mut text = String::new();
    while let Some(error) = cause {
        text += &error.to_string();
        cause = error.source();
    }
    ["disk", "full", "I/O", "room"].iter().any(|word| text.contains(word))
}
