//! The README as a newcomer follows it: every command that it shows, as it stands, in a copy of the examples.

#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on panics")]

mod support;

use std::path::Path;
use std::process::Command;

use serde_json::Value;
use support::{Folder, copy_folder, root};

/// The blocks of a language.
fn blocks(language: &str) -> Vec<String> {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let mut found: Vec<String> = Vec::new();
    let mut open = None;
    for line in readme.lines() {
        match (line.strip_prefix("```"), open) {
            (Some(begun), None) => {
                open = Some(begun == language);
                found.extend((begun == language).then(String::new));
            }
            (Some(_), Some(_)) => open = None,
            (None, Some(true)) => {
                let block = found.last_mut().unwrap();
                block.push_str(line);
                block.push('\n');
            }
            (None, _) => {}
        }
    }
    assert!(open.is_none() && !found.is_empty(), "no block of {language}, or one without an end");
    found
}

/// The commands of all blocks for a shell, without their remarks.
fn commands() -> Vec<String> {
    let lines = blocks("sh").concat();
    let command = |line: &str| line.split(" # ").next().unwrap().trim().to_owned();
    lines.lines().map(command).filter(|line| !line.is_empty()).collect()
}

/// Judge of a command's output, in the folder that it left behind.
type Judge = fn(&str, &Path);

fn rows_of(text: &str, node: &str) -> Vec<String> {
    let row =
        text.lines().find(|line| line.starts_with(node)).unwrap_or_else(|| panic!("no {node} in {text}"));
    row.split_whitespace().map(str::to_owned).collect()
}

fn sees_a_first_run(text: &str, folder: &Path) {
    // node, kind, rows in, rows out, computed
    assert!(rows_of(text, "speed")[4].parse::<u64>().unwrap() > 3_000, "{text}");
    assert!(folder.join("examples/flights/out/speed.parquet").metadata().unwrap().len() > 10_000);
}

fn sees_that_nothing_is_computed(text: &str, _: &Path) {
    let speed = rows_of(text, "speed");
    assert_eq!(speed[4], "0", "{text}");
    assert!(speed[5].parse::<u64>().unwrap() > 1_000, "{text}");
}

fn sees_provenance_in_a_file(text: &str, folder: &Path) {
    assert!(text.contains("flights: ok in "), "{text}");
    let written = std::fs::read_to_string(folder.join("long.csv")).unwrap();
    assert!(written.lines().next().unwrap().contains("_tag_record_id::"), "{written:.400}");
    assert!(written.lines().count() > 1_000);
}

fn sees_fast_flights(text: &str, _: &Path) {
    let rows: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(!rows.is_empty());
    assert!(rows.iter().all(|row| row["mph"].as_f64().unwrap() > 520.0));
}

fn sees_runs(text: &str, _: &Path) {
    assert!(text.lines().filter(|line| line.contains("  ok  ")).count() >= 3, "{text}");
}

fn sees_what_would_be_computed_and_why(text: &str, _: &Path) {
    let speed = rows_of(text, "speed");
    assert!(speed[4].parse::<u64>().unwrap() > 100 && text.contains("new packets"), "{text}");
    assert!(text.lines().last().unwrap().contains("calls to compute"), "{text}");
}

fn sees_five_rows(text: &str, _: &Path) {
    assert!(text.contains("mph") && text.contains("\n5 of "), "{text}");
    assert!(text.lines().count() >= 8, "{text}");
}

fn sees_source_rows(text: &str, _: &Path) {
    assert!(
        text.contains("flight=1545") && text.contains("├─ from ") && text.contains("planes::tailnum="),
        "{text}"
    );
    assert!(text.contains("mph = "), "{text}");
}

fn sees_what_was_checked(text: &str, _: &Path) {
    let speed = rows_of(text, "speed");
    assert_eq!(speed[3..5], ["100", "100"], "{text}");
    assert!(text.contains("everything that was checked is what the store has"), "{text}");
}

fn sees_functions_and_recordings(text: &str, _: &Path) {
    assert!(text.lines().filter(|line| line.contains("speed")).count() >= 3, "{text}");
}

fn sees_a_picture(text: &str, _: &Path) {
    assert!(
        text.starts_with("flowchart") && text.contains("speed<br/>function") && text.contains(" --> "),
        "{text}"
    );
}

fn sees_a_schema(text: &str, folder: &Path) {
    assert_eq!(text, "");
    let schema = std::fs::read_to_string(folder.join("pipeline.schema.json")).unwrap();
    let schema: Value = serde_json::from_str(&schema).unwrap();
    assert_eq!(schema["title"], "anabranch pipeline");
}

/// For the beginning of a command, what there is to see.
const WORTH_SEEING: [(&str, Judge); 14] = [
    ("cargo run -- run examples/flights/pipeline.yaml", sees_a_first_run),
    ("anabranch check ", |text, _| assert!(text.contains("ok: pipeline \"flights\", 13 nodes"), "{text}")),
    ("anabranch run examples/flights/pipeline.yaml --set ", sees_that_nothing_is_computed),
    ("anabranch run examples/flights/pipeline.yaml --out ", sees_provenance_in_a_file),
    ("anabranch replay ", sees_fast_flights),
    ("anabranch runs ", sees_runs),
    ("anabranch plan ", sees_what_would_be_computed_and_why),
    ("anabranch show ", sees_five_rows),
    ("anabranch trace ", sees_source_rows),
    ("anabranch verify ", sees_what_was_checked),
    ("anabranch cache ls ", sees_functions_and_recordings),
    ("anabranch store backup ", |text, _| assert!(text.contains("copied the store to backup, "), "{text}")),
    ("anabranch graph ", sees_a_picture),
    ("anabranch schema ", sees_a_schema),
];

#[test]
fn every_command_of_the_readme_prints_something_worth_seeing() {
    let folder = Folder::new();
    copy_folder(&root().join("examples"), &folder.path("examples"));
    let program = env!("CARGO_BIN_EXE_anabranch");
    let mut seen = Vec::new();
    for command in commands() {
        // These are the tests.
        if command == "cargo test" {
            continue;
        }
        let judges: Vec<usize> =
            (0..WORTH_SEEING.len()).filter(|at| command.starts_with(WORTH_SEEING[*at].0)).collect();
        let [judge] = judges[..] else { panic!("nothing is known to be worth seeing of {command}") };
        // The program has been built already, and the alias of the README is one of an interactive shell.
        let line = command.replacen("cargo run --", "anabranch", 1);
        let script = format!("anabranch() {{ \"$PROGRAM\" \"$@\"; }}\n{line}");
        let mut shell = Command::new("sh");
        let shell = shell.args(["-c", &script]).env("PROGRAM", program).current_dir(folder.path("."));
        let output = shell.output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{command}: {error}");
        assert!(!error.contains("warning"), "{command}: {error}");
        (WORTH_SEEING[judge].1)(&String::from_utf8(output.stdout).unwrap(), &folder.path("."));
        seen.push(judge);
    }
    seen.sort_unstable();
    assert_eq!(seen, (0..WORTH_SEEING.len()).collect::<Vec<_>>(), "the README shows other commands");
}

#[test]
fn what_the_readme_shows_of_pipelines_stands_in_the_examples() {
    let examples = ["flights/pipeline.yaml", "scores/pipeline.yaml"];
    let files = examples.map(|name| std::fs::read_to_string(root().join("examples").join(name)).unwrap());
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    for block in blocks("yaml") {
        // A mapping may be broken into lines there.
        let flat = |text: &str| words(&text.replace(['{', '}', ','], " "));
        let shown = flat(&block);
        let first = shown.split(' ').next().unwrap().to_owned();
        let file = files.iter().map(|file| flat(file)).find(|file| file.contains(&format!(" {first} ")));
        let file = file.unwrap_or_else(|| panic!("no example has {first}"));
        for word in shown.split(' ') {
            assert!(file.contains(word), "{word} of the README is not in the example of {first}");
        }
    }
}
