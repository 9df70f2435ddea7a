//! Programs on the wire of JSON lines that misbehave: each fails by name or gives right rows, and no run, this one or
//! the next, gives a packet the answer of another one.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on panics, and its documents have the keys"
)]

mod support;

use std::collections::BTreeSet;

use serde_json::Value;
use support::{Folder, node, rows_of};

const ROWS: i64 = 20;

/// A program that doubles what it reads, and misbehaves while there is a file `bad`.
fn program(before: &str, answer: &str, after: &str) -> String {
    let indented = |text: &str, by: usize| {
        let lines = text.lines().map(|line| format!("{}{line}\n", " ".repeat(by)));
        lines.collect::<String>()
    };
    format!(
        "\
import json, os, signal, subprocess, sys, threading, time
BAD = os.path.exists('bad')
def write(text):
    os.write(1, text if isinstance(text, bytes) else text.encode())
def double(x, **more):
    return json.dumps({{'y': 2 * x, **more}}) + '\\n'
last = None
if BAD:
    pass
{}for line in iter(sys.stdin.readline, ''):
    row = json.loads(line)
    x, id = row['x'], row['$id']
    if not BAD:
        write(double(x))
        continue
{}    last = id
if BAD:
    pass
{}",
        indented(before, 4),
        indented(answer, 4),
        indented(after, 4)
    )
}

/// A pipeline with the program as its function `f`; packets that fail are set aside.
fn pipeline(program: &str, knobs: &str) -> Folder {
    let folder = Folder::new();
    folder.write("f.py", program);
    let rows: Vec<String> = (0..ROWS).map(|x| format!("{{ x: {x} }}")).collect();
    folder.write(
        "p.yaml",
        &format!(
            "\
version: 1
name: wire
nodes:
  rows: {{ rows: {{ rows: [ {} ] }} }}
  f:
    function: {{ input: rows, command: {{ run: [python3, f.py], files: [f.py] }}, gives: {{ y: int64 }}, keep: true }}
    {knobs}
  g: {{ function: {{ input: f, sql: {{ z: \"y + 1\" }}, keep: true }} }}
  out: {{ write: {{ input: g, jsonl: {{ path: out.jsonl }} }} }}
",
            rows.join(", ")
        ),
    );
    folder
}

const SET_ASIDE: &str = "concurrency: 1\n    on_error: set_aside\n    timeout: 60s";

/// Expected end of a run while the program misbehaves.
#[derive(Debug, Clone, Copy)]
enum Expected<'a> {
    /// The program is not trusted: the run fails, and nothing of it is left.
    Distrusted,
    /// These packets fail, for this reason; all others are right.
    Fails(&'a [i64], &'a str),
    /// All rows but these, which were dropped, are right.
    Right(&'a [i64]),
    /// Whichever of these, as it happens.
    Sound,
}

/// Runs the pipeline while the program misbehaves and once more while it does not.
fn holds(name: &str, folder: &Folder, expected: Expected<'_>, executor: &str) {
    let place = format!("{name}, {executor}");
    folder.write("bad", "");
    let output = folder.run(&["run", "p.yaml", "--format", "json", "--executor", executor]);
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    let code = output.status.code().unwrap();
    let rows = if folder.path("out.jsonl").exists() { xs(folder, &place) } else { BTreeSet::new() };
    let all_but = |missing: &[i64]| (0..ROWS).filter(|x| !missing.contains(x)).collect::<BTreeSet<_>>();
    match expected {
        Expected::Distrusted => {
            let error = document["error"].as_str().unwrap_or_default();
            assert!(code == 1 && rows.is_empty(), "{place}: {code} {document}");
            for part in ["node \"f\"", "a worker is not trusted", "python3: found ", "put the \"$id\""] {
                assert!(error.contains(part), "{place}: {error}");
            }
            assert!(!folder.run(&["replay", "p.yaml", "f"]).status.success(), "{place}: f has a recording");
            assert!(!folder.run(&["replay", "p.yaml", "g"]).status.success(), "{place}: g has a recording");
        }
        Expected::Fails(guilty, reason) => {
            assert_eq!((code, rows), (3, all_but(guilty)), "{place}: {document}");
            let listed = folder.json(&["errors", "p.yaml"]);
            let errors = failures(&listed);
            assert_eq!(errors.len(), guilty.len(), "{place}: {listed}");
            for (x, text) in errors {
                assert!(guilty.contains(&x) && text.contains(reason), "{place}: {x}: {text}");
            }
        }
        Expected::Right(dropped) => assert_eq!((code, rows), (0, all_but(dropped)), "{place}: {document}"),
        Expected::Sound => assert!(code != 0 || rows == all_but(&[]), "{place}: {document}"),
    }
    std::fs::remove_file(folder.path("bad")).unwrap();
    if !matches!(expected, Expected::Right([_, ..])) {
        folder.json(&["run", "p.yaml", "--executor", executor]);
        assert_eq!(xs(folder, &place), all_but(&[]), "{place}: afterwards");
    }
    folder.text(&["cache", "verify", "p.yaml"]);
}

/// The packets that came out, each with its own answer.
fn xs(folder: &Folder, place: &str) -> BTreeSet<i64> {
    let rows = rows_of(&folder.path("out.jsonl"));
    for row in &rows {
        let [x, y, z] = ["x", "y", "z"].map(|column| row[column].as_i64().unwrap());
        assert_eq!((y, z), (2 * x, 2 * x + 1), "{place}: {row}");
    }
    rows.iter().map(|row| row["x"].as_i64().unwrap()).collect()
}

/// The packets that were set aside, and why.
fn failures(document: &Value) -> Vec<(i64, String)> {
    match document {
        Value::Object(fields) if fields.contains_key("message") && fields.contains_key("input") => {
            let text = format!("{}: {}\n{}", document["error"], document["message"], document["log"]);
            vec![(document["input"]["x"].as_i64().unwrap(), text)]
        }
        Value::Object(fields) => fields.values().flat_map(failures).collect(),
        Value::Array(items) => items.iter().flat_map(failures).collect(),
        _ => Vec::new(),
    }
}

/// Ways to misbehave: a name, what is done before the first line, for each line, and after the last, and what is right.
type Way<'a> = (&'a str, [&'a str; 3], Expected<'a>);

fn all_hold(ways: &[Way<'_>], knobs: &str) {
    for (name, [before, answer, after], expected) in ways {
        for executor in ["async", "sync"] {
            holds(name, &pipeline(&program(before, answer, after), knobs), *expected, executor);
        }
    }
}

#[test]
fn a_line_that_no_packet_was_asked_for_fails_the_run_whenever_it_comes() {
    use Expected::Distrusted;
    let ways: &[Way<'_>] = &[
        ("each answer twice, at once", ["", "write(double(x) * 2)", ""], Distrusted),
        ("one answer twice, at once", ["", "write(double(x) * (1 + (x == 7)))", ""], Distrusted),
        (
            "each answer twice, with work between",
            ["", "write(double(x)); time.sleep(0.02); write(double(x))", ""],
            Distrusted,
        ),
        (
            "one answer twice, late",
            ["", "write(double(x))\nif x == 7: time.sleep(0.05); write(double(x))", ""],
            Distrusted,
        ),
        (
            "the last answer twice, late",
            ["", "write(double(x))\nif x == 19: time.sleep(0.05); write(double(x))", ""],
            Distrusted,
        ),
        ("a line at its end", ["", "write(double(x))", "write(double(99))"], Distrusted),
        ("half a line at its end", ["", "write(double(x))", "write('bye')"], Distrusted),
        ("an answer before the first line", ["write(double(99))", "write(double(x))", ""], Distrusted),
        ("blank lines", ["", "write(double(x) + '\\n')", ""], Distrusted),
        (
            "a line at its end, after a while",
            ["", "time.sleep(0.01); write(double(x))", "time.sleep(0.1); write(double(99))"],
            Distrusted,
        ),
    ];
    all_hold(ways, SET_ASIDE);
}

#[test]
fn lines_that_are_no_answers_never_become_rows() {
    let ways: &[Way<'_>] = &[
        ("a banner", ["write('ready\\n')", "write(double(x))", ""], Expected::Sound),
        (
            "a line from a timer",
            [
                "",
                "if x == 7: threading.Timer(0.02, write, [double(99)]).start()\nwrite(double(x))\ntime.sleep(0.005)",
                "",
            ],
            Expected::Sound,
        ),
        (
            "lines while it is idle",
            [
                "def babble():\n    while True: time.sleep(0.01); write('working\\n')\nthreading.Thread(target=babble, daemon=True).start()",
                "write(double(x))",
                "",
            ],
            Expected::Sound,
        ),
        (
            "its input closed",
            ["", "write(double(x))\nif x == 7: os.close(0); time.sleep(600)", ""],
            Expected::Sound,
        ),
        ("an exit after an answer", ["", "write(double(x))\nif x == 7: os._exit(0)", ""], Expected::Sound),
        (
            "an answer twice, and an error later",
            [
                "",
                "write('{\"$error\": \"twelve\"}\\n' if x == 12 else double(x))\nif x == 7: time.sleep(0.02); write(double(x))",
                "",
            ],
            Expected::Sound,
        ),
    ];
    all_hold(ways, "concurrency: 1\n    on_error: set_aside\n    timeout: 5s");
}

#[test]
fn bad_answers_fail_their_own_packets() {
    fn seven(answer: &str) -> String {
        format!("if x == 7: {answer}\nelse: write(double(x))")
    }
    let cases = [
        ("no JSON", "write('seven\\n')", "found something that is no JSON"),
        ("two objects in a line", "write(double(x).strip() * 2 + '\\n')", "found something that is no JSON"),
        ("no UTF-8", "write(b'{\"y\": \"\\xff\\xfe\"}\\n')", "found something that is no JSON"),
        ("a list", "write('[14]\\n')", "found JSON that is no object"),
        ("a number", "write('14\\n')", "found JSON that is no object"),
        ("no output", "write('{}\\n')", "found an object without output"),
        ("an output too many", "write(double(x, w=1))", "found an object with keys that gives does not name"),
        ("an output of another type", "write('{\"y\": \"many\"}\\n')", "output \\\"y\\\""),
        ("half a line and its death", "write('{\"y\": 1'); os._exit(3)", "it ended with exit code 3"),
        ("an exit without an answer", "sys.exit(0)", "it ended with exit code 0"),
        ("an exception", "raise KeyError('seven')", "KeyError: 'seven'"),
        (
            "200 MB without an end",
            "[write(b'x' * (1 << 20)) for _ in range(200)]; os._exit(4)",
            "it ended with exit code 4",
        ),
        ("its output closed", "os.close(1); time.sleep(600)", "it closed its output and did not end"),
        (
            "killed while a child holds its pipes",
            "subprocess.Popen(['sleep', '600']); os.kill(os.getpid(), signal.SIGKILL)",
            "it was ended by signal 9",
        ),
        ("an error", "write('{\"$error\": \"no seven\"}\\n')", "no seven"),
    ];
    for ((name, bad, reason), executor) in cases.into_iter().zip(["async", "sync"].into_iter().cycle()) {
        let folder = pipeline(&program("", &seven(bad), ""), SET_ASIDE);
        holds(name, &folder, Expected::Fails(&[7], reason), executor);
    }
    let last = "write(double(x).strip() if x == 19 else double(x))\nif x == 19: os._exit(0)";
    all_hold(
        &[("no end of the last line", ["", last, ""], Expected::Fails(&[19], "it ended with exit code 0"))],
        SET_ASIDE,
    );
}

#[test]
fn a_packet_that_takes_too_long_fails_alone_whatever_comes_later() {
    let late = Expected::Fails(&[7], "it took longer than 3s");
    let ways: &[Way<'_>] = &[
        ("an answer after its time", ["", "if x == 7: time.sleep(4.5)\nwrite(double(x))", ""], late),
        ("it reads no more", ["", "if x == 7: time.sleep(600)\nwrite(double(x))", ""], late),
        (
            "a child answers late",
            [
                "",
                "if x == 7: subprocess.Popen(['sh', '-c', 'sleep 4; echo 99'], start_new_session=True); time.sleep(600)\nwrite(double(x))",
                "",
            ],
            late,
        ),
    ];
    all_hold(ways, "concurrency: 1\n    on_error: set_aside\n    timeout: 3s");
}

#[test]
fn a_program_that_gives_ids_back_is_held_to_them() {
    use Expected::{Distrusted, Fails, Right};
    let another = Fails(&[7], "found an answer with the \\\"$id\\\" of another line");
    let ways: &[Way<'_>] = &[
        ("ids as they are", ["", "write(double(x, **{'$id': id}))", ""], Right(&[])),
        ("ids as floats", ["", "write(double(x, **{'$id': float(id)}))", ""], Right(&[])),
        (
            "the id of the line before",
            ["", "write(double(x, **{'$id': last if x == 7 else id}))", ""],
            another,
        ),
        ("an id of its own", ["", "write(double(x, **{'$id': 7 if x == 7 else id}))", ""], another),
        ("an id as text", ["", "write(double(x, **{'$id': str(id) if x == 7 else id}))", ""], another),
        ("no id", ["", "write(double(x, **{'$id': None if x == 7 else id}))", ""], another),
        (
            "an answer without",
            ["", "write(double(x) if x == 7 else double(x, **{'$id': id}))", ""],
            Fails(&[7], "found an answer without \\\"$id\\\", where others had it"),
        ),
        ("texts from the first line on", ["", "write(double(x, **{'$id': str(id)}))", ""], Distrusted),
        // Other answers stand: they have said what they answer.
        (
            "some answers twice",
            ["", "write(double(x, **{'$id': id}) * (1 + (x in (5, 7))))", ""],
            Fails(&[5, 7], "found more output than packets"),
        ),
        ("a line at its end", ["", "write(double(x, **{'$id': id}))", "write('bye\\n')"], Right(&[])),
        (
            "an error with its id",
            [
                "",
                "write(json.dumps({'$error': 'no seven', '$id': id}) + '\\n' if x == 7 else double(x, **{'$id': id}))",
                "",
            ],
            Fails(&[7], "no seven"),
        ),
        // Nothing says which packet was dropped.
        (
            "a packet dropped, and a line at its end",
            ["", "write('null\\n' if x == 7 else double(x, **{'$id': id}))", "write('bye\\n')"],
            Distrusted,
        ),
        (
            "a packet dropped",
            ["", "write('null\\n' if x == 7 else double(x, **{'$id': id}))", ""],
            Right(&[7]),
        ),
    ];
    all_hold(ways, SET_ASIDE);
}

#[test]
fn lines_may_end_as_on_other_systems_and_drop_packets() {
    let ways: &[Way<'_>] = &[
        ("CRLF", ["", "write(double(x).strip() + '\\r\\n')", ""], Expected::Right(&[])),
        ("dropped", ["", "write('null\\n' if x == 7 else double(x))", ""], Expected::Right(&[7])),
        ("written in pieces", ["", "for c in double(x): write(c)", ""], Expected::Right(&[])),
    ];
    all_hold(ways, SET_ASIDE);
}

#[test]
fn what_was_committed_of_a_worker_that_is_not_believed_is_computed_again() {
    // Every answer is committed before the next packet is asked for, and right; only the end is not.
    let answer = "time.sleep(0.02); write(double(x))";
    let folder = pipeline(&program("", answer, "write(double(99))"), "concurrency: 1");
    folder.write("bad", "");
    let (code, error) = folder.failure(&["run", "p.yaml", "-q"]);
    assert!(code == 1 && error.contains("found more output than packets when it had ended"), "{error}");
    std::fs::remove_file(folder.path("bad")).unwrap();
    let summary = folder.json(&["run", "p.yaml"]);
    assert_eq!((&node(&summary, "f")["computed"], &node(&summary, "f")["reused"]), (&20.into(), &0.into()));
    assert_eq!(xs(&folder, "again").len(), 20);
    let summary = folder.json(&["run", "p.yaml"]);
    assert_eq!(node(&summary, "f")["reused"], 20);
}

#[test]
fn earlier_recordings_and_results_stand_where_a_worker_is_not_believed() {
    let folder = pipeline(&program("", "write(double(x + 1))", "write(double(99))"), "concurrency: 1");
    folder.json(&["run", "p.yaml"]);
    let file = std::fs::read(folder.path("out.jsonl")).unwrap();
    let replayed = |name: &str| {
        folder.text(&["replay", "p.yaml", "f", "--out", name]);
        rows_of(&folder.path(name))
    };
    let before = replayed("before.jsonl");
    folder.write("bad", "");
    let (code, error) = folder.failure(&["run", "p.yaml", "-q", "--no-reuse"]);
    assert!(code == 1 && error.contains("a worker is not trusted"), "{error}");
    assert_eq!(std::fs::read(folder.path("out.jsonl")).unwrap(), file, "nothing was published");
    assert_eq!(replayed("after.jsonl"), before);
    std::fs::remove_file(folder.path("bad")).unwrap();
    // The versions from before are current again.
    let summary = folder.json(&["run", "p.yaml"]);
    assert_eq!(node(&summary, "f")["reused"], 20);
    assert_eq!(xs(&folder, "again").len(), 20);
}

#[test]
fn a_run_that_fails_of_something_else_withdraws_too() {
    // The extra line is taken for the answer of the packet behind it, and another node fails meanwhile or not.
    for knobs in ["concurrency: 1\n    on_error: stop", "concurrency: 3\n    on_error: stop"] {
        let answer = "if x == 12: write('{\"$error\": \"twelve\"}\\n')\nelse: write(double(x))\nif x == 5: time.sleep(0.02); write(double(99)); time.sleep(0.02)";
        let folder = pipeline(&program("", answer, ""), knobs);
        holds("an error behind a line too many", &folder, Expected::Sound, "async");
    }
}

#[test]
fn columns_that_have_the_name_of_ids_are_refused_when_the_pipeline_is_planned() {
    let folder = pipeline(&program("", "", ""), "concurrency: 1");
    folder.edit("p.yaml", "gives: { y: int64 }", "gives: { y: int64, $id: int64 }");
    let (code, error) = folder.failure(&["check", "p.yaml"]);
    assert!(
        code == 2 && error.contains("gives: found column \"$id\"") && error.contains("wire: arrow"),
        "{error}"
    );
    let folder = pipeline(&program("", "", ""), "concurrency: 1");
    folder.edit("p.yaml", "{ x: 0 }", "{ x: 0, $id: 3 }");
    let (code, error) = folder.failure(&["check", "p.yaml"]);
    assert!(code == 2 && error.contains("takes: found column \"$id\"") && error.contains("map"), "{error}");
}
