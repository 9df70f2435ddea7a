//! The columns of a Parquet file: as they are stored, and as its logical types mean them.

use std::slice::Iter;
use std::sync::Arc;

use anabranch_engine::types::EXTENSION_NAME;
use arrow::datatypes::{DataType, Field, FieldRef, Fields, TimeUnit};
use indexmap::IndexMap;
use parquet::basic::{ConvertedType, LogicalType, Type as PhysicalType};
use parquet::schema::types::{ColumnDescPtr, ColumnDescriptor};

use crate::source::cast::{UUID, mark_unchecked};

/// Walks the leaves of a field, which come in the order of the file's columns.
fn map_leaves(
    field: &Field,
    columns: &mut Iter<'_, ColumnDescPtr>,
    leaf: &dyn Fn(&Field, &ColumnDescriptor) -> Field,
) -> FieldRef {
    use DataType as D;
    let mut inner = |field: &FieldRef| map_leaves(field, columns, leaf);
    let data_type = match field.data_type() {
        D::List(item) => D::List(inner(item)),
        D::LargeList(item) => D::LargeList(inner(item)),
        D::FixedSizeList(item, length) => D::FixedSizeList(inner(item), *length),
        D::ListView(item) => D::ListView(inner(item)),
        D::LargeListView(item) => D::LargeListView(inner(item)),
        D::Struct(fields) => D::Struct(fields.iter().map(inner).collect()),
        D::Map(entries, sorted) => D::Map(inner(entries), *sorted),
        _ => {
            return Arc::new(match columns.next() {
                Some(column) => leaf(field, column),
                None => field.clone(),
            });
        }
    };
    Arc::new(field.clone().with_data_type(data_type))
}

fn map_fields(
    fields: &Fields,
    columns: &[ColumnDescPtr],
    leaf: &dyn Fn(&Field, &ColumnDescriptor) -> Field,
) -> Fields {
    let mut columns = columns.iter();
    fields.iter().map(|field| map_leaves(field, &mut columns, leaf)).collect()
}

fn is_uuid(column: &ColumnDescriptor) -> bool {
    matches!(column.logical_type_ref(), Some(LogicalType::Uuid))
}

fn is_enum(column: &ColumnDescriptor) -> bool {
    matches!(column.logical_type_ref(), Some(LogicalType::Enum))
        || column.converted_type() == ConvertedType::ENUM
}

/// True if strings would be taken from the file without a check that they are UTF-8.
fn is_unchecked(column: &ColumnDescriptor) -> bool {
    column.physical_type() == PhysicalType::BYTE_ARRAY && column.converted_type() != ConvertedType::UTF8
}

fn is_string(data_type: &DataType) -> bool {
    match data_type {
        DataType::Dictionary(_, values) => is_string(values),
        DataType::RunEndEncoded(_, values) => is_string(values.data_type()),
        other => matches!(other, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View),
    }
}

/// The types in which columns are requested of the library, given those that it infers.
///
/// INT96 timestamps are counted in the unit of the declared type; what would be a string without a
/// check is bytes, or [`stored`] marks it.
pub(super) fn requested(
    inferred: &Fields,
    columns: &[ColumnDescPtr],
    types: &IndexMap<String, DataType>,
) -> Fields {
    let leaf = |field: &Field, column: &ColumnDescriptor| {
        if column.physical_type() == PhysicalType::INT96 {
            let unit = int96_unit(field, types);
            return field.clone().with_data_type(DataType::Timestamp(unit, None));
        }
        if is_unchecked(column) && is_string(field.data_type()) {
            return field.clone().with_data_type(DataType::Binary);
        }
        field.clone()
    };
    map_fields(inferred, columns, &leaf)
}

fn int96_unit(field: &Field, types: &IndexMap<String, DataType>) -> TimeUnit {
    match types.get(field.name()).unwrap_or(field.data_type()) {
        DataType::Timestamp(unit, _) => *unit,
        _ => TimeUnit::Nanosecond,
    }
}

/// The columns as the file means them.
pub(super) fn meant(inferred: &Fields, stored: &Fields, columns: &[ColumnDescPtr]) -> Fields {
    let leaf = |field: &Field, column: &ColumnDescriptor| {
        if is_uuid(column) {
            let mut metadata = field.metadata().clone();
            metadata.retain(|name, _| !name.starts_with("ARROW:extension:"));
            return Field::new(field.name(), DataType::Utf8View, field.is_nullable()).with_metadata(metadata);
        }
        if is_enum(column) { field.clone().with_data_type(DataType::Utf8View) } else { field.clone() }
    };
    let meant = map_fields(inferred, columns, &leaf);
    // The unit of INT96 timestamps is the one that was requested.
    let timestamps = |(meant, stored): (&FieldRef, &FieldRef)| match (meant.data_type(), stored.data_type()) {
        (DataType::Timestamp(_, None), DataType::Timestamp(..)) => {
            Arc::new(Field::clone(meant).with_data_type(stored.data_type().clone()))
        }
        _ => Arc::clone(meant),
    };
    meant.iter().zip(stored).map(timestamps).collect()
}

/// The columns as batches have them, with what the types do not say: that 16 bytes are a UUID, that
/// strings are not checked yet.
pub(super) fn stored(read: &Fields, columns: &[ColumnDescPtr]) -> Fields {
    let leaf = |field: &Field, column: &ColumnDescriptor| {
        if is_uuid(column) {
            let mut metadata = field.metadata().clone();
            metadata.insert(EXTENSION_NAME.to_owned(), UUID.to_owned());
            return field.clone().with_metadata(metadata);
        }
        if is_unchecked(column) && is_string(field.data_type()) {
            mark_unchecked(field)
        } else {
            field.clone()
        }
    };
    map_fields(read, columns, &leaf)
}

/// The unit in which each column's INT96 timestamps are read; none for other columns.
pub(super) fn int96_units(requested: &Fields, columns: &[ColumnDescPtr]) -> Vec<Option<TimeUnit>> {
    let units = std::cell::RefCell::new(Vec::with_capacity(columns.len()));
    let leaf = |field: &Field, column: &ColumnDescriptor| {
        let unit = match field.data_type() {
            DataType::Timestamp(unit, _) if column.physical_type() == PhysicalType::INT96 => Some(*unit),
            _ => None,
        };
        units.borrow_mut().push(unit);
        field.clone()
    };
    map_fields(requested, columns, &leaf);
    units.into_inner()
}
