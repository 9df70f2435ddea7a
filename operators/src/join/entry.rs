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
    /// The hashes of their keys, if they are known already.
    pub(super) hashes: Option<Vec<u64>>,
}

impl Entered {
    pub(super) fn whole(chunk: Chunk) -> Self {
        Self { chunk, selected: None, hashes: None }
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
    let (selected, hashes) = if share.is_whole() {
        (nulls.as_ref().map(valid_rows), None)
    } else {
        let keys: Vec<ArrayRef> = plan.shared_by_all.iter().filter_map(|at| tags.get(*at).cloned()).collect();
        let (rows, hashes) = rows_of_share(share, nulls.as_ref(), &hash_rows(&keys, rows));
        (Some(rows), plan.shared_are_keys.then_some(hashes))
    };
    let left_out = if share.is_first() { nulls.map_or(0, |nulls| nulls.null_count() as u64) } else { 0 };
    let chunk = Chunk::new(plan.schema.clone(), rows, tags, packets, provenance)?;
    Ok((Entered { chunk, selected, hashes }, left_out))
}

fn valid_rows(nulls: &NullBuffer) -> Vec<u32> {
    nulls.valid_indices().filter_map(|row| u32::try_from(row).ok()).collect()
}

/// The rows of a share without a null, with their hashes.
fn rows_of_share(share: Share, nulls: Option<&NullBuffer>, hashes: &[u64]) -> (Vec<u32>, Vec<u64>) {
    // Every row is written, and the next one over it if it does not count: which rows do is random,
    // and a processor that guesses wrong for half of them loses more time than it takes to write.
    let (mut rows, mut chosen) = (vec![0; hashes.len()], vec![0; hashes.len()]);
    let mut count = 0;
    for (row, hash) in (0_u32..).zip(hashes) {
        if let (Some(to_row), Some(to_hash)) = (rows.get_mut(count), chosen.get_mut(count)) {
            (*to_row, *to_hash) = (row, *hash);
        }
        let counts = share.has(*hash) & nulls.is_none_or(|nulls| nulls.is_valid(row as usize));
        count += usize::from(counts);
    }
    rows.truncate(count);
    chosen.truncate(count);
    (rows, chosen)
}
