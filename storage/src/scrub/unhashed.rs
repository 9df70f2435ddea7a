//! Blocks read without their hashes, for tests of damage.

use std::path::Path;

use anabranch_engine::provenance::Origins;

use crate::block::decode;
use crate::record_blocks::origins::StoredOrigins;
use crate::record_blocks::{ReadFault, RecordBlock};
use crate::results::result_block::{PREFIX_BYTES, ResultBlock};

/// Reads bytes as a block of results and as one of records, as if their hashes were right; for tests of damage.
///
/// Errors: what is wrong with them, as either.
pub fn read_unhashed(bytes: &[u8], directory: &Path) -> Result<(), String> {
    let rows = decode(bytes.to_vec()).map_err(|e| e.to_string())?.num_rows();
    let prefixes = vec![0; rows.saturating_mul(PREFIX_BYTES).min(1 << 24)];
    let checksum = blake3::Hasher::new().update(&prefixes).update(bytes).finalize();
    let results = ResultBlock::read(&[], prefixes, bytes.to_vec(), checksum.as_bytes());
    let hash = blake3::hash(bytes);
    let records = RecordBlock::read(bytes.to_vec(), hash.as_bytes()).and_then(|block| {
        let stored = StoredOrigins::read("[]", &Origins::default(), directory)?;
        block.references()?;
        block.taken()?;
        block.provenance(&stored).map(drop).map_err(|fault| match fault {
            ReadFault::Damaged(found) => found,
            ReadFault::Disk(cause) => cause.to_string(),
        })
    });
    match (results, records) {
        (Err(results), Err(records)) => Err(format!("{results}; {records}")),
        _ => Ok(()),
    }
}
