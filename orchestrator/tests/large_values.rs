//! Values of megabytes pass in bounded memory, whatever their number: the system limits each process and tells what
//! it has taken.
//!
//! With `ANABRANCH_FULL_SIZE=1` in the numbers that the engine promises: 1,600 results of 3 MB within 256 MiB + 512 MiB,
//! and a text of 200 MB.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::format_collect,
    reason = "a test that cannot go on panics, and its texts are small"
)]

mod support;

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufWriter, Write as _};

use support::measured::Measured;
use support::{Folder, node, rows_of};

const MIB: u64 = 1 << 20;

/// A run of so many results of 3 MB, under a limit of the operators' memory, in a process that may have more.
struct Scale {
    results: u64,
    limit_mib: u64,
    /// Beyond the limit.
    more_mib: u64,
    /// Bytes of a text.
    text_bytes: usize,
}

fn scale() -> Scale {
    if std::env::var_os("ANABRANCH_FULL_SIZE").is_some() {
        return Scale { results: 1_600, limit_mib: 256, more_mib: 512, text_bytes: 200_000_000 };
    }
    Scale { results: 250, limit_mib: 64, more_mib: 512, text_bytes: 40_000_000 }
}

impl Scale {
    fn most_bytes(&self) -> u64 {
        (self.limit_mib + self.more_mib) * MIB
    }

    /// Output of the command, if it kept to the bound.
    fn within(&self, folder: &Folder, arguments: &[&str]) -> Measured {
        let measured = folder.measured(arguments, self.most_bytes() + 256 * MIB);
        let (peak, most) = (measured.peak_bytes / MIB, self.most_bytes() / MIB);
        assert!(measured.output.status.success(), "{arguments:?}: {}", measured.errors());
        assert!(peak <= most, "{arguments:?} took {peak} MiB, expected at most {most}");
        measured
    }
}

fn folder(scale: &Scale, output: &str) -> Folder {
    let folder = Folder::new();
    let rows: String = (0..scale.results).map(|n| format!("{n},{n}\n")).collect();
    folder.write("rows.csv", &format!("id,n\n{rows}"));
    folder.write("made.py", "def call(n):\n    return '%03d' % (n % 1000) * 1000000\n");
    let settings = format!("settings: {{ memory_limit: {}MiB }}", scale.limit_mib);
    folder.write(
        "pipeline.yaml",
        &format!(
            "version: 1\nname: large\n{settings}\nnodes:\n  rows: {{ csv: {{ path: rows.csv, tags: [id] }} }}\n  made: {{ function: {{ input: rows, python: {{ file: made.py, call: call }}, takes: [n], gives: {{ text: string }} }} }}\n{output}"
        ),
    );
    folder
}

fn computed_and_reused(run: &Measured) -> (u64, u64) {
    let summary: serde_json::Value = serde_json::from_slice(&run.output.stdout).unwrap();
    let function = node(&summary, "made");
    (function["computed"].as_u64().unwrap(), function["reused"].as_u64().unwrap())
}

#[test]
fn results_of_megabytes_are_computed_reused_and_replayed_in_bounded_memory() {
    let scale = scale();
    let folder = folder(&scale, "");
    let run = ["run", "pipeline.yaml", "--format", "json", "-q"];
    assert_eq!(computed_and_reused(&scale.within(&folder, &run)), (scale.results, 0));
    assert_eq!(computed_and_reused(&scale.within(&folder, &run)), (0, scale.results));
    scale.within(&folder, &["replay", "pipeline.yaml", "made", "--out", "all.jsonl"]);
    let lines = folder.path("all.jsonl").metadata().unwrap().len();
    assert!(lines > scale.results * 3_000_000, "{lines} bytes");
    scale.within(&folder, &["show", "pipeline.yaml", "made", "--head", "3"]);
    scale.within(&folder, &["plan", "pipeline.yaml"]);
}

#[test]
fn results_of_megabytes_are_written_in_bounded_memory() {
    let scale = scale();
    let writes = "  one: { write: { input: made, parquet: { path: out.parquet } } }\n  two: { write: { input: made, jsonl: { path: out.jsonl } } }\n";
    let folder = folder(&scale, writes);
    let run = ["run", "pipeline.yaml", "--format", "json", "-q"];
    for counts in [(scale.results, 0), (0, scale.results)] {
        assert_eq!(computed_and_reused(&scale.within(&folder, &run)), counts);
    }
    let lines = folder.path("out.jsonl").metadata().unwrap().len();
    assert!(lines > scale.results * 3_000_000, "{lines} bytes");
}

#[test]
fn a_large_text_is_read_in_bounded_memory_or_refused_with_the_limit() {
    let scale = scale();
    let folder = Folder::new();
    let text = "x".repeat(scale.text_bytes);
    folder.write("csv", &format!("id,text\n1,{text}\n2,short\n"));
    folder.write(
        "jsonl",
        &format!("{{\"id\": 1, \"text\": \"{text}\"}}\n{{\"id\": 2, \"text\": \"short\"}}\n"),
    );
    for format in ["csv", "jsonl"] {
        let settings = format!("settings: {{ memory_limit: {}MiB }}", scale.limit_mib);
        folder.write(
            "pipeline.yaml",
            &format!(
                "version: 1\nname: text\n{settings}\nnodes:\n  rows: {{ {format}: {{ path: {format}, tags: [id] }} }}\n  out: {{ write: {{ input: rows, parquet: {{ path: {format}.parquet }} }} }}\n"
            ),
        );
        let measured = folder.measured(&["run", "pipeline.yaml", "-q"], scale.most_bytes() + 256 * MIB);
        let (peak, most) = (measured.peak_bytes / MIB, scale.most_bytes() / MIB);
        assert!(peak <= most, "{format} took {peak} MiB, expected at most {most}");
        let errors = measured.errors();
        let refused = !measured.output.status.success() && errors.contains("more than 64 MiB");
        let read = measured.output.status.success();
        assert!(if scale.text_bytes > 64 << 20 { refused } else { read }, "{format}: {errors}");
    }
}

#[test]
fn a_large_text_of_a_function_goes_to_files_of_parquet_and_from_them_in_bounded_memory() {
    let scale = scale();
    let folder = Folder::new();
    // Not even a compressed page of it is small; the short ones before it have statistics and a dictionary.
    folder.write(
        "made.py",
        &format!(
            "import random\ndef call(n):\n    return random.Random(n).randbytes({} if n == 3 else 10).hex()\n",
            scale.text_bytes / 2
        ),
    );
    let settings =
        format!("version: 1\nname: text\nsettings: {{ memory_limit: {}MiB }}\nnodes:\n", scale.limit_mib);
    folder.write(
        "made.yaml",
        &format!(
            "{settings}  rows: {{ rows: {{ rows: [{{ n: 1 }}, {{ n: 2 }}, {{ n: 3 }}, {{ n: 4 }}] }} }}\n  made: {{ function: {{ input: rows, python: {{ file: made.py, call: call }}, gives: {{ text: string }}, keep: true }} }}\n  out: {{ write: {{ input: made, parquet: {{ path: 0.parquet }} }} }}\n"
        ),
    );
    scale.within(&folder, &["run", "made.yaml", "-q"]);
    for (from, to) in [("0.parquet", "1.parquet"), ("1.parquet", "2.parquet"), ("2.parquet", "3.jsonl")] {
        let format = to.split('.').next_back().unwrap();
        folder.write(
            "copied.yaml",
            &format!(
                "{settings}  rows: {{ parquet: {{ path: {from}, tags: [n] }} }}\n  out: {{ write: {{ input: rows, {format}: {{ path: {to} }} }} }}\n"
            ),
        );
        scale.within(&folder, &["run", "copied.yaml", "-q"]);
    }
    let lengths: Vec<usize> =
        rows_of(&folder.path("3.jsonl")).iter().map(|row| row["text"].as_str().unwrap().len()).collect();
    assert_eq!(lengths, [20, 20, scale.text_bytes, 20]);
}

/// Ten million rows on each side, whatever the scale: their keys and values alone are more than the limit.
#[test]
fn a_join_of_ten_million_rows_stays_within_the_limit_and_a_quarter() {
    const ROWS: u64 = 10_000_000;
    // A prime, so that each multiple is another key.
    const KEYS: u64 = 10_000_019;
    const LIMIT_MIB: u64 = 512;
    let folder = Folder::new();
    for (name, step) in [("left", 7_919), ("right", 104_729)] {
        let mut file = BufWriter::new(File::create(folder.path(&format!("{name}.csv"))).unwrap());
        writeln!(file, "k,{name}").unwrap();
        for row in 0..ROWS {
            writeln!(file, "{},{row}", row * step % KEYS).unwrap();
        }
        file.flush().unwrap();
    }
    folder.write(
        "pipeline.yaml",
        &format!(
            "version: 1\nname: join\nsettings: {{ memory_limit: {LIMIT_MIB}MiB }}\nnodes:\n  left: {{ csv: {{ path: left.csv, tags: [k] }} }}\n  right: {{ csv: {{ path: right.csv, tags: [k] }} }}\n  both: {{ join: {{ inputs: [left, right] }} }}\n  out: {{ write: {{ input: both, parquet: {{ path: out.parquet }} }} }}\n"
        ),
    );
    let most = LIMIT_MIB * 5 / 4;
    let measured = folder.measured(&["run", "pipeline.yaml", "--format", "json", "-q"], (most + 256) * MIB);
    assert!(measured.output.status.success(), "{}", measured.errors());
    let summary: serde_json::Value = serde_json::from_slice(&measured.output.stdout).unwrap();
    // Each side lacks the keys of the other's last steps.
    let keys = |step: u64| -> BTreeSet<u64> { (ROWS..KEYS).map(|row| row * step % KEYS).collect() };
    let lacking = keys(7_919).union(&keys(104_729)).count() as u64;
    assert_eq!(node(&summary, "both")["rows_out"].as_u64(), Some(KEYS - lacking), "{summary}");
    let peak = measured.peak_bytes / MIB;
    assert!(peak <= most, "it took {peak} MiB, expected at most {most}");
}

#[test]
fn columns_beyond_the_limit_are_refused_with_it() {
    let folder = Folder::new();
    let columns: Vec<String> = (0..1_000_000).map(|n| format!("c{n}")).collect();
    folder.write("wide.csv", &format!("{}\n{}\n", columns.join(","), vec!["1"; 1_000_000].join(",")));
    let keys = |row: usize| {
        let keys: Vec<String> = (0..20_000).map(|n| format!("\"k{row}_{n}\":1")).collect();
        format!("{{{}}}\n", keys.join(","))
    };
    folder.write("wide.jsonl", &(0..20).map(keys).collect::<String>());
    for format in ["csv", "jsonl"] {
        folder.write(
            "pipeline.yaml",
            &format!(
                "version: 1\nname: wide\nnodes:\n  rows: {{ {format}: {{ path: wide.{format} }} }}\n  out: {{ write: {{ input: rows, jsonl: {{ path: out.jsonl }} }} }}\n"
            ),
        );
        let measured = folder.measured(&["run", "pipeline.yaml", "-q"], 512 * MIB);
        let peak = measured.peak_bytes / MIB;
        assert!(peak <= 256, "{format} took {peak} MiB");
        assert_eq!(measured.output.status.code(), Some(2), "{}", measured.errors());
        assert!(measured.errors().contains("65536"), "{}", measured.errors());
    }
}

/// Where memory ends, one line says so, and the next run goes on from what was committed.
#[test]
fn memory_that_ends_is_told_in_a_line_and_leaves_the_store_whole() {
    let folder = folder(&Scale { results: 40, limit_mib: 64, more_mib: 0, text_bytes: 0 }, "");
    let run = ["run", "pipeline.yaml", "--format", "json", "-q"];
    let (mut ended, mut ended_memory) = (0, 0);
    for limit_mib in [24, 32, 40, 48, 64, 80, 96, 128] {
        let measured = folder.measured(&run, limit_mib * MIB);
        let (code, errors) = (measured.output.status.code(), measured.errors());
        assert!(
            !errors.contains("panicked at") && !errors.contains("stack backtrace"),
            "{limit_mib} MiB: {errors}"
        );
        if code != Some(0) {
            ended += 1;
            assert_eq!(code, Some(1), "{limit_mib} MiB: {errors}");
            assert!(errors.contains("error: "), "{limit_mib} MiB: nothing was said");
            if errors.contains("out of memory") {
                ended_memory += 1;
                // Rust's runtime prints a line of its own where a panic of another thread finds no memory to unwind.
                let also_panicked = errors.contains("failed to initiate panic");
                assert!(also_panicked || errors.lines().count() == 1, "{limit_mib} MiB: {errors}");
            }
        }
    }
    assert!(ended > 0 && ended_memory > 0, "no limit was too small: {ended}, {ended_memory}");
    let measured = folder.measured(&run, 1 << 30);
    let (computed, reused) = computed_and_reused(&measured);
    assert_eq!(computed + reused, 40, "{}", measured.errors());
    folder.text(&["cache", "verify", "pipeline.yaml"]);
}
