//! A column of provenance: one origin and position a row, or lists of them.

use std::sync::Arc;

use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::ArrowNativeType as _;

use super::{OriginColumn, OriginId, PositionMemo, Positions};
use crate::index::At as _;

/// One column of provenance: a system tag pair, or the source info of a packet column.
#[derive(Debug, Clone)]
pub enum ProvenanceColumn {
    /// Each row has one origin and position, or none.
    Flat(FlatColumn),
    /// Each row has a list.
    Lists(ListColumn),
}

/// An origin and a position for each row.
#[derive(Debug, Clone)]
pub struct FlatColumn {
    /// The origin of each row; [`OriginId::NULL`] where it has none.
    pub origins: OriginColumn,
    /// The position of each row within its origin.
    pub positions: Positions,
}

/// A list for each row: what a batch makes of a column.
///
/// Shapes: row `n` has the items from `offsets[n]` to `offsets[n + 1]`; items beyond the first and
/// the last offset belong to no row.
#[derive(Debug, Clone)]
pub struct ListColumn {
    /// Where the items of each row begin; one more than there are rows.
    pub offsets: OffsetBuffer<i32>,
    /// Rows without a list, as opposed to those with an empty one.
    pub nulls: Option<NullBuffer>,
    /// The items of all rows, one after the other.
    pub items: Arc<ProvenanceColumn>,
}

impl ProvenanceColumn {
    /// A column of one origin and position a row.
    #[must_use]
    pub fn of(origins: OriginColumn, positions: Positions) -> Self {
        Self::Flat(FlatColumn { origins, positions })
    }

    /// A column whose rows all have one origin.
    #[must_use]
    pub fn constant(origin: OriginId, positions: Positions) -> Self {
        Self::of(OriginColumn::Constant(origin), positions)
    }

    /// A column of nulls, for rows that have no such provenance.
    #[must_use]
    pub fn null(rows: usize) -> Self {
        Self::constant(OriginId::NULL, Positions::range(0, rows))
    }

    /// A column of nulls in lists of lists, so many deep.
    #[must_use]
    pub fn null_lists(rows: usize, depth: usize) -> Self {
        match depth.checked_sub(1) {
            None => Self::null(rows),
            Some(inner) => Self::Lists(ListColumn {
                offsets: OffsetBuffer::from_lengths(std::iter::repeat_n(0, rows)),
                nulls: Some(NullBuffer::new_null(rows)),
                items: Arc::new(Self::null_lists(0, inner)),
            }),
        }
    }

    /// Number of rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        match self {
            Self::Flat(flat) => flat.positions.len(),
            Self::Lists(lists) => lists.rows(),
        }
    }

    /// Returns the number of lists that a value lies in.
    #[must_use]
    pub fn depth(&self) -> usize {
        match self {
            Self::Flat(_) => 0,
            Self::Lists(lists) => 1 + lists.items.depth(),
        }
    }

    /// The column, if it has no lists.
    #[must_use]
    pub fn flat(&self) -> Option<&FlatColumn> {
        match self {
            Self::Flat(flat) => Some(flat),
            Self::Lists(_) => None,
        }
    }

    /// Bytes of memory behind the rows.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match self {
            Self::Flat(flat) => flat.bytes(),
            Self::Lists(lists) => {
                let nulls = lists.nulls.as_ref().map_or(0, |nulls| nulls.len().div_ceil(8));
                size_of_val::<[i32]>(&lists.offsets) + nulls + lists.own_items().bytes()
            }
        }
    }

    /// The named rows, in their order. Flat columns that share positions share them afterwards if
    /// they share the memo, which is good for one choice of rows.
    #[must_use]
    pub fn take(&self, rows: &[u32], memo: &mut PositionMemo) -> Self {
        match self {
            Self::Flat(flat) => Self::of(flat.origins.take(rows), memo.take(&flat.positions, rows)),
            Self::Lists(lists) => {
                let picks: Vec<(usize, usize)> = rows.iter().map(|row| (0, *row as usize)).collect();
                Self::Lists(ListColumn::interleave(&[lists], &picks))
            }
        }
    }

    /// `length` rows from `offset` on, without a copy.
    #[must_use]
    pub fn slice(&self, offset: usize, length: usize) -> Self {
        match self {
            Self::Flat(flat) => {
                Self::of(flat.origins.slice(offset, length), flat.positions.slice(offset, length))
            }
            Self::Lists(lists) => {
                let offset = offset.min(lists.rows());
                let length = length.min(lists.rows() - offset);
                Self::Lists(ListColumn {
                    offsets: lists.offsets.slice(offset, length),
                    nulls: lists.nulls.as_ref().map(|nulls| nulls.slice(offset, length)),
                    items: Arc::clone(&lists.items),
                })
            }
        }
    }

    /// The rows of several columns of one depth, one after the other.
    #[must_use]
    pub fn concat(parts: &[&Self], memo: &mut PositionMemo) -> Self {
        match parts.first() {
            None => Self::null(0),
            Some(Self::Flat(_)) => Self::Flat(FlatColumn::concat(&flats(parts), memo)),
            Some(Self::Lists(_)) => Self::Lists(ListColumn::concat(&lists(parts))),
        }
    }

    /// The rows named by pairs of a column and a row in it, in their order.
    ///
    /// The columns have one depth. The memo is good for one choice of rows.
    #[must_use]
    pub fn interleave(parts: &[&Self], picks: &[(usize, usize)], memo: &mut PositionMemo) -> Self {
        match parts.first() {
            None => Self::null(0),
            Some(Self::Flat(_)) => Self::Flat(FlatColumn::interleave(&flats(parts), picks, memo)),
            Some(Self::Lists(_)) => Self::Lists(ListColumn::interleave(&lists(parts), picks)),
        }
    }

    /// One row for each of these ranges of rows: the list of them.
    #[must_use]
    pub fn into_lists(self, offsets: OffsetBuffer<i32>) -> Self {
        Self::Lists(ListColumn { offsets, nulls: None, items: Arc::new(self) })
    }
}

fn flats<'a>(parts: &[&'a ProvenanceColumn]) -> Vec<&'a FlatColumn> {
    parts.iter().filter_map(|part| part.flat()).collect()
}

fn lists<'a>(parts: &[&'a ProvenanceColumn]) -> Vec<&'a ListColumn> {
    let list = |part: &&'a ProvenanceColumn| match part {
        ProvenanceColumn::Lists(lists) => Some(lists),
        ProvenanceColumn::Flat(_) => None,
    };
    parts.iter().filter_map(list).collect()
}

impl FlatColumn {
    /// Bytes of memory behind the rows.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let origins = match &self.origins {
            OriginColumn::Constant(_) => 0,
            OriginColumn::Each(ids) => size_of_val::<[OriginId]>(ids),
        };
        origins + self.positions.bytes()
    }

    fn concat(parts: &[&Self], memo: &mut PositionMemo) -> Self {
        let ids = parts.iter().flat_map(|c| (0..c.positions.len()).map(|row| c.origins.get(row)));
        let positions: Vec<&Positions> = parts.iter().map(|c| &c.positions).collect();
        Self { origins: Self::origins_of(parts, ids), positions: memo.concat(&positions) }
    }

    fn interleave(parts: &[&Self], picks: &[(usize, usize)], memo: &mut PositionMemo) -> Self {
        let ids = picks.iter().map(|(part, row)| parts.at(*part, "part of a column").origins.get(*row));
        let positions: Vec<&Positions> = parts.iter().map(|c| &c.positions).collect();
        Self { origins: Self::origins_of(parts, ids), positions: memo.interleave(&positions, picks) }
    }

    /// The origins of rows of the parts, which are looked at one by one only where the parts differ.
    fn origins_of(parts: &[&Self], ids: impl Iterator<Item = OriginId>) -> OriginColumn {
        let first = OriginColumn::Constant(parts.first().map_or(OriginId::NULL, |c| c.origins.first()));
        if parts.iter().all(|c| c.origins == first) { first } else { OriginColumn::compact(ids.collect()) }
    }
}

impl ListColumn {
    /// Number of rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.offsets.len().saturating_sub(1)
    }

    /// Returns whether a row has no list.
    #[must_use]
    pub fn is_null(&self, row: usize) -> bool {
        self.nulls.as_ref().is_some_and(|nulls| row < nulls.len() && nulls.is_null(row))
    }

    /// Returns the items of a row.
    ///
    /// Panics: a row beyond the end.
    #[must_use]
    pub fn range(&self, row: usize) -> std::ops::Range<usize> {
        let at = |n: usize| self.offsets.at(n, "offset of a list").as_usize();
        at(row)..at(row + 1)
    }

    /// Offsets that begin at 0, and the items that belong to a row.
    #[must_use]
    pub fn parts(&self) -> (OffsetBuffer<i32>, ProvenanceColumn) {
        (OffsetBuffer::from_lengths(self.offsets.lengths()), self.own_items())
    }

    /// The items that belong to a row.
    fn own_items(&self) -> ProvenanceColumn {
        let (start, end) = (self.offsets.first().as_usize(), self.offsets.last().as_usize());
        self.items.slice(start, end - start)
    }

    fn concat(parts: &[&Self]) -> Self {
        let lengths = parts.iter().flat_map(|part| part.offsets.lengths());
        let offsets = OffsetBuffer::from_lengths(lengths);
        let items: Vec<ProvenanceColumn> = parts.iter().map(|part| part.own_items()).collect();
        let items: Vec<&ProvenanceColumn> = items.iter().collect();
        let rows: Vec<(usize, usize)> = parts
            .iter()
            .enumerate()
            .flat_map(|(n, part)| (0..part.rows()).map(move |row| (n, row)))
            .collect();
        Self {
            offsets,
            nulls: nulls(parts, &rows),
            items: Arc::new(ProvenanceColumn::concat(&items, &mut PositionMemo::default())),
        }
    }

    fn interleave(parts: &[&Self], picks: &[(usize, usize)]) -> Self {
        let range = |(part, row): &(usize, usize)| parts.at(*part, "part of a column").range(*row);
        let offsets = OffsetBuffer::from_lengths(picks.iter().map(|pick| range(pick).len()));
        let inner: Vec<(usize, usize)> =
            picks.iter().flat_map(|pick| range(pick).map(|row| (pick.0, row))).collect();
        let items: Vec<&ProvenanceColumn> = parts.iter().map(|part| part.items.as_ref()).collect();
        let items = ProvenanceColumn::interleave(&items, &inner, &mut PositionMemo::default());
        Self { offsets, nulls: nulls(parts, picks), items: Arc::new(items) }
    }
}

fn nulls(parts: &[&ListColumn], picks: &[(usize, usize)]) -> Option<NullBuffer> {
    if parts.iter().all(|part| part.nulls.is_none()) {
        return None;
    }
    let valid = |(part, row): &(usize, usize)| !parts.at(*part, "part of a column").is_null(*row);
    Some(picks.iter().map(valid).collect::<Vec<bool>>().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flat(origin: u32, places: Vec<u64>) -> ProvenanceColumn {
        ProvenanceColumn::constant(OriginId(origin), Positions::places(places))
    }

    /// Every row as text: `1@7` is place 7 of origin 1.
    fn text(column: &ProvenanceColumn, row: usize) -> String {
        match column {
            ProvenanceColumn::Flat(flat) if flat.origins.get(row) == OriginId::NULL => "-".to_owned(),
            ProvenanceColumn::Flat(flat) => {
                format!("{}@{}", flat.origins.get(row).0, flat.positions.get(row))
            }
            ProvenanceColumn::Lists(lists) if lists.is_null(row) => "-".to_owned(),
            ProvenanceColumn::Lists(lists) => {
                let items: Vec<String> = lists.range(row).map(|item| text(&lists.items, item)).collect();
                format!("[{}]", items.join(" "))
            }
        }
    }

    fn all(column: &ProvenanceColumn) -> Vec<String> {
        (0..column.rows()).map(|row| text(column, row)).collect()
    }

    fn lists() -> ProvenanceColumn {
        let offsets = OffsetBuffer::from_lengths([2, 0, 1]);
        flat(1, vec![7, 8, 9]).into_lists(offsets)
    }

    #[test]
    fn lists_are_taken_sliced_and_put_together_by_row() {
        assert_eq!(all(&lists()), ["[1@7 1@8]", "[]", "[1@9]"]);
        let taken = lists().take(&[2, 0, 2], &mut PositionMemo::default());
        assert_eq!(all(&taken), ["[1@9]", "[1@7 1@8]", "[1@9]"]);
        let tail = lists().slice(1, 5);
        assert_eq!(all(&tail), ["[]", "[1@9]"]);
        let null = ProvenanceColumn::null_lists(1, 1);
        let joined = ProvenanceColumn::concat(&[&tail, &null, &taken], &mut PositionMemo::default());
        assert_eq!(all(&joined), ["[]", "[1@9]", "-", "[1@9]", "[1@7 1@8]", "[1@9]"]);
        assert_eq!(tail.bytes(), 3 * 4 + 8);
    }

    #[test]
    fn lists_of_lists_keep_both_levels() {
        let outer = lists().into_lists(OffsetBuffer::from_lengths([1, 2]));
        assert_eq!(outer.depth(), 2);
        assert_eq!(all(&outer), ["[[1@7 1@8]]", "[[] [1@9]]"]);
        let other = ProvenanceColumn::null_lists(1, 2);
        let mixed = ProvenanceColumn::interleave(
            &[&outer, &other],
            &[(0, 1), (1, 0), (0, 0)],
            &mut PositionMemo::default(),
        );
        assert_eq!(all(&mixed), ["[[] [1@9]]", "-", "[[1@7 1@8]]"]);
    }

    #[test]
    fn rows_of_several_flat_columns_are_interleaved() {
        let wide = ProvenanceColumn::constant(OriginId(2), Positions::keys(vec![1 << 70]));
        let null = ProvenanceColumn::null(1);
        let mixed = ProvenanceColumn::interleave(
            &[&flat(1, vec![5, 6]), &wide, &null],
            &[(1, 0), (0, 1), (2, 0)],
            &mut PositionMemo::default(),
        );
        assert_eq!(all(&mixed), [format!("2@{}", 1_u128 << 70), "1@6".to_owned(), "-".to_owned()]);
    }
}
