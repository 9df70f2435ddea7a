//! Workers that do what they should not, while their code is edited: what is stored is what the code of its
//! fingerprint computes, and a run that is not whole says why.
//!
//! Each seed has a function of a random wire, three versions of its code that differ by one constant, and a random
//! event for some of its packets. After the runs, each version of the code is put in place again and everything that
//! the store has for it is read, without computing. `ANABRANCH_CHAOS` is the number of seeds.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on panics, and its documents have the keys"
)]

mod support;

use std::collections::BTreeSet;
use std::fmt::Write as _;

use support::{Folder, rows_of};

const PACKETS: u64 = 24;
const VERSIONS: u64 = 3;

/// Random numbers that a seed repeats (`SplitMix64`).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    fn one_of<'a, T: ?Sized>(&mut self, choices: &[&'a T]) -> &'a T {
        choices[usize::try_from(self.below(choices.len() as u64)).unwrap()]
    }
}

/// Way in which the code is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wire {
    Python,
    /// JSON lines whose answers carry the number of their request.
    Numbered,
    /// JSON lines without.
    Plain,
}

/// Beginning of all code: its folder, whose working folder may change, and events that happen once.
const HEAD: &str = "\
import json, os, signal, sys, threading, time
HERE = os.path.dirname(os.path.abspath(__file__))
def first(n):
    try:
        os.close(os.open(os.path.join(HERE, 'marks', str(n)), os.O_CREAT | os.O_EXCL))
        return True
    except FileExistsError:
        return False
def edit():
    new = os.path.join(HERE, 'new')
    with open(os.path.join(HERE, 'versions', str(min(K + 1, 3)) + '.py')) as old, open(new, 'w') as copy:
        copy.write(old.read())
    os.replace(new, os.path.join(HERE, 'f.py'))
";

/// Events of a call of Python, by statements.
const CALLS: &[&str] = &[
    "edit()",
    "if os.fork() == 0: return -1",
    "if os.fork() == 0: os._exit(3)",
    "if os.fork() == 0: print('{\"y\": -1}', flush=True); os.write(1, b'-1\\n'); os._exit(0)",
    "os.write(1, b'\\0\\1\\2{\"y\": -1}\\n')",
    "print('y: -1', flush=True); print('y: -1', file=sys.stderr)",
    "os.chdir('/'); os.umask(0o777)",
    "os._exit(9)",
    "os.kill(os.getpid(), signal.SIGKILL)",
    "time.sleep(600)",
    "threading.Thread(target=lambda: (time.sleep(0.05), os.write(1, b'{\"y\": -1}\\n')), daemon=True).start()",
    "raise ValueError('chaos')",
    "sys.exit(0)",
    "os.close(1)",
    "os.close(0)",
    "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM, signal.SIGINT])",
    "sys.path.insert(0, os.path.join(HERE, 'lib')); import helper",
    "return None",
    "return 'no number'",
];

/// Events of a program around its answer, which `say` writes.
const LINES: &[&str] = &[
    "edit(); say()",
    "say(); say()",
    "say(); time.sleep(0.02); say()",
    "say(n - 1); say()",
    "print('hello', flush=True); say()",
    "say(); print('hello', flush=True)",
    "say(); threading.Timer(0.05, say).start()",
    "if os.fork() == 0: say(); os._exit(0)\n        say()",
    "if os.fork() == 0: time.sleep(0.05); say(n - 1); os._exit(0)\n        say()",
    "os._exit(0)",
    "say(); os._exit(0)",
    "os.kill(os.getpid(), signal.SIGKILL)",
    "time.sleep(600)",
    "print('{\"y\": ', end='', flush=True); os._exit(0)",
    "print('{\"y\": -1', flush=True); say()",
    "print('null null', flush=True)",
    "print('[]', flush=True)",
    "print(json.dumps({'$error': 'chaos'}), flush=True)",
    "os.chdir('/'); say()",
    "os.close(0); say()",
    "os.close(1)",
];

fn code(wire: Wire, version: u64, events: &[(u64, bool, &str)]) -> String {
    let mut text = format!("K = {version}\n{HEAD}");
    match wire {
        Wire::Python => text.push_str("def f(n):\n"),
        Wire::Numbered | Wire::Plain => {
            // A line about another packet has another number: what a program says of a packet by its number is its answer.
            let number = if wire == Wire::Numbered { "'$id': asked['$id'] + n - asked['n'], " } else { "" };
            write!(
                text,
                "\
for line in sys.stdin:
    asked = json.loads(line)
    n = asked['n']
    def say(n=n, asked=asked):
        print(json.dumps({{{number}'y': n * 1000 + K}}), flush=True)
"
            )
            .unwrap();
        }
    }
    for (n, once, event) in events {
        let once = if *once { format!(" and first({n})") } else { String::new() };
        writeln!(text, "    if n == {n}{once}:\n        {event}").unwrap();
        if wire != Wire::Python {
            text.push_str("        continue\n");
        }
    }
    text.push_str(if wire == Wire::Python { "    return n * 1000 + K\n" } else { "    say()\n" });
    text
}

fn pipeline(wire: Wire, knobs: &str) -> String {
    let rows: Vec<String> = (0..PACKETS).map(|n| format!("{{ n: {n} }}")).collect();
    let function = match wire {
        Wire::Python => "python: { file: f.py, call: f }",
        Wire::Numbered | Wire::Plain => "command: { run: [python3, f.py], wire: jsonl }",
    };
    format!(
        "\
version: 1
name: chaos
nodes:
  rows: {{ rows: {{ rows: [ {} ] }} }}
  f:
    function: {{ input: rows, {function}, gives: {{ y: int64 }}, keep: true }}
{knobs}
  out: {{ write: {{ input: f, jsonl: {{ path: out.jsonl }} }} }}
",
        rows.join(", ")
    )
}

/// Returns true for what decision 26 leaves open: a worker without numbers may write a line too many after its next request
/// was sent, and end at a later packet before it has written more lines than it had requests.
fn ends_behind_by_a_line(wire: Wire, events: &[(u64, bool, &str)]) -> bool {
    let strays = |event: &str| {
        let lines = event.matches("say()").count() + event.matches("say(n - 1)").count();
        lines + event.matches("hello").count() + event.matches(", say)").count() > 1
    };
    let ends = |event: &str| {
        !event.contains("say")
            && ["_exit", "KILL", "sleep(600)", "close(1)"].iter().any(|end| event.contains(end))
    };
    let stray = events.iter().position(|(_, _, event)| strays(event));
    wire == Wire::Plain
        && stray.is_some_and(|stray| events.iter().skip(stray + 1).any(|(_, _, event)| ends(event)))
}

/// The rows of the output, each as its number and its answer.
fn written(folder: &Folder) -> Vec<(u64, i64)> {
    let rows = rows_of(&folder.path("out.jsonl"));
    rows.iter().map(|row| (row["n"].as_u64().unwrap(), row["y"].as_i64().unwrap())).collect()
}

fn answer(n: u64, version: u64) -> i64 {
    i64::try_from(n * 1000 + version).unwrap()
}

/// Outcomes of the seeds, so that a test of nothing is seen.
#[derive(Debug, Default)]
struct Found {
    whole: usize,
    parts: usize,
    failed: usize,
    stored: usize,
    of_later_versions: usize,
    left_open: usize,
}

fn one_seed(seed: u64, found: &mut Found) {
    let mut random = Random(seed);
    let wire = [Wire::Python, Wire::Numbered, Wire::Plain][usize::try_from(seed % 3).unwrap()];
    let choices = if wire == Wire::Python { CALLS } else { LINES };
    let packets: BTreeSet<u64> = (0..=random.below(4)).map(|_| random.below(PACKETS)).collect();
    let events: Vec<(u64, bool, &str)> = packets
        .into_iter()
        .map(|n| {
            (n, random.below(3) > 0, if random.below(4) == 0 { choices[0] } else { random.one_of(choices) })
        })
        .collect();
    if ends_behind_by_a_line(wire, &events) {
        found.left_open += 1;
        return;
    }
    let executor = random.one_of(&["async", "sync"]);
    let case = format!("seed {seed}: {wire:?}, {executor}, {events:?}");

    let folder = Folder::new();
    folder.write("marks/none", "");
    folder.write("lib/helper.py", "");
    for version in 1..=VERSIONS {
        folder.write(&format!("versions/{version}.py"), &code(wire, version, &events));
    }
    folder.write("f.py", &code(wire, 1, &events));
    let on_error = random.one_of(&["stop", "set_aside", "skip"]);
    let (concurrency, retries) = (1 + random.below(4), 1 + random.below(2));
    let knobs = format!(
        "    concurrency: {concurrency}\n    timeout: 400ms\n    on_error: {on_error}\n    retry: {{ attempts: {retries}, backoff: 1ms }}"
    );
    folder.write("pipeline.yaml", &pipeline(wire, &knobs));

    for _ in 0..3 {
        let _ = std::fs::remove_file(folder.path("out.jsonl"));
        let output = folder.run(&["run", "pipeline.yaml", "-q", "--executor", executor]);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!text.contains("panicked"), "{case}: {text}");
        match output.status.code() {
            Some(code @ (0 | 3)) => {
                let rows = written(&folder);
                let versions: BTreeSet<i64> = rows.iter().map(|(n, y)| y - answer(*n, 0)).collect();
                assert!(versions.len() <= 1, "{case}: rows of several versions: {rows:?}");
                let known = (1..=VERSIONS).map(|version| answer(0, version)).collect();
                assert!(versions.is_subset(&known), "{case}: an answer that no code gives: {rows:?}");
                let numbers: Vec<u64> = rows.iter().map(|(n, _)| *n).collect();
                if code == 0 {
                    assert_eq!(numbers, (0..PACKETS).collect::<Vec<_>>(), "{case}");
                    found.whole += 1;
                } else {
                    assert!(numbers.is_sorted() && PACKETS > rows.len() as u64, "{case}: {rows:?}");
                    found.parts += 1;
                }
            }
            Some(1) => {
                assert!(
                    text.contains("\"f\"") || text.contains("f.py"),
                    "{case}: it does not say why: {text}"
                );
                assert!(!folder.path("out.jsonl").exists(), "{case}: it published");
                found.failed += 1;
            }
            other => panic!("{case}: ended with {other:?}: {text}"),
        }
    }

    let knobs = "    cache: replay\n    on_error: skip";
    folder.write("pipeline.yaml", &pipeline(wire, knobs));
    for version in 1..=VERSIONS {
        folder.write("f.py", &code(wire, version, &events));
        let output = folder.run(&["run", "pipeline.yaml", "-q"]);
        let ended = output.status.code();
        assert!(matches!(ended, Some(0 | 3)), "{case}: {}", String::from_utf8_lossy(&output.stderr));
        let rows = written(&folder);
        for (n, y) in &rows {
            assert_eq!(*y, answer(*n, version), "{case}: stored for {n} by version {version}");
        }
        found.stored += rows.len();
        found.of_later_versions += if version > 1 { rows.len() } else { 0 };
    }
}

/// A quarter of the seeds.
fn quarter(part: u64) {
    let seeds: u64 = std::env::var("ANABRANCH_CHAOS").ok().and_then(|text| text.parse().ok()).unwrap_or(24);
    let mut found = Found::default();
    for seed in (part..seeds).step_by(4) {
        one_seed(seed, &mut found);
    }
    assert!(
        found.failed > 0 && found.whole + found.parts > 0,
        "nothing went wrong, or nothing went well: {found:?}"
    );
    let seeds = usize::try_from(seeds / 4).unwrap();
    assert!(found.left_open * 10 <= seeds, "{} of {seeds} seeds were left out", found.left_open);
    assert!(found.stored > 0 && found.of_later_versions > 0, "nothing was stored: {found:?}");
}

#[test]
fn a_first_quarter_of_the_seeds_stores_nothing_but_what_its_code_computes() {
    quarter(0);
}

#[test]
fn a_second_quarter_of_the_seeds_stores_nothing_but_what_its_code_computes() {
    quarter(1);
}

#[test]
fn a_third_quarter_of_the_seeds_stores_nothing_but_what_its_code_computes() {
    quarter(2);
}

#[test]
fn a_fourth_quarter_of_the_seeds_stores_nothing_but_what_its_code_computes() {
    quarter(3);
}
