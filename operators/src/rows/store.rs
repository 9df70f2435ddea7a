//! The values of kept rows, by row number.

use std::sync::Arc;

use anabranch_engine::chunk::{Chunk, ChunkError};
use anabranch_engine::provenance::Provenance;
use anabranch_engine::schema::StreamSchema;
use arrow::array::ArrayRef;
use arrow::error::ArrowError;

use super::column::KeptColumn;
use super::pages::{PAGE, Selection};
use super::provenance::ProvenanceStore;

/// Rows of one schema in pages, so that any of them can be gathered at once.
///
/// Memory: that of the rows; chunks of 8,192 rows are kept by reference where their values lie flat.
#[derive(Debug)]
pub(crate) struct RowStore {
    schema: Arc<StreamSchema>,
    columns: Vec<KeptColumn>,
    provenance: ProvenanceStore,
    rows: usize,
}

impl RowStore {
    pub(crate) fn new(schema: &Arc<StreamSchema>) -> Self {
        Self {
            schema: Arc::clone(schema),
            columns: schema.columns().map(|field| KeptColumn::new(field.data_type())).collect(),
            provenance: ProvenanceStore::new(schema.system_tags().len()),
            rows: 0,
        }
    }

    /// Number of rows; the next one appended gets this number.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    pub(crate) fn bytes(&self) -> usize {
        self.columns.iter().map(KeptColumn::bytes).sum::<usize>() + self.provenance.bytes()
    }

    /// Keeps the selected rows of a chunk, numbered on from those there are.
    pub(crate) fn append(&mut self, chunk: &Chunk, selection: Selection<'_>) -> Result<(), ArrowError> {
        if selection.len() == 0 {
            return Ok(());
        }
        for (kept, column) in self.columns.iter_mut().zip(chunk.tags().iter().chain(chunk.packets())) {
            kept.append(column, selection)?;
        }
        self.provenance.append(chunk.provenance(), selection);
        self.rows += selection.len();
        Ok(())
    }

    /// The values of a column (tags first, then packets) at rows.
    pub(crate) fn column(&self, at: usize, rows: &[u32]) -> Result<ArrayRef, ArrowError> {
        let column = self.columns.get(at);
        let column = column.ok_or_else(|| ArrowError::InvalidArgumentError("no such column".to_owned()))?;
        column.gather(rows)
    }

    /// See [`KeptColumn::mark_equal`].
    pub(crate) fn mark_equal(
        &self,
        at: usize,
        (kept, others): (&[u32], &[u32]),
        other: &ArrayRef,
        marks: &mut [bool],
    ) -> bool {
        self.columns.get(at).is_some_and(|column| column.mark_equal(kept, others, other, marks))
    }

    /// The provenance of rows.
    pub(crate) fn provenance(&self, rows: &[u32]) -> Provenance {
        self.provenance.gather(rows)
    }

    /// The rows of a page, for the last time: their memory is given back.
    pub(crate) fn drain(&mut self, page: usize) -> Result<Chunk, ChunkError> {
        let rows: Vec<u32> = (page * PAGE..self.rows.min((page + 1) * PAGE))
            .filter_map(|row| u32::try_from(row).ok())
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
        Ok(chunk)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let expected = numbers(0, store.rows()).take(wanted).unwrap();
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
            let mut store = RowStore::new(numbers(0, 0).schema());
            for size in sizes.iter().cycle() {
                store.append(&numbers(store.rows(), *size), Selection::All(*size)).unwrap();
                if store.rows() > 3 * PAGE {
                    break;
                }
            }
            let wanted: Vec<u32> = (0..store.rows()).rev().map(|row| u32::try_from(row).unwrap()).collect();
            assert_rows(&store, &wanted);
        }
    }

    #[test]
    fn selected_rows_are_kept_and_drained_rows_give_their_memory_back() {
        let mut store = RowStore::new(numbers(0, 0).schema());
        let all = numbers(0, 40_000);
        let even: Vec<u32> = (0..20_000).map(|n| n * 2).collect();
        store.append(&all, Selection::Rows(&even)).unwrap();
        let expected = all.take(&even).unwrap();
        let full = store.bytes();
        let mut from = 0;
        for page in 0..3 {
            let chunk = store.drain(page).unwrap();
            assert_eq!(chunk.tags(), expected.slice(from, chunk.rows()).tags());
            from += chunk.rows();
        }
        assert_eq!(from, 20_000);
        assert!(store.bytes() < full / 2, "{} of {full} bytes are still held", store.bytes());
        assert!(expected.tags()[1].as_string_view().is_null(0));
    }
}
