//! Metadata of fields that is the engine's own: it comes from no source and reaches no file.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Fields};

/// Prefix of the names of such metadata.
const RESERVED: &str = "anabranch:";

/// True if a name of metadata is the engine's own.
pub(crate) fn is_reserved(name: &str) -> bool {
    name.starts_with(RESERVED)
}

/// The field without such metadata, on itself and on the fields inside its type.
pub(crate) fn without_reserved(field: &FieldRef) -> FieldRef {
    let data_type = type_without_reserved(field.data_type());
    let has_reserved = field.metadata().keys().any(|name| is_reserved(name));
    if !has_reserved && data_type == *field.data_type() {
        return Arc::clone(field);
    }
    let mut metadata = field.metadata().clone();
    metadata.retain(|name, _| !is_reserved(name));
    Arc::new(Field::clone(field).with_data_type(data_type).with_metadata(metadata))
}

/// The type without such metadata on the fields inside.
pub(crate) fn type_without_reserved(data_type: &DataType) -> DataType {
    match data_type {
        DataType::List(item) => DataType::List(without_reserved(item)),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(without_reserved).collect::<Fields>()),
        DataType::Map(entries, sorted) => DataType::Map(without_reserved(entries), *sorted),
        other => other.clone(),
    }
}
