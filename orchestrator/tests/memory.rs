//! Files pass in bounded memory: what a run needs does not grow with them.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on panics")]

mod support;

use std::io::{BufWriter, Write as _};

use support::Folder;

const FORMATS: [&str; 4] = ["csv", "parquet", "jsonl", "arrow"];
/// More than buffers and the allocator need, far less than the large file.
const ALLOWANCE_BYTES: u64 = 48 << 20;

/// A folder with a file of so many rows in every format; gives the size of the CSV file too.
fn files(rows: u64) -> (Folder, u64) {
    let folder = Folder::new();
    let mut csv = BufWriter::new(std::fs::File::create(folder.path("rows.csv")).unwrap());
    writeln!(csv, "id,value,text").unwrap();
    for id in 0..rows {
        writeln!(csv, "{id},{}.25,a text of some length number {}", id % 977, id * 7919).unwrap();
    }
    drop(csv);
    folder.write("csv.yaml", &pipeline("csv"));
    let outputs: Vec<String> = FORMATS[1..].iter().map(|f| format!("rows=rows.{f}")).collect();
    let mut arguments = vec!["run", "csv.yaml"];
    for output in &outputs {
        arguments.extend(["--out", output]);
    }
    folder.json(&arguments);
    let bytes = folder.path("rows.csv").metadata().unwrap().len();
    (folder, bytes)
}

fn pipeline(format: &str) -> String {
    format!(
        "version: 1\nname: large\nnodes:\n  rows: {{ {format}: {{ path: rows.{format}, tags: [id] }} }}\n  some: {{ filter: {{ input: rows, where: \"value > 100\" }} }}\n  out: {{ write: {{ input: some, {format}: {{ path: out.{format} }} }} }}\n"
    )
}

fn peak_bytes(folder: &Folder, format: &str, rows: u64) -> u64 {
    folder.write("pipeline.yaml", &pipeline(format));
    let summary = folder.json(&["run", "pipeline.yaml", "-q"]);
    assert_eq!(summary["nodes"][0]["rows_out"], rows, "{summary}");
    summary["peak_memory_bytes"].as_u64().unwrap()
}

#[test]
fn a_large_file_of_any_format_needs_no_more_memory_than_a_small_one() {
    const SMALL: u64 = 50_000;
    const LARGE: u64 = 2_500_000;
    let ((small, _), (large, bytes)) = (files(SMALL), files(LARGE));
    assert!(bytes > 2 * ALLOWANCE_BYTES, "the large file is not large");
    for format in FORMATS {
        let (few, many) = (peak_bytes(&small, format, SMALL), peak_bytes(&large, format, LARGE));
        assert!(
            many < few + ALLOWANCE_BYTES,
            "{format}: {few} bytes for {SMALL} rows, {many} bytes for {LARGE}"
        );
    }
}
