//! Operators of a pipeline file.

use anabranch_operators::{
    Antijoin, Batch, DropColumns, Filter, Join, Map, MergeJoin, Select, Semijoin, Sort, Unbatch, Union,
};

use super::body::Body;
use super::literals::literal;
use crate::graph::{NodeHandle, Pipeline};
use crate::node::PlanError;

/// Adds an operator by its kind; `None` for a kind that is none.
pub(crate) fn add(
    pipeline: &mut Pipeline,
    name: &str,
    kind: &str,
    body: Body<'_>,
    inputs: &[NodeHandle],
) -> Option<Result<NodeHandle, PlanError>> {
    let inputs = inputs.iter().copied();
    let (tags, packets, strict) = (body.texts("tags"), body.texts("packets"), body.flag("strict"));
    Some(match kind {
        "select" => pipeline.operator(name, Select { tags, packets, strict }, inputs),
        "drop" => pipeline.operator(name, DropColumns { tags, packets, strict }, inputs),
        "map" => pipeline.operator(name, map(body), inputs),
        "filter" => pipeline.operator(name, filter(body), inputs),
        "join" => pipeline.operator(name, Join::new().cross(body.flag("cross")), inputs),
        "merge_join" => pipeline.operator(name, MergeJoin::new().cross(body.flag("cross")), inputs),
        "batch" => pipeline.operator(name, batch(body), inputs),
        "unbatch" => pipeline.operator(name, Unbatch::new(), inputs),
        "sort" => pipeline.operator(name, Sort::by(body.texts("by").unwrap_or_default()), inputs),
        "semijoin" => pipeline.operator(name, Semijoin::new(), inputs),
        "antijoin" => pipeline.operator(name, Antijoin::new(), inputs),
        "union" => pipeline.operator(name, Union::new(), inputs),
        _ => return None,
    })
}

fn batch(body: Body<'_>) -> Batch {
    let mut batch =
        Batch::new().drop_partial(body.flag("drop_partial")).allow_unordered(body.flag("allow_unordered"));
    if let Some(size) = body.count("size") {
        batch = batch.size(size);
    }
    match body.texts("by") {
        Some(by) => batch.by(by),
        None => batch,
    }
}

fn map(body: Body<'_>) -> Map {
    Map::packets(body.text_pairs("packets"))
        .and_tags(body.text_pairs("tags"))
        .drop_unmapped(body.flag("drop_unmapped"))
        .strict(body.flag("strict"))
}

fn filter(body: Body<'_>) -> Filter {
    let equals = body.scalar_pairs("equals").into_iter().map(|(column, value)| (column, literal(&value)));
    let filter = body.text("where").map_or_else(Filter::new, Filter::predicate);
    filter.and_equals(equals)
}
