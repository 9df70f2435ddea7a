//! Rows that a run left out, and what to type to learn more.

use std::fmt::Write as _;
use std::path::Path;

use anabranch::Summary;
use serde_json::Value;

/// A count of rows of a function node, as its summary names it.
const COUNTS: [&str; 3] = ["set_aside", "skipped", "dropped"];

/// Rows that a node left out, in the order of [`COUNTS`].
struct LeftOut {
    node: String,
    rows: [u64; 3],
}

/// What became of a run's rows that its functions gave nothing for, a line for each way, with what to type.
pub(super) fn of_run(summary: &Summary, file: &Path) -> String {
    of_document(&summary.to_json(), file, None)
}

/// [`of_run`] from the document of a summary; `run` is named where it need not be the last one.
pub(super) fn of_document(summary: &Value, file: &Path, run: Option<&str>) -> String {
    let nodes = summary.get("nodes").and_then(Value::as_array).into_iter().flatten();
    let nodes: Vec<LeftOut> = nodes
        .map(|node| LeftOut {
            node: node.get("name").and_then(Value::as_str).unwrap_or_default().to_owned(),
            rows: COUNTS.map(|name| node.get(name).and_then(Value::as_u64).unwrap_or(0)),
        })
        .collect();
    let mut text = String::new();
    for at in 0..COUNTS.len() {
        let rows_of = |node: &LeftOut| node.rows.get(at).copied().unwrap_or(0);
        let rows: u64 = nodes.iter().map(rows_of).sum();
        let names: Vec<String> =
            nodes.iter().filter(|node| rows_of(node) > 0).map(|node| node.node.clone()).collect();
        let Some(first) = names.first() else { continue };
        let rows = if rows == 1 { "1 row".to_owned() } else { format!("{rows} rows") };
        let _ = writeln!(text, "{rows} {}", told(at, &names, first, file, run));
    }
    text
}

/// What became of rows, by the place of their count.
fn told(at: usize, names: &[String], first: &str, file: &Path, run: Option<&str>) -> String {
    let (names, file) = (anabranch::list(names), quoted(&file.display().to_string()));
    let run = run.map_or_else(String::new, |run| format!(" --run {run}"));
    match at {
        0 => format!(
            "set aside, since the code of {names} failed; anabranch errors {file}{run} shows why, and the next run tries again"
        ),
        1 => format!(
            "skipped, since the code of {names} failed; with on_error: set_aside anabranch errors {file} shows why"
        ),
        _ => format!(
            "dropped, since the code of {names} gave nothing for them; anabranch show {file} {}{run} shows the rows that are left",
            quoted(first)
        ),
    }
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+,@%=".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}
