//! The columns that an unbatch explodes; known before the first row.

use std::collections::HashSet;
use std::sync::Arc;

use anabranch_engine::list_alignment::{AlignmentId, source_alignment, value_alignment, with_alignment};
use anabranch_engine::names::list;
use anabranch_engine::operator::BindError;
use anabranch_engine::schema::{Role, StreamSchema, SystemTag};
use anabranch_engine::types::EXTENSION_NAME;
use arrow::datatypes::{DataType, Field, FieldRef};

/// For each column whether it is exploded, and the schema of what comes out.
#[derive(Debug)]
pub(super) struct UnbatchPlan {
    pub(super) schema: Arc<StreamSchema>,
    pub(super) tags: Vec<bool>,
    pub(super) packets: Vec<bool>,
    pub(super) system_tags: Vec<bool>,
    pub(super) sources: Vec<bool>,
}

impl UnbatchPlan {
    pub(super) fn of(schema: &StreamSchema) -> Result<Self, BindError> {
        let exploded = |role: Role| schema.role(role).iter().map(|f| item_of(f).is_some()).collect();
        let (tags, packets): (Vec<bool>, Vec<bool>) = (exploded(Role::Tag), exploded(Role::Packet));
        if !tags.iter().chain(&packets).any(|explodes| *explodes) {
            return Err(no_list(schema));
        }
        let lists = schema.columns().filter(|field| item_of(field).is_some());
        let levels: HashSet<AlignmentId> =
            lists.filter_map(|field| value_alignment(field).outermost()).collect();
        let aligned = |level: Option<AlignmentId>| level.is_some_and(|level| levels.contains(&level));
        let system_tags: Vec<bool> =
            schema.system_tags().iter().map(|tag| aligned(tag.alignment().outermost())).collect();
        let sources: Vec<bool> =
            schema.packets().iter().map(|field| aligned(source_alignment(field).outermost())).collect();
        let output = StreamSchema::new(
            schema.tags().iter().map(|field| out_of_list(field, false)).collect(),
            schema.packets().iter().zip(&sources).map(|(field, whole)| out_of_list(field, *whole)).collect(),
            schema.system_tags().iter().zip(&system_tags).map(|(tag, e)| unwrapped(tag, *e)).collect(),
        )?;
        Ok(Self { schema: Arc::new(output), tags, packets, system_tags, sources })
    }
}

/// The item of a list column. An extension over a list is a value of its own.
fn item_of(field: &FieldRef) -> Option<&FieldRef> {
    match field.data_type() {
        DataType::List(item) if !field.metadata().contains_key(EXTENSION_NAME) => Some(item),
        _ => None,
    }
}

/// The field as it leaves: a list's item under the column's name, anything else as it is.
fn out_of_list(field: &FieldRef, source_explodes: bool) -> FieldRef {
    let (values, sources) = (value_alignment(field), source_alignment(field));
    let sources = if source_explodes { sources.unwrapped() } else { sources };
    match item_of(field) {
        None => with_alignment(field, &values, &sources),
        Some(item) => {
            let item = Field::clone(item).with_name(field.name());
            with_alignment(&Arc::new(item), &values.unwrapped(), &sources)
        }
    }
}

fn unwrapped(tag: &SystemTag, explodes: bool) -> SystemTag {
    if explodes { tag.with_alignment(tag.alignment().unwrapped()) } else { tag.clone() }
}

fn no_list(schema: &StreamSchema) -> BindError {
    BindError::parameter(
        "input",
        format!("no list among the columns {}", list(&schema.names())),
        "at least one tag or packet column of a list type",
        "put a batch before it, or leave the unbatch out",
    )
}
