//! Cuts batches into pieces of bounded length that own their memory.

use std::sync::Arc;

use anabranch_engine::bytes::rows_within;
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::DataType;
use arrow::error::ArrowError;

use super::damage::guarded;
use crate::source::error::SourceError;

/// A view column is copied when it holds on to so many times the bytes that it shows.
const WASTE: usize = 4;

/// Bytes of a piece, unless one row alone has more.
const PIECE_BYTES: usize = 16 << 20;

/// Hands out a batch piece by piece.
///
/// A piece of a longer batch is a copy: a slice would keep the whole batch in memory, and be
/// counted as if it were the whole, for as long as anybody has the piece.
#[derive(Debug)]
pub(in crate::source) struct BatchSlicer {
    chunk_rows: usize,
    batch: Option<RecordBatch>,
    offset: usize,
}

impl BatchSlicer {
    pub(in crate::source) fn new(chunk_rows: usize) -> Self {
        Self { chunk_rows: chunk_rows.max(1), batch: None, offset: 0 }
    }

    /// Takes the next batch; the one before has to be used up.
    pub(in crate::source) fn push(&mut self, batch: RecordBatch) {
        self.batch = Some(batch);
        self.offset = 0;
    }

    /// The next piece; none if another batch is needed. `path` is for messages.
    pub(in crate::source) fn next(&mut self, path: &str) -> Result<Option<RecordBatch>, SourceError> {
        let Some(batch) = &self.batch else { return Ok(None) };
        let length = self.chunk_rows.min(batch.num_rows() - self.offset);
        let length = rows_within(batch.columns(), self.offset, length, PIECE_BYTES);
        let piece = match length {
            0 => None,
            _ if length == batch.num_rows() => Some(guarded(path, "Arrow", || compact(batch.clone()))?),
            _ => {
                let slice = batch.slice(self.offset, length);
                Some(guarded(path, "Arrow", || copied(&slice).and_then(compact))?)
            }
        };
        self.offset += length;
        if self.offset == batch.num_rows() {
            self.batch = None;
        }
        Ok(piece)
    }
}

fn copied(batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let rows = u32::try_from(batch.num_rows()).map_err(|e| ArrowError::ExternalError(Box::new(e)))?;
    if batch.num_columns() == 0 {
        return Ok(batch.clone());
    }
    take_record_batch(batch, &UInt32Array::from_iter_values(0..rows))
}

/// Lets go of buffers that view columns hold for few bytes.
fn compact(batch: RecordBatch) -> Result<RecordBatch, ArrowError> {
    let held =
        |buffers: &[arrow::buffer::Buffer]| buffers.iter().map(arrow::buffer::Buffer::len).sum::<usize>();
    let column = |column: &ArrayRef| -> ArrayRef {
        match column.data_type() {
            DataType::Utf8View => {
                let view = column.as_string_view();
                let wasteful = held(view.data_buffers()) > WASTE * view.total_buffer_bytes_used();
                if wasteful { Arc::new(view.gc()) } else { Arc::clone(column) }
            }
            DataType::BinaryView => {
                let view = column.as_binary_view();
                let wasteful = held(view.data_buffers()) > WASTE * view.total_buffer_bytes_used();
                if wasteful { Arc::new(view.gc()) } else { Arc::clone(column) }
            }
            _ => Arc::clone(column),
        }
    };
    if batch.num_columns() == 0 {
        return Ok(batch);
    }
    RecordBatch::try_new(batch.schema(), batch.columns().iter().map(column).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Int64Array, StringViewArray};

    #[test]
    fn pieces_hold_no_more_memory_than_they_show() {
        let texts = (0..10_000).map(|n| format!("a text that is not inlined {n}"));
        let texts: ArrayRef = Arc::new(StringViewArray::from_iter_values(texts));
        let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(0..10_000));
        let batch = RecordBatch::try_from_iter([("t", texts), ("n", numbers)]).unwrap();
        let mut slicer = BatchSlicer::new(100);
        slicer.push(batch.clone());
        let mut rows = 0;
        while let Some(piece) = slicer.next("rows").unwrap() {
            assert_eq!(piece, batch.slice(rows, piece.num_rows()));
            let bytes = piece.get_array_memory_size();
            assert!(bytes < 100 * 100, "{bytes} bytes for 100 rows");
            rows += piece.num_rows();
        }
        assert_eq!(rows, 10_000);
    }
}
