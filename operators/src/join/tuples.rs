//! Provenance of inputs that have one pipeline hash, in an order that their places do not decide.
//!
//! Two such inputs could be given either way round without a trace in their columns' names. So
//! their tuples of (source id, record id) pairs are sorted in each row, as whole units.

use std::cmp::Ordering;
use std::io;
use std::sync::Arc;

use anabranch_engine::chunk::{Chunk, ChunkError};
use anabranch_engine::operator::{Input, OperatorError};
use anabranch_engine::provenance::{
    Origin, OriginColumn, OriginId, Origins, Positions, Provenance, ProvenanceColumn, RecordIds,
};
use anabranch_engine::schema::{StreamSchema, SystemTag};
use indexmap::IndexMap;

/// Inputs of one pipeline hash: for each, in canonical order, the places of its system tags.
///
/// Pairs that correspond stand at the same index of each unit.
#[derive(Debug)]
pub(super) struct Tie {
    units: Vec<Vec<usize>>,
}

/// The ties among inputs; `entered` holds their inner schemas by port in canonical order.
pub(super) fn ties(
    inputs: &[Input],
    entered: &IndexMap<usize, Arc<StreamSchema>>,
    output: &StreamSchema,
) -> Vec<Tie> {
    let mut groups: IndexMap<_, Vec<Vec<(&SystemTag, usize)>>> = IndexMap::new();
    for (port, schema) in entered {
        let Some(input) = inputs.get(*port) else { continue };
        let place = |tag: &SystemTag| output.system_tags().iter().position(|t| t == tag);
        let places = schema.system_tags().iter().filter_map(place);
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
            // Equal hashes over different system tags: the columns' names tell them apart.
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
/// Errors: a record id text that could not be read back from disk.
pub(super) fn sort_tuples(chunk: Chunk, ties: &[Tie], origins: &Origins) -> Result<Chunk, OperatorError> {
    if ties.is_empty() {
        return Ok(chunk);
    }
    let (schema, rows) = (Arc::clone(chunk.schema()), chunk.rows());
    let (tags, packets, mut provenance) = chunk.into_parts();
    let mut texts = Texts { origins, known: Vec::new() };
    for tie in ties {
        sort_tie(tie, &mut provenance, rows, &mut texts).map_err(ChunkError::Texts)?;
    }
    Ok(Chunk::new(schema, rows, tags, packets, provenance)?)
}

fn sort_tie(tie: &Tie, provenance: &mut Provenance, rows: usize, texts: &mut Texts<'_>) -> io::Result<()> {
    let units: Vec<Vec<ProvenanceColumn>> = tie
        .units
        .iter()
        .map(|places| places.iter().filter_map(|at| provenance.tags.get(*at).cloned()).collect())
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
                if let Some(old) = provenance.tags.get_mut(*at) {
                    *old = column;
                }
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
    texts: &mut Texts<'_>,
) -> io::Result<()> {
    order.clear();
    for (number, unit) in units.iter().enumerate() {
        let mut at = order.len();
        while let Some(before) = at.checked_sub(1).and_then(|b| order.get(b)).and_then(|u| units.get(*u)) {
            if texts.compare(before, unit, row)? != Ordering::Greater {
                break;
            }
            at -= 1;
        }
        order.insert(at, number);
    }
    Ok(())
}

/// The columns of a unit whose rows come from the chosen units.
fn rearranged(units: &[Vec<ProvenanceColumn>], chosen: &[usize]) -> Vec<ProvenanceColumn> {
    let width = units.first().map_or(0, Vec::len);
    let mut columns: Vec<ProvenanceColumn> = Vec::with_capacity(width);
    for at in 0..width {
        let sources: Vec<&ProvenanceColumn> = units.iter().filter_map(|unit| unit.get(at)).collect();
        let cell = |(row, unit): (usize, &usize)| sources.get(*unit).map(|column| (row, *column));
        let cells = || chosen.iter().enumerate().filter_map(cell);
        let shared = (0..at).find(|before| shares(units, *before, at)).and_then(|before| columns.get(before));
        let positions = match shared {
            Some(column) => column.positions.clone(),
            None if sources.iter().any(|column| column.positions.is_wide()) => {
                Positions::keys(cells().map(|(row, column)| column.positions.get(row)).collect())
            }
            // What is not wide fits.
            None => Positions::places(
                cells()
                    .map(|(row, column)| u64::try_from(column.positions.get(row)).unwrap_or(u64::MAX))
                    .collect(),
            ),
        };
        let origins = OriginColumn::compact(cells().map(|(row, column)| column.origins.get(row)).collect());
        columns.push(ProvenanceColumn { origins, positions });
    }
    columns
}

/// Whether two columns share their positions in every unit.
fn shares(units: &[Vec<ProvenanceColumn>], one: usize, other: usize) -> bool {
    units.iter().all(|unit| match (unit.get(one), unit.get(other)) {
        (Some(one), Some(other)) => one.positions.same(&other.positions),
        _ => false,
    })
}

/// Compares tuples as their texts compare, writing texts only where numbers do not tell.
struct Texts<'a> {
    origins: &'a Origins,
    known: Vec<(OriginId, Option<Origin>)>,
}

impl Texts<'_> {
    fn compare(
        &mut self,
        one: &[ProvenanceColumn],
        other: &[ProvenanceColumn],
        row: usize,
    ) -> io::Result<Ordering> {
        for (one, other) in one.iter().zip(other) {
            let order = self.compare_pair(one, other, row)?;
            if order != Ordering::Equal {
                return Ok(order);
            }
        }
        Ok(Ordering::Equal)
    }

    fn compare_pair(
        &mut self,
        one: &ProvenanceColumn,
        other: &ProvenanceColumn,
        row: usize,
    ) -> io::Result<Ordering> {
        let (id, other_id) = (one.origins.get(row), other.origins.get(row));
        let (place, other_place) = (one.positions.get(row), other.positions.get(row));
        if id == other_id && place == other_place {
            return Ok(Ordering::Equal);
        }
        self.learn(id);
        self.learn(other_id);
        if let Some(Origin::Source { source, records }) = self.known(id)
            && let Some(Origin::Source { source: other_source, records: other_records }) =
                self.known(other_id)
        {
            let sources = source.cmp(other_source);
            if sources != Ordering::Equal {
                return Ok(sources);
            }
            if let (RecordIds::Ordinal, RecordIds::Ordinal) = (records, other_records) {
                return Ok(compare_digits(place, other_place));
            }
        }
        let (text, other_text) = (self.origins.pair(one, row)?, self.origins.pair(other, row)?);
        // No provenance stands last.
        Ok((text.is_none(), text).cmp(&(other_text.is_none(), other_text)))
    }

    fn learn(&mut self, id: OriginId) {
        if !self.known.iter().any(|(known, _)| *known == id) {
            self.known.push((id, self.origins.get(id)));
        }
    }

    fn known(&self, id: OriginId) -> Option<&Origin> {
        self.known.iter().find(|(known, _)| *known == id).and_then(|(_, origin)| origin.as_ref())
    }
}

/// Compares numbers as their decimal texts compare: 10 stands before 9.
fn compare_digits(one: u128, other: u128) -> Ordering {
    let digits = |number: u128| number.checked_ilog10().unwrap_or(0);
    let (length, other_length) = (digits(one), digits(other));
    let scale = |number: u128, by: u32| 10_u128.checked_pow(by).and_then(|power| number.checked_mul(power));
    let scaled = scale(one, other_length.saturating_sub(length));
    let other_scaled = scale(other, length.saturating_sub(other_length));
    match (scaled, other_scaled) {
        (Some(one), Some(other)) => one.cmp(&other).then(length.cmp(&other_length)),
        // Only numbers too long for a place in a source come here.
        _ => one.to_string().cmp(&other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_compare_as_their_texts_do() {
        let mut numbers = vec![0, 1, 9, 10, 11, 19, 99, 100, 101, 109, 999, 1000, 12_345, u128::MAX];
        numbers.push(u64::MAX.into());
        for one in &numbers {
            for other in &numbers {
                let expected = format!("row_{one}").cmp(&format!("row_{other}"));
                assert_eq!(compare_digits(*one, *other), expected, "{one} and {other}");
            }
        }
    }
}
