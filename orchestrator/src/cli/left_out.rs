//! Rows that a run left out, with commands that show more.

use std::fmt::Write as _;
use std::path::Path;

use anabranch::{NodeSummary, Summary};
use anabranch_engine::index::At as _;
use serde_json::{Value, json};

/// Names of the counts of a function node's rows in its summary.
const COUNTS: [&str; 3] = ["set_aside", "skipped", "dropped"];

/// Rows that a node left out, in the order of [`COUNTS`].
struct LeftOut {
    node: String,
    rows: [u64; 3],
    /// True if the remaining rows are recorded and can be shown.
    recorded: bool,
}

/// Describes a run's rows that its functions left out, a line for each reason, with a command to type.
pub(super) fn of_run(summary: &Summary, file: &Path) -> String {
    of_document(&summary.to_json(), file, None)
}

/// Describes rows as [`of_run`], for a run that did not succeed and may have stored packets that `failed`.
pub(super) fn of_failed_run(nodes: &[NodeSummary], file: &Path, run: &str, failed: bool) -> String {
    let nodes: Vec<Value> = nodes.iter().map(NodeSummary::to_json).collect();
    let mut text = of_document(&json!({ "nodes": nodes }), file, Some(run));
    if failed {
        let file = quoted(&file.display().to_string());
        let _ = writeln!(text, "anabranch errors {file} --run {run} shows all packets that it failed on");
    }
    text
}

/// Describes rows as [`of_run`], from the document of a summary; `run` is given if it need not be the last one.
pub(super) fn of_document(summary: &Value, file: &Path, run: Option<&str>) -> String {
    let whole = summary.get("status").and_then(Value::as_str) == Some("ok");
    let nodes = summary.get("nodes").and_then(Value::as_array).into_iter().flatten();
    let nodes: Vec<LeftOut> = nodes
        .map(|node| LeftOut {
            node: node.get("name").and_then(Value::as_str).unwrap_or_default().to_owned(),
            rows: COUNTS.map(|name| node.get(name).and_then(Value::as_u64).unwrap_or(0)),
            recorded: whole && node.get("recorded").and_then(Value::as_bool).unwrap_or(false),
        })
        .collect();
    let mut text = String::new();
    for at in 0..COUNTS.len() {
        let rows_of = |node: &LeftOut| *node.rows.at(at, "count");
        let rows: u64 = nodes.iter().map(rows_of).sum();
        let nodes: Vec<&LeftOut> = nodes.iter().filter(|node| rows_of(node) > 0).collect();
        if !nodes.is_empty() {
            let rows = if rows == 1 { "1 row".to_owned() } else { format!("{rows} rows") };
            let _ = writeln!(text, "{rows} {}", advice(at, &nodes, file, run));
        }
    }
    text
}

/// Describes rows by the place of their count.
fn advice(at: usize, nodes: &[&LeftOut], file: &Path, run: Option<&str>) -> String {
    let names = anabranch::list(&nodes.iter().map(|node| node.node.clone()).collect::<Vec<_>>());
    let file = quoted(&file.display().to_string());
    let run = run.map_or_else(String::new, |run| format!(" --run {run}"));
    match at {
        0 => format!(
            "set aside, since the code of {names} failed; anabranch errors {file}{run} shows why, and the next run tries again"
        ),
        1 => format!(
            "skipped, since the code of {names} failed; with on_error: set_aside anabranch errors {file} shows why"
        ),
        _ => {
            let left = nodes.iter().find(|node| node.recorded).map_or_else(String::new, |node| {
                let node = quoted(&node.node);
                format!("; anabranch show {file} {node}{run} shows the rows that are left")
            });
            format!("dropped, since the code of {names} gave nothing for them{left}")
        }
    }
}

/// Quotes a word for a shell.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+,@%=".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}
