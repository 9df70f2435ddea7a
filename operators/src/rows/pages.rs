//! A growing list of numbers that never moves what it holds.

use anabranch_engine::index::{At as _, fitting};
use arrow::buffer::ScalarBuffer;
use arrow::datatypes::ArrowNativeType;

/// Values in a page; also the rows in a page of a row store.
pub(crate) const PAGE: usize = 1 << SHIFT;
const SHIFT: u32 = 13;
const MASK: usize = PAGE - 1;

/// A selection of the rows of a chunk.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Selection<'a> {
    /// All of so many.
    All(usize),
    /// All of so many, at most a page of them, as a page of their own.
    Page(usize),
    /// These, in this order.
    Rows(&'a [u32]),
}

impl Selection<'_> {
    pub(crate) fn len(self) -> usize {
        match self {
            Self::All(rows) | Self::Page(rows) => rows,
            Self::Rows(rows) => rows.len(),
        }
    }

    /// The row of the chunk that stands at a place of the selection.
    pub(crate) fn row(self, at: usize) -> u32 {
        match self {
            Self::All(_) | Self::Page(_) => fitting(at, "row number"),
            Self::Rows(rows) => *rows.at(at, "selected row"),
        }
    }
}

/// Values by number, in pages, so that growing costs the same at any size.
///
/// A page may be short: the numbers that are left of it have no value. A buffer of just one page is
/// kept without a copy. Memory: that of the values.
#[derive(Debug, Clone)]
pub(crate) struct Pages<T: ArrowNativeType> {
    full: Vec<ScalarBuffer<T>>,
    open: Vec<T>,
}

impl<T: ArrowNativeType> Default for Pages<T> {
    fn default() -> Self {
        Self { full: Vec::new(), open: Vec::new() }
    }
}

impl<T: ArrowNativeType> Pages<T> {
    /// The number of the value that comes next.
    pub(crate) fn len(&self) -> usize {
        self.full.len() * PAGE + self.open.len()
    }

    /// Lets the next value begin a page.
    pub(crate) fn close(&mut self) {
        if !self.open.is_empty() {
            let mut short = std::mem::take(&mut self.open);
            short.shrink_to_fit();
            self.full.push(short.into());
        }
    }

    /// Keeps values, at most a page of them, as a page of their own, without a copy.
    pub(crate) fn append_page(&mut self, values: ScalarBuffer<T>) {
        self.close();
        self.full.push(values);
    }

    #[inline]
    pub(crate) fn push(&mut self, value: T) {
        self.open.push(value);
        self.close_full();
    }

    /// Appends the selected values.
    pub(crate) fn append(&mut self, values: &ScalarBuffer<T>, selection: Selection<'_>) {
        match selection {
            Selection::Page(_) => self.append_page(values.clone()),
            Selection::All(PAGE) if self.open.is_empty() && values.len() == PAGE => {
                self.full.push(values.clone());
            }
            Selection::All(_) => self.extend(values),
            Selection::Rows(rows) => {
                let mut rows = rows;
                while !rows.is_empty() {
                    let (now, later) = rows.split_at(rows.len().min(PAGE - self.open.len()));
                    let value = |row: &u32| *values.at(*row as usize, "selected value");
                    self.open.extend(now.iter().map(value));
                    self.close_full();
                    rows = later;
                }
            }
        }
    }

    pub(crate) fn extend(&mut self, mut values: &[T]) {
        while !values.is_empty() {
            let (now, later) = values.split_at(values.len().min(PAGE - self.open.len()));
            self.open.extend_from_slice(now);
            self.close_full();
            values = later;
        }
    }

    fn close_full(&mut self) {
        if self.open.len() == PAGE {
            // Who has filled one page is likely to fill another; it need not grow step by step.
            self.full.push(std::mem::replace(&mut self.open, Vec::with_capacity(PAGE)).into());
        }
    }

    pub(crate) fn get(&self, at: usize) -> Option<T> {
        match self.full.get(at >> SHIFT) {
            Some(page) => page.get(at & MASK).copied(),
            None => self.open.get(at - self.full.len() * PAGE).copied(),
        }
    }

    /// The pages as slices, for many look-ups.
    pub(crate) fn reader(&self) -> PageReader<'_, T> {
        PageReader(self.full.iter().map(|page| &page[..]).chain(std::iter::once(&self.open[..])).collect())
    }

    /// The values at these places, in this order.
    pub(crate) fn gather(&self, rows: &[u32]) -> Vec<T> {
        let reader = self.reader();
        rows.iter().map(|row| reader.get(*row)).collect()
    }

    pub(crate) fn bytes(&self) -> usize {
        (self.full.iter().map(ScalarBuffer::len).sum::<usize>() + self.open.len()) * size_of::<T>()
    }

    /// Releases a full page; its values read as zero from then on.
    pub(crate) fn release(&mut self, page: usize) {
        if let Some(page) = self.full.get_mut(page) {
            *page = Vec::new().into();
        }
    }
}

/// Pages for look-ups.
pub(crate) struct PageReader<'a, T>(Vec<&'a [T]>);

impl<T: Copy + Default> PageReader<'_, T> {
    /// The value at a place; zero where there is none, as in a page that was released.
    #[inline]
    pub(crate) fn get(&self, row: u32) -> T {
        let row = row as usize;
        self.0.get(row >> SHIFT).and_then(|page| page.get(row & MASK)).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_again_however_they_came() {
        let mut pages = Pages::<u64>::default();
        let whole: ScalarBuffer<u64> = (0..PAGE as u64).collect::<Vec<_>>().into();
        pages.append(&whole, Selection::All(PAGE));
        assert_eq!(pages.full[0].as_ptr(), whole.as_ptr(), "a whole page was copied");
        pages.push(7);
        pages.append(&whole, Selection::All(PAGE));
        pages.append(&whole, Selection::Rows(&[5, 3]));
        assert_eq!(pages.len(), 2 * PAGE + 3);
        let last = u32::try_from(pages.len() - 1).unwrap();
        assert_eq!(pages.gather(&[0, 8192, 8193, last - 1, last, last + 1]), [0, 7, 0, 5, 3, 0]);
        assert_eq!(pages.get(8_191), Some(8_191));
        assert_eq!(pages.get(pages.len()), None);
        let before = pages.bytes();
        pages.release(0);
        assert_eq!(pages.bytes(), before - PAGE * 8);
        assert_eq!(pages.gather(&[0, 8192]), [0, 7]);
    }
}
