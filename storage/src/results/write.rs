//! Rows written as blocks of results.

use std::borrow::Cow;
use std::ops::Range;

use anabranch_engine::index::{At as _, row_number};
use anabranch_engine::store::{NewResults, StoreError, StoredFunction};
use arrow::array::{Array, ArrayRef, UInt32Array};
use arrow::compute::take;
use rusqlite::blob::ZeroBlob;
use rusqlite::{Connection, MAIN_DB};

use super::packs::{LARGE_BYTES, SMALL_ROWS};
use super::result_block::EncodedResults;
use super::result_ref::ResultRef;
use crate::block::exact::value_bytes;
use crate::block::{BLOCK_BYTES, BLOCK_ROWS};
use crate::error::{arrow, sql};
use crate::sqlite::sql_number;

const OPERATION: &str = "commit results";

/// Bytes of a block above which it is written in place.
const IN_PLACE_BYTES: usize = 16 << 20;

/// Blocks that a commit wrote.
#[derive(Debug, Default)]
pub(super) struct Written {
    /// A reference for each row.
    pub(super) references: Vec<ResultRef>,
    /// Blocks that may go into a pack.
    pub(super) small_blocks: usize,
}

/// Writes the named rows as blocks.
pub(super) fn write(
    connection: &Connection,
    id: i64,
    function: &StoredFunction,
    results: &NewResults,
    rows: &[usize],
) -> Result<Written, StoreError> {
    let mut written = Written { references: Vec::with_capacity(rows.len()), small_blocks: 0 };
    for part in rows.chunks(BLOCK_ROWS) {
        write_part(connection, id, function, results, part, &mut written)?;
    }
    Ok(written)
}

/// Writes one block, or two halves where it would be too large.
fn write_part(
    connection: &Connection,
    id: i64,
    function: &StoredFunction,
    results: &NewResults,
    rows: &[usize],
    written: &mut Written,
) -> Result<(), StoreError> {
    let picked = Picked::new(rows);
    let values = picked.arrays(&results.values)?;
    let bytes: usize = values.iter().map(|v| value_bytes(v, 0, v.len())).sum();
    if bytes > BLOCK_BYTES && rows.len() > 1 {
        let (first, second) = rows.split_at(rows.len() / 2);
        write_part(connection, id, function, results, first, written)?;
        return write_part(connection, id, function, results, second, written);
    }
    let (keys, emitted) = (picked.of(&results.keys), picked.of(&results.emitted));
    let values = blank_dropped(values, &emitted)?;
    let encoded =
        EncodedResults::new(&keys, &emitted, &function.outputs, &values).map_err(|e| arrow(OPERATION, e))?;
    let block = insert_block(connection, id, sql_number(rows.len()), &encoded)?;
    written.references.extend((0..).take(rows.len()).map(|row| ResultRef { block, row }));
    written.small_blocks += usize::from(rows.len() <= SMALL_ROWS && encoded.data.len() < LARGE_BYTES);
    Ok(())
}

/// Inserts a block and returns its number.
///
/// A value is copied twice on its way into the pages of `SQLite`. A large one is written in place instead.
fn insert_block(
    connection: &Connection,
    function: i64,
    rows: i64,
    encoded: &EncodedResults,
) -> Result<u64, StoreError> {
    let mut insert = connection
        .prepare_cached(
            "INSERT INTO result_blocks (function, rows, checksum, prefixes, data) VALUES (?1, ?2, ?3, ?4, ?5)",
        )
        .map_err(|e| sql(OPERATION, e))?;
    let (checksum, prefixes, data) = (encoded.checksum(&[]), &encoded.prefixes, &encoded.data);
    let in_place = data.len() > IN_PLACE_BYTES;
    let inserted = if in_place {
        insert.execute((function, rows, checksum, prefixes, ZeroBlob(data.len() as u64)))
    } else {
        insert.execute((function, rows, checksum, prefixes, data))
    };
    inserted.map_err(|e| sql(OPERATION, e))?;
    let block = connection.last_insert_rowid();
    if in_place {
        let opened = connection.blob_open(MAIN_DB, "result_blocks", "data", block, false);
        let written = opened.and_then(|mut blob| blob.write_at(data, 0).and_then(|()| blob.close()));
        written.map_err(|e| sql(OPERATION, e))?;
    }
    Ok(block.unsigned_abs())
}

/// Invariant of the rows of a part.
const PICKED: &str = "rows of a part are rows of the results";

/// Rows by their places.
enum Picked<'a> {
    /// They follow each other, and are taken as they stand.
    Span(Range<usize>),
    Places(&'a [usize]),
}

impl<'a> Picked<'a> {
    fn new(rows: &'a [usize]) -> Self {
        let first = *rows.at(0, "a part has a row");
        let span = first..first + rows.len();
        if rows.iter().copied().eq(span.clone()) { Self::Span(span) } else { Self::Places(rows) }
    }

    fn of<'b, T: Copy>(&self, all: &'b [T]) -> Cow<'b, [T]> {
        match self {
            Self::Span(rows) => Cow::Borrowed(all.at(rows.clone(), PICKED)),
            Self::Places(rows) => {
                let mut picked = Vec::with_capacity(rows.len());
                picked.extend(rows.iter().map(|row| all.at(*row, PICKED)));
                Cow::Owned(picked)
            }
        }
    }

    fn arrays(&self, all: &[ArrayRef]) -> Result<Vec<ArrayRef>, StoreError> {
        match self {
            Self::Span(span) => Ok(all.iter().map(|v| v.slice(span.start, span.len())).collect()),
            Self::Places(rows) => {
                let rows = UInt32Array::from_iter_values(rows.iter().map(|row| row_number(*row)));
                let picked = all.iter().map(|v| take(v, &rows, None)).collect::<Result<_, _>>();
                picked.map_err(|e| arrow(OPERATION, e))
            }
        }
    }
}

/// A dropped outcome has no values, whatever was given.
fn blank_dropped(values: Vec<ArrayRef>, emitted: &[bool]) -> Result<Vec<ArrayRef>, StoreError> {
    if emitted.iter().all(|emitted| *emitted) {
        return Ok(values);
    }
    let rows = (0..).zip(emitted).map(|(row, emitted)| emitted.then_some(row));
    let rows: UInt32Array = rows.collect();
    let blanked = values.iter().map(|v| take(v, &rows, None)).collect::<Result<_, _>>();
    blanked.map_err(|e| arrow(OPERATION, e))
}
