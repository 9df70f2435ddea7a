//! One physical form for the values of several inputs.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Fields};

use crate::keys::wider;

/// The field that holds the values of both, given that their logical types are equal; the same whichever
/// comes first.
///
/// Of the metadata stays what both agree on, of two names of items the first in order, and fields of structs
/// stand by name where both have them in different orders.
pub(crate) fn common_field(one: &FieldRef, other: &FieldRef) -> FieldRef {
    if one == other {
        return Arc::clone(one);
    }
    let data_type = common_type(one.data_type(), other.data_type());
    let nullable = one.is_nullable() || other.is_nullable();
    let agreed = one.metadata().iter().filter(|(key, value)| other.metadata().get(key) == Some(*value));
    let metadata: HashMap<String, String> = agreed.map(|(key, value)| (key.clone(), value.clone())).collect();
    let name = one.name().min(other.name());
    Arc::new(Field::new(name, data_type, nullable).with_metadata(metadata))
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
    let mut fields: Vec<FieldRef> = one.iter().map(common).collect();
    let names = |fields: &Fields| -> Vec<String> { fields.iter().map(|f| f.name().clone()).collect() };
    if names(one) != names(other) {
        fields.sort_by(|a, b| a.name().cmp(b.name()));
    }
    fields.into()
}

/// The entries of maps: key and value, whatever their names.
fn common_entries(one: &FieldRef, other: &FieldRef) -> FieldRef {
    let (DataType::Struct(pair), DataType::Struct(theirs)) = (one.data_type(), other.data_type()) else {
        return Arc::clone(one);
    };
    let pair: Fields = pair.iter().zip(theirs).map(|(a, b)| common_field(a, b)).collect();
    let name = one.name().min(other.name());
    Arc::new(Field::clone(one).with_name(name).with_data_type(DataType::Struct(pair)))
}
