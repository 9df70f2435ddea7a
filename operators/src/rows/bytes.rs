//! How much memory rows take, counting only the rows at hand.

use std::sync::Arc;

use anabranch_engine::chunk::Chunk;
use arrow::array::{Array, ArrayRef, AsArray, GenericByteViewArray, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::{ByteViewType, DataType};
use arrow::error::ArrowError;

/// Bytes of the rows of a chunk; what a buffer holds beyond them does not count.
pub(crate) fn chunk_bytes(chunk: &Chunk) -> usize {
    let values: usize = chunk.tags().iter().chain(chunk.packets()).map(|c| array_bytes(c.as_ref())).sum();
    values + chunk.provenance().bytes()
}

/// Bytes of the rows of an array.
pub(crate) fn array_bytes(array: &dyn Array) -> usize {
    let nulls = array.nulls().map_or(0, |_| array.len().div_ceil(8));
    nulls
        + match array.data_type() {
            DataType::Utf8View => array.len() * size_of::<u128>() + bytes_outside(array.as_string_view()),
            DataType::BinaryView => array.len() * size_of::<u128>() + bytes_outside(array.as_binary_view()),
            DataType::Boolean => array.len().div_ceil(8),
            DataType::Struct(_) => array.as_struct().columns().iter().map(|c| array_bytes(c.as_ref())).sum(),
            DataType::List(_) => {
                let list = array.as_list::<i32>();
                offsets_bytes(list.value_offsets(), list.values().as_ref())
            }
            DataType::Map(..) => {
                let map = array.as_map();
                offsets_bytes(map.value_offsets(), map.entries())
            }
            other => match other.primitive_width() {
                Some(width) => array.len() * width,
                None => array.get_array_memory_size(),
            },
        }
}

/// Bytes of values that do not lie in their views. Looks at no view if there are none.
fn bytes_outside<T: ByteViewType>(array: &GenericByteViewArray<T>) -> usize {
    if array.data_buffers().is_empty() { 0 } else { array.total_buffer_bytes_used() }
}

fn offsets_bytes(offsets: &[i32], items: &dyn Array) -> usize {
    let place = |offset: Option<&i32>| offset.and_then(|o| usize::try_from(*o).ok()).unwrap_or(0);
    let (start, end) = (place(offsets.first()), place(offsets.last()));
    size_of_val(offsets) + array_bytes(items.slice(start, end.saturating_sub(start)).as_ref())
}

/// The array without what its buffers hold beyond its rows, where that is much.
pub(crate) fn compact(array: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    Ok(match array.data_type() {
        DataType::Utf8View if sparse(array.as_string_view()) => Arc::new(array.as_string_view().gc()),
        DataType::BinaryView if sparse(array.as_binary_view()) => Arc::new(array.as_binary_view().gc()),
        other if other.is_nested() => {
            let rows = u32::try_from(array.len()).map_err(|e| ArrowError::ExternalError(Box::new(e)))?;
            take(array, &UInt32Array::from_iter_values(0..rows), None)?
        }
        _ => Arc::clone(array),
    })
}

fn sparse<T: ByteViewType>(array: &GenericByteViewArray<T>) -> bool {
    let held: usize = array.data_buffers().iter().map(arrow::buffer::Buffer::len).sum();
    held > 2 * array.total_buffer_bytes_used()
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Int64Array, ListArray, StringViewArray};
    use arrow::datatypes::Int64Type;

    #[test]
    fn a_slice_counts_its_own_rows_only() {
        let long = "a text that does not lie in its view";
        let texts = StringViewArray::from_iter_values(std::iter::repeat_n(long, 100));
        assert_eq!(array_bytes(&texts.slice(10, 2)), 2 * (16 + long.len()));
        assert_eq!(array_bytes(&Int64Array::from(vec![0; 100]).slice(3, 5)), 40);
        let lists =
            ListArray::from_iter_primitive::<Int64Type, _, _>((0..100).map(|n| Some(vec![Some(n); 3])));
        assert_eq!(array_bytes(&lists.slice(50, 2)), 3 * 4 + 6 * 8);
    }

    #[test]
    fn a_compact_array_holds_no_more_than_its_rows_need() {
        let long = "a text that does not lie in its view";
        let texts = StringViewArray::from_iter_values((0..100).map(|n| format!("{long}{n}")));
        let slice: ArrayRef = Arc::new(texts.slice(10, 2));
        let compact = compact(&slice).unwrap();
        assert_eq!(&compact, &slice);
        let held: usize =
            compact.as_string_view().data_buffers().iter().map(arrow::buffer::Buffer::len).sum();
        assert_eq!(held, 2 * (long.len() + 2));
    }
}
