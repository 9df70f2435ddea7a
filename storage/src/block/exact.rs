//! One byte form for each sequence of values.
//!
//! The same values can lie in memory in many ways: slices of larger buffers, strings in any
//! number of buffers, anything at all under a null. [`exact`] gives the one form in which offsets
//! begin at 0, strings follow each other in one buffer, and what is null is zero or empty.

use std::sync::Arc;

use anabranch_engine::index::{At as _, holds, row_number};
use arrow::array::{
    Array, ArrayData, ArrayRef, AsArray, BooleanArray, GenericByteViewArray, ListArray, MapArray,
    StructArray, UInt32Array, make_array, make_view,
};
use arrow::buffer::{BooleanBuffer, Buffer, MutableBuffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::compute::take;
use arrow::datatypes::{BinaryViewType, ByteViewType, DataType, FieldRef, StringViewType};
use arrow::error::ArrowError;

/// The exact form of an array of a canonical type.
///
/// Errors: a type that is not canonical.
pub(crate) fn exact(array: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    form(array, true, None)
}

/// `mask` has the validity of the parents; where they are null, so is the child.
fn form(array: &ArrayRef, nullable: bool, mask: Option<&NullBuffer>) -> Result<ArrayRef, ArrowError> {
    let valid = NullBuffer::union(array.nulls(), mask).filter(|n| n.null_count() > 0);
    let valid = valid.map(|n| NullBuffer::new(BooleanBuffer::collect_bool(n.len(), |row| n.is_valid(row))));
    let nulls = if nullable { valid.clone() } else { None };
    let valid = valid.as_ref();
    Ok(match array.data_type() {
        DataType::Boolean => {
            let values = array.as_boolean().values();
            let bit = |row| values.value(row) && valid.is_none_or(|n| n.is_valid(row));
            Arc::new(BooleanArray::new(BooleanBuffer::collect_bool(array.len(), bit), nulls))
        }
        DataType::Utf8View => Arc::new(views::<StringViewType>(array.as_byte_view(), valid, nulls)?),
        DataType::BinaryView => Arc::new(views::<BinaryViewType>(array.as_byte_view(), valid, nulls)?),
        DataType::List(item) => list(array.as_list(), item, valid, nulls)?,
        DataType::Map(entries, sorted) => map(array.as_map(), entries, *sorted, valid, nulls)?,
        DataType::Struct(fields) => {
            let columns = array.as_struct().columns().iter().zip(fields);
            let columns = columns.map(|(column, field)| form(column, field.is_nullable(), valid));
            let columns = columns.collect::<Result<_, _>>()?;
            Arc::new(StructArray::try_new_with_length(fields.clone(), columns, nulls, array.len())?)
        }
        other => match other.primitive_width() {
            Some(width) => fixed(&array.to_data(), width, valid, nulls)?,
            None if matches!(other, DataType::FixedSizeBinary(_)) => Arc::clone(array),
            None => return Err(ArrowError::InvalidArgumentError(format!("found type {other}"))),
        },
    })
}

fn fixed(
    data: &ArrayData,
    width: usize,
    valid: Option<&NullBuffer>,
    nulls: Option<NullBuffer>,
) -> Result<ArrayRef, ArrowError> {
    let torn = || ArrowError::InvalidArgumentError("values are shorter than the column".to_owned());
    let values = data.buffers().first().ok_or_else(torn)?;
    let (from, bytes) = (data.offset() * width, data.len() * width);
    let values = match valid {
        None => values.slice_with_length(from, bytes),
        Some(valid) => {
            let mut copy = MutableBuffer::with_capacity(bytes);
            copy.extend_from_slice(values.as_slice().get(from..from + bytes).ok_or_else(torn)?);
            for (row, value) in copy.as_slice_mut().chunks_exact_mut(width).enumerate() {
                if valid.is_null(row) {
                    value.fill(0);
                }
            }
            copy.into()
        }
    };
    let form = ArrayData::builder(data.data_type().clone()).len(data.len()).add_buffer(values);
    Ok(make_array(form.nulls(nulls).align_buffers(true).build()?))
}

fn views<T: ByteViewType>(
    array: &GenericByteViewArray<T>,
    valid: Option<&NullBuffer>,
    nulls: Option<NullBuffer>,
) -> Result<GenericByteViewArray<T>, ArrowError> {
    let mut strings: Vec<u8> = Vec::new();
    let mut views: Vec<u128> = Vec::with_capacity(array.len());
    for row in 0..array.len() {
        if valid.is_some_and(|n| n.is_null(row)) {
            views.push(0);
            continue;
        }
        let value: &[u8] = array.value(row).as_ref();
        let offset = u32::try_from(strings.len())
            .map_err(|_| ArrowError::InvalidArgumentError("found more than 4 GiB of text".to_owned()))?;
        views.push(make_view(value, 0, offset));
        if value.len() > INLINE_BYTES {
            strings.extend_from_slice(value);
        }
    }
    let buffers = if strings.is_empty() { vec![] } else { vec![Buffer::from_vec(strings)] };
    GenericByteViewArray::try_new(ScalarBuffer::from(views), buffers, nulls)
}

/// Bytes of a text that lie in the view itself.
const INLINE_BYTES: usize = 12;

fn list(
    array: &ListArray,
    item: &FieldRef,
    valid: Option<&NullBuffer>,
    nulls: Option<NullBuffer>,
) -> Result<ArrayRef, ArrowError> {
    let (offsets, values) = items(array.value_offsets(), array.values(), valid)?;
    let values = form(&values, item.is_nullable(), None)?;
    Ok(Arc::new(ListArray::try_new(Arc::clone(item), offsets, values, nulls)?))
}

fn map(
    array: &MapArray,
    entries: &FieldRef,
    sorted: bool,
    valid: Option<&NullBuffer>,
    nulls: Option<NullBuffer>,
) -> Result<ArrayRef, ArrowError> {
    let pairs: ArrayRef = Arc::new(array.entries().clone());
    let (offsets, values) = items(array.value_offsets(), &pairs, valid)?;
    let values = form(&values, entries.is_nullable(), None)?.as_struct().clone();
    Ok(Arc::new(MapArray::try_new(Arc::clone(entries), offsets, values, nulls, sorted)?))
}

/// The items that belong to a list which is not null, and offsets that begin at 0.
fn items(
    offsets: &[i32],
    values: &ArrayRef,
    valid: Option<&NullBuffer>,
) -> Result<(OffsetBuffer<i32>, ArrayRef), ArrowError> {
    let present = |row: usize| valid.is_none_or(|n| n.is_valid(row));
    let bounds = offsets.iter().zip(offsets.iter().skip(1)).enumerate();
    let lengths = bounds.clone().map(|(row, (from, to))| if present(row) { to - from } else { 0 });
    let lengths: Vec<usize> = lengths.map(offset).collect();
    let kept: usize = lengths.iter().sum();
    let end = |at: Option<&i32>| offset(*holds(at, "lists have one offset more than rows"));
    let (first, last) = (end(offsets.first()), end(offsets.last()));
    let values = if kept == last - first {
        values.slice(first, kept)
    } else {
        let rows = bounds.filter(|(row, _)| present(*row)).flat_map(|(_, (from, to))| *from..*to);
        let rows: UInt32Array = rows.map(|row| row_number(offset(row))).collect();
        take(values, &rows, None)?
    };
    Ok((OffsetBuffer::from_lengths(lengths), values))
}

/// An offset, or a difference of two, which is never negative in an array of Arrow.
fn offset(offset: i32) -> usize {
    holds(usize::try_from(offset).ok(), "offsets of lists do not descend")
}

/// Bytes that values take in their exact form, roughly, as a sum over rows: cutting rows into
/// ranges in any way gives the same sum.
pub(crate) fn value_bytes(array: &dyn Array, from: usize, rows: usize) -> usize {
    let to = from + rows;
    match array.data_type() {
        DataType::Utf8View => view_bytes(array.as_string_view(), from, rows),
        DataType::BinaryView => view_bytes(array.as_binary_view(), from, rows),
        DataType::List(_) => {
            let list = array.as_list::<i32>();
            rows * 4 + item_bytes(array, list.value_offsets(), list.values(), from, to)
        }
        DataType::Map(..) => {
            let map = array.as_map();
            rows * 4 + item_bytes(array, map.value_offsets(), map.entries(), from, to)
        }
        DataType::Struct(_) => {
            let columns = array.as_struct().columns();
            let bytes = |from, rows| columns.iter().map(|c| value_bytes(c, from, rows)).sum::<usize>();
            if array.null_count() == 0 {
                return bytes(from, rows);
            }
            (from..to).map(|row| if array.is_valid(row) { bytes(row, 1) } else { 0 }).sum()
        }
        // Truth values and bytes of a fixed number count as one.
        other => rows * other.primitive_width().unwrap_or(1),
    }
}

fn view_bytes<T: ByteViewType>(array: &GenericByteViewArray<T>, from: usize, rows: usize) -> usize {
    let views = array.views().iter().enumerate().skip(from).take(rows);
    // The low 32 bits of a view are the length of its value.
    let lengths =
        views.map(|(row, view)| if array.is_valid(row) { (*view & 0xffff_ffff) as usize } else { 0 });
    rows * 16 + lengths.sum::<usize>()
}

fn item_bytes(list: &dyn Array, offsets: &[i32], items: &dyn Array, from: usize, to: usize) -> usize {
    let place = |row: usize| offset(*offsets.at(row, "lists have one offset more than rows"));
    let range = |from: usize, to: usize| value_bytes(items, place(from), place(to) - place(from));
    if list.null_count() == 0 {
        return range(from, to);
    }
    (from..to).map(|row| if list.is_valid(row) { range(row, row + 1) } else { 0 }).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::Columns;
    use arrow::array::{Int32Array, StringViewArray};
    use arrow::datatypes::{Field, Fields};
    use proptest::prelude::*;

    type Item = Option<(Option<String>, i32)>;
    type Row = Option<Vec<Item>>;

    /// Lists of structs; what is null has `garbage` under it, which shows in no value.
    fn array(rows: &[Row], garbage: bool) -> ArrayRef {
        let under = |item: &Item| match item {
            None if garbage => (Some("whatever stands under a null".to_owned()), 77),
            None => (None, 0),
            Some((text, number)) => (text.clone(), *number),
        };
        let hidden = if garbage { vec![Some((Some("hidden".to_owned()), 5)), None] } else { vec![] };
        let lists: Vec<&Vec<Item>> = rows.iter().map(|row| row.as_ref().unwrap_or(&hidden)).collect();
        let items: Vec<&Item> = lists.iter().flat_map(|list| list.iter()).collect();
        let strings: StringViewArray = items.iter().map(|item| under(item).0).collect();
        let numbers = Int32Array::from_iter_values(items.iter().map(|item| under(item).1));
        let fields = Fields::from(vec![
            Field::new("text", DataType::Utf8View, true),
            Field::new("number", DataType::Int32, false),
        ]);
        let valid = items.iter().map(|item| item.is_some()).collect::<NullBuffer>();
        let valid = Some(valid).filter(|valid| garbage || valid.null_count() > 0);
        let structs = StructArray::new(fields.clone(), vec![Arc::new(strings), Arc::new(numbers)], valid);
        let item = Arc::new(Field::new("item", DataType::Struct(fields), true));
        let offsets = OffsetBuffer::from_lengths(lists.iter().map(|list| list.len()));
        let valid = rows.iter().map(Option::is_some).collect::<NullBuffer>();
        Arc::new(ListArray::new(item, offsets, Arc::new(structs), Some(valid)))
    }

    fn bytes(array: &ArrayRef) -> Vec<u8> {
        let mut columns = Columns::default();
        columns.push("x", array).unwrap();
        columns.encode(array.len(), None).unwrap()
    }

    fn rows() -> impl Strategy<Value = Vec<Row>> {
        let text = proptest::option::of("[a-z]{0,20}");
        let item = proptest::option::of((text, any::<i32>()));
        proptest::collection::vec(proptest::option::of(proptest::collection::vec(item, 0..4)), 0..20)
    }

    proptest! {
        #[test]
        fn equal_values_have_equal_bytes_however_they_lie_in_memory(before in rows(), wanted in rows(), after in rows()) {
            let all = [before.clone(), wanted.clone(), after].concat();
            let slice = array(&all, true).slice(before.len(), wanted.len());
            let plain = array(&wanted, false);
            prop_assert_eq!(bytes(&slice), bytes(&plain));
            let exact = exact(&slice).unwrap();
            prop_assert_eq!(exact.as_ref(), plain.as_ref());
            let size = value_bytes(&slice, 0, slice.len());
            prop_assert_eq!(size, value_bytes(&plain, 0, plain.len()));
            let each = (0..slice.len()).map(|row| value_bytes(&slice, row, 1));
            prop_assert_eq!(size, each.sum::<usize>());
        }
    }

    #[test]
    fn a_type_that_is_not_canonical_is_an_error() {
        let array: ArrayRef = Arc::new(arrow::array::LargeStringArray::from(vec!["a"]));
        assert!(exact(&array).unwrap_err().to_string().contains("LargeUtf8"));
    }
}
