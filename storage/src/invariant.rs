//! Invariants: what holds whatever the disk has. A broken one panics with its sentence; the job that met it fails.

use std::fmt::Display;
use std::ops::Range;

/// The value that is there by an invariant.
#[inline]
#[track_caller]
pub(crate) fn holds<T>(value: Option<T>, invariant: &str) -> T {
    match value {
        Some(value) => value,
        None => panic!("broken invariant: {invariant}"),
    }
}

/// The value at an index that is within by an invariant.
#[inline]
#[track_caller]
pub(crate) fn at<'a, T>(values: &'a [T], index: usize, invariant: &str) -> &'a T {
    match values.get(index) {
        Some(value) => value,
        None => panic!("broken invariant: {invariant}; found index {index} of {}", values.len()),
    }
}

/// As [`at`], to be changed.
#[inline]
#[track_caller]
pub(crate) fn at_mut<'a, T>(values: &'a mut [T], index: usize, invariant: &str) -> &'a mut T {
    let count = values.len();
    match values.get_mut(index) {
        Some(value) => value,
        None => panic!("broken invariant: {invariant}; found index {index} of {count}"),
    }
}

/// The values of a range that is within by an invariant.
#[inline]
#[track_caller]
pub(crate) fn span<'a, T>(values: &'a [T], range: Range<usize>, invariant: &str) -> &'a [T] {
    let count = values.len();
    match values.get(range.clone()) {
        Some(values) => values,
        None => panic!("broken invariant: {invariant}; found {range:?} of {count}"),
    }
}

/// A count of rows or bytes, or the number of a block, as `SQLite` has it.
#[inline]
#[track_caller]
pub(crate) fn sql_number<N: TryInto<i64> + Copy + Display>(number: N) -> i64 {
    let Ok(number) = number.try_into() else {
        panic!("broken invariant: numbers of the store are below 2^63; found {number}");
    };
    number
}

/// A row of a block or of a table of keys as 32 bits.
#[inline]
#[track_caller]
pub(crate) fn row_number(row: usize) -> u32 {
    let Ok(row) = u32::try_from(row) else {
        panic!("broken invariant: rows are counted in 32 bits; found {row}");
    };
    row
}
