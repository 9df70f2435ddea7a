//! Rows of SQLite databases through whole pipelines: equal in every executor, reused, replayed, and refused with a reason.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::format_push_string,
    reason = "a test that cannot go on panics, and its numbers are small"
)]

mod support;

use std::fs;
use std::path::Path;

use anabranch::{Executor, Format, Pipeline, RunOptions, Store, Summary, WriteSpec};
use rusqlite::Connection;
use support::{read_arrow, told};

const NODES: &str = r#"version: 1
name: database
nodes:
  visits: { sqlite: { path: clinic.db, table: visits, tags: [subject], record_id: [id] } }
  adults: { sqlite: { path: clinic.db, query: "SELECT subject, age FROM subjects WHERE age >= 18 ORDER BY subject", tags: [subject] } }
  seen: { semijoin: { left: visits, right: adults } }
  named: { map: { input: seen, copy: { who: subject } } }
  rated: { function: { input: named, sql: { label: "who || ':' || CAST(score * 2 AS VARCHAR)" }, keep: true } }
  once: { distinct: { input: rated, by: [who, label] } }
"#;

/// A database of 600 visits by 40 subjects, of whom some are minors.
fn clinic(folder: &Path) -> Connection {
    let database = Connection::open(folder.join("clinic.db")).unwrap();
    database
        .execute_batch(
            "PRAGMA journal_mode = WAL;
             CREATE TABLE subjects (subject TEXT, age INTEGER);
             CREATE TABLE visits (id INTEGER PRIMARY KEY, subject TEXT, score REAL, note VARCHAR(20), raw BLOB);
             WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 39)
             INSERT INTO subjects SELECT printf('s%02d', i), 10 + i FROM n;
             WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 599)
             INSERT INTO visits SELECT i, printf('s%02d', i % 40), (i % 7) / 4.0,
                 CASE WHEN i % 5 > 0 THEN 'n' || (i % 3) END, zeroblob(i % 3) FROM n;",
        )
        .unwrap();
    database
}

fn run(folder: &Path, store: &Store, executor: Executor) -> (Summary, Vec<String>) {
    let mut pipeline = Pipeline::from_yaml(folder.join("pipeline.yaml")).unwrap();
    pipeline.settings_mut().executor = executor;
    let path = folder.join("once.arrow");
    let outputs = vec![(pipeline.node("once").unwrap(), WriteSpec::new(Format::Arrow, &path))];
    let summary = pipeline.run_with(store, &RunOptions { outputs, ..RunOptions::default() }).unwrap();
    (summary, read_arrow(&path))
}

#[test]
fn rows_of_a_database_pass_distinct_and_copies_alike_in_both_executors_and_are_reused() {
    let folder = tempfile::tempdir().unwrap();
    let database = clinic(folder.path());
    fs::write(folder.path().join("pipeline.yaml"), NODES).unwrap();
    let store = Store::open(folder.path().join("store")).unwrap();
    let (first, streamed) = run(folder.path(), &store, Executor::Async);
    // Adults are s08 to s39. A subject's visits are 40 apart, so that each of the 7 scores comes with it.
    let expected = database.query_row(
        "SELECT COUNT(DISTINCT subject || score) FROM visits WHERE subject >= 's08'",
        [],
        |row| row.get::<_, i64>(0),
    );
    assert_eq!(streamed.len() as i64, expected.unwrap());
    assert_eq!(first.node("seen").unwrap().rows_out, 480);
    let computed = first.node("rated").unwrap().function.unwrap().computed;
    assert!(computed > 0);

    let (second, synchronous) = run(folder.path(), &store, Executor::Sync);
    assert_eq!(synchronous, streamed);
    assert_eq!(second.node("rated").unwrap().function.unwrap().computed, 0);

    database.execute("UPDATE visits SET score = 99 WHERE id = 599", []).unwrap();
    let (third, _) = run(folder.path(), &store, Executor::Async);
    assert_eq!(third.node("rated").unwrap().function.unwrap().computed, 1);

    let pipeline = Pipeline::from_yaml(folder.path().join("pipeline.yaml")).unwrap();
    let replay = store.replay(&pipeline, pipeline.node("rated").unwrap()).unwrap();
    assert_eq!(replay.map(|chunk| chunk.unwrap().rows()).sum::<usize>(), 480);
}

/// The error of a pipeline with this source.
fn refusal(folder: &Path, source: &str) -> String {
    let file = folder.join("wrong.yaml");
    fs::write(&file, format!("version: 1\nname: wrong\nnodes:\n  a: {{ sqlite: {source} }}\n")).unwrap();
    told(&Pipeline::from_yaml(&file).unwrap_err())
}

#[test]
fn a_database_that_cannot_be_read_as_named_is_refused_with_its_place_and_a_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let _database = clinic(folder.path());
    fs::write(
        folder.path().join("text.db"),
        "no database, but long enough to have a header of its own\n".repeat(20),
    )
    .unwrap();
    let cases = [
        ("{ path: gone.db, table: t }", "gone.db"),
        ("{ path: text.db, table: t }", "text.db"),
        ("{ path: clinic.db, table: visit }", "visits"),
        ("{ path: clinic.db, table: visits, query: SELECT 1 }", "table"),
        ("{ path: clinic.db }", "table"),
        ("{ path: clinic.db, query: DELETE FROM visits }", "clinic.db"),
        ("{ path: clinic.db, query: SELEC 1 }", "SELEC"),
        ("{ path: clinic.db, table: visits, tags: [subjct] }", "did you mean \"subject\"?"),
    ];
    for (source, expected) in cases {
        let error = refusal(folder.path(), source);
        assert!(error.starts_with("wrong.yaml:4:") || error.contains("wrong.yaml:4:"), "{source}: {error}");
        assert!(error.contains(expected), "{source}: {error}");
    }
    assert!(!folder.path().join("gone.db").exists(), "a database is never created");
    let count = Connection::open(folder.path().join("clinic.db")).unwrap();
    let count = count.query_row("SELECT COUNT(*) FROM visits", [], |row| row.get::<_, i64>(0));
    assert_eq!(count.unwrap(), 600);
}
