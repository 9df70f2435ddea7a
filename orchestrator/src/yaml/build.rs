//! Building of a file's nodes through the pipeline's builder, whose errors get their places here.

use anabranch_engine::index::IndexVec;

use super::graph::{DeclaredIndex, Nodes, declared, index_of};
use super::kinds::{BuildSite, DeclaredNode, Kind, NODE, check_knobs, check_none, none};
use super::values::body::Body;
use super::values::fields::{Field, ObjectSchema};
use super::values::report::{Finding, Place, Report};
use super::values::tree::YamlNode;
use crate::graph::{NodeHandle, Pipeline};
use crate::node::{PlanError, chain};

/// Adds all nodes in the given order. A node that is unsound, and all nodes below it, are left out without a further
/// finding: its fault is reported already.
pub(crate) fn build(
    report: &mut Report,
    pipeline: &mut Pipeline,
    nodes: &Nodes,
    order: &[DeclaredIndex],
    secrets: &[String],
) {
    let mut handles: IndexVec<DeclaredIndex, Option<NodeHandle>> = nodes.iter().map(|_| None).collect();
    for at in order {
        let (name, declared) = declared(nodes, *at);
        let sound =
            check_knobs(report, name, declared) && check_none(report, name, declared) && declared.sound;
        let handle = |(input, _): &(String, Place)| index_of(nodes, input).and_then(|at| handles[at]);
        let inputs: Option<Vec<NodeHandle>> = declared.inputs.iter().map(handle).collect();
        let (true, Some(kind), Some(inputs)) = (sound, declared.kind, inputs) else { continue };
        let folder = report.folder(declared.entry.key_place.file).to_owned();
        let mut site = BuildSite {
            pipeline: &mut *pipeline,
            name,
            body: Body::new(declared.body(), &kind.schema),
            inputs: &inputs,
            cumulative: declared.entry.value.get("cache").and_then(YamlNode::text) == Some("cumulative"),
            folder: &folder,
            secrets,
            none: none(declared),
        };
        let built = (kind.build)(&mut site).and_then(|node| {
            set_knobs(pipeline, node, kind, declared)?;
            Ok(node)
        });
        match built {
            Ok(handle) => handles[*at] = Some(handle),
            Err(error) => report.push(Finding::error(place_of(declared, &error), chain(&error))),
        }
    }
}

/// Sets the knobs of a newly added node.
fn set_knobs(
    pipeline: &mut Pipeline,
    node: NodeHandle,
    kind: &Kind,
    declared: &DeclaredNode,
) -> Result<(), PlanError> {
    let knobs = Body::new(Some(&declared.entry.value), &NODE);
    if let Some(label) = knobs.text("label") {
        pipeline.set_label(node, label)?;
    }
    (kind.class.set_knobs)(pipeline, node, &knobs)
}

/// Returns the place of the subject of a builder's error: the parameter, the column, or the node.
fn place_of(declared: &DeclaredNode, error: &PlanError) -> Place {
    let fallback = declared.entry.key_place;
    let (Some(kind), Some(body)) = (declared.kind, declared.body()) else { return fallback };
    // An output's expression stands one level below the parameter `sql`.
    let parameter = error
        .parameter()
        .and_then(|p| body.entry(p).or_else(|| body.entries().iter().find_map(|entry| entry.value.entry(p))));
    let within = parameter.map_or(body, |entry| &entry.value);
    let column = error.column().and_then(|column| {
        find_column(&kind.schema, within, column)
            .or_else(|| find_column(&kind.schema, body, column))
            .or_else(|| find_mention(body, column))
    });
    column.or_else(|| parameter.map(|entry| entry.value.place)).unwrap_or(fallback)
}

/// Returns a column's place, but never that of an input of the same name.
fn find_column(schema: &ObjectSchema, node: &YamlNode, column: &str) -> Option<Place> {
    if node.entries().is_empty() {
        return node.find_text(column);
    }
    let names_inputs = |key: &str| schema.field(key).is_some_and(Field::names_nodes);
    let values = node.entries().iter().filter(|e| !names_inputs(&e.key));
    values.map(|entry| &entry.value).find_map(|value| value.find_text(column))
}

/// Returns the place of the first expression that mentions a column.
fn find_mention(body: &YamlNode, column: &str) -> Option<Place> {
    let expressions = body.get("sql").map(YamlNode::entries).unwrap_or_default().iter().map(|e| &e.value);
    let mentions = |text: &str| {
        text.split(|c: char| !(c.is_alphanumeric() || c == '_')).any(|word| word.eq_ignore_ascii_case(column))
            || text.contains(&format!("\"{column}\""))
    };
    expressions.chain(body.get("where")).find(|e| e.text().is_some_and(mentions)).map(|e| e.place)
}
