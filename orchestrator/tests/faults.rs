//! Whatever is wrong: a clear error with its place, the right exit code, nothing half-written.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::format_push_string,
    reason = "a test that cannot go on panics, and its numbers are small"
)]

mod support;

use std::process::Command;

use support::{Folder, copy_example, root};

/// Rows and the pipeline that reads them, with one text replaced.
fn pipeline(from: &str, to: &str) -> Folder {
    let folder = Folder::new();
    folder.write("rows.csv", "id,n,text\n1,10,a\n2,20,b\n3,,c\n");
    let text = "\
version: 1
name: small
nodes:
  rows: { csv: { path: rows.csv, tags: [id] } }
  some: { filter: { input: rows, where: \"n > 5\" } }
  twice: { function: { input: some, sql: { twice: \"n * 2\" }, keep: true } }
  out: { write: { input: twice, parquet: { path: out/rows.parquet } } }
";
    assert!(text.contains(from));
    folder.write("pipeline.yaml", &text.replacen(from, to, 1));
    folder
}

/// The pipeline is refused: exit code 2, the place and the texts in the message, nothing written.
fn refused(from: &str, to: &str, place: &str, texts: &[&str]) {
    let folder = pipeline(from, to);
    let before = folder.entries();
    for command in ["run", "check"] {
        let (code, message) = folder.failure(&[command, "pipeline.yaml"]);
        assert_eq!(code, 2, "{message}");
        for text in texts.iter().chain([&place]) {
            assert!(message.contains(text), "{command}: \"{text}\" is missing in:\n{message}");
        }
    }
    assert_eq!(folder.entries(), before, "something was written");
}

#[test]
fn a_pipeline_without_faults_runs() {
    let folder = pipeline("small", "small");
    let summary = folder.json(&["run", "pipeline.yaml"]);
    assert_eq!(support::node(&summary, "out")["rows_in"][0], 2);
    assert!(folder.entries().contains(&"out/rows.parquet".to_owned()));
    assert!(!folder.entries().iter().any(|e| e.contains(".tmp")), "{:?}", folder.entries());
}

#[test]
fn a_missing_column_is_named_with_its_place_and_the_nearest_name() {
    refused("n > 5", "nn > 5", "pipeline.yaml:5:", &["node \"some\"", "\"nn\"", "did you mean \"n\""]);
    refused("tags: [id]", "tags: [idd]", "pipeline.yaml:4:", &["\"idd\"", "did you mean \"id\""]);
}

#[test]
fn a_wrong_type_is_named_with_what_was_found_and_expected() {
    refused("where: \"n > 5\"", "where: \"n + 5\"", "pipeline.yaml:5:", &["int64", "bool"]);
    refused("tags: [id]", "tags: 7", "pipeline.yaml:4:", &["tags"]);
    refused("n * 2", "n * text", "pipeline.yaml:6:", &["twice"]);
}

#[test]
fn an_unknown_key_is_named_with_the_nearest_one() {
    refused("input: some", "imput: some", "pipeline.yaml:6:", &["imput", "did you mean \"input\""]);
    refused("name: small", "nam: small", "pipeline.yaml:2:", &["nam", "did you mean \"name\""]);
}

#[test]
fn a_cycle_is_told_with_its_nodes() {
    refused("input: rows", "input: twice", "pipeline.yaml:", &["cycle", "some", "twice"]);
}

#[test]
fn a_missing_node_and_a_missing_file_are_told() {
    refused("input: rows", "input: row", "pipeline.yaml:5:", &["\"row\"", "did you mean \"rows\""]);
    refused("path: rows.csv", "path: no/rows.csv", "pipeline.yaml:4:", &["rows.csv"]);
}

#[test]
fn all_errors_of_a_file_are_told_together() {
    let folder = pipeline("small", "small");
    folder.edit("pipeline.yaml", "tags: [id]", "tagz: [id]");
    folder.edit("pipeline.yaml", "keep: true", "keep: maybe");
    let (code, message) = folder.failure(&["check", "pipeline.yaml"]);
    assert_eq!(code, 2);
    assert!(message.contains("tagz") && message.contains("keep"), "{message}");
}

#[test]
fn with_format_json_there_is_one_document_also_for_what_is_wrong() {
    let folder = pipeline("input: some", "imput: some");
    let output = folder.run(&["check", "pipeline.yaml", "--format", "json"]);
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["status"], "wrong");
    assert_eq!(document["diagnostics"][0]["line"], 6, "{document}");
}

/// The run fails: exit code 1, the texts in the message, no output and no recording.
fn fails(folder: &Folder, texts: &[&str]) {
    let (code, message) = folder.failure(&["run", "pipeline.yaml"]);
    assert_eq!(code, 1, "{message}");
    for text in texts {
        assert!(message.contains(text), "\"{text}\" is missing in:\n{message}");
    }
    let entries = folder.entries();
    assert!(!entries.iter().any(|e| e.starts_with("out")), "left behind: {entries:?}");
    assert_eq!(folder.failure(&["replay", "pipeline.yaml", "twice"]).0, 2, "a failed run looks whole");
}

#[test]
fn a_row_with_too_many_fields_fails_the_run_with_file_and_line() {
    let folder = pipeline("small", "small");
    // Behind the part of the file that is read for its types.
    let mut rows = String::from("id,n,text\n");
    for id in 0..70_000 {
        rows.push_str(&format!("{id},10,a\n"));
    }
    folder.write("rows.csv", &format!("{rows}70000,1,b,extra\n"));
    fails(&folder, &["rows.csv:70002", "4 fields", "3"]);
    folder.write("rows.csv", &format!("{rows}70000,ten,b\n"));
    fails(&folder, &["rows.csv:70002", "\"n\"", "types"]);
}

#[test]
fn a_failed_run_has_its_id_in_the_document_and_is_listed_as_failed() {
    let folder = pipeline("small", "small");
    let mut rows = String::from("id,n,text\n");
    for id in 0..70_000 {
        rows.push_str(&format!("{id},10,a\n"));
    }
    folder.write("rows.csv", &format!("{rows}70000,ten,b\n"));
    let output = folder.run(&["run", "pipeline.yaml", "--format", "json"]);
    assert_eq!(output.status.code(), Some(1));
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["status"], "failed");
    assert_eq!(document["nodes"][0]["name"], "rows", "{document}");
    assert!(document["nodes"][0]["rows_out"].as_u64().is_some_and(|rows| rows > 0), "{document}");
    let listed = folder.json(&["runs", "pipeline.yaml"]);
    assert_eq!(listed["runs"][0]["run_id"], document["run_id"]);
    assert_eq!(listed["runs"][0]["status"], "failed");
}

#[test]
fn a_truncated_parquet_file_is_told_when_it_is_planned_or_read() {
    let folder = copy_example("flights");
    let path = folder.path("data/flights.parquet");
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    let (code, message) = folder.failure(&["run", "pipeline.yaml"]);
    assert_eq!(code, 2);
    assert!(message.contains("flights.parquet") && message.contains("pipeline.yaml:"), "{message}");
    assert!(!folder.path("out").exists());
    // Whole at its end, but damaged within: this shows only when rows are read.
    let mut torn = whole.clone();
    torn[1_000..60_000].fill(0xff);
    std::fs::write(&path, torn).unwrap();
    let (code, message) = folder.failure(&["run", "pipeline.yaml"]);
    assert_eq!(code, 1, "{message}");
    assert!(message.contains("flights.parquet"), "{message}");
    assert!(!folder.path("out").exists(), "{:?}", folder.entries());
}

#[test]
fn a_store_that_is_a_file_is_refused() {
    let folder = pipeline("small", "small");
    folder.write("store", "not a folder");
    let (code, message) = folder.failure(&["run", "pipeline.yaml", "--store", "store"]);
    assert_eq!(code, 1);
    assert!(message.contains("store") && message.contains("folder"), "{message}");
    assert!(!folder.path("out").exists());
}

#[test]
fn wrong_calls_have_exit_code_2() {
    let folder = pipeline("small", "small");
    let calls: [&[&str]; 7] = [
        &["run"],
        &["run", "nothing.yaml"],
        &["run", "pipeline.yaml", "--until", "sum"],
        &["run", "pipeline.yaml", "--out", "twice=rows.doc"],
        &["run", "pipeline.yaml", "--set", "x=1"],
        &["replay", "pipeline.yaml", "twice"],
        &["fly"],
    ];
    for call in calls {
        let (code, message) = folder.failure(call);
        assert_eq!(code, 2, "{call:?}: {message}");
        assert!(message.len() > 20, "{call:?}: {message}");
    }
}

#[test]
fn a_full_disk_fails_the_run_and_the_next_one_goes_on() {
    let folder = copy_example("flights");
    let disk = folder.path("disk");
    std::fs::create_dir(&disk).unwrap();
    let program = env!("CARGO_BIN_EXE_anabranch");
    // A file system of 600 KiB in a mount namespace of its own; then the same store with room.
    let script = format!(
        "mount -t tmpfs -o size=600k tmpfs {disk} || exit 90
         cp -r data pipeline.yaml {disk}/.. 2>/dev/null
         {program} run pipeline.yaml --store {disk}/store; echo code $?
         find {disk} {out} -name '*.parquet' -o -name '*.tmp' 2>/dev/null | sed 's/^/left /'
         mount -o remount,size=200m {disk} || exit 91
         {program} run pipeline.yaml --store {disk}/store -q && echo second ok",
        disk = disk.display(),
        out = folder.path("out").display(),
    );
    let root = Command::new("id").arg("-u").output().unwrap().stdout == b"0\n";
    let namespaces: &[&str] = if root { &["--mount"] } else { &["--user", "--map-root-user", "--mount"] };
    let output = Command::new("unshare")
        .args(namespaces)
        .args(["sh", "-c", &script])
        .current_dir(folder.path(""))
        .output()
        .unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}{err}");
    assert!(out.contains("code 1\n"), "{out}{err}");
    assert!(err.contains("full") || err.contains("No space left"), "{err}");
    assert!(!out.contains("left "), "{out}");
    assert!(out.contains("second ok"), "{out}{err}");
}

#[test]
fn an_interrupt_cancels_the_run_within_a_second_with_exit_code_4() {
    use std::io::{BufRead as _, BufReader, Read as _};
    let folder = Folder::new();
    // A cross join that would go on for very long.
    let mut rows = String::from("a,b\n");
    for n in 0..40_000 {
        rows.push_str(&format!("{n},{n}\n"));
    }
    folder.write("left.csv", &rows);
    folder.write("right.csv", &rows.replace("a,b", "c,d"));
    folder.write(
        "pipeline.yaml",
        "version: 1\nname: long\nnodes:\n  l: { csv: { path: left.csv, tags: [a] } }\n  r: { csv: { path: right.csv, tags: [c] } }\n  x: { join: { inputs: [l, r], cross: true } }\n  out: { write: { input: x, csv: { path: out.csv } } }\n",
    );
    let mut child = Command::new(env!("CARGO_BIN_EXE_anabranch"))
        .args(["run", "pipeline.yaml"])
        .current_dir(folder.path(""))
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    // The first line of progress comes when the run is well under way.
    let mut errors = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    errors.read_line(&mut line).unwrap();
    assert!(line.contains("rows"), "{line}");
    let asked = std::time::Instant::now();
    Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    let status = child.wait().unwrap();
    assert!(asked.elapsed().as_millis() < 1_500, "took {:?}", asked.elapsed());
    let mut rest = String::new();
    errors.read_to_string(&mut rest).unwrap();
    assert_eq!(status.code(), Some(4), "{rest}");
    let left: Vec<String> = folder.entries().into_iter().filter(|e| e.contains("out")).collect();
    assert!(left.is_empty(), "left behind: {left:?}");
    assert!(root().exists());
}
