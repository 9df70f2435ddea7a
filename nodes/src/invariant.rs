//! Access to what has to exist: a broken invariant panics with its sentence.

use std::ops::Range;

/// The item at an index.
///
/// Panics: `invariant` does not hold.
#[inline]
#[track_caller]
pub(crate) fn at<'a, T>(items: &'a [T], index: usize, invariant: &str) -> &'a T {
    match items.get(index) {
        Some(item) => item,
        None => broken(invariant, index, items.len()),
    }
}

/// The item at an index, to change it.
///
/// Panics: `invariant` does not hold.
#[inline]
#[track_caller]
pub(crate) fn at_mut<'a, T>(items: &'a mut [T], index: usize, invariant: &str) -> &'a mut T {
    let length = items.len();
    match items.get_mut(index) {
        Some(item) => item,
        None => broken(invariant, index, length),
    }
}

/// The items of a range.
///
/// Panics: `invariant` does not hold.
#[inline]
#[track_caller]
pub(crate) fn part<'a, T>(items: &'a [T], range: Range<usize>, invariant: &str) -> &'a [T] {
    let end = range.end;
    match items.get(range) {
        Some(part) => part,
        None => broken(invariant, end, items.len()),
    }
}

/// A part of a string.
///
/// Panics: `invariant` does not hold.
#[inline]
#[track_caller]
pub(crate) fn text<'a>(whole: &'a str, range: Range<usize>, invariant: &str) -> &'a str {
    let end = range.end;
    match whole.get(range) {
        Some(part) => part,
        None => broken(invariant, end, whole.len()),
    }
}

/// The number of a row in its chunk.
///
/// Panics: a chunk has more rows than 32 bits count.
#[inline]
#[track_caller]
pub(crate) fn row_number(row: usize) -> u32 {
    match u32::try_from(row) {
        Ok(row) => row,
        Err(error) => panic!("a chunk has fewer rows than 32 bits count, found row {row}: {error}"),
    }
}

#[cold]
#[track_caller]
fn broken(invariant: &str, index: usize, length: usize) -> ! {
    panic!("{invariant}: found index {index} of {length}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "a row is in its chunk: found index 3 of 3")]
    fn an_index_that_does_not_exist_panics_with_the_invariant() {
        at(&[1, 2, 3], 3, "a row is in its chunk");
    }

    #[test]
    #[should_panic(expected = "rows of a part are in the whole: found index 4 of 3")]
    fn a_range_that_does_not_exist_panics_with_the_invariant() {
        part(&[1, 2, 3], 1..4, "rows of a part are in the whole");
    }
}
