//! Results: versions of outcomes by function and packet.

pub(crate) mod blocks;
pub(crate) mod commit;
pub(crate) mod functions;
pub(crate) mod index;
pub(crate) mod removals;
mod table;

use anabranch_engine::identity::PacketHash;
use anabranch_engine::store::{Found, Outcomes, StoreError, StoredFunction};
use rusqlite::Connection;

use blocks::{BlockReader, ResultCache, gather};
use index::KeyIndex;

/// Looks up current versions and gathers their outcomes.
pub(crate) fn find(
    connection: &Connection,
    cache: &ResultCache,
    index: &KeyIndex,
    function: &StoredFunction,
    keys: &[PacketHash],
) -> Result<Found, StoreError> {
    let reader = BlockReader::new(connection, cache);
    let found = match functions::id(connection, &function.fingerprint)? {
        Some(id) => index.find(&reader, id, keys)?,
        None => vec![None; keys.len()],
    };
    let hits = found.iter().map(Option::is_some).collect();
    let references: Vec<_> = found.into_iter().flatten().collect();
    let gathered = gather(&reader, &function.outputs, &references)?;
    let outcomes = Outcomes { references, emitted: gathered.emitted, values: gathered.values };
    Ok(Found { hits, outcomes })
}
