//! The inputs that go together in a join, and the tags that they join on.

use std::collections::HashMap;
use std::sync::Arc;

use anabranch_engine::identity::Structure;
use anabranch_engine::index::At as _;
use anabranch_engine::list_alignment::{AlignmentId, source_alignment, value_alignment, with_alignment};
use anabranch_engine::names::list;
use anabranch_engine::operator::{BindError, FoundText, Input};
use anabranch_engine::schema::{Role, StreamSchema};
use anabranch_engine::types::logical_name;
use arrow::array::new_empty_array;
use arrow::datatypes::{DataType, Field, FieldRef};
use indexmap::IndexMap;

use super::output::comparator;
use crate::forms::common_field;
use crate::keys::{unify, unify_values};

/// Refuses an empty list of inputs and names that stand in two inputs, other than as tags of both
/// or, if these merge, as packet columns of both.
pub(super) fn check_names(inputs: &[Input], merge: bool) -> Result<(), BindError> {
    if inputs.is_empty() {
        return Err(no_inputs());
    }
    let mut seen: HashMap<&str, (Role, usize)> = HashMap::new();
    for (input, schema) in inputs.iter().map(|i| &i.schema).enumerate() {
        for role in [Role::Tag, Role::Packet] {
            for field in schema.role(role) {
                match seen.insert(field.name(), (role, input)) {
                    None => {}
                    Some((Role::Tag, _)) if role == Role::Tag => {}
                    Some((Role::Packet, _)) if role == Role::Packet && merge => {}
                    Some(before) => return Err(clash(field.name(), before, (role, input))),
                }
            }
        }
    }
    Ok(())
}

/// There is nothing to join.
pub(super) fn no_inputs() -> BindError {
    BindError::parameter("inputs", "none", "at least one", "name the nodes to join")
}

fn clash(column: &str, one: (Role, usize), other: (Role, usize)) -> BindError {
    let (expected, remedy) = if one.0 == other.0 {
        ("a packet name in one input only", "rename it in one of them with map, or remove it there with drop")
    } else {
        (
            "a name that is a tag in all inputs or a packet column in one",
            "rename it in one of them with map, or make it a tag in both sources",
        )
    };
    BindError::conflict(column, FoundText::of_two(one, other), expected, remedy)
}

/// The tags of two inputs or more, as they leave.
///
/// A key that has found its match is not null. Of the metadata stays what all inputs agree on.
pub(super) fn shared_tags(inputs: &[Input]) -> Result<IndexMap<String, FieldRef>, BindError> {
    let mut by_name: IndexMap<&str, Vec<(usize, &FieldRef)>> = IndexMap::new();
    for (input, schema) in inputs.iter().map(|i| &i.schema).enumerate() {
        for field in schema.tags() {
            by_name.entry(field.name()).or_default().push((input, field));
        }
    }
    let mut shared = IndexMap::new();
    for (name, fields) in by_name.into_iter().filter(|(_, fields)| fields.len() > 1) {
        let mut metadata = fields.at(0, "a shared tag has fields").1.metadata().clone();
        metadata.retain(|key, value| fields.iter().all(|(_, f)| f.metadata().get(key) == Some(value)));
        let field = Field::new(name, unify(name, &fields)?, false).with_metadata(metadata);
        shared.insert(name.to_owned(), Arc::new(field));
    }
    Ok(shared)
}

/// The packet columns of both inputs, as they leave: lists of the two values.
pub(super) fn merged_packets(inputs: &[Input]) -> Result<IndexMap<String, FieldRef>, BindError> {
    let [one, other] = inputs else { return Ok(IndexMap::new()) };
    let mut structure = Structure::new("merge_join");
    let mut hashes = [one.pipeline_hash, other.pipeline_hash];
    hashes.sort_unstable();
    for hash in &hashes {
        structure.digest(&hash.0);
    }
    let level = Some(AlignmentId::of(&structure));
    let mut merged = IndexMap::new();
    for field in one.schema.packets() {
        let Some((Role::Packet, _, twin)) = other.schema.find(field.name()) else { continue };
        let item = merged_item(field, twin)?;
        let list = Field::new(field.name(), DataType::List(item), false);
        let values = value_alignment(field).map(|_| None).wrapped(level);
        let sources = source_alignment(field).map(|_| None).wrapped(level);
        merged.insert(field.name().clone(), with_alignment(&Arc::new(list), &values, &sources));
    }
    Ok(merged)
}

/// The field of the items of a merged column.
fn merged_item(one: &FieldRef, other: &FieldRef) -> Result<FieldRef, BindError> {
    let refusal = |found: FoundText, expected: &str, remedy: &str| {
        BindError::conflict(one.name(), found, expected, remedy)
    };
    let data_type = if one.data_type().is_nested() && logical_name(one) == logical_name(other) {
        common_field(one, other).data_type().clone()
    } else if one.data_type().is_nested() || other.data_type().is_nested() {
        return Err(refusal(
            FoundText::of_two((logical_name(one), 0), (logical_name(other), 1)),
            "one logical type",
            "convert it in one of them, or rename it there with map",
        ));
    } else {
        unify_values(one.name(), &[(0, one), (1, other)])?
    };
    let empty = new_empty_array(&data_type);
    if comparator(&empty, &empty).is_err() {
        return Err(refusal(
            format!("{} in both inputs", logical_name(one)).into(),
            "values that have an order",
            "rename it in one of them with map, or remove it there with drop",
        ));
    }
    if source_alignment(one).depth() != source_alignment(other).depth() {
        return Err(refusal(
            "source info in lists in one input and not in the other".into(),
            "source info of one depth",
            "batch or unbatch one of them, or rename the column there with map",
        ));
    }
    let nullable = one.is_nullable() || other.is_nullable();
    Ok(Arc::new(Field::new("item", data_type, nullable)))
}

/// Returns whether two inputs have a tag in common.
pub(super) fn connected(one: &StreamSchema, other: &StreamSchema) -> bool {
    one.tags().iter().any(|a| other.tags().iter().any(|b| a.name() == b.name()))
}

/// Refuses inputs that do not hang together by their tags.
pub(super) fn check_connected(inputs: &[Input]) -> Result<(), BindError> {
    let groups = groups(inputs);
    if groups.len() < 2 {
        return Ok(());
    }
    let mut found = FoundText::from("no tag name in common between ");
    for (number, group) in groups.iter().enumerate() {
        found = describe(if number == 0 { found } else { found.words(" and ") }, group, inputs);
    }
    Err(BindError::parameter(
        "cross",
        found,
        "inputs that share tag names",
        "rename a tag with map so that they share it, or give cross: true to join each row with each",
    ))
}

/// Inputs that hang together directly or through others.
fn groups(inputs: &[Input]) -> Vec<Vec<usize>> {
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for (at, input) in inputs.iter().enumerate() {
        let touches = |group: &Vec<usize>| {
            group.iter().any(|i| connected(&inputs.at(*i, "input").schema, &input.schema))
        };
        let (reached, mut others): (Vec<_>, Vec<_>) = groups.into_iter().partition(touches);
        let mut group: Vec<usize> = reached.into_iter().flatten().collect();
        group.push(at);
        group.sort_unstable();
        others.push(group);
        groups = others;
    }
    groups.sort_unstable();
    groups
}

fn describe(text: FoundText, group: &[usize], inputs: &[Input]) -> FoundText {
    let mut tags: Vec<String> = Vec::new();
    for field in group.iter().flat_map(|i| inputs.at(*i, "input").schema.tags()) {
        if !tags.contains(field.name()) {
            tags.push(field.name().clone());
        }
    }
    let mut text = text.words(if group.len() == 1 { "input " } else { "inputs " });
    for (number, input) in group.iter().enumerate() {
        text = if number == 0 { text } else { text.words(", ") }.position(*input);
    }
    text.words(format!(" with tags {}", list(&tags)))
}
