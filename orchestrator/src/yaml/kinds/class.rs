//! Classes of kinds: the knobs that their nodes have, and the words of `cache`.

use super::DeclaredNode;
use super::knobs::{set_function_knobs, set_operator_knobs};
use crate::graph::{NodeHandle, Pipeline};
use crate::node::PlanError;
use crate::yaml::values::body::Body;
use crate::yaml::values::nearest::{did_you_mean, nearest};
use crate::yaml::values::report::{Finding, Report};
use crate::yaml::values::tree::quoted;

/// A class of kinds.
#[derive(Debug)]
pub(crate) struct Class {
    /// Noun for its nodes in messages.
    pub(crate) nodes: &'static str,
    /// True if other nodes can read rows from its nodes.
    pub(crate) gives_rows: bool,
    /// The words of `cache`.
    cache: &'static [&'static str],
    /// The knobs beside `label` and `cache`.
    knobs: &'static [&'static str],
    /// Sets the knobs of a node.
    pub(crate) set_knobs: fn(&mut Pipeline, NodeHandle, &Body<'_>) -> Result<(), PlanError>,
}

pub(super) static SOURCE: Class = Class {
    nodes: "sources",
    gives_rows: true,
    cache: &["off", "cumulative"],
    knobs: &[],
    set_knobs: |_, _, _| Ok(()),
};

pub(super) static DERIVED_SOURCE: Class = Class { nodes: "derived sources", cache: &["off"], ..SOURCE };

pub(super) static OPERATOR: Class =
    Class { nodes: "operators", cache: &["off", "log", "replay"], set_knobs: set_operator_knobs, ..SOURCE };

pub(super) static FUNCTION: Class = Class {
    nodes: "function nodes",
    cache: &["reuse", "refresh", "off", "replay", "verify"],
    knobs: &["concurrency", "on_error", "timeout", "retry", "rate", "order"],
    set_knobs: set_function_knobs,
    ..SOURCE
};

pub(super) static SINK: Class = Class { nodes: "sinks", gives_rows: false, cache: &["off"], ..SOURCE };

/// Reports knobs that stand beside a kind that does not have them.
pub(crate) fn check_knobs(report: &mut Report, name: &str, declared: &DeclaredNode) -> bool {
    let Some(kind) = declared.kind else { return true };
    let mut sound = check_cache(report, name, declared);
    for knob in FUNCTION.knobs.iter().filter(|knob| !kind.class.knobs.contains(knob)) {
        let Some(entry) = declared.entry.value.entry(knob) else { continue };
        let message = format!(
            "node {}: {knob} is for {}, found it beside {}",
            quoted(name),
            FUNCTION.nodes,
            kind.key()
        );
        report.push(Finding::error(entry.key_place, message).help("remove it"));
        sound = false;
    }
    sound
}

/// Reports a word of `cache` that the class does not have.
fn check_cache(report: &mut Report, name: &str, declared: &DeclaredNode) -> bool {
    let Some(kind) = declared.kind else { return true };
    let Class { nodes, cache: words, .. } = kind.class;
    let Some(entry) = declared.entry.value.entry("cache") else { return true };
    let Some(found) = entry.value.text().filter(|found| !words.contains(found)) else { return true };
    let message = format!(
        "node {}: cache: {found} is not for {nodes}, found it beside {}, expected {}",
        quoted(name),
        kind.key(),
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
