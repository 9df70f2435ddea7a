//! Standard input, pipes and devices as sources: read once, front to back, and never waited for without end.

#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on panics")]

mod support;

use std::io::Write as _;
use std::os::unix::net::UnixListener;
use std::process::{Command, Output, Stdio};
use std::thread::JoinHandle;

use support::Folder;

/// Rows beyond the prefix from which types are inferred.
const ROWS: u64 = 70_000;

fn csv() -> String {
    (0..ROWS).fold("n\n".to_owned(), |text, n| text + &n.to_string() + "\n")
}

fn pipeline(path: &str, more: &str) -> String {
    format!("version: 1\nname: p\nnodes:\n  b: {{ csv: {{ path: \"{path}\" }} }}\n{more}")
}

/// Runs the program with a text as standard input.
fn fed(folder: &Folder, arguments: &[&str], input: String) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_anabranch"));
    command.args(arguments).current_dir(folder.path("."));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || {
        // A command that needs only the columns leaves the rest unread.
        let _ = stdin.write_all(input.as_bytes());
    });
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    output
}

fn fed_json(folder: &Folder, arguments: &[&str]) -> serde_json::Value {
    let output = fed(folder, &[arguments, &["--format", "json"]].concat(), csv());
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn pipe(folder: &Folder, name: &str) {
    assert!(Command::new("mkfifo").arg(folder.path(name)).status().unwrap().success());
}

fn writes(folder: &Folder, name: &str, text: String) -> JoinHandle<()> {
    let path = folder.path(name);
    std::thread::spawn(move || {
        let mut pipe = std::fs::File::options().write(true).open(path).unwrap();
        // A reader may have what it needs.
        let _ = pipe.write_all(text.as_bytes());
    })
}

fn refused(folder: &Folder, text: &str) -> String {
    folder.write("refused.yaml", text);
    let (code, error) = folder.failure(&["check", "refused.yaml"]);
    assert_eq!(code, 2, "{error}");
    error
}

#[test]
fn standard_input_is_read_by_every_command_that_plans_or_runs() {
    let folder = Folder::new();
    let function = "  f: { function: { input: b, sql: { m: \"n + 1\" } } }\n  o: { write: { input: f, csv: { path: o.csv } } }\n";
    folder.write("p.yaml", &pipeline("-", function));
    for command in ["check", "graph"] {
        fed_json(&folder, &[command, "p.yaml"]);
    }
    // What has to be computed is counted in a second reading of the source.
    let plan = fed_json(&folder, &["plan", "p.yaml"]);
    assert_eq!(plan["nodes"][1]["rows_in"], serde_json::json!([ROWS]), "{plan}");
    assert_eq!(plan["nodes"][1]["compute"], ROWS, "{plan}");
    fed_json(&folder, &["explain", "p.yaml", "f"]);
    for executor in ["async", "sync"] {
        let run = fed_json(&folder, &["run", "p.yaml", "-q", "--executor", executor]);
        assert_eq!(run["nodes"][1]["rows_out"], ROWS, "{run}");
        let written = std::fs::read_to_string(folder.path("o.csv")).unwrap();
        assert_eq!(written.lines().count() as u64, ROWS + 1);
    }
    let verified = fed_json(&folder, &["verify", "p.yaml"]);
    assert_eq!(verified["nodes"][0]["equal"], ROWS, "{verified}");
}

#[test]
fn a_run_that_begins_again_with_code_that_a_call_has_loaded_reads_its_stream_again() {
    let folder = Folder::new();
    folder.write("helper.py", "def more(n):\n    return n + 1\n");
    folder.write("f.py", "def f(n):\n    import helper\n    return helper.more(n)\n");
    let function = "  few: { filter: { input: b, where: \"n % 1000 = 0\" } }\n  f: { function: { input: few, python: { file: f.py, call: f }, gives: { m: int64 } } }\n";
    folder.write("p.yaml", &pipeline("-", function));
    let run = fed_json(&folder, &["run", "p.yaml", "-q"]);
    assert_eq!(support::node(&run, "b")["rows_out"], ROWS, "{run}");
    assert_eq!(support::node(&run, "f")["rows_out"], ROWS / 1000, "{run}");
}

#[test]
fn a_stream_has_one_reader_in_a_pipeline() {
    let folder = Folder::new();
    pipe(&folder, "pipe");
    for (one, other) in [("-", "-"), ("-", "/dev/stdin"), ("/dev/stdin", "-")] {
        let text = pipeline(one, &format!("  c: {{ jsonl: {{ path: \"{other}\" }} }}\n"));
        folder.write("two.yaml", &text);
        let output = fed(&folder, &["run", "two.yaml", "-q"], csv());
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{error}");
        let told = "node \"c\": reads a stream that source \"b\" reads as well, expected one reader";
        assert!(error.contains(told) && error.contains("two.yaml:5:"), "{error}");
    }
    let writer = writes(&folder, "pipe", csv());
    let error = refused(&folder, &pipeline("pipe", "  c: { csv: { path: \"pi*\" } }\n"));
    assert!(error.contains("node \"c\": reads a stream that source \"b\" reads as well"), "{error}");
    writer.join().unwrap();
}

#[test]
fn a_named_pipe_is_read_whole_and_one_without_a_writer_is_an_error() {
    let folder = Folder::new();
    pipe(&folder, "pipe");
    folder.write("p.yaml", &pipeline("pi*", "  o: { write: { input: b, csv: { path: o.csv } } }\n"));
    let writer = writes(&folder, "pipe", csv());
    assert_eq!(folder.json(&["run", "p.yaml", "-q"])["nodes"][0]["rows_out"], ROWS);
    writer.join().unwrap();
    assert_eq!(std::fs::read_to_string(folder.path("o.csv")).unwrap(), csv());
    for kind in ["csv", "jsonl"] {
        let error = refused(&folder, &pipeline("pipe", "").replace("csv", kind));
        assert!(error.contains("nobody has opened for writing within 5 s"), "{error}");
        assert!(error.contains("start that program first"), "{error}");
    }
}

#[test]
fn what_cannot_be_read_front_to_back_is_refused_without_being_opened() {
    let folder = Folder::new();
    pipe(&folder, "pipe");
    let _socket = UnixListener::bind(folder.path("socket")).unwrap();
    for kind in ["parquet", "arrow"] {
        for path in ["-", "pipe", "socket", "/dev/null", "/dev/stdin"] {
            folder.write("p.yaml", &pipeline(path, "").replace("csv", kind));
            let output = fed(&folder, &["check", "p.yaml"], csv());
            let error = String::from_utf8(output.stderr).unwrap();
            assert!(
                error.contains("found a pipe or device, expected a regular file"),
                "{kind} {path}: {error}"
            );
        }
    }
    for kind in ["csv", "jsonl"] {
        let error = refused(&folder, &pipeline("socket", "").replace("csv", kind));
        assert!(error.contains("found a socket, expected a file, a pipe or a device"), "{error}");
    }
    // Nor are pipes waited for that stand where a file of the pipeline should.
    let (code, error) = folder.failure(&["check", "pipe"]);
    assert!(code == 2 && error.contains("it is not a file"), "{error}");
    let error = refused(&folder, "version: 1\nname: p\ninclude: [pipe]\nnodes: {}\n");
    assert!(error.contains("it is not a file"), "{error}");
}

#[test]
fn commands_that_read_what_was_recorded_read_no_stream() {
    let folder = Folder::new();
    folder.write("p.yaml", &pipeline("-", "  f: { function: { input: b, sql: { m: \"n + 1\" } } }\n"));
    fed_json(&folder, &["run", "p.yaml", "-q", "--limit", "5"]);
    let output = fed(&folder, &["run", "p.yaml", "-q"], "n\n1\n2\n".to_owned());
    assert!(output.status.success());
    let commands: [&[&str]; 6] = [
        &["show", "p.yaml", "f"],
        &["replay", "p.yaml", "f"],
        &["trace", "p.yaml", "f"],
        &["errors", "p.yaml"],
        &["runs", "p.yaml"],
        &["cache", "ls", "p.yaml"],
    ];
    for command in commands {
        // A terminal, say: nothing comes from it, and it does not end.
        let (input, held) = std::io::pipe().unwrap();
        let mut program = Command::new(env!("CARGO_BIN_EXE_anabranch"));
        program.args(command).current_dir(folder.path(".")).stdin(input);
        let output = program.output().unwrap();
        drop(held);
        assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
}
