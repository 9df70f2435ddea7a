//! Provenance of inputs that have one pipeline hash, in an order that their places do not decide.
//!
//! Two such inputs could be given either way round without a trace in their columns' names. So
//! their tuples of (source id, record id) pairs are sorted in each row, as whole units.

use std::cmp::Ordering;
use std::io;
use std::sync::Arc;

use anabranch_engine::chunk::{Chunk, ChunkError};
use anabranch_engine::index::At as _;
use anabranch_engine::operator::{Input, OperatorError};
use anabranch_engine::provenance::{Origins, PositionMemo, Provenance, ProvenanceColumn, ProvenanceOrder};
use anabranch_engine::schema::{StreamSchema, SystemTag};
use indexmap::IndexMap;

use super::layout::tag_places;

/// Inputs of one pipeline hash: for each, in canonical order, the places of its system tags.
///
/// Pairs that correspond stand at the same index of each unit.
#[derive(Debug)]
pub(super) struct Tie {
    units: Vec<Vec<usize>>,
}

/// The ties among inputs; `prepared` holds their inner schemas by port in canonical order.
pub(super) fn ties(
    inputs: &[Input],
    prepared: &IndexMap<usize, Arc<StreamSchema>>,
    output: &StreamSchema,
) -> Vec<Tie> {
    let mut groups: IndexMap<_, Vec<Vec<(&SystemTag, usize)>>> = IndexMap::new();
    let known = tag_places(output);
    for (port, schema) in prepared {
        let input = inputs.at(*port, "input of the join");
        let places = schema.system_tags().iter().filter_map(|tag| known.get(tag).copied());
        let unit = input.schema.system_tags().iter().zip(places).collect();
        groups.entry(input.pipeline_hash).or_default().push(unit);
    }
    groups.into_values().filter(|units| units.len() > 1).filter_map(tie).collect()
}

fn tie(mut units: Vec<Vec<(&SystemTag, usize)>>) -> Option<Tie> {
    if !same_stems(&units) {
        for unit in &mut units {
            unit.sort_unstable();
        }
        if !same_stems(&units) {
            // Equal hashes over different system tags: the columns' names distinguish them.
            return None;
        }
    }
    let places = |unit: Vec<(&SystemTag, usize)>| unit.into_iter().map(|(_, at)| at).collect();
    Some(Tie { units: units.into_iter().map(places).collect() })
}

fn same_stems(units: &[Vec<(&SystemTag, usize)>]) -> bool {
    units.windows(2).all(|two| match two {
        [one, other] => one.iter().map(|(tag, _)| tag).eq(other.iter().map(|(tag, _)| tag)),
        _ => true,
    })
}

/// Sorts the tuples of every tie in every row.
///
/// Errors: a record id string that could not be read back from disk.
pub(super) fn sort_tuples(chunk: Chunk, ties: &[Tie], origins: &Origins) -> Result<Chunk, OperatorError> {
    if ties.is_empty() {
        return Ok(chunk);
    }
    let (schema, rows) = (Arc::clone(chunk.schema()), chunk.rows());
    let (tags, packets, mut provenance) = chunk.into_parts();
    let mut texts = ProvenanceOrder::by_text(origins);
    for tie in ties {
        sort_tie(tie, &mut provenance, rows, &mut texts).map_err(ChunkError::Strings)?;
    }
    Ok(Chunk::new(schema, rows, tags, packets, provenance)?)
}

fn sort_tie(
    tie: &Tie,
    provenance: &mut Provenance,
    rows: usize,
    texts: &mut ProvenanceOrder<'_>,
) -> io::Result<()> {
    let units: Vec<Vec<ProvenanceColumn>> = tie
        .units
        .iter()
        .map(|places| places.iter().map(|at| provenance.tags.at(*at, "system tag").clone()).collect())
        .collect();
    // For each place in the sorted order, the unit that stands there in each row.
    let mut sorted: Vec<Vec<usize>> = units.iter().map(|_| Vec::with_capacity(rows)).collect();
    let mut moved = false;
    let mut order = Vec::with_capacity(units.len());
    for row in 0..rows {
        sort_row(&units, row, &mut order, texts)?;
        moved |= !order.is_sorted();
        sorted.iter_mut().zip(&order).for_each(|(place, unit)| place.push(*unit));
    }
    if moved {
        for (places, chosen) in tie.units.iter().zip(&sorted) {
            for (at, column) in places.iter().zip(rearranged(&units, chosen)) {
                *provenance.tags.at_mut(*at, "system tag") = column;
            }
        }
    }
    Ok(())
}

/// Fills `order` with the units in ascending order of their tuples in a row; insertion sort, since
/// there are two or three and a comparison may fail.
fn sort_row(
    units: &[Vec<ProvenanceColumn>],
    row: usize,
    order: &mut Vec<usize>,
    texts: &mut ProvenanceOrder<'_>,
) -> io::Result<()> {
    order.clear();
    for (number, unit) in units.iter().enumerate() {
        let mut at = order.len();
        while at > 0 {
            let before = units.at(*order.at(at - 1, "unit in order"), "unit");
            if compare(before, unit, row, texts)? != Ordering::Greater {
                break;
            }
            at -= 1;
        }
        order.insert(at, number);
    }
    Ok(())
}

fn compare(
    one: &[ProvenanceColumn],
    other: &[ProvenanceColumn],
    row: usize,
    texts: &mut ProvenanceOrder<'_>,
) -> io::Result<Ordering> {
    for (one, other) in one.iter().zip(other) {
        let order = texts.cells((one, row), (other, row))?;
        if order != Ordering::Equal {
            return Ok(order);
        }
    }
    Ok(Ordering::Equal)
}

/// The columns of a unit whose rows come from the chosen units.
fn rearranged(units: &[Vec<ProvenanceColumn>], chosen: &[usize]) -> Vec<ProvenanceColumn> {
    let width = units.first().map_or(0, Vec::len);
    let picks: Vec<(usize, usize)> =
        chosen.iter().copied().enumerate().map(|(row, unit)| (unit, row)).collect();
    let mut memo = PositionMemo::default();
    (0..width)
        .map(|at| {
            let sources: Vec<&ProvenanceColumn> =
                units.iter().map(|unit| unit.at(at, "system tag of a unit")).collect();
            ProvenanceColumn::interleave(&sources, &picks, &mut memo)
        })
        .collect()
}
