//! Rows without what their buffers hold beyond them.
//!
//! Rows that were picked out of others go on sharing the bytes of texts with them. A chunk that is
//! kept for long, or leaves for the disk, must not take the others along.

use std::sync::Arc;

use anabranch_engine::chunk::{Chunk, ChunkError};
use arrow::array::{Array, ArrayRef, AsArray, GenericByteViewArray, ListArray, MapArray, StructArray};
use arrow::buffer::{Buffer, OffsetBuffer};
use arrow::datatypes::{ByteViewType, DataType};
use arrow::error::ArrowError;

/// The same rows; columns that hold much more than their rows need are copied.
pub(super) fn compact(chunk: &Chunk) -> Result<Chunk, ChunkError> {
    let columns = |columns: &[ArrayRef]| columns.iter().map(column).collect::<Result<Vec<_>, _>>();
    let (tags, packets) = (columns(chunk.tags())?, columns(chunk.packets())?);
    Chunk::new(Arc::clone(chunk.schema()), chunk.rows(), tags, packets, chunk.provenance().clone())
}

/// The recursion is bounded by the depth of the type.
fn column(array: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    Ok(match array.data_type() {
        DataType::Utf8View if is_sparse(array.as_string_view()) => Arc::new(array.as_string_view().gc()),
        DataType::BinaryView if is_sparse(array.as_binary_view()) => Arc::new(array.as_binary_view().gc()),
        DataType::List(field) => {
            let list = array.as_list::<i32>();
            let (offsets, items) = items(list.offsets(), list.values());
            let items = column(&items)?;
            Arc::new(ListArray::try_new(Arc::clone(field), offsets, items, list.nulls().cloned())?)
        }
        DataType::Map(field, ordered) => {
            let map = array.as_map();
            let entries: ArrayRef = Arc::new(map.entries().clone());
            let (offsets, entries) = items(map.offsets(), &entries);
            let entries = column(&entries)?;
            let entries = entries.as_struct().clone();
            let nulls = map.nulls().cloned();
            Arc::new(MapArray::try_new(Arc::clone(field), offsets, entries, nulls, *ordered)?)
        }
        DataType::Struct(fields) if !fields.is_empty() => {
            let columns = array.as_struct().columns().iter().map(column).collect::<Result<Vec<_>, _>>()?;
            Arc::new(StructArray::try_new(fields.clone(), columns, array.nulls().cloned())?)
        }
        _ => Arc::clone(array),
    })
}

/// The items that belong to a row, and offsets that begin at 0.
fn items(offsets: &OffsetBuffer<i32>, items: &ArrayRef) -> (OffsetBuffer<i32>, ArrayRef) {
    let place = |offset: i32| usize::try_from(offset).unwrap_or(0);
    let (start, end) = (place(offsets.first()), place(offsets.last()));
    if start == 0 && end == items.len() {
        return (offsets.clone(), Arc::clone(items));
    }
    // The lengths were offsets before, so their sum fits.
    (OffsetBuffer::from_lengths(offsets.lengths()), items.slice(start, end - start))
}

fn is_sparse<T: ByteViewType>(array: &GenericByteViewArray<T>) -> bool {
    let held: usize = array.data_buffers().iter().map(Buffer::len).sum();
    held > 2 * array.total_buffer_bytes_used()
}
