//! The weight of a row in a chunk, where rows differ much: the bytes of its lists.

use std::ops::Range;

use anabranch_engine::chunk::Chunk;
use anabranch_engine::index::At as _;
use anabranch_engine::provenance::ProvenanceColumn;
use arrow::array::{Array, AsArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{ArrowNativeType as _, DataType};

/// Bytes of an origin and a position.
const PLACE_BYTES: u64 = 20;

/// For each row of a chunk the bytes that copying its nested columns and its provenance in lists takes;
/// nothing if there are none, as all rows are alike then.
pub(crate) fn row_weights(chunk: &Chunk) -> Option<Vec<u32>> {
    let nested = chunk.tags().iter().chain(chunk.packets()).filter(|column| column.data_type().is_nested());
    let (tags, sources) = (&chunk.provenance().tags, &chunk.provenance().sources);
    let lists = tags.iter().chain(sources).filter(|column| column.depth() > 0);
    let rows = 0..chunk.rows();
    let sums: Vec<Sum> = nested
        .map(|column| Sum::of(column.as_ref(), rows.clone()))
        .chain(lists.map(|column| Sum::of_places(column, rows.clone())))
        .collect();
    let weight = |row: usize| sums.iter().map(|sum| sum.between(row, row + 1)).sum::<u64>();
    (!sums.is_empty()).then(|| rows.map(|row| u32::try_from(weight(row)).unwrap_or(u32::MAX)).collect())
}

/// The bytes of the first items of an array, for any number of them.
enum Sum {
    Each(u64),
    /// From a first item on, for none, one, two, ..
    Upto(usize, Vec<u64>),
}

impl Sum {
    /// The recursion is bounded by the depth of the type.
    fn of(array: &dyn Array, rows: Range<usize>) -> Self {
        match array.data_type() {
            DataType::List(_) => {
                let list = array.as_list::<i32>();
                Self::of_lists(list.offsets(), rows, |items| Self::of(list.values().as_ref(), items))
            }
            DataType::Map(..) => {
                let map = array.as_map();
                Self::of_lists(map.offsets(), rows, |items| Self::of(map.entries(), items))
            }
            DataType::Struct(_) => {
                let columns = array.as_struct().columns().iter();
                let sums: Vec<Self> = columns.map(|c| Self::of(c.as_ref(), rows.clone())).collect();
                Self::upto(rows, |row| sums.iter().map(|sum| sum.between(row, row + 1)).sum())
            }
            // The bytes of strings are not copied.
            other => Self::Each(other.primitive_width().unwrap_or(size_of::<u128>()) as u64),
        }
    }

    /// The recursion is bounded by the depth of the lists.
    fn of_places(column: &ProvenanceColumn, rows: Range<usize>) -> Self {
        match column {
            ProvenanceColumn::Flat(_) => Self::Each(PLACE_BYTES),
            ProvenanceColumn::Lists(lists) => {
                Self::of_lists(&lists.offsets, rows, |items| Self::of_places(&lists.items, items))
            }
        }
    }

    fn of_lists(
        offsets: &OffsetBuffer<i32>,
        rows: Range<usize>,
        of_items: impl FnOnce(Range<usize>) -> Self,
    ) -> Self {
        let place = |row: usize| offsets.at(row, "offset of a list").as_usize();
        let items = of_items(place(rows.start)..place(rows.end));
        let own = size_of::<i32>() as u64;
        Self::upto(rows, |row| own + items.between(place(row), place(row + 1)))
    }

    fn upto(rows: Range<usize>, weight: impl Fn(usize) -> u64) -> Self {
        let mut sums = Vec::with_capacity(rows.len() + 1);
        sums.push(0);
        let first = rows.start;
        let mut sum = 0;
        for row in rows {
            sum += weight(row);
            sums.push(sum);
        }
        Self::Upto(first, sums)
    }

    fn between(&self, from: usize, to: usize) -> u64 {
        match self {
            Self::Each(bytes) => bytes * to.saturating_sub(from) as u64,
            Self::Upto(first, sums) => {
                let sum = |at: usize| sums.at(at - first, "sum of weights");
                sum(to) - sum(from)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use anabranch_engine::provenance::Provenance;
    use anabranch_engine::schema::StreamSchema;
    use arrow::array::{ArrayRef, Int64Array, Int64Builder, ListBuilder, StructArray};
    use arrow::datatypes::{Field, FieldRef};

    fn chunk(columns: Vec<ArrayRef>) -> Chunk {
        let rows = columns[0].len();
        let field = |(at, c): (usize, &ArrayRef)| {
            Arc::new(Field::new(format!("c{at}"), c.data_type().clone(), true)) as FieldRef
        };
        let fields: Vec<FieldRef> = columns.iter().enumerate().map(field).collect();
        let sources = vec![ProvenanceColumn::null(rows); columns.len()];
        let schema = Arc::new(StreamSchema::new(vec![], fields, vec![]).unwrap());
        Chunk::new(schema, rows, vec![], columns, Provenance { tags: vec![], sources }).unwrap()
    }

    /// Lists of lists, of as many lists and items as given.
    fn lists(rows: &[&[usize]]) -> ArrayRef {
        let mut outer = ListBuilder::new(ListBuilder::new(Int64Builder::new()));
        for row in rows {
            for items in *row {
                outer.values().append_value((0..*items).map(|_| Some(1)));
            }
            outer.append(true);
        }
        Arc::new(outer.finish())
    }

    #[test]
    fn flat_rows_have_no_weights() {
        assert_eq!(row_weights(&chunk(vec![Arc::new(Int64Array::from(vec![1, 2]))])), None);
    }

    #[test]
    fn rows_weigh_what_their_own_lists_hold_also_in_slices() {
        let column = lists(&[&[5], &[1, 0, 2], &[], &[100]]);
        let field = Arc::new(Field::new("l", column.data_type().clone(), true));
        let pair: ArrayRef = Arc::new(StructArray::from(vec![(field, Arc::clone(&column))]));
        let expected = [4 + 4 + 40, 4 + 3 * 4 + 24, 4, 4 + 4 + 800];
        for column in [column, pair] {
            let all = chunk(vec![column]);
            assert_eq!(row_weights(&all).unwrap(), expected);
            assert_eq!(row_weights(&all.slice(1, 2)).unwrap(), expected[1..3]);
        }
    }

    #[test]
    fn places_in_lists_weigh_as_well() {
        let lists = ProvenanceColumn::null(7).into_lists(OffsetBuffer::from_lengths([5, 2]));
        assert_eq!(Sum::of_places(&lists, 0..2).between(0, 1), 4 + 5 * PLACE_BYTES);
        assert_eq!(Sum::of_places(&lists, 1..2).between(1, 2), 4 + 2 * PLACE_BYTES);
    }
}
