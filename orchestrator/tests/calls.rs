//! Calls that a person gets wrong: what they see, what a program reads, what stays as it was.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on panics, and its documents have the keys"
)]

mod support;

use serde_json::Value;
use support::Folder;

const PIPELINE: &str = "\
version: 1
name: small
nodes:
  rows: { csv: { path: \"data/*.csv\", tags: [id] } }
  upper: { function: { input: rows, sql: { upper: \"UPPER(text)\" } } }
";

fn small() -> Folder {
    let folder = Folder::new();
    folder.write("data/rows.csv", "id,text\n1,a\n2,\n");
    folder.write("pipeline.yaml", PIPELINE);
    folder
}

#[test]
fn a_call_that_cannot_be_parsed_is_one_document_for_programs_and_nothing_for_people_on_standard_output() {
    let folder = small();
    for call in [
        &["run", "pipeline.yaml", "--limit", "x", "--format", "json"][..],
        &["--format=json", "run"],
        &["--format", "json", "nothing"],
        &["run", "pipeline.yaml", "--out", "rows", "--format=json"],
    ] {
        let output = folder.run(call);
        assert_eq!(output.status.code(), Some(2), "{call:?}");
        let document: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(document["status"], "wrong");
        let error = document["error"].as_str().unwrap();
        assert!(!error.is_empty() && !error.contains("Usage"), "{error}");
    }
    for call in [&["run", "--", "--format=json", "--format", "json"][..], &["nothing"]] {
        let output = folder.run(call);
        assert_eq!(output.status.code(), Some(2));
        assert!(output.stdout.is_empty(), "{call:?}");
    }
    let help = folder.run(&["--format", "json", "--help"]);
    assert!(help.status.success() && help.stderr.is_empty());
}

#[test]
fn nothing_is_written_over_what_a_source_reads() {
    let folder = small();
    let rows = std::fs::read_to_string(folder.path("data/rows.csv")).unwrap();
    for path in ["data/rows.csv", "./data/../data/rows.csv"] {
        let (code, message) = folder.failure(&["run", "pipeline.yaml", "--out", &format!("rows={path}")]);
        assert_eq!(code, 2);
        assert!(message.contains("which source \"rows\" reads"), "{message}");
    }
    folder.text(&["run", "pipeline.yaml"]);
    let (code, message) = folder.failure(&["replay", "pipeline.yaml", "upper", "--out", "data/rows.csv"]);
    assert_eq!(code, 2);
    assert!(message.contains("which source \"rows\" reads"), "{message}");
    for sink in [
        "csv: { path: data/rows.csv }",
        "csv: { path: data }, partition_by: [id]",
        "csv: { path: ./data/rows.csv }, if_exists: replace",
    ] {
        // Sink and source may stand in either order, since neither needs the other.
        let node = format!("\n  out: {{ write: {{ input: other, {sink} }} }}");
        let other = "\n  other: { rows: { tags: [id], rows: [ { id: 1, n: 2 } ] } }";
        for text in [
            format!("{PIPELINE}{other}{node}\n"),
            PIPELINE.replace("nodes:", &format!("nodes:{other}{node}")),
        ] {
            folder.write("pipeline.yaml", &text);
            let (code, message) = folder.failure(&["check", "pipeline.yaml"]);
            assert_eq!(code, 2);
            assert!(message.contains("which source \"rows\" reads"), "{message}");
        }
    }
    assert_eq!(std::fs::read_to_string(folder.path("data/rows.csv")).unwrap(), rows);
    let free =
        format!("{PIPELINE}  out: {{ write: {{ input: rows, parquet: {{ path: data/rows.parquet }} }} }}\n");
    folder.write("pipeline.yaml", &free);
    folder.text(&["run", "pipeline.yaml"]);
}

#[test]
fn an_output_that_its_format_cannot_hold_is_a_wrong_call() {
    let folder = small();
    folder.write(
        "lists.yaml",
        "version: 1\nname: lists\nnodes:\n  rows: { rows: { rows: [ { l: [1, 2] } ] } }\n",
    );
    let before = folder.entries();
    let (code, message) = folder.failure(&["run", "lists.yaml", "--out", "rows=out.csv"]);
    assert_eq!(code, 2);
    assert!(message.contains("column \"l\" is list<int64>"), "{message}");
    assert_eq!(folder.entries(), before);
}

#[test]
fn who_only_reads_makes_no_store() {
    let folder = small();
    let before = folder.entries();
    assert_eq!(folder.json(&["runs", "pipeline.yaml"])["runs"], Value::Array(Vec::new()));
    let (code, message) = folder.failure(&["replay", "pipeline.yaml", "upper", "--store", "data"]);
    assert_eq!(code, 2);
    assert!(message.contains("found no store in data"), "{message}");
    assert_eq!(folder.entries(), before);
}

#[test]
fn expressions_without_a_kernel_run_in_every_executor() {
    let folder = small();
    for executor in ["sync", "async"] {
        let summary = folder.json(&["run", "pipeline.yaml", "--executor", executor, "--no-reuse"]);
        assert_eq!(support::node(&summary, "upper")["computed"], 2);
        let rows = folder.text(&["replay", "pipeline.yaml", "upper", "--where", "LOWER(upper) = 'a'"]);
        assert_eq!(rows, "{\"id\":1,\"upper\":\"A\"}\n");
    }
}

#[test]
fn a_run_that_left_packets_out_finishes_with_exit_code_3_and_says_how_many() {
    let folder = small();
    folder.write("data/rows.csv", "id,text\n1,12\n2,x\n3,7\n4,x\n");
    for (on_error, counted) in [("skip", "skipped"), ("set_aside", "set_aside")] {
        folder.write(
            "pipeline.yaml",
            &format!(
                "version: 1\nname: small\nsettings: {{ on_error: stop }}\nnodes:\n  rows: {{ csv: {{ path: \"data/*.csv\", tags: [id] }} }}\n  n: {{ function: {{ input: rows, sql: {{ n: \"CAST(text AS BIGINT)\" }} }}, on_error: {on_error} }}\n"
            ),
        );
        for executor in ["sync", "async"] {
            let output =
                folder.run(&["run", "pipeline.yaml", "--no-reuse", "--format=json", "--executor", executor]);
            assert_eq!(output.status.code(), Some(3), "{}", String::from_utf8_lossy(&output.stderr));
            let document: Value = serde_json::from_slice(&output.stdout).unwrap();
            assert_eq!(document["status"], "ok");
            let node = support::node(&document, "n");
            assert_eq!((&node["computed"], &node[counted]), (&Value::from(2), &Value::from(2)), "{node}");
            assert_eq!((&node["rows_in"][0], &node["rows_out"]), (&Value::from(4), &Value::from(2)));
        }
        let rows = folder.text(&["replay", "pipeline.yaml", "n"]);
        assert_eq!(rows, "{\"id\":1,\"n\":12}\n{\"id\":3,\"n\":7}\n");
    }
}

#[test]
fn verify_beside_a_node_compares_and_replay_needs_results() {
    let folder = small();
    let knob = |cache: &str| {
        folder.write(
            "pipeline.yaml",
            &PIPELINE.replace("(text)\" } }", &format!("(text)\" }} }}, cache: {cache}")),
        );
    };
    knob("replay");
    let (code, message) = folder.failure(&["run", "pipeline.yaml"]);
    assert_eq!(code, 1);
    assert!(message.contains("node \"upper\"") && message.contains("found no result"), "{message}");
    knob("reuse");
    folder.text(&["run", "pipeline.yaml"]);
    knob("replay");
    assert_eq!(support::node(&folder.json(&["run", "pipeline.yaml"]), "upper")["reused"], 2);
    knob("verify");
    let summary = folder.json(&["run", "pipeline.yaml"]);
    assert_eq!(support::node(&summary, "upper")["verified"]["same"], 2, "{summary}");
}
