//! Rows written as blocks of results.

use std::borrow::Cow;
use std::ops::Range;

use anabranch_engine::index::{At as _, row_number};
use anabranch_engine::store::{NewResults, StoreFault, StoredFunction};
use arrow::array::{Array, ArrayRef, UInt32Array};
use arrow::compute::take;

use super::packs::{LARGE_BYTES, SMALL_ROWS};
use super::result_block::EncodedResults;
use super::result_ref::ResultRef;
use crate::block::exact::value_bytes;
use crate::block::{BLOCK_BYTES, BLOCK_ROWS};
use crate::catalog::Transaction;
use crate::catalog::tables::RESULT_BLOCKS;
use crate::error::arrow;

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
    transaction: &dyn Transaction,
    id: i64,
    function: &StoredFunction,
    results: &NewResults,
    rows: &[usize],
) -> Result<Written, StoreFault> {
    let mut written = Written { references: Vec::with_capacity(rows.len()), small_blocks: 0 };
    for part in rows.chunks(BLOCK_ROWS) {
        write_part(transaction, id, function, results, part, &mut written)?;
    }
    Ok(written)
}

/// Writes one block, or two halves where it would be too large.
fn write_part(
    transaction: &dyn Transaction,
    id: i64,
    function: &StoredFunction,
    results: &NewResults,
    rows: &[usize],
    written: &mut Written,
) -> Result<(), StoreFault> {
    let picked = Picked::new(rows);
    let values = picked.arrays(&results.values)?;
    let bytes: usize = values.iter().map(|v| value_bytes(v, 0, v.len())).sum();
    if bytes > BLOCK_BYTES && rows.len() > 1 {
        let (first, second) = rows.split_at(rows.len() / 2);
        write_part(transaction, id, function, results, first, written)?;
        return write_part(transaction, id, function, results, second, written);
    }
    let (keys, emitted) = (picked.of(&results.keys), picked.of(&results.emitted));
    let values = blank_dropped(values, &emitted)?;
    let encoded = EncodedResults::new(&keys, &emitted, &function.outputs, &values).map_err(arrow)?;
    let block = insert_block(transaction, id, rows.len(), &encoded)?;
    written.references.extend((0..).take(rows.len()).map(|row| ResultRef { block, row }));
    written.small_blocks += usize::from(rows.len() <= SMALL_ROWS && encoded.data.len() < LARGE_BYTES);
    Ok(())
}

/// Inserts a block and returns its number.
fn insert_block(
    transaction: &dyn Transaction,
    function: i64,
    rows: usize,
    encoded: &EncodedResults,
) -> Result<u64, StoreFault> {
    let checksum = encoded.checksum(&[]);
    let row = [
        ("function", function.into()),
        ("rows", rows.into()),
        ("checksum", (&checksum).into()),
        ("prefixes", (&encoded.prefixes).into()),
        ("data", (&encoded.data).into()),
    ];
    transaction.insert(&RESULT_BLOCKS, &row).map(i64::unsigned_abs)
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

    fn arrays(&self, all: &[ArrayRef]) -> Result<Vec<ArrayRef>, StoreFault> {
        match self {
            Self::Span(span) => Ok(all.iter().map(|v| v.slice(span.start, span.len())).collect()),
            Self::Places(rows) => {
                let rows = UInt32Array::from_iter_values(rows.iter().map(|row| row_number(*row)));
                let picked = all.iter().map(|v| take(v, &rows, None)).collect::<Result<_, _>>();
                picked.map_err(arrow)
            }
        }
    }
}

/// A dropped outcome has no values, whatever was given.
fn blank_dropped(values: Vec<ArrayRef>, emitted: &[bool]) -> Result<Vec<ArrayRef>, StoreFault> {
    if emitted.iter().all(|emitted| *emitted) {
        return Ok(values);
    }
    let rows = (0..).zip(emitted).map(|(row, emitted)| emitted.then_some(row));
    let rows: UInt32Array = rows.collect();
    let blanked = values.iter().map(|v| take(v, &rows, None)).collect::<Result<_, _>>();
    blanked.map_err(arrow)
}
