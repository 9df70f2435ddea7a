//! Checksums of recordings, over the values of their row and the hashes of their blocks.
//!
//! Blocks are named by their content. These checksums guard the references to them.

use std::ops::ControlFlow;

use anabranch_engine::store::StoreFault;

use crate::catalog::query::{Filter, Query};
use crate::catalog::reads::Reads as _;
use crate::catalog::tables::{BLOCKS, FUNCTIONS, RECORDING_BLOCKS, RECORDING_CHECKSUMS, RECORDINGS};
use crate::catalog::value::{Row, Value};
use crate::catalog::{Rows, Transaction};

/// The columns of a recording in the order of its checksum, in which the function's fingerprint stands for its number.
const COLUMNS: [&str; 14] = [
    "pipeline",
    "node",
    "content_hash",
    "pipeline_hash",
    "run",
    "schema",
    "ordered",
    "function",
    "function_name",
    "outputs",
    "origins",
    "rows",
    "completed_ms",
    "revisions",
];
/// The place of the function among them.
const FUNCTION: usize = 7;
/// The place of the revisions among them.
const REVISIONS: usize = 13;

/// Writes down the checksum of a recording that has just been completed.
pub(crate) fn write(transaction: &dyn Transaction, recording: i64) -> Result<(), StoreFault> {
    let checksum = checksum(transaction, recording)?;
    let row = [("recording", recording.into()), ("checksum", (&checksum).into())];
    transaction.put(&RECORDING_CHECKSUMS, &row)
}

/// Compares a recording with its checksum; none if it has no checksum.
pub(crate) fn holds(rows: &dyn Rows, recording: i64) -> Result<Option<bool>, StoreFault> {
    let query = Query::of(&RECORDING_CHECKSUMS, &["checksum"]).equal("recording", recording);
    let Some(expected) = rows.one(&query, |row| Ok(row.bytes(0)?.to_vec()))? else { return Ok(None) };
    Ok(Some(checksum(rows, recording)? == *expected))
}

/// Removes the checksum of a recording that is removed.
pub(crate) fn remove(transaction: &dyn Transaction, recording: i64) -> Result<(), StoreFault> {
    transaction.delete(&RECORDING_CHECKSUMS, &Filter::of("recording", recording)).map(drop)
}

fn checksum(rows: &dyn Rows, recording: i64) -> Result<[u8; 32], StoreFault> {
    let mut hasher = blake3::Hasher::new();
    let row = Query::of(&RECORDINGS, &COLUMNS).equal("id", recording);
    rows.one(&row, |row| {
        let function = row.optional(FUNCTION, Row::number)?;
        let fingerprint = function.map(|id| fingerprint(rows, id)).transpose()?.flatten();
        for column in 0..REVISIONS {
            let is_function = column == FUNCTION;
            add(&mut hasher, if is_function { fingerprint.as_ref().into() } else { row.value(column) });
        }
        // A recording of format 3 has none, and its checksum covers none.
        if row.value(REVISIONS) != Value::Null {
            add(&mut hasher, row.value(REVISIONS));
        }
        Ok(())
    })?;
    add_blocks(&mut hasher, rows, recording)?;
    Ok(*hasher.finalize().as_bytes())
}

/// The fingerprint of a function; none if the store does not have the function.
fn fingerprint(rows: &dyn Rows, id: i64) -> Result<Option<Vec<u8>>, StoreFault> {
    let query = Query::of(&FUNCTIONS, &["fingerprint"]).equal("id", id);
    rows.one(&query, |row| Ok(row.bytes(0)?.to_vec()))
}

/// Adds position, hash and rows of each block; the hash of a block that is missing is null.
fn add_blocks(hasher: &mut blake3::Hasher, rows: &dyn Rows, recording: i64) -> Result<(), StoreFault> {
    let blocks = Query::of(&RECORDING_BLOCKS, &["position", "block", "rows"])
        .equal("recording", recording)
        .ascending("position");
    rows.each(&blocks, |row| {
        let block = Query::of(&BLOCKS, &["hash"]).equal("id", row.number(1)?);
        add(hasher, row.value(0));
        let found = rows.one(&block, |block| {
            add(hasher, block.value(0));
            Ok(())
        })?;
        if found.is_none() {
            add(hasher, Value::Null);
        }
        add(hasher, row.value(2));
        Ok::<_, StoreFault>(ControlFlow::Continue(()))
    })
}

/// A value as its kind, its length and its bytes, so that no two sequences of values are alike.
///
/// Kind 2 is free: no table has such values.
fn add(hasher: &mut blake3::Hasher, value: Value<'_>) {
    let mut part = |kind: u8, bytes: &[u8]| {
        hasher.update(&[kind]).update(&(bytes.len() as u64).to_le_bytes()).update(bytes);
    };
    match value {
        Value::Null => part(0, &[]),
        Value::Number(number) => part(1, &number.to_le_bytes()),
        Value::String(string) => part(3, string.as_bytes()),
        Value::Bytes(bytes) => part(4, bytes),
    }
}
