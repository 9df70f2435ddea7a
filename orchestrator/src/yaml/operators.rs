//! Operators of a pipeline file.

use anabranch_operators::{DropColumns, Filter, Join, Map, Select};

use super::body::Body;
use super::literals::literal;
use crate::pipeline::{NodeHandle, Pipeline, PlanError};

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
        _ => return None,
    })
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
