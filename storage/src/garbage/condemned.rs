//! Recordings that are no longer counted as referring to anything, and the blocks that they alone have.

use std::collections::HashSet;
use std::ops::ControlFlow::{Break, Continue};

use anabranch_engine::store::StoreFault;

use super::Freed;
use crate::catalog::query::Query;
use crate::catalog::reads::{Reads as _, Snapshot};
use crate::catalog::tables::{BLOCKS, RECORDING_BLOCKS};
use crate::catalog::{Reader, Rows};

/// Numbers of recordings that are no longer counted.
pub(super) type Condemned = HashSet<i64>;

/// Returns true if a recording that is counted has a block.
pub(super) fn is_used(rows: &dyn Rows, block: i64, condemned: &Condemned) -> Result<bool, StoreFault> {
    let mut is_used = false;
    let users = Query::of(&RECORDING_BLOCKS, &["recording"]).equal("block", block);
    rows.each(&users, |row| {
        is_used = !condemned.contains(&row.number(0)?);
        Ok::<_, StoreFault>(if is_used { Break(()) } else { Continue(()) })
    })?;
    Ok(is_used)
}

/// The blocks that no recording has.
pub(super) fn orphans(reader: &dyn Reader) -> Result<Vec<i64>, StoreFault> {
    let _snapshot = Snapshot::take(reader)?;
    let (none, mut orphans) = (Condemned::new(), Vec::new());
    reader.each(&Query::of(&BLOCKS, &["id"]), |row| {
        let id = row.number(0)?;
        if !is_used(reader, id, &none)? {
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
        if !is_used(reader, row.number(0)?, condemned)? {
            freed.add(row.unsigned(1)?);
        }
        Ok::<_, StoreFault>(Continue(()))
    })?;
    Ok(freed)
}
