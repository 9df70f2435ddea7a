//! A chunk that is exploded a piece at a time.

use std::sync::Arc;

use anabranch_engine::chunk::{Chunk, ChunkError};
use anabranch_engine::index::{At as _, fitting};
use anabranch_engine::operator::OperatorError;
use anabranch_engine::provenance::{
    FlatColumn, ListColumn, Origins, PositionMemo, Provenance, ProvenanceColumn,
};
use arrow::array::{Array, ArrayRef, AsArray, ListArray, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::{ArrowNativeType as _, DataType};
use arrow::error::ArrowError;

use super::plan::UnbatchPlan;
use crate::rows::array_bytes;

/// The number of items that may be repeated in one piece beyond the first row: items of provenance that stays whole,
/// and bytes of structs and maps.
const REPEATED: usize = 1 << 20;

/// A chunk and how far it has been exploded.
#[derive(Debug)]
pub(super) struct Cursor {
    chunk: Chunk,
    /// Items of each row.
    lengths: Vec<usize>,
    row: usize,
    /// Items of that row that have left.
    left: usize,
}

/// Some items of a row.
#[derive(Debug, Clone, Copy)]
struct Piece {
    row: usize,
    from: usize,
    items: usize,
}

impl Cursor {
    /// Errors: a row whose lists differ in length; `before` rows came before the chunk.
    pub(super) fn new(
        chunk: Chunk,
        plan: &UnbatchPlan,
        before: u64,
        origins: &Origins,
    ) -> Result<Self, OperatorError> {
        let lists = lists(&chunk, plan);
        let Some(((_, first), rest)) = lists.split_first() else {
            return Err(OperatorError::Protocol("an unbatch was started without a list column"));
        };
        let lengths: Vec<usize> = (0..chunk.rows()).map(|row| length(first, row)).collect();
        for (at, list) in rest {
            let other = |(row, n): (usize, &usize)| {
                let theirs = length(list, row);
                (theirs != *n).then_some((row, *n, theirs))
            };
            if let Some((row, mine, theirs)) = lengths.iter().enumerate().find_map(other) {
                let first = lists.first().map_or(0, |(at, _)| *at);
                let columns = [(first, mine), (*at, theirs)];
                return Err(unequal(&chunk, row, before, columns, origins)?);
            }
        }
        Ok(Self { chunk, lengths, row: 0, left: 0 })
    }

    /// The next rows, at most `limit`; `None` when the chunk is done with.
    pub(super) fn next(&mut self, plan: &UnbatchPlan, limit: usize) -> Result<Option<Chunk>, ChunkError> {
        let pieces = self.pieces(plan, limit);
        if pieces.is_empty() {
            return Ok(None);
        }
        let rows = pieces.iter().map(|piece| piece.items).sum();
        let parents = parents(&pieces);
        let indices = UInt32Array::from(parents.clone());
        let explode = |columns: &[ArrayRef], exploded: &[bool]| {
            let columns = columns.iter().zip(exploded);
            let each = |(column, explodes): (&ArrayRef, &bool)| {
                if *explodes { items(column, &pieces) } else { take(column, &indices, None) }
            };
            columns.map(each).collect::<Result<Vec<_>, ArrowError>>()
        };
        let tags = explode(self.chunk.tags(), &plan.tags)?;
        let packets = explode(self.chunk.packets(), &plan.packets)?;
        let provenance = provenance(self.chunk.provenance(), plan, &pieces, &parents);
        Ok(Some(Chunk::new(Arc::clone(&plan.schema), rows, tags, packets, provenance)?))
    }

    /// Goes on by at most `limit` items.
    fn pieces(&mut self, plan: &UnbatchPlan, limit: usize) -> Vec<Piece> {
        let mut pieces = Vec::new();
        let (mut rows, mut repeated) = (0, 0);
        while rows < limit {
            let Some(length) = self.lengths.get(self.row) else { break };
            let rest = length - self.left;
            if rest == 0 {
                (self.row, self.left) = (self.row + 1, 0);
                continue;
            }
            let weight = weight(&self.chunk, plan, self.row).max(1);
            let room = REPEATED.saturating_sub(repeated) / weight;
            // One row has to leave, whatever it weighs.
            let items = rest.min(limit - rows).min(if rows == 0 { room.max(1) } else { room });
            if items == 0 {
                break;
            }
            pieces.push(Piece { row: self.row, from: self.left, items });
            rows += items;
            repeated += items * weight;
            self.left += items;
        }
        pieces
    }
}

/// The exploded columns with their places among all, tags first.
fn lists<'a>(chunk: &'a Chunk, plan: &UnbatchPlan) -> Vec<(usize, &'a ListArray)> {
    let exploded = plan.tags.iter().chain(&plan.packets);
    let columns = chunk.tags().iter().chain(chunk.packets()).zip(exploded).enumerate();
    let lists = columns.filter(|(_, (_, explodes))| **explodes);
    lists.filter_map(|(at, (column, _))| Some((at, column.as_list_opt::<i32>()?))).collect()
}

fn length(list: &ListArray, row: usize) -> usize {
    if list.is_null(row) { 0 } else { range(list.value_offsets(), row).len() }
}

fn range(offsets: &[i32], row: usize) -> std::ops::Range<usize> {
    let at = |n: usize| offsets.at(n, "offset of a list").as_usize();
    at(row)..at(row + 1)
}

/// Returns the cost of repeating the row once more: 1 for a row without lists and structs.
fn weight(chunk: &Chunk, plan: &UnbatchPlan, row: usize) -> usize {
    let nested = |columns: &[ArrayRef], exploded: &[bool]| -> usize {
        let whole = columns.iter().zip(exploded).filter(|(c, e)| !**e && c.data_type().is_nested());
        whole.map(|(column, _)| array_bytes(column.slice(row, 1).as_ref())).sum()
    };
    let lists = |columns: &[ProvenanceColumn], exploded: &[bool]| -> usize {
        columns.iter().zip(exploded).filter(|(_, e)| !**e).map(|(column, _)| items_in(column, row)).sum()
    };
    let provenance = chunk.provenance();
    nested(chunk.tags(), &plan.tags)
        + nested(chunk.packets(), &plan.packets)
        + lists(&provenance.tags, &plan.system_tags)
        + lists(&provenance.sources, &plan.sources)
}

fn items_in(column: &ProvenanceColumn, row: usize) -> usize {
    match column {
        ProvenanceColumn::Flat(_) => 0,
        ProvenanceColumn::Lists(lists) => {
            let range = lists.range(row);
            range.len() + range.map(|item| items_in(&lists.items, item)).sum::<usize>()
        }
    }
}

/// The row that each item comes from.
fn parents(pieces: &[Piece]) -> Vec<u32> {
    let rows = pieces.iter().map(|piece| (fitting::<_, u32>(piece.row, "row"), piece.items));
    rows.flat_map(|(row, items)| std::iter::repeat_n(row, items)).collect()
}

/// The items of a list column; not copied where they follow on each other.
fn items(column: &ArrayRef, pieces: &[Piece]) -> Result<ArrayRef, ArrowError> {
    let DataType::List(_) = column.data_type() else {
        return Err(ArrowError::InvalidArgumentError("a column to explode has no lists".to_owned()));
    };
    let list = column.as_list::<i32>();
    let runs = runs(pieces.iter().map(|piece| {
        let start = range(list.value_offsets(), piece.row).start + piece.from;
        start..start + piece.items
    }));
    match runs.as_slice() {
        [only] => Ok(list.values().slice(only.start, only.len())),
        runs => {
            let indices =
                runs.iter().cloned().flatten().map(|item| fitting::<_, u32>(item, "item of a list"));
            take(list.values(), &UInt32Array::from_iter_values(indices), None)
        }
    }
}

/// Ranges with those that follow on each other made one.
fn runs(ranges: impl Iterator<Item = std::ops::Range<usize>>) -> Vec<std::ops::Range<usize>> {
    let mut runs: Vec<std::ops::Range<usize>> = Vec::new();
    for range in ranges {
        match runs.last_mut() {
            Some(last) if last.end == range.start => last.end = range.end,
            _ => runs.push(range),
        }
    }
    runs
}

fn provenance(provenance: &Provenance, plan: &UnbatchPlan, pieces: &[Piece], parents: &[u32]) -> Provenance {
    let mut memo = PositionMemo::default();
    let mut columns = |columns: &[ProvenanceColumn], exploded: &[bool]| -> Vec<ProvenanceColumn> {
        let columns = columns.iter().zip(exploded);
        let each = |(column, explodes): (&ProvenanceColumn, &bool)| match column {
            ProvenanceColumn::Lists(lists) if *explodes => explode(lists, pieces),
            whole => whole.take(parents, &mut memo),
        };
        columns.map(each).collect()
    };
    Provenance {
        tags: columns(&provenance.tags, &plan.system_tags),
        sources: columns(&provenance.sources, &plan.sources),
    }
}

/// The items of a provenance column; a row that has none in spite of its values has nulls.
fn explode(lists: &ListColumn, pieces: &[Piece]) -> ProvenanceColumn {
    let here = |piece: &Piece| {
        let range = lists.range(piece.row);
        let there = !lists.is_null(piece.row) && range.len() >= piece.from + piece.items;
        there.then(|| range.start + piece.from..range.start + piece.from + piece.items)
    };
    if let Some(ranges) = pieces.iter().map(here).collect::<Option<Vec<_>>>()
        && let [only] = runs(ranges.into_iter()).as_slice()
    {
        return lists.items.slice(only.start, only.len());
    }
    let null = ProvenanceColumn::null_lists(1, lists.items.depth());
    let pick = |piece: &Piece| -> Vec<(usize, usize)> {
        match here(piece) {
            Some(range) => range.map(|item| (0, item)).collect(),
            None => vec![(1, 0); piece.items],
        }
    };
    let picks: Vec<(usize, usize)> = pieces.iter().flat_map(pick).collect();
    ProvenanceColumn::interleave(&[&lists.items, &null], &picks, &mut PositionMemo::default())
}

/// The error of a row whose lists differ; columns by their places with the number of items.
fn unequal(
    chunk: &Chunk,
    row: usize,
    before: u64,
    columns: [(usize, usize); 2],
    origins: &Origins,
) -> Result<OperatorError, ChunkError> {
    let names = chunk.schema().names();
    let name = |at: usize| names.get(at).map_or("", String::as_str);
    let [(one, items), (other, other_items)] = columns;
    Ok(OperatorError::data(
        "unbatch",
        format!(
            "row {}{} with lists of {items} and {other_items} items in \"{}\" and \"{}\"",
            before + row as u64,
            source_of(chunk, row, origins)?,
            name(one),
            name(other)
        ),
        "lists of one length within a row",
        "drop one of the columns before the unbatch, or mend its lists with a function",
    ))
}

/// Where a row comes from, in few words.
fn source_of(chunk: &Chunk, row: usize, origins: &Origins) -> Result<String, ChunkError> {
    let mut parts = Vec::new();
    for column in &chunk.provenance().tags {
        if let Some(first) = first_item(&column.slice(row, 1)) {
            let (sources, records) = origins.pairs(&ProvenanceColumn::Flat(first))?;
            let (sources, records) = (sources.as_string_view(), records.as_string_view());
            if sources.is_valid(0) {
                parts.push(format!("{} {}", sources.value(0), records.value(0)));
            }
        }
    }
    Ok(if parts.is_empty() { String::new() } else { format!(" (from {})", parts.join(", ")) })
}

/// The first that lies in the only row of a column.
fn first_item(column: &ProvenanceColumn) -> Option<FlatColumn> {
    match column {
        ProvenanceColumn::Flat(flat) => (flat.positions.len() == 1).then(|| flat.clone()),
        ProvenanceColumn::Lists(lists) => {
            let range = lists.range(0);
            if range.is_empty() { None } else { first_item(&lists.items.slice(range.start, 1)) }
        }
    }
}
