//! How much memory rows take, counting only the rows at hand.

use anabranch_engine::chunk::Chunk;
use arrow::array::{Array, AsArray, GenericByteViewArray};
use arrow::datatypes::{ByteViewType, DataType};

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
}
