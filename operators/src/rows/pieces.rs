//! Nested values of kept rows, in the arrays they came in.

use anabranch_engine::bytes::array_bytes;
use anabranch_engine::compact::compact_array;
use arrow::array::{Array, ArrayRef};
use arrow::compute::{concat, interleave};
use arrow::error::ArrowError;

use super::pages::PAGE;

/// Arrays of one type in pages, so that any of their rows can be gathered at once.
///
/// Pages of 8,192 rows are never touched again. Behind them lie fewer rows than a page in pieces
/// of shrinking size, so that arrays of a single row cost a few copies each and no piece is tiny.
#[derive(Debug, Default)]
pub(crate) struct Pieces {
    pages: Vec<ArrayRef>,
    open: Vec<ArrayRef>,
    pub(crate) bytes: usize,
}

impl Pieces {
    pub(crate) fn append(&mut self, array: &ArrayRef) -> Result<(), ArrowError> {
        if array.is_empty() {
            return Ok(());
        }
        let array = compact_array(array)?;
        self.bytes += array_bytes(array.as_ref());
        self.open.push(array);
        if self.open.iter().map(Array::len).sum::<usize>() >= PAGE {
            self.close_pages()
        } else {
            self.merge_small()
        }
    }

    /// Cuts whole pages off the open rows.
    fn close_pages(&mut self) -> Result<(), ArrowError> {
        let whole = merged(std::mem::take(&mut self.open))?;
        let mut start = 0;
        while whole.len() - start >= PAGE {
            self.pages.push(whole.slice(start, PAGE));
            start += PAGE;
        }
        if whole.len() > start {
            self.open.push(whole.slice(start, whole.len() - start));
        }
        Ok(())
    }

    /// Merges pieces from the end on until each is larger than the next.
    fn merge_small(&mut self) -> Result<(), ArrowError> {
        let mut from = self.open.len().saturating_sub(1);
        let mut rows = self.open.last().map_or(0, Array::len);
        while let Some(before) = from.checked_sub(1).and_then(|at| self.open.get(at)) {
            if before.len() > rows {
                break;
            }
            rows += before.len();
            from -= 1;
        }
        let piece = merged(self.open.split_off(from))?;
        self.open.push(piece);
        Ok(())
    }

    pub(crate) fn gather(&self, rows: &[u32]) -> Result<ArrayRef, ArrowError> {
        let pieces: Vec<&dyn Array> = self.pages.iter().chain(&self.open).map(AsRef::as_ref).collect();
        let picks: Vec<(usize, usize)> = rows.iter().map(|row| self.place(*row as usize)).collect();
        interleave(&pieces, &picks)
    }

    fn place(&self, row: usize) -> (usize, usize) {
        let closed = self.pages.len() * PAGE;
        if row < closed {
            return (row / PAGE, row % PAGE);
        }
        let mut row = row - closed;
        let mut at = self.pages.len();
        for piece in &self.open {
            if row < piece.len() {
                break;
            }
            row -= piece.len();
            at += 1;
        }
        (at, row)
    }

    /// Releases a page that is not read any more.
    pub(crate) fn release(&mut self, page: usize) {
        if let Some(page) = self.pages.get_mut(page) {
            self.bytes = self.bytes.saturating_sub(array_bytes(page.as_ref()));
            *page = page.slice(0, 0);
        }
    }
}

fn merged(mut pieces: Vec<ArrayRef>) -> Result<ArrayRef, ArrowError> {
    if pieces.len() == 1
        && let Some(only) = pieces.pop()
    {
        return Ok(only);
    }
    concat(&pieces.iter().map(AsRef::as_ref).collect::<Vec<&dyn Array>>())
}
