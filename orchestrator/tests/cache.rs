//! `cache`: what a store holds, what it takes, what may go, whether it is whole.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on panics")]

mod support;

use support::Folder;

/// A pipeline of one function that has run so many times, over other rows each time.
fn pipeline(runs: usize) -> Folder {
    let folder = Folder::new();
    let text = "\
version: 1
name: small
nodes:
  rows: { csv: { path: rows.csv, tags: [id] } }
  twice: { function: { input: rows, sql: { twice: \"n * 2\" }, keep: true } }
";
    folder.write("pipeline.yaml", text);
    for run in 0..runs {
        let rows: Vec<String> = (0..20_000).map(|n| format!("{n},{}", n * 7 + run)).collect();
        folder.write("rows.csv", &format!("id,n\n{}\n", rows.join("\n")));
        folder.text(&["run", "pipeline.yaml", "-q"]);
    }
    folder
}

#[test]
fn the_store_is_listed_and_measured() {
    let folder = pipeline(2);
    let held = folder.json(&["cache", "ls", "pipeline.yaml"]);
    let functions = held["functions"].as_array().unwrap();
    assert_eq!((functions.len(), &functions[0]["name"]), (1, &"twice".into()));
    assert_eq!(functions[0]["results"], 40_000);
    let recordings = held["recordings"].as_array().unwrap();
    assert_eq!((recordings.len(), &recordings[0]["rows"]), (2, &20_000.into()));
    assert!(folder.text(&["cache", "ls", "pipeline.yaml"]).contains("40000"));
    let size = folder.json(&["cache", "size", "pipeline.yaml"]);
    assert!(size["disk_bytes"].as_u64().unwrap() > size["result_bytes"].as_u64().unwrap());
    assert_eq!((&size["results"], &size["garbage_bytes"]), (&40_000.into(), &0.into()));
}

#[test]
fn garbage_is_predicted_and_then_removed() {
    let folder = pipeline(3);
    let call = ["cache", "gc", "pipeline.yaml", "--keep-runs", "1"];
    let predicted = folder.json(&[&call[..], &["--dry-run"]].concat());
    assert_eq!(predicted["removed"][0]["recordings"], 2);
    assert_eq!(folder.json(&["cache", "ls", "pipeline.yaml"])["recordings"].as_array().unwrap().len(), 3);
    let removed = folder.json(&call);
    assert_eq!(removed["record_bytes"], predicted["record_bytes"]);
    assert_eq!(folder.json(&["cache", "ls", "pipeline.yaml"])["recordings"].as_array().unwrap().len(), 1);
    let text = folder.text(&call);
    assert!(text.contains("kept") && text.contains("of the newest complete runs"), "{text}");
    let (code, message) = folder.failure(&["cache", "gc", "pipeline.yaml", "--keep-runs", "0"]);
    assert_eq!(code, 2, "{message}");
}

#[test]
fn what_others_depend_on_is_dropped_only_by_force() {
    let folder = pipeline(1);
    let call = ["cache", "drop", "pipeline.yaml", "--function", "twice"];
    let refused = folder.run(&call);
    assert_eq!(refused.status.code(), Some(2));
    let text = String::from_utf8(refused.stdout).unwrap();
    assert!(text.contains("node \"twice\" of pipeline \"small\"") && text.contains("--force"), "{text}");
    let dropped = folder.json(&[&call[..], &["--force"]].concat());
    assert_eq!((&dropped["results"], &dropped["status"]), (&20_000.into(), &"ok".into()));
    let (code, message) = folder.failure(&call);
    assert_eq!(code, 2);
    assert!(message.contains("found nothing in the store of function \"twice\""), "{message}");
    let summary = folder.json(&["run", "pipeline.yaml", "-q"]);
    assert_eq!(support::node(&summary, "twice")["computed"], 20_000);
    assert!(folder.text(&["cache", "drop", "pipeline.yaml", "twice"]).contains("1 recordings"));
    assert_eq!(folder.failure(&["cache", "drop", "pipeline.yaml"]).0, 2);
}

#[test]
fn damage_is_told_and_is_exit_code_one() {
    let folder = pipeline(1);
    assert!(folder.text(&["cache", "verify", "pipeline.yaml"]).contains("the store is whole"));
    let path = folder.path(".anabranch/store.db");
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let output = folder.run(&["cache", "verify", "pipeline.yaml", "--format", "json"]);
    assert_eq!(output.status.code(), Some(1));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["status"], "damaged");
    assert!(!report["faults"].as_array().unwrap().is_empty());
}

#[test]
fn a_store_that_is_not_there_is_not_made() {
    let folder = pipeline(0);
    let (code, message) = folder.failure(&["cache", "size", "pipeline.yaml"]);
    assert_eq!(code, 2);
    assert!(message.contains("found no store") && !folder.path(".anabranch").exists(), "{message}");
}
