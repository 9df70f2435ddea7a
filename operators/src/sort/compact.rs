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

#[cfg(test)]
mod tests {
    use super::*;

    use anabranch_engine::provenance::Provenance;
    use anabranch_engine::schema::StreamSchema;
    use arrow::array::{ListBuilder, StringViewArray, StringViewBuilder};
    use arrow::datatypes::{Field, FieldRef, Fields};

    /// Texts, lists of them, and lists in a struct: a hundred rows of some 40 bytes each.
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
        let provenance = || Provenance {
            tags: vec![],
            sources: vec![anabranch_engine::provenance::ProvenanceColumn::null(100); 3],
        };
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

    /// Bytes of the texts that an array holds.
    fn held(array: &ArrayRef) -> usize {
        match array.data_type() {
            DataType::List(_) => held(array.as_list::<i32>().values()),
            DataType::Struct(_) => held(array.as_struct().column(0)),
            _ => array.as_string_view().data_buffers().iter().map(Buffer::len).sum(),
        }
    }
}
