//! Recordings that are no longer counted as referring to anything, and the blocks that they alone have.

use std::collections::HashSet;
use std::ops::ControlFlow::Continue;

use anabranch_engine::store::StoreFault;

use super::Freed;
use crate::catalog::Reader;
use crate::catalog::query::Query;
use crate::catalog::reads::{Reads as _, Snapshot};
use crate::catalog::tables::BLOCKS;
use crate::recordings::stored::is_used;

/// Numbers of recordings that are no longer counted.
pub(super) type Condemned = HashSet<i64>;

/// The blocks that no recording has.
pub(super) fn orphans(reader: &dyn Reader) -> Result<Vec<i64>, StoreFault> {
    let _snapshot = Snapshot::take(reader)?;
    let mut orphans = Vec::new();
    reader.each(&Query::of(&BLOCKS, &["id"]), |row| {
        let id = row.number(0)?;
        if !is_used(reader, id, |_| true)? {
            orphans.push(id);
        }
        Ok::<_, StoreFault>(Continue(()))
    })?;
    Ok(orphans)
}

/// Sums up the blocks that no recording has that is counted.
pub(super) fn unused_blocks(reader: &dyn Reader, condemned: &Condemned) -> Result<Freed, StoreFault> {
    let _snapshot = Snapshot::take(reader)?;
    let mut freed = Freed::default();
    reader.each(&Query::of(&BLOCKS, &["id", "bytes"]), |row| {
        if !is_used(reader, row.number(0)?, |recording| !condemned.contains(&recording))? {
            freed.add(row.unsigned(1)?);
        }
        Ok::<_, StoreFault>(Continue(()))
    })?;
    Ok(freed)
}
