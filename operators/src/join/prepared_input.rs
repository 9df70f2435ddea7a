//! Rows in the form in which they enter a join.

use anabranch_engine::chunk::{Chunk, ChunkError};
use anabranch_engine::index::{At as _, row_number};
use anabranch_engine::operator::Partition;
use arrow::array::{Array, ArrayRef};
use arrow::buffer::NullBuffer;

use super::layout::InputPlan;
use crate::keys::{hash_rows, key_form};
use crate::rows::Selection;

/// Rows at a side of a stage.
#[derive(Debug)]
pub(super) struct PreparedInput {
    pub(super) chunk: Chunk,
    /// The rows that count; all if there is no list of them.
    pub(super) selected: Option<Vec<u32>>,
    /// The hashes of their keys, if they are known already.
    pub(super) hashes: Option<Vec<u64>>,
}

impl PreparedInput {
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

/// Brings shared tags into key form and selects the rows of a partition whose key has no null, since
/// those with one match nothing. Returns the rows and how many were left out for a null; these are
/// counted in the first partition alone.
pub(super) fn prepare(
    plan: &InputPlan,
    partition: Partition,
    chunk: Chunk,
) -> Result<(PreparedInput, u64), ChunkError> {
    let rows = chunk.rows();
    let (mut tags, packets, provenance) = chunk.into_parts();
    let mut nulls: Option<NullBuffer> = None;
    for (at, data_type) in &plan.keys {
        let column = tags.at_mut(*at, "key column");
        *column = key_form(column, data_type)?;
        nulls = NullBuffer::union(nulls.as_ref(), column.logical_nulls().as_ref());
    }
    let nulls = nulls.filter(|nulls| nulls.null_count() > 0);
    let (selected, hashes) = if partition.is_whole() {
        (nulls.as_ref().map(valid_rows), None)
    } else {
        let keys: Vec<ArrayRef> =
            plan.shared_by_all.iter().map(|at| tags.at(*at, "shared tag").clone()).collect();
        let (rows, hashes) = rows_of_partition(partition, nulls.as_ref(), &hash_rows(&keys, rows));
        (Some(rows), plan.shared_are_keys.then_some(hashes))
    };
    let left_out = if partition.is_first() { nulls.map_or(0, |nulls| nulls.null_count() as u64) } else { 0 };
    let chunk = Chunk::new(plan.schema.clone(), rows, tags, packets, provenance)?;
    Ok((PreparedInput { chunk, selected, hashes }, left_out))
}

fn valid_rows(nulls: &NullBuffer) -> Vec<u32> {
    nulls.valid_indices().map(row_number).collect()
}

/// The rows of a partition without a null, with their hashes.
fn rows_of_partition(
    partition: Partition,
    nulls: Option<&NullBuffer>,
    hashes: &[u64],
) -> (Vec<u32>, Vec<u64>) {
    // Every row is written, and the next one over it if it does not count: which rows do is random,
    // and a processor that guesses wrong for half of them loses more time than it takes to write.
    let (mut rows, mut chosen) = (vec![0; hashes.len()], vec![0; hashes.len()]);
    let mut count = 0;
    for (row, hash) in (0_u32..).zip(hashes) {
        *rows.at_mut(count, "place for a row") = row;
        *chosen.at_mut(count, "place for a hash") = *hash;
        let counts = partition.has(*hash) & nulls.is_none_or(|nulls| nulls.is_valid(row as usize));
        count += usize::from(counts);
    }
    rows.truncate(count);
    chosen.truncate(count);
    (rows, chosen)
}
