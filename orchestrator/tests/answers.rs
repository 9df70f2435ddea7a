//! An answer belongs to its call, whatever the code of a worker does.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on panics, and its documents have the keys"
)]

mod support;

use std::time::{Duration, Instant};

use serde_json::Value;
use support::{Folder, rows_of};

/// A function over the numbers 0 to 19, one call at a time; what fails is set aside.
fn numbers(code: &str) -> Folder {
    let folder = Folder::new();
    folder.write("f.py", code);
    let rows: Vec<String> = (0..20).map(|n| format!("{{ n: {n} }}")).collect();
    folder.write(
        "pipeline.yaml",
        &format!(
            "\
version: 1
name: answers
nodes:
  rows: {{ rows: {{ rows: [ {} ] }} }}
  f:
    function: {{ input: rows, python: {{ file: f.py, call: f }}, gives: {{ y: string }}, keep: true }}
    concurrency: 1
    on_error: set_aside
  out: {{ write: {{ input: f, jsonl: {{ path: out.jsonl }} }} }}
",
            rows.join(", ")
        ),
    );
    folder
}

/// Runs the pipeline and gives its exit code, and `y` by `n`.
fn run(folder: &Folder) -> (i32, Vec<(i64, String)>) {
    let code = folder.run(&["run", "pipeline.yaml", "-q"]).status.code().unwrap();
    let rows = rows_of(&folder.path("out.jsonl"));
    (
        code,
        rows.iter().map(|row| (row["n"].as_i64().unwrap(), row["y"].as_str().unwrap().to_owned())).collect(),
    )
}

fn all_but(missing: &[i64], y: impl Fn(i64) -> String) -> Vec<(i64, String)> {
    (0..20).filter(|n| !missing.contains(n)).map(|n| (n, y(n))).collect()
}

#[test]
fn a_forked_child_never_answers_for_its_parent() {
    for (name, in_child) in [
        ("comes back", "return 'of the child'"),
        ("raises", "raise ValueError('of the child')"),
        ("leaves", "raise SystemExit(0)"),
        ("comes back late", "time.sleep(0.05); return 'of the child'"),
        ("prints", "print('of the child', flush=True); return 'of the child'"),
        ("forks again", "os.fork(); return 'of the child'"),
    ] {
        let code = format!(
            "import os, time\ndef f(n):\n    if n % 5 == 2 and os.fork() == 0:\n        {in_child}\n    return 'of ' + str(n)\n"
        );
        let folder = numbers(&code);
        assert_eq!(run(&folder), (0, all_but(&[], |n| format!("of {n}"))), "a child that {name}");
    }
}

#[test]
fn exceptions_of_any_kind_come_with_their_class_and_their_traceback() {
    let raised = [
        ("ValueError", "ValueError('plain')"),
        ("UnicodeError", "UnicodeError('lone \\udc80 surrogate')"),
        (
            "NotADirectoryError",
            "NotADirectoryError(20, 'Not a directory', b'a\\xff/b'.decode('utf-8', 'surrogateescape'))",
        ),
        ("SystemExit", "SystemExit(3)"),
        ("KeyboardInterrupt", "KeyboardInterrupt()"),
        ("GeneratorExit", "GeneratorExit()"),
        ("Unprintable", "Unprintable()"),
        ("Quits", "Quits()"),
        ("Held", "Held(lambda: 1, open(__file__))"),
        ("MemoryError", "MemoryError()"),
        ("RuntimeError", "RuntimeError('x' * 10_000_000)"),
        ("OSError", "OSError(5, 'line one\\nline two\\x00')"),
        ("RecursionError", "deep()"),
    ];
    let choices: Vec<String> = raised.iter().map(|(_, make)| format!("lambda: {make}")).collect();
    let code = format!(
        "\
class Unprintable(Exception):
    def __str__(self): raise ValueError('no text')
    __repr__ = __str__
class Quits(BaseException):
    def __str__(self): raise SystemExit(7)
class Held(Exception):
    def __reduce__(self): raise TypeError('cannot be pickled')
def deep(): return deep()
RAISED = [{}]
def f(n):
    if n < len(RAISED):
        raise RAISED[n]()
    return 'of ' + str(n)
",
        choices.join(", ")
    );
    let folder = numbers(&code);
    let failed: Vec<i64> = (0..13).collect();
    assert_eq!(run(&folder), (3, all_but(&failed, |n| format!("of {n}"))));
    let listed = folder.json(&["errors", "pipeline.yaml"]);
    let entries = entries(&listed);
    assert_eq!(entries.len(), raised.len(), "{listed}");
    for (at, (class, _)) in raised.iter().enumerate() {
        let entry =
            entries.iter().find(|e| e["input"]["n"] == at).unwrap_or_else(|| panic!("{class}: {listed}"));
        let (message, log) = (entry["message"].as_str().unwrap(), entry["log"].as_str().unwrap());
        assert!(message.contains(class), "{class}: {message}");
        assert!(log.contains("f.py\", line") && log.contains("Traceback"), "{class}: {log}");
    }
}

/// The packets that were set aside, wherever they stand in the document.
fn entries(document: &Value) -> Vec<Value> {
    match document {
        Value::Array(items) if items.iter().any(|item| item.get("message").is_some()) => items.clone(),
        Value::Array(items) => items.iter().flat_map(entries).collect(),
        Value::Object(fields) => fields.values().flat_map(entries).collect(),
        _ => Vec::new(),
    }
}

#[test]
fn a_call_finds_what_the_first_one_has_found_whatever_others_have_changed() {
    let changes = [
        "os.chdir('/')",
        "os.fchdir(os.open('/', os.O_RDONLY))",
        "os.umask(0o777)",
        "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])",
        "locale.setlocale(locale.LC_ALL, 'C.UTF-8')",
        "os.mkdir('gone'); os.chdir('gone'); os.rmdir(os.path.join(HOME, 'gone'))",
    ];
    for change in changes {
        let code = format!(
            "\
import locale, os, signal
HOME = os.getcwd()
def state():
    umask = os.umask(0)
    os.umask(umask)
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    return repr((os.getcwd(), umask, sorted(mask), locale.setlocale(locale.LC_CTYPE)))
FIRST = state()
def f(n):
    found = 'same' if state() == FIRST else state()
    if n % 3 == 1:
        {change}
    return found
"
        );
        let folder = numbers(&code);
        assert_eq!(run(&folder), (0, all_but(&[], |_| "same".to_owned())), "{change}");
    }
}

#[test]
fn the_end_of_a_worker_is_seen_though_its_children_hold_its_pipes() {
    let begun = Instant::now();
    let code = "\
import os, signal, time
def f(n):
    if n == 4:
        if os.fork() == 0:
            time.sleep(300)
        os.kill(os.getpid(), signal.SIGKILL)
    return 'of ' + str(n)
";
    let folder = numbers(code);
    assert_eq!(run(&folder), (3, all_but(&[4], |n| format!("of {n}"))));
    assert!(begun.elapsed() < Duration::from_secs(100), "it took {:?}", begun.elapsed());
    let listed = folder.json(&["errors", "pipeline.yaml"]).to_string();
    assert!(listed.contains("the worker died") && listed.contains("signal 9"), "{listed}");
}

#[test]
fn the_failure_that_ends_a_run_is_shown_with_its_traceback_tags_and_record() {
    let folder = Folder::new();
    folder.write(
        "f.py",
        "import sys\ndef helper(n):\n    raise ValueError('no twos')\ndef f(n):\n    if n == 2:\n        print('was here', file=sys.stderr)\n        helper(n)\n    return n\n",
    );
    folder.write(
        "pipeline.yaml",
        "\
version: 1
name: stops
nodes:
  rows: { rows: { tags: [id], rows: [ { id: a, n: 1 }, { id: b, n: 2 }, { id: c, n: 3 } ] } }
  f: { function: { input: rows, python: { file: f.py, call: f }, gives: { m: int64 } } }
",
    );
    for executor in ["async", "sync"] {
        let (code, text) = folder.failure(&["run", "pipeline.yaml", "-q", "--executor", executor]);
        assert_eq!(code, 1);
        for part in [
            "node \"f\" failed",
            "no twos",
            "f.py\", line 3, in helper",
            "id=b",
            "rows::row_1",
            "n=2",
            "was here",
        ] {
            assert!(text.contains(part), "{part} is missing in {text}");
        }
        let output = folder.run(&["run", "pipeline.yaml", "-q", "--executor", executor, "--format", "json"]);
        let document: Value = serde_json::from_slice(&output.stdout).unwrap();
        let packet = &document["packets"][0];
        assert_eq!((&packet["tags"]["id"], &packet["input"]["n"]), (&"b".into(), &2.into()), "{document}");
        assert!(packet["log"].as_str().unwrap().contains("line 3, in helper"), "{document}");
        assert_eq!(packet["records"][0], "rows::row_1");
        let listed = folder.text(&["errors", "pipeline.yaml"]);
        assert!(listed.contains("line 3, in helper") && listed.contains("1 packets of 1 rows"), "{listed}");
    }
    // What has failed is no result: mended, it is computed.
    folder.edit("f.py", "raise ValueError('no twos')", "return 0");
    folder.text(&["run", "pipeline.yaml", "-q"]);
    assert!(folder.text(&["errors", "pipeline.yaml"]).contains("0 packets of 0 rows"));
}

#[test]
fn a_run_with_rows_left_out_ends_with_what_became_of_them_and_what_to_type() {
    let code = "def f(n):\n    if n == 4:\n        raise ValueError('no fours')\n    return 'of ' + str(n)\n";
    let folder = numbers(code);
    let output = folder.run(&["run", "pipeline.yaml", "-q"]);
    assert_eq!(output.status.code(), Some(3));
    let text = String::from_utf8(output.stdout).unwrap();
    let last = text.lines().last().unwrap();
    assert!(last.starts_with("1 row set aside") && last.contains("\"f\" failed"), "{text}");
    let typed = last.split("anabranch errors ").nth(1).unwrap().split(' ').next().unwrap();
    assert!(folder.text(&["errors", typed]).contains("no fours"));
    folder.edit("pipeline.yaml", "on_error: set_aside", "on_error: skip");
    let output = folder.run(&["run", "pipeline.yaml", "-q"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.lines().last().unwrap().starts_with("1 row skipped"), "{text}");
}

#[test]
fn packets_without_a_result_are_failures_like_others_where_nothing_is_computed() {
    let folder = numbers(
        "def f(n):\n    if n in (4, 7):\n        raise ValueError('no')\n    return 'of ' + str(n)\n",
    );
    assert_eq!(run(&folder), (3, all_but(&[4, 7], |n| format!("of {n}"))));
    folder.edit("pipeline.yaml", "concurrency: 1", "cache: replay");
    for executor in ["async", "sync"] {
        let output = folder.run(&["run", "pipeline.yaml", "-q", "--executor", executor]);
        assert_eq!(output.status.code(), Some(3));
        assert_eq!(rows_of(&folder.path("out.jsonl")).len(), 18, "{executor}");
        let listed = folder.json(&["errors", "pipeline.yaml"]);
        let entries = entries(&listed);
        assert_eq!(entries.len(), 2, "{listed}");
        let message = entries[0]["message"].as_str().unwrap();
        assert!(message.contains("found no result") && message.contains("cache: reuse"), "{message}");
    }
    folder.edit("pipeline.yaml", "on_error: set_aside", "on_error: stop");
    let (code, text) = folder.failure(&["run", "pipeline.yaml", "-q"]);
    assert_eq!(code, 1);
    assert!(text.contains("found no result") && text.contains("rows::row_4"), "{text}");
}
