//! What happens to rows as they enter a join.

use anabranch_engine::chunk::{Chunk, ChunkError};
use arrow::array::Array;
use arrow::buffer::NullBuffer;

use super::layout::EntryPlan;
use crate::keys::key_form;

/// Brings shared tags into key form and leaves out the rows whose key has a null, since these
/// match nothing. Returns the rows and how many were left out.
pub(super) fn enter(plan: &EntryPlan, chunk: Chunk) -> Result<(Chunk, u64), ChunkError> {
    let rows = chunk.rows();
    let (mut tags, packets, provenance) = chunk.into_parts();
    let mut nulls: Option<NullBuffer> = None;
    for (at, data_type) in &plan.keys {
        if let Some(column) = tags.get_mut(*at) {
            *column = key_form(column, data_type)?;
            nulls = NullBuffer::union(nulls.as_ref(), column.logical_nulls().as_ref());
        }
    }
    let chunk = Chunk::new(plan.schema.clone(), rows, tags, packets, provenance)?;
    match nulls {
        Some(nulls) if nulls.null_count() > 0 => {
            let valid: Vec<u32> = nulls.valid_indices().filter_map(|row| u32::try_from(row).ok()).collect();
            Ok((chunk.take(&valid)?, nulls.null_count() as u64))
        }
        _ => Ok((chunk, 0)),
    }
}
