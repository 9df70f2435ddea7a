//! Rows without what their buffers hold beyond them.
//!
//! Rows that were picked out of others go on sharing the bytes of strings with them. A chunk that is
//! kept for long, or leaves for the disk, must not take the others along.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayData, ArrayRef, AsArray, GenericByteViewArray, ListArray, MapArray, StructArray, UInt32Array,
};
use arrow::buffer::Buffer;
use arrow::compute::take;
use arrow::datatypes::{ByteViewType, DataType};
use arrow::error::ArrowError;

use crate::bytes::array_bytes;
use crate::chunk::{Chunk, ChunkError};

/// Rows from which on an array of plain values is left in the larger one that it was cut from: the others
/// of those are rows of the same source, and as a rule kept as well.
const MANY_ROWS: usize = 1_024;
/// Bytes that an array may hold beyond its rows, whatever they need.
const LITTLE: usize = 1_024;

/// The same rows; those that hold much more than they need are copied.
pub fn compact(chunk: &Chunk) -> Result<Chunk, ChunkError> {
    if chunk.rows() < MANY_ROWS && chunk.tags().iter().chain(chunk.packets()).any(is_cut_out) {
        let rows: Vec<u32> = (0..).take(chunk.rows()).collect();
        return with_columns(&chunk.take(&rows)?, own_bytes);
    }
    with_columns(
        chunk,
        |array| if holds_others(array) { own_bytes(&copied(array)?) } else { own_bytes(array) },
    )
}

fn with_columns(
    chunk: &Chunk,
    change: impl Fn(&ArrayRef) -> Result<ArrayRef, ArrowError>,
) -> Result<Chunk, ChunkError> {
    let columns = |columns: &[ArrayRef]| columns.iter().map(&change).collect::<Result<Vec<_>, _>>();
    let (tags, packets) = (columns(chunk.tags())?, columns(chunk.packets())?);
    Chunk::new(Arc::clone(chunk.schema()), chunk.rows(), tags, packets, chunk.provenance().clone())
}

/// The same values; copied where the array holds much more than they need.
pub fn compact_array(array: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    if holds_others(array) || (array.len() < MANY_ROWS && is_cut_out(array)) {
        own_bytes(&copied(array)?)
    } else {
        own_bytes(array)
    }
}

/// The same values in memory of their own; strings stay where they are.
fn copied(array: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    let rows = u32::try_from(array.len()).map_err(|e| ArrowError::ExternalError(Box::new(e)))?;
    take(array, &UInt32Array::from_iter_values(0..rows), None)
}

/// Returns whether an array of lists or structs holds much beyond the items of its rows.
fn holds_others(array: &ArrayRef) -> bool {
    array.data_type().is_nested() && named_bytes(&array.to_data()) > 2 * array_bytes(array.as_ref()) + LITTLE
}

/// Returns whether the memory behind an array is much larger than what the rows need of it.
fn is_cut_out(array: &ArrayRef) -> bool {
    array.get_buffer_memory_size() > 2 * array_bytes(array.as_ref()) + LITTLE
}

/// Bytes of the buffers as far as the array reaches, items of lists outside its rows among them. The
/// recursion is bounded by the depth of the type.
fn named_bytes(data: &ArrayData) -> usize {
    let own: usize = data.buffers().iter().map(Buffer::len).sum();
    own + data.child_data().iter().map(named_bytes).sum::<usize>()
}

/// The same with strings that hold little beyond their own bytes. The recursion is bounded by the depth of
/// the type.
fn own_bytes(array: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    Ok(match array.data_type() {
        DataType::Utf8View if is_sparse(array.as_string_view()) => Arc::new(array.as_string_view().gc()),
        DataType::BinaryView if is_sparse(array.as_binary_view()) => Arc::new(array.as_binary_view().gc()),
        DataType::List(field) => {
            let list = array.as_list::<i32>();
            let items = own_bytes(list.values())?;
            let (offsets, nulls) = (list.offsets().clone(), list.nulls().cloned());
            Arc::new(ListArray::try_new(Arc::clone(field), offsets, items, nulls)?)
        }
        DataType::Map(field, ordered) => {
            let map = array.as_map();
            let entries: ArrayRef = Arc::new(map.entries().clone());
            let entries = own_bytes(&entries)?.as_struct().clone();
            let (offsets, nulls) = (map.offsets().clone(), map.nulls().cloned());
            Arc::new(MapArray::try_new(Arc::clone(field), offsets, entries, nulls, *ordered)?)
        }
        DataType::Struct(fields) if !fields.is_empty() => {
            let columns = array.as_struct().columns().iter().map(own_bytes).collect::<Result<Vec<_>, _>>()?;
            Arc::new(StructArray::try_new(fields.clone(), columns, array.nulls().cloned())?)
        }
        _ => Arc::clone(array),
    })
}

fn is_sparse<T: ByteViewType>(array: &GenericByteViewArray<T>) -> bool {
    let held: usize = array.data_buffers().iter().map(Buffer::len).sum();
    held > LITTLE && held > 2 * array.total_buffer_bytes_used()
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::provenance::Provenance;
    use crate::schema::StreamSchema;
    use arrow::array::{ListBuilder, StringViewArray, StringViewBuilder};
    use arrow::datatypes::{Field, FieldRef, Fields};

    /// Strings, lists of them, and lists in a struct: a hundred rows of some 40 bytes each.
    fn columns() -> Vec<ArrayRef> {
        let text = |n: usize| format!("a text that does not lie in its view {n:03}");
        let texts: ArrayRef = Arc::new(StringViewArray::from_iter_values((0..100).map(text)));
        let mut lists = ListBuilder::new(StringViewBuilder::new());
        (0..100).for_each(|n| lists.append_value([Some(text(n))]));
        let lists: ArrayRef = Arc::new(lists.finish());
        let fields = Fields::from(vec![Field::new("l", lists.data_type().clone(), true)]);
        let structs: ArrayRef = Arc::new(StructArray::new(fields, vec![Arc::clone(&lists)], None));
        vec![texts, lists, structs]
    }

    #[test]
    fn few_rows_of_many_hold_their_own_bytes_only() {
        let columns = columns();
        let named = columns.iter().zip(["a", "b", "c"]);
        let fields: Vec<FieldRef> = named
            .map(|(c, name)| Arc::new(Field::new(name, c.data_type().clone(), true)) as FieldRef)
            .collect();
        let schema = Arc::new(StreamSchema::new(vec![], fields, vec![]).unwrap());
        let provenance =
            || Provenance { tags: vec![], sources: vec![crate::provenance::ProvenanceColumn::null(100); 3] };
        let whole = Chunk::new(schema, 100, vec![], columns, provenance()).unwrap();
        let few = whole.slice(40, 2);
        let compacted = compact(&few).unwrap();
        assert_eq!(compacted.packets(), few.packets());
        for column in compacted.packets() {
            assert!(held(column) <= 2 * 40, "{} bytes are held", held(column));
        }
        let all = compact(&whole).unwrap();
        assert_eq!(all.packets(), whole.packets());
    }

    #[test]
    fn a_few_short_texts_cut_out_of_many_do_not_hold_the_others() {
        let texts: ArrayRef = Arc::new(StringViewArray::from_iter_values((0..8_192).map(|n| n.to_string())));
        let field: FieldRef = Arc::new(Field::new("a", DataType::Utf8View, true));
        let schema = Arc::new(StreamSchema::new(vec![], vec![field], vec![]).unwrap());
        let sources = vec![crate::provenance::ProvenanceColumn::null(8_192)];
        let whole = Chunk::new(schema, 8_192, vec![], vec![texts], Provenance { tags: vec![], sources });
        let few = whole.unwrap().slice(70, 3);
        let own = compact(&few).unwrap();
        assert_eq!(own.packets(), few.packets());
        let held = own.packets()[0].get_buffer_memory_size();
        assert!(held < 200, "{held} bytes are held");
    }

    /// Bytes of the strings that an array holds.
    fn held(array: &ArrayRef) -> usize {
        match array.data_type() {
            DataType::List(_) => held(array.as_list::<i32>().values()),
            DataType::Struct(_) => held(array.as_struct().column(0)),
            _ => array.as_string_view().data_buffers().iter().map(Buffer::len).sum(),
        }
    }
}
