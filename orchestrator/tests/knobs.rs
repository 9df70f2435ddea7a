//! Numbers that cannot be meant, in every knob, setting and flag: refused with the place, or they work.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on panics")]

mod support;

use support::Folder;

/// Values that are no whole number of anything.
const NO_COUNT: [&str; 12] = [
    "-1",
    "18446744073709551615",
    "18446744073709551616",
    "99999999999999999999999",
    "1e308",
    "1e400",
    "1.5",
    "1e-9",
    ".nan",
    ".inf",
    "-.inf",
    "''",
];

/// Values that are no time of anything.
const NO_TIME: [&str; 12] = [
    "-1",
    "-1s",
    "18446744073709551615",
    "1e308",
    ".nan",
    ".inf",
    "inf",
    "1e308s",
    "99999999999999999999h",
    "10000000d",
    "584942417355y",
    "~",
];

/// Values that are no number of bytes.
const NO_BYTES: [&str; 11] = [
    "-1",
    "-1MiB",
    "18446744073709551615",
    "1e308",
    ".nan",
    ".inf",
    "1.5",
    "1e308GiB",
    "99999999999TiB",
    "16EiB",
    "~",
];

/// A pipeline with a line of settings, one of knobs of a function, and one of an operator.
fn pipeline(settings: &str, knobs: &str, size: &str, skip: &str) -> String {
    format!(
        "version: 1
name: k
settings: {{ {settings} }}
nodes:
  a: {{ rows: {{ tags: [id], rows: [ {{ id: 2, x: 2 }}, {{ id: 1, x: 1 }}, {{ id: 3, x: 3 }} ] }} }}
  t: {{ csv: {{ path: t.csv, tags: [id]{skip} }} }}
  j: {{ join: {{ inputs: [a, t] }} }}
  s: {{ sort: {{ input: j, by: [id] }} }}
  f: {{ function: {{ input: s, sql: {{ z: \"x + y\" }} }}{knobs} }}
  b: {{ batch: {{ input: f, size: {size} }} }}
  o: {{ write: {{ input: b, jsonl: {{ path: o.jsonl }} }} }}
"
    )
}

fn folder() -> Folder {
    let folder = Folder::new();
    folder.write("t.csv", "id,y\n1,10\n2,20\n3,30\n");
    folder
}

/// A knob is refused before anything runs, at its place, with what was found and what was expected.
fn refused(folder: &Folder, text: &str, line: usize, told: &str) {
    folder.write("p.yaml", text);
    let (code, error) = folder.failure(&["run", "p.yaml", "-q"]);
    assert_eq!(code, 2, "{told}: {error}");
    let first = error.lines().next().unwrap();
    assert!(first.starts_with(&format!("p.yaml:{line}:")), "{told}: {error}");
    assert!(first.contains("found ") && first.contains(", expected "), "{told}: {error}");
    assert!(!folder.path(".anabranch").exists(), "{told}");
}

#[test]
fn settings_that_nobody_can_mean_are_refused_at_their_place() {
    let folder = folder();
    let counts = ["channel_capacity", "chunk_rows", "concurrency"];
    let zeros = counts.map(|name| (name, "0"));
    let beyond = [
        ("channel_capacity", "1000000000000"),
        ("chunk_rows", "1000000000000"),
        ("concurrency", "1000000000000"),
    ];
    let counts = counts.iter().flat_map(|name| NO_COUNT.map(|value| (*name, value)));
    let bytes = ["memory_limit", "spill_limit"];
    let bytes = bytes.iter().flat_map(|name| NO_BYTES.map(|value| (*name, value)));
    let others = [
        ("memory_limit", "0"),
        ("memory_limit", "0B"),
        ("on_error", "0"),
        ("executor", "1"),
        ("executor", "threads"),
    ];
    for (name, value) in zeros.into_iter().chain(beyond).chain(counts).chain(bytes).chain(others) {
        refused(&folder, &pipeline(&format!("{name}: {value}"), "", "1", ""), 3, &format!("{name}: {value}"));
    }
}

#[test]
fn knobs_that_nobody_can_mean_are_refused_at_their_place() {
    let folder = folder();
    let mut knobs: Vec<String> = Vec::new();
    for value in NO_COUNT.iter().chain(&["0", "1000000000000"]) {
        knobs.push(format!("concurrency: {value}"));
        knobs.push(format!("retry: {{ attempts: {value} }}"));
    }
    for value in NO_TIME {
        knobs.push(format!("timeout: {value}"));
        knobs.push(format!("retry: {{ attempts: 2, backoff: {value} }}"));
    }
    for value in ["0", "0s", "1ns", "1us", "999us", "1e-9"] {
        knobs.push(format!("timeout: {value}"));
    }
    knobs.push("retry: { attempts: 2, backoff: 1h }".to_owned());
    for value in ["0", "-1", "1e-9", "1e308", "1e400", "1000000000000", ".nan", ".inf", "-.inf", "~", "''"] {
        knobs.push(format!("rate: {value}"));
    }
    for value in ["-1", "1.5", "2", "1e308", ".nan", ".inf", "~"] {
        knobs.push(format!("retry: {{ attempts: 2, jitter: {value} }}"));
    }
    for knob in knobs {
        refused(&folder, &pipeline("", &format!(", {knob}"), "1", ""), 9, &knob);
    }
}

#[test]
fn sizes_of_operators_and_sources_that_nobody_can_mean_are_refused_at_their_place() {
    let folder = folder();
    for value in NO_COUNT {
        refused(&folder, &pipeline("", "", value, ""), 10, &format!("size: {value}"));
        refused(
            &folder,
            &pipeline("", "", "1", &format!(", skip_rows: {value}")),
            6,
            &format!("skip_rows: {value}"),
        );
    }
}

#[test]
fn the_least_and_the_most_of_every_knob_work() {
    let most_retry = "retry: { attempts: 1000, backoff: 5m, jitter: 1 }";
    for (settings, knobs, size) in [
        (
            "memory_limit: 1, spill_limit: 1TiB, channel_capacity: 1, chunk_rows: 1, concurrency: 1",
            ", timeout: 1s, rate: 1000000, retry: { attempts: 1, backoff: 0, jitter: 0 }, concurrency: 1"
                .to_owned(),
            "1",
        ),
        (
            "memory_limit: 8388607TiB, spill_limit: 8388607TiB, channel_capacity: 4096, chunk_rows: 1048576, concurrency: 4096",
            format!(", timeout: 3650d, rate: 1000000, {most_retry}, concurrency: 4096"),
            "1000000000000",
        ),
    ] {
        for executor in ["async", "sync"] {
            let folder = folder();
            folder.write("p.yaml", &pipeline(settings, &knobs, size, ""));
            folder.text(&["run", "p.yaml", "-q", "--executor", executor]);
            let written = std::fs::read_to_string(folder.path("o.jsonl")).unwrap();
            let expected = if size == "1" {
                "{\"id\":[1],\"z\":[11]}\n{\"id\":[2],\"z\":[22]}\n{\"id\":[3],\"z\":[33]}\n"
            } else {
                "{\"id\":[1,2,3],\"z\":[11,22,33]}\n"
            };
            assert_eq!(written, expected, "{settings} {executor}");
        }
    }
}

#[test]
fn numbers_of_flags_that_nobody_can_mean_are_refused_and_others_work() {
    let folder = folder();
    folder.write("p.yaml", &pipeline("", "", "1", ""));
    folder.text(&["run", "p.yaml", "-q"]);
    let flags: [(&[&str], &str); 4] = [
        (&["run", "p.yaml", "-q"], "--limit"),
        (&["show", "p.yaml", "f"], "--head"),
        (&["trace", "p.yaml", "f"], "--head"),
        (&["verify", "p.yaml"], "--sample"),
    ];
    for (command, flag) in flags {
        for value in ["-1", "1.5", "1e9", "18446744073709551616", "nan", ""] {
            let (code, error) = folder.failure(&[command, &[&format!("{flag}={value}")]].concat());
            assert_eq!(code, 2, "{command:?} {flag} {value}: {error}");
            assert!(error.contains(flag), "{command:?} {flag} {value}: {error}");
        }
        for value in ["0", "1", "18446744073709551615"] {
            folder.text(&[command, &[flag, value]].concat());
        }
    }
    let (code, error) = folder.failure(&["errors", "p.yaml", "--run", "x"]);
    assert!(code == 2 && error.contains("found no run \"x\" of pipeline \"k\", expected one of"), "{error}");
}
