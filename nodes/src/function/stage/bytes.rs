//! How much memory values take, whatever larger buffers they lie in.

use anabranch_engine::chunk::Chunk;
use arrow::array::{Array, AsArray, GenericByteViewArray};
use arrow::datatypes::{ByteViewType, DataType};

/// Bytes of an array's values.
pub(super) fn value_bytes(array: &dyn Array) -> usize {
    let rows = array.len();
    match array.data_type() {
        DataType::Utf8View => view_bytes(array.as_string_view()),
        DataType::BinaryView => view_bytes(array.as_binary_view()),
        DataType::List(_) => {
            let list = array.as_list::<i32>();
            rows * 4 + item_bytes(list.value_offsets(), list.values())
        }
        DataType::Map(..) => {
            let map = array.as_map();
            rows * 4 + item_bytes(map.value_offsets(), map.entries())
        }
        DataType::Struct(_) => array.as_struct().columns().iter().map(|c| value_bytes(c)).sum(),
        DataType::FixedSizeBinary(width) => rows * usize::try_from(*width).unwrap_or(0),
        other => rows * other.primitive_width().unwrap_or(1),
    }
}

/// Bytes of a chunk's rows, provenance included.
pub(super) fn chunk_bytes(chunk: &Chunk) -> usize {
    let values: usize = chunk.tags().iter().chain(chunk.packets()).map(|c| value_bytes(c)).sum();
    values + chunk.provenance().bytes()
}

fn view_bytes<T: ByteViewType>(array: &GenericByteViewArray<T>) -> usize {
    // The low 32 bits of a view are the length of its value, which lies in it up to 12 bytes.
    let lengths = array.views().iter().map(|view| (*view & 0xffff_ffff) as usize).filter(|n| *n > 12);
    array.len() * 16 + lengths.sum::<usize>()
}

fn item_bytes(offsets: &[i32], items: &dyn Array) -> usize {
    let place = |at: Option<&i32>| at.and_then(|at| usize::try_from(*at).ok()).unwrap_or(0);
    let (from, to) = (place(offsets.first()), place(offsets.last()));
    value_bytes(&items.slice(from, to.saturating_sub(from)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Int64Array, ListArray, StringViewArray};
    use arrow::datatypes::Int64Type;

    #[test]
    fn a_slice_counts_its_own_values_only() {
        let numbers = Int64Array::from_iter_values(0..1_000);
        assert_eq!(value_bytes(&numbers.slice(5, 10)), 80);
        let long = "x".repeat(100);
        let texts = StringViewArray::from(vec![Some(long.as_str()), None, Some("short"), Some(&long)]);
        assert_eq!(value_bytes(&texts), 4 * 16 + 200);
        assert_eq!(value_bytes(&texts.slice(1, 2)), 32);
        let lists = (0..10).map(|n| Some((0..n).map(Some).collect::<Vec<_>>()));
        let lists = ListArray::from_iter_primitive::<Int64Type, _, _>(lists);
        assert_eq!(value_bytes(&lists.slice(2, 2)), 2 * 4 + (2 + 3) * 8);
    }
}
