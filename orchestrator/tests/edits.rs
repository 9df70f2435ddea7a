//! Computations after an edit: exactly those that depend on it, each with its reason.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on panics, and its documents have the keys"
)]

mod support;

use serde_json::Value;
use support::{Folder, node};

const PIPELINE: &str = "\
version: 1
name: edits
params:
  factor: { type: int, default: 3 }
  unused: { type: int, default: 1 }
nodes:
  rows: { csv: { path: rows.csv, tags: [id], record_id: [id] } }
  scaled: { function: { input: rows, sql: { x: \"n * ${factor}\" }, keep: true } }
  score:
    function:
      input: scaled
      python: { file: score.py, call: score }
      takes: [x]
      gives: { s: int64 }
      version: \"1\"
    label: a label
    concurrency: 2
  doubled: { function: { input: rows, sql: { y: \"m + m\" } } }
";

const SCORE: &str = "import shared\n\n\ndef score(x):\n    return x + shared.OFFSET\n";

fn pipeline() -> Folder {
    let folder = Folder::new();
    folder.write("pipeline.yaml", PIPELINE);
    folder.write("rows.csv", "id,n,m\na,1,10\nb,2,20\nc,3,30\nd,3,40\n");
    folder.write("score.py", SCORE);
    folder.write("shared.py", "OFFSET = 1\n");
    let first = folder.json(&["run", "pipeline.yaml"]);
    assert_eq!(counts(&first), [3, 3, 4]);
    folder
}

/// Calls of `scaled`, `score` and `doubled`.
fn counts(summary: &Value) -> [i64; 3] {
    ["scaled", "score", "doubled"].map(|name| node(summary, name)["computed"].as_i64().unwrap())
}

/// The components that `explain` names for a node.
fn changed(folder: &Folder, name: &str, more: &[&str]) -> Vec<String> {
    let report = folder.json(&[&["explain", "pipeline.yaml", name], more].concat());
    let changes = report["changes"].as_array().unwrap();
    changes.iter().map(|change| change["component"].as_str().unwrap().to_owned()).collect()
}

fn run(folder: &Folder, more: &[&str]) -> [i64; 3] {
    counts(&folder.json(&[&["run", "pipeline.yaml"], more].concat()))
}

#[test]
fn a_line_of_the_python_file_concerns_its_function_alone() {
    let folder = pipeline();
    folder.edit("score.py", "x + shared", "2 * x + shared");
    assert_eq!(changed(&folder, "score", &[]), ["file score.py"]);
    assert_eq!(changed(&folder, "scaled", &[]), [""; 0]);
    assert_eq!(run(&folder, &[]), [0, 3, 0]);
    // Back again: the results are still there.
    folder.write("score.py", SCORE);
    assert_eq!(run(&folder, &[]), [0, 0, 0]);
}

#[test]
fn a_module_that_the_file_imports_concerns_it_as_well() {
    let folder = pipeline();
    folder.write("shared.py", "OFFSET = 2\n");
    assert_eq!(changed(&folder, "score", &[]), ["module shared.py"]);
    assert_eq!(run(&folder, &[]), [0, 3, 0]);
}

#[test]
fn a_version_concerns_its_function_alone() {
    let folder = pipeline();
    folder.edit("pipeline.yaml", "version: \"1\"", "version: \"2\"");
    assert_eq!(changed(&folder, "score", &[]), ["version"]);
    assert_eq!(run(&folder, &[]), [0, 3, 0]);
}

#[test]
fn a_parameter_concerns_what_uses_it_and_what_reads_other_packets_because_of_it() {
    let folder = pipeline();
    assert_eq!(changed(&folder, "scaled", &["--set", "factor=1"]), ["expressions"]);
    // 1, 2 and 3 instead of 3, 6 and 9: one packet of `score` has been seen before.
    assert_eq!(run(&folder, &["--set", "factor=1"]), [3, 2, 0]);
    assert_eq!(run(&folder, &["--set", "unused=7"]), [0, 0, 0]);
}

#[test]
fn order_of_columns_labels_and_names_of_nodes_concern_nothing() {
    let folder = pipeline();
    folder.write("rows.csv", "m,id,n\n10,a,1\n20,b,2\n30,c,3\n40,d,3\n");
    assert_eq!(run(&folder, &[]), [0, 0, 0]);
    folder.edit("pipeline.yaml", "label: a label", "label: another");
    folder.edit("pipeline.yaml", "concurrency: 2", "concurrency: 1");
    assert_eq!(run(&folder, &[]), [0, 0, 0]);
    folder.edit("pipeline.yaml", "rows: { csv", "lines: { csv");
    folder.edit("pipeline.yaml", "input: rows", "input: lines");
    assert_eq!(run(&folder, &[]), [0, 0, 0]);
}

#[test]
fn a_column_that_nobody_takes_and_a_new_row_concern_only_themselves() {
    let folder = pipeline();
    folder.write("rows.csv", "id,n,m,note\na,1,10,x\nb,2,20,y\nc,3,30,z\nd,3,40,z\n");
    assert_eq!(run(&folder, &[]), [0, 0, 0]);
    folder.write("rows.csv", "id,n,m,note\na,1,10,x\nb,2,20,y\nc,3,30,z\nd,3,40,z\ne,9,10,z\n");
    assert_eq!(run(&folder, &[]), [1, 1, 0]);
}
