//! The nodes of all files, their inputs, and an order in which each comes after its inputs.

use std::collections::BTreeSet;

use anabranch_engine::index::{IndexVec, TypedIndex as _};
use anabranch_engine::typed_index;
use indexmap::IndexMap;

use super::check::Checker;
use super::files::Document;
use super::kinds::{DeclaredNode, NODE};
use super::parameters::{Parameters, report_duplicate};
use super::values::fields::Type;
use super::values::nearest::help_among;
use super::values::report::{Finding, Place, Report};
use super::values::tree::{YamlNode, quoted};

/// The nodes by name, in the order of the files.
pub(crate) type Nodes = IndexMap<String, DeclaredNode>;

typed_index! {
    /// Position of a node among the declared ones.
    pub(crate) struct DeclaredIndex("declared node");
}

/// Returns the node at a position, with its name.
pub(crate) fn declared(nodes: &Nodes, at: DeclaredIndex) -> (&str, &DeclaredNode) {
    match nodes.get_index(at.position()) {
        Some((name, node)) => (name, node),
        None => panic!("declared node {} must be one of {}", at.position(), nodes.len()),
    }
}

/// Returns the position of the node of that name.
pub(crate) fn index_of(nodes: &Nodes, name: &str) -> Option<DeclaredIndex> {
    nodes.get_index_of(name).map(DeclaredIndex::from_position)
}

/// Collects and checks the nodes of all documents; reports names that are declared twice.
pub(crate) fn collect(report: &mut Report, documents: &mut [Document], parameters: &Parameters) -> Nodes {
    let mut nodes = Nodes::new();
    for document in documents {
        // An empty mapping remains, so that the check of the file finds the key.
        let entries = document.root.get_mut("nodes").map(YamlNode::take_entries).unwrap_or_default();
        for mut entry in entries {
            let scope = format!("node {}", quoted(&entry.key));
            let at = entry.key_place;
            let sound = Checker::new(report, Some(parameters), &scope).value(
                &mut entry.value,
                &Type::Record(&NODE),
                &scope,
                at,
            );
            match nodes.get(&entry.key) {
                Some(first) => report_duplicate(report, "node", &entry, first.entry.key_place),
                None => {
                    nodes.insert(entry.key.clone(), DeclaredNode::new(entry, sound));
                }
            }
        }
    }
    nodes
}

/// Returns an order in which every node comes after its inputs. Nodes in cycles and below them are left out; the cycles
/// are reported.
pub(crate) fn order(report: &mut Report, nodes: &mut Nodes) -> Vec<DeclaredIndex> {
    report_bad_inputs(report, nodes);
    let mut waiting: IndexVec<DeclaredIndex, usize> = IndexVec::new();
    let mut consumers: IndexVec<DeclaredIndex, Vec<DeclaredIndex>> =
        nodes.iter().map(|_| Vec::new()).collect();
    for node in nodes.values() {
        let inputs: Vec<DeclaredIndex> =
            node.inputs.iter().filter_map(|(name, _)| index_of(nodes, name)).collect();
        let consumer = waiting.push(inputs.len());
        for input in inputs {
            consumers[input].push(consumer);
        }
    }
    // The next node is the first in the file that is ready: the order is the file's as far as possible.
    let mut ready: BTreeSet<DeclaredIndex> =
        waiting.enumerated().filter(|(_, count)| **count == 0).map(|(at, _)| at).collect();
    let mut order = Vec::with_capacity(nodes.len());
    while let Some(at) = ready.pop_first() {
        order.push(at);
        for consumer in &consumers[at] {
            waiting[*consumer] -= 1;
            if waiting[*consumer] == 0 {
                ready.insert(*consumer);
            }
        }
    }
    report_cycles(report, nodes, &waiting);
    order
}

fn report_bad_inputs(report: &mut Report, nodes: &mut Nodes) {
    let mut unsound = Vec::new();
    for (at, (name, node)) in nodes.iter().enumerate() {
        for (input, place) in &node.inputs {
            let finding = match nodes.get(input) {
                None => {
                    let message = format!(
                        "node {}: there is no node {} to take rows from",
                        quoted(name),
                        quoted(input)
                    );
                    let others = nodes.keys().filter(|other| *other != name).map(String::as_str);
                    let help = (!report.is_full()).then(|| help_among(input, others, "other nodes"));
                    Finding::error(*place, message).maybe_help(help)
                }
                Some(DeclaredNode { kind: Some(kind), entry, .. }) if !kind.class.gives_rows => {
                    let message =
                        format!("node {}: {} is a sink, which gives no rows", quoted(name), quoted(input));
                    Finding::error(*place, message)
                        .help("take the sink's input instead")
                        .note(entry.key_place, "the sink is here")
                }
                Some(_) => continue,
            };
            report.push(finding);
            unsound.push(at);
        }
    }
    for at in unsound {
        nodes[at].sound = false;
    }
}

/// Reports each cycle among the nodes that could not be put in order.
fn report_cycles(report: &mut Report, nodes: &Nodes, waiting: &IndexVec<DeclaredIndex, usize>) {
    let mut seen: IndexVec<DeclaredIndex, bool> = waiting.iter().map(|_| false).collect();
    for start in waiting.indices().filter(|at| waiting[*at] > 0) {
        let mut path: Vec<(DeclaredIndex, Place)> = Vec::new();
        let mut at = start;
        while !std::mem::replace(&mut seen[at], true) {
            let (input, place) = waiting_input(nodes, waiting, at);
            path.push((at, place));
            at = input;
        }
        if let Some(from) = path.iter().position(|(node, _)| *node == at) {
            report_cycle(report, nodes, &path.split_off(from));
        }
    }
}

/// Returns an input for which a node waits, with the place of its name.
fn waiting_input(
    nodes: &Nodes,
    waiting: &IndexVec<DeclaredIndex, usize>,
    at: DeclaredIndex,
) -> (DeclaredIndex, Place) {
    let (name, node) = declared(nodes, at);
    let inputs = node.inputs.iter().filter_map(|(name, place)| Some((index_of(nodes, name)?, *place)));
    let mut waited_for = inputs.filter(|(input, _)| waiting[*input] > 0);
    waited_for.next().unwrap_or_else(|| panic!("node \"{name}\" must wait for a node that waits"))
}

/// Reports a cycle. Each of its nodes reads from the next, and the last from the first.
fn report_cycle(report: &mut Report, nodes: &Nodes, cycle: &[(DeclaredIndex, Place)]) {
    const SHOWN: usize = 20;
    let [(first, place), ..] = cycle else { panic!("a cycle must have a node") };
    let name = |at: DeclaredIndex| quoted(declared(nodes, at).0);
    let mut flow: Vec<String> = std::iter::once(*first)
        .chain(cycle.iter().rev().map(|(at, _)| *at))
        .take(SHOWN + 1)
        .map(name)
        .collect();
    if flow.len() > SHOWN {
        flow.truncate(SHOWN);
        flow.push("..".to_owned());
    }
    let message = format!("nodes feed one another in a cycle: {}", flow.join(" -> "));
    let mut finding = Finding::error(*place, message).help("take the rows of a node outside the cycle");
    for ((node, _), (input, _)) in cycle.iter().zip(cycle.iter().cycle().skip(1)).take(SHOWN) {
        let message = format!("{} takes rows from {}", name(*node), name(*input));
        finding = finding.note(declared(nodes, *node).1.entry.key_place, message);
    }
    report.push(finding);
}
