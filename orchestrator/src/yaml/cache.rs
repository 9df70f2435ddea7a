//! `cache`: each class of nodes has words of its own.

use anabranch_nodes::recording::RecordMode;

use super::graph::Declared;
use super::nearest::{did_you_mean, nearest};
use super::report::{Finding, Report};
use super::tree::quoted;

const FUNCTION: &[&str] = &["reuse", "refresh", "off", "replay", "verify"];
const OPERATOR: &[&str] = &["off", "log", "replay"];
const SOURCE: &[&str] = &["off", "cumulative"];
const NONE: &[&str] = &["off"];

/// Kinds whose rows come from outside.
const SOURCES: &[&str] = &["csv", "parquet", "jsonl", "arrow", "rows", "sqlite", "files", "from_topic"];

/// What the nodes of a kind are called, and what they may say.
fn class(kind: &str) -> (&'static str, &'static [&'static str]) {
    match kind {
        "function" => ("function nodes", FUNCTION),
        "write" | "to_topic" => ("sinks", NONE),
        "derived" => ("derived sources", NONE),
        kind if SOURCES.contains(&kind) => ("sources", SOURCE),
        _ => ("operators", OPERATOR),
    }
}

/// Whether `cache` says what the kind of node can do; tells where it does not.
pub(super) fn check(report: &mut Report, name: &str, declared: &Declared) -> bool {
    let Some(kind) = declared.kind else { return true };
    let Some(entry) = declared.entry.value.entry("cache") else { return true };
    let (class, words) = class(kind);
    let Some(found) = entry.value.text().filter(|found| !words.contains(found)) else { return true };
    let message = format!(
        "node {}: cache: {found} is not for {class}, found it beside {kind}, expected {}",
        quoted(name),
        words.join(" or ")
    );
    let help = match words {
        [_] => "remove it".to_owned(),
        _ => nearest(found, words.iter().copied())
            .map_or_else(|| "write `cache: off`, or remove it".to_owned(), did_you_mean),
    };
    report.push(Finding::error(entry.key_place, message).help(help));
    false
}

/// Whether a source keeps what it has read.
pub(super) fn cumulative(declared: &Declared) -> bool {
    declared.entry.value.get("cache").and_then(|node| node.text()) == Some("cumulative")
}

/// What an operator does with recordings; none where it says nothing, or is no operator.
pub(super) fn record_mode(declared: &Declared) -> Option<RecordMode> {
    if class(declared.kind?).1 != OPERATOR {
        return None;
    }
    match declared.entry.value.get("cache")?.text()? {
        "log" => Some(RecordMode::Log),
        "replay" => Some(RecordMode::Replay),
        _ => None,
    }
}
