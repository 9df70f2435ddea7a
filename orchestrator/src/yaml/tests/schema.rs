//! Tests of the JSON Schema, and of the table it is made from.

use std::collections::HashSet;

use serde_json::Value;

use super::super::json_schema;
use super::super::kinds::NODE;
use super::super::table::{INCLUDED, PIPELINE};
use super::super::values::fields::{Field, ObjectSchema, Presence, Type};

/// Calls `visit` with every object of a schema.
fn objects(value: &Value, visit: &mut impl FnMut(&serde_json::Map<String, Value>)) {
    match value {
        Value::Object(object) => {
            visit(object);
            object.values().for_each(|v| objects(v, visit));
        }
        Value::Array(items) => items.iter().for_each(|v| objects(v, visit)),
        _ => {}
    }
}

#[test]
fn every_reference_resolves_and_every_definition_is_used() {
    let schema = json_schema();
    let mut used = HashSet::new();
    objects(&schema, &mut |object| {
        if let Some(reference) = object.get("$ref").and_then(Value::as_str) {
            let name = reference.strip_prefix("#/$defs/").unwrap();
            assert!(schema["$defs"][name].is_object(), "{reference} leads nowhere");
            used.insert(name.to_owned());
        }
    });
    let defined: HashSet<String> = schema["$defs"].as_object().unwrap().keys().cloned().collect();
    assert_eq!(used, defined);
}

#[test]
fn the_schema_is_of_its_draft_and_closed_everywhere() {
    let schema = json_schema();
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    let mut closed = 0;
    objects(&schema, &mut |object| {
        if object.contains_key("properties") && object.get("type").is_some_and(|t| t == "object") {
            assert_eq!(object["additionalProperties"], false, "{object:?}");
            assert!(!object["title"].as_str().unwrap().is_empty());
            assert!(!object["description"].as_str().unwrap().is_empty());
            closed += 1;
        }
    });
    assert!(closed > 15, "{closed}");
}

#[test]
fn every_kind_of_this_version_is_in_the_schema_and_no_other() {
    let schema = json_schema();
    let node = &schema["$defs"]["node"];
    let kinds = [
        "csv",
        "parquet",
        "jsonl",
        "arrow",
        "rows",
        "sqlite",
        "derived",
        "select",
        "drop",
        "map",
        "filter",
        "batch",
        "unbatch",
        "sort",
        "distinct",
        "join",
        "merge_join",
        "semijoin",
        "antijoin",
        "union",
        "function",
        "write",
    ];
    for kind in kinds {
        let reference = node["properties"][kind]["$ref"].as_str().unwrap();
        assert_eq!(reference, format!("#/$defs/{kind}"));
    }
    assert_eq!(node["oneOf"].as_array().unwrap().len(), kinds.len());
    assert!(node["properties"]["from_topic"].is_null());
}

#[test]
fn the_schema_says_what_the_checks_demand() {
    let schema = json_schema();
    assert_eq!(schema["required"], serde_json::json!(["version", "name", "nodes"]));
    assert_eq!(schema["$defs"]["settings"]["properties"]["channel_capacity"]["default"], 8);
    assert_eq!(schema["$defs"]["csv"]["required"], serde_json::json!(["path"]));
    assert_eq!(
        schema["$defs"]["function"]["oneOf"],
        serde_json::json!([{ "required": ["sql"] }, { "required": ["python"] }, { "required": ["command"] }])
    );
}

/// Calls `visit` with every schema that can be reached.
fn schemas(
    schema: &'static ObjectSchema,
    seen: &mut HashSet<usize>,
    visit: &mut impl FnMut(&'static ObjectSchema),
) {
    if !seen.insert(std::ptr::from_ref(schema) as usize) {
        return;
    }
    visit(schema);
    let mut types: Vec<&'static Type> = schema.fields.iter().map(|f| &f.value).collect();
    while let Some(value) = types.pop() {
        match value {
            Type::Record(inner) => schemas(inner, seen, visit),
            Type::List(item) => types.push(item),
            Type::Map(free) => types.push(&free.value),
            Type::Either(several) => types.extend(*several),
            _ => {}
        }
    }
}

#[test]
fn shapes_of_one_name_are_one_shape_and_keys_are_distinct() {
    let mut names = HashSet::new();
    schemas(&PIPELINE, &mut HashSet::new(), &mut |schema| {
        assert!(names.insert(schema.name), "two schemas are called {}", schema.name);
        let keys: HashSet<&str> = schema.fields.iter().map(|f| f.key).collect();
        assert_eq!(keys.len(), schema.fields.len(), "{} has a key twice", schema.name);
        for field in schema.fields {
            assert!(field.reserved || !field.doc.is_empty(), "{} of {} says nothing", field.key, schema.name);
        }
    });
    assert!(INCLUDED.fields.iter().all(|f| PIPELINE.field(f.key).is_some()));
}

/// Returns every key of this version, each under the schema that has it.
pub(super) fn all_keys() -> Vec<(&'static str, &'static Field)> {
    let mut keys = Vec::new();
    schemas(&PIPELINE, &mut HashSet::new(), &mut |schema| {
        keys.extend(schema.fields.iter().filter(|f| !f.reserved).map(|f| (schema.name, f)));
    });
    keys
}

#[test]
fn knobs_and_kinds_are_distinguished() {
    let kinds = NODE.fields.iter().filter(|f| f.presence == Presence::Alternative).count();
    assert_eq!(kinds, 25, "kinds of the language, those of later versions included");
}
