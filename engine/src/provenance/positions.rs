//! Positions of rows within their origins, cheap to share and to slice.

use crate::index::{At as _, fitting};
use arrow::buffer::ScalarBuffer;

/// A position for each row of a column.
///
/// Memory: nothing for a range, 8 bytes a row for places in a source, 16 bytes a row once result
/// keys are among them.
#[derive(Debug, Clone)]
pub struct Positions(PositionValues);

#[derive(Debug, Clone)]
enum PositionValues {
    Range { start: u64, rows: usize },
    Narrow(ScalarBuffer<u64>),
    Wide(ScalarBuffer<i128>),
}

/// Identity of a buffer; see [`Positions::same`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Key(u8, usize, usize);

impl Positions {
    /// `start`, `start + 1`, ... for `rows` rows.
    #[must_use]
    pub fn range(start: u64, rows: usize) -> Self {
        Self(PositionValues::Range { start, rows })
    }

    /// Places within a source.
    #[must_use]
    pub fn places(places: Vec<u64>) -> Self {
        Self(PositionValues::Narrow(places.into()))
    }

    /// First 80 bits of result keys (or places, mixed with such).
    #[must_use]
    #[expect(clippy::cast_possible_wrap, reason = "bits are kept; nothing computes with the sign")]
    pub fn keys(keys: Vec<u128>) -> Self {
        Self(PositionValues::Wide(keys.into_iter().map(|k| k as i128).collect::<Vec<_>>().into()))
    }

    /// Number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        match &self.0 {
            PositionValues::Range { rows, .. } => *rows,
            PositionValues::Narrow(values) => values.len(),
            PositionValues::Wide(values) => values.len(),
        }
    }

    /// Returns whether there is no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of memory behind the rows.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match &self.0 {
            PositionValues::Range { .. } => 0,
            PositionValues::Narrow(values) => values.len() * size_of::<u64>(),
            PositionValues::Wide(values) => values.len() * size_of::<i128>(),
        }
    }

    /// Returns whether some position may need more than 64 bits.
    #[must_use]
    pub fn is_wide(&self) -> bool {
        matches!(self.0, PositionValues::Wide(_))
    }

    /// The first position, if they follow each other.
    #[must_use]
    pub fn as_range(&self) -> Option<u64> {
        match &self.0 {
            PositionValues::Range { start, .. } => Some(*start),
            _ => None,
        }
    }

    /// The places, if each row has one of its own and none is a result key.
    #[must_use]
    pub fn as_places(&self) -> Option<&ScalarBuffer<u64>> {
        match &self.0 {
            PositionValues::Narrow(places) => Some(places),
            _ => None,
        }
    }

    /// Returns the position of a row.
    ///
    /// Panics: a row beyond the end, unless the positions follow each other.
    #[must_use]
    #[expect(clippy::cast_sign_loss, reason = "bits are kept; nothing computes with the sign")]
    pub fn get(&self, row: usize) -> u128 {
        match &self.0 {
            PositionValues::Range { start, .. } => u128::from(*start) + row as u128,
            PositionValues::Narrow(values) => (*values.at(row, "row with a position")).into(),
            PositionValues::Wide(values) => *values.at(row, "row with a position") as u128,
        }
    }

    /// Returns whether both are the same buffer (not merely equal values).
    #[must_use]
    pub fn same(&self, other: &Self) -> bool {
        self.key() == other.key()
    }

    fn key(&self) -> Key {
        match &self.0 {
            PositionValues::Range { start, rows } => {
                Key(0, usize::try_from(*start).unwrap_or(usize::MAX), *rows)
            }
            PositionValues::Narrow(values) => Key(1, values.inner().as_ptr() as usize, values.len()),
            PositionValues::Wide(values) => Key(2, values.inner().as_ptr() as usize, values.len()),
        }
    }

    /// `length` rows from `offset` on, without a copy.
    #[must_use]
    pub fn slice(&self, offset: usize, length: usize) -> Self {
        let length = length.min(self.len().saturating_sub(offset));
        Self(match &self.0 {
            PositionValues::Range { start, .. } => {
                PositionValues::Range { start: start + offset as u64, rows: length }
            }
            PositionValues::Narrow(values) => {
                PositionValues::Narrow(values.slice(offset.min(values.len()), length))
            }
            PositionValues::Wide(values) => {
                PositionValues::Wide(values.slice(offset.min(values.len()), length))
            }
        })
    }

    /// The positions of the given rows, in their order.
    #[must_use]
    pub fn take(&self, rows: &[u32]) -> Self {
        match &self.0 {
            PositionValues::Range { start, .. } => {
                Self::places(rows.iter().map(|r| start + u64::from(*r)).collect())
            }
            PositionValues::Narrow(values) => {
                let place = |r: &u32| *values.at(*r as usize, "row with a position");
                Self::places(rows.iter().map(place).collect())
            }
            PositionValues::Wide(_) => Self::keys(rows.iter().map(|r| self.get(*r as usize)).collect()),
        }
    }

    /// The rows named by pairs of a part and a row in it, in their order.
    #[must_use]
    pub fn interleave(parts: &[&Self], picks: &[(usize, usize)]) -> Self {
        let value = |(part, row): &(usize, usize)| parts.at(*part, "part of a column").get(*row);
        if parts.iter().any(|p| p.is_wide()) {
            return Self::keys(picks.iter().map(value).collect());
        }
        // What is not wide fits.
        Self::places(picks.iter().map(|pick| fitting(value(pick), "place of a record")).collect())
    }

    /// The rows of several columns, one after the other.
    #[must_use]
    pub fn concat(parts: &[&Self]) -> Self {
        if let [only] = parts {
            return Self::clone(only);
        }
        let rows = parts.iter().map(|p| p.len()).sum();
        if parts.iter().any(|p| p.is_wide()) {
            return Self::keys(parts.iter().flat_map(|p| (0..p.len()).map(|row| p.get(row))).collect());
        }
        if let Some(start) = consecutive(parts) {
            return Self::range(start, rows);
        }
        let mut places = Vec::with_capacity(rows);
        for part in parts {
            match &part.0 {
                PositionValues::Range { start, rows } => places.extend(*start..*start + *rows as u64),
                PositionValues::Narrow(values) => places.extend_from_slice(values),
                PositionValues::Wide(_) => {}
            }
        }
        Self::places(places)
    }
}

/// The start of the range that the parts make together, where they are ranges that follow on.
fn consecutive(parts: &[&Positions]) -> Option<u64> {
    let mut next = None;
    let mut first = None;
    for part in parts {
        let PositionValues::Range { start, rows } = part.0 else { return None };
        if next.is_some_and(|n| n != start) {
            return None;
        }
        first.get_or_insert(start);
        next = Some(start + rows as u64);
    }
    first
}

/// Does each gather once for all columns that share a buffer.
#[derive(Debug, Default)]
pub struct PositionMemo(Vec<(Vec<Key>, Positions)>);

impl PositionMemo {
    /// [`Positions::take`], remembered. All calls on one memo give the same `rows`.
    pub fn take(&mut self, positions: &Positions, rows: &[u32]) -> Positions {
        self.remember(vec![positions.key()], || positions.take(rows))
    }

    /// [`Positions::concat`], remembered.
    pub fn concat(&mut self, parts: &[&Positions]) -> Positions {
        self.remember(parts.iter().map(|p| p.key()).collect(), || Positions::concat(parts))
    }

    /// [`Positions::interleave`], remembered. All calls on one memo give the same `picks`.
    pub fn interleave(&mut self, parts: &[&Positions], picks: &[(usize, usize)]) -> Positions {
        self.remember(parts.iter().map(|p| p.key()).collect(), || Positions::interleave(parts, picks))
    }

    fn remember(&mut self, key: Vec<Key>, make: impl FnOnce() -> Positions) -> Positions {
        if let Some((_, known)) = self.0.iter().find(|(known, _)| *known == key) {
            return known.clone();
        }
        let positions = make();
        self.0.push((key, positions.clone()));
        positions
    }
}
