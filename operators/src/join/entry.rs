//! What happens to rows as they enter a join.

use anabranch_engine::chunk::{Chunk, ChunkError};
use anabranch_engine::operator::Share;
use arrow::array::{Array, ArrayRef};
use arrow::buffer::NullBuffer;

use super::layout::EntryPlan;
use crate::keys::{hash_rows, key_form};
use crate::rows::Selection;

/// Rows at a side of a stage.
#[derive(Debug)]
pub(super) struct Entered {
    pub(super) chunk: Chunk,
    /// The rows that count; all if there is no list of them.
    pub(super) selected: Option<Vec<u32>>,
}

impl Entered {
    pub(super) fn whole(chunk: Chunk) -> Self {
        Self { chunk, selected: None }
    }

    pub(super) fn selection(&self) -> Selection<'_> {
        match &self.selected {
            Some(rows) => Selection::Rows(rows),
            None => Selection::All(self.chunk.rows()),
        }
    }
}

/// Brings shared tags into key form and selects the rows of a share whose key has no null, since
/// those with one match nothing. Returns the rows and how many were left out for a null; these are
/// counted in the first share alone.
pub(super) fn enter(plan: &EntryPlan, share: Share, chunk: Chunk) -> Result<(Entered, u64), ChunkError> {
    let rows = chunk.rows();
    let (mut tags, packets, provenance) = chunk.into_parts();
    let mut nulls: Option<NullBuffer> = None;
    for (at, data_type) in &plan.keys {
        if let Some(column) = tags.get_mut(*at) {
            *column = key_form(column, data_type)?;
            nulls = NullBuffer::union(nulls.as_ref(), column.logical_nulls().as_ref());
        }
    }
    let nulls = nulls.filter(|nulls| nulls.null_count() > 0);
    let selected = if share.is_whole() {
        nulls.as_ref().map(|nulls| indices(nulls.valid_indices()))
    } else {
        let keys: Vec<ArrayRef> = plan.shared_by_all.iter().filter_map(|at| tags.get(*at).cloned()).collect();
        let hashes = hash_rows(&keys, rows);
        let mine = |row: &usize| {
            nulls.as_ref().is_none_or(|n| n.is_valid(*row)) && hashes.get(*row).is_some_and(|h| share.has(*h))
        };
        Some(indices((0..rows).filter(mine)))
    };
    let left_out = if share.is_first() { nulls.map_or(0, |nulls| nulls.null_count() as u64) } else { 0 };
    let chunk = Chunk::new(plan.schema.clone(), rows, tags, packets, provenance)?;
    Ok((Entered { chunk, selected }, left_out))
}

fn indices(rows: impl Iterator<Item = usize>) -> Vec<u32> {
    rows.filter_map(|row| u32::try_from(row).ok()).collect()
}
