//! The values of kept rows, by row number.

use std::collections::VecDeque;
use std::sync::Arc;

use anabranch_engine::chunk::{Chunk, ChunkError};
use anabranch_engine::index::{At as _, fitting, row_number};
use anabranch_engine::provenance::Provenance;
use anabranch_engine::schema::StreamSchema;
use arrow::array::ArrayRef;
use arrow::error::ArrowError;

use super::bits::Bits;
use super::column::{KeptColumn, PageCost};
use super::pages::{PAGE, Selection};
use super::provenance::ProvenanceStore;

/// Rows of one schema in pages, so that any of them can be gathered at once.
///
/// A chunk of half a page to a page of rows whose values lie flat becomes a page of its own, without
/// a copy: its rows are numbered by their places in it, and those that are not selected stand there
/// without being rows of the store. Of others the selected rows are copied. Which it is depends on
/// nothing but the chunk and the number of sharers, so that stores that are given the same chunks for
/// different rows of them share their pages, and each counts its part of their bytes.
///
/// Memory: that of the rows, and a bit for each number.
#[derive(Debug)]
pub(crate) struct RowStore {
    schema: Arc<StreamSchema>,
    columns: Vec<KeptColumn>,
    provenance: ProvenanceStore,
    /// The number of the row that comes next.
    pub(crate) end: usize,
    /// Numbers below it that have no row.
    absent: Bits,
    /// Stores that keep the same chunks.
    sharers: usize,
    /// Pages kept by reference, with the bytes that all sharers have together.
    shared: VecDeque<(usize, usize)>,
    shared_bytes: usize,
}

/// The numbers that selected rows have got.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Numbers<'a> {
    pub(crate) first: usize,
    /// The distance of each from the first; one after the other if there is no list.
    pub(crate) places: Option<&'a [u32]>,
}

impl Numbers<'_> {
    /// The distance from the first number of what stands at a place of the selection.
    #[inline]
    pub(crate) fn place(self, at: usize) -> u32 {
        match self.places {
            Some(places) => *places.at(at, "numbered row"),
            None => fitting(at, "row number"),
        }
    }
}

impl RowStore {
    /// A store of rows; `sharers` are given the same chunks.
    pub(crate) fn new(schema: &Arc<StreamSchema>, sharers: usize) -> Self {
        Self {
            schema: Arc::clone(schema),
            columns: schema.columns().map(|field| KeptColumn::new(field.data_type())).collect(),
            provenance: ProvenanceStore::new(schema.system_tags().len()),
            end: 0,
            absent: Bits::default(),
            sharers: sharers.max(1),
            shared: VecDeque::new(),
            shared_bytes: 0,
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        let others = self.shared_bytes - self.shared_bytes / self.sharers;
        (self.held() + self.absent.bytes()).saturating_sub(others)
    }

    /// Returns whether it holds pages together with other stores.
    pub(crate) fn is_sharing(&self) -> bool {
        self.sharers > 1 && self.shared_bytes > 0
    }

    /// Bytes of all that is held.
    fn held(&self) -> usize {
        self.columns.iter().map(KeptColumn::bytes).sum::<usize>() + self.provenance.bytes()
    }

    /// Keeps the selected rows of a chunk.
    pub(crate) fn append<'a>(
        &mut self,
        chunk: &Chunk,
        selection: Selection<'a>,
    ) -> Result<Numbers<'a>, ArrowError> {
        let Some(shared) = self.as_page(chunk) else {
            let first = self.end;
            self.append_rows(chunk, selection)?;
            return Ok(Numbers { first, places: None });
        };
        self.close_page();
        let (first, rows) = (self.end, chunk.rows());
        self.append_rows(chunk, Selection::Page(rows))?;
        self.close_page();
        self.shared.push_back((first / PAGE, shared));
        self.shared_bytes += shared;
        let Selection::Rows(places) = selection else { return Ok(Numbers { first, places: None }) };
        self.leave_out(first, rows, places);
        Ok(Numbers { first, places: Some(places) })
    }

    /// Bytes of a chunk that can be kept by reference, if it is worth it.
    fn as_page(&self, chunk: &Chunk) -> Option<usize> {
        let rows = chunk.rows();
        if rows * 2 < PAGE || rows > PAGE {
            return None;
        }
        let copied = ProvenanceStore::page_copies(chunk.provenance());
        let mut row = PageCost { shared: 0, copied };
        for (kept, column) in self.columns.iter().zip(chunk.tags().iter().chain(chunk.packets())) {
            let cost = kept.page_cost(column)?;
            row.shared += cost.shared;
            row.copied += cost.copied;
        }
        (row.copied * self.sharers <= row.shared).then_some(row.shared * rows)
    }

    /// Lets the next row begin a page.
    fn close_page(&mut self) {
        if self.end.is_multiple_of(PAGE) {
            return;
        }
        let next = self.end.next_multiple_of(PAGE);
        (self.end..next).for_each(|number| {
            self.absent.set(number);
        });
        self.columns.iter_mut().for_each(KeptColumn::close_page);
        self.provenance.close_page();
        self.end = next;
    }

    /// Marks the rows of a page that are not selected.
    fn leave_out(&mut self, first: usize, rows: usize, selected: &[u32]) {
        if selected.len() == rows {
            return;
        }
        let mut absent = [u64::MAX; PAGE / 64];
        for place in selected {
            *absent.at_mut(*place as usize / 64, "word of a page") &= !(1 << (place % 64));
        }
        self.absent.set_words(first, &absent);
    }

    fn append_rows(&mut self, chunk: &Chunk, selection: Selection<'_>) -> Result<(), ArrowError> {
        if selection.len() == 0 {
            return Ok(());
        }
        for (kept, column) in self.columns.iter_mut().zip(chunk.tags().iter().chain(chunk.packets())) {
            kept.append(column, selection)?;
        }
        self.provenance.append(chunk.provenance(), selection);
        self.end += selection.len();
        Ok(())
    }

    /// The values of a column (tags first, then packets) at rows.
    pub(crate) fn column(&self, at: usize, rows: &[u32]) -> Result<ArrayRef, ArrowError> {
        self.columns.at(at, "stored column").gather(rows)
    }

    /// See [`KeptColumn::mark_equal`].
    pub(crate) fn mark_equal(
        &self,
        at: usize,
        (kept, others): (&[u32], &[u32]),
        other: &ArrayRef,
        marks: &mut [bool],
    ) -> bool {
        self.columns.at(at, "stored column").mark_equal(kept, others, other, marks)
    }

    /// The provenance of rows.
    pub(crate) fn provenance(&self, rows: &[u32]) -> Provenance {
        self.provenance.gather(rows)
    }

    /// The rows of a page with their numbers, for the last time: their memory is given back.
    pub(crate) fn drain(&mut self, page: usize) -> Result<(Vec<u32>, Chunk), ChunkError> {
        let rows: Vec<u32> = (page * PAGE..self.end.min((page + 1) * PAGE))
            .filter(|row| !self.absent.get(*row))
            .map(row_number)
            .collect();
        let mut tags = Vec::with_capacity(self.columns.len());
        for column in &self.columns {
            tags.push(column.gather(&rows)?);
        }
        let packets = tags.split_off(self.schema.tags().len().min(tags.len()));
        let provenance = self.provenance.gather(&rows);
        let chunk = Chunk::new(Arc::clone(&self.schema), rows.len(), tags, packets, provenance)?;
        self.columns.iter_mut().for_each(|column| column.release(page));
        self.provenance.release(page);
        if let Some((_, shared)) = self.shared.pop_front_if(|(first, _)| *first == page) {
            self.shared_bytes -= shared;
        }
        Ok((rows, chunk))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::collections::BTreeMap;

    use anabranch_engine::provenance::{OriginId, Positions, ProvenanceColumn};
    use anabranch_engine::schema::SystemTag;
    use arrow::array::{Array, AsArray, BooleanArray, Int64Array, ListArray, StringViewArray};
    use arrow::datatypes::{DataType, Field, Int64Type};

    fn types() -> Vec<DataType> {
        let item = Arc::new(Field::new("item", DataType::Int64, true));
        vec![DataType::Int64, DataType::Utf8View, DataType::Boolean, DataType::List(item)]
    }

    /// Rows whose values follow from their number; every seventh is null, but for the list.
    fn numbers(start: usize, rows: usize) -> Chunk {
        let fields = types().into_iter().enumerate();
        let fields = fields.map(|(n, t)| Arc::new(Field::new(format!("c{n}"), t, true))).collect();
        let schema = StreamSchema::new(fields, vec![], vec![SystemTag::from_stem("s")]).unwrap();
        let ns = || (start..start + rows).map(|n| i64::try_from(n).unwrap());
        let some = |n: i64| n % 7 != 0;
        let texts = ns().map(|n| {
            some(n).then(|| if n % 2 == 0 { n.to_string() } else { format!("a text of some length {n}") })
        });
        let columns: Vec<ArrayRef> = vec![
            Arc::new(ns().map(|n| some(n).then_some(n)).collect::<Int64Array>()),
            Arc::new(texts.collect::<StringViewArray>()),
            Arc::new(ns().map(|n| some(n).then_some(n % 3 == 0)).collect::<BooleanArray>()),
            Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>(ns().map(|n| Some(vec![Some(n); 2])))),
        ];
        let column = ProvenanceColumn::constant(OriginId(0), Positions::range(start as u64, rows));
        let provenance = Provenance { tags: vec![column], sources: vec![] };
        Chunk::new(Arc::new(schema), rows, columns, vec![], provenance).unwrap()
    }

    fn assert_rows(store: &RowStore, wanted: &[u32]) {
        let expected = numbers(0, store.end).take(wanted).unwrap();
        for at in 0..types().len() {
            assert_eq!(&store.column(at, wanted).unwrap(), &expected.tags()[at], "column {at}");
        }
        let provenance = store.provenance(wanted);
        for (at, row) in wanted.iter().enumerate() {
            assert_eq!(provenance.tags[0].flat().unwrap().positions.get(at), u128::from(*row));
        }
    }

    #[test]
    fn rows_are_found_again_whatever_the_sizes_of_their_chunks() {
        let sizes: [&[usize]; 5] = [&[1], &[PAGE], &[5_000], &[3, 0, 700, 1, 20_000], &[PAGE, 1]];
        for sizes in sizes {
            let mut store = RowStore::new(numbers(0, 0).schema(), 1);
            for size in sizes.iter().cycle() {
                store.append(&numbers(store.end, *size), Selection::All(*size)).unwrap();
                if store.end > 3 * PAGE {
                    break;
                }
            }
            let wanted: Vec<u32> = (0..store.end).rev().map(|row| u32::try_from(row).unwrap()).collect();
            assert_rows(&store, &wanted);
        }
    }

    /// Chunks of any size and sparse selections of them; each row's values follow from its number.
    #[test]
    fn pages_by_reference_hold_the_selected_rows_under_their_numbers_and_no_others() {
        let sizes = [PAGE, 5_000, 1, PAGE, PAGE, 300, 4_096, 4_095, 7_000, PAGE, 9_000, PAGE];
        for sharers in [1, 3] {
            let mut store = RowStore::new(first_column(0, 0).schema(), sharers);
            // What stands under each number that has a row.
            let mut expected: BTreeMap<usize, usize> = BTreeMap::new();
            let (mut from, mut by_reference) = (0, 0);
            for (turn, rows) in sizes.iter().enumerate() {
                let chunk = first_column(from, *rows);
                let selected: Vec<u32> = (0..*rows).filter(|row| (from + row) % 3 != 0).map(to_u32).collect();
                let numbers = store.append(&chunk, Selection::Rows(&selected)).unwrap();
                by_reference += usize::from(numbers.places.is_some());
                assert!(numbers.first >= expected.last_key_value().map_or(0, |(last, _)| last + 1));
                for (at, row) in selected.iter().enumerate() {
                    expected.insert(numbers.first + numbers.place(at) as usize, from + *row as usize);
                }
                // Sometimes rows are left out in between.
                from += rows + turn % 2;
            }
            assert_eq!(by_reference, 8);
            let wanted: Vec<u32> = expected.keys().rev().copied().map(to_u32).collect();
            let rows: Vec<u32> = expected.values().rev().copied().map(to_u32).collect();
            let all = first_column(0, from).take(&rows).unwrap();
            assert_eq!(&store.column(0, &wanted).unwrap(), &all.tags()[0]);
            assert_positions(&store.provenance(&wanted), &rows);
            let mut drained = Vec::new();
            for page in 0..store.end.div_ceil(PAGE) {
                let (numbers, chunk) = store.drain(page).unwrap();
                let rows: Vec<u32> = numbers.iter().map(|n| to_u32(expected[&(*n as usize)])).collect();
                assert_eq!(chunk.tags(), first_column(0, from).take(&rows).unwrap().tags());
                assert_positions(chunk.provenance(), &rows);
                drained.extend(numbers.into_iter().map(|number| number as usize));
            }
            assert_eq!(drained, expected.into_keys().collect::<Vec<_>>());
            assert!(store.bytes() < 4 * PAGE * size_of::<u128>(), "{} bytes are left", store.bytes());
        }
    }

    fn to_u32(number: usize) -> u32 {
        u32::try_from(number).unwrap()
    }

    fn assert_positions(provenance: &Provenance, rows: &[u32]) {
        let positions = &provenance.tags[0].flat().unwrap().positions;
        let found: Vec<u128> = (0..rows.len()).map(|row| positions.get(row)).collect();
        assert_eq!(found, rows.iter().map(|row| u128::from(*row)).collect::<Vec<_>>());
    }

    /// The rows of [`numbers`] without the columns that do not lie flat.
    fn first_column(start: usize, rows: usize) -> Chunk {
        let (mut tags, _, provenance) = numbers(start, rows).into_parts();
        tags.truncate(1);
        let field = Arc::new(Field::new("c0", DataType::Int64, true));
        let schema = StreamSchema::new(vec![field], vec![], vec![SystemTag::from_stem("s")]).unwrap();
        Chunk::new(Arc::new(schema), rows, tags, vec![], provenance).unwrap()
    }

    #[test]
    fn selected_rows_are_kept_and_drained_rows_give_their_memory_back() {
        let mut store = RowStore::new(numbers(0, 0).schema(), 1);
        let all = numbers(0, 40_000);
        let even: Vec<u32> = (0..20_000).map(|n| n * 2).collect();
        store.append(&all, Selection::Rows(&even)).unwrap();
        let expected = all.take(&even).unwrap();
        let full = store.bytes();
        let mut from = 0;
        for page in 0..3 {
            let (_, chunk) = store.drain(page).unwrap();
            assert_eq!(chunk.tags(), expected.slice(from, chunk.rows()).tags());
            from += chunk.rows();
        }
        assert_eq!(from, 20_000);
        assert!(store.bytes() < full / 2, "{} of {full} bytes are still held", store.bytes());
        assert!(expected.tags()[1].as_string_view().is_null(0));
    }
}
