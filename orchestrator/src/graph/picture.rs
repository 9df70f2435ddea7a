//! Pictures of a pipeline, in languages that other programs draw.

use std::fmt::Write as _;

use anabranch_engine::index::TypedIndex as _;

use super::Pipeline;
use crate::node::Node;

/// Returns a flowchart in Mermaid's language, sources at the left.
#[must_use]
pub fn mermaid(pipeline: &Pipeline) -> String {
    let mut text = String::from("flowchart LR\n");
    for (at, node) in pipeline.nodes().enumerate() {
        let (open, close) = node.work.traits().brackets;
        // Writing to a string cannot fail.
        let _ = writeln!(text, "    n{at}{open}\"{}\"{close}", caption(node, "<br/>", html));
    }
    for (from, to) in edges(pipeline) {
        let _ = writeln!(text, "    n{from} --> n{to}");
    }
    text
}

/// Returns a graph in Graphviz' language.
#[must_use]
pub fn dot(pipeline: &Pipeline) -> String {
    let mut text = format!("digraph \"{}\" {{\n    rankdir=LR;\n", escaped(pipeline.name()));
    for (at, node) in pipeline.nodes().enumerate() {
        let shape = node.work.traits().shape;
        // Writing to a string cannot fail.
        let _ = writeln!(text, "    n{at} [shape={shape}, label=\"{}\"];", caption(node, "\\n", escaped));
    }
    for (from, to) in edges(pipeline) {
        let _ = writeln!(text, "    n{from} -> n{to};");
    }
    text.push_str("}\n");
    text
}

fn edges(pipeline: &Pipeline) -> impl Iterator<Item = (usize, usize)> {
    pipeline
        .nodes()
        .enumerate()
        .flat_map(|(to, node)| node.inputs.iter().map(move |from| (from.position(), to)))
}

fn caption(node: &Node, line: &str, escape: fn(&str) -> String) -> String {
    let label = node.label.as_ref().map_or_else(String::new, |label| format!("{line}{}", escape(label)));
    format!("{}{line}{}{label}", escape(&node.name), node.kind)
}

fn html(text: &str) -> String {
    text.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;").replace('>', "&gt;")
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
