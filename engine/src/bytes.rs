//! Memory that rows take, counting only the rows at hand; and reservations that may be refused.

use std::cell::Cell;

use arrow::array::{Array, ArrayRef, AsArray, GenericByteViewArray};
use arrow::datatypes::{ByteViewType, DataType};

use crate::chunk::Chunk;

/// Bytes of the rows of a chunk, provenance included; what a buffer holds beyond them does not count.
#[must_use]
pub fn chunk_bytes(chunk: &Chunk) -> usize {
    let values: usize = chunk.tags().iter().chain(chunk.packets()).map(|c| array_bytes(c.as_ref())).sum();
    values + chunk.provenance().bytes()
}

/// Bytes of the rows of an array; what a buffer holds beyond them does not count.
///
/// Costs a look at each string that does not lie in its view, and no time that grows with the rows else.
#[must_use]
pub fn array_bytes(array: &dyn Array) -> usize {
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
            DataType::FixedSizeBinary(width) => array.len() * usize::try_from(*width).unwrap_or(0),
            other => match other.primitive_width() {
                Some(width) => array.len() * width,
                None => array.get_array_memory_size(),
            },
        }
}

/// The number of rows, of `rows` of these columns from `from` on, that have at most so many bytes together; one at
/// least, if there are any.
///
/// Costs a look at the rows for each doubling of their number at most.
#[must_use]
pub fn rows_within(columns: &[ArrayRef], from: usize, rows: usize, most_bytes: usize) -> usize {
    let fits = |rows| {
        let bytes = |column: &ArrayRef| array_bytes(column.slice(from, rows).as_ref());
        columns.iter().map(bytes).sum::<usize>() <= most_bytes
    };
    if rows <= 1 || fits(rows) {
        return rows;
    }
    let (mut fitting, mut too_many) = (0, rows);
    while too_many - fitting > 1 {
        let middle = fitting.midpoint(too_many);
        if fits(middle) { fitting = middle } else { too_many = middle }
    }
    fitting.max(1)
}

thread_local! {
    static RESERVING: Cell<bool> = const { Cell::new(false) };
}

/// Reserves room for `more` bytes, a count that a file or a peer sent; returns false if the allocation fails.
#[must_use]
pub fn reserve(bytes: &mut Vec<u8>, more: u64) -> bool {
    let Ok(more) = usize::try_from(more) else { return false };
    RESERVING.set(true);
    let reserved = bytes.try_reserve_exact(more).is_ok();
    RESERVING.set(false);
    reserved
}

/// True while this thread is within [`reserve`], for an allocator that exits when an allocation fails.
#[must_use]
pub fn is_reserving() -> bool {
    RESERVING.get()
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

    #[test]
    fn rows_within_a_bound_are_as_many_as_fit_and_one_at_least() {
        let texts = (0..100).map(|n| "x".repeat(if n == 50 { 10_000 } else { 84 }));
        let columns: [ArrayRef; 1] = [std::sync::Arc::new(StringViewArray::from_iter_values(texts))];
        assert_eq!(rows_within(&columns, 0, 50, 1_000), 10);
        assert_eq!(rows_within(&columns, 0, 100, 5_500), 50);
        assert_eq!(rows_within(&columns, 50, 50, 100), 1, "a row that is too large comes alone");
        assert_eq!(rows_within(&columns, 60, 7, usize::MAX), 7);
        assert_eq!(rows_within(&columns, 60, 0, 0), 0);
        assert_eq!(rows_within(&[], 0, 1_000, 0), 1_000, "rows without columns take nothing");
    }
}
