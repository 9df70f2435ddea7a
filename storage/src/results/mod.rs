//! Results: versions of outcomes by function and packet.

pub(crate) mod blocks;
mod cache;
pub(crate) mod commit;
pub(crate) mod functions;
pub(crate) mod gather;
pub(crate) mod index;
mod key_filter;
pub(crate) mod key_runs;
pub(crate) mod late;
pub(crate) mod maintenance;
pub(crate) mod packs;
mod page;
pub(crate) mod pending;
pub(crate) mod removals;
pub(crate) mod result_block;
pub(crate) mod result_ref;
mod run_summary;
pub(crate) mod sole_writer;
mod table;
pub(crate) mod withdrawn;
mod write;

use anabranch_engine::identity::PacketHash;
use anabranch_engine::store::{ANSWER_BYTES, Found, Outcomes, Snapshot, StoreFault, StoredFunction};
use arrow::array::new_empty_array;

use crate::catalog::Reader;

use blocks::{BlockReader, ResultCache};
use gather::gather;
use index::{Current, KeyIndex};
use result_ref::ResultRef;

/// Looks up current versions and gathers their outcomes.
pub(crate) fn find(
    reader: &dyn Reader,
    cache: &ResultCache,
    index: &KeyIndex,
    function: &StoredFunction,
    keys: &[PacketHash],
) -> Result<Found, StoreFault> {
    let Some(known) = functions::known(reader, &function.fingerprint)? else {
        return Ok(nothing(function, keys.len()));
    };
    let reader = BlockReader::new(reader, cache, known.id);
    let found = index.find(&reader, known.several_versions, keys)?;
    let hits = within(&found, ANSWER_BYTES);
    let answered = found.iter().take(hits.len());
    let references: Vec<_> = answered.flatten().map(|current| current.version).collect();
    let gathered = gather(&reader, &function.outputs, &references)?;
    let references = ResultRef::ids(references);
    let outcomes = Outcomes { references, emitted: gathered.emitted, values: gathered.values };
    Ok(Found { hits, outcomes, snapshot: Snapshot::new(reader.snapshot()) })
}

/// For each of the first keys whether it was found: of as many as have outcomes of at most so many bytes
/// together, but one at least.
fn within(found: &[Option<Current>], most_bytes: usize) -> Vec<bool> {
    let mut bytes = 0_usize;
    let fitting = found.iter().enumerate().map_while(|(at, found)| {
        bytes = bytes.saturating_add(found.map_or(0, |current| current.bytes));
        (bytes <= most_bytes || at == 0).then_some(found.is_some())
    });
    fitting.collect()
}

fn nothing(function: &StoredFunction, keys: usize) -> Found {
    let values = function.outputs.iter().map(|output| new_empty_array(output.data_type())).collect();
    let outcomes = Outcomes { references: Vec::new(), emitted: Vec::new(), values };
    Found { hits: vec![false; keys], outcomes, snapshot: Snapshot::EMPTY }
}
