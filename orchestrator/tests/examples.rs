//! Every example, run by the program as a user would, twice, in every executor, and replayed.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "a test that cannot go on panics, and its numbers are small"
)]

mod support;

use serde_json::Value;
use support::{Folder, copy_example, node, rows_of};

/// Folder, file, a function node, what is written.
const EXAMPLES: [(&str, &str, &str, &str); 4] = [
    ("flights", "pipeline.yaml", "speed", "out/speed.parquet"),
    ("flights", "daily.yaml", "late", "out/daily.parquet"),
    ("penguins", "pipeline.yaml", "ratio", "out/ratio.csv"),
    ("scores", "pipeline.yaml", "score", "out/grade.csv"),
];

#[test]
fn the_second_run_of_every_example_computes_nothing() {
    for (example, file, function, out) in EXAMPLES {
        let folder = copy_example(example);
        let first = folder.json(&["run", file]);
        assert!(node(&first, function)["computed"].as_u64().unwrap() > 100, "{first}");
        assert!(folder.path(out).metadata().unwrap().len() > 1_000);
        let second = folder.json(&["run", file]);
        let summary = node(&second, function);
        assert_eq!(summary["computed"], 0, "{second}");
        assert_eq!(summary["reused"], summary["rows_in"][0]);
        assert_eq!(summary["rows_out"], node(&first, function)["rows_out"]);
        assert_eq!(second["status"], "ok");
        for key in [
            "run_id",
            "pipeline",
            "pipeline_hash",
            "executor",
            "seconds",
            "peak_memory_bytes",
            "spilled_bytes",
        ] {
            assert!(!second[key].is_null(), "the summary lacks {key}");
        }
    }
}

#[test]
fn streaming_synchronous_and_replayed_rows_of_every_example_are_equal_with_their_provenance() {
    for (example, file, function, _) in EXAMPLES {
        let folder = copy_example(example);
        let mut seen: Option<Vec<Value>> = None;
        for executor in ["async", "sync"] {
            let out = format!("{function}={executor}.jsonl");
            folder.json(&["run", file, "--executor", executor, "--out", &out, "--columns", "all"]);
            let rows = rows_of(&folder.path(&format!("{executor}.jsonl")));
            let replayed = format!("{executor}-replayed.jsonl");
            folder.json(&["replay", file, function, "--columns", "all", "--out", &replayed]);
            assert!(
                rows_of(&folder.path(&replayed)) == rows,
                "{example}/{file}: replay differs from the {executor} run"
            );
            let mut sorted = rows;
            sorted.sort_by_cached_key(ToString::to_string);
            assert!(sorted.len() > 100);
            assert!(
                *seen.get_or_insert_with(|| sorted.clone()) == sorted,
                "{example}/{file}: executors differ"
            );
        }
    }
}

#[test]
fn the_daily_example_has_every_flight_once_in_order_in_a_row_for_its_day_and_airport() {
    let folder = copy_example("flights");
    let mut seen = Vec::new();
    for executor in ["async", "sync"] {
        let out = format!("daily={executor}.jsonl");
        let summary = folder.json(&["run", "daily.yaml", "--executor", executor, "--out", &out]);
        let (registered, others) = (node(&summary, "registered"), node(&summary, "others"));
        let rows_in = registered["rows_in"][0].as_u64();
        assert_eq!(
            registered["rows_out"].as_u64().zip(others["rows_out"].as_u64()).map(|(a, b)| a + b),
            rows_in
        );
        let rows = rows_of(&folder.path(&format!("{executor}.jsonl")));
        let list = |row: &Value, name: &str| row[name].as_array().unwrap().clone();
        let flights: usize = rows.iter().map(|row| list(row, "late").len()).sum();
        assert_eq!(Some(flights as u64), rows_in);
        for row in &rows {
            let hours: Vec<i64> = list(row, "hour").iter().filter_map(Value::as_i64).collect();
            assert!(hours.is_sorted(), "{row}");
            assert!(row["origin"].is_string() && row["day"].is_i64(), "{row}");
        }
        seen.push(rows);
    }
    // Twelve days, three airports.
    assert_eq!(seen[0].len(), 36);
    assert!(seen[0] == seen[1], "the executors differ");
}

#[test]
fn replay_works_when_the_sources_are_gone_and_the_pipeline_was_edited() {
    let folder = copy_example("penguins");
    folder.json(&["run", "pipeline.yaml"]);
    let before = folder.json(&["replay", "pipeline.yaml", "ratio"]);
    assert_eq!(before["warning"], Value::Null);
    let rows = before["rows"].as_array().unwrap().len();
    assert_eq!(rows, 342);
    std::fs::remove_file(folder.path("data/penguins.csv")).unwrap();
    let after = folder.json(&["replay", "pipeline.yaml", "ratio"]);
    assert_eq!(after["rows"], before["rows"]);
    assert!(after["warning"].as_str().unwrap().contains("cannot be planned now"), "{}", after["warning"]);
    let some =
        folder.json(&["replay", "pipeline.yaml", "ratio", "--where", "species = 'Gentoo' AND ratio > 3"]);
    let some = some["rows"].as_array().unwrap().len();
    assert!(some > 0 && some < rows);
}

#[test]
fn replay_says_so_when_the_pipeline_has_changed_since() {
    let folder = copy_example("penguins");
    folder.json(&["run", "pipeline.yaml"]);
    folder.edit("pipeline.yaml", "bill_length_mm IS NOT NULL", "bill_length_mm > 40");
    let replayed = folder.json(&["replay", "pipeline.yaml", "ratio"]);
    assert_eq!(replayed["warning"], "the pipeline has changed since these rows were recorded");
    assert_eq!(replayed["rows"].as_array().unwrap().len(), 342);
}

#[test]
fn runs_are_listed_with_their_summaries_the_newest_first() {
    let folder = copy_example("penguins");
    assert_eq!(folder.json(&["runs", "pipeline.yaml"])["runs"], Value::Array(vec![]));
    let first = folder.json(&["run", "pipeline.yaml"]);
    let second = folder.json(&["run", "pipeline.yaml"]);
    let listed = folder.json(&["runs", "pipeline.yaml"]);
    let ids: Vec<&Value> = listed["runs"].as_array().unwrap().iter().map(|r| &r["run_id"]).collect();
    assert_eq!(ids, [&second["run_id"], &first["run_id"]]);
    assert_eq!(listed["runs"][0]["summary"]["nodes"], second["nodes"]);
    let of_first = first["run_id"].as_str().unwrap();
    let replayed = folder.json(&["replay", "pipeline.yaml", "ratio", "--run", of_first]);
    assert_eq!(replayed["runs"], serde_json::json!([of_first]));
    let all = folder.json(&["replay", "pipeline.yaml", "ratio", "--all"]);
    assert_eq!(all["rows"].as_array().unwrap().len(), 2 * 342);
}

#[test]
fn parameters_change_the_run_and_until_and_limit_cut_it() {
    let folder = copy_example("flights");
    let all = folder.json(&["run", "pipeline.yaml"]);
    let far = folder.json(&["run", "pipeline.yaml", "--set", "min_distance=2000"]);
    let (all, far) = (node(&all, "long")["rows_out"].as_u64(), node(&far, "long")["rows_out"].as_u64());
    assert!(far < all && far > Some(100), "{far:?} of {all:?}");
    let until = folder.json(&["run", "pipeline.yaml", "--until", "fleet"]);
    let names: Vec<&str> =
        until["nodes"].as_array().unwrap().iter().filter_map(|n| n["name"].as_str()).collect();
    assert_eq!(names, ["planes", "fleet"]);
    let limited = folder.json(&["run", "pipeline.yaml", "--limit", "10", "--until", "flights"]);
    assert_eq!(node(&limited, "flights")["rows_out"], 10);
    let again = folder.json(&["run", "pipeline.yaml", "--no-reuse"]);
    assert!(node(&again, "speed")["computed"].as_u64() > Some(100));
}

#[test]
fn the_builder_example_runs_twice_and_the_second_run_computes_nothing() {
    let root = support::root();
    let folder = Folder::new();
    support::copy_folder(&root.join("examples/flights"), &folder.path("examples/flights"));
    let run = || {
        let output = std::process::Command::new(support::built_example("builder"))
            .current_dir(folder.path(""))
            .output()
            .unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{text}");
        let line = text.lines().find(|l| l.starts_with("speed")).unwrap().to_owned();
        (line, text.lines().last().unwrap().to_owned())
    };
    let (first, replayed) = run();
    let (second, again) = run();
    assert!(!first.contains(" 0 computed"), "{first}");
    assert!(second.contains(" 0 computed"), "{second}");
    assert_eq!(replayed, again);
}

#[test]
fn pictures_schema_and_completions_are_printed() {
    let folder = copy_example("flights");
    let mermaid = folder.text(&["graph", "pipeline.yaml", "--as", "mermaid"]);
    assert!(mermaid.starts_with("flowchart LR\n"), "{mermaid}");
    assert_eq!(mermaid.matches(" --> ").count(), 4 + 5 + 1 + 1 + 1);
    assert!(folder.text(&["graph", "pipeline.yaml", "--as", "dot"]).starts_with("digraph \"flights\""));
    let schema: Value = serde_json::from_str(&folder.text(&["schema"])).unwrap();
    assert!(schema["$schema"].as_str().unwrap().contains("2020-12"));
    assert!(folder.text(&["completions", "bash"]).contains("anabranch"));
}
