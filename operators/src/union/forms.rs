//! One physical form for the values of several inputs.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Fields};

use crate::keys::wider;

/// The field that holds the values of both, given that names and logical types are equal.
///
/// Of the metadata stays what both agree on.
pub(super) fn common_field(one: &FieldRef, other: &FieldRef) -> FieldRef {
    if one == other {
        return Arc::clone(one);
    }
    let data_type = common_type(one.data_type(), other.data_type());
    let nullable = one.is_nullable() || other.is_nullable();
    let agreed = one.metadata().iter().filter(|(key, value)| other.metadata().get(key) == Some(*value));
    let metadata: HashMap<String, String> = agreed.map(|(key, value)| (key.clone(), value.clone())).collect();
    Arc::new(Field::new(one.name(), data_type, nullable).with_metadata(metadata))
}

fn common_type(one: &DataType, other: &DataType) -> DataType {
    match (one, other) {
        (DataType::List(one), DataType::List(other)) => DataType::List(common_field(one, other)),
        (DataType::Struct(one), DataType::Struct(other)) => DataType::Struct(common_fields(one, other)),
        (DataType::Map(one, sorted), DataType::Map(other, also_sorted)) => {
            DataType::Map(common_entries(one, other), *sorted && *also_sorted)
        }
        _ => wider(one.clone(), other.clone()),
    }
}

/// The fields of structs, which belong together by name.
fn common_fields(one: &Fields, other: &Fields) -> Fields {
    let common = |field: &FieldRef| match other.iter().find(|theirs| theirs.name() == field.name()) {
        Some(theirs) => common_field(field, theirs),
        None => Arc::clone(field),
    };
    one.iter().map(common).collect()
}

/// The entries of maps: key and value, whatever their names.
fn common_entries(one: &FieldRef, other: &FieldRef) -> FieldRef {
    let (DataType::Struct(pair), DataType::Struct(theirs)) = (one.data_type(), other.data_type()) else {
        return Arc::clone(one);
    };
    let pair: Fields = pair.iter().zip(theirs).map(|(a, b)| common_field(a, b)).collect();
    Arc::new(Field::clone(one).with_data_type(DataType::Struct(pair)))
}
