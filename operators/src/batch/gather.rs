//! Rows on their way into lists.

use anabranch_engine::index::holds;
use std::collections::VecDeque;
use std::sync::Arc;

use anabranch_engine::chunk::Chunk;
use anabranch_engine::operator::OperatorError;
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{ArrowNativeType as _, DataType};

use super::layout::BatchLayout;
use crate::coalescer::Coalescer;
use crate::rows::{chunk_bytes, compact};

/// Chunks of fewer rows are put together before they are kept.
const KEPT_ROWS: usize = 1_024;
/// Chunks of more bytes are kept as they are, however few their rows.
const KEPT_BYTES: usize = 1 << 20;
/// Items of a list of average length, for the size of an output chunk.
const USUAL_ITEMS: usize = 4;
/// Bytes that several lists may have in one output chunk.
const OUTPUT_BYTES: usize = 16 << 20;
/// Items that offsets of 32 bits can count.
const MOST_ITEMS: usize = i32::MAX as usize;

/// Rows in order, with the numbers of rows that belong together.
///
/// Memory: the rows that have not left.
pub(super) struct Gatherer {
    layout: Arc<BatchLayout>,
    output_rows: usize,
    most_items: usize,
    small: Coalescer,
    small_bytes: usize,
    held: VecDeque<Chunk>,
    held_bytes: usize,
    held_rows: usize,
    /// Rows of the list at work.
    pub(super) open: usize,
    lists: VecDeque<List>,
    /// Rows of all finished lists.
    finished: usize,
}

/// A finished list.
#[derive(Clone, Copy)]
struct List {
    rows: usize,
    /// True if it leaves; its rows are thrown away otherwise.
    is_kept: bool,
}

impl Gatherer {
    pub(super) fn new(layout: Arc<BatchLayout>, output_rows: usize) -> Self {
        Self {
            small: Coalescer::new(Arc::clone(&layout.input), KEPT_ROWS),
            layout,
            output_rows: output_rows.max(1),
            most_items: MOST_ITEMS,
            small_bytes: 0,
            held: VecDeque::new(),
            held_bytes: 0,
            held_rows: 0,
            open: 0,
            lists: VecDeque::new(),
            finished: 0,
        }
    }

    /// Keeps rows behind those there are.
    pub(super) fn push(&mut self, chunk: &Chunk) -> Result<(), OperatorError> {
        let chunk = compact(chunk)?;
        let bytes = chunk_bytes(&chunk);
        if bytes > KEPT_BYTES {
            self.settle()?;
            self.hold(chunk, bytes);
            return Ok(());
        }
        self.small_bytes += bytes;
        self.small.push(chunk)?;
        while let Some(chunk) = self.small.full() {
            let bytes = chunk_bytes(&chunk);
            self.small_bytes = self.small_bytes.saturating_sub(bytes);
            self.hold(chunk, bytes);
        }
        Ok(())
    }

    fn hold(&mut self, chunk: Chunk, bytes: usize) {
        self.held_bytes += bytes;
        self.held_rows += chunk.rows();
        self.held.push_back(chunk);
    }

    /// Makes the small chunks one.
    fn settle(&mut self) -> Result<(), OperatorError> {
        if let Some(chunk) = self.small.rest()? {
            let bytes = chunk_bytes(&chunk);
            self.hold(chunk, bytes);
        }
        self.small_bytes = 0;
        Ok(())
    }

    /// Adds so many rows to the list at work.
    pub(super) fn extend(&mut self, rows: usize) -> Result<(), OperatorError> {
        self.open += rows;
        if self.open > self.most_items { Err(self.too_many("rows")) } else { Ok(()) }
    }

    /// Ends the list at work; its rows leave, or are thrown away.
    pub(super) fn finish(&mut self, is_kept: bool) {
        let rows = std::mem::take(&mut self.open);
        if rows > 0 {
            self.finished += rows;
            self.lists.push_back(List { rows, is_kept });
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.held_bytes + self.small_bytes
    }

    /// Returns whether there are enough lists to leave.
    pub(super) fn is_full(&self) -> bool {
        self.lists.len() >= self.output_rows || self.finished > self.usual_rows()
    }

    /// Rows at which several lists leave.
    fn usual_rows(&self) -> usize {
        let row_bytes = self.held_bytes / self.held_rows.max(1);
        (OUTPUT_BYTES / row_bytes.max(1)).min(self.output_rows.saturating_mul(USUAL_ITEMS))
    }

    /// The next finished lists, if there are any.
    pub(super) fn leave(&mut self) -> Result<Option<Chunk>, OperatorError> {
        if self.lists.is_empty() {
            return Ok(None);
        }
        self.settle()?;
        let most = self.usual_rows().min(self.most_items);
        let mut lengths: Vec<usize> = Vec::new();
        let mut items = 0;
        let mut pieces = Vec::new();
        let mut span = 0;
        while let Some(List { rows, is_kept }) = self.lists.front().copied() {
            if is_kept && !lengths.is_empty() && (items + rows > most || lengths.len() >= self.output_rows) {
                break;
            }
            self.lists.pop_front();
            self.finished -= rows;
            if is_kept {
                lengths.push(rows);
                items += rows;
                span += rows;
            } else {
                self.take(std::mem::take(&mut span), Some(&mut pieces));
                self.take(rows, None);
            }
        }
        self.take(span, Some(&mut pieces));
        if lengths.is_empty() {
            return Ok(None);
        }
        self.check_nested(&pieces)?;
        let items = Chunk::concat(&self.layout.input, &pieces)?;
        // A single list was counted when it grew, and several are far below the limit.
        let offsets = OffsetBuffer::from_lengths(lengths);
        Ok(Some(self.layout.rows(items, &offsets)?))
    }

    /// Takes the first rows away.
    fn take(&mut self, mut rows: usize, mut into: Option<&mut Vec<Chunk>>) {
        while rows > 0 {
            let first = holds(self.held.pop_front(), "rows that are taken are held");
            let taken = first.rows().min(rows);
            let (bytes, before) = (chunk_bytes(&first), first.rows());
            self.held_bytes = self.held_bytes.saturating_sub(bytes);
            self.held_rows -= before;
            rows -= taken;
            if taken < before {
                let rest = first.slice(taken, before - taken);
                let bytes = chunk_bytes(&rest);
                self.held_bytes += bytes;
                self.held_rows += rest.rows();
                self.held.push_front(rest);
            }
            if let Some(into) = &mut into {
                into.push(if taken < before { first.slice(0, taken) } else { first });
            }
        }
    }

    /// Refuses rows whose own lists have too many items to be put one behind the other.
    fn check_nested(&self, pieces: &[Chunk]) -> Result<(), OperatorError> {
        let fields = self.layout.input.columns().enumerate();
        for (at, _) in fields.filter(|(_, field)| field.data_type().is_nested()) {
            let columns =
                pieces.iter().filter_map(|piece| piece.tags().iter().chain(piece.packets()).nth(at));
            if columns.map(nested_items).sum::<usize>() > self.most_items {
                return Err(self.too_many("items of nested lists"));
            }
        }
        Ok(())
    }

    fn too_many(&self, what: &str) -> OperatorError {
        OperatorError::data(
            "batch",
            format!("more than {} {what} for one list", self.most_items),
            "at most so many",
            "give a size (or a smaller one) to get several lists, or filter the rows first",
        )
    }
}

/// Items at the level of an array's lists that has the most. The recursion is bounded by the depth
/// of the type.
fn nested_items(array: &ArrayRef) -> usize {
    let range = |offsets: &OffsetBuffer<i32>, items: ArrayRef| {
        let (start, end) = (offsets.first().as_usize(), offsets.last().as_usize());
        (end - start).max(nested_items(&items.slice(start, end - start)))
    };
    match array.data_type() {
        DataType::List(_) => {
            let list = array.as_list::<i32>();
            range(list.offsets(), Arc::clone(list.values()))
        }
        DataType::Map(..) => {
            let map = array.as_map();
            range(map.offsets(), Arc::new(map.entries().clone()))
        }
        DataType::Struct(_) => array.as_struct().columns().iter().map(nested_items).max().unwrap_or(0),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use anabranch_engine::identity::Structure;
    use anabranch_engine::provenance::Provenance;
    use anabranch_engine::schema::StreamSchema;
    use arrow::array::ListArray;
    use arrow::datatypes::{Field, FieldRef, Int64Type};

    /// A gatherer over lists, and a chunk of four rows with two items each.
    fn over_lists(most_items: usize) -> (Gatherer, Chunk) {
        let column: ArrayRef =
            Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>((0..4).map(|_| Some([Some(1); 2]))));
        let field: FieldRef = Arc::new(Field::new("x", column.data_type().clone(), true));
        let schema = Arc::new(StreamSchema::new(vec![field], vec![], vec![]).unwrap());
        let layout = BatchLayout::new(&schema, &[], &Structure::new("batch")).unwrap();
        let chunk = Chunk::new(schema, 4, vec![column], vec![], Provenance::default()).unwrap();
        (Gatherer { most_items, ..Gatherer::new(Arc::new(layout), 100) }, chunk)
    }

    #[test]
    fn a_list_of_more_rows_than_can_be_counted_is_an_error() {
        let (mut gatherer, chunk) = over_lists(3);
        gatherer.push(&chunk).unwrap();
        gatherer.extend(3).unwrap();
        assert_eq!(
            gatherer.extend(1).unwrap_err().to_string(),
            "batch: more than 3 rows for one list, expected at most so many; give a size (or a smaller one) to get several lists, or filter the rows first"
        );
    }

    #[test]
    fn a_list_of_more_nested_items_than_can_be_counted_is_an_error() {
        let (mut gatherer, chunk) = over_lists(7);
        gatherer.push(&chunk.slice(1, 3)).unwrap();
        gatherer.extend(3).unwrap();
        gatherer.finish(true);
        assert_eq!(gatherer.leave().unwrap().unwrap().rows(), 1);
        gatherer.push(&chunk).unwrap();
        gatherer.extend(4).unwrap();
        gatherer.finish(true);
        assert_eq!(
            gatherer.leave().unwrap_err().to_string(),
            "batch: more than 7 items of nested lists for one list, expected at most so many; give a size (or a smaller one) to get several lists, or filter the rows first"
        );
    }

    #[test]
    fn rows_of_a_list_that_is_thrown_away_are_not_kept() {
        let (mut gatherer, chunk) = over_lists(100);
        gatherer.push(&chunk).unwrap();
        for is_kept in [true, false, true] {
            gatherer.extend(1).unwrap();
            gatherer.finish(is_kept);
        }
        let made = gatherer.leave().unwrap().unwrap();
        assert_eq!(made.rows(), 2);
        assert_eq!(gatherer.held_rows, 1);
        gatherer.extend(1).unwrap();
        gatherer.finish(false);
        assert!(gatherer.leave().unwrap().is_none());
        assert_eq!((gatherer.held_rows, gatherer.bytes()), (0, 0));
    }
}
