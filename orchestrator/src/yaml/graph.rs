//! The nodes of all files, their inputs, and an order in which each comes after its inputs.

use std::collections::BTreeSet;

use indexmap::IndexMap;

use super::check::Checker;
use super::fields::{ObjectSchema, Presence, Type};
use super::files::Document;
use super::kinds::{Kind, NODE};
use super::nearest::help_among;
use super::parameters::{Parameters, report_duplicate};
use super::report::{Finding, Place, Report};
use super::tree::{Entry, YamlNode, quoted};

/// A node as the files declare it.
#[derive(Debug)]
pub(crate) struct DeclaredNode {
    pub(crate) entry: Entry,
    /// Its kind, if it has exactly one of this version.
    pub(crate) kind: Option<&'static Kind>,
    /// True if no fault was found so far; an unsound node is not built, nor are the nodes below it.
    pub(crate) sound: bool,
    pub(crate) inputs: Vec<(String, Place)>,
}

impl DeclaredNode {
    fn new(entry: Entry, sound: bool) -> Self {
        let alternatives = NODE.fields.iter().filter(|f| f.presence == Presence::Alternative);
        let mut given = alternatives.filter(|f| entry.value.get(f.key).is_some());
        let kind = given.next().filter(|_| given.next().is_none()).and_then(|field| Kind::of(field.key));
        let body = kind.and_then(|kind| Some((kind, entry.value.get(kind.key())?)));
        let inputs = body.map(|(kind, body)| inputs(&kind.schema, body)).unwrap_or_default();
        Self { entry, kind, sound, inputs }
    }

    /// Returns the mapping under its kind.
    pub(crate) fn body(&self) -> Option<&YamlNode> {
        self.entry.value.get(self.kind?.key())
    }
}

/// Returns the names under the fields for inputs, in the order of the ports; other values are left out.
fn inputs(schema: &ObjectSchema, body: &YamlNode) -> Vec<(String, Place)> {
    let given =
        schema.fields.iter().filter(|field| field.names_nodes()).filter_map(|field| body.get(field.key));
    // A field for one input has a name, a field for several has a list of names.
    let names = given
        .flat_map(|node| if node.items().is_empty() { std::slice::from_ref(node) } else { node.items() });
    names.filter_map(|n| Some((n.text()?.to_owned(), n.place))).collect()
}

/// The nodes by name, in the order of the files.
pub(crate) type Nodes = IndexMap<String, DeclaredNode>;

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
pub(crate) fn order(report: &mut Report, nodes: &mut Nodes) -> Vec<usize> {
    report_bad_inputs(report, nodes);
    let mut waiting: Vec<usize> = Vec::with_capacity(nodes.len());
    let mut consumers: Vec<Vec<usize>> = vec![Vec::new(); nodes.len()];
    for (at, node) in nodes.values().enumerate() {
        let mut count = 0;
        for input in node.inputs.iter().filter_map(|(name, _)| nodes.get_index_of(name)) {
            if let Some(list) = consumers.get_mut(input) {
                list.push(at);
                count += 1;
            }
        }
        waiting.push(count);
    }
    // The next node is the first in the file that is ready: the order is the file's as far as possible.
    let mut ready: BTreeSet<usize> =
        waiting.iter().enumerate().filter(|(_, n)| **n == 0).map(|(at, _)| at).collect();
    let mut order = Vec::with_capacity(nodes.len());
    while let Some(at) = ready.pop_first() {
        order.push(at);
        for consumer in consumers.get(at).into_iter().flatten() {
            if let Some(count) = waiting.get_mut(*consumer) {
                *count = count.saturating_sub(1);
                if *count == 0 {
                    ready.insert(*consumer);
                }
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
        if let Some((_, node)) = nodes.get_index_mut(at) {
            node.sound = false;
        }
    }
}

/// Reports each cycle among the nodes that could not be put in order.
fn report_cycles(report: &mut Report, nodes: &Nodes, waiting: &[usize]) {
    let stuck = |at: usize| waiting.get(at).is_some_and(|count| *count > 0);
    let mut seen = vec![false; nodes.len()];
    for start in (0..nodes.len()).filter(|at| stuck(*at)) {
        let mut path: Vec<(usize, Place)> = Vec::new();
        let mut at = start;
        while let Some(first_time) = seen.get_mut(at).filter(|seen| !**seen) {
            *first_time = true;
            // A stuck node has a stuck input: that is why it is stuck.
            let next = nodes.get_index(at).and_then(|(_, node)| {
                node.inputs.iter().find_map(|(name, place)| {
                    nodes.get_index_of(name).filter(|input| stuck(*input)).map(|input| (input, *place))
                })
            });
            let Some((input, place)) = next else { break };
            path.push((at, place));
            at = input;
        }
        if let Some(from) = path.iter().position(|(node, _)| *node == at) {
            report_cycle(report, nodes, path.get(from..).unwrap_or_default());
        }
    }
}

/// Reports a cycle. Each of its nodes reads from the next, and the last from the first.
fn report_cycle(report: &mut Report, nodes: &Nodes, cycle: &[(usize, Place)]) {
    const SHOWN: usize = 20;
    let name = |at: usize| nodes.get_index(at).map_or("", |(name, _)| name.as_str());
    let Some((first, place)) = cycle.first() else { return };
    let mut flow: Vec<String> = std::iter::once(*first)
        .chain(cycle.iter().rev().map(|(at, _)| *at))
        .map(|at| quoted(name(at)))
        .collect();
    if flow.len() > SHOWN {
        flow.truncate(SHOWN);
        flow.push("..".to_owned());
    }
    let message = format!("nodes feed one another in a cycle: {}", flow.join(" -> "));
    let mut finding = Finding::error(*place, message).help("take the rows of a node outside the cycle");
    for (at, (node, _)) in cycle.iter().enumerate().take(SHOWN) {
        let input = cycle.get(at + 1).unwrap_or(&(*first, *place)).0;
        if let Some((_, declared)) = nodes.get_index(*node) {
            let message = format!("{} takes rows from {}", quoted(name(*node)), quoted(name(input)));
            finding = finding.note(declared.entry.key_place, message);
        }
    }
    report.push(finding);
}
