//! The one form of lists of provenance.

use anabranch_engine::provenance::{ListColumn, PositionMemo, ProvenanceColumn};
use arrow::buffer::{BooleanBuffer, NullBuffer, OffsetBuffer};

/// Items of each row; equal shapes have equal lengths and nulls in every row.
#[derive(Debug, PartialEq)]
pub(super) struct Shape {
    /// Beginning at 0; a row without a list has no items.
    pub(super) offsets: OffsetBuffer<i32>,
    /// None where every row has a list.
    pub(super) nulls: Option<NullBuffer>,
}

/// The shape of a column and the items that belong to its lists, one after the other.
///
/// None if the column has fewer items than its offsets say.
pub(super) fn exact(column: &ListColumn) -> Option<(Shape, ProvenanceColumn)> {
    let nulls = column.nulls.as_ref().filter(|nulls| nulls.null_count() > 0);
    let nulls = nulls.map(|n| NullBuffer::new(BooleanBuffer::collect_bool(n.len(), |row| n.is_valid(row))));
    let present = |row: &usize| nulls.as_ref().is_none_or(|nulls| nulls.is_valid(*row));
    let torn = (0..column.rows()).map(|row| column.range(row).end).max().unwrap_or(0) > column.items.rows();
    if torn || nulls.as_ref().is_some_and(|nulls| nulls.len() != column.rows()) {
        return None;
    }
    let hidden = (0..column.rows()).any(|row| !present(&row) && !column.range(row).is_empty());
    if !hidden {
        let (offsets, items) = column.parts();
        return Some((Shape { offsets, nulls }, items));
    }
    let lengths = (0..column.rows()).map(|row| if present(&row) { column.range(row).len() } else { 0 });
    let offsets = OffsetBuffer::from_lengths(lengths);
    let items = (0..column.rows()).filter(present).flat_map(|row| column.range(row));
    let items: Vec<u32> = items.map(u32::try_from).collect::<Result<_, _>>().ok()?;
    let items = column.items.take(&items, &mut PositionMemo::default());
    Some((Shape { offsets, nulls }, items))
}

/// Bytes of a list without its items, and of an item, as cuts count them.
const LIST_BYTES: usize = 4;
const ITEM_BYTES: usize = 8;

/// Bytes that the lists of rows take, roughly, as a sum over rows; nothing for a column without
/// lists, which is small beside its values.
pub(crate) fn list_bytes(column: &ProvenanceColumn, from: usize, rows: usize) -> usize {
    match column {
        ProvenanceColumn::Flat(_) => 0,
        ProvenanceColumn::Lists(lists) => {
            rows * LIST_BYTES
                + (from..from + rows)
                    .filter(|row| !lists.is_null(*row))
                    .map(|row| {
                        let range = lists.range(row);
                        item_bytes(&lists.items, range.start, range.len())
                    })
                    .sum::<usize>()
        }
    }
}

fn item_bytes(items: &ProvenanceColumn, from: usize, rows: usize) -> usize {
    match items {
        ProvenanceColumn::Flat(_) => rows * ITEM_BYTES,
        ProvenanceColumn::Lists(_) => list_bytes(items, from, rows),
    }
}
