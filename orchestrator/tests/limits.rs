//! Runs of a part: what they write, what they keep, and how they are marked.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on panics, and its documents have the keys"
)]

mod support;

use serde_json::{Value, json};
use support::{Folder, node};

const PIPELINE: &str = "\
version: 1
name: parts
nodes:
  rows: { csv: { path: rows.csv, tags: [id], record_id: [id], source_id: rows }, cache: cumulative }
  some: { filter: { input: rows, where: \"n > 0\" }, cache: log }
  double: { function: { input: some, sql: { y: \"n * 2\" } } }
  other: { function: { input: rows, sql: { z: \"n * 3\" } } }
  out: { write: { input: double, csv: { path: out.csv } } }
  parts: { write: { input: other, csv: { path: parts }, partition_by: [id] } }
";

fn parts() -> Folder {
    let folder = Folder::new();
    folder.write("rows.csv", "id,n\na,1\nb,2\nc,3\n");
    folder.write("p.yaml", PIPELINE);
    folder
}

fn runs(folder: &Folder) -> Value {
    folder.json(&["runs", "p.yaml"])["runs"].take()
}

#[test]
fn a_run_of_some_rows_keeps_results_and_writes_nothing_else() {
    for executor in ["async", "sync"] {
        let folder = parts();
        let limited = ["run", "p.yaml", "--limit", "2", "--executor", executor];
        let first = folder.json(&limited);
        assert_eq!((&first["limit"], &first["until"]), (&json!(2), &Value::Null));
        assert_eq!(node(&first, "double")["computed"], 2);
        assert_eq!(node(&first, "other")["computed"], 2);
        assert!(first["nodes"].as_array().unwrap().iter().all(|node| node["kind"] != "write"));
        assert!(!folder.path("out.csv").exists() && !folder.path("parts").exists());
        for name in ["rows", "some", "double", "other"] {
            folder.failure(&["replay", "p.yaml", name]);
        }
        let whole = folder.json(&["run", "p.yaml", "--executor", executor]);
        assert_eq!(node(&whole, "double")["computed"], 1);
        assert_eq!(std::fs::read_to_string(folder.path("out.csv")).unwrap(), "id,y\na,2\nb,4\nc,6\n");
        // What is there already is left alone as well.
        folder.json(&limited);
        assert_eq!(std::fs::read_to_string(folder.path("out.csv")).unwrap(), "id,y\na,2\nb,4\nc,6\n");
        assert_eq!(folder.text(&["replay", "p.yaml", "double"]).lines().count(), 3);
        let marks: Vec<Value> =
            runs(&folder).as_array().unwrap().iter().map(|r| r["limit"].clone()).collect();
        assert_eq!(marks, [json!(2), Value::Null, json!(2)]);
        let text = folder.text(&["runs", "p.yaml"]);
        assert_eq!(text.matches("limit 2").count(), 2, "{text}");
    }
}

#[test]
fn a_run_up_to_a_node_records_and_writes_a_sink_only_if_it_is_one() {
    let folder = parts();
    let run = folder.json(&["run", "p.yaml", "--until", "double"]);
    assert_eq!((&run["limit"], &run["until"]), (&Value::Null, &json!("double")));
    assert!(!folder.path("out.csv").exists() && !folder.path("parts").exists());
    assert_eq!(folder.text(&["replay", "p.yaml", "double"]).lines().count(), 3);
    assert_eq!(folder.text(&["replay", "p.yaml", "some"]).lines().count(), 3);
    folder.failure(&["replay", "p.yaml", "other"]);
    folder.json(&["run", "p.yaml", "--until", "out"]);
    assert!(folder.path("out.csv").exists() && !folder.path("parts").exists());
    let both = folder.json(&["run", "p.yaml", "--until", "parts", "--limit", "1"]);
    assert_eq!((&both["limit"], &both["until"]), (&json!(1), &json!("parts")));
    assert!(!folder.path("parts").exists());
    let marks: Vec<Value> = runs(&folder).as_array().unwrap().iter().map(|r| r["until"].clone()).collect();
    assert_eq!(marks, ["parts", "out", "double"]);
    let text = folder.text(&["runs", "p.yaml"]);
    assert!(text.contains("limit 1, until parts"), "{text}");
}

#[test]
fn an_output_that_a_call_asks_for_is_written_whatever_the_run_is_limited_to() {
    let folder = parts();
    let lines = |name: &str| std::fs::read_to_string(folder.path(name)).unwrap().lines().count() - 1;
    folder.json(&["run", "p.yaml", "--limit", "2", "--out", "double=limited.csv"]);
    assert_eq!(lines("limited.csv"), 2);
    // A node that the last one does not need runs for its output.
    folder.json(&[
        "run",
        "p.yaml",
        "--until",
        "some",
        "--out",
        "other=beside.csv",
        "--out",
        "rows=above.csv",
    ]);
    assert_eq!((lines("beside.csv"), lines("above.csv")), (3, 3));
    folder.failure(&["replay", "p.yaml", "double"]);
    assert_eq!(folder.text(&["replay", "p.yaml", "other"]).lines().count(), 3);
    assert!(!folder.path("out.csv").exists() && !folder.path("parts").exists());
}

#[test]
fn a_run_that_fails_is_marked_too() {
    let folder = parts();
    folder.edit("p.yaml", "n * 3", "n / 0 + CAST('x' || n AS BIGINT)");
    folder.failure(&["run", "p.yaml", "--limit", "1"]);
    assert_eq!((&runs(&folder)[0]["limit"], &runs(&folder)[0]["status"]), (&json!(1), &json!("failed")));
}
