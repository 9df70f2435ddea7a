//! Reports of the program about state that left memory.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on panics")]

mod support;

use std::fmt::Write as _;

use support::{Folder, rows_of};

/// A semijoin and a sort of the rows of two files, in so little memory.
fn pipeline(memory_limit: &str) -> String {
    format!(
        "version: 1\nname: spilling\nsettings: {{ memory_limit: {memory_limit} }}\nnodes:\n  left: {{ csv: {{ path: left.csv, tags: [id] }} }}\n  right: {{ csv: {{ path: right.csv, tags: [id] }} }}\n  both: {{ semijoin: {{ left: left, right: right }} }}\n  ordered: {{ sort: {{ input: both, by: [id] }} }}\n"
    )
}

#[test]
fn the_summary_counts_what_left_memory_and_the_rows_are_the_same() {
    let folder = Folder::new();
    for (name, column, step) in [("left", "text", 7), ("right", "other", 11)] {
        let mut csv = format!("id,{column}\n");
        for row in 0..20_000 {
            writeln!(csv, "{},a text of some length {row}", row * step % 20_011).unwrap();
        }
        folder.write(&format!("{name}.csv"), &csv);
    }
    let mut seen = Vec::new();
    for (memory_limit, spills) in [("2GiB", false), ("64KiB", true)] {
        folder.write("pipeline.yaml", &pipeline(memory_limit));
        for executor in ["async", "sync"] {
            let out = format!("ordered={executor}.jsonl");
            let arguments =
                ["run", "pipeline.yaml", "--executor", executor, "--out", &out, "--columns", "all"];
            let summary = folder.json(&arguments);
            assert_eq!(summary["spilled_bytes"].as_u64().unwrap() > 100_000, spills, "{summary}");
            seen.push(rows_of(&folder.path(&format!("{executor}.jsonl"))));
        }
    }
    assert!(seen[0].len() > 15_000);
    assert!(seen.iter().all(|rows| *rows == seen[0]), "rows differ with little memory");
}
