//! Rows that a run left out, and what to type to learn more.

use std::fmt::Write as _;
use std::path::Path;

use anabranch::{NodeSummary, Summary};
use serde_json::{Value, json};

/// A count of rows of a function node, as its summary names it.
const COUNTS: [&str; 3] = ["set_aside", "skipped", "dropped"];

/// Rows that a node left out, in the order of [`COUNTS`].
struct LeftOut {
    node: String,
    rows: [u64; 3],
    /// Whether the rows that are left can be shown.
    recorded: bool,
}

/// What became of a run's rows that its functions gave nothing for, a line for each way, with what to type.
pub(super) fn of_run(summary: &Summary, file: &Path) -> String {
    of_document(&summary.to_json(), file, None)
}

/// [`of_run`] of a run that did not succeed, which may have `failed` on packets that the store has.
pub(super) fn of_failed_run(nodes: &[NodeSummary], file: &Path, run: &str, failed: bool) -> String {
    let nodes: Vec<Value> = nodes.iter().map(NodeSummary::to_json).collect();
    let mut text = of_document(&json!({ "nodes": nodes }), file, Some(run));
    if failed {
        let file = quoted(&file.display().to_string());
        let _ = writeln!(text, "anabranch errors {file} --run {run} shows all packets that it failed on");
    }
    text
}

/// [`of_run`] from the document of a summary; `run` is named where it need not be the last one.
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
        let rows_of = |node: &LeftOut| node.rows.get(at).copied().unwrap_or(0);
        let rows: u64 = nodes.iter().map(rows_of).sum();
        let nodes: Vec<&LeftOut> = nodes.iter().filter(|node| rows_of(node) > 0).collect();
        if !nodes.is_empty() {
            let rows = if rows == 1 { "1 row".to_owned() } else { format!("{rows} rows") };
            let _ = writeln!(text, "{rows} {}", told(at, &nodes, file, run));
        }
    }
    text
}

/// What became of rows, by the place of their count.
fn told(at: usize, nodes: &[&LeftOut], file: &Path, run: Option<&str>) -> String {
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

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+,@%=".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}
