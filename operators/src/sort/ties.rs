//! The order of two rows with equal keys.

use std::cmp::Ordering;

use anabranch_engine::chunk::ChunkError;
use anabranch_engine::operator::OperatorError;
use anabranch_engine::provenance::{Origins, ProvenanceOrder};
use arrow::row::RowConverter;

use super::Ties;
use super::part::SortedPart;

/// Compares rows by what is not in their keys.
pub(super) struct TieOrder<'a>(Option<(ProvenanceOrder<'a>, &'a RowConverter)>);

impl<'a> TieOrder<'a> {
    pub(super) fn new(ties: &'a Ties, origins: &'a Origins) -> Self {
        Self(match ties {
            Ties::Arrival => None,
            Ties::Provenance(values) => Some((ProvenanceOrder::by_place(origins), values)),
        })
    }

    /// Returns whether arrival alone decides.
    pub(super) fn is_arrival(&self) -> bool {
        self.0.is_none()
    }

    /// Compares two rows; equal where arrival decides, and where nothing distinguishes the rows.
    pub(super) fn compare(
        &mut self,
        one: (&SortedPart, usize),
        other: (&SortedPart, usize),
    ) -> Result<Ordering, OperatorError> {
        let Some((provenance, values)) = &mut self.0 else { return Ok(Ordering::Equal) };
        let mine = (one.0.chunk.provenance(), one.1);
        let theirs = (other.0.chunk.provenance(), other.1);
        match provenance.rows(mine, theirs).map_err(ChunkError::Strings)? {
            Ordering::Equal => one.0.compare_values(one.1, other, values),
            unequal => Ok(unequal),
        }
    }
}

/// Sorts rows, equal ones as they stand, by a comparison that may fail: a merge sort from single
/// rows upwards. The sort of the standard library may panic where comparisons stop to agree.
pub(super) fn sort_rows<E>(
    rows: &mut Vec<u32>,
    mut compare: impl FnMut(u32, u32) -> Result<Ordering, E>,
) -> Result<(), E> {
    let mut width = 1;
    let mut next = Vec::with_capacity(rows.len());
    while width < rows.len() {
        for pair in rows.chunks(2 * width) {
            let (left, right) = pair.split_at(width.min(pair.len()));
            merge(left, right, &mut next, &mut compare)?;
        }
        std::mem::swap(rows, &mut next);
        next.clear();
        width *= 2;
    }
    Ok(())
}

fn merge<E>(
    mut left: &[u32],
    mut right: &[u32],
    into: &mut Vec<u32>,
    compare: &mut impl FnMut(u32, u32) -> Result<Ordering, E>,
) -> Result<(), E> {
    while let (Some((one, left_rest)), Some((other, right_rest))) = (left.split_first(), right.split_first())
    {
        if compare(*one, *other)? == Ordering::Greater {
            into.push(*other);
            right = right_rest;
        } else {
            into.push(*one);
            left = left_rest;
        }
    }
    into.extend_from_slice(left);
    into.extend_from_slice(right);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_sorted_by_a_comparison_and_equal_ones_stay_as_they_stood() {
        for count in 0..70_u32 {
            let mut rows: Vec<u32> = (0..count).map(|n| n * 7_919 % 71).collect();
            let mut expected = rows.clone();
            expected.sort_by_key(|row| row % 10);
            sort_rows(&mut rows, |a, b| Ok::<_, ()>((a % 10).cmp(&(b % 10)))).unwrap();
            assert_eq!(rows, expected);
        }
    }

    #[test]
    fn a_comparison_that_fails_ends_the_sort() {
        let mut rows: Vec<u32> = (0..100).rev().collect();
        assert_eq!(
            sort_rows(&mut rows, |a, _| if a == 50 { Err("no") } else { Ok(Ordering::Less) }),
            Err("no")
        );
    }
}
