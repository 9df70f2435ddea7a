//! `none`: the meaning of None in place of a Python function's outputs.

use anabranch_nodes::function::NoneOutput;

use super::DeclaredNode;
use super::class;
use crate::yaml::values::fields::{Field, Type};
use crate::yaml::values::report::{Finding, Report};
use crate::yaml::values::tree::{Entry, YamlNode, quoted};

/// The key, which is allowed beside the kind, under `function` and under `python`, since each is plausible.
pub(super) const NONE: Field = Field::optional(
    "none",
    Type::Choice(&["error", "drop", "null"]),
    "What None in place of a Python function's outputs stands for: a mistake (error, the default), no packet (drop), or null for each output (null).",
);

/// Returns the meaning that a node declares.
pub(crate) fn none(declared: &DeclaredNode) -> NoneOutput {
    match nones(declared).next().and_then(|entry| entry.value.text()) {
        Some("drop") => NoneOutput::Drop,
        Some("null") => NoneOutput::Null,
        _ => NoneOutput::Error,
    }
}

/// Reports a meaning that is declared twice, or without a Python function.
pub(crate) fn check(report: &mut Report, name: &str, declared: &DeclaredNode) -> bool {
    let mut found = nones(declared);
    let Some(first) = found.next() else { return true };
    let finding = if function(declared).and_then(|body| body.get("python")).is_none() {
        let message = format!("node {}: none is for Python functions, whose None it explains", quoted(name));
        Finding::error(first.key_place, message).help("remove it")
    } else if let Some(second) = found.next() {
        let message = format!("node {}: found none twice, expected it once", quoted(name));
        Finding::error(second.key_place, message)
            .help("remove one")
            .note(first.key_place, "the first is here")
    } else {
        return true;
    };
    report.push(finding);
    false
}

/// Returns the mapping of a function node.
fn function(declared: &DeclaredNode) -> Option<&YamlNode> {
    declared
        .body()
        .filter(|_| declared.kind.is_some_and(|kind| std::ptr::eq(kind.class, &raw const class::FUNCTION)))
}

/// Returns the entries of the key in all places where it may stand.
fn nones(declared: &DeclaredNode) -> impl Iterator<Item = &Entry> {
    let body = function(declared);
    let python = body.and_then(|body| body.get("python"));
    [Some(&declared.entry.value), body, python].into_iter().flatten().filter_map(|node| node.entry("none"))
}
