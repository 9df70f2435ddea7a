//! JSON Schema of the pipeline file, made from the table.

use serde_json::{Map, Value, json};

use super::table::PIPELINE;
use super::values::fields::{Fallback, Field, ObjectSchema, Presence, Type};

/// Returns the JSON Schema (draft 2020-12) of a pipeline file, for editors.
///
/// It is made from the same table as the checks. `${name}` is also allowed where a value is no string.
#[must_use]
pub fn json_schema() -> Value {
    let mut definitions = Definitions(Map::new());
    let root = definitions.object(&PIPELINE);
    let mut schema = Map::new();
    schema.insert("$schema".into(), "https://json-schema.org/draft/2020-12/schema".into());
    schema.insert("title".into(), "anabranch pipeline".into());
    if let Value::Object(root) = root {
        schema.extend(root.into_iter().filter(|(key, _)| key != "title"));
    }
    definitions.0.insert(
        "parameter_use".into(),
        json!({
            "title": "parameter",
            "description": "The value of a parameter.",
            "type": "string",
            "pattern": r"^\$\{[^}]+\}$",
        }),
    );
    schema.insert("$defs".into(), Value::Object(definitions.0));
    Value::Object(schema)
}

struct Definitions(Map<String, Value>);

impl Definitions {
    fn reference(&mut self, schema: &'static ObjectSchema) -> Value {
        if !self.0.contains_key(schema.name) {
            // The name is entered first: a schema may contain itself.
            self.0.insert(schema.name.into(), Value::Null);
            let definition = self.object(schema);
            self.0.insert(schema.name.into(), definition);
        }
        json!({ "$ref": format!("#/$defs/{}", schema.name) })
    }

    fn object(&mut self, mapping: &'static ObjectSchema) -> Value {
        let fields: Vec<&'static Field> = mapping.fields.iter().filter(|f| !f.reserved).collect();
        let properties: Map<String, Value> =
            fields.iter().map(|f| (f.key.to_owned(), self.field(f))).collect();
        let keys = |presence| fields.iter().filter(move |f| f.presence == presence).map(|f| f.key);
        let required: Vec<&str> = keys(Presence::Required).collect();
        let mut schema = json!({
            "title": mapping.name,
            "description": mapping.doc,
            "type": "object",
            "properties": properties,
            "additionalProperties": false,
        });
        if let Value::Object(object) = &mut schema {
            if !required.is_empty() {
                object.insert("required".into(), json!(required));
            }
            if !mapping.choice.is_empty() {
                let one_of: Vec<Value> =
                    keys(Presence::Alternative).map(|key| json!({ "required": [key] })).collect();
                object.insert("oneOf".into(), json!(one_of));
            }
        }
        schema
    }

    fn field(&mut self, field: &'static Field) -> Value {
        let mut schema = self.value(&field.value, field.fixed);
        if let Value::Object(object) = &mut schema {
            object.insert("description".into(), field.doc.into());
            match field.fallback {
                Some(Fallback::Text(text)) => object.insert("default".into(), text.into()),
                Some(Fallback::Integer(value)) => object.insert("default".into(), value.into()),
                Some(Fallback::Bool(value)) => object.insert("default".into(), value.into()),
                None => None,
            };
        }
        schema
    }

    fn value(&mut self, value: &'static Type, fixed: bool) -> Value {
        match value {
            Type::Text | Type::NodeName | Type::Path | Type::Input | Type::OfColumn => {
                json!({ "type": "string" })
            }
            Type::Bool => or_parameter(json!({ "type": "boolean" }), fixed),
            Type::Integer { least, most } => {
                or_parameter(json!({ "type": "integer", "minimum": least, "maximum": most }), fixed)
            }
            Type::Scalar => json!({ "type": ["string", "number", "boolean", "null"] }),
            Type::Expression => json!({ "type": ["string", "number", "boolean"] }),
            Type::Bytes { least } => json!({ "anyOf": [
                { "type": "integer", "minimum": least },
                { "type": "string", "pattern": r"^[0-9]+(\.[0-9]+)? *([KMGTkmgt]?[iI]?[Bb])?$" },
                { "$ref": "#/$defs/parameter_use" },
            ] }),
            Type::Duration { .. } => json!({ "anyOf": [
                { "type": "number", "minimum": 0 },
                { "type": "string", "pattern": r"^ *[0-9]+(\.[0-9]+)? *(ns|us|ms|s|m|h|d) *$" },
                { "$ref": "#/$defs/parameter_use" },
            ] }),
            Type::Number { least, most } => {
                or_parameter(json!({ "type": "number", "minimum": least, "maximum": most }), fixed)
            }
            Type::Character => {
                or_parameter(json!({ "type": "string", "minLength": 1, "maxLength": 1 }), fixed)
            }
            Type::Choice(words) => {
                let null = words.contains(&"null").then_some(Value::Null);
                let here: Vec<Value> = words.iter().map(|word| Value::from(*word)).chain(null).collect();
                or_parameter(json!({ "enum": here }), fixed)
            }
            Type::Either(types) => {
                let types: Vec<Value> = types.iter().map(|t| self.value(t, fixed)).collect();
                json!({ "anyOf": types })
            }
            Type::List(item) => json!({ "type": "array", "items": self.value(item, fixed) }),
            Type::Map(free) => {
                json!({ "type": "object", "additionalProperties": self.value(&free.value, fixed) })
            }
            Type::Record(schema) => self.reference(schema),
            Type::Data | Type::Anything => json!({}),
        }
    }
}

fn or_parameter(schema: Value, fixed: bool) -> Value {
    if fixed { schema } else { json!({ "anyOf": [schema, { "$ref": "#/$defs/parameter_use" }] }) }
}
