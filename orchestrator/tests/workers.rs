//! Worker processes of the program: none outlives it, however it ends.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on panics, and its documents have the keys"
)]

mod support;

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use support::{Folder, node};

/// A function that starts a process, says so, and hangs.
const HANGS: &str = "\
import subprocess, sys, time
subprocess.Popen(['sleep', '600'])
def f(n):
    if n >= 2:
        open('begun-%d' % n, 'w').close()
        time.sleep(600)
    return n
";

const PIPELINE: &str = "\
version: 1
name: hangs
nodes:
  rows: { rows: { tags: [id], rows: [ { id: 0, n: 0 }, { id: 1, n: 1 }, { id: 2, n: 2 }, { id: 3, n: 3 } ] } }
  f:
    function: { input: rows, python: { file: f.py, call: f }, gives: { m: int64 } }
    concurrency: 2
  each:
    function: { input: rows, command: { each: [./tool] }, takes: [n], gives: { m: int64 } }
    concurrency: 2
";

/// Processes that have a mark in their environment: all that a program has started has it.
fn marked(mark: &str) -> Vec<String> {
    let mut found = Vec::new();
    for process in std::fs::read_dir("/proc").unwrap().filter_map(Result::ok) {
        let environment = std::fs::read(process.path().join("environ")).unwrap_or_default();
        if environment.windows(mark.len()).any(|window| window == mark.as_bytes()) {
            found.push(std::fs::read_to_string(process.path().join("cmdline")).unwrap_or_default());
        }
    }
    found
}

fn wait_for(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_mins(1), "{what} did not come about");
        std::thread::yield_now();
    }
}

fn begin(folder: &Folder, mark: &str) -> Child {
    folder.write("f.py", HANGS);
    folder.write("tool", "#!/bin/sh\nsleep 600\n");
    let tool = Command::new("chmod").args(["+x", "tool"]).current_dir(folder.path("")).status().unwrap();
    assert!(tool.success());
    folder.write("pipeline.yaml", PIPELINE);
    let child = Command::new(env!("CARGO_BIN_EXE_anabranch"))
        .args(["run", "pipeline.yaml", "-q"])
        .current_dir(folder.path(""))
        .env("ANABRANCH_TEST_MARK", mark)
        .stderr(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    wait_for("the hanging calls", || folder.path("begun-2").exists() && folder.path("begun-3").exists());
    // The program, two workers with what they have started, two tools with theirs.
    wait_for("the tools", || marked(mark).iter().filter(|line| line.contains("sleep")).count() >= 4);
    child
}

#[test]
fn a_run_that_is_killed_leaves_no_process_behind() {
    let folder = Folder::new();
    let mark = format!("killed {}", folder.path("").display());
    let mut child = begin(&folder, &mark);
    child.kill().unwrap();
    child.wait().unwrap();
    wait_for("the end of all workers", || marked(&mark).is_empty());
}

#[test]
fn a_run_that_is_cancelled_leaves_no_process_behind_and_stops_soon() {
    let folder = Folder::new();
    let mark = format!("cancelled {}", folder.path("").display());
    let mut child = begin(&folder, &mark);
    let begun = Instant::now();
    let interrupt = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(interrupt.success());
    assert_eq!(child.wait().unwrap().code(), Some(4));
    assert!(begun.elapsed() < Duration::from_secs(10), "it took {:?}", begun.elapsed());
    wait_for("the end of all workers", || marked(&mark).is_empty());
}

#[test]
fn a_run_that_fails_leaves_no_process_behind_and_keeps_what_was_computed() {
    let folder = Folder::new();
    let mark = format!("failed {}", folder.path("").display());
    folder.write(
        "f.py",
        "import subprocess\nsubprocess.Popen(['sleep', '600'])\ndef f(n):\n    return 10 // (n - 3)\n",
    );
    folder.write(
        "pipeline.yaml",
        "\
version: 1
name: fails
nodes:
  rows: { rows: { rows: [ { n: 0 }, { n: 1 }, { n: 2 }, { n: 3 } ] } }
  f: { function: { input: rows, python: { file: f.py, call: f }, gives: { m: int64 } }, concurrency: 1 }
",
    );
    let output = Command::new(env!("CARGO_BIN_EXE_anabranch"))
        .args(["run", "pipeline.yaml", "-q"])
        .current_dir(folder.path(""))
        .env("ANABRANCH_TEST_MARK", &mark)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("ZeroDivisionError"), "{text}");
    wait_for("the end of all workers", || marked(&mark).is_empty());
}

#[test]
fn a_changed_module_computes_again_and_a_changed_file_beside_it_does_not() {
    let folder = Folder::new();
    folder.write("f.py", "import helper\ndef f(n):\n    return n * helper.FACTOR\n");
    folder.write("helper.py", "FACTOR = 2\n");
    folder.write(
        "pipeline.yaml",
        "\
version: 1
name: changes
secrets: { key: { env: ANABRANCH_TEST_KEY } }
nodes:
  rows: { rows: { rows: [ { n: 1 }, { n: 2 } ] } }
  f: { function: { input: rows, python: { file: f.py, call: f }, gives: { m: int64 } } }
",
    );
    let computed = || node(&folder.json(&["run", "pipeline.yaml"]), "f")["computed"].clone();
    assert_eq!(computed(), 2);
    assert_eq!(computed(), 0);
    folder.write("other.py", "FACTOR = 3\n");
    assert_eq!(computed(), 0);
    folder.write("helper.py", "FACTOR = 3\n");
    assert_eq!(computed(), 2);
    assert_eq!(folder.text(&["replay", "pipeline.yaml", "f"]), "{\"m\":3}\n{\"m\":6}\n");
}
