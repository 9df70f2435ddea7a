//! Where every value of a row came from, carried as numbers and written as text only for readers.
//!
//! A provenance column pairs an interned [`OriginId`] (constant for nearly every chunk) with a
//! position: the row's place in its source, or the first 80 bits of a result key. All columns
//! that came from one input share one [`Positions`] buffer, so a join gathers it once per input
//! and select, drop and map touch nothing.
//!
//! ```text
//!   system tag of flights  -> origin 0 "flights"            \
//!   source of distance     -> origin 1 "flights".."distance"  > positions [17, 4, 99, ..]
//!   source of air_time     -> origin 2 "flights".."air_time" /
//! ```
//!
//! Behind a batch, a row has a list of origins and positions in each column; behind a batch of
//! batches, a list of lists. See [`ListColumn`].

mod column;
mod order;
mod origins;
mod outputs;
mod positions;
mod strings;

pub use column::{FlatColumn, ListColumn, ProvenanceColumn};
pub use order::ProvenanceOrder;
pub use origins::{Origin, OriginId, Origins, RecordIds};
pub use outputs::{output_key, output_position, output_row};
pub use positions::{PositionMemo, Positions};
pub use strings::{RecordStrings, StringTable};

use crate::index::At as _;
use std::sync::Arc;

/// The origin of each row of one provenance column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OriginColumn {
    /// All rows have the same origin.
    Constant(OriginId),
    /// One origin per row.
    Each(Arc<[OriginId]>),
}

impl OriginColumn {
    /// Returns the origin of a row.
    ///
    /// Panics: a row beyond the end, unless all have the same origin.
    #[must_use]
    pub fn get(&self, row: usize) -> OriginId {
        match self {
            Self::Constant(id) => *id,
            Self::Each(ids) => *ids.at(row, "row with an origin"),
        }
    }

    /// Returns the origin of the first row; [`OriginId::NULL`] where there is no row.
    #[must_use]
    pub fn first(&self) -> OriginId {
        match self {
            Self::Constant(id) => *id,
            Self::Each(ids) => ids.first().copied().unwrap_or(OriginId::NULL),
        }
    }

    pub(super) fn take(&self, rows: &[u32]) -> Self {
        match self {
            Self::Constant(id) => Self::Constant(*id),
            Self::Each(_) => Self::compact(rows.iter().map(|r| self.get(*r as usize)).collect()),
        }
    }

    fn slice(&self, offset: usize, length: usize) -> Self {
        match self {
            Self::Constant(id) => Self::Constant(*id),
            Self::Each(ids) => Self::compact(ids.iter().skip(offset).take(length).copied().collect()),
        }
    }

    /// Constant where all are equal, one per row otherwise.
    #[must_use]
    pub fn compact(ids: Vec<OriginId>) -> Self {
        match ids.split_first() {
            Some((first, rest)) if rest.iter().all(|id| id == first) => Self::Constant(*first),
            None => Self::Constant(OriginId::NULL),
            _ => Self::Each(ids.into()),
        }
    }
}

/// All provenance of a chunk: one column per system tag pair and one per packet column.
#[derive(Debug, Clone, Default)]
pub struct Provenance {
    /// In the order of the schema's system tags.
    pub tags: Vec<ProvenanceColumn>,
    /// In the order of the schema's packet columns.
    pub sources: Vec<ProvenanceColumn>,
}

impl Provenance {
    fn map(&self, mut each: impl FnMut(&ProvenanceColumn) -> ProvenanceColumn) -> Self {
        Self {
            tags: self.tags.iter().map(&mut each).collect(),
            sources: self.sources.iter().map(&mut each).collect(),
        }
    }

    /// Every column: system tags, then source info.
    pub fn columns(&self) -> impl Iterator<Item = &ProvenanceColumn> {
        self.tags.iter().chain(&self.sources)
    }

    /// Bytes of memory behind the rows, buffers that columns share counted once per column.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.columns().map(ProvenanceColumn::bytes).sum()
    }

    /// The provenance of the named rows, in their order. Positions that columns share stay shared.
    #[must_use]
    pub fn take(&self, rows: &[u32]) -> Self {
        let mut memo = PositionMemo::default();
        self.map(|column| column.take(rows, &mut memo))
    }

    /// The provenance of `length` rows from `offset` on; positions are not copied.
    #[must_use]
    pub fn slice(&self, offset: usize, length: usize) -> Self {
        self.map(|column| column.slice(offset, length))
    }

    /// The provenance of several runs of rows, one after the other.
    ///
    /// Every part has the same columns.
    #[must_use]
    pub fn concat(parts: &[&Self]) -> Self {
        let mut memo = PositionMemo::default();
        Self::combine(parts, |columns| ProvenanceColumn::concat(columns, &mut memo))
    }

    /// The rows named by pairs of a part and a row in it, in their order.
    #[must_use]
    pub fn interleave(parts: &[&Self], picks: &[(usize, usize)]) -> Self {
        let mut memo = PositionMemo::default();
        Self::combine(parts, |columns| ProvenanceColumn::interleave(columns, picks, &mut memo))
    }

    /// Makes one of the columns that stand in one place in all parts.
    fn combine(parts: &[&Self], mut join: impl FnMut(&[&ProvenanceColumn]) -> ProvenanceColumn) -> Self {
        let Some(first) = parts.first() else { return Self::default() };
        let mut columns = |of: fn(&Self) -> &[ProvenanceColumn]| {
            let place = |at| {
                let columns = parts.iter().map(|part| of(part).at(at, "provenance column of every part"));
                join(&columns.collect::<Vec<_>>())
            };
            (0..of(first).len()).map(place).collect()
        };
        Self { tags: columns(|part| &part.tags), sources: columns(|part| &part.sources) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two_columns(start: u64, rows: usize) -> Provenance {
        let positions = Positions::range(start, rows);
        Provenance {
            tags: vec![ProvenanceColumn::constant(OriginId(0), positions.clone())],
            sources: vec![ProvenanceColumn::constant(OriginId(1), positions)],
        }
    }

    fn flat(column: &ProvenanceColumn) -> &FlatColumn {
        column.flat().unwrap()
    }

    fn values(column: &ProvenanceColumn) -> Vec<u128> {
        (0..column.rows()).map(|row| flat(column).positions.get(row)).collect()
    }

    #[test]
    fn columns_that_share_positions_share_them_after_a_take_and_a_concat() {
        let taken = two_columns(10, 5).take(&[4, 0, 0]);
        assert_eq!(values(&taken.tags[0]), [14, 10, 10]);
        assert!(flat(&taken.tags[0]).positions.same(&flat(&taken.sources[0]).positions));
        let joined = Provenance::concat(&[&taken, &two_columns(0, 2)]);
        assert_eq!(values(&joined.sources[0]), [14, 10, 10, 0, 1]);
        assert!(flat(&joined.tags[0]).positions.same(&flat(&joined.sources[0]).positions));
    }

    #[test]
    fn origins_that_differ_are_kept_per_row() {
        let other = Provenance {
            tags: vec![ProvenanceColumn::constant(OriginId(7), Positions::range(0, 1))],
            sources: vec![ProvenanceColumn::null(1)],
        };
        let joined = Provenance::concat(&[&two_columns(0, 2), &other]);
        assert_eq!(flat(&joined.tags[0]).origins.get(1), OriginId(0));
        assert_eq!(flat(&joined.tags[0]).origins.get(2), OriginId(7));
        assert_eq!(flat(&joined.sources[0]).origins.get(2), OriginId::NULL);
        assert_eq!(flat(&joined.slice(2, 1).tags[0]).origins, OriginColumn::Constant(OriginId(7)));
    }
}
