//! Finds the types of JSON values.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields};
use indexmap::IndexMap;

use crate::source::document::{Entries, Json, View};
use crate::source::text::{self, IntegerRange};

/// Levels of lists and structs that a type is inferred with; a deeper value is kept as its JSON text.
///
/// Files and recordings describe types by structures that their readers take only so deep.
pub(crate) const TYPE_DEPTH: usize = 24;

/// Type that the values seen so far can all be read as.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) enum Shape {
    /// Only nulls so far.
    #[default]
    Unknown,
    Bool,
    Integer(IntegerRange),
    Float,
    Text,
    List(Box<Shape>),
    Object(IndexMap<String, Shape>),
    /// Values that have no type in common, or none that holds them.
    Mixed,
}

/// Keys that may still be learnt; each takes memory for a column.
#[derive(Debug, Clone, Copy)]
pub(crate) struct KeyBudget(pub(crate) usize);

/// More keys than a source may have columns and fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooManyKeys;

impl Shape {
    /// Takes a further value into account, `depth` levels below its column.
    pub(crate) fn add(
        &mut self,
        value: Json<'_>,
        depth: usize,
        budget: &mut KeyBudget,
    ) -> Result<(), TooManyKeys> {
        match (&mut *self, value.view()) {
            (_, View::Null) | (Self::Mixed, _) => {}
            (Self::List(item), View::Array(items)) => {
                for value in items {
                    item.add(value, depth + 1, budget)?;
                }
            }
            (Self::Object(keys), View::Object(entries)) => add_object(keys, entries, depth + 1, budget)?,
            (Self::Unknown, view) => *self = Self::of(&view, depth, budget)?,
            (seen, view) => *self = seen.merged(Self::of(&view, depth, budget)?),
        }
        Ok(())
    }

    fn of(view: &View<'_>, depth: usize, budget: &mut KeyBudget) -> Result<Self, TooManyKeys> {
        Ok(match view {
            View::Null => Self::Unknown,
            View::Bool(_) => Self::Bool,
            View::Integer(digits) => IntegerRange::of(digits).map_or(Self::Mixed, Self::Integer),
            View::Number(text) if text::float_of::<f64>(text).is_none() => Self::Mixed,
            View::Number(_) | View::NonFinite(_) => Self::Float,
            View::String(_) => Self::Text,
            View::Array(_) | View::Object(_) if depth == TYPE_DEPTH => Self::Mixed,
            View::Array(items) => {
                let mut item = Self::Unknown;
                for value in items.clone() {
                    item.add(value, depth + 1, budget)?;
                }
                Self::List(Box::new(item))
            }
            View::Object(entries) => {
                let mut keys = IndexMap::new();
                add_object(&mut keys, entries.clone(), depth + 1, budget)?;
                Self::Object(keys)
            }
        })
    }

    /// The shape of values of two shapes, of which one at least is a scalar's.
    fn merged(&self, other: Self) -> Self {
        match (self, other) {
            (Self::Integer(a), Self::Integer(b)) => Self::Integer(a.with(b)),
            (Self::Float, Self::Integer(range)) if range.fits_double() => Self::Float,
            (Self::Integer(range), Self::Float) if range.fits_double() => Self::Float,
            (seen, other) if *seen == other => other,
            _ => Self::Mixed,
        }
    }

    /// The type, in canonical form.
    pub(crate) fn data_type(&self) -> DataType {
        match self {
            Self::Bool => DataType::Boolean,
            Self::Integer(range) => range.data_type().unwrap_or(DataType::Utf8View),
            Self::Unknown | Self::Text | Self::Mixed => DataType::Utf8View,
            Self::Float => DataType::Float64,
            Self::List(item) => DataType::List(Arc::new(Field::new("item", item.data_type(), true))),
            Self::Object(keys) => {
                let field = |(name, shape): (&String, &Self)| Field::new(name, shape.data_type(), true);
                DataType::Struct(keys.iter().map(field).collect::<Fields>())
            }
        }
    }

    /// True if values that are no strings are kept as their JSON text.
    pub(crate) fn is_any(&self) -> bool {
        match self {
            Self::Mixed => true,
            Self::Integer(range) => range.data_type().is_none(),
            _ => false,
        }
    }
}

/// Takes the keys of an object into account.
fn add_object(
    keys: &mut IndexMap<String, Shape>,
    entries: Entries<'_>,
    depth: usize,
    budget: &mut KeyBudget,
) -> Result<(), TooManyKeys> {
    for (key, value) in entries {
        if let Some(shape) = keys.get_mut(key.as_ref()) {
            shape.add(value, depth, budget)?;
        } else {
            budget.0 = budget.0.checked_sub(1).ok_or(TooManyKeys)?;
            let shape = Shape::of(&value.view(), depth, budget)?;
            keys.insert(key.into_owned(), shape);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::document::{Document, JsonDialect};
    use anabranch_engine::types::{canonical, logical_type};

    fn type_of(values: &[&str]) -> String {
        let mut shape = Shape::default();
        for value in values {
            let document = Document::new((*value).to_owned(), JsonDialect::NonFinite).unwrap();
            shape.add(document.root(), 0, &mut KeyBudget(100)).unwrap();
        }
        assert_eq!(canonical(&shape.data_type()).unwrap(), shape.data_type());
        logical_type(&shape.data_type())
    }

    #[test]
    fn all_values_have_a_say_in_the_type() {
        assert_eq!(type_of(&["null", "1"]), "int64");
        assert_eq!(type_of(&["1", "2.5"]), "float64");
        assert_eq!(type_of(&["1", "NaN"]), "float64");
        assert_eq!(type_of(&["1", "18446744073709551615"]), "uint64");
        assert_eq!(type_of(&["-1", "18446744073709551615"]), "string");
        assert_eq!(type_of(&["null"]), "string");
        assert_eq!(type_of(&["[1]", "[null, 2.0]"]), "list<float64>");
        assert_eq!(type_of(&[r#"{"a": 1}"#, r#"{"b": [true]}"#]), r#"struct<"a":int64,"b":list<bool>>"#);
        assert_eq!(type_of(&["[1]", "1"]), "string");
    }

    #[test]
    fn no_type_is_inferred_that_would_change_a_number() {
        assert_eq!(type_of(&["18446744073709551616"]), "string");
        assert_eq!(type_of(&["1", "18446744073709551616"]), "string");
        assert_eq!(type_of(&["9007199254740993", "0.5"]), "string");
        assert_eq!(type_of(&["0.5", "-9007199254740993"]), "string");
        assert_eq!(type_of(&["9007199254740992", "0.5"]), "float64");
        assert_eq!(type_of(&["1e400"]), "string");
        assert_eq!(type_of(&["[9007199254740993]", "[0.5]"]), "list<string>");
    }

    #[test]
    fn values_nested_deeper_than_types_may_be_are_strings() {
        let nested = |levels: usize| "[".repeat(levels) + "1" + &"]".repeat(levels);
        let typed = type_of(&[&nested(TYPE_DEPTH)]);
        assert_eq!(typed.matches("list<").count(), TYPE_DEPTH);
        assert!(typed.contains("int64"), "{typed}");
        let typed = type_of(&[&nested(512)]);
        assert_eq!(typed.matches("list<").count(), TYPE_DEPTH);
        assert!(typed.contains("string"), "{typed}");
    }

    #[test]
    fn keys_are_counted_at_every_level() {
        let document =
            Document::new(r#"{"a": {"b": 1}, "c": [{"d": 1}]}"#.to_owned(), JsonDialect::Strict).unwrap();
        let add = |keys| Shape::default().add(document.root(), 0, &mut KeyBudget(keys));
        assert_eq!((add(4), add(3)), (Ok(()), Err(TooManyKeys)));
    }
}
