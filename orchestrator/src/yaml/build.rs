//! Builds the nodes of a file through the pipeline's builder, and gives its errors their places.

use std::num::{NonZeroU32, NonZeroUsize};

use anabranch_nodes::function::{CacheMode, NoneOutput, OutputOrder, Rate, Retry};

use super::body::Body;
use super::graph::{Declared, INPUT_KEYS, Nodes};
use super::kinds::{self, NODE};
use super::outputs::Around;
use super::report::{Finding, Place, Report};
use super::settings::on_error;
use super::tree::{Entry, Node, quoted};
use super::{cache, operators, outputs, sources};
use crate::graph::{NodeHandle, Pipeline};
use crate::node::PlanError;

/// Adds all nodes in the order given. What is unsound, and all below it, is left out in silence:
/// its fault has been told.
pub(crate) fn build(
    report: &mut Report,
    pipeline: &mut Pipeline,
    nodes: &Nodes,
    order: &[usize],
    secrets: &[String],
) {
    let mut handles: Vec<Option<NodeHandle>> = vec![None; nodes.len()];
    for at in order {
        let Some((name, declared)) = nodes.get_index(*at) else { continue };
        let sound =
            check_knobs(report, name, declared) && check_none(report, name, declared) && declared.sound;
        let handle = |input: &(String, Place)| {
            nodes.get_index_of(&input.0).and_then(|at| handles.get(at).copied().flatten())
        };
        let inputs: Option<Vec<NodeHandle>> = declared.inputs.iter().map(handle).collect();
        let (true, Some(inputs)) = (sound, inputs) else { continue };
        // A sound node has a builder; one that had none must not go missing in silence.
        let missing = || Err(PlanError::new(name, "this version cannot build it; report this as a defect"));
        let folder = report.folder(declared.entry.key_place.file).to_owned();
        let around = Around { folder: &folder, secrets, none: none(declared) };
        let added = add(pipeline, name, declared, &inputs, &around).unwrap_or_else(missing);
        match added.and_then(|handle| set_knobs(pipeline, handle, declared).map(|()| handle)) {
            Ok(handle) => {
                if let Some(slot) = handles.get_mut(*at) {
                    *slot = Some(handle);
                }
            }
            Err(error) => report.push(plan_finding(declared, &error)),
        }
    }
}

/// Adds a node by its kind; `None` where the kind has no builder or an input is missing, neither
/// of which a sound node can have.
fn add(
    pipeline: &mut Pipeline,
    name: &str,
    declared: &Declared,
    inputs: &[NodeHandle],
    around: &Around<'_>,
) -> Option<Result<NodeHandle, PlanError>> {
    let kind = declared.kind?;
    let body = Body::new(declared.body(), kinds::shape(kind)?);
    match kind {
        "csv" | "parquet" | "jsonl" | "arrow" | "rows" | "derived" => {
            sources::add(pipeline, name, kind, body, cache::cumulative(declared))
        }
        "function" => Some(pipeline.function(name, *inputs.first()?, outputs::function(name, body, around)?)),
        "write" => Some(pipeline.write(name, *inputs.first()?, outputs::write(body)?)),
        _ => operators::add(pipeline, name, kind, body, inputs),
    }
}

/// Tells knobs that stand beside a kind that has no use for them.
fn check_knobs(report: &mut Report, name: &str, declared: &Declared) -> bool {
    let mut sound = cache::check(report, name, declared);
    let Some(kind) = declared.kind.filter(|kind| *kind != "function") else { return sound };
    for key in ["concurrency", "on_error", "timeout", "retry", "rate", "order"] {
        let Some(entry) = declared.entry.value.entry(key) else { continue };
        let message = format!("node {}: {key} is for function nodes, found it beside {kind}", quoted(name));
        report.push(Finding::error(entry.key_place, message).help("remove it"));
        sound = false;
    }
    sound
}

/// Where a node may say what None stands for.
fn nones(declared: &Declared) -> impl Iterator<Item = &Entry> {
    let body = declared.body().filter(|_| declared.kind == Some("function"));
    let python = body.and_then(|body| body.get("python"));
    [Some(&declared.entry.value), body, python].into_iter().flatten().filter_map(|node| node.entry("none"))
}

fn none(declared: &Declared) -> NoneOutput {
    match nones(declared).next().and_then(|entry| entry.value.text()) {
        Some("drop") => NoneOutput::Drop,
        Some("null") => NoneOutput::Null,
        _ => NoneOutput::Error,
    }
}

/// Tells where a node says what None stands for and has no Python function, or says it twice.
fn check_none(report: &mut Report, name: &str, declared: &Declared) -> bool {
    let mut found = nones(declared);
    let Some(first) = found.next() else { return true };
    let function = declared.body().filter(|_| declared.kind == Some("function"));
    let finding = if function.and_then(|body| body.get("python")).is_none() {
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

/// Sets the knobs of a node that was added just now.
fn set_knobs(pipeline: &mut Pipeline, node: NodeHandle, declared: &Declared) -> Result<(), PlanError> {
    let knobs = Body::new(Some(&declared.entry.value), &NODE);
    if let Some(label) = knobs.text("label") {
        pipeline.set_label(node, label)?;
    }
    if let Some(mode) = cache::record_mode(declared) {
        pipeline.set_recording(node, mode)?;
    }
    if declared.kind == Some("function") { set_function_knobs(pipeline, node, &knobs) } else { Ok(()) }
}

fn set_function_knobs(pipeline: &mut Pipeline, node: NodeHandle, knobs: &Body<'_>) -> Result<(), PlanError> {
    if let Some(mode) = cache_mode(knobs) {
        pipeline.set_cache(node, mode)?;
    }
    if let Some(concurrency) = knobs.count("concurrency").and_then(NonZeroUsize::new) {
        pipeline.set_concurrency(node, concurrency)?;
    }
    if let Some(timeout) = knobs.duration("timeout") {
        pipeline.set_timeout(node, timeout)?;
    }
    if let Some(retry) = retry(knobs) {
        pipeline.set_retry(node, retry)?;
    }
    if let Some(Ok(rate)) = knobs.number("rate").map(Rate::per_second) {
        pipeline.set_rate(node, rate)?;
    }
    if let Some(on_error) = on_error(knobs) {
        pipeline.set_on_error(node, on_error)?;
    }
    if knobs.text("order").as_deref() == Some("arrival") {
        pipeline.set_order(node, OutputOrder::Arrival)?;
    }
    Ok(())
}

fn cache_mode(knobs: &Body<'_>) -> Option<CacheMode> {
    match knobs.text("cache")?.as_str() {
        "reuse" => Some(CacheMode::Reuse),
        "refresh" => Some(CacheMode::Refresh),
        "off" => Some(CacheMode::Off),
        "replay" => Some(CacheMode::Replay),
        "verify" => Some(CacheMode::Verify),
        _ => None,
    }
}

fn retry(knobs: &Body<'_>) -> Option<Retry> {
    let body = Body::new(Some(knobs.given("retry")?), kinds::retry());
    let attempts = body.count("attempts").and_then(|n| u32::try_from(n).ok()).and_then(NonZeroU32::new)?;
    let retry = Retry::attempts(attempts);
    let retry = body.duration("backoff").map_or(retry, |backoff| retry.backoff(backoff));
    Some(body.number("jitter").map_or(retry, |jitter| retry.jitter(jitter)))
}

/// The builder's error at the place of what it is about: the parameter, the column, or the node.
fn plan_finding(declared: &Declared, error: &PlanError) -> Finding {
    let mut message = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(below) = cause {
        message.push_str(": ");
        message.push_str(&below.to_string());
        cause = below.source();
    }
    Finding::error(place_of(declared, error), message)
}

fn place_of(declared: &Declared, error: &PlanError) -> Place {
    let fallback = declared.entry.key_place;
    let Some(body) = declared.body() else { return fallback };
    // An output's expression stands one level below the parameter `sql`.
    let parameter = error
        .parameter()
        .and_then(|p| body.entry(p).or_else(|| body.entries().iter().find_map(|entry| entry.value.entry(p))));
    let within = parameter.map_or(body, |entry| &entry.value);
    let column = error.column().and_then(|column| {
        find_column(within, column)
            .or_else(|| find_column(body, column))
            .or_else(|| find_mention(body, column))
    });
    column.or_else(|| parameter.map(|entry| entry.value.place)).unwrap_or(fallback)
}

/// A column's place, but never that of an input that bears the same name.
fn find_column(node: &Node, column: &str) -> Option<Place> {
    if node.entries().is_empty() {
        return node.find_text(column);
    }
    let names_inputs = |key: &str| key == "inputs" || INPUT_KEYS.contains(&key);
    let values = node.entries().iter().filter(|e| !names_inputs(&e.key));
    values.map(|entry| &entry.value).find_map(|value| value.find_text(column))
}

/// The place of the first expression that mentions a column.
fn find_mention(body: &Node, column: &str) -> Option<Place> {
    let expressions = body.get("sql").map(Node::entries).unwrap_or_default().iter().map(|e| &e.value);
    let mentions = |text: &str| {
        text.split(|c: char| !(c.is_alphanumeric() || c == '_')).any(|word| word.eq_ignore_ascii_case(column))
            || text.contains(&format!("\"{column}\""))
    };
    expressions.chain(body.get("where")).find(|e| e.text().is_some_and(mentions)).map(|e| e.place)
}
