//! The columns of left and right that have to agree; known before the first row.

use std::sync::Arc;

use anabranch_engine::operator::{BindError, Contract, FoundText, Input};
use anabranch_engine::schema::{Role, StreamSchema};
use anabranch_engine::types::logical_name;
use arrow::datatypes::{DataType, Field, FieldRef};

use super::word::Form;
use crate::keys::unify;

/// The left rows that leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keeps {
    /// Those with a match.
    Matching,
    /// Those without.
    Others,
}

/// Everything about a semijoin or an antijoin that is known before the first row.
#[derive(Debug)]
pub(super) struct SemijoinPlan {
    pub(super) contract: Contract,
    pub(super) keeps: Keeps,
    /// Columns of a common name; none: nothing has to be compared.
    pub(super) keys: Vec<Key>,
    pub(super) form: Form,
    /// The schema of spilled keys.
    pub(super) stored: Arc<StreamSchema>,
    /// The schema of spilled keys of left with the numbers of their rows.
    pub(super) numbered: Arc<StreamSchema>,
}

/// A column of a common name.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) left: ColumnPlace,
    pub(super) right: ColumnPlace,
    /// The type in which both sides are compared.
    pub(super) data_type: DataType,
}

/// Where a column stands in a chunk.
#[derive(Debug, Clone, Copy)]
pub(super) struct ColumnPlace {
    pub(super) role: Role,
    pub(super) at: usize,
}

impl SemijoinPlan {
    pub(super) fn of(inputs: &[Input], keeps: Keeps) -> Result<Self, BindError> {
        let [left, right] = inputs else { return Err(not_two(inputs.len())) };
        if !right.bounded {
            return Err(endless());
        }
        let keys = keys(&left.schema, &right.schema)?;
        let types: Vec<DataType> = keys.iter().map(|key| key.data_type.clone()).collect();
        let form = Form::of(&types);
        let contract = Contract::of(left, Arc::clone(&left.schema));
        Ok(Self {
            contract,
            keeps,
            keys,
            form,
            stored: spilled(form, false)?,
            numbered: spilled(form, true)?,
        })
    }
}

fn keys(left: &StreamSchema, right: &StreamSchema) -> Result<Vec<Key>, BindError> {
    let mut keys = Vec::new();
    for field in left.columns() {
        let (Some(mine), Some(theirs)) = (left.find(field.name()), right.find(field.name())) else {
            continue;
        };
        let data_type = key_type(field, theirs.2)?;
        keys.push(Key { left: place(mine), right: place(theirs), data_type });
    }
    Ok(keys)
}

fn place((role, at, _): (Role, usize, &FieldRef)) -> ColumnPlace {
    ColumnPlace { role, at }
}

fn key_type(left: &FieldRef, right: &FieldRef) -> Result<DataType, BindError> {
    let fields = [(0, left), (1, right)];
    match fields.iter().find(|(_, field)| field.data_type().is_nested()) {
        None => unify(left.name(), &fields),
        Some((input, nested)) => Err(BindError::conflict(
            left.name(),
            FoundText::of_one((logical_name(nested), *input)),
            "a type that can be a key, which a list, struct or map is not",
            "remove it from right with drop, or rename it there with map, so that it is no common column",
        )),
    }
}

/// Keys as they are spilled: their hashes, where these are not exact the keys, and for left the
/// numbers of their rows.
fn spilled(form: Form, numbered: bool) -> Result<Arc<StreamSchema>, BindError> {
    let field = |name: &str, data_type: DataType| Arc::new(Field::new(name, data_type, false));
    let mut fields = vec![field("hash", DataType::UInt64)];
    if form != Form::Hash {
        fields.push(field("key", DataType::BinaryView));
    }
    if numbered {
        fields.push(field("row", DataType::UInt64));
    }
    Ok(Arc::new(StreamSchema::new(fields, Vec::new(), Vec::new())?))
}

fn not_two(found: usize) -> BindError {
    BindError::parameter(
        "inputs",
        format!("{found} inputs"),
        "exactly two, left and right",
        "name one node for each; put several together with join or union first",
    )
}

fn endless() -> BindError {
    BindError::parameter(
        "right",
        "an input without end",
        "one that ends, since all of it is needed before the first row of left can leave",
        "exchange left and right, or let right read a part that ends",
    )
}
