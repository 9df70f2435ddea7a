//! Finds the types of JSON values.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields};
use indexmap::IndexMap;
use serde_json::{Map, Value};

/// What the values seen so far can all be read as.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) enum Shape {
    /// Only nulls so far.
    #[default]
    Unknown,
    Bool,
    /// Integers; whether one is negative, whether one is beyond a signed 64-bit number.
    Integer {
        negative: bool,
        large: bool,
    },
    Float,
    Text,
    List(Box<Shape>),
    Object(IndexMap<String, Shape>),
    /// Values that have no type in common.
    Mixed,
}

impl Shape {
    /// Takes a further value into account.
    pub(crate) fn add(&mut self, value: &Value) {
        match (&mut *self, value) {
            (_, Value::Null) | (Self::Mixed, _) => {}
            (Self::List(item), Value::Array(values)) => {
                for value in values {
                    item.add(value);
                }
            }
            (Self::Object(keys), Value::Object(object)) => add_object(keys, object),
            (Self::Unknown, _) => *self = Self::of(value),
            (seen, value) => {
                let merged = seen.merged(Self::of(value));
                *self = merged;
            }
        }
    }

    fn of(value: &Value) -> Self {
        match value {
            Value::Null => Self::Unknown,
            Value::Bool(_) => Self::Bool,
            Value::Number(number) if number.is_f64() => Self::Float,
            Value::Number(number) => Self::Integer {
                negative: number.as_i64().is_some_and(|n| n < 0),
                large: number.as_i64().is_none(),
            },
            Value::String(_) => Self::Text,
            Value::Array(values) => {
                let mut item = Self::Unknown;
                for value in values {
                    item.add(value);
                }
                Self::List(Box::new(item))
            }
            Value::Object(object) => {
                let mut keys = IndexMap::new();
                add_object(&mut keys, object);
                Self::Object(keys)
            }
        }
    }

    /// The shape of two scalars.
    fn merged(&self, other: Self) -> Self {
        match (self, other) {
            (Self::Integer { negative: a, large: c }, Self::Integer { negative: b, large: d }) => {
                Self::Integer { negative: *a || b, large: *c || d }
            }
            (Self::Float, Self::Integer { .. }) | (Self::Integer { .. }, Self::Float) => Self::Float,
            (seen, other) if *seen == other => other,
            _ => Self::Mixed,
        }
    }

    /// The type, in canonical form.
    pub(crate) fn data_type(&self) -> DataType {
        match self {
            Self::Bool => DataType::Boolean,
            Self::Integer { large: false, .. } => DataType::Int64,
            Self::Integer { negative: false, .. } => DataType::UInt64,
            Self::Integer { .. } | Self::Unknown | Self::Text | Self::Mixed => DataType::Utf8View,
            Self::Float => DataType::Float64,
            Self::List(item) => DataType::List(Arc::new(Field::new("item", item.data_type(), true))),
            Self::Object(keys) => {
                let field = |(name, shape): (&String, &Self)| Field::new(name, shape.data_type(), true);
                DataType::Struct(keys.iter().map(field).collect::<Fields>())
            }
        }
    }

    /// Whether values that are no strings are kept as their JSON text.
    pub(crate) fn is_any(&self) -> bool {
        matches!(self, Self::Mixed | Self::Integer { negative: true, large: true })
    }
}

/// Takes the keys of an object into account.
pub(crate) fn add_object(keys: &mut IndexMap<String, Shape>, object: &Map<String, Value>) {
    for (key, value) in object {
        match keys.get_mut(key) {
            Some(shape) => shape.add(value),
            None => {
                keys.insert(key.clone(), Shape::of(value));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anabranch_engine::types::{canonical, logical_type};
    use serde_json::json;

    fn type_of(values: &[Value]) -> String {
        let mut shape = Shape::default();
        for value in values {
            shape.add(value);
        }
        assert_eq!(canonical(&shape.data_type()).unwrap(), shape.data_type());
        logical_type(&shape.data_type())
    }

    #[test]
    fn all_values_have_a_say_in_the_type() {
        assert_eq!(type_of(&[json!(null), json!(1)]), "int64");
        assert_eq!(type_of(&[json!(1), json!(2.5)]), "float64");
        assert_eq!(type_of(&[json!(1), json!(u64::MAX)]), "uint64");
        assert_eq!(type_of(&[json!(-1), json!(u64::MAX)]), "string");
        assert_eq!(type_of(&[json!(null)]), "string");
        assert_eq!(type_of(&[json!([1]), json!([null, 2.0])]), "list<float64>");
        let objects = [json!({"a": 1}), json!({"b": [true]})];
        assert_eq!(type_of(&objects), "struct<\"a\":int64,\"b\":list<bool>>");
        assert_eq!(type_of(&[json!([1]), json!(1)]), "string");
    }
}
