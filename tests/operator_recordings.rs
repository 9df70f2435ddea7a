//! Operators that record: what is replayed is what was streamed, and what only feeds it does not run.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::format_push_string,
    reason = "a test that cannot go on panics, and its numbers are small"
)]

mod support;

use std::fs;
use std::path::Path;

use anabranch::{
    Csv, Derived, Executor, Filter, Function, Join, Pipeline, RecordMode, Rows, RunOptions, Semijoin, Sort,
    Summary, Which,
};
use support::{Numbers, random, replay_node, run_node, sorted, store, ways};

const SOURCES: [&str; 3] = ["one", "two", "few"];

fn set_all(pipeline: &mut Pipeline, mode: RecordMode) {
    let names: Vec<String> = pipeline.node_names().map(str::to_owned).collect();
    for name in names {
        let node = pipeline.node(&name).unwrap();
        let set = pipeline.set_recording(node, mode);
        // The last node is a function.
        let operator = !SOURCES.contains(&name.as_str()) && name != "last";
        assert_eq!(set.is_ok(), operator, "{name}: {set:?}");
    }
}

fn replayed(summary: &Summary) -> Vec<&str> {
    summary.nodes.iter().filter(|n| n.replayed).map(|n| n.name.as_str()).collect()
}

fn ran(summary: &Summary) -> Vec<&str> {
    summary.nodes.iter().map(|n| n.name.as_str()).collect()
}

#[test]
fn random_pipelines_whose_operators_are_replayed_give_what_they_gave_when_they_ran() {
    let ways = ways();
    let (mut served, mut with_rows) = (0, 0);
    for seed in 0..40 {
        let (mut pipeline, _) = random::random_pipeline(seed);
        let way = ways[seed as usize % ways.len()];
        way.set(&mut pipeline);
        set_all(&mut pipeline, RecordMode::Log);
        let operators: Vec<String> = pipeline
            .node_names()
            .filter(|name| !SOURCES.contains(name) && *name != "last")
            .map(str::to_owned)
            .collect();
        let (_folder, store) = store();
        let (first, expected) = run_node(&pipeline, &store, "last");
        assert_eq!(replayed(&first), Vec::<&str>::new());
        assert_eq!(ran(&first).len(), pipeline.node_names().count() + 1);
        let operator = &operators[Numbers(seed).below(operators.len() as u64) as usize];
        let (_, streamed) = run_node(&pipeline, &store, operator);
        let recorded = replay_node(&pipeline, &store, operator);
        assert!(recorded == streamed, "seed {seed}, {way:?}: {operator} is recorded otherwise");

        // The newest recording is what the second run streamed: as multisets both runs agree.
        set_all(&mut pipeline, RecordMode::Replay);
        ways[(seed as usize + 5) % ways.len()].set(&mut pipeline);
        let (second, rows) = run_node(&pipeline, &store, "last");
        let ordered = pipeline.contract(pipeline.node("last").unwrap()).unwrap().ordered;
        assert!(sorted(rows.clone()) == sorted(expected.clone()), "seed {seed}, {way:?}: rows differ");
        assert!(!ordered || rows == expected, "seed {seed}, {way:?}: order differs");
        let computed = second.node("last").unwrap().function.unwrap().computed;
        assert_eq!(computed, 0, "seed {seed}: packets differ");
        served += replayed(&second).len();
        with_rows += usize::from(!rows.is_empty());
        let (_, again) = run_node(&pipeline, &store, operator);
        assert!(again == streamed, "seed {seed}, {way:?}: {operator} is served otherwise");
    }
    assert!(served > 40, "only {served} operators were served");
    assert!(with_rows > 10, "only {with_rows} pipelines give rows");
}

/// `long` filters and sorts what is joined of two files; `speed` computes on it.
fn of_files(folder: &Path) -> Pipeline {
    let mut p = Pipeline::new("files");
    let a = p.source("a", Csv::new(folder.join("a.csv")).tags(["id"])).unwrap();
    let b = p.source("b", Csv::new(folder.join("b.csv")).tags(["id"])).unwrap();
    let both = p.operator("both", Join::new(), [a, b]).unwrap();
    let long = p.operator("long", Filter::predicate("miles > 2"), [both]).unwrap();
    let sorted = p.operator("sorted", Sort::by(["id"]), [long]).unwrap();
    p.function("speed", sorted, Function::sql("speed", [("s", "miles * hours")])).unwrap();
    p
}

fn write_files(folder: &Path, rows: u64) {
    let mut a = String::from("id,miles\n");
    let mut b = String::from("id,hours\n");
    for n in 0..rows {
        a += &format!("{n},{}\n", n * 3);
        b += &format!("{n},{}\n", n + 1);
    }
    fs::write(folder.join("a.csv"), a).unwrap();
    fs::write(folder.join("b.csv"), b).unwrap();
}

fn with_mode(pipeline: &mut Pipeline, node: &str, mode: RecordMode) {
    let handle = pipeline.node(node).unwrap();
    pipeline.set_recording(handle, mode).unwrap();
}

#[test]
fn sources_that_only_feed_a_replayed_node_are_not_opened() {
    let (folder, store) = store();
    write_files(folder.path(), 50);
    let mut p = of_files(folder.path());
    with_mode(&mut p, "long", RecordMode::Replay);
    let (first, expected) = run_node(&p, &store, "speed");
    assert_eq!(replayed(&first), Vec::<&str>::new(), "there was nothing to replay");
    fs::remove_file(folder.path().join("a.csv")).unwrap();
    fs::remove_file(folder.path().join("b.csv")).unwrap();
    for executor in [Executor::Async, Executor::Sync] {
        p.settings_mut().executor = executor;
        let (summary, rows) = run_node(&p, &store, "speed");
        assert_eq!(rows, expected);
        assert_eq!(ran(&summary), ["long", "sorted", "speed", "--out speed"]);
        assert_eq!(replayed(&summary), ["long"]);
        let long = summary.node("long").unwrap();
        assert_eq!((long.kind, long.rows_out, long.rows_in.len()), ("filter", 49, 0));
        let json = summary.to_json();
        assert_eq!(json["nodes"][0]["replayed"], true, "{json}");
        assert!(json["nodes"][1].get("replayed").is_none(), "{json}");
    }
    let refused = p.run_with(&store, &RunOptions { no_reuse: true, ..RunOptions::default() });
    assert!(refused.is_err(), "without reuse the operator runs, so that its sources are missed");
}

fn database(folder: &Path) -> rusqlite::Connection {
    rusqlite::Connection::open(folder.join("store/store.db")).unwrap()
}

/// Revisions of their code that the recordings of a store have.
fn revisions(folder: &Path) -> Vec<Option<String>> {
    let database = database(folder);
    let mut select = database.prepare("SELECT DISTINCT revisions FROM recordings ORDER BY node").unwrap();
    let found = select.query_map([], |row| row.get(0)).unwrap();
    found.collect::<Result<_, _>>().unwrap()
}

fn set_revisions(folder: &Path, text: Option<&str>) {
    database(folder).execute("UPDATE recordings SET revisions = ?1", [text]).unwrap();
}

#[test]
fn only_what_was_made_by_the_same_revisions_of_expressions_and_reading_is_replayed() {
    let (folder, store) = store();
    write_files(folder.path(), 20);
    let mut p = of_files(folder.path());
    with_mode(&mut p, "both", RecordMode::Replay);
    with_mode(&mut p, "long", RecordMode::Replay);
    let (_, expected) = run_node(&p, &store, "long");
    let now = |kind: &str| revisions(folder.path()).iter().flatten().any(|found| found.starts_with(kind));
    assert!(now("expressions=;reading="), "a join of files reads, and has no expression above it");
    assert!(now(&format!("expressions={};reading=", anabranch_expression::SEMANTICS_REVISION)));
    assert_eq!(replayed(&run_node(&p, &store, "long").0), ["long"]);
    for earlier in [
        Some("expressions=1;reading=1"),
        Some("expressions=2;reading=1"),
        Some("expressions=1;reading=2"),
        None,
    ] {
        set_revisions(folder.path(), earlier);
        let (again, rows) = run_node(&p, &store, "long");
        assert_eq!(replayed(&again), Vec::<&str>::new(), "{earlier:?}");
        assert_eq!(sorted(rows), sorted(expected.clone()));
        assert_eq!(replayed(&run_node(&p, &store, "long").0), ["long"], "the node was recorded anew");
    }
    // What reads an earlier recording depends on what made that one.
    set_revisions(folder.path(), Some("expressions=1;reading=1"));
    let derived = || {
        let mut derived = Pipeline::new("derived");
        let rows = derived.source("rows", Derived::of(&store, "files", "long")).unwrap();
        derived.operator("near", Filter::predicate("miles < 9"), [rows]).unwrap();
        with_mode(&mut derived, "near", RecordMode::Replay);
        derived
    };
    assert_eq!(replayed(&run_node(&derived(), &store, "near").0), Vec::<&str>::new());
    assert_eq!(revisions(folder.path()).last(), Some(&Some("expressions=1,2;reading=1".to_owned())));
    assert_eq!(replayed(&run_node(&derived(), &store, "near").0), ["near"]);
    run_node(&p, &store, "long");
    assert_eq!(replayed(&run_node(&derived(), &store, "near").0), Vec::<&str>::new());
}

#[test]
fn of_two_replayed_nodes_in_a_row_only_the_last_is_read() {
    let (folder, store) = store();
    write_files(folder.path(), 20);
    let mut p = of_files(folder.path());
    with_mode(&mut p, "both", RecordMode::Replay);
    with_mode(&mut p, "sorted", RecordMode::Replay);
    p.run(&store).unwrap();
    assert_eq!(ran(&p.run(&store).unwrap()), ["sorted", "speed"]);
    // A node whose rows are asked for has something to do.
    let (summary, rows) = run_node(&p, &store, "long");
    assert_eq!(ran(&summary), ["both", "long", "sorted", "speed", "--out long"]);
    assert_eq!((replayed(&summary), rows.len()), (vec!["both", "sorted"], 19));
    let until = RunOptions { until: p.node("both"), ..RunOptions::default() };
    assert_eq!(ran(&p.run_with(&store, &until).unwrap()), ["both"]);
}

#[test]
fn a_node_that_also_feeds_one_that_runs_does_run() {
    let (folder, store) = store();
    write_files(folder.path(), 20);
    let mut p = of_files(folder.path());
    with_mode(&mut p, "sorted", RecordMode::Replay);
    let a = p.node("a").unwrap();
    p.function("other", a, Function::sql("other", [("m", "miles + 1")])).unwrap();
    p.run(&store).unwrap();
    assert_eq!(ran(&p.run(&store).unwrap()), ["a", "sorted", "speed", "other"]);
}

#[test]
fn data_are_in_no_content_hash_so_that_a_run_without_reuse_is_what_reads_them_again() {
    let (folder, store) = store();
    write_files(folder.path(), 20);
    let mut p = of_files(folder.path());
    with_mode(&mut p, "long", RecordMode::Replay);
    p.run(&store).unwrap();
    write_files(folder.path(), 30);
    let mut p = of_files(folder.path());
    with_mode(&mut p, "long", RecordMode::Replay);
    assert_eq!(run_node(&p, &store, "long").1.len(), 19, "the recording is of the same content hash");
    p.run_with(&store, &RunOptions { no_reuse: true, ..RunOptions::default() }).unwrap();
    let (summary, rows) = run_node(&p, &store, "long");
    assert_eq!((rows.len(), replayed(&summary)), (29, vec!["long"]), "the newest recording is served");
}

#[test]
fn a_recording_of_another_pipeline_and_node_serves_if_its_content_hash_is_the_same() {
    let (folder, store) = store();
    write_files(folder.path(), 20);
    let mut p = of_files(folder.path());
    with_mode(&mut p, "long", RecordMode::Log);
    p.run(&store).unwrap();
    assert_eq!(replayed(&p.run(&store).unwrap()), Vec::<&str>::new(), "log never serves");
    let mut other = Pipeline::new("other");
    let a = other.source("a", Csv::new(folder.path().join("a.csv")).tags(["id"])).unwrap();
    let b = other.source("b", Csv::new(folder.path().join("b.csv")).tags(["id"])).unwrap();
    let both = other.operator("x", Join::new(), [b, a]).unwrap();
    let long = other.operator("y", Filter::predicate("miles > 2"), [both]).unwrap();
    let short = other.operator("z", Filter::predicate("miles > 3"), [both]).unwrap();
    other.set_recording(long, RecordMode::Replay).unwrap();
    other.set_recording(short, RecordMode::Replay).unwrap();
    let summary = other.run(&store).unwrap();
    assert_eq!(replayed(&summary), ["y"]);
    assert_eq!(ran(&summary), ["a", "b", "x", "y", "z"]);
    assert_eq!(replayed(&other.run(&store).unwrap()), ["y", "z"]);
}

#[test]
fn a_run_of_some_rows_neither_records_nor_replays() {
    let (folder, store) = store();
    write_files(folder.path(), 20);
    let mut p = of_files(folder.path());
    with_mode(&mut p, "long", RecordMode::Replay);
    let some = RunOptions { limit: Some(5), ..RunOptions::default() };
    p.run_with(&store, &some).unwrap();
    assert!(store.replay_named("files", "long", &Which::Last).is_err());
    p.run(&store).unwrap();
    let summary = p.run_with(&store, &some).unwrap();
    assert_eq!(replayed(&summary), Vec::<&str>::new());
    assert_eq!(summary.node("long").unwrap().rows_out, 4);
}

#[test]
fn an_empty_stream_is_recorded_and_served() {
    let (folder, store) = store();
    write_files(folder.path(), 0);
    let mut p = Pipeline::new("empty");
    let rows = Rows::new([[("id", 1.into()), ("n", 2.into())]]).tags(["id"]);
    let rows = p.source("rows", rows).unwrap();
    let none = p.operator("none", Filter::predicate("n > 2"), [rows]).unwrap();
    p.set_recording(none, RecordMode::Replay).unwrap();
    p.run(&store).unwrap();
    assert_eq!(replayed(&p.run(&store).unwrap()), ["none"]);
    assert_eq!(replay_node(&p, &store, "none"), Vec::<String>::new());
}

/// The right side has a line that cannot be read, far behind the lines that types are inferred from.
fn failing(folder: &Path) -> Pipeline {
    let mut text = String::from("key\n");
    for n in 0..90_000 {
        text += &format!("{n}\n");
    }
    text += "no number\n";
    fs::write(folder.join("right.csv"), text).unwrap();
    let mut p = Pipeline::new("failing");
    let left = p.source("left", Rows::new((0..10).map(|n| [("id", n.into())])).tags(["id"])).unwrap();
    let right = p.source("right", Csv::new(folder.join("right.csv"))).unwrap();
    let some = p.operator("some", Semijoin, [left, right]).unwrap();
    let kept = p.operator("kept", Filter::predicate("id >= 0"), [some]).unwrap();
    p.set_recording(some, RecordMode::Log).unwrap();
    p.set_recording(kept, RecordMode::Log).unwrap();
    p
}

#[test]
fn an_input_that_breaks_off_leaves_no_recording_also_where_its_rows_do_not_matter() {
    for executor in [Executor::Async, Executor::Sync] {
        let (folder, store) = store();
        let mut p = failing(folder.path());
        p.settings_mut().executor = executor;
        p.run(&store).unwrap_err();
        for node in ["some", "kept"] {
            let found = store.replay_named("failing", node, &Which::Last);
            assert!(found.is_err(), "{executor:?}: {node} looks whole");
        }
    }
}

#[test]
fn runs_that_record_the_same_rows_share_their_blocks() {
    let (folder, store) = store();
    write_files(folder.path(), 20_000);
    let mut p = of_files(folder.path());
    with_mode(&mut p, "sorted", RecordMode::Log);
    let blocks = || {
        let connection = rusqlite::Connection::open(folder.path().join("store/store.db")).unwrap();
        let count = "SELECT count(*), sum(bytes) FROM blocks";
        connection.query_row(count, [], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?))).unwrap()
    };
    p.run(&store).unwrap();
    let once = blocks();
    assert!(once.0 >= 3 && once.1 > 0, "{once:?}");
    for _ in 0..5 {
        p.run(&store).unwrap();
    }
    assert_eq!(blocks(), once);
    assert_eq!(store.replay_named("files", "sorted", &Which::All).unwrap().recordings().len(), 6);
}

#[test]
fn a_pipeline_file_says_log_or_replay_beside_an_operator_and_nothing_else() {
    let (folder, store) = store();
    write_files(folder.path(), 20);
    let yaml = "version: 1\nname: file\nnodes:\n  a: { csv: { path: a.csv, tags: [id] } }\n  b: { filter: { input: a, where: miles > 6 }, cache: replay }\n  c: { drop: { input: b, packets: [] }, cache: log }\n";
    let path = folder.path().join("p.yaml");
    fs::write(&path, yaml).unwrap();
    let p = Pipeline::from_yaml(&path).unwrap();
    p.run(&store).unwrap();
    let summary = p.run(&store).unwrap();
    assert_eq!((ran(&summary), replayed(&summary)), (vec!["b", "c"], vec!["b"]));
    let runs = store.replay_named("file", "c", &Which::All).unwrap();
    assert_eq!(runs.recordings().len(), 2);
    for (from, to, expected) in [
        ("cache: replay", "cache: reuse", "cache: reuse is not for operators"),
        ("cache: replay", "cache: cumulative", "cache: cumulative is not for operators"),
        ("[id] } }", "[id] }, cache: log }", "cache: log is not for sources"),
    ] {
        fs::write(&path, yaml.replacen(from, to, 1)).unwrap();
        let error = Pipeline::from_yaml(&path).unwrap_err().to_string();
        assert!(error.contains(expected) && error.contains("p.yaml:"), "{error}");
    }
}
